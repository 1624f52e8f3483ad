"""The ledger in the server's database: a row for each piece of work, and below it one for each attempt.

It is written by the thread that writes everything else, so the row of a response is there when the response is.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, cast

import msgspec

from antiphon.policy.ledger import EXACT, Row, Spent, Tokens, Usage, UsageQuery
from antiphon.stores import ledger_sql as sql
from antiphon.stores.ledger_rows import put_row, rows_of
from antiphon.stores.sqlite import SQLiteStore

__all__ = ["SQLiteLedger"]

_TOKENS: Final = len(Tokens.__struct_fields__)
_GROUPS: Final = ("project", "owner", "key_id", "model", "line_item")
_FILTERS: Final = ("operations", "projects", "owners", "keys", "models", "line_items")
_LARGEST: Final = 2**62


class SQLiteLedger:
    """`antiphon.ports.Ledger` in the database of a started, or joined, store."""

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store

    def write(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        """Write rows in place of those with the same ids."""

        def write(connection: sqlite3.Connection) -> None:
            for row in rows:
                put_row(connection, row)

        return self._store.change(write)

    async def running(self) -> Sequence[Row]:
        """The rows of work that has not ended."""
        return await self._store.look(lambda connection: rows_of(connection, connection.execute(sql.RUNNING)))

    async def find(self, work_id: str) -> Row | None:
        """The row of a piece of work."""
        found = await self._store.look(lambda connection: rows_of(connection, connection.execute(sql.FIND, (work_id,))))
        return found[0] if found else None

    async def usage(self, query: UsageQuery) -> Sequence[Usage]:
        """What was used, in buckets and groups."""
        return await self._store.sum(lambda connection: _usage(connection, query))

    async def spent(self, since: float) -> Sequence[Spent]:
        """What was spent, by organization, project and key."""

        def spent(connection: sqlite3.Connection) -> list[Spent]:
            _add_usd(connection)
            found = connection.execute(sql.SPENT, (since,))
            return [
                Spent(organization=organization, project=project, key_id=key_id, cost=Decimal(cost))
                for organization, project, key_id, cost in found
            ]

        return await self._store.sum(spent)


# Sums


class _Dollars:
    """`usd(amount)`: the sum of decimals that are written as text. What is NULL adds nothing."""

    def __init__(self) -> None:
        self._sum = Decimal(0)

    def step(self, amount: Any, /) -> None:
        """One more."""
        if amount is not None:
            self._sum = EXACT.add(self._sum, Decimal(amount))

    def finalize(self) -> str:
        """The sum, as text."""
        return format(self._sum, "f")


def _add_usd(connection: sqlite3.Connection) -> None:
    connection.create_aggregate("usd", 1, cast("Any", _Dollars))  # typeshed knows sums of integers only


def _usage(connection: sqlite3.Connection, query: UsageQuery) -> list[Usage]:
    _add_usd(connection)
    by_charge = "line_item" in query.groups or query.line_items
    values: dict[str, Any] = {f"by_{name}": name in query.groups for name in _GROUPS}
    for name in _FILTERS:
        wanted = getattr(query, name)
        values[name] = msgspec.json.encode(list(wanted)).decode() if wanted else None
    values |= {
        "organization": query.organization,
        "since": query.since,
        "until": min(query.until, float(_LARGEST)),
        "width": query.width,
    }
    return [_used(row) for row in connection.execute(sql.USAGE_BY_LINE_ITEM if by_charge else sql.USAGE, values)]


def _used(row: Sequence[Any]) -> Usage:
    start, project, owner, key_id, model, line_item, works, calls, failed, *figures = row
    tokens, (cost, unpriced, saved, saved_tokens) = figures[:_TOKENS], figures[_TOKENS:]
    return Usage(
        start=start,
        project=project,
        owner=owner,
        key_id=key_id,
        model=model,
        line_item=line_item,
        works=works,
        calls=calls,
        failed=failed,
        tokens=Tokens(**dict(zip(Tokens.__struct_fields__, tokens, strict=True))),
        cost=Decimal(cost),
        unpriced=unpriced,
        saved=Decimal(saved or 0),
        saved_tokens=saved_tokens,
    )
