"""What an attempt tells of itself: its first token to breaker and queue, its tokens and their price to observers."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from antiphon.engine.costs import Costs
from antiphon.engine.report import Observers
from antiphon.policy.admission import AdmissionSettings
from antiphon.policy.breaker import BreakerSettings
from antiphon.policy.prices import Prices
from antiphon.testing import Only, said
from antiphon.turn.deltas import Finished, Text, Usage
from antiphon.turn.report import Report
from antiphon.wire.response import Usage as Figures
from tests.engine.attempts_stage import CUT, Plays, Scene, Takes, leave, settle
from tests.engine.stage import create, stage
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

PRICES = """
[[price]]
model = "scripted"
input = 10
output = 100

[[price]]
model = "other"
input = 1
output = 2
"""
MILLION = 1_000_000


# First tokens


@pytest.mark.parametrize(("seconds", "state"), [(2, "open"), (0.5, "closed")])
async def test_rule_2_an_upstream_whose_first_tokens_are_slow_is_taken_out(seconds, state):
    scene = Scene(Takes(seconds), breaker=BreakerSettings(slow_after=1, volume=5, ramp=0))
    for _ in range(5):
        await scene.ask()
    assert scene.lines[0].breaker.state == state
    scene.nothing_is_held()


async def test_rule_2_it_is_the_first_token_that_counts_and_not_the_first_sign_of_life():
    slow = Plays([[], slowly := asyncio.Event(), [Text("Well.")], [Finished()]])
    scene = Scene(slow, breaker=BreakerSettings(slow_after=1, volume=1, ramp=0))
    asking, _ = scene.begin()
    await settle()
    await scene.clock.advance(2)
    assert scene.lines[0].breaker.state == "closed"
    slowly.set()
    await asking
    assert scene.lines[0].breaker.state == "open"


async def test_rule_16_an_adaptive_limit_falls_when_first_tokens_are_slower_than_they_used_to_be():
    scene = Scene(Takes(*[0.1] * 20, *[1.0] * 20, 1000), queue=AdmissionSettings(limit=8, adaptive=True))
    for _ in range(40):
        await scene.ask()
    asking = [scene.begin()[0] for _ in range(8)]
    await settle()
    assert scene.models[0].open == scene.lines[0].queue.admission.running == 4
    assert scene.lines[0].queue.admission.waiting == 4
    await leave(*asking)
    scene.nothing_is_held()


# Tokens and prices


class Watching:
    """An observer that keeps the reports."""

    def __init__(self):
        self.reports = []

    def began(self, work):
        """It is no report."""

    def ended(self, report: Report):
        self.reports.append(report)


async def reported(tmp_path, scene, *, until_heard=None, **body):
    """The report of a request, with its cost; `until_heard`: the client leaves when that holds."""
    (tmp_path / "prices.toml").write_text(PRICES)
    async with stage(tmp_path, Only(scene.model), clock=scene.clock) as engine:
        watching = Watching()
        engine.observers = Observers([watching], Costs(Prices.load(tmp_path / "prices.toml")))
        run = await create(engine, **body)
        if until_heard is not None:
            await until(lambda: until_heard(run))
            engine.left(run)
        await until(lambda: watching.reports)
    (report,) = watching.reports
    return report


async def test_what_an_attempt_used_is_told_and_paid_for(tmp_path):
    scene = Scene(Plays(said("Hello."), name="scripted"))
    report = await reported(tmp_path, scene)
    (attempt,) = report.attempts
    assert attempt.usage == report.usage == Figures(input_tokens=7, output_tokens=2, total_tokens=9)
    assert report.cost == Decimal(7 * 10 + 2 * 100) / MILLION


async def test_rule_20_an_answer_that_broke_off_is_paid_for_as_its_upstream_told(tmp_path):
    usage = Figures(input_tokens=7, output_tokens=2, total_tokens=9)
    scene = Scene(Plays([[Text("Half")], [Usage(usage)], CUT], name="scripted"))
    report = await reported(tmp_path, scene)
    assert (report.outcome, report.cost) == ("failed", Decimal(7 * 10 + 2 * 100) / MILLION)


async def test_rule_20_text_that_was_delivered_before_the_client_left_is_not_free(tmp_path):
    scene = Scene(Plays([[Text("Half a mess")], asyncio.Event()], name="scripted"))
    report = await reported(tmp_path, scene, until_heard=lambda run: run.machine.fold.open)
    (attempt,) = report.attempts
    assert (report.outcome, attempt.outcome) == ("cancelled", "cancelled")
    assert min(attempt.usage.input_tokens, attempt.usage.output_tokens) > 0
    assert report.cost == Decimal(attempt.usage.input_tokens * 10 + attempt.usage.output_tokens * 100) / MILLION


async def test_rule_15_a_call_that_lost_against_a_second_one_is_paid_for_too(tmp_path):
    scene = Scene(Plays([[], asyncio.Event()], name="scripted"), Plays(said("Quick."), name="other"), hedging=True)
    for line in scene.lines:
        line.hedging.observe(0.01, 0)
    passing = asyncio.create_task(let_time_pass(scene.clock))
    report = await reported(tmp_path, scene)
    await leave(passing)
    lost, won = report.attempts
    assert (lost.model, lost.outcome, won.model, won.outcome) == ("scripted", "cancelled", "other", "completed")
    assert report.cost == Decimal(lost.usage.input_tokens * 10 + 7 * 1 + 2 * 2) / MILLION
    assert lost.usage.input_tokens > 0


async def let_time_pass(clock):
    """Move a clock on whenever somebody waits for it."""
    while True:
        await asyncio.sleep(0.001)
        await clock.advance(0.01)
