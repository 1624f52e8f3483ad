"""The clients: one object, composed of what the user wants, around a client of the official SDK.

    client = AsyncClient(AsyncOpenAI(), retry=RetrySettings(attempts=5), breaker=True, deadline=120)
    response = await client.create(model="gpt-5", input="Hi.")

Whatever changes what is asked, or what is answered, is a layer around what it asks, as in the server:

    layers( optimiser( cache( costs( moderation( Attempts ) ) ) ) )

`Client` is the same for programs without an event loop; it shares all of the logic (`antiphon.client.io`).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

import openai

from antiphon.client import options
from antiphon.client.attempts import Attempts
from antiphon.client.batch import Batch, BatchOptions, BatchResult, Requests
from antiphon.client.call import Ask, Call, Layer
from antiphon.client.errors import OptionError
from antiphon.client.handler import StreamHandler
from antiphon.client.io import IO, AsyncClock, Blocking, Clock, Looping, iterate, run
from antiphon.client.options import RetrySettings
from antiphon.client.parts import Caching, Counting, Moderating, Optimising, parts_of
from antiphon.client.records import Observer
from antiphon.client.runner import Run, Toolbox, loop
from antiphon.client.stream import AsyncResponseStream, ResponseStream
from antiphon.client.upstream import Upstream
from antiphon.policy.breaker import Breaker, BreakerSettings

if TYPE_CHECKING:
    from types import TracebackType

    from openai.types.responses import Response
    from typing_extensions import Unpack

    from antiphon.client.params import Params

__all__ = ["AsyncClient", "Client"]

CONCURRENCY: Final = 8
MAX_TURNS: Final = 10

Retry: TypeAlias = RetrySettings | Mapping[str, Any] | bool
Breaking: TypeAlias = BreakerSettings | Mapping[str, Any] | bool

_STREAM: Final = "stream"
_NUMBERS: Final = itertools.count(1)


class _Client:
    """What both clients are: options, the upstream, and the layers."""

    def __init__(
        self,
        sdk: openai.AsyncOpenAI | openai.OpenAI,
        io: IO,
        *,
        retry: Retry,
        breaker: Breaking,
        deadline: float | None,
        observers: Observer | Iterable[Observer] | None,
        layers: Iterable[Layer],
        parts: Mapping[str, object],
    ) -> None:
        self._io = io
        self._deadline = options.seconds("deadline", deadline)
        self._observers = options.observers("observers", observers)
        retrying = options.settings("retry", retry, RetrySettings) or options.NO_RETRY
        breaking = options.settings("breaker", breaker, BreakerSettings)
        self._sdk = sdk.with_options(max_retries=0)
        name = sdk.base_url.host
        self._upstream = Upstream(name, retrying, breaking, random.random, self._observers)
        self._layers: tuple[Layer, ...] = (*options.layers("layers", layers), *parts_of(parts))
        self._ask: Ask = Attempts(self._upstream)
        for layer in reversed(self._layers):
            self._ask = _around(layer, self._ask)

    def _call(self, params: Mapping[str, Any], *, is_streamed: bool) -> Call:
        own = dict(params)
        if own.pop(_STREAM, None) not in (None, True):
            raise OptionError(_STREAM, "is not asked for here: `create` gives a Response, `stream` a stream")
        deadline = options.seconds("deadline", own.pop("deadline", self._deadline))
        return Call(
            own,
            number=next(_NUMBERS),
            openai=self._sdk,
            io=self._io,
            is_streamed=is_streamed,
            deadline=None if deadline is None else self._io.monotonic() + deadline,
            observers=self._observers,
        )

    def breaker(self, model: str) -> Breaker | None:
        """The circuit breaker of a model, to look at or to force; None if the client was built without."""
        return self._upstream.breaker(model)


class AsyncClient(_Client):
    """The toolkit around `openai.AsyncOpenAI`.

    `retry`: how often, how soon; True is three attempts, False none but the first. The SDK's own retries are off.
    `breaker`: when a server that fails is left alone. `deadline`: seconds for a whole request, retries included.
    `observers`: functions that are told what happens. `layers`: what stands around the asking, the outermost first;
    within them `optimiser`, `cache`, `costs` and `moderation`, in this order: each an object of its class, which
    several clients may share, or a mapping of its options, or True where it needs none.
    `clock`: virtual time, for tests. Raises OptionError.
    """

    def __init__(
        self,
        openai_client: openai.AsyncOpenAI | None = None,
        *,
        retry: Retry = True,
        breaker: Breaking = False,
        deadline: float | None = None,
        observers: Observer | Iterable[Observer] | None = None,
        layers: Iterable[Layer] = (),
        optimiser: Optimising = None,
        cache: Caching = None,
        costs: Counting = None,
        moderation: Moderating = None,
        clock: AsyncClock | None = None,
    ) -> None:
        if openai_client is not None and not isinstance(openai_client, openai.AsyncOpenAI):
            raise OptionError("openai_client", _wrong_kind(openai_client, "AsyncOpenAI", "Client"))
        self.openai = openai_client or openai.AsyncOpenAI()
        """The SDK's client, as it was given: with its own retries."""
        super().__init__(
            self.openai,
            Looping(clock),
            retry=retry,
            breaker=breaker,
            deadline=deadline,
            observers=observers,
            layers=layers,
            parts={"optimiser": optimiser, "cache": cache, "costs": costs, "moderation": moderation},
        )

    def stream(self, **params: Unpack[Params]) -> AsyncResponseStream:
        """The events of a response as they come. Nothing is sent before the first one is asked for."""
        call = self._call(params, is_streamed=True)
        return AsyncResponseStream(call, self._ask(call))

    async def create(self, **params: Unpack[Params]) -> Response:
        """A response, when it is over. Raises ClientError."""
        call = self._call(params, is_streamed=False)
        async with AsyncResponseStream(call, self._ask(call)) as stream:
            return await stream.until_done()

    async def run(
        self,
        functions: Iterable[Callable[..., Any]],
        *,
        max_turns: int = MAX_TURNS,
        concurrency: int = CONCURRENCY,
        handler: StreamHandler | None = None,
        **params: Unpack[Params],
    ) -> Run:
        """Have a model call Python functions until it has an answer.

        Functions have type hints; `tools` are others, as the API has them. `handler` gets the events of all turns.
        Raises ToolsFailed when `max_turns` are not enough, ClientError, and what a function raises but ToolError.
        """
        toolbox = Toolbox(functions, params.get("tools", ()), self._io, concurrency)

        async def turn(asked: dict[str, Any]) -> Response:
            return await (self.create(**asked) if handler is None else handler.run(self.stream(**asked)))

        return await loop(turn, toolbox, params, max_turns)

    def batch(
        self,
        requests: Requests,
        *,
        concurrency: int = CONCURRENCY,
        rate: float | None = None,
        ordered: bool = False,
        journal: str | Path | None = None,
        progress: bool | None = None,
    ) -> AsyncGenerator[BatchResult, None]:
        """The results of many requests, as they finish, or in their order.

        `concurrency` of them at a time, and at most `rate` begin in a second. `journal` is a file that keeps what is
        answered, so that a batch which was interrupted goes on. `progress`: a bar, by default in a terminal.
        """
        options = BatchOptions(concurrency, rate, ordered=ordered, journal=journal, progress=progress)
        return Batch(lambda params: self.create(**params), requests, self._io, options).results()

    async def close(self) -> None:
        """Close the SDK's client."""
        await self.openai.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


