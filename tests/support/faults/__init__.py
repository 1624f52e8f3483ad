"""Everything that an upstream is known to do wrong, each with what a server must make of it.

`FAULTS` is for a Chat Completions upstream, `RESPONSES_FAULTS` for one that speaks the Responses API. A fault is called
to get its answer: `upstream.always(FAULTS["cut_between_events"]())`.

How the outcomes are chosen:

- A request that the upstream refused for what it is (400, 404, 413, 422) stays the client's: class `http_400`.
- 429 stays 429, with its Retry-After.
- An outage (refused, silent, 408, 409, 5xx, 529) is `http_503`; no first token in time is `http_504`.
- An answer that makes no sense is `http_502`. So is 401 or 403: the client's own key is right, the server's
  configuration for its upstream is not.
- After the first output an answer that breaks off is `failed`, with the partial output kept.
- What can be understood without guessing is `completed` or `incomplete`.

`http_*` is what a client sees as long as no header was sent; a stream whose headers are out ends in `response.failed`
with an error of the same class. `also` are outcomes that are as right: whether a server is lenient there is its choice.
"""

from __future__ import annotations

from collections.abc import Mapping

from tests.support.chat_chunks import chat_stream
from tests.support.faults.calls import call_faults
from tests.support.faults.chunks import chunk_faults
from tests.support.faults.events import event_faults
from tests.support.faults.fault import STATUSES, TEXT, Fault, Outcome, Strikes, table
from tests.support.faults.lines import line_faults
from tests.support.faults.statuses import status_faults
from tests.support.faults.transport import GoodStream, transport_faults
from tests.support.response_events import message, responses_stream

__all__ = ["FAULTS", "RESPONSES_FAULTS", "STATUSES", "Fault", "Outcome", "Strikes"]

_CHAT = GoodStream(chat_stream(TEXT))
_RESPONSES = GoodStream(responses_stream(message(TEXT)))

FAULTS: Mapping[str, Fault] = table(
    transport_faults(_CHAT), line_faults(_CHAT.chunks), status_faults(), chunk_faults(), call_faults()
)
RESPONSES_FAULTS: Mapping[str, Fault] = table(
    transport_faults(_RESPONSES), line_faults(_RESPONSES.chunks), status_faults(), event_faults()
)
