"""What an attempt takes (a permit, a place in the budget, a ticket of the queue) is given back, however it ends."""

from __future__ import annotations

import asyncio
from copy import copy
from random import Random

import pytest

from antiphon.policy.admission import AdmissionSettings
from antiphon.policy.breaker import BreakerSettings
from antiphon.policy.hedge import HedgeSettings
from antiphon.policy.retry import RetrySettings
from antiphon.testing import ScriptedModel, said
from antiphon.turn.deltas import Finished, Text
from antiphon.wire.errors import APIError, InvalidRequest, RateLimited
from tests.engine.attempts_stage import (
    CUT,
    DOWN,
    TOUCHY,
    UNREACHABLE,
    Plays,
    Scene,
    a_turn,
    error_of,
    leave,
    settle,
    texts,
)

pytestmark = pytest.mark.anyio

ONCE = RetrySettings(attempts=1)
ONE_PLACE = AdmissionSettings(limit=1)
NO_WAITING = AdmissionSettings(limit=1, queue=0)


@pytest.mark.parametrize("before", [[], [[Text("Half")]]], ids=["before output", "after output"])
async def test_rule_6_a_probe_whose_client_leaves_frees_its_place(before):
    scene = Scene(Plays([UNREACHABLE], [*before, asyncio.Event()], said("Back.")), settings=ONCE, breaker=TOUCHY)
    await scene.ask()
    await scene.clock.advance(5)
    probe, _ = scene.begin()
    await settle()
    _, refused = await scene.ask()
    assert refused.code == "upstream_down"
    await leave(probe)
    scene.nothing_is_held()
    heard, _ = await scene.ask()
    assert texts(heard) == "Back."


async def test_a_place_at_an_upstream_that_was_taken_out_meanwhile_is_given_back():
    fails = asyncio.Event()
    scene = Scene(
        Plays([fails, UNREACHABLE], said("Back.")), settings=ONCE, breaker=TOUCHY, queue=AdmissionSettings(limit=1)
    )
    first, _ = scene.begin()
    others = [scene.begin()[0] for _ in range(3)]
    await settle()
    fails.set()
    await settle()
    assert all(task.done() for task in (first, *others))
    scene.nothing_is_held()
    assert (await error_of(first)).code == "upstream_unreachable"
    assert [(await error_of(other)).code for other in others] == ["upstream_down"] * 3
    assert len(scene.models[0].turns) == 1
    await scene.clock.advance(5)
    heard, _ = await scene.ask()
    assert texts(heard) == "Back."


async def test_a_retry_that_finds_the_queue_full_costs_nothing():
    scene = Scene(Plays([DOWN]), Plays(said("Never.")), queue=NO_WAITING)
    held = await scene.lines[1].queue.enter("other", None)
    _, error = await scene.ask()
    assert error is not None
    assert scene.models[1].turns == []
    assert [line.budget.tokens for line in scene.lines] == [scene.retry.bucket] * 2
    scene.lines[1].queue.leave(held)
    scene.nothing_is_held()


async def test_a_retry_that_finds_the_queue_full_is_paid_for_by_the_line_that_it_goes_to_then():
    gate = asyncio.Event()
    scene = Scene(Plays([DOWN]), Plays(said("Never.")), Plays([gate, DOWN]), queue=NO_WAITING)
    held = await scene.lines[1].queue.enter("other", None)
    asking, _ = scene.begin()
    await settle()
    bucket, cost = scene.retry.bucket, scene.retry.transient_cost
    assert [line.budget.tokens for line in scene.lines] == [bucket, bucket, bucket - cost]
    await leave(asking)
    scene.lines[1].queue.leave(held)
    scene.nothing_is_held()


async def test_who_leaves_while_a_retry_waits_for_a_place_gives_the_retry_back():
    scene = Scene(Plays([DOWN]), Plays(said("Never.")), queue=ONE_PLACE)
    held = await scene.lines[1].queue.enter("other", None)
    asking, _ = scene.begin()
    await settle()
    assert scene.lines[1].queue.admission.waiting == 1
    await leave(asking)
    assert scene.lines[1].budget.tokens == scene.retry.bucket
    scene.lines[1].queue.leave(held)
    scene.nothing_is_held()


async def test_who_leaves_while_a_retry_waits_for_its_time_gives_it_back():
    scene = Scene(Plays([RateLimited("Wait.", retry_after=2)]), queue=ONE_PLACE)
    asking, _ = scene.begin()
    await settle()
    assert scene.lines[0].budget.tokens < scene.retry.bucket
    await leave(asking)
    assert scene.lines[0].budget.tokens == scene.retry.bucket
    scene.nothing_is_held()


# All at once


SILENCE = 30.0
WELL = [[], [Text("Well.")], [Finished()]]
MOODS = [
    *[WELL] * 8,
    [[Text("Half")], CUT],
    [[Text("Half")]],
    [[], UNREACHABLE],
    [DOWN],
    [RateLimited("Wait.", retry_after=1)],
    [InvalidRequest("No.")],
    [[], None, *WELL],
]


class Moody(ScriptedModel):
    """Answers, fails or is silent, now and later, by chance; counts how many calls it has at a time."""

    def __init__(self, chance):
        super().__init__(name="m")
        self.clock = None  # its scene's
        self.most = 0
        self._chance = chance

    async def stream(self, turn):
        self.turns.append(turn)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            for step in self._chance.choice(MOODS):
                await self.clock.sleep(SILENCE if step is None else self._chance.choice([0, 0.3, 1]))
                if isinstance(step, APIError):
                    raise copy(step)
                yield step or []
        finally:
            self.open -= 1


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_happens_to_a_hundred_requests_nothing_is_held_and_no_upstream_has_more_than_its_places(seed):
    chance = Random(seed)
    scene = Scene(
        *(Moody(chance) for _ in range(3)),
        queue=AdmissionSettings(limit=3, queue=3),
        hedging=HedgeSettings(least=1, share=1.0, percentile=0.1),
        breaker=BreakerSettings(volume=6, open_for=1, ramp=4),
        random=chance.random,
    )
    tasks, turns = [], []
    for number in range(100):
        now = scene.clock.monotonic()
        turn = a_turn(project=chance.choice("abc"), deadline=chance.choice([None, now + 2, now + 20]))
        tasks.append(scene.begin(turn)[0])
        turns.append(turn)
        await scene.clock.run(chance.choice([0, 0.2, 1]))
        if number % 3 == 0:
            chance.choice(tasks).cancel()
    await scene.clock.run(100)
    for task in tasks:
        task.cancel()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    await settle()
    assert {type(end).__name__ for end in ends} >= {"NoneType", "CancelledError", "Unavailable"}
    attempts = [[each.is_hedge for each in turn.trace.attempts] for turn in turns]
    assert [True] not in attempts
    assert attempts.count([False]) > 10
    assert attempts.count([False, True]) > 5
    assert [False, False] in attempts
    assert max(model.most for model in scene.models) <= 3
    scene.nothing_is_held()
