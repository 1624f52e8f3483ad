"""The clock of the world; tests have `antiphon.testing.FakeClock`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class SystemClock:
    """`antiphon.ports.Clock`."""

    def now(self) -> float:
        """Unix time in seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """Call back in so many seconds."""
        return asyncio.get_running_loop().call_later(seconds, callback)
