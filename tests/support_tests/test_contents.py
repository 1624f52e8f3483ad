"""What the fake upstream says is what the official client understands, for both kinds of API."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openai import AsyncOpenAI, RateLimitError

from tests.support.chat_chunks import chat_chunks, tool_call_deltas
from tests.support.grammar import check
from tests.support.response_events import (
    function_call,
    message,
    opaque,
    reasoning,
    refusal,
    response_events,
    responses_json,
    responses_stream,
    sse_of,
)
from tests.support.samples import SAMPLES
from tests.support.upstream import (
    FakeUpstream,
    ToolCall,
    chat_json,
    chat_stream,
    error_answer,
    json_answer,
    stream,
)
from tests.support.words import split_words

pytestmark = pytest.mark.anyio

TEXT = "The quick brown fox: naïve, 狐.\n\n  Twice."
CALLS = (ToolCall("look_up", '{"animal": "fox"}'), ToolCall("feed", ['{"a"', ": 1}"], id="call_2"))
QUESTION: Any = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


@asynccontextmanager
async def client_of(up: FakeUpstream) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=up.base_url, api_key="key", max_retries=0) as client:
        yield client


async def streamed(chunks: list[bytes]) -> list[Any]:
    async with FakeUpstream() as up, client_of(up) as client:
        up.script = [stream(chunks)]
        return [chunk async for chunk in await client.chat.completions.create(**QUESTION, stream=True)]


async def test_a_streamed_text_is_read_by_the_client_token_by_token() -> None:
    chunks = await streamed(chat_stream(TEXT))
    tokens = [chunk.choices[0].delta.content for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    assert "".join(tokens) == TEXT
    assert len(tokens) == 7
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.total_tokens == 40
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 4


async def test_a_text_given_in_pieces_streams_as_those() -> None:
    chunks = await streamed(chat_stream(["a", "b c", "d"], usage=None))
    assert [chunk.choices[0].delta.content for chunk in chunks] == ["", "a", "b c", "d", None]


async def test_streamed_calls_keep_their_indexes_and_ids() -> None:
    chunks = await streamed(chat_stream(tool_calls=CALLS))
    deltas = [call for chunk in chunks if chunk.choices for call in chunk.choices[0].delta.tool_calls or ()]
    arguments = {0: "", 1: ""}
    for delta in deltas:
        arguments[delta.index] += delta.function.arguments
    assert arguments == {0: '{"animal": "fox"}', 1: '{"a": 1}'}
    assert [(delta.id, delta.function.name) for delta in deltas if delta.id] == [
        ("call_1", "look_up"),
        ("call_2", "feed"),
    ]
    assert chunks[-2].choices[0].finish_reason == "tool_calls"


async def test_reasoning_refusal_and_logprobs_are_told_in_their_fields() -> None:
    chunks = await streamed(chat_stream("Hi there", reasoning="Let me think", refusal="I will not", logprobs=True))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(getattr(delta, "reasoning_content", "") for delta in deltas) == "Let me think"
    assert "".join(delta.refusal or "" for delta in deltas) == "I will not"
    logprobs = [chunk.choices[0].logprobs for chunk in chunks if chunk.choices and chunk.choices[0].logprobs]
    assert [entry.token for each in logprobs for entry in each.content] == ["Hi", " there"]


def test_reasoning_is_told_in_the_field_that_is_asked_for() -> None:
    assert chat_chunks(reasoning="Hm", reasoning_field="reasoning")[1]["choices"][0]["delta"] == {"reasoning": "Hm"}


def test_the_finish_reason_and_the_model_are_as_given() -> None:
    *_, last = chat_chunks("Hi", finish_reason="length", usage=None, model="fox-1")
    assert last["choices"][0]["finish_reason"] == "length"
    assert last["model"] == "fox-1"


async def test_a_plain_completion_is_read_by_the_client() -> None:
    body = chat_json("Hi", tool_calls=CALLS, reasoning="Hm", refusal="No", logprobs=True)
    async with FakeUpstream() as up, client_of(up) as client:
        up.script = [json_answer(body)]
        completion = await client.chat.completions.create(**QUESTION)
    choice = completion.choices[0]
    assert (choice.message.content, choice.message.refusal, choice.finish_reason) == ("Hi", "No", "tool_calls")
    assert [call.function.arguments for call in choice.message.tool_calls] == ['{"animal": "fox"}', '{"a": 1}']
    assert choice.logprobs.content[0].token == "Hi"
    assert completion.usage.completion_tokens == 23
    assert up.requests[0].headers["authorization"] == "Bearer key"


async def test_an_error_answer_has_the_envelope_that_the_client_reads() -> None:
    async with FakeUpstream() as up, client_of(up) as client:
        up.script = [error_answer(429, "Slow down.", code="rate_limit_exceeded", headers={"retry-after": "7"})]
        with pytest.raises(RateLimitError, match=r"Slow down\.") as caught:
            await client.chat.completions.create(**QUESTION)
    assert caught.value.code == "rate_limit_exceeded"
    assert caught.value.response.headers["retry-after"] == "7"


# The Responses API


async def test_the_clients_stream_helper_accepts_a_whole_stream_of_all_items() -> None:
    async with FakeUpstream() as up, client_of(up) as client:
        up.script = [stream(responses_stream(*SAMPLES.values()))]
        async with client.responses.stream(model="m", input="Hi") as events:
            seen = [event.type async for event in events]
            response = await events.get_final_response()
    assert seen[0] == "response.created"
    assert len(response.output) == len(SAMPLES)
    assert "The quick brown fox." in response.output_text


async def test_the_client_reads_events_of_items_it_does_not_know() -> None:
    async with FakeUpstream() as up, client_of(up) as client:
        up.script = [stream(responses_stream(opaque("sparkle_call", "twinkling", level=3), message("Hi")))]
        events = [event async for event in await client.responses.create(model="m", input="Hi", stream=True)]
    assert [event.type for event in events][3] == "response.sparkle_call.twinkling"
    assert events[-1].response.output_text == "Hi"


async def test_a_plain_response_is_read_by_the_client() -> None:
    async with FakeUpstream() as up, client_of(up) as client:
        up.script = [
            json_answer(responses_json(reasoning("Hm."), message("Hi"), function_call("f", "{}"), model="fox"))
        ]
        response = await client.responses.create(model="m", input="Hi")
    assert response.output_text == "Hi"
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert response.model == "fox"


def test_each_event_is_a_frame_of_its_own() -> None:
    for event, frame in zip(response_events(message("Hi")), responses_stream(message("Hi")), strict=True):
        name, data, *rest = frame.decode().split("\n")
        assert name == f"event: {event['type']}"
        assert json.loads(data.removeprefix("data: ")) == event
        assert rest == ["", ""]


def test_items_have_ids_of_their_own_or_counted_ones() -> None:
    response = responses_json(message("Hi"), message("Ho").named("msg_mine"))
    assert [item["id"] for item in response["output"]] == ["item_0", "msg_mine"]


def test_no_object_stands_in_two_events() -> None:
    events = response_events(message(refusal("No")), message("Hi"))
    events[-1]["response"]["output"][0]["content"][0]["refusal"] = "Yes"
    events[0]["response"]["metadata"]["fox"] = "quick"
    assert "Yes" not in str(events[:-1])
    assert "quick" not in str(events[1:])
    check(response_events(message(refusal("No"))))


def test_an_event_is_encoded_once_with_its_name() -> None:
    assert sse_of([{"type": "keepalive", "sequence_number": 3}]) == [
        b'event: keepalive\ndata: {"type": "keepalive", "sequence_number": 3}\n\n'
    ]


# Pieces


@pytest.mark.parametrize("text", ["", " ", "a", "a b", "  a\n\n b  ", "\n", '{"a": [1, 2]}', "狐 naïve", "a \n"])
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    assert "".join(split_words(text)) == text
    assert all(split_words(text))


def test_no_delta_repeats_the_one_before_it_unless_the_text_does() -> None:
    pieces = split_words("The quick brown fox jumps")
    assert len(set(pieces)) == len(pieces) == 5
    assert [delta["index"] for delta in tool_call_deltas(CALLS)] == [0, 0, 0, 1, 1, 1]
