"""What every clock does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from antiphon.ports import Clock


class ClockContract:
    """Fixtures: `clock`, and `pass_time`, which lets a number of seconds pass on it."""

    async def test_both_times_go_on_together(self, clock: Clock, pass_time: Callable[[float], Awaitable[None]]) -> None:
        wall, monotonic = clock.now(), clock.monotonic()
        await pass_time(0.02)
        assert clock.monotonic() > monotonic
        assert clock.now() > wall

    async def test_who_sleeps_wakes_when_the_time_has_passed_and_not_before(
        self, clock: Clock, pass_time: Callable[[float], Awaitable[None]]
    ) -> None:
        sleeping = asyncio.create_task(clock.sleep(0.02))
        await asyncio.sleep(0)
        assert not sleeping.done()
        await pass_time(0.03)
        await sleeping

    @pytest.mark.parametrize("seconds", [0, -1])
    async def test_no_time_is_no_wait_but_others_run(self, clock: Clock, seconds: float) -> None:
        other = asyncio.create_task(asyncio.sleep(0))
        await clock.sleep(seconds)
        await other

    async def test_a_sleeper_can_be_cancelled(
        self, clock: Clock, pass_time: Callable[[float], Awaitable[None]]
    ) -> None:
        sleeping = asyncio.create_task(clock.sleep(0.01))
        await asyncio.sleep(0)
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping
        await pass_time(0.02)

    async def test_a_call_comes_in_its_time_unless_it_is_cancelled(
        self, clock: Clock, pass_time: Callable[[float], Awaitable[None]]
    ) -> None:
        called: list[str] = []
        clock.call_later(0.02, lambda: called.append("kept"))
        clock.call_later(0.02, lambda: called.append("cancelled")).cancel()
        await asyncio.sleep(0)
        assert called == []
        await pass_time(0.03)
        assert called == ["kept"]
