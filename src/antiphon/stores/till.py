"""The alerts that were sent, in the server's database."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import Final

import msgspec

from antiphon.policy.alert import Alert
from antiphon.ports import Fired
from antiphon.stores import till_sql as sql
from antiphon.stores.sqlite import SQLiteStore

__all__ = ["SQLiteAlerts"]

_WAYS: Final = msgspec.json.Decoder(tuple[str, ...])
_ALERT: Final = msgspec.json.Decoder(Alert)


class SQLiteAlerts:
    """`antiphon.ports.AlertStore` in the database of a started, or joined, store."""

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store

    def fire(self, alert: Alert, pending: Sequence[str]) -> asyncio.Future[bool]:
        """Write an alert down, unless it is there already."""
        place = alert.organization, alert.budget, alert.starts, str(alert.threshold), str(alert.amount)
        values = (*place, alert.id, alert.at, msgspec.json.encode(alert), _text(pending))
        return self._store.change(lambda connection: connection.execute(sql.FIRE, values).rowcount == 1)

    def sent(self, alert_id: str, way: str) -> asyncio.Future[None]:
        """Note that it was sent on a way."""

        def sent(connection: sqlite3.Connection) -> None:
            row = connection.execute(sql.PENDING, (alert_id,)).fetchone()
            if row is not None:
                left = [each for each in _WAYS.decode(row[0]) if each != way]
                connection.execute(sql.SENT, (_text(left), alert_id))

        return self._store.change(sent)

    async def fired(self, since: float) -> Sequence[Fired]:
        """The alerts since a time."""
        rows = await self._store.look(lambda connection: connection.execute(sql.FIRED, (since,)).fetchall())
        return [Fired(_ALERT.decode(data), _WAYS.decode(pending)) for data, pending in rows]


def _text(ways: Sequence[str]) -> str:
    return msgspec.json.encode(ways).decode()
