"""Ids. An item's id carries the id of its response, so that a reference to it needs no index.

resp_<40 hex>              a response: 160 random bits
msg_<40 hex><4 hex>        an item that it said, numbered from 0
msg_<40 hex>i<3 hex>       an item of its input, numbered from 0
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from itertools import count

_BITS = 40


def new_response_id() -> str:
    """An id for a new response."""
    return f"resp_{secrets.token_hex(_BITS // 2)}"


def output_ids(response_id: str, start: int = 0) -> Callable[[str], str]:
    """Makes the ids of what a response says: prefix → id. `start`: how many items it has said before."""
    own, numbers = response_id.removeprefix("resp_"), count(start)
    return lambda prefix: f"{prefix}_{own}{next(numbers):04x}"


def input_ids(response_id: str) -> Callable[[str], str]:
    """Makes the ids of the items of a response's input that have none."""
    own, numbers = response_id.removeprefix("resp_"), count()
    return lambda prefix: f"{prefix}_{own}i{next(numbers):03x}"


def response_of(item_id: str) -> str | None:
    """The id of the response that an item belongs to, None for an id that is not of our making."""
    own = item_id.rpartition("_")[2]
    if len(own) != _BITS + 4 or not set(own[:_BITS]) <= set("0123456789abcdef"):
        return None
    return f"resp_{own[:_BITS]}"
