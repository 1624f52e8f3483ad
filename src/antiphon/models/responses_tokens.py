"""Counts the tokens of a Responses request and its answer, for upstreams that do not count.

Approximate where templates differ: each item costs three tokens beside its words, tools what their JSON costs. An image
costs 85 tokens with low detail and 765 with any other, which is what OpenAI's models take for one of 1024 × 1024
pixels; a file what its bytes would cost as text. Encrypted reasoning counts nothing: how much is read of it, only its
upstream knows. These functions may take long: call them in a thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from antiphon.tokens import count, estimate
from antiphon.wire.response import OutputTokensDetails, Usage

__all__ = ["count_request", "count_usage"]

_AN_ITEM: Final = 3
_IMAGE: Final = 765
_SMALL_IMAGE: Final = 85

_NO_WORDS: Final = frozenset({"id", "type", "status", "call_id", "role", "phase", "encrypted_content", "logprobs"})
"""Keys of an item or a part whose values the model does not read as words."""


def count_usage(body: bytes, words: Iterable[str], thoughts: Iterable[str], encoding: str) -> Usage:
    """The usage of a request and what was answered. `words` and `thoughts` are texts, each of them whole."""
    prompt = count_request(body, encoding)
    reasoning = sum(count(text, encoding) for text in thoughts)
    output = reasoning + sum(count(text, encoding) for text in words)
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=reasoning),
        total_tokens=prompt + output,
    )


class _Request(msgspec.Struct):
    input: list[Any]
    instructions: str | None = None
    tools: msgspec.Raw = msgspec.Raw(b"")


def count_request(body: bytes, encoding: str) -> int:
    """The tokens of a request's instructions, items and tools; `body` is its JSON."""
    request = msgspec.json.decode(body, type=_Request)
    texts = (request.instructions or "", bytes(request.tools).decode())
    items = sum(_AN_ITEM + _read(item, encoding) for item in request.input)
    return items + sum(count(text, encoding) for text in texts)


def _read(value: Any, encoding: str) -> int:
    """The tokens of all words in a value."""
    match value:
        case str():
            return count(value, encoding)
        case list():
            return sum(_read(element, encoding) for element in value)
        case {"type": "input_image" | "computer_screenshot", "detail": "low"}:
            return _SMALL_IMAGE
        case {"type": "input_image" | "computer_screenshot"}:
            return _IMAGE
        case {"type": "input_file", "file_data": str(data)}:
            return estimate(len(data) * 3 // 4)  # base64
        case dict():
            return sum(_read(inner, encoding) for key, inner in value.items() if key not in _NO_WORDS)
    return 0
