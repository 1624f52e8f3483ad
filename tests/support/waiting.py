"""Waiting for what has no event of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds: float = 2.0) -> None:
    """Return as soon as the condition holds. A test that waits in vain fails by TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - what is waited for is the other side's state
            await asyncio.sleep(0.001)
