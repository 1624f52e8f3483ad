"""The resilient stream: each event once, or a typed error that has what came."""

from __future__ import annotations

import asyncio
from itertools import accumulate

import openai
import pytest

from antiphon.client import (
    BadRequest,
    CircuitOpen,
    ClientError,
    ConnectionFailed,
    DeadlineExceeded,
    QuotaExceeded,
    RateLimited,
    ResponseCancelled,
    ResponseFailed,
    ServerFailed,
    StreamCut,
    StreamFailed,
    StreamHandler,
    StreamMalformed,
)
from antiphon.client.records import AttemptFailed, Ended, Resumed, Transition
from antiphon.testing import FakeClock
from tests.client.recorded import ID, TEXT, failed, recording, response
from tests.support.answers import Gate, error_answer, refused, stream
from tests.support.response_events import sse_of
from tests.support.sdk_models import catalog
from tests.support.serving import serving
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

ASKED = {"model": "m", "input": "Hi."}
HEAD = b"\r\n\r\n"


def types(events) -> list[str]:
    return [event.type for event in events]


async def collect(stream) -> list:
    return [event async for event in stream]


async def raised(stream) -> ClientError | None:
    """The error that a stream ends with, if it does."""
    try:
        await collect(stream)
    except ClientError as error:
        return error
    return None


def whole(background: bool = False) -> list[str]:
    return [event["type"] for event in recording(background=background)]


# Whole streams


async def test_a_stream_gives_the_sdks_own_events_and_the_response(async_client, in_thread, base_url):
    async with async_client(base_url).stream(model="rehearsed", input="Hi.") as stream:
        events = await collect(stream)
    assert events[0].type == "response.created"
    assert type(events[-1]).__name__ == "ResponseCompletedEvent"
    assert stream.response == events[-1].response
    assert stream.text == stream.response.output_text
    numbers = [event.sequence_number for event in events]
    assert numbers == list(range(len(events)))
    again = await in_thread(base_url, lambda c: [each.type for each in c.stream(model="rehearsed", input="Hi.")])
    assert again == types(events)


async def test_create_gives_the_response(async_client, in_thread, base_url):
    made = await async_client(base_url).create(model="rehearsed", input="Hi.")
    again = await in_thread(base_url, lambda c: c.create(model="rehearsed", input="Hi."))
    assert made.status == again.status == "completed"
    assert made.output_text == again.output_text
    assert made.usage == again.usage


async def test_an_error_has_its_class_its_param_and_what_to_do(async_client, base_url):
    with pytest.raises(BadRequest, match="Change 'model' in the request") as caught:
        await async_client(base_url).create(model="nobody", input="Hi.")
    assert caught.value.code == "model_not_found"
    assert isinstance(caught.value, openai.BadRequestError)
    assert caught.value.attempts == 1


# Cut at every byte


async def test_a_background_stream_that_is_cut_at_any_byte_gives_each_event_once(async_client, upstream):
    client = async_client(upstream.base_url)
    upstream.events = recording("µm", background=True)
    answer = stream(sse_of(upstream.events))
    for cut in range(answer.after(HEAD), len(answer.wire)):
        upstream.spoil_first(lambda answer, cut=cut: answer.cut_after(cut))
        events = await collect(client.stream(**ASKED, background=True))
        assert [event.sequence_number for event in events] == list(range(len(upstream.events))), cut
        assert events[-1].response.output_text == "µm"


async def test_any_other_stream_that_is_cut_at_any_byte_is_whole_or_an_error_with_what_came(async_client, upstream):
    client = async_client(upstream.base_url)
    upstream.events = recording("µm")
    answer = stream(sse_of(upstream.events))
    told = [end - 2 for end in accumulate((len(step.data) for step in answer.steps), initial=len(answer.head))][1:-1]
    assert len(told) == len(upstream.events)
    for cut in range(answer.after(HEAD), len(answer.wire), 2):
        upstream.spoil_first(lambda answer, cut=cut: answer.cut_after(cut))
        reading = client.stream(**ASKED)
        error = await raised(reading)
        if cut < told[2] or cut >= told[-1]:  # before the first output was told, or when all was
            assert error is None, cut
            assert upstream.streams == (2 if cut < told[2] else 1)
            assert reading.response.output_text == "µm"
        else:
            assert isinstance(error, StreamFailed), cut
            assert upstream.streams == 1
            assert error.partial.id == ID
            assert "µm".startswith(error.partial.output_text)


