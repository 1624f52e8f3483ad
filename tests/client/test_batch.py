"""Batches: bounds, order, failures beside results, and a journal that survives."""

from __future__ import annotations

import asyncio
import threading

import pytest

from antiphon.client import BadRequest, CircuitOpen, OptionError
from antiphon.client.batch import _bar
from antiphon.testing import FakeClock
from tests.client.recorded import TEXT, bodies, recording
from tests.support.answers import Gate, error_answer, stream
from tests.support.response_events import sse_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


def asked(count: int, **params) -> list[dict]:
    return [{"model": "m", "input": str(number), **params} for number in range(count)]


async def collect(results) -> list:
    return [result async for result in results]


def says_its_input(request):
    body = request.json()
    if body["input"] == "bad":
        return error_answer(400, "Bad.")
    return stream(sse_of(recording(body["input"])))


async def test_every_request_has_its_result(async_client, in_thread, upstream):
    upstream.handler = says_its_input
    results = await collect(async_client(upstream.base_url).batch(asked(20), progress=False))
    assert sorted(result.index for result in results) == list(range(20))
    assert all(result.output_text == result.params["input"] == result.key for result in results)
    again = await in_thread(upstream.base_url, lambda c: list(c.batch(asked(20), progress=False)))
    assert sorted(result.output_text for result in again) == sorted(map(str, range(20)))


async def test_results_come_in_order_if_asked(async_client, in_thread, upstream):
    gate = Gate()
    upstream.handler = lambda request: (
        says_its_input(request).gated(gate) if request.json()["input"] == "0" else says_its_input(request)
    )
    reading = asyncio.create_task(
        collect(async_client(upstream.base_url).batch(asked(6), ordered=True, concurrency=2, progress=False))
    )
    await upstream.received(6)
    gate.open()
    assert [result.index for result in await reading] == list(range(6))
    upstream.handler = says_its_input
    again = await in_thread(upstream.base_url, lambda c: list(c.batch(asked(6), ordered=True, progress=False)))
    assert [result.index for result in again] == list(range(6))


async def test_a_failure_is_a_result_beside_the_others(async_client, upstream):
    upstream.handler = says_its_input
    requests = {"good": asked(1)[0], "bad": {"model": "m", "input": "bad"}}
    results = {each.key: each async for each in async_client(upstream.base_url).batch(requests, progress=False)}
    assert results["good"].output_text == "0"
    assert isinstance(results["bad"].error, BadRequest)
    with pytest.raises(BadRequest):
        _ = results["bad"].output_text


async def test_no_more_than_so_many_are_under_way(async_client, in_thread, upstream):
    gate = Gate()
    upstream.handler = lambda request: says_its_input(request).gated(gate)
    working = [
        asyncio.create_task(collect(async_client(upstream.base_url).batch(asked(9), concurrency=3, progress=False))),
        asyncio.create_task(
            in_thread(upstream.base_url, lambda c: list(c.batch(asked(9), concurrency=3, progress=False)))
        ),
    ]
    await upstream.received(6)
    for _ in range(50):
        await asyncio.sleep(0)
    assert len(upstream.requests) == 6
    gate.open()
    assert [len(results) for results in await asyncio.gather(*working)] == [9, 9]


async def test_requests_are_taken_as_they_are_needed(async_client, upstream):
    upstream.handler = says_its_input
    taken = []

    def endless():
        number = 0
        while True:
            taken.append(number)
            yield {"model": "m", "input": str(number)}
            number += 1

    batch = async_client(upstream.base_url).batch(endless(), concurrency=2, progress=False)
    for _ in range(3):
        await anext(batch)
    await batch.aclose()
    assert len(taken) <= 6


async def test_so_many_begin_in_a_second(async_client, upstream):
    upstream.handler = says_its_input
    clock = FakeClock()
    client = async_client(upstream.base_url, clock=clock)
    working = asyncio.create_task(collect(client.batch(asked(5), rate=2, concurrency=5, progress=False)))
    await upstream.received(1)
    await until(lambda: len(clock.waiting) == 4)
    assert clock.waiting == [0.5, 1.0, 1.5, 2.0]
    assert len(upstream.requests) == 1
    await clock.advance(1.0)
    await upstream.received(3)
    await clock.advance(1.0)
    assert len(await working) == 5


async def test_while_a_circuit_is_open_the_batch_waits(async_client, upstream):
    clock = FakeClock()
    client = async_client(
        upstream.base_url, retry=False, breaker={"volume": 1, "jitter": 0.0, "successes": 1, "ramp": 0}, clock=clock
    )
    upstream.script = [error_answer(500), *[stream(sse_of(recording()))] * 3]
    working = asyncio.create_task(collect(client.batch(asked(3), concurrency=1, ordered=True, progress=False)))
    await until(lambda: clock.waiting)
    assert clock.waiting == [5.0]
    await clock.advance(5)
    first, *others = await working
    assert first.error is not None
    assert [result.output_text for result in others] == [TEXT, TEXT]


async def test_a_batch_that_is_left_ends_what_it_began(async_client, upstream):
    upstream.handler = lambda request: says_its_input(request).gated(Gate())
    working = asyncio.create_task(collect(async_client(upstream.base_url).batch(asked(4), progress=False)))
    await upstream.received(4)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    await upstream.all_closed()


async def test_a_sync_batch_works_in_threads_that_end_with_it(in_thread, upstream):
    upstream.handler = says_its_input

    def first(client):
        return next(client.batch(asked(8), concurrency=4, progress=False)).output_text

    assert await in_thread(upstream.base_url, first) in set(map(str, range(8)))
    assert not [thread for thread in threading.enumerate() if "ThreadPoolExecutor" in thread.name]


