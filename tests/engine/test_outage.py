"""When the store fails nothing is told that it does not have, and when it works again every response finds its end."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.engine import journal as journals
from antiphon.engine import log as logs
from antiphon.testing import FakeClock, ScriptedModel, said
from antiphon.turn.deltas import Finished, Text
from antiphon.wire.errors import Conflict, Unavailable
from tests.engine.stage import PROJECT, Reader, Withholding, create, events_of, read, retrieve, stage, text_of, types_of
from tests.stores.disk import rows
from tests.support import grammar

pytestmark = pytest.mark.anyio


class Story:
    """A script of two halves: the second comes when it may."""

    def __init__(self):
        self.half_said = asyncio.Event()
        self.may_go_on = asyncio.Event()

    def __call__(self, turn):
        yield [Text("First half")]
        self.half_said.set()
        yield self.may_go_on
        yield [Text(", second half.")]
        yield [Finished()]


async def broken(engine, story, **body):
    """Let the disk fail in the middle of a response; returns what its reader has."""
    run = await create(engine, **body)
    reader = Reader(engine.frames_of(run))
    await story.half_said.wait()
    await engine.journal.barrier()
    engine.store.trouble.lasts = True
    story.may_go_on.set()
    return run, await reader.end()


@pytest.mark.parametrize("body", [{}, {"stream": True}, {"background": True}])
@pytest.mark.parametrize("statement", range(4))
async def test_a_response_that_cannot_be_begun_is_an_outage_and_leaves_no_row(tmp_path, body, statement):
    model = ScriptedModel([[], asyncio.Event()])
    async with stage(tmp_path, model) as engine:
        engine.store.trouble.at = statement
        with pytest.raises(Unavailable, match="disk I/O error"):
            await (await create(engine, **body)).result()
        await asyncio.gather(*(run.task for run in engine.runs.values()), return_exceptions=True)
        assert model.open == 0
        assert engine.runs == {}
        for table in ("responses", "stretches", "segments"):
            assert rows(tmp_path, f"SELECT count(*) FROM {table}") == [(0,)]


async def test_a_reader_gets_what_is_stored_and_then_the_error(tmp_path):
    story = Story()
    model = ScriptedModel(story)
    async with stage(tmp_path, model) as engine:
        run, reader = await broken(engine, story, stream=True)
        assert reader.error.retry_after
        assert text_of({"output": [await said_so_far(reader)]}) == "First half"
        assert not run.log.ended
        await asyncio.wait((run.task,))
        assert model.open == 0
        with pytest.raises(Unavailable):
            await retrieve(engine, run.turn.response_id)
        with pytest.raises(Unavailable):
            await read(engine, run.turn.response_id)
        with pytest.raises((Conflict, Unavailable)):
            await engine.delete(PROJECT, run.turn.response_id)


async def said_so_far(reader):
    deltas = [event["delta"] for event in events_of(reader.seen) if event["type"] == "response.output_text.delta"]
    return {"type": "message", "content": [{"text": "".join(deltas)}]}


async def test_a_foreground_response_is_closed_when_the_store_works_again(tmp_path):
    story = Story()
    async with stage(tmp_path, ScriptedModel(story)) as engine:
        run, reader = await broken(engine, story, stream=True)
        with pytest.raises(Unavailable):
            await engine.worker.sweep()
        engine.store.trouble.lasts = False
        await engine.worker.sweep()
        whole = await read(engine, run.turn.response_id)
        assert whole.startswith(reader.seen)
        grammar.check(events_of(whole))
        final = await retrieve(engine, run.turn.response_id)
        assert (final["status"], text_of(final)) == ("failed", "First half")
        assert final == events_of(whole)[-1]["response"]


async def test_a_background_response_goes_on_when_the_store_works_again(tmp_path):
    clock = FakeClock()
    story = Story()
    async with stage(tmp_path, ScriptedModel(story), clock=clock) as engine:
        run, reader = await broken(engine, story, background=True)
        await asyncio.wait((run.task,))
        engine.store.trouble.lasts = False
        await engine.worker.sweep()
        assert engine.runs == {}
        await clock.advance(engine.options.lease + 1)
        await engine.worker.sweep()
        whole = await read(engine, run.turn.response_id)
        assert whole.startswith(reader.seen)
        grammar.check(events_of(whole))
        output = events_of(whole)[-1]["response"]["output"]
        assert [item["content"][0]["text"] for item in output] == ["First half", "First half, second half."]


@pytest.mark.parametrize("background", [True, False])
async def test_two_looks_at_a_time_take_a_response_over_once(tmp_path, background):
    story = Story()
    async with stage(tmp_path, ScriptedModel(story)) as engine:
        run, _ = await broken(engine, story, background=background, stream=True)
        await asyncio.wait((run.task,))
        engine.store.trouble.lasts = False
        await engine.journal.rescue()
        await engine.store.release()
        await asyncio.gather(*(engine.worker.sweep() for _ in range(3)))
        whole = await read(engine, run.turn.response_id)
        await engine.journal.barrier()
        assert await read(engine, run.turn.response_id) == whole
    grammar.check(events_of(whole))
    assert types_of(whole)[-1] == ("response.completed" if background else "response.failed")


async def test_it_is_looked_after_without_being_asked(tmp_path):
    clock = FakeClock()
    story = Story()
    async with stage(tmp_path, ScriptedModel(story), clock=clock) as engine:
        run, _ = await broken(engine, story, stream=True)
        await asyncio.wait((run.task,))
        for works in (False, True):
            engine.store.trouble.lasts = not works
            await clock.advance(engine.options.lease)
            await engine.store.find(PROJECT, "")
            await engine.store.on_writer(lambda _: None)
        while engine.runs or await engine.store.unfinished():
            await engine.store.on_writer(lambda _: None)
        assert (await retrieve(engine, run.turn.response_id))["status"] == "failed"


async def test_a_kill_before_the_store_works_again_loses_nothing_either(tmp_path):
    story = Story()
    async with stage(tmp_path / "first", ScriptedModel(story)) as engine:
        run, reader = await broken(engine, story, stream=True)
        engine.store.trouble.lasts = False
        other = await create(engine, background=True)  # its commits drop what segments nobody needs
        await other.result()
        copy = await engine.store.copy(tmp_path / "second")
    async with stage(copy) as engine:
        whole = await read(engine, run.turn.response_id)
    assert whole.startswith(reader.seen)
    grammar.check(events_of(whole))
    assert text_of(events_of(whole)[-1]["response"]) == "First half"


async def test_an_end_that_was_not_stored_did_not_happen(tmp_path):
    story = Story()
    async with stage(tmp_path, ScriptedModel(story)) as engine:
        run, reader = await broken(engine, story, stream=True)
        assert run.machine.fold.ended
        assert "response.completed" not in types_of(reader.seen)
        assert rows(tmp_path, "SELECT response FROM responses") == [(None,)]
        with pytest.raises(Unavailable):
            await run.result()


async def test_a_failure_breaks_only_what_was_in_it(tmp_path):
    story, other = Story(), Story()
    stories = iter((other, story))
    async with stage(tmp_path, ScriptedModel(lambda turn: next(stories)(turn))) as engine:
        untouched = await create(engine, stream=True)
        await other.half_said.wait()
        run, reader = await broken(engine, story, stream=True)
        assert reader.error is not None
        engine.store.trouble.lasts = False
        other.may_go_on.set()
        assert (await untouched.result()).status == "completed"
        grammar.check(events_of(await read(engine, untouched.turn.response_id)))
        await engine.worker.sweep()
        assert (await retrieve(engine, run.turn.response_id))["status"] == "failed"


async def test_nothing_is_written_behind_a_gap(tmp_path):
    """What was said while a commit failed is not in the next one: there would be a hole before it."""
    story = Story()
    async with stage(tmp_path, ScriptedModel(story)) as engine:
        run = await create(engine, stream=True)
        await story.half_said.wait()
        await engine.journal.barrier()
        engine.store.trouble.at = 0
        run.publish(run.machine.feed([Text("lost")]))
        failing = engine.journal.barrier()
        await asyncio.sleep(0)
        run.publish(run.machine.feed([Text("after")]))
        with pytest.raises(Unavailable):
            await failing
        await asyncio.wait((run.task,))
        await engine.worker.sweep()
        whole = await read(engine, run.turn.response_id)
    grammar.check(events_of(whole))
    assert text_of(events_of(whole)[-1]["response"]) == "First half"


async def test_a_response_that_could_not_be_leased_is_looked_after_later(tmp_path):
    model = ScriptedModel()
    async with stage(tmp_path, model, background_slots=1) as engine:
        story = Story()
        model._script = story
        first = await create(engine, background=True)
        await story.half_said.wait()
        second = await create(engine, background=True)
        lease = engine.store.lease

        async def fails(*arguments):
            engine.store.lease = lease
            raise Unavailable("Not now.")

        engine.store.lease = fails
        story.may_go_on.set()
        await first.result()
        with pytest.raises(Unavailable):
            await second.result()
        assert model.turns[1:] == []
        model._script = lambda _: said()
        await engine.worker.sweep()
        whole = await read(engine, second.turn.response_id)
        grammar.check(events_of(whole))
        assert text_of(events_of(whole)[-1]["response"]) == "Hello there."


async def test_a_look_leaves_alone_what_ended_while_it_looked(tmp_path):
    async with stage(tmp_path, ScriptedModel([[], gate := asyncio.Event(), *said()[1:]])) as engine:
        run = await create(engine, stream=True)
        await run.opened
        found = await engine.store.unfinished()
        gate.set()
        await run.result()
        await asyncio.wait((run.task,))

        async def stale():
            return found

        engine.store.unfinished = stale
        assert engine.runs == {}
        await engine.worker.sweep()
        assert (await retrieve(engine, run.turn.response_id))["status"] == "completed"


async def test_a_look_leaves_alone_what_begins_while_it_looks(tmp_path):
    async with stage(tmp_path, background_slots=0) as engine:
        creating = [asyncio.create_task(create(engine, background=True)) for _ in range(5)]
        while len(await engine.store.unfinished()) < 5:
            await engine.worker.sweep()
        runs = [await task for task in creating]
        assert set(engine.runs.values()) == set(runs)


async def test_an_outage_at_the_end_of_the_process_does_not_keep_it_from_ending(tmp_path, caplog):
    story = Story()
    async with stage(tmp_path, ScriptedModel(story)) as engine:
        await create(engine, background=True)
        await story.half_said.wait()
        await engine.journal.barrier()
        engine.store.trouble.lasts = True
    assert "leases could not be given back" in caplog.text
    async with stage(tmp_path) as engine:
        (run,) = engine.runs.values()
        whole = await read(engine, run.turn.response_id)
    grammar.check(events_of(whole))
    assert types_of(whole)[-1] == "response.completed"


async def test_a_model_that_waits_for_the_store_is_closed_when_that_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "BACKLOG", 2_000)
    monkeypatch.setattr(journals, "SPILL", 1_000)
    store = Withholding(tmp_path)
    model = ScriptedModel([[], *[[Text("x" * 1000)]] * 50])
    async with stage(tmp_path, model, store=store) as engine:
        run = await create(engine, stream=True)
        await run.opened
        store.withholds = True
        for _ in range(300):
            await asyncio.sleep(0)
        assert run.log.is_full
        store.trouble.lasts = True
        await store.let_go()
        await asyncio.wait((run.task,))
        assert model.open == 0
        assert isinstance(run.log.failure, Unavailable)