async def test_create_begins_anew_wherever_the_answer_was_cut(async_client, in_thread, upstream):
    client = async_client(upstream.base_url)
    answer = stream(sse_of(recording()))
    for cut in range(0, len(answer.wire), 100):
        upstream.spoil_first(lambda answer, cut=cut: answer.cut_after(cut))
        assert (await client.create(**ASKED)).output_text == TEXT
        upstream.spoil_first(lambda answer, cut=cut: answer.cut_after(cut))
        assert (await in_thread(upstream.base_url, lambda c: c.create(**ASKED))).output_text == TEXT


async def test_a_stream_is_taken_up_as_often_as_it_breaks_while_there_is_progress(async_client, in_thread, upstream):
    def one_event_each(answer, _):
        return answer.cut_after(answer.after(HEAD) + answer.wire[answer.after(HEAD) :].index(b"\n\n\r\n") + 4)

    upstream.change = one_event_each
    records = []
    events = await collect(async_client(upstream.base_url, observers=records.append).stream(**ASKED, background=True))
    assert types(events) == whole()
    assert [record.after for record in records if isinstance(record, Resumed)] == list(range(len(whole()) - 1))
    upstream.streams = 0
    again = await in_thread(upstream.base_url, lambda c: types(c.stream(**ASKED, background=True)))
    assert again == whole()


async def test_a_server_that_repeats_what_was_seen_is_not_heard_twice(async_client, upstream):
    recorded = recording(background=True)
    upstream.handler = lambda request: (
        stream(sse_of(recorded)).cut_after(stream(sse_of(recorded[:6])).wire.__len__() - 5)
        if request.method == "POST"
        else stream(sse_of(recorded))
    )
    events = await collect(async_client(upstream.base_url).stream(**ASKED, background=True))
    assert [event.sequence_number for event in events] == list(range(len(recorded)))


async def test_a_stream_that_goes_on_too_far_ahead_is_an_error(async_client, upstream):
    recorded = recording(background=True)
    upstream.handler = lambda request: (
        stream(sse_of(recorded[:4])) if request.method == "POST" else stream(sse_of(recorded[7:]))
    )
    with pytest.raises(StreamMalformed, match="goes on with event 7 after event 3"):
        await collect(async_client(upstream.base_url).stream(**ASKED, background=True))


# What cannot be mended


async def test_an_answer_that_is_cut_after_its_first_output_is_not_asked_for_again(async_client, upstream):
    upstream.change = lambda answer, _: answer.cut_after(answer.after(b'"delta": "Gr') + 200)
    async with async_client(upstream.base_url).stream(**ASKED) as reading:
        with pytest.raises(StreamCut, match="background=True") as caught:
            await collect(reading)
    assert caught.value.partial.output_text == reading.text != ""
    assert caught.value.partial.status == "in_progress"
    assert upstream.streams == 1


async def test_a_failed_attempt_is_not_seen_when_another_follows(async_client, upstream):
    answers = [stream(sse_of(failed())), stream(sse_of(recording()))]
    upstream.change = lambda _, before: answers[before]
    events = await collect(async_client(upstream.base_url).stream(**ASKED))
    assert types(events) == whole()


async def test_a_response_that_failed_is_an_error_after_its_event(async_client, upstream):
    upstream.events = failed("invalid_prompt")
    handler, seen = StreamHandler(), []
    handler.on("response.failed")(seen.append)
    with pytest.raises(ResponseFailed, match="invalid_prompt: It went wrong") as caught:
        await handler.run(async_client(upstream.base_url).stream(**ASKED))
    assert types(seen) == ["response.failed"]
    assert (caught.value.code, caught.value.partial.status) == ("invalid_prompt", "failed")
    assert upstream.streams == 1


