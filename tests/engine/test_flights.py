"""Equal requests of the same moment call the upstream once; each has its own response."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.engine.cached import AHEAD
from antiphon.engine.run import Run, Stop
from antiphon.testing import MemoryCache, ScriptedModel, said
from antiphon.turn.deltas import Finished, Noted, Text
from antiphon.turn.trace import Attempt
from antiphon.wire.errors import APIError, InvalidRequest, RateLimited, Unavailable, UpstreamTimeout
from tests.engine.cached_stage import Stage, cached_stage, settle
from tests.engine.stage import bytes_of, events_of, text_of
from tests.support import grammar
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


def gated(*gates: asyncio.Event, text: str = "Hello there.") -> ScriptedModel:
    """A model that waits for a gate before each of its first pieces."""
    script = said(text)
    steps = [step for gate, piece in zip(gates, script, strict=False) for step in (gate, piece)]
    return ScriptedModel(lambda _: [*steps, *script[len(gates) :]])


async def many(s: Stage, count: int, **asked: Any) -> list[Run]:
    return [await s.create(**asked) for _ in range(count)]


async def ended(run: Run) -> Any:
    await run.result()
    assert run.task is not None
    await run.task
    return run


def marks(runs: list[Run]) -> list[str]:
    return [run.turn.trace.cache for run in runs]


def text(run: Run) -> str:
    output = run.machine.fold.response().output
    return "".join(part.text for item in output for part in item.content)  # type: ignore[union-attr]


async def test_a_hundred_equal_requests_at_once_are_one_call_of_the_upstream(tmp_path):
    async with cached_stage(tmp_path) as s:
        runs = await asyncio.gather(*(s.create(stream=True, store=number % 2 == 0) for number in range(100)))
        streams = await asyncio.gather(*(bytes_of(s.engine.frames_of(run)) for run in runs))
        assert s.calls == 1
        assert sorted(marks(runs)) == ["miss", *["shared"] * 99]
        assert len({run.turn.response_id for run in runs}) == 100
    for stream in streams:
        told = events_of(stream)
        grammar.check(told)
        assert text_of(told[-1]["response"]) == "Hello there."


async def test_only_one_of_them_pays(tmp_path):
    async with cached_stage(tmp_path) as s:
        runs = [await ended(run) for run in await many(s, 3)]
        unpaid = [[one.usage.total_tokens for one in run.turn.trace.reused] for run in runs]
        assert unpaid == [[], [10], [10]]
        assert (s.cached.answers.statistics.misses, s.cached.answers.statistics.shared) == (1, 2)


async def test_who_comes_in_the_middle_hears_it_from_the_beginning(tmp_path):
    gates = [asyncio.Event() for _ in range(3)]
    async with cached_stage(tmp_path, gated(*gates)) as s:
        first = await s.create()
        gates[0].set()
        gates[1].set()
        await until(lambda: first.machine.fold.open)
        second = await s.create()
        gates[2].set()
        assert [text(await ended(run)) for run in (first, second)] == ["Hello there."] * 2
        assert s.calls == 1


async def test_no_request_falls_between_the_end_of_a_call_and_its_being_kept(tmp_path):
    class Slow(MemoryCache):
        """A cache whose writes take as long as a test wants."""

        def put(self, project: str, key: bytes, data: bytes, until: float) -> Any:
            self.late = super().put(project, key, data, until)
            self.kept = self.late.get_loop().create_future()
            self.entries.clear()
            return self.kept

    cache = Slow(now=lambda: 0.0)
    async with cached_stage(tmp_path, cache=cache) as s:
        await s.answer()
        assert (await s.answer()).turn.trace.cache == "shared"
        cache.kept.set_result(None)
        await settle()
        assert (await s.answer()).turn.trace.cache == "miss"
        assert s.calls == 2


# Leaving


async def test_who_leaves_stops_nobody(tmp_path):
    gate = asyncio.Event()
    async with cached_stage(tmp_path, gated(gate)) as s:
        first, second, third = await many(s, 3)
        await until(lambda: s.calls)
        for leaving in (first, third):
            leaving.end(Stop("cancelled"))
        await settle()
        gate.set()
        assert text(await ended(second)) == "Hello there."
        assert s.calls == 1


async def test_when_the_last_one_leaves_the_upstream_is_closed_at_once(tmp_path):
    gates = [asyncio.Event(), asyncio.Event()]
    async with cached_stage(tmp_path, gated(*gates)) as s:
        gates[0].set()
        runs = await many(s, 2)
        await asyncio.gather(*(run.opened for run in runs))
        for run in runs:
            run.end(Stop("cancelled"))
        await asyncio.gather(*(run.task for run in runs if run.task))
        assert s.model.open == 0
        assert not s.cached.answers._flights
        gates[1].set()
        assert text(await ended(await s.create())) == "Hello there."
        assert s.calls == 2


async def test_who_leaves_while_the_cache_is_looked_up_leaves_nothing_behind(tmp_path):
    class Stuck(MemoryCache):
        async def get(self, project: str, key: bytes) -> bytes | None:
            await asyncio.Event().wait()
            return None

    async with cached_stage(tmp_path, cache=Stuck(now=lambda: 0.0)) as s:
        run = await s.create()
        await settle()
        run.end(Stop("cancelled"))
        assert run.task is not None
        await run.task
        assert s.calls == 0
        assert not s.cached.answers._flights


async def test_when_the_one_who_pays_leaves_the_next_one_pays(tmp_path):
    gate = asyncio.Event()

    def script(turn):
        turn.trace.attempts.append(Attempt("here", "m", 0.0))
        return [[], gate, *said()]

    async with cached_stage(tmp_path, ScriptedModel(script)) as s:
        first, second, third = await many(s, 3)
        await first.opened
        first.end(Stop("cancelled"))
        await settle()
        gate.set()
        await ended(second)
        await ended(third)
        assert marks([second, third]) == ["miss", "shared"]
        assert second.turn.trace.reused == []
        assert [(one.upstream, one.model) for one in third.turn.trace.reused] == [("here", "m")]
        assert [len(run.turn.trace.attempts) for run in (second, third)] == [1, 0]


def billed(*steps, usage=None):
    """A model whose attempts are noted as `antiphon.engine.lines` does."""

    def script(turn):
        turn.trace.attempts.append(Attempt("here", "m", 0.0, usage=usage))
        return list(steps)

    return ScriptedModel(script)


def bills(runs: list[Run]) -> list[int]:
    return [len(run.turn.trace.attempts) for run in runs]


async def test_who_leaves_before_the_end_has_no_bill_as_long_as_others_stay(tmp_path):
    gate = asyncio.Event()
    async with cached_stage(tmp_path, billed([], gate, *said())) as s:
        runs = await many(s, 4)
        await runs[0].opened
        for run in runs[:2]:
            run.end(Stop("cancelled"))
        await settle()
        gate.set()
        for run in runs[2:]:
            await ended(run)
        assert bills(runs) == [0, 0, 1, 0]


async def test_the_last_one_who_leaves_pays_for_what_was_asked(tmp_path):
    async with cached_stage(tmp_path, billed([], asyncio.Event())) as s:
        runs = await many(s, 3)
        await runs[0].opened
        for run in runs:
            run.end(Stop("cancelled"))
            await asyncio.wait([run.task])
        assert bills(runs) == [0, 0, 1]


@pytest.mark.parametrize("words", [[], [[]], [[Text("Hal")]]], ids=["refused", "accepted", "half said"])
async def test_a_call_that_fails_is_on_one_bill_only(tmp_path, words):
    gate = asyncio.Event()
    async with cached_stage(tmp_path, billed(gate, *words, Unavailable("down"))) as s:
        runs = await many(s, 20)
        gate.set()
        await asyncio.wait([run.task for run in runs if run.task])
        assert (s.calls, sorted(bills(runs))) == (1, [*[0] * 19, 1])


async def test_a_place_that_was_waited_for_is_noted_where_the_call_is_paid(tmp_path):
    gate = asyncio.Event()

    def script(turn):
        turn.trace.queued += 3.0
        return [gate, *said()]

    async with cached_stage(tmp_path, ScriptedModel(script)) as s:
        runs = await many(s, 2)
        gate.set()
        assert [(await ended(run)).turn.trace.queued for run in runs] == [3.0, 0.0]


# Failures


@pytest.mark.parametrize(
    "error", [Unavailable("down"), RateLimited("slow", retry_after=3), UpstreamTimeout("late"), InvalidRequest("bad")]
)
async def test_a_failure_before_the_first_words_is_everybodys_and_no_herd_follows(tmp_path, error):
    gate = asyncio.Event()
    async with cached_stage(tmp_path, ScriptedModel([gate, error])) as s:
        runs = await many(s, 20)
        gate.set()
        await asyncio.wait([run.opened for run in runs])
        assert {run.opened.exception() for run in runs} == {error}
        assert s.calls == 1
        assert not s.cached.answers._flights


async def test_a_failure_after_the_first_words_is_everybodys(tmp_path):
    gate = asyncio.Event()
    async with cached_stage(tmp_path, ScriptedModel([[], gate, [Text("Hal")], Unavailable("cut")])) as s:
        runs = await many(s, 5, metadata={"a": "b"})
        late = await s.create()
        gate.set()
        for run in [*runs, late]:
            await ended(run)
            assert run.machine.fold.response().status == "failed"
            assert text(run) == "Hal"
        assert s.calls == 1


async def test_a_refusal_of_what_one_asked_besides_is_not_the_others(tmp_path):
    gate = asyncio.Event()

    def script(turn):
        bad = turn.request.prompt_cache_retention == "24h"
        return [gate, InvalidRequest("no such retention")] if bad else [gate, *said()]

    async with cached_stage(tmp_path, ScriptedModel(script)) as s:
        bad = await many(s, 2, prompt_cache_retention="24h")
        good = await many(s, 10)
        gate.set()
        assert [text(await ended(run)) for run in good] == ["Hello there."] * 10
        await asyncio.wait([run.opened for run in bad])
        assert all(isinstance(run.opened.exception(), InvalidRequest) for run in bad)
        assert s.calls == 2


async def test_a_call_that_failed_is_not_followed_later(tmp_path):
    answers = iter([[Unavailable("down")], said()])
    async with cached_stage(tmp_path, ScriptedModel(lambda _: next(answers))) as s:
        first = await s.create()
        await asyncio.wait([first.opened])
        assert isinstance(first.opened.exception(), APIError)
        assert (await s.answer()).turn.trace.cache == "miss"


# Time and memory


async def test_a_flight_has_the_latest_deadline_of_its_followers(tmp_path):
    gate = asyncio.Event()
    async with cached_stage(tmp_path, ScriptedModel([[], gate, *said()])) as s:
        runs = await many(s, 3)
        for run, deadline in zip(runs, (5.0, 9.0, 7.0), strict=True):
            run.turn.deadline = deadline
        await asyncio.gather(*(run.opened for run in runs))
        assert s.model.turns[0].deadline == 9.0
        late = await s.create()
        await late.opened
        assert s.model.turns[0].deadline is None
        assert runs[0].turn.deadline == 5.0
        gate.set()
        for run in [*runs, late]:
            await ended(run)


async def test_a_call_is_read_no_faster_than_somebody_wants_to_hear_it(tmp_path):
    pieces = 0

    def script(_):
        nonlocal pieces
        yield []
        for _ in range(1000):
            pieces += 1
            yield [Text("word ")]
        yield [Finished()]

    async with cached_stage(tmp_path, ScriptedModel(script)) as s:
        turn = (await s.answer(cache="off")).turn
        turn.cache, pieces = "use", 0
        slow, fast = s.cached.stream(turn), s.cached.stream(turn)
        await anext(slow)
        for _ in range(100):
            await anext(fast)
        await settle()
        assert 100 <= pieces <= 100 + AHEAD
        heard = [batch async for batch in slow]
        assert len(heard) == 1001
        await slow.aclose()
        await fast.aclose()


async def test_a_slow_follower_of_a_call_that_is_over_hears_it_all(tmp_path):
    async with cached_stage(tmp_path) as s:
        turn = (await s.answer(cache="off")).turn
        turn.cache = "use"
        slow = s.cached.stream(turn)
        first = await anext(slow)
        async for _ in s.cached.stream(turn):
            pass
        heard = [first, *[batch async for batch in slow]]
        assert [delta for batch in heard for delta in batch][-1] == Finished()
        assert s.calls == 2


async def test_the_facts_of_a_call_are_those_of_all_who_followed_it_but_not_of_a_hit(tmp_path):
    model = ScriptedModel([[Noted({"id": "theirs"})], [Text("Hi."), Finished()]])
    async with cached_stage(tmp_path, model) as s:
        await s.answer()
        turn = (await s.answer()).turn
        assert turn.trace.cache == "hit"
        said_again = [delta async for batch in s.cached.stream(turn) for delta in batch]
        assert said_again == [Text("Hi."), Finished()]
