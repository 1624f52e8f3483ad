"""An answer that was given is given again: the same words under new ids, and nobody pays for it."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from antiphon.engine.attempts import Attempts
from antiphon.engine.report import Observers
from antiphon.engine.upstreams import Upstreams
from antiphon.ports import ResponseCache
from antiphon.stores.cache import SQLiteCache
from antiphon.testing import FakeClock, MemoryCache, ScriptedModel, ScriptedTool, said
from antiphon.turn.deltas import Arguments, Delta, Finished, ItemDone, ItemStarted, Reasoning, Text, Usage
from antiphon.turn.report import Answered, Began, Report
from antiphon.wire import response
from antiphon.wire.errors import RateLimited, Unavailable
from antiphon.wire.items import FunctionCall, WebSearchCall
from tests.engine.cached_stage import Stage, cached_stage, settle
from tests.engine.stage import events_of, text_of
from tests.support import grammar
from tests.support.sdk_oracle import validate_event

pytestmark = pytest.mark.anyio

FIGURES = response.Usage(input_tokens=7, output_tokens=5, total_tokens=12)
FUNCTION = {"type": "function", "name": "feed", "parameters": {"type": "object"}}


def everything() -> list[Any]:
    """An answer with all that may be said again."""
    call = FunctionCall(id="fc_theirs", call_id="call_1", name="feed", arguments="")
    return [
        [],
        [Reasoning("Let me "), Reasoning("think.")],
        [Text("Hello "), Text("there.")],
        [ItemStarted(0, call), Arguments(0, '{"a":'), Arguments(0, "1}"), ItemDone(0)],
        [Usage(FIGURES), Finished()],
    ]


NAMES = ("id", "item_id", "call_id", "created_at", "completed_at", "previous_response_id")
"""What may differ between an answer and its repetition: ids and times. The call_id does not."""


def nameless(value: Any) -> Any:
    """An event without ids and times."""
    if isinstance(value, dict):
        return {name: nameless(inner) for name, inner in value.items() if name not in NAMES or name == "call_id"}
    return [nameless(inner) for inner in value] if isinstance(value, list) else value


def ids_of(events: list[dict[str, Any]]) -> set[str]:
    final = events[-1]["response"]
    return {final["id"], *(item["id"] for item in final["output"])}


async def trace_of(s: Stage, **asked: Any) -> Any:
    return (await s.answer(**asked)).turn.trace


# Hits


async def test_a_repeated_stream_has_the_same_events_but_for_ids_and_times(tmp_path):
    async with cached_stage(tmp_path, ScriptedModel(everything())) as s:
        first, original = await s.stream(tools=[FUNCTION])
        await s.clock.advance(10)
        second, repeated = await s.stream(tools=[FUNCTION])
        assert s.calls == 1
    told, again = events_of(original), events_of(repeated)
    grammar.check(again)
    assert not [problem for event in again for problem in validate_event(event)]
    assert [nameless(event) for event in again] == [nameless(event) for event in told]
    assert not ids_of(told) & ids_of(again)
    assert (first.turn.trace.cache, second.turn.trace.cache) == ("miss", "hit")


async def test_an_answer_is_given_again_whole_or_as_a_stream_whatever_the_first_one_asked(tmp_path):
    async with cached_stage(tmp_path) as s:
        whole = (await s.answer()).machine.fold.response()
        _, stream = await s.stream(store=False, metadata={"a": "b"})
        background = await s.answer(background=True)
        assert s.calls == 1
    final = events_of(stream)[-1]["response"]
    assert text_of(final) == "Hello there." == text_of(json.loads(response_json(whole)))
    assert final["metadata"] == {"a": "b"}
    assert whole.metadata == {}
    assert background.turn.trace.cache == "hit"


def response_json(of: response.Response) -> bytes:
    from antiphon.wire.struct import encode

    return encode(of)


async def test_a_hit_has_its_own_journal_and_can_be_read_again(tmp_path):
    async with cached_stage(tmp_path) as s:
        await s.answer()
        hit = await s.answer()
        stored = json.loads(await s.engine.retrieve("default", hit.turn.response_id))
        assert text_of(stored) == "Hello there."
        assert stored["usage"]["total_tokens"] == 10


async def test_what_follows_a_hit_follows_from_it(tmp_path):
    async with cached_stage(tmp_path) as s:
        first, hit = await s.answer(), await s.answer()
        for previous in (first, hit):
            await s.answer(previous_response_id=previous.turn.response_id, input="And then?")
        assert s.calls == 2
        assert len(s.model.turns[1].items) == 3


async def test_a_hit_costs_nothing_and_its_usage_is_as_the_upstream_told_it(tmp_path):
    async with cached_stage(tmp_path) as s:
        miss, hit = await trace_of(s), await trace_of(s)
        assert miss.reused == []
        assert [(one.upstream, one.model, one.usage.total_tokens) for one in hit.reused] == [("", "scripted", 10)]
        statistics = s.cached.answers.statistics
        assert (statistics.hits, statistics.misses, statistics.stored) == (1, 1, 1)
        assert statistics.saved.total_tokens == 10


class Counting(ScriptedTool):
    """A tool that counts how often it is run, and may say something else than its arguments."""

    def __init__(self, output: str | None = None) -> None:
        super().__init__()
        self.runs = 0
        self.output = output

    async def run(self, call: FunctionCall, tell: Any) -> str:
        self.runs += 1
        output = await super().run(call, tell)
        return output if self.output is None else self.output


async def test_a_call_of_a_function_that_the_server_runs_is_run_anew(tmp_path):
    call = FunctionCall(call_id="call_1", name="python", arguments="")
    calls: list[list[Delta]] = [[ItemStarted(0, call), Arguments(0, "1"), ItemDone(0)], [Usage(FIGURES), Finished()]]
    model = ScriptedModel(lambda turn: calls if turn.number == 0 else said("Done."))
    async with cached_stage(tmp_path, model) as s:
        tool = Counting()
        s.engine.tools = {"code_interpreter": tool}
        body = {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}
        first, second = await s.answer(**body), await s.answer(**body)
        assert s.calls == 2
        assert tool.runs == 2
        texts = [text_of(json.loads(response_json(run.machine.fold.response()))) for run in (first, second)]
        assert texts == ["Done.", "Done."]
        assert (first.turn.trace.cache, second.turn.trace.cache) == ("miss", "hit")
        assert [one.usage.total_tokens for one in second.turn.trace.reused] == [12, 8]
        assert second.machine.usage.total_tokens == 20


async def test_a_response_of_which_one_turn_was_called_for_is_a_miss_and_pays_for_that_turn(tmp_path):
    call = FunctionCall(call_id="call_1", name="python", arguments="")
    calls: list[list[Delta]] = [[ItemStarted(0, call), Arguments(0, "1"), ItemDone(0)], [Usage(FIGURES), Finished()]]
    model = ScriptedModel(lambda turn: calls if turn.number == 0 else said("Done."))
    async with cached_stage(tmp_path, model) as s:
        body = {"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}
        s.engine.tools = {"code_interpreter": ScriptedTool()}
        await s.answer(**body)
        s.engine.tools = {"code_interpreter": Counting("another output")}
        second = await s.answer(**body)
        assert s.calls == 3
        assert second.turn.trace.cache == "miss"
        assert [one.usage for one in second.turn.trace.reused] == [FIGURES]


class Watching:
    """An observer that keeps the reports."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def began(self, work: Began) -> None:
        pass

    def ended(self, report: Report) -> None:
        self.reports.append(report)

    def answered(self, request: Answered) -> None:
        pass


