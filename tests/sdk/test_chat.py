"""Chat Completions by the official SDKs, unchanged, over the built-in model and over an upstream that speaks it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.sdk.chat_upstream import models_over
from tests.support import chat_oracle
from tests.support.serving import Serving, serving
from tests.support.tools import needs_node
from tests.support.upstream import FakeUpstream

pytestmark = pytest.mark.anyio

MODELS = ("rehearsal", "chat")
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
        },
    }
]


class City(BaseModel):
    city: str


class Weather(BaseModel):
    city: str


def user(content: str) -> Any:
    return {"role": "user", "content": content}


HELLO = [user("Say hello.")]


async def drained(stream: Any) -> None:
    async for _ in stream:
        pass


@pytest.fixture
async def served():
    async with FakeUpstream() as upstream, serving(models_over(upstream)) as s:
        yield s


@pytest.fixture
async def client(served: Serving):
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture
def in_thread(served: Serving):
    """Run a function with the sync client while the server's loop goes on."""
    made = OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0)

    async def run(work: Callable[[OpenAI], Any]) -> Any:
        return await asyncio.to_thread(work, made)

    yield run
    made.close()


@pytest.mark.parametrize("model", MODELS)
async def test_whole_and_streamed_sync_and_async(client: AsyncOpenAI, in_thread: Any, model: str):
    whole = await client.chat.completions.create(model=model, messages=HELLO)
    content = whole.choices[0].message.content
    assert content
    assert "ello" in content
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage
    assert whole.usage.total_tokens > 0
    options: Any = {"include_usage": True}
    stream = await client.chat.completions.create(model=model, messages=HELLO, stream=True, stream_options=options)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == content
    assert (chunks[-1].choices, chunks[-1].usage) == ([], whole.usage)
    for chunk in chunks:
        chat_oracle.check(chunk.to_dict())
    again = await in_thread(
        lambda c: list(c.chat.completions.create(model=model, messages=HELLO, stream=True, stream_options=options))
    )
    assert [chunk.choices for chunk in again] == [chunk.choices for chunk in chunks]


@pytest.mark.parametrize("model", MODELS)
async def test_the_stream_helper_sees_content_and_the_same_end(client: AsyncOpenAI, in_thread: Any, model: str):
    async with client.chat.completions.stream(model=model, messages=HELLO) as stream:
        deltas = "".join([event.delta async for event in stream if event.type == "content.delta"])
        final = await stream.get_final_completion()
    whole = await client.chat.completions.create(model=model, messages=HELLO)
    assert final.choices[0].message.content == deltas == whole.choices[0].message.content

    def synchronous(c: OpenAI) -> str | None:
        with c.chat.completions.stream(model=model, messages=HELLO) as stream:
            return stream.until_done().get_final_completion().choices[0].message.content

    assert await in_thread(synchronous) == deltas


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("way", ["whole", "streamed"])
async def test_a_tool_loop_hands_the_sdks_own_message_back(client: AsyncOpenAI, model: str, way: str):
    messages: list[Any] = [user("What is the weather in Paris?")]
    if way == "whole":
        called: Any = await client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
    else:
        async with client.chat.completions.stream(model=model, messages=messages, tools=TOOLS) as stream:
            called = await stream.get_final_completion()
    (choice,) = called.choices
    (call,) = choice.message.tool_calls
    assert (choice.finish_reason, call.type, call.function.name) == ("tool_calls", "function", "weather")
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    messages += [choice.message, {"role": "tool", "tool_call_id": call.id, "content": "sunny"}]
    answered = await client.chat.completions.create(model=model, messages=messages, tools=TOOLS)
    assert answered.choices[0].finish_reason == "stop"
    assert answered.choices[0].message.content


@pytest.mark.parametrize("model", MODELS)
async def test_parse_gives_objects_of_the_schema(client: AsyncOpenAI, in_thread: Any, model: str):
    asked: Any = [user("Give me a city as JSON.")]
    parsed = await client.chat.completions.parse(model=model, messages=asked, response_format=City)
    assert isinstance(parsed.choices[0].message.parsed, City)
    again = await in_thread(lambda c: c.chat.completions.parse(model=model, messages=asked, response_format=City))
    assert again.choices[0].message.parsed == parsed.choices[0].message.parsed


