"""Every clock keeps the contract of `antiphon.ports.Clock`."""

import asyncio

import pytest

from antiphon.engine.clock import SystemClock
from antiphon.testing import FakeClock
from antiphon.testing.contracts import ClockContract

pytestmark = pytest.mark.anyio


class TestSystemClock(ClockContract):
    @pytest.fixture
    def clock(self):
        return SystemClock()

    @pytest.fixture
    def pass_time(self):
        return asyncio.sleep


class TestFakeClock(ClockContract):
    @pytest.fixture
    def clock(self):
        return FakeClock()

    @pytest.fixture
    def pass_time(self, clock):
        return clock.advance

    async def test_it_stands_still_when_nobody_moves_it(self, clock):
        before = clock.now(), clock.monotonic()
        await asyncio.sleep(0.001)
        assert (clock.now(), clock.monotonic()) == before
