"""Background responses: queued at once, run in slots, held by leases, cancelled in every window."""

from __future__ import annotations

import asyncio
import json

import pytest

from antiphon.testing import FakeClock, ScriptedModel, said
from antiphon.turn.deltas import ItemDone, ItemStarted, Text
from antiphon.wire import items
from antiphon.wire.errors import Conflict, InvalidRequest, NotFound, Unavailable
from tests.engine.stage import (
    PROJECT,
    Reader,
    bytes_of,
    crash,
    create,
    events_of,
    read,
    retrieve,
    stage,
    text_of,
    types_of,
)
from tests.stores.disk import rows

pytestmark = pytest.mark.anyio

FACTS = "SELECT kind FROM facts"


async def cancel(engine, run):
    return json.loads(await engine.cancel(PROJECT, run.turn.response_id))


class Stop:
    """A script that says some batches, tells that it did, and goes on when it may."""

    def __init__(self, *before, after=()):
        self.before = before
        self.after = after
        self.reached = asyncio.Event()
        self.may_go_on = asyncio.Event()

    def __call__(self, turn):
        yield from self.before
        self.reached.set()
        yield self.may_go_on
        yield from self.after


async def test_a_response_is_stored_as_queued_before_the_answer(tmp_path):
    script = Stop(after=said())
    async with stage(tmp_path, ScriptedModel(script)) as engine:
        run = await create(engine, background=True)
        assert run.machine.fold.response().status == "queued"
        assert rows(tmp_path, "SELECT id, status FROM responses") == [(run.turn.response_id, "queued")]
        await script.reached.wait()
        assert (await retrieve(engine, run.turn.response_id))["status"] == "in_progress"
        script.may_go_on.set()
        assert (await run.result()).status == "completed"


async def test_a_stream_begins_while_its_response_waits_for_a_slot(tmp_path):
    async with stage(tmp_path, background_slots=0) as engine:
        run = await create(engine, background=True, stream=True)
        frames = engine.frames_of(run)
        assert types_of(await anext(frames)) == ["response.created", "response.queued"]


async def test_only_so_many_run_at_a_time_and_the_next_follows_at_once(tmp_path):
    script = Stop(after=said())
    model = ScriptedModel(script)
    async with stage(tmp_path, model, background_slots=1) as engine:
        first, second = [await create(engine, background=True) for _ in range(2)]
        await script.reached.wait()
        assert model.open == 1
        assert (await retrieve(engine, second.turn.response_id))["status"] == "queued"
        script.may_go_on.set()
        assert (await first.result()).status == (await second.result()).status == "completed"
        assert len(model.turns) == 2


# Cancel


async def test_what_is_queued_is_cancelled_and_never_runs(tmp_path):
    model = ScriptedModel()
    async with stage(tmp_path, model, background_slots=0) as engine:
        run = await create(engine, background=True)
        cancelled = await cancel(engine, run)
        assert (cancelled["status"], cancelled["output"]) == ("cancelled", [])
        assert types_of(await read(engine, run.turn.response_id)) == ["response.created", "response.queued"]
        assert engine.runs == {}
    assert model.turns == []
    assert rows(tmp_path, FACTS) == [("cancelled",)]


async def test_cancel_in_the_same_moment_as_create_is_a_cancel(tmp_path):
    model = ScriptedModel()
    async with stage(tmp_path, model) as engine:
        run = await create(engine, background=True)
        assert (await cancel(engine, run))["status"] == "cancelled"


@pytest.mark.parametrize("before", [[], [[]], [[], [Text("Half")]]], ids=["not accepted", "no token", "half a message"])
async def test_what_runs_is_cancelled_with_what_it_has_said(tmp_path, before):
    script = Stop(*before)
    model = ScriptedModel(script)
    async with stage(tmp_path, model) as engine:
        run = await create(engine, background=True)
        await script.reached.wait()
        reading = asyncio.create_task(read(engine, run.turn.response_id))
        cancelled = await cancel(engine, run)
        assert cancelled["status"] == "cancelled"
        assert text_of(cancelled) == ("Half" if len(before) == 2 else "")
        assert model.open == 0
        told = types_of(await reading)
        assert not {"response.completed", "response.failed", "response.incomplete"} & set(told)
        assert await retrieve(engine, run.turn.response_id) == cancelled
    assert rows(tmp_path, FACTS) == [("cancelled",)]


