"""The response cache: real streams, given again; one call for equal requests of one moment."""

from __future__ import annotations

import asyncio
import sqlite3
import threading

import pytest
from openai import AsyncOpenAI

from antiphon.client import AsyncClient, DeadlineExceeded, OptionError, ServerFailed
from antiphon.client.cache import Cache, replayed_from
from antiphon.client.records import Began, Cached, Ended, FirstOutput
from antiphon.testing import FakeClock
from tests.client.recorded import ID, TEXT, message, numbered, recording, response
from tests.support.answers import Gate, error_answer
from tests.support.grammar import check
from tests.support.sdk_models import catalog
from tests.support.serving import serving
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

ASKED = {"model": "m", "input": "Hi."}


async def collect(stream) -> list:
    return [event async for event in stream]


def without_ids(events) -> list:
    """Events as JSON, ids and times left out."""
    told = [event.to_dict(mode="json") for event in events]

    def bare(value):
        match value:
            case dict():
                left_out = {"id", "item_id", "created_at", "completed_at"}
                return {name: bare(each) for name, each in value.items() if name not in left_out}
            case list():
                return [bare(each) for each in value]
        return value

    return bare(told)


# Replays


async def test_an_answer_is_given_again_as_the_same_stream_under_other_ids(async_client, base_url):
    client = async_client(base_url, cache=True)
    asked = {"model": "rehearsed", "input": "Hi."}
    first, second, third = [await collect(client.stream(**asked)) for _ in range(3)]
    assert without_ids(first) == without_ids(second) == without_ids(third)
    assert [type(event) for event in first] == [type(event) for event in second]
    ids = [events[-1].response.id for events in (first, second, third)]
    assert len(set(ids)) == 3
    assert [replayed_from(each) for each in ids] == [None, ids[0], ids[0]]
    items = [events[-1].response.output[0].id for events in (first, second)]
    assert replayed_from(items[1]) == items[0]
    assert second[-2].item.id == items[1] == second[3].item_id


async def test_a_replay_is_a_true_stream(async_client):
    async with serving(catalog()) as served:
        client = async_client(f"{served.url}/v1", cache=True)
        await client.create(model="rehearsed", input="Hi.")
        events = await collect(client.stream(model="rehearsed", input="Hi."))
    check([event.to_dict(mode="json") for event in events])


async def test_the_sync_client_has_the_same_cache(in_thread, upstream):
    cache = Cache()
    texts = [await in_thread(upstream.base_url, lambda c: c.create(**ASKED).output_text, cache=cache) for _ in "ab"]
    assert texts == [TEXT, TEXT]
    assert len(upstream.requests) == 1
    assert (cache.statistics.hits, cache.statistics.misses, cache.statistics.saved.total_tokens) == (1, 1, 8)


async def test_observers_are_told_what_the_cache_did(async_client, upstream):
    records = []
    client = async_client(upstream.base_url, cache=True, observers=records.append)
    await client.create(**ASKED)
    await client.create(**ASKED)
    kinds = [type(record) for record in records]
    assert kinds == [Began, Cached, FirstOutput, Ended] * 2
    assert [record.mark for record in records if isinstance(record, Cached)] == ["miss", "hit"]
    assert [(record.cache, record.attempts) for record in records if isinstance(record, Ended)] == [
        ("miss", 1),
        ("hit", 0),
    ]


async def test_a_replay_says_of_its_request_what_that_says(async_client, upstream):
    upstream.events = recording()
    for event in upstream.events:
        if "response" in event:
            event["response"] |= {"metadata": {"who": "first"}, "user": "first", "store": True}
    client = async_client(upstream.base_url, cache=True)
    await client.create(**ASKED, metadata={"who": "first"}, user="first")
    again = await client.create(**ASKED, metadata={"who": "second"}, store=False)
    assert (again.metadata, again.user, again.store) == ({"who": "second"}, None, False)
    assert len(upstream.requests) == 1


async def test_a_request_that_refers_to_a_replay_refers_to_the_original(async_client, upstream):
    client = async_client(upstream.base_url, cache=True)
    await client.create(**ASKED)
    again = await client.create(**ASKED)
    await client.create(model="m", input="And?", previous_response_id=again.id)
    await client.create(model="m", input=[*again.output, {"role": "user", "content": "And?"}])
    first, second, third = (request.json() for request in upstream.requests)
    assert first["input"] == "Hi."
    assert second["previous_response_id"] == ID
    assert third["input"][0]["id"] == "msg_1"


