"""Rule 14: one deadline for the whole request, by the monotonic clock."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.ports import Choice
from antiphon.testing import FakeClock, Only, ScriptedModel, said
from antiphon.turn.deltas import Text
from antiphon.wire.errors import UpstreamTimeout
from tests.engine.stage import create, events_of, read, retrieve, stage, text_of, types_of
from tests.support import grammar

pytestmark = pytest.mark.anyio


class Bounded(Only):
    """A catalog whose model may take so long."""

    def __init__(self, model, *, total=0.0, background_total=0.0):
        super().__init__(model)
        self.total, self.background_total = total, background_total

    def choose(self, name):
        choice = super().choose(name)
        return Choice(choice.name, choice.model, self.total, self.background_total)


def slow(said_first="Half"):
    said_it, never = asyncio.Event(), asyncio.Event()

    def script(turn):
        yield [Text(said_first)] if said_first else []
        said_it.set()
        yield never

    return ScriptedModel(script), said_it


async def test_rule_14_a_foreground_response_ends_at_its_deadline_and_keeps_what_it_said(tmp_path):
    clock = FakeClock()
    model, said_it = slow()
    async with stage(tmp_path, Bounded(model, total=10), clock=clock) as engine:
        run = await create(engine, stream=True)
        await said_it.wait()
        await clock.advance(9.9)
        assert not run.over
        await clock.advance(0.1)
        final = (await run.result()).status
        whole = await read(engine, run.turn.response_id)
        assert final == "failed"
        assert text_of(await retrieve(engine, run.turn.response_id)) == "Half"
    grammar.check(events_of(whole))
    assert events_of(whole)[-1]["response"]["error"]["message"] == "The response was not complete after 10 s."
    assert model.open == 0


async def test_rule_14_a_deadline_inside_the_hold_is_an_http_error_and_leaves_no_row(tmp_path):
    clock = FakeClock()
    never = asyncio.Event()
    async with stage(tmp_path, Bounded(ScriptedModel([never]), total=10), clock=clock) as engine:
        run = await create(engine)
        await clock.advance(10)
        with pytest.raises(UpstreamTimeout) as caught:
            await run.result()
        assert caught.value.code == "deadline_exceeded"
        assert await engine.store.find("default", run.turn.response_id) is None


async def test_rule_14_a_background_response_has_a_bound_of_its_own(tmp_path):
    clock = FakeClock()
    model, said_it = slow()
    async with stage(tmp_path, Bounded(model, total=10, background_total=100), clock=clock) as engine:
        run = await create(engine, background=True)
        await said_it.wait()
        await clock.advance(99)
        assert not run.over
        await clock.advance(1)
        whole = await read(engine, run.turn.response_id)
    assert types_of(whole)[-1] == "response.failed"


async def test_rule_14_the_time_before_a_restart_counts(tmp_path):
    clock = FakeClock()
    model, said_it = slow()
    async with stage(tmp_path, Bounded(model, background_total=100), clock=clock) as engine:
        run = await create(engine, background=True)
        await said_it.wait()
        await clock.advance(60)
    model, said_it = slow()
    async with stage(tmp_path, Bounded(model, background_total=100), clock=clock) as engine:
        (run,) = engine.runs.values()
        await said_it.wait()
        await clock.advance(39)
        assert not run.over
        await clock.advance(1)
        whole = await read(engine, run.turn.response_id)
    assert types_of(whole)[-1] == "response.failed"


async def test_rule_14_who_is_in_time_hears_nothing_of_it(tmp_path):
    clock = FakeClock()
    async with stage(tmp_path, Bounded(ScriptedModel(said()), total=10), clock=clock) as engine:
        run = await create(engine)
        assert (await run.result()).status == "completed"
        await asyncio.wait((run.task,))
        await asyncio.sleep(0)
        assert all(seconds > 10 or seconds == engine.options.lease / 3 for seconds in clock.waiting)


async def test_rule_14_without_a_bound_there_is_no_deadline(tmp_path):
    async with stage(tmp_path, Bounded(ScriptedModel(said()))) as engine:
        run = await create(engine)
        await run.result()
        assert run.turn.deadline is None