async def test_the_event_error_is_an_error(async_client, upstream):
    flat = {"type": "error", "code": "server_error", "message": "Oh.", "param": None, "sequence_number": 6}
    upstream.events = [*recording()[:6], flat]
    with pytest.raises(ResponseFailed, match="server_error: Oh"):
        await collect(async_client(upstream.base_url).stream(**ASKED))
    nested = {"type": "error", "error": {"message": "Nested.", "code": "server_error"}, "sequence_number": 6}
    upstream.events = [*recording()[:6], nested]
    with pytest.raises(ResponseFailed, match="Nested"):
        await collect(async_client(upstream.base_url).stream(**ASKED))


async def test_a_background_response_that_somebody_cancelled_says_so(async_client, upstream):
    recorded = recording(background=True)
    upstream.handler = lambda request: (
        stream(sse_of(recorded[:6]))
        if request.method == "POST"
        else stream([])
        if "stream=true" in request.target
        else upstream_json(response("cancelled", background=True, text="Gr"))
    )
    with pytest.raises(ResponseCancelled) as caught:
        await collect(async_client(upstream.base_url).stream(**ASKED, background=True))
    assert caught.value.partial.output_text == "Gr"


def upstream_json(body):
    from tests.support.answers import json_answer

    return json_answer(body)


async def test_a_rest_that_is_refused_is_a_cut_with_what_the_server_knows(async_client, upstream):
    recorded = recording(background=True)
    upstream.handler = lambda request: (
        stream(sse_of(recorded[:6])) if request.method == "POST" else error_answer(404, "Gone.")
    )
    with pytest.raises(StreamCut, match="could not be fetched: Gone") as caught:
        await collect(async_client(upstream.base_url).stream(**ASKED, background=True))
    assert caught.value.partial.output_text == "Größe: 3"


@pytest.mark.parametrize("spoilt", [b"event: x\ndata: {nonsense}\n\n", b"event: x\ndata: \xff\xfe\n\n"])
async def test_what_is_no_stream_of_events_is_malformed(async_client, upstream, spoilt):
    upstream.handler = lambda _: stream([*sse_of(recording()[:6]), spoilt])
    with pytest.raises(StreamMalformed) as caught:
        await collect(async_client(upstream.base_url).stream(**ASKED))
    assert caught.value.partial.output_text == "Größe: 3"


async def test_create_gives_what_came_even_if_the_next_attempts_bring_nothing(async_client, upstream):
    answer = stream(sse_of(recording()))
    upstream.script = [answer.cut_after(len(answer.wire) - 900), error_answer(503), error_answer(503)]
    with pytest.raises(ServerFailed) as caught:
        await async_client(upstream.base_url).create(**ASKED)
    assert caught.value.partial.output_text == TEXT


# Retries


@pytest.mark.parametrize("status", [408, 500, 502, 503, 504])
async def test_a_fault_of_the_server_is_tried_again(async_client, in_thread, upstream, status):
    for ask in (
        async_client(upstream.base_url).create(**ASKED),
        in_thread(upstream.base_url, lambda c: c.create(**ASKED)),
    ):
        upstream.script = [error_answer(status), stream(sse_of(recording()))]
        assert (await ask).output_text == TEXT
    assert len(upstream.requests) == 4


async def test_the_sdks_own_retries_are_off(async_client, upstream):
    upstream.always(error_answer(503, "No."))
    with pytest.raises(ServerFailed, match=r"503: No\. \(asked 3 times\)") as caught:
        await async_client(upstream.base_url).create(**ASKED)
    assert caught.value.attempts == len(upstream.requests) == 3


async def test_no_retry_means_one_request(async_client, upstream):
    upstream.always(error_answer(503))
    with pytest.raises(ServerFailed):
        await async_client(upstream.base_url, retry=False).create(**ASKED)
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
async def test_what_asking_again_does_not_change_is_asked_once(async_client, upstream, status):
    upstream.always(error_answer(status))
    with pytest.raises(openai.APIStatusError) as caught:
        await async_client(upstream.base_url).create(**ASKED)
    assert caught.value.status_code == status
    assert len(upstream.requests) == 1


async def test_a_budget_that_is_used_up_is_not_tried_again(async_client, upstream):
    upstream.always(error_answer(429, code="insufficient_quota"))
    with pytest.raises(QuotaExceeded, match="Raise the budget"):
        await async_client(upstream.base_url).create(**ASKED)
    assert len(upstream.requests) == 1


