"""Accounts, and alerts, in memory: for as long as the process lives."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TypeVar

from msgspec import structs

from antiphon.policy.alert import Alert
from antiphon.policy.directory import EMPTY, Change, Directory, Key, Logged, Row
from antiphon.ports import AuditQuery, Fired

__all__ = ["UnkeptAccounts", "UnkeptAlerts"]

T = TypeVar("T")


class UnkeptAccounts:
    """`antiphon.ports.AccountStore` of one process."""

    def __init__(self) -> None:
        self._directory = EMPTY
        self._logs: list[Logged] = []

    async def load(self) -> Directory:
        """All of it."""
        return self._directory

    async def revision(self) -> int:
        """How often it was changed."""
        return self._directory.revision

    def write(self, change: Change, revision: int) -> asyncio.Future[bool]:
        """Carry out a change that was decided on at a revision."""
        if revision != self._directory.revision:
            return _done(False)
        self._directory = self._directory.after(change)
        self._logs += change.logs
        return _done(True)

    def used(self, times: Mapping[str, float]) -> asyncio.Future[None]:
        """Note when keys were used last."""
        old = self._directory
        rows = [_used(row, times) for row in old.rows()]
        self._directory = Directory(rows, revision=old.revision, closed=old.closed)
        return _done(None)

    async def audit(self, query: AuditQuery) -> Sequence[Logged] | None:
        """Lines of the audit log."""
        lines = [line for line in self._logs if line.organization == query.organization]
        places = {line.id: place for place, line in enumerate(lines)}
        if any(cursor is not None and cursor not in places for cursor in (query.after, query.before)):
            return None
        after = places.get(query.after or "")
        before = places.get(query.before or "")
        low, high = (after, before) if query.oldest_first else (before, after)
        found = lines[0 if low is None else low + 1 : len(lines) if high is None else high]
        backwards = query.before is not None and query.after is None
        if query.oldest_first == backwards:
            found.reverse()
        return [line for line in found if _fits(line, query)][: query.limit]


class UnkeptAlerts:
    """`antiphon.ports.AlertStore` of one process."""

    def __init__(self) -> None:
        self._fired: dict[str, Fired] = {}

    def fire(self, alert: Alert, pending: Sequence[str]) -> asyncio.Future[bool]:
        """Note an alert, unless it is there already."""
        is_new = alert.id not in self._fired
        if is_new:
            self._fired[alert.id] = Fired(alert, tuple(pending))
        return _done(is_new)

    def sent(self, alert_id: str, way: str) -> asyncio.Future[None]:
        """Note that it was sent on a way."""
        if (fired := self._fired.get(alert_id)) is not None:
            left = tuple(each for each in fired.pending if each != way)
            self._fired[alert_id] = structs.replace(fired, pending=left)
        return _done(None)

    async def fired(self, since: float) -> Sequence[Fired]:
        """The alerts since a time."""
        return sorted(
            (each for each in self._fired.values() if each.alert.at >= since),
            key=lambda one: (one.alert.at, one.alert.id),
        )


def _used(row: Row, times: Mapping[str, float]) -> Row:
    if not isinstance(row, Key) or row.id not in times:
        return row
    return structs.replace(row, used_at=max(times[row.id], row.used_at or 0.0))


def _fits(line: Logged, query: AuditQuery) -> bool:
    return (
        query.since <= line.at < query.until
        and (not query.types or line.type in query.types)
        and (not query.actors or line.actor in query.actors or line.key in query.actors)
        and (not query.emails or line.email in query.emails)
        and (not query.projects or line.project in query.projects)
        and (not query.resources or line.resource in query.resources)
    )


def _done(result: T) -> asyncio.Future[T]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future
