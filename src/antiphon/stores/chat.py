"""Stored chat completions in the server's database: on the threads of the store, beside the responses that they are."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from typing import Any

import msgspec

from antiphon.ports import ChatQuery, StoredChat
from antiphon.stores import chat_statements as sql
from antiphon.stores.sqlite import SQLiteStore

_LAST = 2**63 - 1


class SQLiteChats:
    """`antiphon.ports.ChatStore` in the database of a started store."""

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store

    def keep(self, project: str, key: int, metadata: Mapping[str, str], request: bytes) -> asyncio.Future[None]:
        """Note that a response is a chat completion."""

        def keep(connection: sqlite3.Connection) -> None:
            connection.execute(sql.KEEP, (key, project, msgspec.json.encode(metadata), request))
            _add_pairs(connection, key, metadata)

        return self._store.change(keep)

    async def find(self, project: str, response_id: str) -> StoredChat | None:
        """The completion that a response is."""
        row = await self._store.look(lambda c: c.execute(sql.FIND, (response_id, project)).fetchone())
        return None if row is None else _stored(row)

    async def page(self, project: str, query: ChatQuery) -> list[StoredChat]:
        """Completions as a query wants them."""
        statement, values = sql.PAGE, [project]
        if query.model is not None:
            statement += sql.OF_MODEL
            values.append(query.model)
        for pair in query.metadata.items():
            statement += sql.HAS_PAIR
            values += pair
        statement += sql.NEWEST_FIRST if query.newest_first else sql.OLDEST_FIRST
        start = _LAST if query.newest_first else 0
        bound = (*values, start if query.after is None else query.after, query.limit)
        rows = await self._store.look(lambda c: c.execute(statement, bound).fetchall())
        return [_stored(row) for row in rows]

    async def describe(self, project: str, response_id: str, metadata: Mapping[str, str]) -> bool:
        """Replace the metadata of a completion."""

        def describe(connection: sqlite3.Connection) -> bool:
            row = connection.execute(sql.FIND, (response_id, project)).fetchone()
            if row is None:
                return False
            key = row[0]
            connection.execute(sql.DESCRIBE, (msgspec.json.encode(metadata), key))
            connection.execute(sql.DROP_PAIRS, (key,))
            _add_pairs(connection, key, metadata)
            return True

        return await self._store.change(describe)


def _add_pairs(connection: sqlite3.Connection, key: int, metadata: Mapping[str, str]) -> None:
    connection.executemany(sql.ADD_PAIR, [(key, name, value) for name, value in metadata.items()])


def _stored(row: tuple[Any, ...]) -> StoredChat:
    key, response, metadata, request = row
    return StoredChat(key, bytes(response), msgspec.json.decode(metadata, type=dict[str, str]), bytes(request))
