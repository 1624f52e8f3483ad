"""The lag of the event loop, on virtual time."""

from __future__ import annotations

import pytest

from antiphon.observe.lag import EVERY, Lag
from antiphon.testing import FakeClock

pytestmark = pytest.mark.anyio


async def test_a_loop_that_is_in_time_has_no_lag():
    clock = FakeClock()
    lag = Lag(clock)
    assert lag.take() == 0
    await clock.run(10 * EVERY)
    assert lag.take() == pytest.approx(0, abs=1e-9)


async def test_the_worst_delay_since_the_last_look_is_told_once():
    clock = FakeClock()
    lag = Lag(clock)
    lag.take()
    await clock.advance(EVERY + 3)
    await clock.advance(EVERY + 1)
    assert lag.take() == pytest.approx(3)
    await clock.run(EVERY)
    assert lag.take() == pytest.approx(0, abs=1e-9)


async def test_nothing_runs_before_somebody_asks_and_one_timer_after_that():
    clock = FakeClock()
    lag = Lag(clock)
    assert clock.waiting == []
    lag.take()
    lag.take()
    assert len(clock.waiting) == 1