PRICES = {"first": 100, "second": 1}


def dollars(report: Report) -> Decimal:
    """A cost that tells who was paid."""
    used = [(one.model, one.usage.total_tokens) for one in report.attempts if one.usage is not None]
    return Decimal(sum(PRICES[model] * tokens for model, tokens in used))


def route(*models: ScriptedModel) -> Attempts:
    """One model after the other, each at an address of its own."""
    upstreams = Upstreams(FakeClock())
    lines = [upstreams.line(model, f"http://{model.name}/v1") for model in models]
    return Attempts(lines, upstreams.clock, upstreams.retry, order="first", random=upstreams.chance)


async def test_what_a_route_saves_is_the_price_of_the_line_that_answered(tmp_path):
    gate = asyncio.Event()
    down = ScriptedModel(lambda _: [Unavailable("Down.")], name="first")
    well = ScriptedModel(lambda _: [[], gate, *said("Hello.")], name="second")
    async with cached_stage(tmp_path, route(down, well)) as s:
        watching = Watching()
        s.engine.observers = Observers([watching], dollars)
        runs = [await s.create(model="first") for _ in range(2)]
        await settle()
        gate.set()
        for run in runs:
            await run.result()
        await s.answer(model="first")
        await settle()
        assert len(well.turns) == 1
    reports = watching.reports
    assert sorted(report.cache for report in reports) == ["hit", "miss", "shared"]
    assert {(report.upstream, report.upstream_model) for report in reports} == {("http://second/v1", "second")}
    assert {report.cache: (report.cost, report.saved) for report in reports} == {
        "miss": (9, None),
        "shared": (0, 9),
        "hit": (0, 9),
    }


# Misses


async def test_a_kept_answer_has_its_time(tmp_path):
    async with cached_stage(tmp_path, ttl=60) as s:
        await s.answer()
        await s.clock.advance(59)
        assert (await trace_of(s)).cache == "hit"
        await s.clock.advance(1)
        assert (await trace_of(s)).cache == "miss"
        assert s.calls == 2


