"""A response cache in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class MemoryCache:
    """`antiphon.ports.ResponseCache` for as long as the process lives."""

    def __init__(self, *, max_bytes: int = 2**20, now: Callable[[], float]) -> None:
        """`max_bytes` is what each project may keep."""
        self._max_bytes = max_bytes
        self._now = now
        self.entries: dict[str, dict[bytes, tuple[bytes, float]]] = {}
        """Project → key → data and until when; what was used last comes last."""

    async def get(self, project: str, key: bytes) -> bytes | None:
        """What is kept under a key."""
        kept = self.entries.get(project, {})
        entry = kept.pop(key, None)
        if entry is None or entry[1] <= self._now():
            return None
        kept[key] = entry
        return entry[0]

    def put(self, project: str, key: bytes, data: bytes, until: float) -> asyncio.Future[None]:
        """Keep data until a time."""
        kept = self.entries.setdefault(project, {})
        kept.pop(key, None)
        if len(data) <= self._max_bytes:
            kept[key] = (data, until)
        while sum(len(data) for data, _ in kept.values()) > self._max_bytes:
            del kept[next(iter(kept))]
        return _done()

    def remove(self, project: str, key: bytes) -> asyncio.Future[None]:
        """Keep it no longer."""
        self.entries.get(project, {}).pop(key, None)
        return _done()


def _done() -> asyncio.Future[None]:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future