async def test_retry_after_is_waited_for(async_client, upstream):
    upstream.script = [error_answer(429, headers={"retry-after": "7"}), stream(sse_of(recording()))]
    clock = FakeClock()
    asking = asyncio.create_task(async_client(upstream.base_url, clock=clock).create(**ASKED))
    await upstream.received()
    await until(lambda: clock.waiting)
    assert clock.waiting == [7.0]
    await clock.advance(7)
    assert (await asking).output_text == TEXT


async def test_a_retry_after_beyond_all_patience_is_told_to_the_caller(async_client, upstream):
    upstream.always(error_answer(429, headers={"retry-after": "3600"}))
    with pytest.raises(RateLimited, match="in 3600 s") as caught:
        await async_client(upstream.base_url).create(**ASKED)
    assert caught.value.retry_after == 3600
    assert len(upstream.requests) == 1


async def test_a_server_that_says_not_to_try_again_is_not_asked_again(async_client, upstream):
    upstream.always(error_answer(503, headers={"x-should-retry": "false"}))
    with pytest.raises(ServerFailed):
        await async_client(upstream.base_url).create(**ASKED)
    assert len(upstream.requests) == 1


async def test_nobody_listens(async_client, upstream):
    upstream.always(refused())
    with pytest.raises(ConnectionFailed, match="Check base_url") as caught:
        await async_client(upstream.base_url).create(**ASKED)
    assert isinstance(caught.value, openai.APIConnectionError)
    assert not caught.value.is_connected
    assert caught.value.attempts == 3


async def test_the_retry_budget_bounds_what_an_outage_costs(async_client, upstream):
    upstream.always(error_answer(503))
    client = async_client(upstream.base_url, retry={"base": 0.001, "bucket": 28})
    for _ in range(10):
        with pytest.raises(ServerFailed):
            await client.create(**ASKED)
    assert len(upstream.requests) == 12


# Breaker and deadline


async def test_a_circuit_that_is_open_refuses_at_once_and_closes_again(async_client, upstream):
    clock, records = FakeClock(), []
    client = async_client(
        upstream.base_url, retry=False, breaker={"volume": 2, "jitter": 0.0}, clock=clock, observers=records.append
    )
    upstream.always(error_answer(500))
    for _ in range(2):
        with pytest.raises(ServerFailed):
            await client.create(**ASKED)
    with pytest.raises(CircuitOpen, match="its circuit is open") as caught:
        await client.create(**ASKED)
    assert caught.value.retry_after == 5.0
    assert len(upstream.requests) == 2
    assert client.breaker("m").state == "open"
    upstream.handler = upstream.answer
    await clock.advance(6)
    for _ in range(3):
        await client.create(**ASKED)
    assert client.breaker("m").state == "closed"
    assert [record.new for record in records if isinstance(record, Transition)] == ["open", "half_open", "closed"]


async def test_a_breaker_does_not_count_the_callers_own_faults_nor_that_it_left(async_client, upstream):
    client = async_client(upstream.base_url, breaker={"volume": 1})
    for _ in range(3):
        with pytest.raises(BadRequest):
            await client.create(model="nobody", input="Hi.")
    async with client.stream(**ASKED) as reading:
        await anext(reading)
    assert client.breaker("nobody").state == client.breaker("m").state == "closed"


async def test_a_deadline_ends_a_silent_stream_and_keeps_what_came(async_client, upstream):
    clock, gate = FakeClock(), Gate()
    upstream.change = lambda answer, _: answer.gated(gate)
    client = async_client(upstream.base_url, clock=clock, deadline=30)
    reading = client.stream(**ASKED)
    gate.release(6)
    seen = [await anext(reading) for _ in range(6)]
    waiting = asyncio.create_task(anext(reading))
    await until(lambda: clock.waiting)
    await clock.advance(30)
    with pytest.raises(DeadlineExceeded) as caught:
        await waiting
    assert caught.value.partial.output_text == seen[-2].delta + seen[-1].delta
    await upstream.closed_by_peer()