@pytest.mark.parametrize("model", MODELS)
async def test_parse_gives_the_arguments_of_calls_as_objects(client: AsyncOpenAI, model: str):
    tool = openai.pydantic_function_tool(Weather, name="weather")
    asked: Any = [user("What is the weather in Paris?")]
    parsed = await client.chat.completions.parse(model=model, messages=asked, tools=[tool])
    (call,) = parsed.choices[0].message.tool_calls or ()
    assert call.function.parsed_arguments == Weather(city="Paris")


async def test_log_probabilities_come_through(client: AsyncOpenAI):
    made = await client.chat.completions.create(model="chat", messages=HELLO, logprobs=True, top_logprobs=1)
    logprobs = made.choices[0].logprobs
    assert logprobs
    assert logprobs.content
    assert "".join(entry.token for entry in logprobs.content) == made.choices[0].message.content
    assert logprobs.content[0].top_logprobs[0].bytes


async def test_what_is_stored_can_be_listed_read_changed_and_deleted(client: AsyncOpenAI, in_thread: Any):
    completions = client.chat.completions
    ids = [
        (await completions.create(model="rehearsal", messages=HELLO, store=True, metadata={"n": str(n)})).id
        for n in range(3)
    ]
    assert [each.id async for each in completions.list(limit=1)] == ids
    assert [each.id async for each in completions.list(metadata={"n": "1"})] == ids[1:2]
    assert [each.id for each in await in_thread(lambda c: list(c.chat.completions.list(order="desc")))] == ids[::-1]
    assert (await completions.update(ids[0], metadata={"n": "9"})).metadata == {"n": "9"}
    assert (await completions.retrieve(ids[0])).metadata == {"n": "9"}
    assert [(m.role, m.content) async for m in completions.messages.list(ids[0])] == [("user", "Say hello.")]
    assert (await completions.delete(ids[0])).deleted
    with pytest.raises(openai.NotFoundError):
        await completions.retrieve(ids[0])


async def test_errors_are_the_sdks_own(client: AsyncOpenAI):
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(model="rehearsal", messages=HELLO, n=2)
    assert (caught.value.param, caught.value.code) == ("n", "unsupported_parameter")
    with pytest.raises(openai.RateLimitError):
        await client.chat.completions.create(model="rehearsal", messages=[user("Hi.\n#fault 429")])
    stream = await client.chat.completions.create(
        model="rehearsal", messages=[user("Say something long.\n#fault cut after=3")], stream=True
    )
    assert [(await anext(stream)).choices[0].delta.content for _ in range(2)][1]
    with pytest.raises(openai.APIError):
        await drained(stream)


@needs_node
@pytest.mark.parametrize("model", MODELS)
async def test_every_operation_of_the_node_sdk_works(served: Serving, model: str):
    process = await asyncio.create_subprocess_exec(
        os.environ.get("ANTIPHON_NODE", "node"),
        str(Path(__file__).parent / "node" / "chat.mjs"),
        env={**os.environ, "BASE_URL": f"{served.url}/v1", "MODEL": model},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    seen = json.loads(output)
    assert seen["content"] == seen["helper_content"] == seen["helper_deltas"] == seen["retrieved"]
    assert seen["finish_reason"] == seen["answered"] == "stop"
    for chunk in seen["chunks"]:
        chat_oracle.check(chunk)
    assert chat_oracle.assembled(seen["chunks"])["message"]["content"] == seen["content"]
    assert seen["chunks"][-1]["usage"] == seen["usage"]
    assert (seen["called"], seen["call"]) == ("tool_calls", {"name": "weather", "arguments": {"city": "Paris"}})
    assert seen["streamed_call"] == {"city": "Paris"}
    assert seen["parsed"] == ["city"]
    assert seen["listed"] == [True]
    assert seen["messages"] == ["Say hello."]
    assert (seen["updated"], seen["deleted"]) == ({"of": "nobody"}, True)
    assert seen["error"] == {"name": "NotFoundError", "status": 404, "code": "completion_not_found"}
    assert seen["refused"] == {"name": "BadRequestError", "param": "n", "code": "unsupported_parameter"}
