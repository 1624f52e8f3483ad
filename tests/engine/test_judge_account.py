"""What a model costs that judges stands with the request that it judged for."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest

from antiphon.engine.attempts import Attempts
from antiphon.engine.cached import Answers, Cached, CacheOptions
from antiphon.engine.classify import Moderations
from antiphon.engine.costs import Costs
from antiphon.engine.moderation import Moderation, ModerationPolicy
from antiphon.engine.upstreams import Upstreams
from antiphon.models.moderators import Judge
from antiphon.policy.prices import Prices
from antiphon.ports import Choice
from antiphon.testing import FakeClock, MemoryCache, ScriptedModel
from antiphon.turn.deltas import Finished, Text, Usage
from antiphon.turn.trace import Trace
from antiphon.wire.errors import InvalidRequest, Unavailable
from antiphon.wire.moderations import CreateModeration
from antiphon.wire.response import Usage as Figures
from antiphon.wire.struct import encode
from tests.engine.stage import create, stage
from tests.engine.test_report import told, watched
from tests.support.moderated import Behind
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

FILE = """
[[price]]
model = "answers"
input = 10
output = 100

[[price]]
model = "judges"
input = 1
output = 2
"""
USED = Figures(input_tokens=1_000, output_tokens=100, total_tokens=1_100)
ANSWER, VERDICT = Decimal("0.02"), Decimal("0.0012")


def says(text, name):
    return ScriptedModel([[], [Text(text)], [Usage(USED), Finished()]], name=name)


class House:
    """A model, another one that judges, and what is known of both."""

    def __init__(self, judge="{}", *, answer=None, **policy):
        self.clock = FakeClock()
        self.upstreams = Upstreams(self.clock)
        self.judging = judge if isinstance(judge, ScriptedModel) else says(judge, "judges")
        judge_model = self._line(self.judging, "http://127.0.0.1:2/v1")
        moderators = {"judge": Judge(lambda: judge_model, "judge")}
        self.moderation = Moderation(moderators, ModerationPolicy(**policy))
        self.answering = answer or says("Fine words.", "answers")
        self.model = self._line(self.answering, "http://127.0.0.1:1/v1")

    def _line(self, model, address):
        lines = [self.upstreams.line(model, address)]
        return Attempts(lines, self.clock, self.upstreams.retry, random=lambda: 0.5)

    def stage(self, tmp_path):
        catalog = Behind(self.model, self.moderation)
        return stage(tmp_path / "data", catalog, clock=self.clock, moderation=self.moderation)


def costs(tmp_path):
    (tmp_path / "prices.toml").write_text(FILE)
    return Costs(Prices.load(tmp_path / "prices.toml"))


async def report_of(house, tmp_path, **body):
    async with house.stage(tmp_path) as engine:
        watching = watched(engine, cost=costs(tmp_path))
        run = await create(engine, **body)
        await asyncio.wait((run.task,))
        await told(watching)
    return run, watching.report


async def test_the_cost_of_a_judge_is_part_of_that_of_the_response(tmp_path):
    house = House(input="block", output="block")
    run, report = await report_of(house, tmp_path)
    assert [(one.model, one.judges) for one in report.attempts] == [
        ("judges", True),
        ("answers", False),
        ("judges", True),
    ]
    assert report.cost == ANSWER + 2 * VERDICT
    assert report.usage == USED
    assert (await run.result()).usage == USED


async def test_the_answer_is_not_said_to_be_from_the_judge(tmp_path):
    _, report = await report_of(House(input="block", output="score"), tmp_path)
    assert [one.judges for one in report.attempts] == [True, False, True]
    assert (report.upstream, report.upstream_model) == ("http://127.0.0.1:1/v1", "answers")
    assert (report.retries, report.fallbacks) == (0, 0)


async def test_a_refused_input_costs_what_its_judge_has_cost(tmp_path):
    run, report = await report_of(House('{"hate": 0.9}', input="block"), tmp_path)
    with pytest.raises(InvalidRequest):
        await run.result()
    assert (report.outcome, report.refused, report.cost) == ("failed", True, VERDICT)
    assert (report.upstream, report.upstream_model) == ("", "answers")


@pytest.mark.parametrize(("name", "cost"), [("rehearsal", VERDICT), ("answers", ANSWER + VERDICT)])
async def test_a_model_that_notes_no_attempts_costs_what_it_costs_beside_its_judge(tmp_path, name, cost):
    house = House(output="block")
    house.model = says("Fine words.", name)
    _, report = await report_of(house, tmp_path)
    assert report.cost == cost


async def test_an_answer_of_the_cache_is_free_and_the_judge_of_its_input_is_not(tmp_path):
    house = House(input="block")
    answers = Answers(MemoryCache(max_bytes=2**20, now=house.clock.now), house.clock, CacheOptions())
    house.model = Cached(house.model, answers, b"x")
    async with house.stage(tmp_path) as engine:
        await (await create(engine)).result()
        await until(lambda: not engine.runs)
        watching = watched(engine, cost=costs(tmp_path))
        await (await create(engine)).result()
        await told(watching)
    assert (watching.report.cache, watching.report.cost) == ("hit", VERDICT)
    assert watching.report.upstream_model == "answers"


async def test_an_answer_of_the_cache_has_its_scores_and_is_not_scored_again(tmp_path):
    house = House('{"hate": 0.9}', input="score", output="score")
    answers = Answers(MemoryCache(max_bytes=2**20, now=house.clock.now), house.clock, CacheOptions())
    catalog = Behind(house.model, house.moderation)
    cached = Cached(catalog.choose("m").model, answers, b"x")
    catalog.choose = lambda name: Choice(name, cached)
    async with stage(tmp_path / "data", catalog, clock=house.clock, moderation=house.moderation) as engine:
        first = await (await create(engine)).result()
        await until(lambda: not engine.runs)
        assert len(house.judging.turns) == 2
        run = await create(engine)
        again = await run.result()
    assert (run.turn.trace.cache, len(house.judging.turns)) == ("hit", 2)
    assert encode(again.moderation) == encode(first.moderation)
    assert first.moderation.input.flagged


async def test_what_happens_to_a_judge_is_not_said_of_the_response(tmp_path):
    def script(turn):
        turn.trace.cache, turn.trace.queued = "hit", 5.0
        turn.trace.notes.append("left out")
        return [[Text("{}")], [Usage(USED), Finished()]]

    run, report = await report_of(House(ScriptedModel(script, name="judges"), input="block"), tmp_path)
    assert (report.cache, report.queued, run.turn.trace.notes) == ("", 0.0, [])


async def test_a_judge_asks_for_the_project_and_within_the_deadline_of_the_request(tmp_path):
    house = House(input="block")
    async with house.stage(tmp_path) as engine:
        choose = engine.catalog.choose

        def bounded(name):
            choice = choose(name)
            choice.total = 10
            return choice

        engine.catalog.choose = bounded
        run = await create(engine)
        await run.result()
    (asked,) = house.judging.turns
    assert (asked.project, asked.deadline, asked.judges) == (run.turn.project, 10, True)
    assert asked.trace.request_id == run.turn.trace.request_id


async def test_a_judge_of_no_request_is_asked_all_the_same():
    house = House()
    assert not (await house.moderation.moderators["judge"].judge([])).is_flagged


# POST /moderations


async def test_what_is_classified_is_reported_with_the_cost_of_its_judge(tmp_path):
    house = House('{"hate": 0.9}')
    async with house.stage(tmp_path) as engine:
        watching = watched(engine, cost=costs(tmp_path))
        moderations = Moderations(house.moderation, engine.catalog.choose, house.clock, engine.observers, engine.till)
        trace = Trace(request_id="req_1", traceparent="00-1-2-01")
        request = CreateModeration(input=["one", "two"])
        answer = await moderations.create("default", request, trace)
    began, report = watching.calls
    assert (began.operation, began.id, began.trace) == ("moderation", answer.id, trace)
    assert (report.operation, report.id, report.request_id) == ("moderation", answer.id, "req_1")
    assert (report.outcome, report.model, report.cost) == ("completed", "judge", 2 * VERDICT)
    assert [one.judges for one in report.attempts] == [True, True]
    assert house.judging.turns[0].trace.traceparent == trace.traceparent


async def test_a_judge_that_fails_is_reported_with_what_it_cost(tmp_path):
    judge = ScriptedModel([[Text("{")], Unavailable("Cut.", code="upstream_cut")], name="judges")
    house = House(judge)
    async with house.stage(tmp_path) as engine:
        watching = watched(engine, cost=costs(tmp_path))
        moderations = Moderations(house.moderation, engine.catalog.choose, house.clock, engine.observers, engine.till)
        with pytest.raises(Unavailable):
            await moderations.create("default", CreateModeration(input="x"), Trace())
    report = watching.report
    assert (report.outcome, report.error) == ("failed", "upstream_cut")
    assert report.cost > 0