# What is equal, and what is kept


@pytest.mark.parametrize(
    "other",
    [
        {"input": "Ho."},
        {"model": "n"},
        {"temperature": 0.5},
        {"max_output_tokens": 100},
        {"previous_response_id": "resp_0"},
        {"instructions": "Be brief."},
        {"extra_headers": {"x-tenant": "other"}},
        {"extra_body": {"seed": 1}},
        {"seed": 1},
    ],
)
async def test_another_request_has_another_answer(async_client, upstream, other):
    client = async_client(upstream.base_url, cache=True)
    await client.create(**ASKED)
    if "seed" in other:
        with pytest.raises(TypeError):
            await client.create(**ASKED, **other)
        return
    await client.create(**{**ASKED, **other})
    assert len(upstream.requests) == 2


@pytest.mark.parametrize("same", [{"metadata": {"a": "b"}}, {"store": True}, {"temperature": None}, {"timeout": 5.0}])
async def test_what_shapes_no_answer_does_not_matter(async_client, upstream, same):
    client = async_client(upstream.base_url, cache=True)
    await client.create(**ASKED)
    await client.create(**ASKED, **same)
    await client.create(model="m", input=[{"role": "user", "content": [{"type": "input_text", "text": "Hi."}]}])
    assert len(upstream.requests) == 1


async def test_another_key_or_another_namespace_has_its_own_answers(upstream):
    cache = Cache()
    for key, part in (("a", cache), ("b", cache), ("a", Cache(namespace="x")), ("a", cache)):
        async with AsyncClient(AsyncOpenAI(base_url=upstream.base_url, api_key=key), cache=part) as client:
            await client.create(**ASKED)
    assert len(upstream.requests) == 3


@pytest.mark.parametrize(
    "asked",
    [
        {"background": True},
        {"conversation": "conv_1"},
        {"tools": [{"type": "web_search"}]},
        {"prompt": {"id": "pmpt_1"}},
        {"extra_headers": {"Cache-Control": "no-store"}},
    ],
)
async def test_some_requests_are_none_of_its_business(async_client, upstream, asked):
    client = async_client(upstream.base_url, cache=True)
    await client.create(**ASKED, **asked)
    await client.create(**ASKED, **asked)
    assert len(upstream.asked("/responses")) == 2


def ended(item, status="completed"):
    events = recording()[:2]
    made = response(status, output=[item])
    return numbered([*events, {"type": f"response.{status}", "response": made}])


