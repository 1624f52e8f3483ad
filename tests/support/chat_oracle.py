"""The official SDK as a judge of chat completions: its types, and its way to put chunks together."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from openai.lib.streaming._deltas import accumulate_delta
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter, ValidationError

Json = dict[str, Any]

MODELS: Mapping[str, type] = {"chat.completion": ChatCompletion, "chat.completion.chunk": ChatCompletionChunk}


def check(told: Json) -> None:
    """Raise AssertionError if the SDK's types refuse a completion or a chunk."""
    try:
        _adapter(told["object"]).validate_json(json.dumps(_known(told)), strict=True, extra="forbid")
    except ValidationError as error:
        raise AssertionError(f"{error}\n{json.dumps(told)}") from None


def chunks_of(data: bytes) -> list[Json]:
    """The chunks of a stream as far as it was read, without comments, an error, and its end."""
    whole = data[: data.rindex(b"\n\n")] if b"\n\n" in data else b""
    frames = [frame.removeprefix("data: ") for frame in whole.decode().split("\n\n") if not frame.startswith(":")]
    told = [json.loads(frame) for frame in frames if frame not in ("", "[DONE]")]
    return [chunk for chunk in told if "error" not in chunk]


def whole_stream(data: bytes) -> list[Json]:
    """The chunks of a stream, each judged. It ends with `[DONE]`, and tells no error."""
    assert data.endswith(b"data: [DONE]\n\n")
    assert data.count(b"[DONE]") == 1
    assert b'data: {"error"' not in data
    chunks = chunks_of(data)
    for chunk in chunks:
        check(chunk)
    return chunks


def assembled(chunks: Iterable[Json]) -> Json:
    """The choice that the chunks amount to, as the SDK's stream helper sees it: message and finish reason."""
    message: Json = {}
    tokens: list[Json] = []
    reason = None
    for chunk in chunks:
        for choice in chunk["choices"]:
            accumulate_delta(message, copy.deepcopy(choice["delta"]))
            tokens += (choice.get("logprobs") or {}).get("content") or []
            reason = choice["finish_reason"] or reason
    for call in message.get("tool_calls", ()):
        del call["index"]
    for annotation in message.get("annotations", ()):
        del annotation["index"]
    return {"message": {"annotations": [], **message}, "finish_reason": reason, "tokens": tokens}


def said_in(completion: Json) -> Json:
    """The same of a completion that came whole."""
    (choice,) = completion["choices"]
    tokens = (choice["logprobs"] or {}).get("content") or []
    return {"message": choice["message"], "finish_reason": choice["finish_reason"], "tokens": tokens}


@cache
def _adapter(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(MODELS[kind])


def _known(told: Json) -> Json:
    """Without what the models lack and is sent nevertheless: reasoning, and in chunks citations and custom calls."""
    told = copy.deepcopy(told)
    for choice in told["choices"]:
        said = choice.get("delta", choice.get("message"))
        said.pop("reasoning_content", None)
        if "delta" in choice:
            said.pop("annotations", None)
            said["tool_calls"] = [call for call in said.get("tool_calls", ()) if "custom" not in call] or None
    return told
