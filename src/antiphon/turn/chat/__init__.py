"""Chat Completions over a Responses endpoint: one translation, used by the server and by the client's wrapper.

    asked      = decode_chat(body)                     # antiphon.wire.chat
    request    = response_request(asked)               # what to ask a Responses endpoint
    completion = completion_of(response)               # its answer, whole
    chunks     = Chunks(…).feed(events)                # or as it streams

Sans-I/O and pure. What goes the other way, from Responses to a server that speaks Chat Completions, is
`antiphon.models.chat_completions`; the tests put one behind the other.
"""

from __future__ import annotations

from antiphon.turn.chat.chunks import Chunks
from antiphon.turn.chat.completion import completion_id, completion_of, failure_of, response_id
from antiphon.turn.chat.request import param_of, response_request

__all__ = [
    "Chunks",
    "completion_id",
    "completion_of",
    "failure_of",
    "param_of",
    "response_id",
    "response_request",
]
