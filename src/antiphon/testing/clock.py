"""Virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """A call that is to come when the clock is moved so far. Implements `ports.Timer`."""

    def __init__(self, at: float, callback: Callable[[], object]) -> None:
        self.at = at
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        """Let it not come."""
        self.is_cancelled = True


class FakeClock:
    """A `ports.Clock` that moves when it is told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._elapsed = 0.0
        self._alarms: list[Alarm] = []

    def now(self) -> float:
        """Unix time in seconds."""
        return self._now + self._elapsed

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has gone so far."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        alarm = self.call_later(seconds, lambda: None if waiter.done() else waiter.set_result(None))
        try:
            await waiter
        finally:
            alarm.cancel()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Alarm:
        """Call back when `advance` has gone so far."""
        alarm = Alarm(self._elapsed + seconds, callback)
        self._alarms.append(alarm)
        return alarm

    @property
    def waiting(self) -> list[float]:
        """In how many seconds each call is due, the next one first."""
        return sorted(alarm.at - self._elapsed for alarm in self._alarms if not alarm.is_cancelled)

    async def advance(self, seconds: float) -> None:
        """Let time pass at once, and what waited for it run."""
        self._elapsed += seconds
        due = sorted((alarm for alarm in self._alarms if alarm.at <= self._elapsed), key=lambda alarm: alarm.at)
        self._alarms = [alarm for alarm in self._alarms if alarm.at > self._elapsed and not alarm.is_cancelled]
        for alarm in due:
            if not alarm.is_cancelled:
                alarm.callback()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def run(self, seconds: float) -> None:
        """Let time pass from one due call to the next, so that what begins on the way is called in its time too."""
        end = self._elapsed + seconds
        while (waiting := self.waiting) and self._elapsed + waiting[0] <= end:
            await self.advance(max(0.0, waiting[0]))
            for _ in range(10):
                await asyncio.sleep(0)
        await self.advance(end - self._elapsed)
