"""The response cache in the server's database: one table, on the threads of the store.

An entry that is found is marked as used, but at most once a minute: a row that is read often is not written each time.
So what counts as "least recently used" is told to the minute.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

from antiphon.stores import statements as sql
from antiphon.stores.sqlite import SQLiteStore

_TO_THE = 60.0
"""Seconds in which a second use is not marked."""

_STEPS = 64
"""How many times the limit is looked at while as much is put in as it allows: it may be exceeded by such a part."""


class SQLiteCache:
    """`antiphon.ports.ResponseCache` in the database of a started store."""

    def __init__(self, store: SQLiteStore, *, max_bytes: int, now: Callable[[], float]) -> None:
        """`max_bytes` is what each project may keep."""
        self._store = store
        self._max_bytes = max_bytes
        self._now = now
        self._unchecked = 0
        """Bytes that were put in since the limit was looked at; known to the writer thread only."""

    async def get(self, project: str, key: bytes) -> bytes | None:
        """What is kept under a key."""
        now = self._now()
        row = await self._store.look(lambda c: c.execute(sql.CACHED, (project, key, now)).fetchone())
        if row is None:
            return None
        data, used = row
        if now - used >= _TO_THE:
            self._change(sql.USE_CACHED, now, project, key).add_done_callback(_overlook)
        return bytes(data)

    def put(self, project: str, key: bytes, data: bytes, until: float) -> asyncio.Future[None]:
        """Keep data until a time."""
        now = self._now()

        def put(connection: sqlite3.Connection) -> None:
            connection.execute(sql.PUT_CACHED, (project, key, data, len(data), until, now))
            self._unchecked += len(data)
            if self._unchecked * _STEPS > self._max_bytes:
                connection.execute(sql.DROP_EXPIRED, (now,))
                connection.execute(sql.DROP_LEAST_USED, (self._max_bytes,))
                self._unchecked = 0

        return self.remove(project, key) if len(data) > self._max_bytes else self._store.change(put)

    def remove(self, project: str, key: bytes) -> asyncio.Future[None]:
        """Keep it no longer."""
        return self._change(sql.REMOVE_CACHED, project, key)

    def _change(self, statement: str, *values: Any) -> asyncio.Future[None]:
        def change(connection: sqlite3.Connection) -> None:
            connection.execute(statement, values)

        return self._store.change(change)


def _overlook(done: asyncio.Future[None]) -> None:
    """A use that could not be marked is no loss."""
    if not done.cancelled():
        done.exception()
