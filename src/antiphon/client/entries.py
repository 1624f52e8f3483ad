"""Entries: where the response cache keeps answers. Bytes under a key, until a time; nobody rests on them.

`Memory` is gone with the process. `antiphon.client.entries_file` keeps them in an SQLite file.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Protocol

__all__ = ["Entries", "Memory"]


class Entries(Protocol):
    """Where answers are kept. What goes wrong inside is a miss; nothing is raised. Threads may share it."""

    def get(self, key: bytes, now: float) -> bytes | None:
        """What is kept under a key; it counts as used now."""
        ...

    def put(self, key: bytes, data: bytes, *, until: float, now: float) -> None:
        """Keep data until a Unix time, in the place of what was there; what was used least recently makes room."""

    def remove(self, key: bytes) -> None:
        """Keep it no longer."""

    def clear(self) -> None:
        """Keep nothing of all that is there."""

    def close(self) -> None:
        """Let go what is open."""

    def __len__(self) -> int:
        """How many there are."""
        ...


class Memory:
    """Entries in this process. Implements `Entries`."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._most = max_entries
        self._room = max_bytes
        self._kept: OrderedDict[bytes, tuple[bytes, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes, now: float) -> bytes | None:
        """What is kept under a key."""
        with self._lock:
            data, until = self._kept.get(key, (b"", 0.0))
            if until <= now:
                self._drop(key)
                return None
            self._kept.move_to_end(key)
            return data

    def put(self, key: bytes, data: bytes, *, until: float, now: float) -> None:  # noqa: ARG002 - the port's
        """Keep data until a time."""
        with self._lock:
            self._drop(key)
            if len(data) > self._room:
                return
            self._kept[key] = (data, until)
            self._room -= len(data)
            while self._room < 0 or len(self._kept) > self._most:
                self._drop(next(iter(self._kept)))

    def remove(self, key: bytes) -> None:
        """Keep it no longer."""
        with self._lock:
            self._drop(key)

    def clear(self) -> None:
        """Keep nothing of all that is there."""
        with self._lock:
            for key in list(self._kept):
                self._drop(key)

    def close(self) -> None:
        """Nothing is open."""

    def __len__(self) -> int:
        return len(self._kept)

    def _drop(self, key: bytes) -> None:
        data, _ = self._kept.pop(key, (b"", 0.0))
        self._room += len(data)
