"""What a piece of work cost is what all its attempts cost; an unknown price is no price."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from functools import reduce

import pytest

from antiphon.engine.attempts import Attempts
from antiphon.engine.costs import Costs
from antiphon.engine.upstreams import Upstreams
from antiphon.policy.prices import Prices
from antiphon.ports import Choice
from antiphon.testing import FakeClock, Only, ScriptedModel
from antiphon.turn.deltas import Arguments, ItemDone, ItemStarted, Text
from antiphon.turn.report import Report
from antiphon.turn.trace import Attempt
from antiphon.turn.usage import added
from antiphon.wire.items import FunctionCall
from antiphon.wire.response import Usage
from tests.engine.stage import create, read, stage
from tests.engine.test_report import told, watched
from tests.engine.test_take_over import LOOK, interrupted
from tests.support.moderated import PHRASE, Behind, house

FILE = """
[[price]]
model = "dear"
input = 10
output = 100

[[price]]
model = "cheap"
input = 1
output = 2
"""
ADDRESS = "http://127.0.0.1:1/v1"
USED = Usage(input_tokens=1_000, output_tokens=100, total_tokens=1_100)


def costs(tmp_path):
    (tmp_path / "prices.toml").write_text(FILE)
    return Costs(Prices.load(tmp_path / "prices.toml"))


def report(*attempts, model="dear", usage=USED):
    return Report(
        id="resp_1", model=model, at=1_800_000_000, took=1.0, outcome="completed", attempts=attempts, usage=usage
    )


def attempt(model, usage=USED, **more):
    return Attempt(upstream=ADDRESS, model=model, began=0.0, usage=usage, **more)


def test_every_attempt_that_used_tokens_counts(tmp_path):
    failed, answered = attempt("dear", outcome="failed"), attempt("cheap", outcome="completed")
    assert costs(tmp_path)(report(failed, answered)) == Decimal("0.02") + Decimal("0.0012")


def test_an_attempt_that_used_none_costs_nothing(tmp_path):
    assert costs(tmp_path)(report(attempt("dear", None), attempt("cheap"))) == Decimal("0.0012")


def test_the_model_of_the_next_attempt_need_not_be_the_one_that_was_asked_for(tmp_path):
    assert costs(tmp_path)(report(attempt("cheap"), model="a-route")) == Decimal("0.0012")


def test_without_a_known_price_there_is_no_cost_and_one_warning(tmp_path, caplog):
    known = costs(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert known(report(attempt("cheap"), attempt("strange"))) is None
        assert known(report(attempt("strange"))) is None
    assert caplog.text.count("the price of 'strange' is not known") == 1


def test_the_built_in_model_costs_nothing(tmp_path):
    assert costs(tmp_path)(report(model="rehearsal")) == 0


# After the death of a process


class At(Only):
    """A catalog of one model at an address, under every name."""

    def __init__(self, model, upstream):
        super().__init__(model)
        self.model, self.upstream = model, upstream

    def choose(self, name):
        return Choice(name, self.model, upstream=self.upstream)


@pytest.mark.anyio
@pytest.mark.parametrize("ends", ["runs again", "is over"])
async def test_what_the_dead_process_had_asked_for_is_paid_for_too(tmp_path, ends):
    call = ItemStarted(0, FunctionCall(call_id="c", name="look", arguments="", status="in_progress"))
    batch = [Text("Well. " * 50)] if ends == "runs again" else [call, Arguments(0, "{}"), ItemDone(0)]
    before = await interrupted(tmp_path, batch, tools=[LOOK])
    clock = FakeClock()
    upstreams = Upstreams(clock)
    line = upstreams.line(ScriptedModel(name="dear"), ADDRESS)
    model = Attempts([line], clock, upstreams.retry, random=lambda: 0.5)
    async with stage(before.folder, At(model, ADDRESS), clock=clock) as engine:
        watching = watched(engine, cost=costs(tmp_path))
        await read(engine, before.id)
        await told(watching)
    report = watching.report
    cut = report.attempts[0]
    assert (cut.upstream, cut.model, cut.outcome, cut.is_estimated) == (ADDRESS, "dear", "cancelled", True)
    assert len(report.attempts) == (2 if ends == "runs again" else 1)
    used = reduce(added, [one.usage for one in report.attempts])
    assert used == report.usage
    assert report.cost == Decimal(used.input_tokens * 10 + used.output_tokens * 100) / 1_000_000
    assert report.is_estimated


@pytest.mark.anyio
async def test_what_is_asked_without_attempts_has_none_after_the_death_of_a_process_either(tmp_path):
    before = await interrupted(tmp_path, [Text("Well. " * 50)])
    async with stage(before.folder, At(ScriptedModel(name="dear"), "")) as engine:
        watching = watched(engine, cost=costs(tmp_path))
        await read(engine, before.id)
        await told(watching)
    report = watching.report
    assert report.attempts == ()
    assert report.cost == Decimal(report.usage.input_tokens * 10 + report.usage.output_tokens * 100) / 1_000_000


# From end to end


def behind(model, clock, moderation):
    """A catalog of one model behind one line and the gate."""
    upstreams = Upstreams(clock)
    line = upstreams.line(model, ADDRESS)
    return Behind(Attempts([line], clock, upstreams.retry, random=lambda: 0.5), moderation)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["dear", "strange"])
async def test_rule_20_what_the_gate_cut_is_paid_for_or_its_price_is_not_known_but_it_is_never_free(tmp_path, name):
    words = [[Text("Well. " * 500)], [Text(f"This is a {PHRASE}.")], asyncio.Event()]
    clock, moderation = FakeClock(), house(output="block")
    catalog = behind(ScriptedModel(words, name=name), clock, moderation)
    async with stage(tmp_path / "data", catalog, clock=clock, moderation=moderation) as engine:
        watching = watched(engine, cost=costs(tmp_path))
        response = await (await create(engine)).result()
        await told(watching)
    report, (attempt,) = watching.report, watching.report.attempts
    assert (response.status, attempt.outcome, attempt.is_estimated, report.is_estimated) == (
        "incomplete",
        "cancelled",
        True,
        True,
    )
    assert attempt.usage.output_tokens > 1000
    expected = Decimal(attempt.usage.input_tokens * 10 + attempt.usage.output_tokens * 100) / 1_000_000
    assert report.cost == (expected if name == "dear" else None)
