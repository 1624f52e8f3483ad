"""Readers follow a log: at once or late, from any number, fast or slow, and never see what is not in the journal."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.engine import journal as journals
from antiphon.engine import log as logs
from antiphon.testing import ScriptedModel, said
from antiphon.turn.deltas import Finished, ItemDone, ItemStarted, Text
from antiphon.wire import items
from antiphon.wire.errors import Conflict, NotFound
from tests.engine.stage import (
    PROJECT,
    Withholding,
    bytes_of,
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

LONG = "A long answer that comes in many pieces, one after the other, until it ends."
ENCRYPTED = "reasoning.encrypted_content"


def frames_of(data):
    return [frame + b"\n\n" for frame in data.split(b"\n\n") if frame]


# The journal before the reader


async def test_a_reader_gets_nothing_that_the_store_does_not_have(tmp_path):
    store = Withholding(tmp_path)
    async with stage(tmp_path, store=store) as engine:
        store.withholds = True
        run = await create(engine, stream=True)
        reading = asyncio.create_task(bytes_of(engine.frames_of(run)))
        await asyncio.wait((run.task,))
        for _ in range(5):
            await asyncio.sleep(0)
        assert run.machine.fold.ended
        assert run.log.committed == 0
        assert not run.opened.done()
        assert not reading.done()
        await store.let_go()
        assert types_of(await reading)[-1] == "response.completed"
        await run.opened


async def test_what_is_committed_is_read_and_what_is_not_is_not(tmp_path):
    store = Withholding(tmp_path)
    reached, more = asyncio.Event(), asyncio.Event()

    def script(turn):
        yield [Text("One.")]
        reached.set()
        yield more
        yield [Text("Two.")]
        yield [Finished()]

    async with stage(tmp_path, ScriptedModel(script), store=store) as engine:
        run = await create(engine, stream=True)
        frames = engine.frames_of(run)
        await reached.wait()
        seen = b""
        while b"One." not in seen:
            seen += await anext(frames)
        store.withholds = True
        more.set()
        await asyncio.wait((run.task,))
        following = asyncio.ensure_future(anext(frames))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not following.done()
        assert b"Two." not in seen
        await store.let_go()
        assert b"Two." in await following


async def test_get_shows_what_was_said_when_it_came_and_waits_until_that_is_in_the_journal(tmp_path):
    store = Withholding(tmp_path)
    said_one, said_two, more, enough = (asyncio.Event() for _ in range(4))

    def script(turn):
        yield [Text("One.")]
        said_one.set()
        yield more
        yield [Text("Two.")]
        said_two.set()
        yield enough
        yield [Finished()]

    async with stage(tmp_path, ScriptedModel(script), store=store) as engine:
        run = await create(engine, background=True)
        await said_one.wait()
        await engine.journal.barrier()
        store.withholds = True
        more.set()
        await said_two.wait()
        asking = asyncio.create_task(retrieve(engine, run.turn.response_id))
        await asyncio.sleep(0)
        enough.set()
        await asyncio.wait((run.task,))
        assert not asking.done()
        await store.let_go()
        shown = await asking
        assert shown["status"] == "in_progress"
        assert text_of(shown) == "One.Two."


async def test_all_that_is_said_during_a_commit_goes_into_the_next(tmp_path):
    store = Withholding(tmp_path)
    async with stage(tmp_path, ScriptedModel(said(LONG)), store=store) as engine:
        store.withholds = True
        runs = [await create(engine, stream=True) for _ in range(10)]
        await asyncio.wait([run.task for run in runs])
        before = len(store.batches)
        await store.let_go()
        await asyncio.gather(*(run.result() for run in runs))
        assert len(store.batches) == before + 1
        assert len(store.batches[-1].stretches) == 10


# From any number


@pytest.mark.parametrize("background", [True, False])
async def test_resuming_after_each_number_gives_exactly_the_rest(tmp_path, background):
    async with stage(tmp_path, ScriptedModel(said(LONG))) as engine:
        run = await create(engine, background=background)
        await run.result()
        response_id = run.turn.response_id
        whole = await read(engine, response_id)
        frames = frames_of(whole)
        assert [event["sequence_number"] for event in events_of(whole)] == list(range(len(frames)))
        for number in range(-1, len(frames) + 2):
            assert await read(engine, response_id, after=number) == b"".join(frames[number + 1 :])


async def test_a_reader_that_comes_in_the_middle_sees_the_same_stream(tmp_path):
    texts = [LONG[at : at + 3] for at in range(0, len(LONG), 3)]
    readers = []

    def script(turn):
        yield []
        for number, text in enumerate(texts):
            yield [Text(text)]
            after = number * 2 - 1
            readers.append((after, asyncio.create_task(read(engine, turn.response_id, after=after))))
        yield [Finished()]

    async with stage(tmp_path, ScriptedModel(script)) as engine:
        run = await create(engine, background=True)
        whole = frames_of(await read(engine, run.turn.response_id))
        assert len(readers) == len(texts)
        for after, reading in readers:
            assert await reading == b"".join(whole[after + 1 :])


async def test_many_followers_of_one_response_see_the_same_bytes(tmp_path):
    gate = asyncio.Event()
    async with stage(tmp_path, ScriptedModel([[], gate, *said(LONG)])) as engine:
        run = await create(engine, background=True)
        readers = [asyncio.create_task(read(engine, run.turn.response_id)) for _ in range(50)]
        await asyncio.sleep(0)
        gate.set()
        wholes = await asyncio.gather(*readers)
    assert len(set(wholes)) == 1
    assert types_of(wholes[0])[-1] == "response.completed"


async def test_a_reader_that_leaves_disturbs_nobody(tmp_path):
    gate = asyncio.Event()
    async with stage(tmp_path, ScriptedModel([[], [Text("Half")], gate, *said()[1:]])) as engine:
        run = await create(engine, background=True)
        leaving = asyncio.create_task(read(engine, run.turn.response_id))
        staying = asyncio.create_task(read(engine, run.turn.response_id))
        await engine.journal.barrier()
        leaving.cancel()
        gate.set()
        assert types_of(await staying)[-1] == "response.completed"


async def test_a_foreign_or_unknown_response_cannot_be_followed(tmp_path):
    async with stage(tmp_path, background_slots=0) as engine:
        run = await create(engine, background=True)
        for project, response_id in (("other", run.turn.response_id), (PROJECT, "resp_unknown")):
            with pytest.raises(NotFound):
                await engine.follow(project, response_id, -1)
            with pytest.raises(NotFound):
                await engine.retrieve(project, response_id)


# Slow readers


async def test_a_slow_reader_of_a_stored_response_costs_no_memory_and_misses_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(journals, "SPILL", 10_000)
    most = 0

    def script(turn):
        nonlocal most
        yield []
        for number in range(600):
            yield [Text(f"{number:03} " + "x" * 500)]
            yield engine.journal.barrier()
            most = max(most, run.log.size)
        yield [Finished()]

    async with stage(tmp_path, ScriptedModel(script)) as engine:
        run = await create(engine, stream=True)
        frames = engine.frames_of(run)
        whole = await anext(frames)
        await run.result()
        assert most < 20_000
        assert rows(tmp_path, "SELECT count(*) > 20 FROM stretches") == [(1,)]
        whole += await bytes_of(frames)
        assert whole == await read(engine, run.turn.response_id)
    deltas = [event["delta"][:3] for event in events_of(whole) if event["type"] == "response.output_text.delta"]
    assert deltas == [f"{number:03}" for number in range(600)]


async def test_a_store_that_is_slow_slows_the_model_down(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "BACKLOG", 10_000)
    monkeypatch.setattr(journals, "SPILL", 5_000)
    store = Withholding(tmp_path)
    asked = 0

    def script(turn):
        nonlocal asked
        yield []
        for _ in range(300):
            asked += 1
            yield [Text("x" * 500)]
        yield [Finished()]

    async with stage(tmp_path, ScriptedModel(script), store=store) as engine:
        store.withholds = True
        run = await create(engine, stream=True)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert not run.task.done()
        assert 5 < asked < 30
        await store.let_go()
        assert (await run.result()).status == "completed"


async def test_an_unstored_response_whose_reader_is_slow_is_not_read_on(tmp_path, monkeypatch):
    monkeypatch.setattr(logs, "WINDOW", 10_000)
    asked = 0

    def script(turn):
        nonlocal asked
        yield []
        for number in range(300):
            asked += 1
            yield [Text(f"{number:03} " + "x" * 500)]
        yield [Finished()]

    async with stage(tmp_path, ScriptedModel(script)) as engine:
        run = await create(engine, stream=True, store=False)
        frames = engine.frames_of(run)
        whole = await anext(frames)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert asked < 40
        assert run.log.size < 20_000
        before = asked
        whole += await anext(frames)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert before < asked < before + 40
        whole += await bytes_of(frames)
    deltas = [event["delta"][:3] for event in events_of(whole) if event["type"] == "response.output_text.delta"]
    assert deltas == [f"{number:03}" for number in range(300)]


# What `include` decides


async def test_hidden_content_is_shown_to_those_who_ask_live_and_later(tmp_path):
    thought = items.Reasoning(summary=[], encrypted_content="c2VjcmV0")
    gate = asyncio.Event()

    def script(turn):
        yield []
        yield gate
        yield [ItemStarted(0, items.Reasoning(summary=[]))]
        yield [ItemDone(0, thought)]
        yield from said()[1:]

    async with stage(tmp_path, ScriptedModel(script)) as engine:
        run = await create(engine, background=True)
        response_id = run.turn.response_id
        live = [asyncio.create_task(read(engine, response_id, include=shown)) for shown in ((), (ENCRYPTED,))]
        await asyncio.sleep(0)
        gate.set()
        hidden, shown = await asyncio.gather(*live)
        assert b"c2VjcmV0" in shown
        assert b"c2VjcmV0" not in hidden
        assert types_of(hidden) == types_of(shown)
        assert await read(engine, response_id) == hidden
        assert await read(engine, response_id, include=(ENCRYPTED,)) == shown
        assert "encrypted_content" not in (await retrieve(engine, response_id))["output"][0]
        assert (await retrieve(engine, response_id, (ENCRYPTED,)))["output"][0]["encrypted_content"] == "c2VjcmV0"


async def test_who_asked_at_creation_sees_it_always(tmp_path):
    thought = items.Reasoning(summary=[], encrypted_content="c2VjcmV0")
    script = [[], [ItemStarted(0, thought), ItemDone(0)], *said()[1:]]
    async with stage(tmp_path, ScriptedModel(script)) as engine:
        run = await create(engine, include=[ENCRYPTED])
        response = await run.result()
        assert b"c2VjcmV0" in await read(engine, response.id)
        assert (await retrieve(engine, response.id))["output"][0]["encrypted_content"] == "c2VjcmV0"


# Deletion


async def test_what_runs_cannot_be_deleted_and_what_is_over_leaves_no_row(tmp_path):
    gate = asyncio.Event()
    async with stage(tmp_path, ScriptedModel([[], gate, *said()])) as engine:
        run = await create(engine, background=True)
        with pytest.raises(Conflict):
            await engine.delete(PROJECT, run.turn.response_id)
        gate.set()
        await run.result()
        await asyncio.wait((run.task,))
        await engine.delete(PROJECT, run.turn.response_id)
        with pytest.raises(NotFound):
            await engine.retrieve(PROJECT, run.turn.response_id)
        with pytest.raises(NotFound):
            await engine.delete(PROJECT, run.turn.response_id)
        for table in ("responses", "stretches", "facts", "items", "segments"):
            assert rows(tmp_path, f"SELECT * FROM {table}") == []


async def test_a_reader_of_a_deleted_log_is_told_so(tmp_path, monkeypatch):
    """Another program may delete what this one still reads."""
    monkeypatch.setattr(journals, "SPILL", 100)
    gate = asyncio.Event()
    async with stage(tmp_path, ScriptedModel([[], [Text("x" * 500)], gate])) as engine:
        run = await create(engine, background=True)
        while run.log.first == 0:
            await engine.journal.barrier()
        await engine.store.delete(PROJECT, run.turn.response_id)
        with pytest.raises(NotFound):
            await read(engine, run.turn.response_id)
