"""A client that leaves, and a server that ends: the upstream is closed at once, and nothing is left half-said."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.engine.engine import Engine, EngineSettings
from antiphon.testing import FakeClock, Only, ScriptedModel, said
from antiphon.turn.deltas import Arguments, Finished, ItemDone, ItemStarted, Text
from antiphon.wire.errors import Unavailable
from antiphon.wire.items import FunctionCall
from antiphon.wire.tools import FunctionTool
from tests.engine.stage import Reader, bytes_of, create, events_of, read, retrieve, stage, text_of, types_of
from tests.stores.disk import TroubledStore, rows
from tests.support import grammar

pytestmark = pytest.mark.anyio

WINDOWS = {"not accepted": [], "no token": [[]], "mid-stream": [[], [Text("Half")]]}
WAYS = {
    "plain": {},
    "stream": {"stream": True},
    "unstored": {"store": False},
    "unstored stream": {"store": False, "stream": True},
}


def hanging(*before):
    """A model that says some batches and then nothing; and the event that says when."""
    reached = asyncio.Event()

    def script(turn):
        yield from before
        reached.set()
        yield asyncio.Event()

    return ScriptedModel(script), reached


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("way", WAYS)
async def test_a_client_that_leaves_closes_the_upstream_in_every_window(tmp_path, window, way):
    model, reached = hanging(*WINDOWS[window])
    async with stage(tmp_path, model) as engine:
        run = await create(engine, **WAYS[way])
        await reached.wait()
        assert model.open == 1
        engine.left(run)
        await asyncio.wait((run.task,))
        assert model.open == 0
        await engine.journal.idle()
        assert engine.runs == {}
        stored = rows(tmp_path, "SELECT status FROM responses")
        assert stored == ([("cancelled",)] if "store" not in WAYS[way] and window != "not accepted" else [])
        if stored:
            response = await retrieve(engine, run.turn.response_id)
            assert text_of(response) == ("Half" if window == "mid-stream" else "")


async def test_a_client_that_leaves_within_the_hold_learns_nothing_and_nobody_else_does(tmp_path):
    model, reached = hanging()
    async with stage(tmp_path, model) as engine:
        run = await create(engine)
        await reached.wait()
        engine.left(run)
        with pytest.raises(Unavailable, match="cancelled before it began"):
            await run.result()


async def test_a_client_that_leaves_at_once_leaves_nothing_running(tmp_path):
    async with stage(tmp_path) as engine:
        run = await create(engine, stream=True)
        engine.left(run)
        assert (await run.result()).status == "cancelled"
        await asyncio.wait((run.task,))
        await engine.journal.idle()
        assert engine.runs == {}


class Slow:
    """A hosted tool that does not come to an end."""

    def __init__(self):
        self.begun = asyncio.Event()
        self.is_running = False

    def functions(self, declared):
        return [FunctionTool(name="search", parameters={}, strict=False)]

    async def run(self, call, tell):
        self.is_running = True
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.is_running = False
        return ""


async def test_a_client_that_leaves_between_two_turns_stops_the_tools(tmp_path):
    call = FunctionCall(call_id="call_1", name="search", arguments="")
    model = ScriptedModel([[], [ItemStarted(0, call), Arguments(0, "{}"), ItemDone(0)], [Finished()]])
    tool, store = Slow(), TroubledStore(tmp_path)
    engine = Engine(Only(model), store, FakeClock(), EngineSettings(), {"web_search": tool})
    await engine.start()
    run = await create(engine, tools=[{"type": "web_search"}])
    await tool.begun.wait()
    assert model.open == 0
    engine.left(run)
    await asyncio.wait((run.task,))
    assert not tool.is_running
    assert len(model.turns) == 1
    await engine.aclose()
    assert rows(tmp_path, "SELECT status FROM responses") == [("cancelled",)]


async def test_a_stored_response_goes_on_without_its_client_if_that_is_configured(tmp_path):
    gate = asyncio.Event()
    model = ScriptedModel([[], gate, *said()[1:]])
    async with stage(tmp_path, model, on_disconnect="continue") as engine:
        run = await create(engine, stream=True)
        engine.left(run)
        gate.set()
        assert (await run.result()).status == "completed"


async def test_an_unstored_response_does_not_go_on_whatever_is_configured(tmp_path):
    model, reached = hanging([])
    async with stage(tmp_path, model, on_disconnect="continue") as engine:
        run = await create(engine, stream=True, store=False)
        await reached.wait()
        engine.left(run)
        await asyncio.wait((run.task,))
        assert model.open == 0


async def test_a_background_response_does_not_need_its_client(tmp_path):
    gate = asyncio.Event()
    async with stage(tmp_path, ScriptedModel([[], gate, *said()[1:]])) as engine:
        run = await create(engine, background=True, stream=True)
        engine.left(run)
        gate.set()
        assert (await run.result()).status == "completed"


# The end of the process


async def test_an_end_lets_foreground_responses_finish_within_the_grace(tmp_path):
    reached, gate = asyncio.Event(), asyncio.Event()

    def script(turn):
        yield [Text("Half")]
        reached.set()
        yield gate
        yield from said()[1:]

    async with stage(tmp_path, ScriptedModel(script)) as engine:
        run = await create(engine, stream=True)
        reading = asyncio.create_task(bytes_of(engine.frames_of(run)))
        await reached.wait()
        closing = asyncio.create_task(engine.aclose(grace=3600))
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="stopping"):
            await create(engine)
        gate.set()
        await closing
        assert types_of(await reading)[-1] == "response.completed"


@pytest.mark.parametrize("store", [True, False])
async def test_an_end_without_grace_fails_foreground_responses_with_what_they_said(tmp_path, store):
    model, reached = hanging([Text("Half")])
    async with stage(tmp_path, model) as engine:
        run = await create(engine, stream=True, store=store)
        reading = asyncio.create_task(bytes_of(engine.frames_of(run)))
        await reached.wait()
        await engine.aclose()
        whole = await reading
        assert model.open == 0
    grammar.check(events_of(whole))
    final = events_of(whole)[-1]["response"]
    assert (final["status"], text_of(final)) == ("failed", "Half")


async def test_an_end_tells_a_request_in_its_hold_to_come_back(tmp_path):
    model, reached = hanging()
    async with stage(tmp_path, model) as engine:
        run = await create(engine)
        await reached.wait()
        await engine.aclose()
        with pytest.raises(Unavailable, match="stopping"):
            await run.result()
    assert rows(tmp_path, "SELECT * FROM responses") == []


async def test_background_responses_are_left_to_the_next_start_and_their_readers_get_a_hint(tmp_path):
    model, reached = hanging([Text("Half")])
    async with stage(tmp_path, model) as engine:
        run = await create(engine, background=True)
        reader = Reader(engine.frames_of(run))
        await reached.wait()
        await engine.aclose(grace=3600)
        await reader.end()
        assert isinstance(reader.error, Unavailable)
        assert reader.error.retry_after
        assert b"Half" in reader.seen
        assert model.open == 0
    assert rows(tmp_path, "SELECT owner, attempts, response FROM responses") == [(None, 0, None)]
    async with stage(tmp_path) as engine:
        whole = await read(engine, run.turn.response_id)
    assert whole.startswith(reader.seen)
    grammar.check(events_of(whole))
    assert types_of(whole)[-1] == "response.completed"


async def test_what_waits_for_a_slot_is_left_to_the_next_start_too(tmp_path):
    async with stage(tmp_path, background_slots=0) as engine:
        run = await create(engine, background=True)
        reading = asyncio.create_task(bytes_of(engine.frames_of(run)))
        await engine.aclose()
        with pytest.raises(Unavailable):
            await reading
    async with stage(tmp_path) as engine:
        assert types_of(await read(engine, run.turn.response_id))[-1] == "response.completed"


async def test_a_request_that_comes_while_the_server_ends_begins_nothing(tmp_path):
    async with stage(tmp_path) as engine:
        earlier = await (await create(engine)).result()
        asking = asyncio.create_task(create(engine, previous_response_id=earlier.id))
        await asyncio.sleep(0)
        await engine.aclose()
        with pytest.raises(Unavailable):
            await asking
    assert rows(tmp_path, "SELECT count(*) FROM responses") == [(1,)]


async def test_a_closed_engine_answers_with_an_outage_and_does_not_hang(tmp_path):
    async with stage(tmp_path) as engine:
        response = await (await create(engine)).result()
        await engine.aclose()
        with pytest.raises(Unavailable):
            await retrieve(engine, response.id)
        with pytest.raises(Unavailable):
            await read(engine, response.id)
