"""Counts the tokens of a Chat Completions request and its answer, for upstreams that do not count.

Approximate where templates differ: each message costs three tokens beside its words, the answer's beginning three,
tools what their JSON costs. An image costs 85 tokens with low detail and 765 with any other, which is what OpenAI's
models take for one of 1024 × 1024 pixels; a file what its bytes would cost as text. These functions may take long:
call them in a thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from antiphon.tokens import count, estimate
from antiphon.wire.response import OutputTokensDetails, Usage

__all__ = ["count_prompt", "count_usage"]

Json = dict[str, Any]

_A_MESSAGE: Final = 3
_IMAGE: Final = 765
_SMALL_IMAGE: Final = 85


def count_usage(body: Json, words: list[str], thoughts: list[str], encoding: str) -> Usage:
    """The usage of a request and what was answered. `words` and `thoughts` are pieces of one text each."""
    prompt = count_prompt(body, encoding)
    reasoning = count("".join(thoughts), encoding)
    output = reasoning + count("".join(words), encoding)
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=reasoning),
        total_tokens=prompt + output,
    )


def count_prompt(body: Json, encoding: str) -> int:
    """The tokens of a request's messages and tools."""
    total = sum(_A_MESSAGE + _message(message, encoding) for message in body["messages"]) + _A_MESSAGE
    if "tools" in body:
        total += count(msgspec.json.encode(body["tools"]).decode(), encoding)
    return total


def _message(message: Json, encoding: str) -> int:
    content = message.get("content") or ""
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    return sum(_part(part, encoding) for part in parts) + sum(count(text, encoding) for text in _texts(message))


def _part(part: Json, encoding: str) -> int:
    match part:
        case {"type": "image_url", "image_url": {"detail": "low"}}:
            return _SMALL_IMAGE
        case {"type": "image_url"}:
            return _IMAGE
        case {"type": "file", "file": {"file_data": str(data)}}:
            return estimate(len(data) * 3 // 4)  # base64
    return count(part["text"], encoding)


def _texts(message: Json) -> Iterator[str]:
    """The texts of a message beside its content: its role, its calls, its reasoning under any name."""
    yield from (value for key, value in message.items() if isinstance(value, str) and key != "content")
    for call in message.get("tool_calls", ()):
        yield from call["function"].values()
