"""What a piece of work cost is what all its attempts cost; an unknown price is no price."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal

import pytest
from msgspec.structs import replace

from antiphon.engine.attempts import Attempts
from antiphon.engine.costs import Costs
from antiphon.engine.upstreams import Upstreams
from antiphon.policy.prices import Prices
from antiphon.testing import FakeClock, ScriptedModel
from antiphon.turn.deltas import Finished, ItemDone, ItemStarted, Settled, Text
from antiphon.turn.deltas import Usage as Used
from antiphon.turn.report import Report
from antiphon.turn.trace import Attempt
from antiphon.wire.items import WebSearchCall
from antiphon.wire.response import Usage
from tests.engine.stage import create, stage
from tests.engine.test_report import told, watched
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


# Service tiers and hosted tools

TIERED = """
[[price]]
model = "dear"
input = 0
output = 20

[price.tiers.priority]
factor = 2

[price.tools.web_search]
call = 0.01
"""


def tiered(tmp_path):
    (tmp_path / "prices.toml").write_text(TIERED)
    return Costs(Prices.load(tmp_path / "prices.toml"))


def test_an_attempt_costs_what_its_service_tier_does(tmp_path):
    cost = tiered(tmp_path)
    assert cost(report(attempt("dear"))) == Decimal("0.002")
    assert cost(report(attempt("dear", service_tier="priority"))) == Decimal("0.004")


def test_what_does_not_say_its_tier_is_billed_in_the_one_that_was_asked_for_and_judges_in_none(tmp_path):
    cost = tiered(tmp_path)
    for attempts, dollars in [((), "0.004"), ((attempt("dear", is_past=True),), "0.004")]:
        assert cost(replace(report(*attempts), service_tier="priority")) == Decimal(dollars)
    assert cost(replace(report(attempt("dear", judges=True)), service_tier="priority")) == Decimal("0.002")
    assert cost(replace(report(attempt("dear", service_tier="default")), service_tier="priority")) == Decimal("0.002")


def test_a_hosted_tool_is_charged_for_each_call_of_the_attempt_that_ran_it(tmp_path):
    ran, other = attempt("dear", tools={"web_search_calls": 1}), attempt("dear")
    assert tiered(tmp_path)(report(ran, other)) == Decimal("0.002") + Decimal("0.01") + Decimal("0.002")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("asked", "says", "dollars"),
    [
        (None, [], "0.002"),
        ("priority", [], "0.004"),
        ("priority", [Settled({"service_tier": "default"})], "0.002"),
        ("auto", [Settled({"service_tier": "priority"})], "0.004"),
        (None, [ItemStarted(0, WebSearchCall(id="ws_1", status="in_progress")), ItemDone(0)], "0.012"),
        (None, [Settled({"tool_usage": {"web_search": {"num_requests": 1}}})], "0.012"),
    ],
)
async def test_what_the_upstream_says_of_its_tier_and_its_tools_is_charged_once(tmp_path, asked, says, dollars):
    words = [[Text("Well."), *says, Used(USED), Finished()]]
    clock, moderation = FakeClock(), house()
    catalog = behind(ScriptedModel(words, name="dear"), clock, moderation)
    async with stage(tmp_path / "data", catalog, clock=clock, moderation=moderation) as engine:
        watching = watched(engine, cost=tiered(tmp_path))
        await (await create(engine, service_tier=asked)).result()
        await told(watching)
    assert watching.report.cost == Decimal(dollars)


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
