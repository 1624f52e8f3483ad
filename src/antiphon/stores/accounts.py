"""Accounts in the server's database: a table for each kind of row, and one number that counts the changes.

The number is what makes several writers safe: a change is carried out only if nothing has changed since it was decided.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from antiphon.policy.access import HostedToolPermissions, ModelPermissions
from antiphon.policy.directory import (
    Budget,
    Change,
    Directory,
    Dropped,
    Key,
    Logged,
    Member,
    Organization,
    Project,
    RateLimit,
    Row,
    ServiceAccount,
    SpendAlert,
    User,
)
from antiphon.ports import AuditQuery
from antiphon.stores import statements as sql
from antiphon.stores import till_sql
from antiphon.stores.sqlite import SQLiteStore

__all__ = ["SQLiteAccounts", "put_logs"]

_ALL: Final[dict[type[Row], str]] = {
    Organization: sql.ORGANIZATIONS,
    Project: sql.PROJECTS,
    User: sql.USERS,
    Member: sql.MEMBERS,
    ServiceAccount: sql.SERVICE_ACCOUNTS,
    Key: sql.KEYS,
    RateLimit: till_sql.RATE_LIMITS,
    Budget: till_sql.BUDGETS,
    SpendAlert: till_sql.SPEND_ALERTS,
}
_PUT: Final[dict[type[Row], str]] = {
    Organization: sql.PUT_ORGANIZATION,
    Project: sql.PUT_PROJECT,
    User: sql.PUT_USER,
    Member: sql.PUT_MEMBER,
    ServiceAccount: sql.PUT_SERVICE_ACCOUNT,
    Key: sql.PUT_KEY,
    RateLimit: till_sql.PUT_RATE_LIMIT,
    Budget: till_sql.PUT_BUDGET,
    SpendAlert: till_sql.PUT_SPEND_ALERT,
}
_JSON: Final[dict[str, Any]] = {
    "models": ModelPermissions,
    "tools": HostedToolPermissions,
    "scopes": tuple[str, ...] | None,
    "thresholds": tuple[Decimal, ...],
    "recipients": tuple[str, ...],
}
"""Columns that hold JSON."""
_READ: Final[dict[str, Callable[[Any], Any]]] = {"amount": Decimal, "hard": bool}
"""Columns that hold what SQLite has no type for."""

_LARGEST: Final = 2**63 - 1


class SQLiteAccounts:
    """`antiphon.ports.AccountStore` in the database of a started, or joined, store."""

    def __init__(self, store: SQLiteStore) -> None:
        self._store = store

    async def load(self) -> Directory:
        """All of it."""
        return await self._store.look(_load)

    async def revision(self) -> int:
        """How often it was changed."""
        return await self._store.look(lambda connection: int(connection.execute(sql.REVISION).fetchone()[0]))

    def write(self, change: Change, revision: int) -> asyncio.Future[bool]:
        """Carry out a change that was decided on at a revision."""

        def write(connection: sqlite3.Connection) -> bool:
            if not connection.execute(sql.NEXT_REVISION, (revision,)).rowcount:
                return False
            for row in change.put:
                connection.execute(_PUT[type(row)], _values(row))
            for row in change.drop:
                _drop(connection, row)
            put_logs(connection, change.logs)
            return True

        return self._store.change(write)

    def used(self, times: Mapping[str, float]) -> asyncio.Future[None]:
        """Note when keys were used last."""

        def used(connection: sqlite3.Connection) -> None:
            connection.executemany(sql.USE_KEY, [(at, key) for key, at in times.items()])

        return self._store.change(used)

    async def audit(self, query: AuditQuery) -> Sequence[Logged] | None:
        """Lines of the audit log."""
        return await self._store.look(lambda connection: _audit(connection, query))


def put_logs(connection: sqlite3.Connection, logs: Sequence[Logged]) -> None:
    """Write lines of the audit log, in the transaction of what they tell of."""
    connection.executemany(sql.PUT_LOGGED, [msgspec.structs.astuple(log) for log in logs])


def _load(connection: sqlite3.Connection) -> Directory:
    connection.execute("BEGIN")  # so that all tables are read as they are at one moment
    try:
        (revision,) = connection.execute(sql.REVISION).fetchone()
        closed = connection.execute(sql.ANY_KEY).fetchone() is not None
        rows = [_row(kind, found) for kind, statement in _ALL.items() for found in connection.execute(statement)]
    finally:
        connection.execute("COMMIT")
    return Directory(rows, revision=revision, closed=closed)


def _row(kind: type[Row], found: Sequence[Any]) -> Row:
    fields = zip(kind.__struct_fields__, found, strict=True)
    return kind(**{name: _read(value, name) for name, value in fields})


def _read(value: Any, name: str) -> Any:
    if name in _READ:
        return _READ[name](value)
    return msgspec.json.decode(value, type=_JSON[name]) if name in _JSON and value is not None else value


def _values(row: Row) -> tuple[Any, ...]:
    fields = zip(row.__struct_fields__, msgspec.structs.astuple(row), strict=True)
    return tuple(_written(value, name) for name, value in fields)


def _written(value: Any, name: str) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    return msgspec.json.encode(value).decode() if name in _JSON and value is not None else value


def _drop(connection: sqlite3.Connection, row: Dropped) -> None:
    match row:
        case User():
            connection.execute(sql.DROP_USER, (row.id,))
        case Member():
            connection.execute(sql.DROP_MEMBER, (row.project, row.user))
        case ServiceAccount():
            connection.execute(sql.DROP_SERVICE_ACCOUNT, (row.id,))
        case RateLimit():
            connection.execute(till_sql.DROP_RATE_LIMIT, (row.project, row.model))
        case Budget():
            connection.execute(till_sql.DROP_BUDGET, (row.id,))
        case SpendAlert():
            connection.execute(till_sql.DROP_SPEND_ALERT, (row.id,))


def _audit(connection: sqlite3.Connection, query: AuditQuery) -> list[Logged] | None:
    after, before = (_number(connection, query.organization, cursor) for cursor in (query.after, query.before))
    if after == 0 or before == 0:
        return None
    low, high = (after, before) if query.oldest_first else (before, after)
    backwards = query.before is not None and query.after is None
    values = {
        "organization": query.organization,
        "low": low or 0,
        "high": high or _LARGEST,
        "since": query.since,
        "until": query.until,
        "direction": 1 if query.oldest_first != backwards else -1,
        "limit": query.limit,
    }
    for name in ("types", "actors", "emails", "projects", "resources"):
        wanted = getattr(query, name)
        values[name] = msgspec.json.encode(wanted).decode() if wanted else None
    return [
        Logged(**dict(zip(Logged.__struct_fields__, row, strict=True)))
        for row in connection.execute(sql.LOGGED, values)
    ]


def _number(connection: sqlite3.Connection, organization: str, log_id: str | None) -> int | None:
    """The place of a line; None if none is meant, 0 if there is none."""
    if log_id is None:
        return None
    row = connection.execute(sql.LOGGED_NUMBER, (organization, log_id)).fetchone()
    return 0 if row is None else int(row[0])
