"""Alerts: told once for each threshold and window, on every way there is, however long that takes.

An alert is written down first, then sent. What was written down is not sent again, also after a restart; what was not
yet sent when the server stopped, the next start sends. No request waits for any of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from antiphon.policy.alert import Alert, text
from antiphon.ports import AlertSink, AlertStore, Clock, Fired
from antiphon.wire.errors import APIError

__all__ = ["PATIENCE", "WAITS", "Alerts"]

_log = logging.getLogger(__name__)

WAITS: Final = (1.0, 5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0)
"""Seconds before each further attempt to send an alert."""

REMEMBERED: Final = 32 * 86_400.0
"""Seconds for which alerts are asked for at the start: all windows that run began later than that."""

PATIENCE: Final = 5.0
"""Seconds that a stopping server gives those that are on their way."""


class Alerts:
    """Sends alerts."""

    def __init__(self, store: AlertStore, clock: Clock, sinks: Sequence[AlertSink] = ()) -> None:
        self._store = store
        self._clock = clock
        self._sinks = {sink.name: sink for sink in sinks}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pausing: set[asyncio.Task[Any] | None] = set()

    async def start(self) -> Sequence[Fired]:
        """Go on with what was not sent. Returns all alerts of the windows that run. Raises Unavailable."""
        fired = await self._store.fired(self._clock.now() - REMEMBERED)
        for one in fired:
            for way in one.pending:
                self._begin(self._deliver(one.alert, way))
        return fired

    async def aclose(self) -> None:
        """Wait a little for what is on its way; what has failed, and the rest, is for the next start."""
        if sending := self._sending:
            await asyncio.wait(sending, timeout=PATIENCE)
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    @property
    def is_idle(self) -> bool:
        """Whether nothing can be sent before some time has passed."""
        return not self._sending

    @property
    def _sending(self) -> set[asyncio.Task[None]]:
        return self._tasks - self._pausing

    async def _pause(self, seconds: float) -> None:
        task = asyncio.current_task()
        self._pausing.add(task)
        try:
            await self._clock.sleep(seconds)
        finally:
            self._pausing.discard(task)

    def tell(self, alert: Alert) -> None:
        """Tell everybody, unless that was done."""
        self._begin(self._tell(alert))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("an alert could not be sent", exc_info=error)

    async def _tell(self, alert: Alert) -> None:
        ways = [name for name, sink in self._sinks.items() if sink.takes(alert)]
        if await self._write(alert, ways):
            _log.warning("%s", text(alert))
            for way in ways:
                self._begin(self._deliver(alert, way))

    async def _write(self, alert: Alert, ways: Sequence[str]) -> bool:
        """Write it down. A store that cannot be written is tried again; at last the alert is only logged."""
        for wait in (*WAITS, None):
            try:
                return await self._store.fire(alert, ways)
            except APIError as error:
                _log.error("an alert could not be written down: %s %s", error.message, text(alert))
                if wait is not None:
                    await self._pause(wait)
        return False

    async def _deliver(self, alert: Alert, way: str) -> None:
        sink = self._sinks.get(way)
        for wait in (*WAITS, None):
            if sink is None:  # it was configured when the alert was written down
                break
            try:
                await sink.send(alert)
                break
            except APIError as error:
                _log.warning("the alert %s could not be sent by %s: %s", alert.id, way, error.message)
            if wait is None:
                _log.error("the alert %s is not sent by %s any more: %s", alert.id, way, text(alert))
            else:
                await self._pause(wait)
        try:
            await self._store.sent(alert.id, way)
        except APIError as error:
            _log.warning("that the alert %s was sent could not be written down: %s", alert.id, error.message)
