"""Handlers: functions that are called for events of one kind.

    class Printer(StreamHandler):
        @on(ResponseTextDeltaEvent)                          # by the SDK's class
        def text(self, event: ResponseTextDeltaEvent) -> None:
            print(event.delta, end="", flush=True)

        @on("response.completed", "response.incomplete")     # by name
        def over(self, event: ResponseCompletedEvent | ResponseIncompleteEvent) -> None:
            print(event.response.usage)

    await Printer().run(client.stream(model="rehearsal", input="Hi."))

The same without a class: `handler = StreamHandler()`, and `@handler.on(…)` above functions. Events that nobody asked
for, known or not, go to `default`. With the async client, functions may be coroutines.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeAlias, TypeVar, overload

from antiphon.client.names import wire_name
from antiphon.client.stream import AsyncResponseStream, ResponseStream

if TYPE_CHECKING:
    from openai.types.responses import Response, ResponseStreamEvent

__all__ = ["StreamHandler", "on"]

E = TypeVar("E")
F = TypeVar("F")
S = TypeVar("S")
R = TypeVar("R")

_MARK: Final = "_antiphon_events"

Handle: TypeAlias = Callable[[Any], Any]


class _On:
    """What `on` gives: marks a method with the names of its events."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def __call__(self, method: Any) -> Any:
        setattr(method, _MARK, (*getattr(method, _MARK, ()), *self._names))
        return method


@overload
def on(kind: type[E], /) -> Callable[[Callable[[S, E], R]], Callable[[S, E], R]]: ...
@overload
def on(kind: type[E], other: type[F], /) -> Callable[[Callable[[S, E | F], R]], Callable[[S, E | F], R]]: ...
@overload
def on(kind: type[Any], /, *more: type[Any]) -> Callable[[Callable[[S, Any], R]], Callable[[S, Any], R]]: ...
@overload
def on(kind: str, /, *more: str) -> Callable[[Callable[[S, Any], R]], Callable[[S, Any], R]]: ...
def on(kind: type[Any] | str, /, *more: type[Any] | str) -> Any:
    """Have a method of a StreamHandler called for events of some kinds. Raises ValueError for a kind there is not."""
    return _On(tuple(wire_name(each) for each in (kind, *more)))


class StreamHandler:
    """Calls a function for each event of a stream. One handler reads one stream at a time."""

    _methods: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        found = {name: method for method, value in vars(cls).items() for name in getattr(value, _MARK, ())}
        cls._methods = {**cls._methods, **found}

    _functions: dict[str, Handle]
    _stream: AsyncResponseStream | ResponseStream | None

    def __new__(cls, *_: Any, **__: Any) -> Self:  # here, so that a subclass need not call our `__init__`
        self = super().__new__(cls)
        self._functions = {}
        self._stream = None
        return self

    @overload
    def on(self, kind: type[E], /) -> Callable[[Callable[[E], R]], Callable[[E], R]]: ...
    @overload
    def on(self, kind: type[E], other: type[F], /) -> Callable[[Callable[[E | F], R]], Callable[[E | F], R]]: ...
    @overload
    def on(self, kind: type[Any], /, *more: type[Any]) -> Callable[[Callable[[Any], R]], Callable[[Any], R]]: ...
    @overload
    def on(self, kind: str, /, *more: str) -> Callable[[Callable[[Any], R]], Callable[[Any], R]]: ...
    def on(self, kind: type[Any] | str, /, *more: type[Any] | str) -> Any:
        """Have a function called for events of some kinds. Raises ValueError for a kind that there is not."""
        names = [wire_name(each) for each in (kind, *more)]

        def register(function: Handle) -> Handle:
            self._functions.update(dict.fromkeys(names, function))
            return function

        return register

    def default(self, event: ResponseStreamEvent) -> Awaitable[None] | None:
        """Called for each event that nobody asked for. Does nothing."""

    @property
    def stream(self) -> AsyncResponseStream | ResponseStream:
        """The stream that is being read, to look at or to stop. Raises RuntimeError if there is none."""
        if self._stream is None:
            raise RuntimeError("No stream is being read.")
        return self._stream

    def handle(self, event: ResponseStreamEvent) -> Any:
        """Call what is to be called for an event; what it gives may have to be awaited."""
        function = self._functions.get(event.type)
        if function is None:
            method = self._methods.get(event.type)
            function = self.default if method is None else getattr(self, method)
        return function(event)

    @overload
    def run(self, stream: ResponseStream) -> Response: ...
    @overload
    def run(self, stream: AsyncResponseStream) -> Awaitable[Response]: ...
    def run(self, stream: AsyncResponseStream | ResponseStream) -> Any:
        """Read a stream to its end, close it, and give its Response. Raises ClientError, and what a function raises."""
        if self._stream is not None:
            raise RuntimeError("This handler reads another stream; make one for each.")
        return self._run_async(stream) if isinstance(stream, AsyncResponseStream) else self._run(stream)

    async def _run_async(self, stream: AsyncResponseStream) -> Response:
        self._stream = stream
        try:
            async with stream:
                async for event in stream:
                    given = self.handle(event)
                    if inspect.isawaitable(given):
                        await given
                return await stream.until_done()
        finally:
            self._stream = None

    def _run(self, stream: ResponseStream) -> Response:
        self._stream = stream
        try:
            with stream:
                for event in stream:
                    given = self.handle(event)
                    if inspect.isawaitable(given):
                        _refuse(given)
                return stream.until_done()
        finally:
            self._stream = None


def _refuse(given: Awaitable[Any]) -> None:
    if inspect.iscoroutine(given):
        given.close()
    raise TypeError("A function that is a coroutine needs the async client.")
