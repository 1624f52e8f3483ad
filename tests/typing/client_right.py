"""What a type checker has to accept. Nothing here is run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import assert_type

from openai import AsyncOpenAI, OpenAI
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseErrorEvent,
    ResponseStreamEvent,
    ResponseTextDeltaEvent,
)

import antiphon
from antiphon.client import (
    AsyncClient,
    AsyncResponseStream,
    BatchResult,
    BreakerSettings,
    Client,
    ClientError,
    RetrySettings,
    Run,
    StreamHandler,
    on,
)
from antiphon.client.call import Ask, Call, Flow
from antiphon.client.records import Ended, Record


class Printer(StreamHandler):
    """Handlers by class and by name, plain and as coroutines."""

    @on(ResponseTextDeltaEvent)
    def text(self, event: ResponseTextDeltaEvent) -> None:
        print(event.delta)

    @on(ResponseCompletedEvent, ResponseErrorEvent)
    async def over(self, event: ResponseCompletedEvent | ResponseErrorEvent) -> None:
        print(event.type)

    @on("response.refusal.delta")
    def refusal(self, event: object) -> None:
        print(event)


def weather(city: str) -> str:
    """The weather."""
    return city


def observe(record: Record) -> None:
    """An observer."""
    if isinstance(record, Ended):
        print(record.usage)


async def shouted(call: Call, ask: Ask) -> Flow:
    """A layer."""
    async with aclosing(ask(call)) as flow:
        async for event in flow:
            yield event


async def asynchronous() -> None:
    """The async client."""
    client = AsyncClient(
        AsyncOpenAI(),
        retry=RetrySettings(attempts=5),
        breaker=BreakerSettings(volume=5),
        deadline=3,
        observers=observe,
        layers=[shouted],
    )
    assert_type(await client.create(model="m", input="Hi.", deadline=2.5, timeout=3), Response)
    stream = client.stream(model="m", input=[{"role": "user", "content": "Hi."}], background=True)
    assert_type(stream, AsyncResponseStream)
    async for event in stream:
        if event.type == "response.output_text.delta":
            assert_type(event.delta, str)
    assert_type(stream.response, Response | None)
    assert_type(await Printer().run(stream), Response)
    assert_type(await client.run([weather], model="m", input="Hi."), Run)
    batch = client.batch([{"model": "m", "input": "Hi."}], rate=3)
    assert_type(batch, AsyncGenerator[BatchResult, None])


def synchronous() -> None:
    """The sync client."""
    client = Client(OpenAI(), retry=False, breaker=True, observers=[observe])
    try:
        assert_type(client.create(model="m", input="Hi."), Response)
    except ClientError as error:
        assert_type(error.partial, Response | None)
    for event in client.stream(model="m", input="Hi."):
        seen: ResponseStreamEvent = event
        print(seen)
    assert_type(Printer().run(client.stream(model="m", input="Hi.")), Response)
    for result in client.batch({"a": {"model": "m", "input": "Hi."}}):
        assert_type(result, BatchResult)
    assert_type(antiphon.local(), OpenAI)
    assert_type(antiphon.local_async(), AsyncOpenAI)
