"""Virtual time."""

from __future__ import annotations

import asyncio


class FakeClock:
    """A `ports.Clock` that moves when it is told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._elapsed = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

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
        self._sleepers.append((self._elapsed + seconds, waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Let time pass, and what waited for it run."""
        self._elapsed += seconds
        due = [waiter for at, waiter in self._sleepers if at <= self._elapsed and not waiter.done()]
        self._sleepers = [(at, waiter) for at, waiter in self._sleepers if at > self._elapsed]
        for waiter in due:
            waiter.set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
