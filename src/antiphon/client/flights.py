"""Flights: one call of the server whose events several requests follow.

Nobody drives a flight but those who follow it: who wants an event that is not there yet has the next one fetched, for
all. So a slow follower holds up nobody, and one that asks within its own answer does not wait for itself. Who leaves
stops nobody; with the last one the call is closed.

Beside `antiphon.client.io` this is the only module that knows loops and threads.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec

from antiphon.client.border import TERMINAL
from antiphon.client.call import Ask, Call
from antiphon.client.io import run
from antiphon.client.records import FirstOutput, Record, Transition

if TYPE_CHECKING:
    from openai.types.responses import ResponseStreamEvent

__all__ = ["BlockingFlight", "Flight", "LoopingFlight"]

OnEnd: TypeAlias = "Callable[[list[ResponseStreamEvent] | None], None]"
"""Told once when a flight can be joined no more: with all events if the last one came, else with None."""


class Flight(Protocol):
    """One call and its followers."""

    call: Call
    """What is asked: the first follower's call, with the latest deadline of all."""
    followers: list[Call]
    """The first of them pays, and is told what happens."""

    def join(self, call: Call) -> bool:
        """Follow from the beginning; False if it is over, or cannot be followed from here."""
        ...

    def next(self, at: int) -> Any:
        """The event number `at`, to be awaited if there is a loop; None behind the last. Raises what the call did."""
        ...

    async def leave(self, call: Call) -> None:
        """Follow no longer."""


class _Flight:
    """What both kinds are."""

    def __init__(self, ask: Ask, call: Call, on_end: OnEnd) -> None:
        self.events: list[ResponseStreamEvent] = []
        self.followers: list[Call] = [call]
        self.call = Call(
            call.params,
            number=call.number,
            openai=call.openai,
            io=call.io,
            is_streamed=call.is_streamed,
            deadline=call.deadline,
            observers=(self._pass_on,),
        )
        self._flow = ask(self.call)
        self._on_end = on_end
        self._is_told = False
        self._is_over = False
        self._error: BaseException | None = None

    async def _step(self) -> None:
        """Fetch one event more."""
        try:
            event = await anext(self._flow)
        except StopAsyncIteration:
            self._end(None)
        except BaseException as error:
            self._error = error
            self._end(None)
            if not isinstance(error, Exception):
                raise
        else:
            self.events.append(event)
            if event.type in TERMINAL:
                self._tell(self.events)

    def _end(self, events: list[ResponseStreamEvent] | None) -> None:
        self._is_over = True
        self._tell(events)

    def _tell(self, events: list[ResponseStreamEvent] | None) -> None:
        if not self._is_told:
            self._is_told = True
            self._on_end(events)

    def _board(self, call: Call) -> None:
        self.followers.append(call)
        ends = (self.call.deadline, call.deadline)
        self.call.deadline = None if None in ends else max(end for end in ends if end is not None)

    def _pass_on(self, record: Record) -> None:
        """What happens to the call happened to the one who pays. The first output is each follower's own."""
        if self.followers and not isinstance(record, Transition | FirstOutput):
            payer = self.followers[0]
            payer.tell(msgspec.structs.replace(record, number=payer.number))

    def _last(self) -> None:
        """What comes behind the last event: nothing, or the failure."""
        if self._error is not None:
            raise self._error


class LoopingFlight(_Flight):
    """A flight in an event loop. The call runs in tasks of its own, so that who is cancelled is cancelled alone."""

    def __init__(self, ask: Ask, call: Call, on_end: OnEnd) -> None:
        super().__init__(ask, call, on_end)
        self._loop = asyncio.get_running_loop()
        self._fetching: asyncio.Task[None] | None = None

    def join(self, call: Call) -> bool:
        """Follow from the beginning; False if it is over, or flies in another loop."""
        if self._is_told or self._loop is not asyncio.get_running_loop():
            return False
        self._board(call)
        return True

    async def next(self, at: int) -> ResponseStreamEvent | None:
        """The event number `at`; None behind the last."""
        while at == len(self.events):
            if self._is_over:
                self._last()
                return None
            if self._fetching is None or self._fetching.done():
                self._fetching = asyncio.create_task(self._step())
            await asyncio.wait([self._fetching])
        return self.events[at]

    async def leave(self, call: Call) -> None:
        """Follow no longer; the last one closes the call, even while it is being cancelled."""
        self.followers.remove(call)
        if not self.followers and not self._is_over:
            self._end(None)
            await asyncio.shield(asyncio.create_task(self._close()))

    async def _close(self) -> None:
        if self._fetching is not None and not self._fetching.done():
            self._fetching.cancel()
            await asyncio.wait([self._fetching])
        await self._flow.aclose()


class BlockingFlight(_Flight):
    """A flight of threads. One of them fetches, the others wait for it."""

    def __init__(self, ask: Ask, call: Call, on_end: OnEnd) -> None:
        super().__init__(ask, call, on_end)
        self._fetching = threading.RLock()
        self._boarding = threading.RLock()

    def join(self, call: Call) -> bool:
        """Follow from the beginning; False if it is over."""
        with self._boarding:
            if self._is_told:
                return False
            self._board(call)
            return True

    def next(self, at: int) -> ResponseStreamEvent | None:
        """The event number `at`; None behind the last."""
        with self._fetching:
            while at == len(self.events):
                if self._is_over:
                    self._last()
                    return None
                run(self._step())
            return self.events[at]

    async def leave(self, call: Call) -> None:
        """Follow no longer; the last one closes the call."""
        with self._boarding:
            self.followers.remove(call)
            if self.followers or self._is_over:
                return
            self._end(None)
        with self._fetching:
            await self._flow.aclose()
