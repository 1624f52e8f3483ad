"""Bad days of upstreams, as their clients see them: some thousand requests each, on virtual time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from random import Random

import pytest

from antiphon.engine.attempts import Attempts
from antiphon.engine.lines import Line
from antiphon.policy.breaker import Breaker, BreakerSettings, Key
from antiphon.policy.retry import RetryBudget, RetrySettings, Traffic
from antiphon.testing import FakeClock, ScriptedModel
from antiphon.turn.deltas import Finished, Text
from antiphon.turn.input import Turn
from antiphon.wire.errors import APIError, Unavailable
from antiphon.wire.request import CreateResponse

pytestmark = pytest.mark.anyio

WINDOW = BreakerSettings().window


class Upstream(ScriptedModel):
    """Takes so many seconds to its first word; fails while `is_down`."""

    def __init__(self, clock, *, seconds=0.05, is_down=lambda now: False):
        super().__init__()
        self._clock, self._seconds, self._is_down = clock, seconds, is_down
        self.asked = []

    async def stream(self, turn):
        self.asked.append(self._clock.monotonic())
        await self._clock.sleep(self._seconds)
        if self._is_down(self._clock.monotonic()):
            raise Unavailable("Down.")
        yield [Text("Well.")]
        yield [Finished()]


def route(clock, upstreams, *, order="first", seed=1):
    chance = Random(seed)
    settings, traffic = RetrySettings(), Traffic()
    lines = [
        Line(
            model,
            Breaker(Key(f"up{at}", "m"), BreakerSettings(), random=chance.random),
            RetryBudget(settings, traffic),
        )
        for at, model in enumerate(upstreams)
    ]
    return Attempts(lines, clock, settings, order=order, random=chance.random)


async def load(clock, model, *, seconds, rate):
    """Requests at a steady rate; for each when it came, and whether it was answered."""
    outcomes = []

    async def request(at):
        try:
            async with aclosing(model.stream(Turn(request=CreateResponse(input="Hi"), items=[]))) as batches:
                heard = [delta async for batch in batches for delta in batch]
        except APIError as error:
            outcomes.append((at, error))
        else:
            assert [type(delta) for delta in heard] == [Text, Finished]
            outcomes.append((at, None))

    tasks = []
    for _ in range(int(seconds * rate)):
        tasks.append(asyncio.create_task(request(clock.monotonic())))
        await clock.run(1 / rate)
    await clock.run(30)
    await asyncio.gather(*tasks)
    return outcomes


def failed(outcomes, since=0.0, until=float("inf")):
    """The share of the requests of a time that were not answered."""
    asked = [error for at, error in outcomes if since <= at < until]
    return sum(error is not None for error in asked) / len(asked)


@pytest.mark.parametrize("order", ["first", "weighted"])
async def test_one_upstream_that_always_fails_and_a_slow_one_are_not_seen_by_clients(order):
    clock = FakeClock()
    upstreams = [Upstream(clock, is_down=lambda _: True), Upstream(clock, seconds=2.0), Upstream(clock)]
    outcomes = await load(clock, route(clock, upstreams, order=order), seconds=120, rate=20)
    assert failed(outcomes, since=WINDOW) < 0.001
    assert len([at for at in upstreams[0].asked if at > WINDOW]) < 60  # probes


async def test_rule_12_in_a_total_outage_the_upstream_is_not_asked_much_more_often_than_there_are_requests():
    clock = FakeClock()
    upstreams = [Upstream(clock, is_down=lambda _: True) for _ in range(3)]
    model = route(clock, upstreams)
    for line in model.lines:
        line.breaker.disable(0)  # the budget alone
    outcomes = await load(clock, model, seconds=120, rate=20)
    assert failed(outcomes) == 1
    asked = sorted(at for upstream in upstreams for at in upstream.asked)
    for since in range(30, 60):
        attempts = sum(since <= at < since + 60 for at in asked)
        requests = sum(since <= at < since + 60 for at, _ in outcomes)
        assert attempts <= 1.2 * requests


async def test_in_a_total_outage_clients_are_told_so_at_once_and_when_to_come_back():
    clock = FakeClock()
    model = route(clock, [Upstream(clock, is_down=lambda _: True) for _ in range(3)])
    outcomes = await load(clock, model, seconds=60, rate=20)
    late = [error for at, error in outcomes if at > WINDOW]
    told = [error for error in late if error.code == "upstream_down"]
    assert len(told) > 0.9 * len(late)
    assert all(error.status == 503 and 0 < error.retry_after <= 120 for error in told)


async def test_a_brown_out_of_a_minute_is_recovered_from_within_two_windows():
    clock = FakeClock()
    upstream = Upstream(clock, is_down=lambda now: 60 <= now < 120)
    outcomes = await load(clock, route(clock, [upstream]), seconds=300, rate=20)
    assert failed(outcomes, until=59.9) == 0
    assert failed(outcomes, since=75, until=120) > 0.95
    assert failed(outcomes, since=120 + 2 * WINDOW) < 0.005
    assert failed(outcomes, since=120 + 2 * WINDOW + 10) == 0
