"""Amounts and durations as directives write them."""

from __future__ import annotations

import re

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_LONGEST = 3600.0


def duration(text: str) -> float:
    """Seconds of `20ms`, `1.5s`, `2m`, `0`. Raises ValueError with what was expected."""
    if text == "0":
        return 0.0
    found = _DURATION.fullmatch(text)
    seconds = float(found[1]) * _SECONDS[found[2]] if found else _LONGEST + 1
    if seconds > _LONGEST:
        raise ValueError("a duration such as 20ms, 1.5s or 2m, of at most an hour")
    return seconds


def amount(text: str, most: int, least: int = 1) -> int:
    """A whole number. Raises ValueError with what was expected."""
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most):
        raise ValueError(f"a whole number from {least} to {most}")
    return int(text)
