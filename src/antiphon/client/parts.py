"""Parts: the layers that ship with the toolkit, as options of a client, in the order in which they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from antiphon.client import options
from antiphon.client.cache import Cache
from antiphon.client.call import Layer
from antiphon.client.costs import Costs
from antiphon.client.moderation import Moderation
from antiphon.client.optimiser import Optimiser

__all__ = ["Caching", "Counting", "Moderating", "Optimising", "parts_of"]

Optimising: TypeAlias = Optimiser | Mapping[str, Any] | bool | None
Caching: TypeAlias = Cache | Mapping[str, Any] | bool | None
Counting: TypeAlias = Costs | Mapping[str, Any] | bool | None
Moderating: TypeAlias = Moderation | Mapping[str, Any] | None

_KINDS: Final[Mapping[str, tuple[type[Any], bool]]] = {
    "optimiser": (Optimiser, True),
    "cache": (Cache, True),
    "costs": (Costs, True),
    "moderation": (Moderation, False),
}
"""Each part's class, and whether it can do without options; the outermost first."""


def parts_of(given: Mapping[str, object]) -> tuple[Layer, ...]:
    """The layers that options mean, the outermost first. Raises OptionError."""
    parts = (options.part(name, given[name], kind, bare=bare) for name, (kind, bare) in _KINDS.items())
    return tuple(part for part in parts if part is not None)
