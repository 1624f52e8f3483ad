"""The official Python SDK, unchanged, sync and async, against the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from tests.support import grammar, sdk_oracle
from tests.support.sdk_models import TEXT, catalog
from tests.support.serving import Serving, serving

pytestmark = pytest.mark.anyio

TOOLS: list[Any] = [{"type": "function", "name": "weather", "strict": False, "parameters": {"type": "object"}}]


class City(BaseModel):
    city: str


@pytest.fixture
async def served():
    async with serving(catalog()) as s:
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


async def test_create_and_retrieve(client, in_thread):
    made = await client.responses.create(model="rehearsed", input="Hi.")
    assert made.output_text == TEXT
    assert made.usage.total_tokens > 0
    assert made._request_id.startswith("req_")
    assert await client.responses.retrieve(made.id) == made
    assert await in_thread(lambda c: c.responses.retrieve(made.id)) == made
    assert (await in_thread(lambda c: c.responses.create(model="rehearsed", input="Hi."))).output_text == TEXT


async def test_stream_and_resume(client, in_thread):
    events = [e async for e in await client.responses.create(model="rehearsed", input="Hi.", stream=True)]
    raw = [event.to_dict() for event in events]
    grammar.check(raw)
    assert not [problem for event in raw for problem in sdk_oracle.validate_event(event)]
    response_id = events[0].response.id
    rest = [e async for e in await client.responses.retrieve(response_id, stream=True, starting_after=4)]
    assert rest == events[5:]
    again = await in_thread(lambda c: list(c.responses.retrieve(response_id, stream=True)))
    assert again == events


async def test_the_stream_helper(client, in_thread):
    async with client.responses.stream(model="rehearsed", input="Hi.") as stream:
        text = "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])
        final = await stream.get_final_response()
    assert text == final.output_text == TEXT

    def synchronous(c: OpenAI) -> str:
        with c.responses.stream(model="rehearsed", input="Hi.") as stream:
            return stream.until_done().get_final_response().output_text

    assert await in_thread(synchronous) == TEXT


async def test_parse(client, in_thread):
    parsed = await client.responses.parse(model="json", input="A city.", text_format=City)
    assert parsed.output_parsed == City(city="Paris")
    again = await in_thread(lambda c: c.responses.parse(model="json", input="A city.", text_format=City))
    assert again.output_parsed == City(city="Paris")


async def test_a_tool_loop_over_previous_response_id(client):
    called = await client.responses.create(model="calls", input="Weather in Paris?", tools=TOOLS)
    call = called.output[0]
    assert (call.type, call.name, call.arguments) == ("function_call", "weather", '{"city": "Paris"}')
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny"}
    answered = await client.responses.create(
        model="rehearsed", previous_response_id=called.id, input=[output], tools=TOOLS
    )
    assert answered.output_text == TEXT
    items = [item.type async for item in client.responses.input_items.list(answered.id, order="asc", limit=1)]
    assert items == ["message", "function_call", "function_call_output"]


async def test_background_cancel_and_delete(client, in_thread):
    made = await client.responses.create(model="waits", input="Hi.", background=True)
    assert made.status == "queued"
    assert (await client.responses.cancel(made.id)).status == "cancelled"
    assert (await in_thread(lambda c: c.responses.cancel(made.id))).status == "cancelled"
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    streamed = await client.responses.create(model="rehearsed", input="Hi.", background=True, stream=True)
    assert [event.type async for event in streamed][-1] == "response.completed"


async def test_errors_are_the_sdks_own_with_all_they_tell(client):
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="rehearsed", input="Hi.", temperature=3)
    assert (caught.value.param, caught.value.code) == ("temperature", "decimal_above_max_value")
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="nobody", input="Hi.")
    assert caught.value.code == "model_not_found"


async def test_count_and_models(client):
    counted = await client.responses.input_tokens.count(model="rehearsed", input="Hi.")
    assert counted.input_tokens == 1
    assert [model.id async for model in client.models.list()] == ["rehearsed", "json", "calls", "waits"]
    assert (await client.models.retrieve("json")).id == "json"
