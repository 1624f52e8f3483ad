"""Replay: an answer that was given is given again, as the stream that it was, under ids of its own.

The events are those of the server: the same in the same order, with the same numbers. Ids, times, and what the new
request says of itself (`metadata`, `user`…) are told anew. An id is that of the original with `_again` and twelve
hexadecimal digits behind it: so anybody can see what it is, and a request that refers to it (`previous_response_id`, an
item that is sent back) can be made to refer to the original, which is all that the server knows.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["again", "original_id", "with_original_ids"]

_AGAIN: Final = re.compile(r"_again[0-9a-f]{12}\Z")

_OWN: Final[Mapping[str, Any]] = {
    "metadata": {},
    "prompt_cache_key": None,
    "prompt_cache_retention": None,
    "safety_identifier": None,
    "store": True,
    "user": None,
}
"""What a Response says of its own request that does not shape the answer, and what it is if it was not sent."""

_TIMES: Final = ("created_at", "completed_at")
_IDS: Final = frozenset({"id", "item_id"})


def again(events: Sequence[Mapping[str, Any]], params: Mapping[str, Any], now: float) -> Iterator[dict[str, Any]]:
    """The events of an answer, told once more in answer to a request."""
    mark = f"_again{secrets.token_hex(6)}"
    known = {each for event in events for each in _ids_in(event)}
    own = {name: params.get(name, default) for name, default in _OWN.items()}
    for event in events:
        told: dict[str, Any] = _renamed(event, known, mark)
        response = told.get("response")
        if isinstance(response, dict):
            response |= {name: value for name, value in own.items() if name in response}
            response |= {name: int(now) for name in _TIMES if response.get(name) is not None}
        yield told


def _ids_in(event: Mapping[str, Any]) -> Iterator[str]:
    """The ids that an event gives: of the response, and of items."""
    response = event.get("response")
    items = response.get("output") if isinstance(response, dict) else None
    for holder in (response, event.get("item"), *(items or ())):
        if isinstance(holder, dict) and isinstance(own := holder.get("id"), str) and own:
            yield own


def _renamed(value: Any, known: set[str], mark: str) -> Any:
    match value:
        case list():
            return [_renamed(each, known, mark) for each in value]
        case dict():
            own = {name: f"{each}{mark}" for name, each in value.items() if name in _IDS and _is_in(each, known)}
            return {name: own.get(name) or _renamed(each, known, mark) for name, each in value.items()}
    return value


def _is_in(value: Any, known: set[str]) -> bool:
    return isinstance(value, str) and value in known


def original_id(own: str) -> str | None:
    """The id that an answer was first given under, of a response or an item; None if it is no replay."""
    original = _AGAIN.sub("", own)
    return None if original == own else original


def with_original_ids(params: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a request, referring to originals. Those that refer to no replay are given back as they are."""
    changed: dict[str, Any] = {}
    previous, given = params.get("previous_response_id"), params.get("input")
    if isinstance(previous, str) and (original := original_id(previous)) is not None:
        changed["previous_response_id"] = original
    if isinstance(given, list):
        items = [_item(each) for each in given]
        if any(one is not other for one, other in zip(items, given, strict=True)):
            changed["input"] = items
    return {**params, **changed} if changed else params


def _item(item: Any) -> Any:
    """An item of the input, as a dictionary or as the SDK's object, under the id that the server knows."""
    own = item.get("id") if isinstance(item, dict) else getattr(item, "id", None)
    original = original_id(own) if isinstance(own, str) else None
    if original is None:
        return item
    return {**item, "id": original} if isinstance(item, dict) else item.model_copy(update={"id": original})
