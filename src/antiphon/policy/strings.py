"""The strings in items, parts and events that somebody may read, whatever their kind.

Ids, statuses, base64 and what is encrypted are none of them. In JSON that is not the API's own, as the arguments of a
tool search, names are strings too, and none is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final

import msgspec

from antiphon.wire import content, events, items
from antiphon.wire.struct import Wire, encode

__all__ = ["strings_at", "strings_of"]

Path = tuple[str, ...]

_UNREAD: Final = frozenset(
    {
        *(
            "id",
            "type",
            "status",
            "role",
            "phase",
            "object",
            "call_id",
            "item_id",
            "file_id",
            "container_id",
            "response_id",
        ),
        *("encrypted_content", "partial_image_b64", "fingerprint", "file_data", "image_url"),
    }
)
"""Fields whose strings nobody reads, or nobody can."""

_UNREAD_OF: Final[Mapping[str, frozenset[str]]] = {
    "image_generation_call": frozenset({"result"}),
    "response.audio.delta": frozenset({"delta"}),
}
"""Fields that are so in objects of one type."""

_FREE: Final = frozenset({"arguments", "attributes", "action", "actions", "results", "tools", "output", "annotations"})
"""Fields that hold, or may hold, JSON of anybody's making."""


def strings_of(value: Any) -> list[str]:
    """The strings in a value, each once."""
    return list(dict.fromkeys(words for _, words in strings_at(value)))


def strings_at(value: Any) -> Iterator[tuple[Path, str]]:
    """The strings in a value, each with the names of the fields that lead to it."""
    return _strings(msgspec.json.decode(encode(value)), ())


def _strings(value: Any, path: Path, *, free: bool = False) -> Iterator[tuple[Path, str]]:
    """`free`: within JSON that is not the API's own, so that its names are somebody's choice too."""
    match value:
        case str() if value:
            yield path, value
        case list():
            for each in value:
                yield from _strings(each, path, free=free)
        case dict():
            unread = frozenset() if free else _UNREAD | _UNREAD_OF.get(str(value.get("type")), frozenset())
            for name, each in value.items():
                if name not in unread:
                    is_ours = name in _fields() and name not in _FREE
                    yield from _strings(each, (*path, name), free=free or not is_ours)
                if name not in _fields():
                    yield (*path, "*"), name


@cache
def _fields() -> frozenset[str]:
    """The names of the API's own fields in items, parts and events."""
    kinds = [each for module in (content, events, items) for each in vars(module).values() if isinstance(each, type)]
    names = (kind.__struct_encode_fields__ for kind in kinds if issubclass(kind, Wire))
    return frozenset({"type"}.union(*names))
