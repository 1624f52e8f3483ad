"""What a server that speaks Chat Completions sends: streams of chunks, and plain completions.

`chat_stream("Hello there")` gives the SSE chunks as bytes, `chat_chunks` the same as objects to change, `chat_json` the
answer to a request that is not streamed. A text is cut before its spaces, so that no token repeats the one before it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tests.support.words import split_words

Json = dict[str, Any]

DONE = b"data: [DONE]\n\n"
USAGE: Json = {
    "prompt_tokens": 17,
    "completion_tokens": 23,
    "total_tokens": 40,
    "prompt_tokens_details": {"cached_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 5},
}


@dataclass(frozen=True)
class ToolCall:
    """One call of a function; arguments that are a list stream as those pieces."""

    name: str
    arguments: str | Sequence[str] = "{}"
    id: str = "call_1"

    @property
    def pieces(self) -> Sequence[str]:
        """The arguments as they stream."""
        return split_words(self.arguments) if isinstance(self.arguments, str) else self.arguments


def chat_stream(text: str | Sequence[str] = "", *, done: bool = True, **options: Any) -> list[bytes]:
    """Give a stream as SSE chunks, with `[DONE]` at its end; the options are those of `chat_chunks`."""
    return sse(chat_chunks(text, **options), done=done)


def chat_chunks(
    text: str | Sequence[str] = "",
    *,
    tool_calls: Sequence[ToolCall] = (),
    usage: Json | None = USAGE,
    finish_reason: str | None = None,
    reasoning: str = "",
    reasoning_field: str = "reasoning_content",
    refusal: str = "",
    logprobs: bool = False,
    model: str = "upstream-model",
) -> list[Json]:
    """Give the chunks of a stream in the order of a live one: role, reasoning, text, refusal, calls, end, usage.

    A text that is a list streams as those pieces. `finish_reason` is derived unless given. `reasoning_field` is the
    name that the server at hand has for it. Without usage there is no usage chunk.
    """
    pieces = split_words(text) if isinstance(text, str) else text
    reason = finish_reason or ("tool_calls" if tool_calls else "stop")
    choices = [
        _choice({"role": "assistant", "content": ""}),
        *(_choice({reasoning_field: piece}) for piece in split_words(reasoning)),
        *(_choice({"content": piece}, logprobs=token_logprobs(piece) if logprobs else None) for piece in pieces),
        *(_choice({"refusal": piece}) for piece in split_words(refusal)),
        *(_choice({"tool_calls": [delta]}) for delta in tool_call_deltas(tool_calls)),
        _choice({}, finish_reason=reason),
    ]
    chunks = [chunk(choice, model=model) for choice in choices]
    return chunks if usage is None else [*chunks, chunk(model=model, usage=usage)]


def chunk(*choices: Json, model: str = "upstream-model", **fields: Any) -> Json:
    """Give one chunk with these choices; the usage chunk has none."""
    return {
        "id": "chatcmpl-upstream",
        "object": "chat.completion.chunk",
        "created": 1_760_000_000,
        "model": model,
        "choices": list(choices),
        **fields,
    }


def text_chunk(text: str) -> Json:
    """Give a chunk with one piece of text."""
    return chunk(_choice({"content": text}))


def delta_chunk(delta: Any, **fields: Any) -> Json:
    """Give a chunk with any delta; fields such as index and finish_reason go into its choice."""
    return chunk(_choice(delta, **fields))


def _choice(delta: Any, **fields: Any) -> Json:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **fields}


def tool_call_deltas(calls: Sequence[ToolCall]) -> Iterator[Json]:
    """Give the deltas of calls: the first of each has id and name, the others pieces of its arguments."""
    for index, call in enumerate(calls):
        yield tool_call_delta(index, call.name, "", call_id=call.id)
        for piece in call.pieces:
            yield tool_call_delta(index, arguments=piece)


def tool_call_delta(
    index: int | None = 0, name: str | None = None, arguments: str | None = None, *, call_id: str | None = None
) -> Json:
    """Give one delta of a call; what is None is left out."""
    function = {key: value for key, value in (("name", name), ("arguments", arguments)) if value is not None}
    opening = {"id": call_id, "type": "function"} if call_id is not None else {}
    return ({} if index is None else {"index": index}) | opening | {"function": function}


def token_logprobs(token: str) -> Json:
    """Give the logprobs of one token, with one alternative."""
    entry = {"token": token, "logprob": -0.25, "bytes": list(token.encode())}
    return {"content": [{**entry, "top_logprobs": [entry]}], "refusal": None}


def sse(chunks: Sequence[Any], *, done: bool = True) -> list[bytes]:
    """Encode chunks as SSE, with `[DONE]` at the end."""
    encoded = [b"data: " + json.dumps(each, ensure_ascii=False).encode() + b"\n\n" for each in chunks]
    return [*encoded, DONE] if done else encoded


def chat_json(
    text: str | None = None,
    *,
    tool_calls: Sequence[ToolCall] = (),
    usage: Json | None = USAGE,
    finish_reason: str | None = None,
    reasoning: str | None = None,
    reasoning_field: str = "reasoning_content",
    refusal: str | None = None,
    logprobs: bool = False,
    model: str = "upstream-model",
) -> Json:
    """Give a plain completion; the parameters are those of `chat_chunks`."""
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": "".join(call.pieces)}}
        for call in tool_calls
    ]
    message: Json = {"role": "assistant", "content": text, "refusal": refusal}
    message |= {reasoning_field: reasoning} if reasoning else {}
    message |= {"tool_calls": calls} if calls else {}
    tokens = [entry for word in split_words(text or "") for entry in token_logprobs(word)["content"]]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": {"content": tokens, "refusal": None} if logprobs else None,
        "finish_reason": finish_reason or ("tool_calls" if calls else "stop"),
    }
    body = chunk(choice, model=model, object="chat.completion")
    return body if usage is None else {**body, "usage": usage}
