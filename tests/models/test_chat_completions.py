"""The Chat Completions backend over real sockets: a turn goes out, deltas come back, and our machine can tell them."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from antiphon import tokens
from antiphon.models.chat_completions import ChatCompletions, ChatOptions
from antiphon.models.upstream import Upstream
from antiphon.turn.deltas import Arguments, Delta, Finished, ItemStarted, Noted, Settled, Text, Usage
from antiphon.turn.input import Turn
from antiphon.turn.machine import Machine
from antiphon.wire.errors import APIError, InvalidRequest, RateLimited, Unavailable, UpstreamMalformed, UpstreamTimeout
from antiphon.wire.items import FunctionCall
from antiphon.wire.request import decode_create
from antiphon.wire.response import Response
from antiphon.wire.response import Usage as UsageFigures
from antiphon.wire.struct import encode
from tests.support.answers import Hold
from tests.support.chat_chunks import chunk, delta_chunk, tool_call_delta
from tests.support.grammar import check
from tests.support.sdk_oracle import validate_event
from tests.support.upstream import (
    FakeUpstream,
    Gate,
    ToolCall,
    chat_chunks,
    chat_json,
    chat_stream,
    error_answer,
    json_answer,
    sse,
    stream,
)

pytestmark = pytest.mark.anyio

Json = dict[str, Any]
LONG = 60.0
FOX = "The quick brown fox."


@pytest.fixture
async def fake() -> AsyncIterator[FakeUpstream]:
    async with FakeUpstream() as server:
        yield server


@pytest.fixture
async def model(fake: FakeUpstream) -> AsyncIterator[ChatCompletions]:
    async with aclosing(chat(fake)) as connected:
        yield connected


def chat(fake: FakeUpstream, **options: Any) -> ChatCompletions:
    numbers = itertools.count(1)
    settings = ChatOptions(base_url=fake.base_url, model="upstream-model", **options)
    return ChatCompletions(settings, new_call_id=lambda: f"made_{next(numbers)}")


def a_turn(given: str | Sequence[Json] = "Hi", **fields: Any) -> Turn:
    items = [{"role": "user", "content": given}] if isinstance(given, str) else list(given)
    request = decode_create(encode({"model": "m", "input": items, **fields}))
    assert isinstance(request.input, list)
    return Turn(request=request, items=request.input)


async def listen(model: ChatCompletions, turn: Turn) -> list[list[Delta]]:
    async with aclosing(model.stream(turn)) as batches:
        return [batch async for batch in batches]


async def fail(model: ChatCompletions, turn: Turn) -> tuple[list[Delta], APIError]:
    """What is said before the error, and the error."""
    said: list[Delta] = []
    async with aclosing(model.stream(turn)) as batches:
        try:
            async for batch in batches:
                said += batch
        except APIError as error:
            return said, error
    raise AssertionError("the turn did not fail")


def flat(batches: Sequence[Sequence[Delta]]) -> list[Delta]:
    return [delta for batch in batches for delta in batch]


def told(batches: Sequence[Sequence[Delta]]) -> list[Json]:
    """The batches as our machine tells them."""
    numbers = itertools.count(1)
    machine = Machine(lambda prefix: f"{prefix}_{next(numbers)}")
    events = machine.create(Response(id="resp_1", created_at=1, model="m")) + machine.begin()
    for batch in batches:
        events += machine.feed(batch)
    events += machine.finish(2)
    return [json.loads(encode(event)) for event in events]


# A turn


async def test_a_turn_is_one_request_for_a_stream(fake: FakeUpstream, model: ChatCompletions) -> None:
    fake.always(stream(chat_stream(FOX)))
    await listen(model, a_turn("Hi", instructions="Be kind.", temperature=0.5))
    (request,) = fake.requests
    assert request.target == "/v1/chat/completions"
    assert request.json() == {
        "model": "upstream-model",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
    }


async def test_each_network_read_is_a_batch_and_the_last_one_ends_it(
    fake: FakeUpstream, model: ChatCompletions
) -> None:
    gate = Gate()
    fake.always(stream(chat_stream(["The", " fox"])).gated(gate))
    batches: list[list[Delta]] = []
    async with aclosing(model.stream(a_turn())) as reading:
        gate.release()
        batches.append(await anext(reading))  # the role says that the request was accepted
        gate.release()
        batches.append(await anext(reading))
        gate.open()
        batches += [batch async for batch in reading]
    assert batches[:2] == [[], [Text("The")]]
    *_, usage, noted, finished = flat(batches)
    assert isinstance(usage, Usage)
    assert usage.usage.output_tokens == 23
    assert noted == Noted({"upstream_response_id": "chatcmpl-upstream", "model": "upstream-model"})
    assert finished == Finished(None)


async def test_a_burst_is_one_batch(fake: FakeUpstream, model: ChatCompletions) -> None:
    fake.always(stream([b"".join(chat_stream(["The", " fox"]))]))
    (batch,) = await listen(model, a_turn())
    assert batch[:2] == [Text("The"), Text(" fox")]
    assert batch[-1] == Finished(None)


@pytest.mark.parametrize(
    "chunks",
    [
        chat_chunks(FOX),
        chat_chunks(FOX, reasoning="Hmm, well.", logprobs=True),
        chat_chunks(["<think>Hmm", ".</think>", "Yes."]),
        chat_chunks(FOX, refusal="But no more."),
        chat_chunks(FOX, tool_calls=[ToolCall("look_up", '{"q": 1}', "a"), ToolCall("patch", '{"input": "x"}', "b")]),
        chat_chunks(tool_calls=[ToolCall("look_up", "", "a"), ToolCall("look_up", "{}", "a")]),
        chat_chunks(FOX, finish_reason="length"),
        chat_chunks(FOX, tool_calls=[ToolCall("look_up", '{"q', "a")], finish_reason="length"),
        chat_chunks(FOX, finish_reason="content_filter"),
        [
            delta_chunk({"tool_calls": [tool_call_delta(1, "look_up", '{"q": ', call_id="b")]}),
            delta_chunk({"reasoning": "Hmm."}),
            delta_chunk({"tool_calls": [tool_call_delta(0, "look_up", "{", call_id="a")]}),
            delta_chunk({"content": "Wait."}),
            delta_chunk({"tool_calls": [tool_call_delta(1, arguments="2}"), tool_call_delta(0, arguments="}")]}),
            delta_chunk({}, finish_reason="tool_calls"),
        ],
    ],
    ids=itertools.count(),
)
async def test_what_is_said_can_be_told_by_the_machine(
    fake: FakeUpstream, model: ChatCompletions, chunks: list[Json]
) -> None:
    fake.always(stream(sse(chunks)))
    tools = [{"type": "function", "name": "look_up"}, {"type": "custom", "name": "patch"}]
    events = told(await listen(model, a_turn(tools=tools)))
    check(events)
    for event in events:
        validate_event(event)
    is_cut = any(
        choice["finish_reason"] in ("length", "content_filter") for each in chunks for choice in each["choices"]
    )
    assert events[-1]["type"] == ("response.incomplete" if is_cut else "response.completed")


async def test_calls_come_back_as_what_was_offered(fake: FakeUpstream, model: ChatCompletions) -> None:
    crm = {
        "type": "namespace",
        "name": "crm",
        "description": "Customers.",
        "tools": [{"type": "function", "name": "find"}],
    }
    fake.always(stream(chat_stream(tool_calls=[ToolCall("crm__find", '{"q": 1}', "a")])))
    batches = await listen(model, a_turn(tools=[crm, {"type": "web_search"}]))
    (started,) = (delta for delta in flat(batches) if isinstance(delta, ItemStarted))
    assert isinstance(started.item, FunctionCall)
    assert (started.item.name, started.item.namespace, started.item.call_id) == ("find", "crm", "a")
    assert "".join(delta.text for delta in flat(batches) if isinstance(delta, Arguments)) == '{"q": 1}'
    assert [tool["function"]["name"] for tool in fake.requests[0].json()["tools"]] == ["crm__find"]


async def test_an_id_that_the_conversation_has_used_is_replaced(fake: FakeUpstream, model: ChatCompletions) -> None:
    before = [
        {"type": "function_call", "call_id": "call_0", "name": "look_up", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_0", "output": "x"},
    ]
    fake.always(stream(chat_stream(tool_calls=[ToolCall("look_up", "{}", "call_0")])))
    batches = await listen(model, a_turn(before, tools=[{"type": "function", "name": "look_up"}]))
    (started,) = (delta for delta in flat(batches) if isinstance(delta, ItemStarted))
    assert isinstance(started.item, FunctionCall)
    assert started.item.call_id == "made_1"


async def test_ids_are_random_unless_they_are_made_by_somebody_else(fake: FakeUpstream) -> None:
    fake.always(stream(sse([delta_chunk({"tool_calls": [tool_call_delta(i, "f", "{}") for i in range(2)]})])))
    async with aclosing(ChatCompletions(ChatOptions(base_url=fake.base_url))) as model:
        said = flat(await listen(model, a_turn()))
    ids = {
        delta.item.call_id for delta in said if isinstance(delta, ItemStarted) and isinstance(delta.item, FunctionCall)
    }
    assert len(ids) == 2
    assert all(call_id.startswith("call_") for call_id in ids)


async def test_the_upstreams_decisions_are_told(fake: FakeUpstream, model: ChatCompletions) -> None:
    fake.always(stream(sse([{**each, "service_tier": "flex"} for each in chat_chunks(FOX)])))
    assert Settled({"service_tier": "flex"}) in flat(await listen(model, a_turn()))


async def test_items_that_were_left_out_are_noted(fake: FakeUpstream, model: ChatCompletions) -> None:
    fake.always(stream(chat_stream(FOX)))
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    (noted,) = (d for d in flat(await listen(model, a_turn([search, search]))) if isinstance(d, Noted))
    assert noted.fact["items_left_out"] == {"web_search_call": 2}


async def test_a_body_that_is_no_stream_is_told_all_the_same(fake: FakeUpstream, model: ChatCompletions) -> None:
    fake.always(json_answer(chat_json(FOX, reasoning="Hmm.", tool_calls=[ToolCall("look_up", "{}", "a")])))
    batches = await listen(model, a_turn(tools=[{"type": "function", "name": "look_up"}]))
    assert len(batches) == 1
    events = told(batches)
    check(events)
    assert [item["type"] for item in events[-1]["response"]["output"]] == ["reasoning", "message", "function_call"]


# Usage


async def test_usage_that_is_not_told_is_counted(fake: FakeUpstream, model: ChatCompletions) -> None:
    fake.always(stream(chat_stream(FOX, reasoning="Hmm.", usage=None)))
    (usage,) = (delta.usage for delta in flat(await listen(model, a_turn())) if isinstance(delta, Usage))
    assert usage.output_tokens == tokens.count(FOX) + tokens.count("Hmm.")
    assert usage.output_tokens_details.reasoning_tokens == tokens.count("Hmm.")
    assert usage.input_tokens == await model.count(a_turn())


async def test_what_was_said_before_a_failure_is_counted(fake: FakeUpstream, model: ChatCompletions) -> None:
    fake.always(stream(sse([*chat_chunks(FOX)[:4], {"error": {"message": "Crashed.", "code": 429}}], done=False)))
    said, error = await fail(model, a_turn())
    assert isinstance(error, RateLimited)
    text = "".join(delta.text for delta in said if isinstance(delta, Text))
    last = said[-1]
    assert isinstance(last, Usage)
    assert last.usage.output_tokens == tokens.count(text) > 0


async def test_usage_that_was_told_before_a_failure_is_kept(fake: FakeUpstream, model: ChatCompletions) -> None:
    first = {**delta_chunk({"content": "The"}), "usage": {"prompt_tokens": 5, "completion_tokens": 1}}
    fake.always(stream(sse([first], done=False)))
    said, error = await fail(model, a_turn())
    assert isinstance(error, Unavailable)
    assert said[-1] == Usage(UsageFigures(input_tokens=5, output_tokens=1, total_tokens=6))


async def test_the_tokenizer_can_be_chosen(fake: FakeUpstream) -> None:
    text = "naïve 狐狐狐狐"
    turn = a_turn(text)
    async with aclosing(chat(fake)) as new, aclosing(chat(fake, encoding="cl100k_base")) as old:
        difference = tokens.count(text, "cl100k_base") - tokens.count(text, "o200k_base")
        assert difference > 0
        assert await old.count(turn) - await new.count(turn) == difference


# Failures


async def test_a_refusal_is_raised_before_anything_is_said(fake: FakeUpstream, model: ChatCompletions) -> None:
    fake.always(error_answer(400, "Bad tool.", code="invalid_value", param="tools[0]"))
    async with aclosing(model.stream(a_turn())) as batches:
        with pytest.raises(InvalidRequest, match="Bad tool"):
            await anext(batches)


async def test_an_error_in_the_place_of_the_first_chunk_is_a_refusal(
    fake: FakeUpstream, model: ChatCompletions
) -> None:
    fake.always(stream(sse([{"error": {"message": "Slow down.", "code": 429}}])))
    async with aclosing(model.stream(a_turn())) as batches:
        with pytest.raises(RateLimited, match="Slow down"):
            await anext(batches)


async def test_a_turn_that_the_api_cannot_carry_is_refused_without_a_request(
    fake: FakeUpstream, model: ChatCompletions
) -> None:
    turn = a_turn([{"role": "user", "content": [{"type": "input_file", "file_url": "https://example.com/a.pdf"}]}])
    with pytest.raises(InvalidRequest) as caught:
        await listen(model, turn)
    assert caught.value.param == "input[0].content[0].file_url"
    assert fake.requests == []


async def test_silence_before_the_first_output_is_another_error_than_after_it(fake: FakeUpstream) -> None:
    whole = stream(chat_stream(FOX))
    async with aclosing(chat(fake, first_token_timeout=0.1, idle_timeout=0.05)) as model:
        fake.always(whole.stall_after(whole.wire.index(b'"The"')))
        with pytest.raises(UpstreamTimeout) as before:
            await listen(model, a_turn())
        fake.always(whole.stall_after(whole.wire.index(b"\n\n\r\n", whole.after(b'"The"')) + 4))
        with pytest.raises(UpstreamTimeout) as after:
            await listen(model, a_turn())
    assert (before.value.code, after.value.code) == ("upstream_timeout", "upstream_stalled")


async def test_a_stall_after_the_finish_reason_is_an_end(fake: FakeUpstream) -> None:
    whole = stream(chat_stream(FOX))
    fake.always(whole.stall_after(whole.after(b'"finish_reason": "stop"}]}\n\n\r\n')))
    async with aclosing(chat(fake, idle_timeout=0.05)) as model:
        assert flat(await listen(model, a_turn()))[-1] == Finished(None)


async def test_a_malformed_chunk_keeps_what_was_said_before_it(fake: FakeUpstream, model: ChatCompletions) -> None:
    good = b"".join(sse(chat_chunks(FOX)[:3], done=False))
    fake.always(stream([good + b"data: {\n\n"]))
    said, error = await fail(model, a_turn())
    assert isinstance(error, UpstreamMalformed)
    assert said[:2] == [Text("The"), Text(" quick")]


async def test_a_cut_is_an_error_up_to_the_finish_reason_and_an_end_after_it(
    fake: FakeUpstream, model: ChatCompletions
) -> None:
    chunks = [delta_chunk({"content": "The"}), chunk({"index": 0, "delta": {}, "finish_reason": "stop"})]
    whole = stream([b"".join(sse(chunks))])
    told_at = whole.after(b'"stop"}]}\n\n')
    for count in range(told_at):
        fake.always(whole.cut_after(count))
        _, error = await fail(model, a_turn())
        assert error.status in (502, 503)
    for count in range(told_at, len(whole.wire)):
        fake.always(whole.cut_after(count))
        assert flat(await listen(model, a_turn()))[-1] == Finished(None)
    await fake.all_closed()


# Leaving


@pytest.mark.parametrize("tokens_read", [0, 1, 3])
async def test_leaving_a_turn_closes_the_upstream(fake: FakeUpstream, model: ChatCompletions, tokens_read: int) -> None:
    gate = Gate()
    fake.always(stream(chat_stream(FOX)).gated(gate))
    async with aclosing(model.stream(a_turn())) as batches:
        for _ in range(tokens_read):
            gate.release()
            await anext(batches)
        waiting = asyncio.create_task(anext(batches))  # type: ignore[arg-type]
        await fake.received()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    await fake.closed_by_peer()


async def test_closing_the_generator_closes_the_upstream_and_leaves_no_task(
    fake: FakeUpstream, model: ChatCompletions
) -> None:
    before = asyncio.all_tasks()
    gate = Gate()
    fake.always(stream(chat_stream(FOX)).gated(gate))
    batches = model.stream(a_turn())
    for _ in range(2):
        gate.release()
        await anext(batches)
    await batches.aclose()
    await fake.closed_by_peer()
    await fake.all_closed()
    assert asyncio.all_tasks() == before


async def test_connections_are_used_again_and_closed_at_the_end(fake: FakeUpstream) -> None:
    fake.always(stream(chat_stream(FOX), framing="length"))
    async with aclosing(chat(fake)) as model:
        for _ in range(3):
            await listen(model, a_turn())
        assert len(fake.connections) == 1
        assert fake.open_connections == 1
    await fake.all_closed()


async def test_a_connection_whose_answer_ends_after_the_last_word_is_used_again(fake: FakeUpstream) -> None:
    gate = Gate()
    whole = stream([b"".join(chat_stream(FOX))])
    fake.always(replace(whole, steps=(whole.steps[0], Hold(gate), *whole.steps[1:])))
    options = ChatOptions(base_url=fake.base_url)
    upstream = Upstream(options)
    async with aclosing(ChatCompletions(options, upstream=upstream)) as model:
        await listen(model, a_turn())
        assert upstream._watch is not None
        (answer,) = upstream._watch._answers
        gate.open()
        async with asyncio.timeout(LONG):
            while not answer._response.closed:  # noqa: ASYNC110 (aiohttp has no event for it)
                await asyncio.sleep(0)
        await listen(model, a_turn())
        assert len(fake.connections) == 1


async def test_a_model_says_who_it_is_and_what_it_leaves_out(fake: FakeUpstream) -> None:
    options = ChatOptions(base_url=fake.base_url, model="upstream-model", pass_through=frozenset({"top_k"}))
    async with aclosing(ChatCompletions(options, upstream=Upstream(options))) as model:
        assert (model.name, model.continues, model.pass_through) == ("upstream-model", False, {"top_k"})
        assert model.accept(a_turn(tools=[{"type": "web_search"}]).request) == ("web_search",)
        with pytest.raises(InvalidRequest):
            model.accept(a_turn(tools=[{"type": "file_search", "vector_store_ids": ["vs_1"]}]).request)
