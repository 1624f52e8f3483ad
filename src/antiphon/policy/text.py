"""Text as it is compared: what counts of it, and what it says behind escapes."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

__all__ = ["MOST_UNCOUNTED", "normal", "tail_start", "unescaped"]

_INVISIBLE_RANGES: Final = (
    *((0x00AD, 0x00AD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F)),
    *((0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
"""Characters that nobody sees: formats, variation selectors, fillers, tags. Unicode: Default_Ignorable_Code_Point."""

_CLASS: Final = "".join(f"{chr(first)}-{chr(last)}" for first, last in _INVISIBLE_RANGES)
_INVISIBLE: Final = re.compile(f"[{_CLASS}]+")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")
_UNCOUNTED: Final = re.compile(rf"[{_CLASS}]+|\s[\s{_CLASS}]*")

MOST_UNCOUNTED: Final = 4096
"""Characters, white space and invisible ones, that a tail has beside those that count. A text is not held for ever."""


def normal(text: str) -> str:
    """A text as words and patterns are compared with it: NFKC, case folded, without what nobody sees."""
    if text.isascii():
        return text.lower()
    shown = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))
    return _SURROGATES.sub("\ufffd", shown.casefold())


def tail_start(text: str, count: int) -> int:
    """Where the last `count` characters of a text begin; those that nobody sees, and more than one space, are none."""
    start = len(text) - count
    if start <= 0 or count == 0:
        return max(start, 0)
    tail = text[start:]
    if tail.isascii() and tail.isprintable() and "  " not in tail:
        return start
    return _counted(text, count)


def _counted(text: str, count: int) -> int:
    floor = max(0, len(text) - count - MOST_UNCOUNTED)
    units = [(floor + found.start(), found[0]) for found in _UNITS.finditer(text[floor:])]
    for start, unit in reversed(units):
        if not _INVISIBLE.fullmatch(unit):
            count -= 1
        if count == 0:
            return start
    return floor


_UNITS: Final = re.compile(rf"{_UNCOUNTED.pattern}|.", re.DOTALL)

_ESCAPE: Final = re.compile(r'(?:\\u[0-9a-fA-F]{4})+|\\["\\/bfnrt]')
_SHORT: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def unescaped(text: str) -> str:
    """A text with its JSON escapes replaced by what they stand for."""
    return _ESCAPE.sub(_meant, text)


def _meant(found: re.Match[str]) -> str:
    escape = found[0]
    if escape[1] != "u":
        return _SHORT.get(escape[1], escape[1])
    units = b"".join(int(code, 16).to_bytes(2, "big") for code in escape.split("\\u")[1:])
    return units.decode("utf-16-be", "replace")
