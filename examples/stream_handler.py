"""ResponseStreamHandler: one function for each kind of event."""

import asyncio

from openai import AsyncOpenAI
from openai.types.responses import (
    ResponseCodeInterpreterCallInProgressEvent,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseFileSearchCallInProgressEvent,
    ResponseFunctionCallArgumentsDeltaEvent,
    ResponseRefusalDeltaEvent,
    ResponseTextDeltaEvent,
)

from antiphon.client import AsyncClient, StreamHandler, on


class Printer(StreamHandler):
    @on(ResponseCreatedEvent)
    def created(self, event: ResponseCreatedEvent) -> None:
        print(f"{event.response.id} begins")

    @on(ResponseTextDeltaEvent, ResponseRefusalDeltaEvent, ResponseFunctionCallArgumentsDeltaEvent)
    async def words(
        self, event: ResponseTextDeltaEvent | ResponseRefusalDeltaEvent | ResponseFunctionCallArgumentsDeltaEvent
    ) -> None:
        print(event.delta, end="", flush=True)

    @on(ResponseFileSearchCallInProgressEvent, ResponseCodeInterpreterCallInProgressEvent)
    def working(
        self, event: ResponseFileSearchCallInProgressEvent | ResponseCodeInterpreterCallInProgressEvent
    ) -> None:
        print(f"… {event.item_id} is at work")  # neither has the query or the code: those are in the item

    @on(ResponseCompletedEvent)
    def completed(self, event: ResponseCompletedEvent) -> None:
        print(f"\n{event.response.id} is complete")


async def main() -> None:
    async with AsyncClient(AsyncOpenAI()) as client:
        await Printer().run(client.stream(model="gpt-5", input="Hello"))


if __name__ == "__main__":
    asyncio.run(main())
