"""The clock of the world; tests have `antiphon.testing.FakeClock`."""

from __future__ import annotations

import asyncio
import time


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
