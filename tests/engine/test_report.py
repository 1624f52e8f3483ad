"""What observers are told of a response: once when it begins, once when it is over, and never for a delta."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from antiphon.engine.report import Observers
from antiphon.engine.run import Stop
from antiphon.testing import FakeClock, ScriptedModel, said
from antiphon.turn.deltas import Finished, Noted, Text, Usage
from antiphon.turn.report import Answered, Began, Report
from antiphon.turn.trace import Attempt, Trace
from antiphon.wire.errors import Unavailable, UpstreamTimeout
from antiphon.wire.request import CreateResponse
from antiphon.wire.response import Usage as Tokens
from tests.engine.stage import create, stage
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

TOKENS = Tokens(input_tokens=7, output_tokens=3, total_tokens=10)


class Watching:
    """An observer that keeps what it was told."""

    def __init__(self) -> None:
        self.calls: list[Began | Report | Answered] = []

    def began(self, work: Began) -> None:
        self.calls.append(work)

    def ended(self, report: Report) -> None:
        self.calls.append(report)

    def answered(self, request: Answered) -> None:
        self.calls.append(request)

    @property
    def report(self) -> Report:
        """The one report that there is."""
        (found,) = [call for call in self.calls if isinstance(call, Report)]
        return found


def watched(engine: Any, *others: Any, cost: Any = None) -> Watching:
    """Have an engine watched."""
    watching = Watching()
    engine.observers = Observers([*others, watching], cost)
    return watching


async def told(watching: Watching, count: int = 1) -> None:
    """Wait until so many reports have come."""
    await until(lambda: sum(isinstance(call, Report) for call in watching.calls) >= count)


async def test_a_response_is_told_when_it_begins_and_when_it_is_over(tmp_path):
    async with stage(tmp_path) as engine:
        watching = watched(engine)
        run = await create(engine, stream=True)
        await run.result()
        await told(watching)
    began, report = watching.calls
    assert isinstance(began, Began)
    assert began.id == report.id == run.turn.response_id
    assert (report.outcome, report.model, report.asked) == ("completed", "scripted", "scripted")
    assert (report.streamed, report.stored, report.background, report.refused) == (True, True, False, False)
    assert report.usage.input_tokens == 7
    assert report.error is report.error_class is report.cost is None


async def test_observers_are_told_twice_however_many_deltas_there_are(tmp_path):
    for deltas in (1, 500):
        async with stage(tmp_path / str(deltas), ScriptedModel(said("x" * deltas, size=1))) as engine:
            watching = watched(engine)
            await (await create(engine, stream=True)).result()
            await told(watching)
        assert len(watching.calls) == 2


async def test_times_are_those_of_the_first_output_and_of_the_end(tmp_path):
    clock, first, last = FakeClock(), asyncio.Event(), asyncio.Event()
    script = [[], first, [Noted({"model": "x"})], [Text("Hello")], last, [Usage(TOKENS), Finished()]]
    async with stage(tmp_path, ScriptedModel(script), clock=clock) as engine:
        watching = watched(engine)
        run = await create(engine)
        await run.opened
        await clock.advance(0.5)
        first.set()
        await until(lambda: run.turn.trace.first_output)
        await clock.advance(2.0)
        last.set()
        await run.result()
        await told(watching)
    assert watching.report.first_token == pytest.approx(0.5)
    assert watching.report.took == pytest.approx(2.5)
    assert watching.report.token_time == pytest.approx(1.0)
    assert watching.report.at == pytest.approx(1_800_000_000.0)


async def test_a_refusal_before_the_response_exists_is_told_with_its_code(tmp_path):
    async with stage(tmp_path, ScriptedModel([UpstreamTimeout("No answer.")])) as engine:
        watching = watched(engine)
        run = await create(engine)
        with pytest.raises(UpstreamTimeout):
            await run.result()
        await told(watching)
    report = watching.report
    assert (report.outcome, report.error, report.error_class) == ("failed", "upstream_timeout", "UpstreamTimeout")
    assert report.refused
    assert not report.stored


async def test_a_failure_after_the_first_words_is_a_failed_response(tmp_path):
    script = [[], [Text("Hel")], Unavailable("Cut.", code="upstream_cut")]
    async with stage(tmp_path, ScriptedModel(script)) as engine:
        watching = watched(engine)
        await (await create(engine)).result()
        await told(watching)
    report = watching.report
    assert (report.outcome, report.error, report.refused, report.stored) == ("failed", "upstream_cut", False, True)


async def test_an_incomplete_response_is_told_with_its_reason(tmp_path):
    script = [[Text("Hel")], [Usage(TOKENS), Finished("max_output_tokens")]]
    async with stage(tmp_path, ScriptedModel(script)) as engine:
        watching = watched(engine)
        await (await create(engine)).result()
        await told(watching)
    assert (watching.report.outcome, watching.report.reason) == ("incomplete", "max_output_tokens")


@pytest.mark.parametrize("exists", [True, False])
async def test_a_client_that_left_is_a_cancelled_response(tmp_path, exists):
    script = [[Text("Hel")], asyncio.Event()] if exists else [asyncio.Event()]
    async with stage(tmp_path, ScriptedModel(script)) as engine:
        watching = watched(engine)
        run = await create(engine)
        if exists:
            await run.opened
        engine.left(run)
        await told(watching)
    assert watching.report.outcome == "cancelled"
    assert watching.report.error is None


async def test_a_response_in_the_background_is_told_and_one_that_is_left_to_the_next_start_is_not(tmp_path):
    async with stage(tmp_path, ScriptedModel(lambda turn: said() if len(turn.items) == 1 else [asyncio.Event()])) as e:
        watching = watched(e)
        run = await create(e, background=True)
        await told(watching)
        assert watching.report.background
        left = await create(e, background=True, input=[{"role": "user", "content": "a"}] * 2)
        await asyncio.sleep(0)
        left.end(Stop("abandoned"))
        await asyncio.wait([left.task])
        assert watching.report.id == run.turn.response_id


async def test_what_happened_on_the_way_is_part_of_the_report(tmp_path):
    trace = Trace(request_id="req_1", cache="miss", tokens_saved=3, queued=0.5)
    trace.attempts = [
        Attempt("http://a/v1", "qwen3", 0.0, outcome="failed", code="upstream_cut"),
        Attempt("http://b/v1", "llama", 1.0, outcome="completed"),
        Attempt("http://c/v1", "llama", 1.5, outcome="cancelled", is_hedge=True),
    ]
    clock = FakeClock()
    await clock.advance(10.0)
    trace.attempts[0].began = 10.0
    async with stage(tmp_path, clock=clock) as engine:
        watching = watched(engine)
        request = CreateResponse(model="scripted", input="Hi.")
        await (await engine.create("default", request, trace)).result()
        await told(watching)
    report = watching.report
    assert (report.request_id, report.cache, report.tokens_saved, report.queued) == ("req_1", "miss", 3, 0.5)
    assert (report.upstream, report.upstream_model) == ("http://b/v1", "llama")
    assert (report.retries, report.fallbacks) == (0, 1)
    assert report.attempts[0].began == 0.0
    assert trace.attempts[0].began == 10.0


async def test_an_observer_that_raises_hurts_neither_the_response_nor_the_others(tmp_path, caplog):
    class Broken(Watching):
        def began(self, work: Began) -> None:
            raise RuntimeError("a defect of the observer")

        def ended(self, report: Report) -> None:
            raise RuntimeError("a defect of the observer")

    def cost(_: Report) -> Decimal:
        raise RuntimeError("a defect of the prices")

    async with stage(tmp_path) as engine:
        watching = watched(engine, Broken(), cost=cost)
        response = await (await create(engine)).result()
        await told(watching)
    assert response.status == "completed"
    assert watching.report.outcome == "completed"
    assert watching.report.cost is None
    assert sum(record.message == "an observer failed" for record in caplog.records) == 3


@pytest.mark.parametrize(("cache", "cost"), [("miss", Decimal("1.5")), ("hit", Decimal(0)), ("shared", Decimal(0))])
async def test_what_the_cache_answered_costs_nothing(tmp_path, cache, cost):
    async with stage(tmp_path) as engine:
        watching = watched(engine, cost=lambda _: Decimal("1.5"))
        await (
            await engine.create("default", CreateResponse(model="scripted", input="Hi."), Trace(cache=cache))
        ).result()
        await told(watching)
    assert watching.report.cost == cost


async def test_what_the_cache_saved_is_what_it_would_have_cost(tmp_path):
    unpaid = Tokens(input_tokens=3, output_tokens=4, total_tokens=7)
    async with stage(tmp_path) as engine:
        watching = watched(engine, cost=lambda report: Decimal(report.attempts[0].usage.total_tokens))
        trace = Trace(cache="hit", reused=[Attempt("http://a/v1", "qwen3", 0.0, outcome="completed", usage=unpaid)])
        await (await engine.create("default", CreateResponse(model="scripted", input="Hi."), trace)).result()
        await told(watching)
    assert (watching.report.cost, watching.report.saved, watching.report.unpaid) == (0, 7, unpaid)
    assert (watching.report.upstream, watching.report.upstream_model) == ("http://a/v1", "qwen3")