@pytest.mark.parametrize(
    "events",
    [
        ended({"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}),
        ended({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}),
        ended(message("Half", "incomplete"), "incomplete"),
    ],
)
async def test_an_answer_that_is_only_good_for_this_request_is_not_kept(async_client, upstream, events):
    upstream.events = events
    client = async_client(upstream.base_url, cache=True)
    await client.create(**ASKED)
    await client.create(**ASKED)
    assert len(upstream.requests) == 2


async def test_a_call_of_a_function_is_given_again_with_its_call_id(async_client, upstream):
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": "{}"}
    upstream.events = ended({**call, "status": "completed"})
    client = async_client(upstream.base_url, cache=True)
    tools = [{"type": "function", "name": "f", "parameters": {}, "strict": True}]
    first, second = [(await client.create(**ASKED, tools=tools)).output[0] for _ in range(2)]
    assert second.call_id == first.call_id == "call_1"
    assert second.id != first.id
    assert len(upstream.requests) == 1


async def test_no_cache_asks_anew_and_keeps_the_new_answer(async_client, upstream):
    client = async_client(upstream.base_url, cache=True)
    await client.create(**ASKED)
    upstream.events = recording("New.")
    anew = await client.create(**ASKED, extra_headers={"cache-control": "no-cache"})
    assert anew.output_text == (await client.create(**ASKED)).output_text == "New."
    assert len(upstream.requests) == 2


async def test_answers_are_kept_for_their_time_and_as_many_as_there_is_room_for(async_client, upstream):
    clock = FakeClock()
    cache = Cache(ttl=60, max_entries=2, now=clock.now)
    client = async_client(upstream.base_url, cache=cache)
    for text in ("a", "b", "a", "c", "a", "b"):
        await client.create(model="m", input=text)
    assert [request.json()["input"] for request in upstream.requests] == ["a", "b", "c", "b"]
    assert len(cache) == 2
    await clock.advance(61)
    await client.create(model="m", input="b")
    assert len(upstream.requests) == 5


async def test_a_failure_is_not_kept(async_client, upstream):
    client = async_client(upstream.base_url, cache=True, retry=False)
    upstream.always(error_answer(500))
    with pytest.raises(ServerFailed):
        await client.create(**ASKED)
    upstream.handler = upstream.answer
    assert (await client.create(**ASKED)).output_text == TEXT


# One flight


async def test_equal_requests_of_one_moment_are_one_call(async_client, upstream):
    gate = Gate()
    upstream.change = lambda answer, _: answer.gated(gate)
    cache = Cache()
    client = async_client(upstream.base_url, cache=cache)
    asking = [asyncio.create_task(collect(client.stream(**ASKED))) for _ in range(20)]
    await upstream.received()
    gate.release(100)
    streams = await asyncio.gather(*asking)
    assert len(upstream.requests) == 1
    assert all(events == streams[0] for events in streams)
    assert (cache.statistics.misses, cache.statistics.shared) == (1, 19)


async def test_who_comes_later_hears_what_was_said_before_at_once(async_client, upstream):
    gate = Gate()
    upstream.change = lambda answer, _: answer.gated(gate)
    gate.release(6)
    client = async_client(upstream.base_url, cache=True)
    first, second = client.stream(**ASKED), client.stream(**ASKED)
    heard = [await anext(first) for _ in range(6)]
    assert [await anext(second) for _ in range(6)] == heard
    assert len(upstream.requests) == 1
    gate.release(100)
    await first.until_done()
    assert (await second.until_done()).output_text == TEXT


async def test_the_same_question_within_its_own_answer_does_not_wait_for_itself(async_client, in_thread, upstream):
    def ask(client):
        stream = client.stream(**ASKED)
        next(stream)
        with client.stream(**ASKED) as other:
            inner = other.until_done().output_text
        return inner, stream.until_done().output_text

    assert await in_thread(upstream.base_url, ask, cache=True) == (TEXT, TEXT)
    assert len(upstream.requests) == 1


async def test_who_leaves_stops_nobody_and_the_last_one_closes_the_connection(async_client, upstream):
    gate = Gate()
    upstream.change = lambda answer, _: answer.gated(gate)
    client = async_client(upstream.base_url, cache=True)
    streams = [client.stream(**ASKED) for _ in range(3)]
    reading = [asyncio.create_task(collect(stream)) for stream in streams]
    await upstream.received()
    reading[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading[0]
    await streams[1].stop()
    assert upstream.open_connections == 1
    gate.release(6)
    await until(lambda: streams[2].text)
    reading[2].cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading[2]
    await upstream.closed_by_peer()
    gate.release(100)
    assert (await client.create(**ASKED)).output_text == TEXT
    assert len(upstream.requests) == 2


async def test_each_follower_has_its_own_deadline(async_client, upstream):
    clock, gate = FakeClock(), Gate()
    upstream.change = lambda answer, _: answer.gated(gate)
    gate.release(6)
    client = async_client(upstream.base_url, cache=True, clock=clock)
    hasty, patient = client.stream(**ASKED, deadline=5), client.stream(**ASKED, deadline=50)
    for stream in (hasty, patient, hasty, patient, hasty, patient, hasty, patient, hasty, patient, hasty, patient):
        await anext(stream)
    reading = [asyncio.create_task(stream.until_done()) for stream in (hasty, patient)]
    await until(lambda: clock.waiting == [5.0, 50.0, 50.0])
    await clock.advance(6)
    with pytest.raises(DeadlineExceeded):
        await reading[0]
    gate.release(100)
    assert (await reading[1]).output_text == TEXT
    assert len(upstream.requests) == 1


async def test_a_failure_is_everybodys(async_client, upstream):
    upstream.always(error_answer(500))
    client = async_client(upstream.base_url, cache=True, retry=False)
    failures = await asyncio.gather(*(client.create(**ASKED) for _ in range(5)), return_exceptions=True)
    assert {type(failure) for failure in failures} == {ServerFailed}
    assert len(upstream.requests) == 1


async def test_threads_share_one_call(in_thread, upstream):
    gate = Gate()
    upstream.change = lambda answer, _: answer.gated(gate)
    cache = Cache()

    def ask(client):
        made = []
        threads = [threading.Thread(target=lambda: made.append(client.create(**ASKED).output_text)) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return made

    asking = asyncio.create_task(in_thread(upstream.base_url, ask, cache=cache))
    await upstream.received()
    await until(lambda: cache.statistics.shared == 4)
    gate.release(100)
    assert await asking == [TEXT] * 5
    assert len(upstream.requests) == 1


# Files


async def test_a_file_keeps_answers_for_another_process(async_client, upstream, tmp_path):
    for _ in range(2):
        cache = Cache(file=tmp_path / "answers.sqlite")
        assert (await async_client(upstream.base_url, cache=cache).create(**ASKED)).output_text == TEXT
        cache.close()
    assert len(upstream.requests) == 1


def test_a_file_that_is_no_cache_is_refused_and_left_as_it_is(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("notes of mine" * 1000)
    with pytest.raises(OptionError, match=r"^cache\.file: .*notes\.txt is no cache"):
        Cache(file=file)
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]
    assert file.read_text() == "notes of mine" * 1000


@pytest.mark.parametrize("damage", [b"\0" * 4096, None])
async def test_a_damaged_file_is_set_aside(async_client, upstream, tmp_path, damage):
    file = tmp_path / "answers.sqlite"
    made = Cache(file=file)
    client = async_client(upstream.base_url, cache=made)
    for text in "abcdefgh":
        await client.create(model="m", input=text)
    made.close()
    data = file.read_bytes()
    spoilt = damage if damage is not None else data[:4096] + b"\xff" * (len(data) - 4096)
    file.write_bytes(spoilt)
    with pytest.warns(UserWarning, match=r"answers\.sqlite is no cache .* it is now answers\.sqlite\.damaged-1"):
        cache = Cache(file=file)
    assert file.with_name("answers.sqlite.damaged-1").read_bytes() == spoilt
    again = async_client(upstream.base_url, cache=cache)
    assert (await again.create(model="m", input="a")).output_text == TEXT
    assert len(cache) == 1
    cache.close()


async def test_a_file_that_is_damaged_while_it_is_used_is_set_aside(async_client, upstream, tmp_path, caplog):
    file = tmp_path / "answers.sqlite"
    cache = Cache(file=file)
    client = async_client(upstream.base_url, cache=cache)
    await client.create(**ASKED)
    with sqlite3.connect(file) as other:
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()
    data = file.read_bytes()
    file.write_bytes(data[:100] + b"\xff" * (len(data) - 100))
    for _ in range(3):
        assert (await client.create(**ASKED)).output_text == TEXT
    assert "is damaged" in caplog.text
    assert len(cache) == 1
    cache.close()


async def test_an_entry_that_is_damaged_is_removed_and_the_server_asked(async_client, upstream, tmp_path, caplog):
    file = tmp_path / "answers.sqlite"
    cache = Cache(file=file)
    client = async_client(upstream.base_url, cache=cache)
    await client.create(**ASKED)
    with sqlite3.connect(file) as other:
        other.execute("UPDATE answers SET data = substr(data, 1, length(data) - 5) || x'0000000000'")
    other.close()
    assert (await client.create(**ASKED)).output_text == TEXT
    assert len(upstream.requests) == 2
    assert "is damaged, and is removed" in caplog.text
    cache.close()


async def test_a_file_that_another_holds_is_a_miss(async_client, upstream, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("antiphon.client.entries_file._BUSY", 0.0)
    file = tmp_path / "answers.sqlite"
    cache = Cache(file=file)
    client = async_client(upstream.base_url, cache=cache)
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert (await client.create(**ASKED)).output_text == TEXT
    assert "cannot be used for now" in caplog.text
    other.close()
    cache.close()


def test_the_database_of_another_program_is_left_alone(tmp_path):
    file = tmp_path / "theirs.sqlite"
    with sqlite3.connect(file) as theirs:
        theirs.execute("CREATE TABLE precious (x)")
    theirs.close()
    with pytest.raises(OptionError, match=r"cache\.file.*another program") as caught:
        Cache(file=file)
    assert caught.value.option == "cache.file"


# Options


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"ttl": 0}, "cache.ttl"),
        ({"max_entries": "many"}, "cache.max_entries"),
        ({"max_bytes": -1}, "cache.max_bytes"),
        ({"models": "gpt-5"}, "cache.models"),
        ({"file": 3}, "cache.file"),
        ({"file": "/dev/null/answers"}, "cache.file"),
        ({"size": 3}, "cache.size"),
        ("yes", "cache"),
    ],
)
def test_a_wrong_option_fails_when_the_client_is_built(given, option):
    with pytest.raises(OptionError) as caught:
        AsyncClient(AsyncOpenAI(api_key="none"), cache=given)
    assert caught.value.option == option