class Client(_Client):
    """The toolkit around `openai.OpenAI`. See AsyncClient; threads may share one."""

    def __init__(
        self,
        openai_client: openai.OpenAI | None = None,
        *,
        retry: Retry = True,
        breaker: Breaking = False,
        deadline: float | None = None,
        observers: Observer | Iterable[Observer] | None = None,
        layers: Iterable[Layer] = (),
        optimiser: Optimising = None,
        cache: Caching = None,
        costs: Counting = None,
        moderation: Moderating = None,
        clock: Clock | None = None,
    ) -> None:
        if openai_client is not None and not isinstance(openai_client, openai.OpenAI):
            raise OptionError("openai_client", _wrong_kind(openai_client, "OpenAI", "AsyncClient"))
        self.openai = openai_client or openai.OpenAI()
        """The SDK's client, as it was given: with its own retries."""
        super().__init__(
            self.openai,
            Blocking(clock),
            retry=retry,
            breaker=breaker,
            deadline=deadline,
            observers=observers,
            layers=layers,
            parts={"optimiser": optimiser, "cache": cache, "costs": costs, "moderation": moderation},
        )

    def stream(self, **params: Unpack[Params]) -> ResponseStream:
        """The events of a response as they come. Nothing is sent before the first one is asked for."""
        call = self._call(params, is_streamed=True)
        return ResponseStream(call, self._ask(call))

    def create(self, **params: Unpack[Params]) -> Response:
        """A response, when it is over. Raises ClientError."""
        call = self._call(params, is_streamed=False)
        with ResponseStream(call, self._ask(call)) as stream:
            return stream.until_done()

    def run(
        self,
        functions: Iterable[Callable[..., Any]],
        *,
        max_turns: int = MAX_TURNS,
        concurrency: int = CONCURRENCY,
        handler: StreamHandler | None = None,
        **params: Unpack[Params],
    ) -> Run:
        """Have a model call Python functions until it has an answer. See AsyncClient.run."""
        toolbox = Toolbox(functions, params.get("tools", ()), self._io, concurrency)

        async def turn(asked: dict[str, Any]) -> Response:
            return self.create(**asked) if handler is None else handler.run(self.stream(**asked))

        return run(loop(turn, toolbox, params, max_turns))

    def batch(
        self,
        requests: Requests,
        *,
        concurrency: int = CONCURRENCY,
        rate: float | None = None,
        ordered: bool = False,
        journal: str | Path | None = None,
        progress: bool | None = None,
    ) -> Iterator[BatchResult]:
        """The results of many requests, in threads of their own. See AsyncClient.batch."""
        options = BatchOptions(concurrency, rate, ordered=ordered, journal=journal, progress=progress)

        async def ask(params: Mapping[str, Any]) -> Response:
            return self.create(**params)

        return iterate(Batch(ask, requests, self._io, options).results())

    def close(self) -> None:
        """Close the SDK's client."""
        self.openai.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _around(layer: Layer, ask: Ask) -> Ask:
    return lambda call: layer(call, ask)


def _wrong_kind(given: object, wanted: str, other: str) -> str:
    is_twin = isinstance(given, openai.OpenAI | openai.AsyncOpenAI)
    hint = f"; {other} takes that one" if is_twin else ""
    return f"takes openai.{wanted}, not {type(given).__name__}{hint}"
