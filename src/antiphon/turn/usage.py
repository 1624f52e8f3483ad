"""Usage over several turns: figure by figure, the details too."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.wire.response import Usage
from antiphon.wire.struct import UNSET


def added(one: Usage, other: Usage) -> Usage:
    """The sum of two turns' tokens."""
    total: Usage = _sum(one, other)
    return total


def _sum(one: Any, other: Any) -> Any:
    """The sum of two figures, or of all that stand under the same names; what only one has is its own."""
    match one, other:
        case int(), int():
            return one + other
        case dict(), dict():
            return {name: _sum(one.get(name), other.get(name)) for name in one | other}
        case msgspec.Struct(), msgspec.Struct():
            names = one.__struct_fields__
            return type(one)(**{name: _sum(getattr(one, name), getattr(other, name)) for name in names})
        case _:
            return other if one is None or one is UNSET else one