@pytest.mark.parametrize(
    "script",
    [
        [[Text("Half")], [Finished("max_output_tokens")]],
        [[Text("Bad")], [Finished("content_filter")]],
        [[Text("Half")], RateLimited("Slow down.")],
        [[ItemStarted(0, WebSearchCall(status="in_progress")), ItemDone(0)], [Finished()]],
    ],
    ids=["cut", "filtered", "failed", "searched"],
)
async def test_an_answer_that_is_not_safe_to_repeat_is_asked_for_anew(tmp_path, script):
    async with cached_stage(tmp_path, ScriptedModel(script)) as s:
        for _ in range(2):
            assert (await trace_of(s)).cache == "miss"
        assert s.calls == 2
        assert s.cached.answers.statistics.stored == 0


async def test_an_answer_that_is_too_long_is_not_kept(tmp_path):
    async with cached_stage(tmp_path, ScriptedModel(said("x" * 500)), max_entry_bytes=400) as s:
        await s.answer()
        await s.answer()
        assert s.calls == 2


async def test_no_project_gets_the_answer_of_another(tmp_path):
    async with cached_stage(tmp_path) as s:
        await s.answer(project="ours")
        await s.answer(project="theirs")
        assert s.calls == 2


async def test_only_the_projects_that_are_named_have_a_cache(tmp_path):
    async with cached_stage(tmp_path, projects=frozenset({"ours"})) as s:
        for project in ("ours", "ours", "theirs", "theirs"):
            await s.answer(project=project)
        assert s.calls == 3


async def test_a_request_with_a_tool_of_the_upstream_has_nothing_to_do_with_the_cache(tmp_path):
    async with cached_stage(tmp_path) as s:
        for _ in range(2):
            assert (await trace_of(s, tools=[{"type": "web_search"}])).cache == ""
        assert s.calls == 2


async def test_what_the_cache_does_not_serve_goes_straight_to_the_model(tmp_path):
    async with cached_stage(tmp_path) as s:
        run = await s.answer(cache="off")
        stream = s.cached.stream(run.turn)
        assert stream.__qualname__ == "ScriptedModel.stream"
        await stream.aclose()


# What a client wants


async def test_a_client_may_want_a_new_answer_which_then_is_the_one_that_is_kept(tmp_path):
    texts = iter(["one", "two"])
    async with cached_stage(tmp_path, ScriptedModel(lambda _: said(next(texts)))) as s:
        await s.answer()
        run = await s.answer(cache="refresh")
        assert run.turn.trace.cache == "miss"
        hit = await s.answer()
        assert s.calls == 2
        assert text_of(json.loads(response_json(hit.machine.fold.response()))) == "two"


async def test_a_client_may_want_nothing_to_be_looked_up_nor_kept(tmp_path):
    async with cached_stage(tmp_path) as s:
        await s.answer(cache="off")
        await s.answer()
        assert (await trace_of(s, cache="off")).cache == ""
        assert s.calls == 3


# A cache with trouble


class Broken(MemoryCache):
    """A cache whose store is gone."""

    def __init__(self) -> None:
        super().__init__(now=lambda: 0.0)
        self.reads = self.writes = True

    async def get(self, project: str, key: bytes) -> bytes | None:
        if not self.reads:
            raise Unavailable("The disk is gone.")
        return await super().get(project, key)

    def put(self, project: str, key: bytes, data: bytes, until: float) -> Any:
        future = super().put(project, key, data, until)
        if self.writes:
            return future
        failed = future.get_loop().create_future()
        failed.set_exception(Unavailable("The disk is full."))
        return failed


async def test_a_cache_that_cannot_be_read_or_written_is_a_cache_that_keeps_nothing(tmp_path, caplog):
    broken: ResponseCache = Broken()
    broken.reads = broken.writes = False
    async with cached_stage(tmp_path, cache=broken) as s:
        for _ in range(2):
            run = await s.answer()
            assert run.machine.fold.response().status == "completed"
        assert s.calls == 2
        assert s.cached.answers.statistics.failures == 4
    assert "The disk is gone." in caplog.text


async def test_a_damaged_entry_is_a_miss_and_is_removed(tmp_path, caplog):
    cache = MemoryCache(now=FakeClock().now)
    async with cached_stage(tmp_path, cache=cache) as s:
        await s.answer()
        [entry] = cache.entries["default"]
        cache.entries["default"][entry] = (b"\x01damage", 4e9)
        assert (await trace_of(s)).cache == "miss"
        await settle()
        assert (await trace_of(s)).cache == "hit"
        assert s.cached.answers.statistics.unreadable == 1
    assert "damaged" in caplog.text


async def test_answers_are_kept_in_the_servers_database(tmp_path):
    clock = FakeClock()
    for marks in (["miss", "hit"], ["hit", "hit"]):
        model = ScriptedModel()
        async with cached_stage(tmp_path, model) as s:
            s.cached.answers._cache = SQLiteCache(s.engine.store, max_bytes=2**20, now=clock.now)
            assert [(await trace_of(s)).cache for _ in marks] == marks
