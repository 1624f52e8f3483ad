"""What is read of a Chat Completions stream: structs with only the fields that are used, and their decoders.

Each field is nullable and may be missing, because servers differ. msgspec skips what is not named here, which is most
of a chunk.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from antiphon.wire.content import Logprob
from antiphon.wire.response import InputTokensDetails, OutputTokensDetails, Usage

__all__ = [
    "CallDelta",
    "Choice",
    "Chunk",
    "FunctionDelta",
    "Head",
    "MessageDelta",
    "Part",
    "decode_chunk",
    "decode_head",
    "decode_repaired",
]


class FunctionDelta(msgspec.Struct, gc=False):
    """A piece of the function that is called. Arguments are JSON text; some servers send the object itself."""

    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class CallDelta(msgspec.Struct, gc=False):
    """A piece of a tool call. Pieces with the same index belong together."""

    index: int | None = None
    id: str | None = None
    function: FunctionDelta | None = None


class Detail(msgspec.Struct, gc=False):
    """An entry of OpenRouter's `reasoning_details`."""

    text: str | None = None
    summary: str | None = None


class Part(msgspec.Struct, gc=False):
    """A part of a content that is a list, as Mistral's reasoning models send it."""

    text: str | None = None
    thinking: str | list[Part] | None = None


class MessageDelta(msgspec.Struct, gc=False):
    """What is added to the message; in a completion that is not streamed, the message."""

    content: str | list[Part] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[Detail] | None = None
    tool_calls: list[CallDelta] | None = None
    function_call: FunctionDelta | None = None


class Logprobs(msgspec.Struct, gc=False):
    """The log probabilities of the tokens of a piece of text."""

    content: list[Logprob] | None = None


class Choice(msgspec.Struct, gc=False):
    """A choice of a chunk, which has a `delta`, or of a completion, which has a `message`."""

    index: int | None = 0
    delta: MessageDelta | None = None
    message: MessageDelta | None = None
    finish_reason: str | None = None
    logprobs: Logprobs | None = None


class TokenDetails(msgspec.Struct, gc=False):
    """Parts of the prompt's or the completion's tokens."""

    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class ChatUsage(msgspec.Struct, gc=False):
    """Tokens, as Chat Completions has them. `prompt_cache_hit_tokens` is DeepSeek's."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: TokenDetails | None = None
    completion_tokens_details: TokenDetails | None = None
    prompt_cache_hit_tokens: int | None = None

    def told(self) -> Usage | None:
        """The same as the Responses API has them; None if one of the two figures is missing."""
        if self.prompt_tokens is None or self.completion_tokens is None:
            return None
        cached = self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens
        thought = self.completion_tokens_details and self.completion_tokens_details.reasoning_tokens
        return Usage(
            input_tokens=self.prompt_tokens,
            input_tokens_details=InputTokensDetails(cached_tokens=cached or self.prompt_cache_hit_tokens or 0),
            output_tokens=self.completion_tokens,
            output_tokens_details=OutputTokensDetails(reasoning_tokens=thought or 0),
            total_tokens=self.prompt_tokens + self.completion_tokens,
        )


class Chunk(msgspec.Struct, gc=False):
    """A chunk of a stream, or a whole completion."""

    choices: list[Choice] | None = None
    usage: ChatUsage | None = None
    error: Any = None


class Head(msgspec.Struct, gc=False):
    """What is the same in each chunk."""

    id: str | None = None
    model: str | None = None
    service_tier: str | None = None


class _BareChunk(msgspec.Struct, gc=False):
    choices: list[Choice] | None = None
    error: Any = None


decode_chunk = msgspec.json.Decoder(Chunk).decode
_decode_bare = msgspec.json.Decoder(_BareChunk).decode
_decode_head = msgspec.json.Decoder(Head).decode

_HALF_PAIR: Final = re.compile(
    rb"(?<!\\)((?:\\\\)*)(?:\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])"
    rb"|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)


def decode_head(data: bytes) -> Head:
    """What the chunk says of itself; nothing if that is not what it should be."""
    try:
        return _decode_head(data)
    except msgspec.DecodeError:
        return Head()


def decode_repaired(data: bytes) -> Chunk:
    """Decode a chunk that `decode_chunk` refused, if only its usage is odd, or a surrogate pair is cut in two.

    Raises msgspec's errors, or RecursionError.
    """
    bare = _decode_bare(_HALF_PAIR.sub(rb"\1\\ufffd", data))
    return Chunk(choices=bare.choices, error=bare.error)