async def test_cancelled_stays_cancelled_over_a_restart(tmp_path):
    script = Stop([Text("Half")])
    async with stage(tmp_path / "first", ScriptedModel(script)) as engine:
        run = await create(engine, background=True)
        await script.reached.wait()
        cancelled = await cancel(engine, run)
        copy = await crash(engine, tmp_path / "second")
    async with stage(copy) as engine:
        assert await retrieve(engine, run.turn.response_id) == cancelled
        assert await cancel(engine, run) == cancelled


async def test_a_second_cancel_changes_nothing_also_at_the_same_time(tmp_path):
    script = Stop([Text("Half")])
    async with stage(tmp_path, ScriptedModel(script)) as engine:
        run = await create(engine, background=True)
        await script.reached.wait()
        first, second = await asyncio.gather(cancel(engine, run), cancel(engine, run))
        assert first == second == await cancel(engine, run)
    assert rows(tmp_path, FACTS) == [("cancelled",)]


@pytest.mark.parametrize("background", [True, False])
async def test_what_is_over_or_in_the_foreground_cannot_be_cancelled(tmp_path, background):
    async with stage(tmp_path) as engine:
        run = await create(engine, background=background)
        await run.result()
        with pytest.raises(InvalidRequest, match=r"Cannot cancel a (completed|synchronous) response"):
            await cancel(engine, run)
        assert (await retrieve(engine, run.turn.response_id))["status"] == "completed"


async def test_what_runs_in_the_foreground_cannot_be_cancelled(tmp_path):
    script = Stop([Text("Half")], after=said(size=2)[1:])
    async with stage(tmp_path, ScriptedModel(script)) as engine:
        run = await create(engine)
        await script.reached.wait()
        with pytest.raises(InvalidRequest, match="synchronous"):
            await cancel(engine, run)
        script.may_go_on.set()
        assert (await run.result()).status == "completed"


async def test_a_cancel_that_comes_with_the_last_word_loses_or_wins_but_does_not_mix(tmp_path):
    outcomes = set()
    for moment in range(12):
        script = Stop([Text("Half")], after=said(size=2)[1:])
        async with stage(tmp_path / str(moment), ScriptedModel(script)) as engine:
            run = await create(engine, background=True)
            await script.reached.wait()
            script.may_go_on.set()
            for _ in range(moment):
                await asyncio.sleep(0)
            try:
                status = (await cancel(engine, run))["status"]
            except InvalidRequest:
                status = "completed"
            assert (await retrieve(engine, run.turn.response_id))["status"] == status
            terminal = types_of(await read(engine, run.turn.response_id))[-1] == "response.completed"
            assert terminal == (status == "completed")
            outcomes.add(status)
    assert outcomes == {"completed", "cancelled"}


async def test_an_unknown_response_cannot_be_cancelled_nor_one_of_another_project(tmp_path):
    async with stage(tmp_path, background_slots=0) as engine:
        run = await create(engine, background=True)
        for project, response_id in (("other", run.turn.response_id), (PROJECT, "resp_unknown")):
            with pytest.raises(NotFound):
                await engine.cancel(project, response_id)


async def test_what_nobody_works_on_is_told_to_be_tried_again(tmp_path):
    """Between the loss of a lease and the next look nobody could carry a cancel out."""
    script = Stop([Text("Half")])
    async with stage(tmp_path, ScriptedModel(script)) as engine:
        run = await create(engine, background=True)
        await script.reached.wait()
        await engine.store.release()
        await engine.worker.beat()
        with pytest.raises(Unavailable):
            await run.entry.log.until_end()
        assert engine.runs == {}
        with pytest.raises(Conflict):
            await cancel(engine, run)


# Leases


async def taken(engine, run):
    """Let another worker have the lease of a response, as if this one had been silent for too long."""
    await engine.store.release()
    return await engine.store.lease(run.record.key, "another", engine.clock.now() + 30)


async def test_the_heartbeat_holds_a_lease_for_as_long_as_the_response_runs(tmp_path):
    clock = FakeClock()
    script = Stop(after=said())
    async with stage(tmp_path, ScriptedModel(script), clock=clock, lease=30) as engine:
        run = await create(engine, background=True)
        await script.reached.wait()
        for _ in range(12):
            await clock.advance(10)
            await engine.worker.beat()
        assert rows(tmp_path, "SELECT attempts, until FROM responses") == [(1, clock.now() + 30)]
        script.may_go_on.set()
        assert (await run.result()).status == "completed"
        assert rows(tmp_path, "SELECT owner, until FROM responses") == [(None, None)]


