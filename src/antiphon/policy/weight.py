"""How many tokens an item has: its words by a tokenizer, what is no words by a rule.

Approximate where templates differ. An item costs three tokens beside its words. An image costs 85 tokens with low
detail and 765 with any other, which is what OpenAI's models take for one of 1024 × 1024 pixels; a file what its bytes
would cost as text. Encrypted reasoning counts nothing: how much is read of it, only its upstream knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from antiphon.policy.cap import written
from antiphon.tokens import estimate
from antiphon.wire.items import Item
from antiphon.wire.request import TurnRequest
from antiphon.wire.response import Usage
from antiphon.wire.struct import encode

__all__ = ["AN_ITEM", "IMAGE", "Count", "estimated", "read", "said", "size_of", "tokens_in"]

Count: TypeAlias = Callable[[str], int]
"""A tokenizer: how many tokens a text has."""

AN_ITEM: Final = 3
IMAGE: Final = 765
_SMALL_IMAGE: Final = 85

_NO_WORDS: Final = frozenset({"id", "type", "status", "call_id", "role", "phase", "encrypted_content", "logprobs"})
"""Keys of an item or a part whose values the model does not read as words."""


def tokens_in(value: Any, count: Count) -> int:
    """The tokens of all words, images and files in a value of JSON."""
    match value:
        case str():
            return count(value)
        case list():
            return sum(tokens_in(element, count) for element in value)
        case {"type": "input_image" | "computer_screenshot", "detail": "low"}:
            return _SMALL_IMAGE
        case {"type": "input_image" | "computer_screenshot"}:
            return IMAGE
        case {"type": "input_file", "file_data": str(data)}:
            return estimate(len(data) * 3 // 4)  # base64
        case dict():
            return sum(tokens_in(inner, count) for key, inner in value.items() if key not in _NO_WORDS)
    return 0


def size_of(text: str) -> int:
    """About the bytes of a text in UTF-8, for `antiphon.tokens.estimate`; it costs no more than asking for a length."""
    return len(text) if text.isascii() else 2 * len(text)


def read(items: Sequence[Item], request: TurnRequest | None = None) -> int:
    """The tokens that a model reads, estimated from above: words by their bytes, images and files by the rule.

    `request` adds its instructions and tools.
    """
    asked = AN_ITEM * len(items) + tokens_in(msgspec.json.decode(encode(items)), _by_size)
    if request is None:
        return asked
    tools = estimate(len(encode(request.tools))) if request.tools else 0
    return asked + tools + _by_size(request.instructions or "")


def said(items: Iterable[Item]) -> int:
    """The tokens that a model wrote of some items, estimated as the gate of a budget does."""
    return estimate(sum(written(item) for item in items))


def estimated(asked: int, answered: int) -> Usage:
    """Usage that nobody told."""
    return Usage(input_tokens=asked, output_tokens=answered, total_tokens=asked + answered)


def _by_size(text: str) -> int:
    return estimate(size_of(text))
