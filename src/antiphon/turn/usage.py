"""Usage over several turns: figure by figure, the details too."""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.wire.response import Usage
from antiphon.wire.struct import UNSET


def added(one: Usage, other: Usage) -> Usage:
    """The sum of two turns' tokens."""
    total: Usage = _joined(one, other, 1)
    return total


def without(whole: Usage, part: Usage) -> Usage:
    """What is left of some tokens without a part of them."""
    rest: Usage = _joined(whole, part, -1)
    return rest


def _joined(one: Any, other: Any, sign: int) -> Any:
    """The sum of two figures, or of all that stand under the same names; what only one has is its own."""
    match one, other:
        case int(), int():
            return one + sign * other
        case dict(), dict():
            return {name: _joined(one.get(name), other.get(name), sign) for name in one | other}
        case msgspec.Struct(), msgspec.Struct():
            names = one.__struct_fields__
            return type(one)(**{name: _joined(getattr(one, name), getattr(other, name), sign) for name in names})
        case _:
            return other if one is None or one is UNSET else one