async def test_a_deadline_bounds_the_waiting_between_attempts(async_client, in_thread, upstream):
    upstream.always(error_answer(429, headers={"retry-after": "60"}))
    with pytest.raises(RateLimited):
        await async_client(upstream.base_url).create(**ASKED, deadline=5)
    with pytest.raises(RateLimited):
        await in_thread(upstream.base_url, lambda c: c.create(**ASKED, deadline=5))
    assert len(upstream.requests) == 2


async def test_a_silent_server_ends_the_deadline_of_a_sync_client(in_thread, upstream):
    upstream.change = lambda answer, _: answer.gated(Gate())
    with pytest.raises((DeadlineExceeded, StreamCut)):
        await in_thread(upstream.base_url, lambda c: c.create(**ASKED, deadline=0.2))


# Leaving


async def test_a_stream_that_is_stopped_closes_its_connection_and_ends_the_work_at_the_server(async_client, upstream):
    gate = Gate()
    upstream.change = lambda answer, _: answer.gated(gate)
    gate.release(6)
    records = []
    async with async_client(upstream.base_url, observers=records.append).stream(**ASKED, background=True) as reading:
        async for event in reading:
            if event.type == "response.output_text.delta":
                await reading.stop()
    await upstream.closed_by_peer()
    assert upstream.cancelled == [ID]
    assert reading.text == TEXT[:4]
    assert reading.response.status == "cancelled"
    assert records[-1].status == "stopped"


async def test_stopping_what_is_over_already_is_no_error(async_client):
    async with serving(catalog()) as served:
        client = async_client(f"{served.url}/v1")
        async with client.stream(model="rehearsed", input="Hi.", background=True) as reading:
            await anext(reading)
            await until_over(client, reading.response_id)
            await reading.stop()
        assert reading.is_over


async def until_over(client, response_id) -> None:
    async for _ in await client.openai.responses.retrieve(response_id, stream=True):
        pass


async def test_another_task_may_stop_a_stream_that_waits(async_client, upstream):
    upstream.change = lambda answer, _: answer.gated(Gate())
    reading = async_client(upstream.base_url).stream(**ASKED)
    waiting = asyncio.create_task(collect(reading))
    await upstream.received()
    await asyncio.sleep(0)
    await reading.stop()
    assert await waiting == []
    await upstream.all_closed()


@pytest.mark.parametrize("read", [1, 6])
async def test_a_stream_that_is_dropped_closes_its_connection(async_client, upstream, read):
    gate, records = Gate(), []
    upstream.change = lambda answer, _: answer.gated(gate)
    gate.release(6)
    client = async_client(upstream.base_url, observers=records.append)
    async for _ in client.stream(**ASKED):
        if (read := read - 1) == 0:
            break
    await upstream.closed_by_peer()
    assert isinstance(records[-1], Ended)
    assert records[-1].status == "left"


async def test_a_sync_stream_that_is_dropped_closes_its_connection(in_thread, upstream):
    gate = Gate()
    upstream.change = lambda answer, _: answer.gated(gate)
    gate.release(4)

    def look(client):
        for _ in client.stream(**ASKED):
            break

    await in_thread(upstream.base_url, look)
    await upstream.closed_by_peer()


async def test_a_task_that_is_cancelled_closes_its_connection(async_client, upstream):
    upstream.change = lambda answer, _: answer.gated(Gate())
    asking = asyncio.create_task(async_client(upstream.base_url).create(**ASKED))
    await upstream.received()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await upstream.closed_by_peer()


async def test_a_connection_is_used_again(async_client, upstream):
    client = async_client(upstream.base_url)
    for _ in range(3):
        await client.create(**ASKED)
    assert len(upstream.connections) == 1


# Observers


async def test_observers_are_told_in_order(async_client, upstream):
    records = []
    upstream.script = [error_answer(500), stream(sse_of(recording()))]
    await async_client(upstream.base_url, observers=[records.append]).create(**ASKED)
    assert [type(record).__name__ for record in records] == ["Began", "AttemptFailed", "FirstOutput", "Ended"]
    assert len({record.number for record in records}) == 1
    failure, end = records[1], records[3]
    assert isinstance(failure, AttemptFailed)
    assert (failure.then, failure.attempt) == ("retry", 1)
    assert (end.status, end.attempts, end.usage.total_tokens, end.answered_by) == ("completed", 2, 8, "m")
