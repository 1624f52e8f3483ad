"""`client.chat.completions.create` over any Responses endpoint, by the SDK's client or the toolkit's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from antiphon.client import (
    AsyncChatCompletions,
    AsyncClient,
    ChatCompletions,
    Client,
    OptionError,
    ResponseFailed,
    StreamCut,
    StreamMalformed,
)
from tests.client.recorded import TEXT as RECORDED
from tests.client.recorded import Recorded, bodies, failed, recording
from tests.support import chat_oracle
from tests.support.answers import Gate, error_answer, json_answer, stream
from tests.support.response_events import custom_tool_call, function_call, message, reasoning, response_events, sse_of
from tests.support.sdk_models import TEXT, catalog
from tests.support.serving import serving

pytestmark = pytest.mark.anyio

USER: Any = {"role": "user", "content": "Hi."}
LOOK_UP: Any = {"type": "function", "function": {"name": "look_up"}}
USAGE: Any = {"include_usage": True}


@pytest.fixture
async def sdk() -> AsyncIterator[Callable[[str], AsyncOpenAI]]:
    """Makes async clients of the SDK, and closes them."""
    made: list[AsyncOpenAI] = []

    def make(base_url: str) -> AsyncOpenAI:
        made.append(AsyncOpenAI(base_url=base_url, api_key="none", max_retries=0))
        return made[-1]

    yield make
    for client in made:
        await client.close()


@pytest.fixture
def chat(sdk: Callable[[str], AsyncOpenAI]) -> Callable[..., AsyncChatCompletions]:
    """Makes wrappers around async clients of the SDK."""
    return lambda base_url, **options: AsyncChatCompletions(sdk(base_url), **options)


async def collected(chunks: Any) -> list[ChatCompletionChunk]:
    return [chunk async for chunk in chunks]


def as_json(chunks: list[ChatCompletionChunk]) -> list[dict[str, Any]]:
    told = [chunk.to_dict(mode="json") for chunk in chunks]
    for chunk in told:
        chat_oracle.check(chunk)
    return told


# What comes back


@pytest.mark.parametrize("kind", [lambda sdk: sdk, AsyncClient])
async def test_completions_and_chunks_are_the_sdks_own(base_url: str, sdk: Any, kind: Any):
    client = AsyncChatCompletions(kind(sdk(base_url)))
    whole = await client.chat.completions.create(model="rehearsed", messages=[USER])
    assert isinstance(whole, ChatCompletion)
    assert whole.choices[0].message.content in (TEXT, RECORDED)
    assert (whole.choices[0].finish_reason, whole.object) == ("stop", "chat.completion")
    chunks = await client.chat.completions.create(model="rehearsed", messages=[USER], stream=True, stream_options=USAGE)
    assert isinstance(chunks, openai.AsyncStream)
    told = await collected(chunks)
    assert all(isinstance(chunk, ChatCompletionChunk) for chunk in told)
    assembled = chat_oracle.assembled(as_json(told))
    assert assembled["message"]["content"] == whole.choices[0].message.content
    assert (told[-1].choices, told[-1].usage) == ([], whole.usage)


@pytest.mark.parametrize("kind", [lambda sdk: sdk, Client])
async def test_the_sync_twin_does_the_same(base_url: str, kind: Any):
    def work() -> tuple[str | None, str]:
        with OpenAI(base_url=base_url, api_key="none", max_retries=0) as sdk:
            client = ChatCompletions(kind(sdk))
            whole = client.chat.completions.create(model="rehearsed", messages=[USER])
            with client.chat.completions.create(model="rehearsed", messages=[USER], stream=True) as chunks:
                assert isinstance(chunks, openai.Stream)
                text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
            return whole.choices[0].message.content, text

    content, text = await asyncio.to_thread(work)
    assert content == text
    assert text in (TEXT, RECORDED)


async def test_the_wrapper_and_the_servers_own_endpoint_say_the_same(sdk: Any):
    async with serving(catalog()) as served:
        real = sdk(f"{served.url}/v1")
        wrapped = AsyncChatCompletions(real)
        for model in ("rehearsed", "calls"):
            asked: Any = {"model": model, "messages": [USER], "tools": [LOOK_UP]}
            one, other = [await c.chat.completions.create(**asked) for c in (real, wrapped)]
            assert one.choices == other.choices
            assert one.usage == other.usage
            streams = [
                await collected(await c.chat.completions.create(**asked, stream=True, stream_options=USAGE))
                for c in (real, wrapped)
            ]
            told, retold = ([chunk.to_dict() for chunk in chunks] for chunks in streams)
            assert [{**c, "id": "", "created": 0} for c in told] == [{**c, "id": "", "created": 0} for c in retold]


async def test_calls_of_both_kinds_and_reasoning_come_through(upstream: Recorded, chat: Any):
    upstream.events = response_events(
        reasoning(text=["Hm."]), function_call("look_up", '{"a": 1}'), custom_tool_call("sql", "x", call_id="call_2")
    )
    client = chat(upstream.base_url)
    whole = await client.create(model="m", messages=[USER], tools=[LOOK_UP])
    message_ = whole.choices[0].message
    assert whole.choices[0].finish_reason == "tool_calls"
    assert message_.tool_calls[0].function.arguments == '{"a": 1}'
    assert message_.tool_calls[1].custom.input == "x"
    assert message_.reasoning_content == "Hm."
    chunks = await collected(await client.create(model="m", messages=[USER], tools=[LOOK_UP], stream=True))
    assembled = chat_oracle.assembled(as_json(chunks))["message"]
    assert [call["id"] for call in assembled["tool_calls"]] == ["call_1", "call_2"]


# What is asked


async def test_the_server_is_asked_for_a_response_that_is_not_stored(upstream: Recorded, chat: Any):
    await chat(upstream.base_url).create(
        model="m",
        messages=[{"role": "system", "content": "Be brief."}, USER],
        max_tokens=99,
        temperature=0.5,
        tools=[LOOK_UP],
        response_format={"type": "json_object"},
        user=openai.omit,
        extra_headers={"x-own": "1"},
        timeout=30,
    )
    (request,) = upstream.requests
    assert request.target.endswith("/responses")
    assert request.headers["x-own"] == "1"
    assert request.json() == {
        "model": "m",
        "input": [
            {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi."}]},
        ],
        "tools": [{"type": "function", "name": "look_up", "parameters": None, "strict": False}],
        "text": {"format": {"type": "json_object"}},
        "store": False,
        "max_output_tokens": 99,
        "temperature": 0.5,
    }


async def test_a_message_of_an_answer_may_be_sent_back_as_it_came(upstream: Recorded, chat: Any):
    upstream.events = response_events(reasoning(text=["Hm."]), function_call("look_up", "{}"))
    client = chat(upstream.base_url)
    said = (await client.create(model="m", messages=[USER])).choices[0].message
    history = (each for each in [USER, said, {"role": "tool", "tool_call_id": "call_1", "content": "42"}])
    await client.create(model="m", messages=history)
    kinds = [item["type"] for item in bodies(upstream.requests)[-1]["input"]]
    assert kinds == ["message", "function_call", "function_call_output"]


async def test_reasoning_is_sent_back_where_the_server_wants_it(upstream: Recorded, chat: Any):
    said = {"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."}
    await chat(upstream.base_url, send_reasoning=True).create(model="m", messages=[USER, said, USER])
    assert [item["type"] for item in bodies(upstream.requests)[-1]["input"]][1] == "reasoning"


async def test_what_responses_cannot_be_asked_is_refused_by_name_and_nothing_is_sent(upstream: Recorded, chat: Any):
    client = chat(upstream.base_url)
    for fields in ({"n": 2}, {"seed": 1}, {"stop": "."}, {"top_k": 1}, {"temperature": 3}, {"messages": []}):
        with pytest.raises(openai.BadRequestError) as caught:
            await client.create(**{"model": "m", "messages": [USER], **fields})
        assert [caught.value.param] == list(fields)
        assert caught.value.status_code == 400
    assert upstream.requests == []


async def test_what_the_server_takes_all_the_same_is_passed_through(upstream: Recorded, chat: Any):
    client = chat(upstream.base_url, pass_through={"seed", "top_k"})
    await client.create(model="m", messages=[USER], seed=1, top_k=2, extra_body={"own": True})
    (body,) = bodies(upstream.requests)
    assert (body["seed"], body["top_k"], body["own"]) == (1, 2, True)


async def test_what_no_request_can_hold_is_a_type_error(upstream: Recorded, chat: Any):
    with pytest.raises(TypeError):
        await chat(upstream.base_url).create(model="m", messages=[USER], metadata={"a": object()})
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("client", "options", "option"),
    [
        (AsyncOpenAI(api_key="none"), {}, "client"),
        (None, {}, "client"),
        (OpenAI(api_key="none"), {"pass_through": "seed"}, "pass_through"),
    ],
)
def test_a_wrong_option_fails_with_its_name(client: Any, options: Any, option: str):
    with pytest.raises(OptionError) as caught:
        ChatCompletions(client, **options)
    assert caught.value.option == option


# What goes wrong


@pytest.mark.parametrize("way", [{}, {"stream": True}])
async def test_an_error_of_the_server_names_the_parameter_of_the_chat(upstream: Recorded, chat: Any, way: Any):
    kind = {"type": "invalid_request_error", "param": "max_output_tokens", "code": "integer_below_min_value"}
    upstream.handler = lambda _: error_answer(400, "Too few.", **kind)
    with pytest.raises(openai.BadRequestError) as caught:
        await chat(upstream.base_url).create(model="m", messages=[USER], max_tokens=1, **way)
    assert caught.value.param == "max_tokens"


async def test_a_response_that_fails_is_an_error(upstream: Recorded, chat: Any):
    upstream.events = failed("rate_limit_exceeded")
    client = chat(upstream.base_url)
    with pytest.raises(ResponseFailed, match="It went wrong"):
        await client.create(model="m", messages=[USER])
    with pytest.raises(ResponseFailed) as caught:
        await collected(await client.create(model="m", messages=[USER], stream=True))
    assert caught.value.code == "rate_limit_exceeded"


async def test_a_stream_without_an_end_is_an_error(upstream: Recorded, chat: Any):
    upstream.handler = lambda _: stream(sse_of(recording()[:6]))
    chunks = await chat(upstream.base_url).create(model="m", messages=[USER], stream=True)
    said = [(await anext(chunks)).choices[0].delta.content for _ in range(3)]
    assert "".join(said) == RECORDED[:8]
    with pytest.raises(StreamCut):
        await anext(chunks)


async def test_an_answer_of_another_kind_is_malformed(upstream: Recorded, chat: Any):
    client = chat(upstream.base_url)
    upstream.handler = lambda _: stream([b'data: {"type": "response.created", "response": 3}\n\n'])
    with pytest.raises(StreamMalformed):
        await collected(await client.create(model="m", messages=[USER], stream=True))
    upstream.handler = lambda _: json_answer({"object": "response", "output": "none"})
    with pytest.raises(StreamMalformed):
        await client.create(model="m", messages=[USER])


@pytest.mark.parametrize("kind", [lambda sdk: sdk, AsyncClient])
async def test_closing_a_stream_closes_the_connection(upstream: Recorded, sdk: Any, kind: Any):
    gate = Gate()
    gate.release(6)  # the head of the answer, and its first words
    upstream.change = lambda answer, _: answer.gated(gate)
    client = AsyncChatCompletions(kind(sdk(upstream.base_url)))
    chunks = await client.create(model="m", messages=[USER], stream=True)
    await anext(chunks)
    await chunks.close()
    await upstream.closed_by_peer()


async def test_the_old_functions_are_answered_with_a_function_call(upstream: Recorded, chat: Any):
    upstream.events = response_events(function_call("look_up", '{"a": 1}'))
    client = chat(upstream.base_url)
    made = await client.create(model="m", messages=[USER], functions=[{"name": "look_up"}])
    assert (made.choices[0].finish_reason, made.choices[0].message.function_call.name) == ("function_call", "look_up")
    assert json.loads(made.choices[0].message.function_call.arguments) == {"a": 1}


async def test_a_server_that_sends_no_deltas_is_understood(upstream: Recorded, chat: Any):
    every = response_events(message("Hello there."))
    upstream.events = [event for event in every if not event["type"].endswith(".delta")]
    chunks = await collected(await chat(upstream.base_url).create(model="m", messages=[USER], stream=True))
    assert chat_oracle.assembled(as_json(chunks))["message"]["content"] == "Hello there."