async def test_the_heartbeat_beats_by_itself(tmp_path):
    clock = FakeClock()
    script = Stop()
    async with stage(tmp_path, ScriptedModel(script), clock=clock, lease=30) as engine:
        await create(engine, background=True)
        await script.reached.wait()
        beaten = asyncio.Event()
        renew = engine.store.renew

        async def watched(*arguments):
            kept = await renew(*arguments)
            beaten.set()
            return kept

        engine.store.renew = watched
        await clock.advance(11)
        await beaten.wait()
        assert rows(tmp_path, "SELECT until FROM responses") == [(clock.now() + 30,)]


async def test_a_worker_that_has_lost_its_lease_stops_and_writes_nothing_more(tmp_path):
    script = Stop([Text("Half")], after=said(" and more"))
    model = ScriptedModel(script)
    async with stage(tmp_path, model) as engine:
        run = await create(engine, background=True)
        await script.reached.wait()
        await engine.journal.barrier()
        assert await taken(engine, run) == 2
        before = rows(tmp_path, "SELECT * FROM stretches"), rows(tmp_path, "SELECT response FROM responses")
        await engine.worker.beat()
        with pytest.raises(Conflict):
            await run.result()
        assert model.open == 0
        assert before == (rows(tmp_path, "SELECT * FROM stretches"), rows(tmp_path, "SELECT response FROM responses"))
        assert rows(tmp_path, "SELECT owner FROM responses") == [("another",)]


async def test_what_is_hidden_stays_hidden_while_nobody_works_on_it(tmp_path):
    thought = items.Reasoning(summary=[], encrypted_content="c2VjcmV0")
    script = Stop([ItemStarted(0, thought), ItemDone(0)])
    async with stage(tmp_path, ScriptedModel(script)) as engine:
        run = await create(engine, background=True)
        await script.reached.wait()
        await engine.store.release()
        await engine.worker.beat()
        with pytest.raises(Unavailable):
            await run.result()
        for include in ((), ("reasoning.encrypted_content",)):
            reader = await Reader(await engine.follow(PROJECT, run.turn.response_id, -1, include)).end()
            assert "Nobody works on" in reader.error.message
            assert (b"c2VjcmV0" in reader.seen) == bool(include)
            assert ("encrypted_content" in str(await retrieve(engine, run.turn.response_id, include))) == bool(include)


async def test_a_worker_that_was_thought_dead_is_fenced_at_its_next_word(tmp_path):
    script = Stop([Text("Half")], after=said(" and more"))
    async with stage(tmp_path, ScriptedModel(script)) as engine:
        run = await create(engine, background=True)
        await script.reached.wait()
        await engine.journal.barrier()
        await taken(engine, run)
        script.may_go_on.set()
        with pytest.raises(Conflict):
            await run.result()
        assert rows(tmp_path, "SELECT response FROM responses") == [(None,)]
        assert rows(tmp_path, FACTS) == []


async def test_a_response_that_another_was_faster_to_lease_is_left_to_it(tmp_path):
    model = ScriptedModel()
    async with stage(tmp_path, model, background_slots=1) as engine:
        script = Stop(after=said())
        model._script = script
        first = await create(engine, background=True)
        await script.reached.wait()
        second = await create(engine, background=True)
        await engine.store.lease(second.record.key, "another", engine.clock.now() + 30)
        script.may_go_on.set()
        await first.result()
        with pytest.raises(Unavailable):
            await bytes_of(engine.frames_of(second))
    assert len(model.turns) == 1


async def test_two_models_in_the_background_keep_their_words_apart(tmp_path):
    def script(turn):
        return said(f"You said {turn.items[0].content[0].text}", size=2)

    async with stage(tmp_path, ScriptedModel(script)) as engine:
        runs = [await create(engine, background=True, input=f"number {number}") for number in range(8)]
        wholes = await asyncio.gather(*(read(engine, run.turn.response_id) for run in runs))
    finals = [events_of(whole)[-1]["response"] for whole in wholes]
    assert [text_of(final) for final in finals] == [f"You said number {number}" for number in range(8)]
