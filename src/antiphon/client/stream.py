"""Streams: what the caller of `Client.stream` holds.

    async with client.stream(model="rehearsal", input="Hi.") as stream:
        async for event in stream:                     # the SDK's own events
            if event.type == "response.output_text.delta":
                print(event.delta, end="")
    stream.response                                    # the whole Response; before the end, what there is of it

A stream that is closed, dropped or left with its task gives its connection back; `stop()` also ends the work at the
server, where that goes on without us.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import openai

from antiphon.client.accumulated import Accumulated
from antiphon.client.call import Call, Flow
from antiphon.client.errors import ClientError, StreamCut
from antiphon.client.io import run
from antiphon.client.records import Began, Ended, Status

if TYPE_CHECKING:
    from types import TracebackType

    from openai.types.responses import Response, ResponseStreamEvent, ResponseUsage

    from antiphon.client.accumulated import ToolCall

__all__ = ["AsyncResponseStream", "ResponseStream"]

_ENDS: dict[str | None, Status] = {"completed": "completed", "incomplete": "incomplete", "cancelled": "cancelled"}


class _Stream:
    """What both kinds of stream are. All that waits is a coroutine."""

    def __init__(self, call: Call, flow: Flow) -> None:
        self._call = call
        self._flow = flow
        self._told = Accumulated()
        self._since = call.io.monotonic()
        self._has_begun = False
        self._is_over = False
        self._is_stopped = False

    def __del__(self) -> None:
        self._end(None, left=True)  # the generators let the connection go by themselves

    # Views

    @property
    def response(self) -> Response | None:
        """The Response as it stands, as the SDK's object; None before the first event."""
        return self._told.response

    @property
    def text(self) -> str:
        """The text so far."""
        return self._told.text

    @property
    def refusal(self) -> str:
        """The refusal so far."""
        return self._told.refusal

    @property
    def reasoning(self) -> str:
        """The reasoning so far, or its summary."""
        return self._told.reasoning

    @property
    def calls(self) -> list[ToolCall]:
        """The calls of functions and custom tools that are whole."""
        return list(self._told.calls)

    @property
    def usage(self) -> ResponseUsage | None:
        """The tokens, as far as the server told them."""
        return self._told.usage

    @property
    def response_id(self) -> str | None:
        """The id of the response, once it is known."""
        return self._call.response_id

    @property
    def is_over(self) -> bool:
        """Whether no more events come."""
        return self._is_over

    # The way through

    async def _next(self) -> ResponseStreamEvent:
        if self._is_over:
            raise StopAsyncIteration
        if not self._has_begun:
            self._begin()
        try:
            event = await anext(self._flow)
        except StopAsyncIteration:
            self._end(None)
            raise
        except ClientError as error:
            if error.partial is None:
                error.partial = self.response
            self._end(error)
            raise
        except BaseException:
            self._end(None, left=True)
            raise
        self._told.add(event)
        return event

    async def _until_done(self) -> Response:
        while not self._is_over:
            try:
                await self._next()
            except StopAsyncIteration:
                break
        response = self.response
        if response is None:
            raise StreamCut("The stream has no response.")
        return response

    async def _close(self) -> None:
        await self._flow.aclose()
        self._end(None, left=True)

    async def _stop(self) -> None:
        self._is_stopped = True
        was_over = self._is_over
        await self._close()
        if was_over or not self._call.is_background or self._call.response_id is None:
            return
        response_id = self._call.response_id
        with suppress(openai.BadRequestError, openai.ConflictError):  # it was over before
            self._told.know(await self._call.io.call(lambda: self._call.openai.responses.cancel(response_id), None))

    def _begin(self) -> None:
        call = self._call
        self._has_begun = True
        self._since = call.io.monotonic()
        is_streamed, is_background = call.is_streamed, call.is_background
        call.tell(Began(number=call.number, model=call.model, streamed=is_streamed, background=is_background))

    def _end(self, error: ClientError | None, *, left: bool = False) -> None:
        """Tell the observers, once, how it ended."""
        is_told, self._is_over = self._is_over or not self._has_begun, True
        if is_told:
            return
        call, response = self._call, self._told.response if error is None else error.partial
        call.tell(
            Ended(
                number=call.number,
                model=call.model,
                status=self._status(error, left),
                seconds=call.io.monotonic() - self._since,
                first_output=call.first_output,
                attempts=call.attempts,
                response_id=call.response_id,
                answered_by=None if response is None else str(response.model),
                usage=None if response is None else response.usage,
                cache=call.cache,
                error=error,
            )
        )

    def _status(self, error: ClientError | None, left: bool) -> Status:
        if error is not None:
            return "failed"
        if self._is_stopped:
            return "stopped"
        known = None if self.response is None else self.response.status
        return _ENDS.get(known, "left" if left else "failed")


class AsyncResponseStream(_Stream):
    """The events of one response, and what they amount to so far.

    It may be stopped or closed by another task than the one that reads it.
    """

    def __init__(self, call: Call, flow: Flow) -> None:
        super().__init__(call, flow)
        self._reading: asyncio.Timeout | None = None
        self._turn = asyncio.Lock()

    def __aiter__(self) -> AsyncIterator[ResponseStreamEvent]:
        return self

    async def __anext__(self) -> ResponseStreamEvent:
        async with self._turn:
            self._reading = asyncio.timeout(None)
            try:
                async with self._reading:
                    return await self._next()
            except TimeoutError:
                if not self._is_over:
                    raise
                raise StopAsyncIteration from None
            finally:
                self._reading = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Give the connection back. What is under way in the background goes on at the server."""
        await self._interrupt()
        await self._close()

    async def stop(self) -> None:
        """End the answer and its cost: close the connection, and cancel what is under way in the background.

        Iteration ends without an error. Raises `openai.APIError` if the server cannot be told.
        """
        self._is_stopped = True
        await self._interrupt()
        await self._stop()

    async def until_done(self) -> Response:
        """The whole Response, after the events that are still to come. Raises ClientError."""
        return await self._until_done()

    async def texts(self) -> AsyncIterator[str]:
        """The text, piece by piece."""
        async for event in self:
            if event.type == "response.output_text.delta":
                yield event.delta

    async def _interrupt(self) -> None:
        """Have the task that is reading stop it, and wait until it has."""
        if self._reading is not None:
            self._reading.reschedule(asyncio.get_running_loop().time())
            self._end(None, left=True)
        async with self._turn:
            return


class ResponseStream(_Stream):
    """The events of one response, and what they amount to so far."""

    def __iter__(self) -> Iterator[ResponseStreamEvent]:
        return self

    def __next__(self) -> ResponseStreamEvent:
        if (event := run(self._next_or_none())) is None:
            raise StopIteration
        return event

    async def _next_or_none(self) -> ResponseStreamEvent | None:
        try:
            return await self._next()
        except StopAsyncIteration:
            return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back. What is under way in the background goes on at the server."""
        run(self._close())

    def stop(self) -> None:
        """End the answer and its cost: close the connection, and cancel what is under way in the background.

        Iteration ends without an error. Raises `openai.APIError` if the server cannot be told.
        """
        run(self._stop())

    def until_done(self) -> Response:
        """The whole Response, after the events that are still to come. Raises ClientError."""
        return run(self._until_done())

    def texts(self) -> Iterator[str]:
        """The text, piece by piece."""
        for event in self:
            if event.type == "response.output_text.delta":
                yield event.delta
