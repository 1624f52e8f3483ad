"""A background response survives the death of its process, in whichever moment that came."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.testing import FakeClock, Only, ScriptedModel, said
from antiphon.turn.deltas import Arguments, Finished, ItemDone, ItemStarted, Reasoning, Text
from antiphon.wire import items
from antiphon.wire.errors import Unavailable
from antiphon.wire.items import FunctionCall
from tests.engine.stage import bytes_of, crash, create, events_of, read, retrieve, stage, text_of, types_of
from tests.stores.disk import rows
from tests.support import grammar, sdk_oracle

pytestmark = pytest.mark.anyio

LOOK = {"type": "function", "name": "look", "parameters": {"type": "object"}}


def call(key, call_id, name="look"):
    return ItemStarted(key, FunctionCall(call_id=call_id, name=name, arguments="", status="in_progress"))


class Interrupted:
    """A response whose process died after its model had said some batches."""

    def __init__(self, response_id, told, folder):
        self.id = response_id
        self.told = told
        self.folder = folder


async def interrupted(folder, *batches, background=True, **body):
    """Let a model say the batches, then kill the process."""
    reached = asyncio.Event()

    def script(turn):
        yield from batches
        reached.set()
        yield asyncio.Event()

    async with stage(folder / "first", ScriptedModel(script)) as engine:
        run = await create(engine, background=background, **body)
        await reached.wait()
        copy = await crash(engine, folder / "second")
        told = await read_committed(run)
    return Interrupted(run.turn.response_id, told, copy)


async def read_committed(run):
    """What a reader may have seen."""
    seen = b""
    while seen.count(b"\n\n") < run.log.committed:
        seen += await anext(run.log.follow(seen.count(b"\n\n")))
    return seen


def check(before, whole):
    """The log goes on after what was told, and all of it follows the grammar and the types of the SDK."""
    assert whole.startswith(before.told)
    told = events_of(whole)
    grammar.check(told)
    assert not [problem for event in told for problem in sdk_oracle.validate_event(event)]


async def test_a_queued_response_runs(tmp_path):
    async with stage(tmp_path / "first", background_slots=0) as engine:
        run = await create(engine, background=True)
        copy = await crash(engine, tmp_path / "second")
    async with stage(copy) as engine:
        whole = await read(engine, run.turn.response_id)
    grammar.check(events_of(whole))
    assert types_of(whole)[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert text_of(events_of(whole)[-1]["response"]) == "Hello there."


async def test_a_response_that_had_said_nothing_begins_to_speak(tmp_path):
    before = await interrupted(tmp_path, [])
    async with stage(before.folder) as engine:
        whole = await read(engine, before.id)
    check(before, whole)
    assert types_of(whole).count("response.in_progress") == 1
    assert text_of(events_of(whole)[-1]["response"]) == "Hello there."


async def test_half_a_message_is_closed_and_the_turn_runs_again_without_it(tmp_path):
    before = await interrupted(tmp_path, [Text("Half a")], [Text(" mess")])
    model = ScriptedModel()
    async with stage(before.folder, model) as engine:
        whole = await read(engine, before.id)
        assert await retrieve(engine, before.id) == events_of(whole)[-1]["response"]
    check(before, whole)
    final = events_of(whole)[-1]["response"]
    assert [(item["status"], item["content"][0]["text"]) for item in final["output"]] == [
        ("incomplete", "Half a mess"),
        ("completed", "Hello there."),
    ]
    assert [item.content[0].text for item in model.turns[0].items] == ["Hi."]
    assert model.turns[0].number == 1


async def test_a_model_that_continues_goes_on_within_the_half_message(tmp_path):
    before = await interrupted(tmp_path, [Text("Half a")], [Text(" mess")])
    model = ScriptedModel([[], [Text("age.")], [Finished()]], continues=True)
    async with stage(before.folder, model) as engine:
        whole = await read(engine, before.id)
    check(before, whole)
    (item,) = events_of(whole)[-1]["response"]["output"]
    assert (item["status"], item["content"][0]["text"]) == ("completed", "Half a message.")
    assert model.turns[0].prefix.content[0].text == "Half a mess"


async def test_a_model_that_continues_is_not_asked_to_continue_half_a_call(tmp_path):
    before = await interrupted(tmp_path, [call(0, "call_1"), Arguments(0, '{"ci')], tools=[LOOK])
    model = ScriptedModel(continues=True)
    async with stage(before.folder, model) as engine:
        whole = await read(engine, before.id)
    check(before, whole)
    assert model.turns[0].prefix is None


async def test_half_a_call_is_closed_and_nobody_is_told_of_it(tmp_path):
    before = await interrupted(tmp_path, [call(0, "call_1"), Arguments(0, '{"ci')], tools=[LOOK])
    model = ScriptedModel()
    async with stage(before.folder, model) as engine:
        whole = await read(engine, before.id)
        later = await create(engine, previous_response_id=before.id, input="Go on.")
        await later.result()
    check(before, whole)
    output = events_of(whole)[-1]["response"]["output"]
    assert [(item["type"], item["status"]) for item in output] == [
        ("function_call", "incomplete"),
        ("message", "completed"),
    ]
    assert not any(isinstance(item, FunctionCall) for turn in model.turns for item in turn.items)


async def test_a_finished_call_ends_the_turn_and_nothing_is_asked_twice(tmp_path):
    before = await interrupted(tmp_path, [call(0, "call_1"), Arguments(0, "{}"), ItemDone(0)], tools=[LOOK])
    model = ScriptedModel()
    async with stage(before.folder, model) as engine:
        whole = await read(engine, before.id)
    check(before, whole)
    final = events_of(whole)[-1]["response"]
    assert final["status"] == "completed"
    assert [item["status"] for item in final["output"]] == ["completed"]
    assert model.turns == []


async def test_a_finished_call_beside_half_a_call_ends_the_turn_too(tmp_path):
    batch = [call(0, "call_1"), Arguments(0, "{}"), ItemDone(0), call(1, "call_2"), Arguments(1, '{"')]
    before = await interrupted(tmp_path, batch, tools=[LOOK])
    model = ScriptedModel()
    async with stage(before.folder, model) as engine:
        whole = await read(engine, before.id)
    check(before, whole)
    final = events_of(whole)[-1]["response"]
    assert final["status"] == "completed"
    assert [item["status"] for item in final["output"]] == ["completed", "incomplete"]
    assert model.turns == []


async def test_finished_items_are_history_and_half_ones_are_not(tmp_path):
    before = await interrupted(tmp_path, [Reasoning("I think.")], [Text("Said."), call(0, "call_1")], tools=[LOOK])
    model = ScriptedModel()
    async with stage(before.folder, model) as engine:
        whole = await read(engine, before.id)
    check(before, whole)
    user, reasoning, message = model.turns[0].items
    assert user.content[0].text == "Hi."
    assert reasoning.content[0].text == "I think."
    assert message.content[0].text == "Said."


async def test_a_second_take_over_builds_on_nothing_that_the_first_cut(tmp_path):
    before = await interrupted(tmp_path, [call(0, "call_1"), Arguments(0, '{"ci')], tools=[LOOK])
    reached = asyncio.Event()

    def script(turn):
        yield [Text("Half again")]
        reached.set()
        yield asyncio.Event()

    async with stage(before.folder, ScriptedModel(script)) as engine:
        await reached.wait()
        again = await crash(engine, tmp_path / "third")
    model = ScriptedModel()
    async with stage(again, model) as engine:
        whole = await read(engine, before.id)
    check(before, whole)
    final = events_of(whole)[-1]["response"]
    assert [item["status"] for item in final["output"]] == ["incomplete", "incomplete", "completed"]
    assert len({item["id"] for item in final["output"]}) == 3
    assert [item.content[0].text for item in model.turns[0].items] == ["Hi."]


async def test_attempts_are_bounded(tmp_path):
    before = await interrupted(tmp_path, [Text("Half a")])
    model = ScriptedModel()
    async with stage(before.folder, model, max_attempts=1) as engine:
        whole = await read(engine, before.id)
    check(before, whole)
    final = events_of(whole)[-1]["response"]
    assert final["status"] == "failed"
    assert final["error"]["code"] == "server_error"
    assert "interrupted 1 times" in final["error"]["message"]
    assert text_of(final) == "Half a"
    assert model.turns == []


async def test_a_response_whose_model_is_gone_fails(tmp_path):
    before = await interrupted(tmp_path, [Text("Half a")])
    async with stage(before.folder, Only(ScriptedModel(name="another"))) as engine:
        whole = await read(engine, before.id)
    check(before, whole)
    assert "'scripted' does not exist" in events_of(whole)[-1]["response"]["error"]["message"]


async def test_a_response_whose_history_was_deleted_fails(tmp_path):
    async with stage(tmp_path / "first") as engine:
        earlier = await create(engine)
        await earlier.result()
        await engine.store.aclose()
    gate = asyncio.Event()
    async with stage(tmp_path / "first", ScriptedModel([[], gate])) as engine:
        run = await create(engine, background=True, previous_response_id=earlier.turn.response_id)
        await engine.delete("default", earlier.turn.response_id)
        copy = await crash(engine, tmp_path / "second")
    async with stage(copy) as engine:
        final = events_of(await read(engine, run.turn.response_id))[-1]["response"]
    assert final["status"] == "failed"
    assert "not found" in final["error"]["message"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_foreground_response_that_was_cut_is_failed_with_its_partial_output(tmp_path, stream):
    before = await interrupted(tmp_path, [Text("Half a")], [Text(" mess")], background=False, stream=stream)
    model = ScriptedModel()
    async with stage(before.folder, model) as engine:
        whole = await read(engine, before.id)
        assert await retrieve(engine, before.id) == events_of(whole)[-1]["response"]
    check(before, whole)
    final = events_of(whole)[-1]["response"]
    assert final["status"] == "failed"
    assert text_of(final) == "Half a mess"
    assert model.turns == []


async def test_a_start_takes_over_all_leases_at_once_and_waits_for_none(tmp_path):
    before = await interrupted(tmp_path, [Text("Half a")])
    assert rows(before.folder, "SELECT owner IS NULL FROM responses") == [(0,)]
    clock = FakeClock()
    async with stage(before.folder, clock=clock) as engine:
        assert types_of(await read(engine, before.id))[-1] == "response.completed"
    assert clock.monotonic() == 0


async def test_what_is_over_is_left_alone(tmp_path):
    async with stage(tmp_path / "first") as engine:
        runs = [await create(engine, background=background) for background in (True, False)]
        before = [await read(engine, run.turn.response_id) for run in runs]
        copy = await crash(engine, tmp_path / "second")
    model = ScriptedModel()
    async with stage(copy, model) as engine:
        assert [await read(engine, run.turn.response_id) for run in runs] == before
        assert engine.runs == {}
    assert model.turns == []


async def test_a_reader_continues_where_it_was_cut_and_sees_one_stream(tmp_path):
    before = await interrupted(tmp_path, [Text("Half a")], [Text(" mess")])
    seen = before.told
    async with stage(before.folder) as engine:
        number = events_of(seen)[-1]["sequence_number"]
        rest = await read(engine, before.id, after=number)
        whole = await read(engine, before.id)
    assert seen + rest == whole


async def test_hidden_content_of_before_the_crash_stays_hidden(tmp_path):
    thought = items.Reasoning(summary=[], encrypted_content="secret")
    before = await interrupted(tmp_path, [ItemStarted(0, thought), ItemDone(0), Text("Half")])
    gate = asyncio.Event()
    async with stage(before.folder, ScriptedModel([gate, *said()])) as engine:
        opened = asyncio.create_task(read(engine, before.id, include=["reasoning.encrypted_content"]))
        hidden = asyncio.create_task(read(engine, before.id))
        await asyncio.sleep(0)
        gate.set()
        assert b"secret" in await opened
        assert b"secret" not in await hidden


async def test_a_store_that_fails_at_the_start_is_closed_again(tmp_path):
    (tmp_path / "antiphon.db").write_bytes(b"This is a letter, not a database." * 100)
    for _ in range(2):
        with pytest.raises(Unavailable, match="not a database"):
            async with stage(tmp_path):
                pass


async def test_the_frames_of_a_run_are_those_of_its_log(tmp_path):
    async with stage(tmp_path) as engine:
        run = await create(engine, background=True)
        whole = await bytes_of(engine.frames_of(run))
        assert whole == await read(engine, run.turn.response_id)
