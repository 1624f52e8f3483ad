"""Call: one request on its way through the layers.

A *flow* is an async generator of the SDK's events. A *layer* stands around whatever asks the server, or around another
layer, as the server's models around models do:

    def layer(call: Call, ask: Ask) -> Flow:
        return ask(call)                                  # nothing to do: no generator more

    async def shouted(call: Call, ask: Ask) -> Flow:
        async with aclosing(ask(call)) as flow:
            async for event in flow:
                yield event

What a layer waits for goes through `call.io`, so that it serves the async and the sync client alike. It must not use
asyncio by itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from antiphon.client.io import IO
from antiphon.client.records import Mark, Observer, Record

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI
    from openai.types.responses import ResponseStreamEvent

__all__ = ["Ask", "Call", "Flow", "Layer"]

Flow: TypeAlias = "AsyncGenerator[ResponseStreamEvent, None]"
Ask: TypeAlias = "Callable[[Call], Flow]"
Layer: TypeAlias = "Callable[[Call, Ask], Flow]"


class Call:
    """One request, and what is known of it so far."""

    __slots__ = (
        "attempts",
        "cache",
        "deadline",
        "first_output",
        "io",
        "is_streamed",
        "number",
        "observers",
        "openai",
        "params",
        "response_id",
        "thrown_away",
    )

    def __init__(
        self,
        params: Mapping[str, Any],
        *,
        number: int,
        openai: AsyncOpenAI | OpenAI,
        io: IO,
        is_streamed: bool,
        deadline: float | None,
        observers: tuple[Observer, ...] = (),
    ) -> None:
        self.params = dict(params)
        """What is asked: the keyword arguments of `responses.create`. A layer may change them before it asks."""
        self.number = number
        self.openai = openai
        """The SDK's client, which does not retry by itself."""
        self.io = io
        self.is_streamed = is_streamed
        """Whether the caller sees the events as they come. If not, an answer that broke off can begin anew."""
        self.deadline = deadline
        """Monotonic seconds, of `io`'s clock."""
        self.observers = observers
        self.attempts = 0
        """How often the server was asked."""
        self.first_output: float | None = None
        """Seconds until the first event of the answer came."""
        self.response_id: str | None = None
        """The id of the response, once it is known."""
        self.cache: Mark = ""
        """What the response cache did for it."""
        self.thrown_away: list[int] = []
        """How many bytes each attempt said that nobody will see, since the answer began anew."""

    @property
    def model(self) -> str:
        """The model that is asked."""
        return str(self.params.get("model") or "")

    @property
    def is_background(self) -> bool:
        """Whether the answer goes on at the server without this client."""
        return self.params.get("background") is True and self.params.get("store") is not False

    def tell(self, record: Record) -> None:
        """Tell the observers."""
        for observer in self.observers:
            observer(record)