# The journal


async def test_what_is_answered_is_not_asked_again(async_client, in_thread, upstream, tmp_path):
    path = tmp_path / "folder" / "answers.jsonl"
    upstream.handler = says_its_input
    requests = [*asked(3), {"model": "m", "input": "bad"}]
    batch = async_client(upstream.base_url).batch(requests, journal=path, concurrency=1, progress=False)
    assert [(await anext(batch)).output_text for _ in range(2)] == ["0", "1"]
    await batch.aclose()
    upstream.requests.clear()
    again = await collect(
        async_client(upstream.base_url).batch(requests, journal=path, concurrency=1, ordered=True, progress=False)
    )
    assert [result.from_journal for result in again] == [True, True, False, False]
    assert [result.output_text for result in again[:3]] == ["0", "1", "2"]
    assert again[0].response.usage.total_tokens == 8
    assert [body["input"] for body in bodies(upstream.requests)] == ["2", "bad"]
    upstream.requests.clear()
    third = await in_thread(upstream.base_url, lambda c: list(c.batch(requests, journal=path, progress=False)))
    assert sum(result.from_journal for result in third) == 3
    assert [body["input"] for body in bodies(upstream.requests)] == ["bad"]


async def test_a_request_that_was_changed_is_asked_again(async_client, upstream, tmp_path):
    path = tmp_path / "answers.jsonl"
    upstream.handler = says_its_input
    client = async_client(upstream.base_url)
    await collect(client.batch({"a": {"model": "m", "input": "old"}}, journal=path, progress=False))
    (result,) = await collect(client.batch({"a": {"model": "m", "input": "new"}}, journal=path, progress=False))
    assert (result.from_journal, result.output_text) == (False, "new")


async def test_a_line_that_a_crash_cut_is_left_out_wherever_it_was_cut(async_client, upstream, tmp_path):
    path = tmp_path / "answers.jsonl"
    upstream.handler = says_its_input
    client = async_client(upstream.base_url)
    await collect(client.batch(asked(2), journal=path, concurrency=1, progress=False))
    whole = path.read_bytes()
    ends = [at for at, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(0, len(whole), 37):
        path.write_bytes(whole[:cut])
        results = await collect(client.batch(asked(2), journal=path, concurrency=1, ordered=True, progress=False))
        assert [result.output_text for result in results] == ["0", "1"]
        assert [result.from_journal for result in results] == [cut > ends[1], cut > ends[2]]
        assert path.read_bytes() == whole


async def test_a_file_that_is_no_journal_is_refused_and_left_as_it_is(async_client, upstream, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("notes\nof mine\n")
    with pytest.raises(OptionError, match=r"^journal: .*notes\.txt is no journal"):
        await collect(async_client(upstream.base_url).batch(asked(1), journal=path, progress=False))
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]
    assert path.read_text() == "notes\nof mine\n"


async def test_a_request_that_the_sdk_does_not_know_fails_alone(async_client, upstream):
    upstream.handler = says_its_input
    first, wrong, last = asked(3)
    requests = [first, {**wrong, "nope": 1}, last]
    client = async_client(upstream.base_url)
    results = await collect(client.batch(requests, ordered=True, concurrency=1, progress=False))
    assert [result.error is None for result in results] == [True, False, True]
    assert "nope" in str(results[1].error)


@pytest.mark.parametrize(
    "spoil", [lambda data: data.replace(b'"text":"1"', b'"text":"7"'), lambda data: b"\0" * len(data)]
)
async def test_a_damaged_file_is_set_aside_with_a_message(async_client, upstream, tmp_path, spoil):
    path = tmp_path / "answers.jsonl"
    upstream.handler = says_its_input
    client = async_client(upstream.base_url)
    await collect(client.batch(asked(2), journal=path, concurrency=1, progress=False))
    damaged = spoil(path.read_bytes())
    path.write_bytes(damaged)
    with pytest.warns(UserWarning, match=r"answers\.jsonl.* it is now answers\.jsonl\.damaged-1"):
        results = await collect(client.batch(asked(2), journal=path, ordered=True, progress=False))
    assert [result.from_journal for result in results] == [False, False]
    assert [result.output_text for result in results] == ["0", "1"]
    assert (tmp_path / "answers.jsonl.damaged-1").read_bytes() == damaged


async def test_a_journal_serves_one_batch_at_a_time(async_client, upstream, tmp_path):
    upstream.handler = says_its_input
    client, path = async_client(upstream.base_url), tmp_path / "answers.jsonl"
    first = client.batch(asked(2), journal=path, concurrency=1, progress=False)
    await anext(first)
    with pytest.raises(OptionError, match="is in use by another batch"):
        await collect(client.batch(asked(2), journal=path, progress=False))
    await first.aclose()


async def test_options_of_a_batch_are_checked_at_once(async_client, upstream, tmp_path):
    client = async_client(upstream.base_url)
    with pytest.raises(OptionError, match="concurrency: takes a whole number"):
        client.batch([], concurrency=0)
    with pytest.raises(OptionError, match="rate: takes a number of requests a second"):
        client.batch([], rate=-1)
    with pytest.raises(OptionError, match=r"requests\[0\]: takes a mapping"):
        await collect(client.batch(["Hi."], progress=False))
    with pytest.raises(OptionError, match="journal"):
        await collect(client.batch(asked(1), journal=tmp_path, progress=False))


async def test_the_bar_counts_and_tells_of_failures(capsys):
    from antiphon.client import BatchResult

    with _bar([{}, {}]) as note:
        note(BatchResult(0, "0", {}))
        note(BatchResult(1, "1", {}, error=CircuitOpen("No.")))
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "1 failed" in shown
