"""Uses: what an upstream bills beside tokens. It says so in its answer: the tools that it ran itself, and its tier.

    uses.hear(delta)        # every delta of an attempt that is no word
    uses.tools              # {"web_search_calls": 2, "code_interpreter_sessions": 1}

A call is an item of the tool. Where the upstream counts its own (`tool_usage`), that holds: a search may open pages
that are not billed as searches. A session is a container, however often code ran in it. Tools that this server runs
are no part of what its upstreams say.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from antiphon.turn.deltas import Delta, ItemDone, ItemStarted, Settled
from antiphon.wire.items import CodeInterpreterCall
from antiphon.wire.struct import type_of

__all__ = ["Uses"]

_CALLS: Final[Mapping[str, str]] = {
    f"{tool}_call": f"{tool}_calls" for tool in ("web_search", "file_search", "code_interpreter", "image_generation")
}
"""What is counted, by the type of the item."""


class Uses:
    """What one answer of an upstream has used."""

    __slots__ = ("_containers", "_counted", "_told", "service_tier")

    def __init__(self, service_tier: str | None = None) -> None:
        """`service_tier` is the one that was asked for."""
        self.service_tier = service_tier
        """The one that the upstream told, once it did."""
        self._counted: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self._containers: set[str] = set()

    @property
    def tools(self) -> dict[str, int]:
        """The calls and sessions of each tool, by the names under which they are priced."""
        sessions = {"code_interpreter_sessions": len(self._containers)} if self._containers else {}
        return {**self._counted, **self._told, **sessions}

    def hear(self, delta: Delta) -> None:
        """Count what a delta tells."""
        match delta:
            case ItemStarted(item=item):
                use = _CALLS.get(type_of(item))
                if use is not None:
                    self._counted[use] = self._counted.get(use, 0) + 1
            case ItemDone(item=CodeInterpreterCall(container_id=container)) if container:
                self._containers.add(container)
            case Settled(fields=fields):
                self._settle(fields)

    def _settle(self, fields: Mapping[str, Any]) -> None:
        tier, usage = fields.get("service_tier"), fields.get("tool_usage")
        if isinstance(tier, str) and tier:
            self.service_tier = tier
        for tool, told in usage.items() if isinstance(usage, dict) else ():
            count = told.get("num_requests") if isinstance(told, dict) else None
            if isinstance(count, int) and count >= 0:
                self._told[f"{tool}_calls"] = count
