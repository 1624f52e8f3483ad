"""All parts of a client together: on both servers, on broken connections, and when whoever asked is gone."""

from __future__ import annotations

import asyncio
import gc

import pytest
from openai import AsyncOpenAI, OpenAI

from antiphon.client import (
    AsyncClient,
    Budget,
    Cache,
    Client,
    Costs,
    Moderation,
    Optimiser,
    OptionError,
    RuleList,
    StreamFailed,
)
from antiphon.client.parts import _KINDS, parts_of
from tests.client.recorded import TEXT, recording
from tests.support.answers import Gate, stream
from tests.support.response_events import sse_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

ASKED = {"model": "m", "input": "Hi."}
HEAD = b"\r\n\r\n"


@pytest.fixture
def prices(tmp_path):
    file = tmp_path / "prices.toml"
    file.write_text('[[price]]\nmodel = "*"\ninput = 1\noutput = 10\n')
    return file


@pytest.fixture
def parts(prices):
    """One of each."""
    return {
        "optimiser": Optimiser(context_window=10_000),
        "cache": Cache(),
        "costs": Costs(prices=prices, budgets=Budget("100")),
        "moderation": Moderation(RuleList(words={"house": ["bluebird"]})),
    }


async def collect(stream) -> list:
    return [event async for event in stream]


async def test_all_parts_together_give_the_same_answer(async_client, in_thread, base_url, parts):
    asked = {"model": "rehearsed", "input": "Hi."}
    plain = await async_client(base_url).create(**asked)
    client = async_client(base_url, **parts)
    for _ in range(2):
        events = await collect(client.stream(**asked))
        assert [event.sequence_number for event in events] == list(range(len(events)))
        assert events[-1].response.output_text == plain.output_text
    again = await in_thread(base_url, lambda c: c.create(**asked), **parts)
    assert (again.status, again.output_text, again.usage) == (plain.status, plain.output_text, plain.usage)
    assert parts["cache"].statistics.hits == 2
    assert parts["costs"].summary().requests == 1


async def test_a_background_stream_that_is_cut_at_any_byte_gives_each_event_once(async_client, upstream, parts):
    client = async_client(upstream.base_url, **parts)
    upstream.events = recording("µm", background=True)
    answer = stream(sse_of(upstream.events))
    for cut in range(answer.after(HEAD), len(answer.wire), 7):
        upstream.spoil_first(lambda answer, cut=cut: answer.cut_after(cut))
        events = await collect(client.stream(**ASKED, background=True))
        assert [event.sequence_number for event in events] == list(range(len(upstream.events))), cut
        assert events[-1].response.output_text == "µm"


async def test_any_other_stream_that_is_cut_is_whole_or_an_error_and_is_never_kept(async_client, upstream, parts):
    client = async_client(upstream.base_url, **parts, retry=False)
    answer = stream(sse_of(recording()))
    for cut in range(answer.after(HEAD), len(answer.wire) - 40, 50):
        upstream.spoil_first(lambda answer, cut=cut: answer.cut_after(cut))
        reading = client.stream(**ASKED)
        with pytest.raises(StreamFailed) as caught:
            await collect(reading)
        assert TEXT.startswith(reading.text)
        assert caught.value.partial is None or caught.value.partial.output_text == reading.text
        assert len(parts["cache"]) == 0
    assert parts["costs"].left(parts["costs"].budgets[0]) > 99


@pytest.mark.parametrize("how", ["cancel", "close", "drop", "break"])
async def test_who_leaves_leaves_nothing_behind(async_client, upstream, parts, how):
    gate = Gate()
    upstream.events = recording("Well. " * 20)
    upstream.change = lambda answer, _: answer.gated(gate)
    gate.release(20)
    before = asyncio.all_tasks()
    reading = async_client(upstream.base_url, **parts).stream(**ASKED)
    await anext(reading)
    match how:
        case "cancel":
            task = asyncio.create_task(collect(reading))
            await until(lambda: reading.text)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        case "close":
            await reading.close()
        case "drop":
            del reading
            gc.collect()
        case "break":
            async for _ in reading:
                break
            reading = None
            gc.collect()
    await upstream.closed_by_peer()
    await asyncio.sleep(0)
    assert not parts["cache"]._flights
    assert not parts["costs"]._reserved
    own = [task for task in asyncio.all_tasks() - before if "antiphon" in repr(task.get_coro())]
    assert not own


async def test_what_a_sync_client_drops_leaves_nothing_behind(in_thread, upstream, parts):
    gate = Gate()
    upstream.change = lambda answer, _: answer.gated(gate)
    gate.release(8)

    def look(client):
        for _ in client.stream(**ASKED):
            break
        gc.collect()

    await in_thread(upstream.base_url, look, **parts)
    await upstream.closed_by_peer()
    assert not parts["cache"]._flights
    assert not parts["costs"]._reserved


def test_the_parts_stand_in_this_order():
    assert list(_KINDS) == ["optimiser", "cache", "costs", "moderation"]
    given = {"optimiser": True, "cache": True, "costs": None, "moderation": Moderation(RuleList(words={"a": ["b"]}))}
    assert [type(part) for part in parts_of(given)] == [Optimiser, Cache, Moderation]


@pytest.mark.parametrize("name", ["optimiser", "cache", "costs", "moderation"])
@pytest.mark.parametrize(("kind", "sdk"), [(AsyncClient, AsyncOpenAI), (Client, OpenAI)])
def test_what_is_no_part_is_refused_by_its_name(name, kind, sdk):
    with pytest.raises(OptionError) as caught:
        kind(sdk(api_key="none"), **{name: 3})
    assert caught.value.option == name
