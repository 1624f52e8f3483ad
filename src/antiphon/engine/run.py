"""Run: one response from its first event to its last.

A run reads a model's deltas, lets the machine tell them, and appends what was told to the log. Readers, the one who
asked included, only ever follow the log.

**The hold.** A response begins to exist when its upstream has accepted it; one that is streamed also when the hold (a
second) is over. A refusal before that is an error of the request: nothing was sent, nothing is stored. After that it is
`response.failed`. What is to be settled first, such as whether its input may be answered at all, comes before the hold.

**The ends.** `completed`, `incomplete`, `failed` are told by a terminal event. A cancel, and a foreground client that
left, are a fact: the log simply ends. A run that is `abandoned` (the server stops) ends nothing: another takes over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any, Literal

import msgspec

from antiphon.engine.hosted import Hosted
from antiphon.engine.ids import response_of
from antiphon.engine.journal import Entry, Journal
from antiphon.engine.log import Log
from antiphon.policy.ledger import Row
from antiphon.ports import Begin, Change, Clock, End, Fact, Model, Record
from antiphon.turn import deltas, include
from antiphon.turn.input import Turn
from antiphon.turn.machine import Machine
from antiphon.turn.trace import served_by
from antiphon.wire import events
from antiphon.wire.errors import (
    APIError,
    InvalidRequest,
    QuotaExceeded,
    RateLimited,
    ServerError,
    Unavailable,
    UpstreamMalformed,
)
from antiphon.wire.events import Event
from antiphon.wire.items import FunctionCall
from antiphon.wire.response import Response, ResponseError, Usage
from antiphon.wire.sse import frames
from antiphon.wire.struct import encode

_log = logging.getLogger(__name__)

_GATED = (events.OutputItemAdded, events.OutputItemDone)


class Stop(msgspec.Struct):
    """Why a run is stopped from outside."""

    kind: Literal["cancelled", "failed", "abandoned"]
    error: APIError | None = None


First = Callable[[], Awaitable[None]]
"""What must be settled before a response may exist. What it raises is an error of the request."""

Admit = Callable[["Run"], Awaitable[bool]]
"""Says whether a run may begin, when it may."""


class Run:
    """One response while it is being made."""

    def __init__(
        self,
        *,
        model: Model,
        turn: Turn,
        machine: Machine,
        clock: Clock,
        response: Response | None = None,
    ) -> None:
        self.model = model
        self.turn = turn
        self.machine = machine
        self.clock = clock
        self.response = response
        """The Response to begin with; None for a run that continues a log."""
        self.address = ""
        """Where its model is, or the one that is asked first; empty for one in this process."""
        self.record: Record | None = None
        self.row: Row | None = None
        """What the ledger has of it while it runs, if it is stored."""
        self.journal: Journal | None = None
        self.entry: Entry | None = None
        self.log: Log | None = None
        """What readers follow; None for an unstored response that nobody streams."""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the response exists; holds the error if it was refused before."""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when there is nothing more to say."""
        self.gated: frozenset[str] = frozenset()
        """The values of `include` that would show more than is on the wire without them."""
        self.eager = turn.request.stream or turn.request.background
        """Whether somebody may read along; else commits may wait a little and be fewer."""
        self.hosted: Hosted | None = None
        """The tools of the request that this server runs."""
        self.is_admitted = False
        """Whether all is settled that must be before the response may exist."""
        self.left_out: tuple[str, ...] = ()
        """Tool types that the model is not told of."""
        self.accepted = False
        """Whether a model has accepted a turn of it: from then on it may cost something."""
        self.used_before: Usage | None = None
        """What of its usage was used before a restart."""
        self.heard = 0
        """How many items the turns before this one have said."""
        self.stop: Stop | None = None
        self.error: APIError | None = None
        """What it failed of."""
        self.task: asyncio.Task[None] | None = None

    # Life

    def start(self, hold: float | None = None, *, first: First | None = None, admit: Admit | None = None) -> None:
        """Begin to run.

        `first` is awaited before all else. `hold` is for how many seconds the answer may not begin then, so that a
        refusal is an error of the request: 0 for not at all, and without end for an answer that begins with its last
        word. With None the response exists at once. `admit` is awaited next: where it says no, the run does nothing.
        """
        self.task = asyncio.create_task(self._perform(hold, first, admit))
        if first is None:
            self._admitted(hold)

    def _admitted(self, hold: float | None) -> None:
        """All is settled: the response may exist."""
        assert self.task is not None
        self.is_admitted = True
        if hold is None:
            if not self.exists:
                self.create()
        elif hold == 0:
            self.open()
        elif self.turn.request.stream:
            handle = asyncio.get_running_loop().call_later(hold, self.open)
            self.task.add_done_callback(lambda _: handle.cancel())

    def end(self, stop: Stop) -> None:
        """Stop from outside; the first reason counts. The upstream is closed at once."""
        if self.stop is None and self.task is not None and not self.task.done() and not self.over:
            self.stop = stop
            asyncio.get_running_loop().call_soon(self._interrupt)  # a task that has not begun could not say why it ends

    def _interrupt(self) -> None:
        if self.task is not None and not self.over:
            self.task.cancel()

    async def result(self) -> Response:
        """The Response when it is over and committed. Raises the APIError of a refusal, or of the store."""
        await asyncio.shield(self.opened)
        await asyncio.shield(self.ended)
        if self.entry is not None:
            await self.entry.log.until_end()
        return self.machine.fold.response()

    async def committed(self) -> None:
        """Wait until all that was told is committed. Raises the APIError that stopped the log."""
        if self.journal is not None:
            await self.journal.barrier()
        if self.log is not None and self.log.failure is not None:
            raise self.log.failure

    @property
    def exists(self) -> bool:
        """Whether the first event was told; `opened` says when it is committed."""
        return self.machine.fold.next > 0

    @property
    def over(self) -> bool:
        """Whether the last event was told."""
        return self.exists and self.machine.fold.ended

    def open(self) -> None:
        """The hold is over: the response begins to exist."""
        if not self.exists and not self.opened.done():
            self.create()
            self.begin()

    def create(self) -> None:
        """Tell the first events: the response exists as soon as they are committed."""
        assert self.response is not None
        changes = () if self.record is None else (Begin(self.record, self.row),)
        self.publish(self.machine.create(self.response), changes)
        if self.journal is None:
            self.opened.set_result(None)
        else:
            self.journal.barrier(patient=not self.eager).add_done_callback(self._created)

    def _created(self, committed: asyncio.Future[None]) -> None:
        if error := committed.exception():
            self.opened.set_exception(error)
            self.opened.exception()  # whoever waits has it
        else:
            self.opened.set_result(None)

    def begin(self) -> None:
        """Tell that the model is asked now."""
        self.publish(self.machine.begin())

    async def _perform(self, hold: float | None, first: First | None, admit: Admit | None) -> None:
        try:
            if first is not None:
                await first()
                self._admitted(hold)
            if admit is None or await admit(self):
                await self._speak()
        except APIError as error:
            self._fail(error)
        except asyncio.CancelledError:
            self._stopped()
        except BaseException as error:  # noqa: BLE001 - the boundary: a defect must not leave a response open
            _log.error("the run of %s failed", self.turn.response_id, exc_info=error)
            self._fail(ServerError("The server had an error while processing your request."))
        finally:
            self._leave()

    async def _speak(self) -> None:
        """One turn after the other, until one needs no answer from us."""
        while not self.over:
            await self._say_turn()
            if not self.over:
                await self._run_tools()

    async def _say_turn(self) -> None:
        turn = self.turn if self.hosted is None else self.hosted.told(self.turn)
        async with aclosing(self.model.stream(turn)) as batches:
            async for batch in batches:
                self.accepted = True
                self.open()
                if batch:
                    self._hear(batch)
                if self.over:
                    return
                if self.log is not None:
                    await self._keep_pace(self.log)
        if self.hosted is None or not self.hosted.calls:
            raise UpstreamMalformed("The model stopped without saying that it was done.")

    def _hear(self, batch: list[deltas.Delta]) -> None:
        if self.hosted is not None and not self.hosted.is_idle:
            batch = self.hosted.take(batch)
        if self.turn.trace.first_output is None and any(type(delta) not in deltas.SILENT for delta in batch):
            self.turn.trace.first_output = self.clock.monotonic()
        self.publish(self.machine.feed(batch))
        for delta in batch:
            if type(delta) is deltas.Noted:
                self._note("upstream", delta.fact)
            elif type(delta) is deltas.Finished:
                self.finish()
                return

    async def _run_tools(self) -> None:
        """Run what the turn called, side by side; then the next turn has their outputs, or the client has its calls."""
        assert self.hosted is not None
        self.publish(self.machine.close())
        said = [item for item in self.machine.fold.items[self.heard :] if item is not None]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._run_tool(call)) for call in self.hosted.calls]
        pairs = self.hosted.answered([task.result() for task in tasks])
        self.heard = len(self.machine.fold.items)
        if self.hosted.is_clients:
            self.finish()
        else:
            turn = self.turn
            items = [*turn.items, *said, *pairs]
            self.turn = msgspec.structs.replace(turn, items=items, prefix=None, number=turn.number + 1)

    async def _run_tool(self, call: FunctionCall) -> str:
        """Run one call. A tool tells what it does; what goes wrong in it is its output, for the model to see."""
        assert self.hosted is not None
        return await self.hosted.tool(call).run(call, lambda batch: self.publish(self.machine.feed(batch)))

    async def _keep_pace(self, log: Log) -> None:
        """Do not read on while the reader, or the store, is far behind."""
        if log.failure is not None:
            raise log.failure
        if log.is_full:
            await log.room()

    # Ends

    def finish(self) -> None:
        """Tell the end that the model gave."""
        self._end(self.machine.finish(int(self.clock.now())))

    def _fail(self, error: APIError) -> None:
        """A failure before the response exists is its creator's; after that it is the terminal event."""
        self.error = error
        if not self.exists:
            if error.status >= 500:
                _log.warning("%s was refused by %s: %s", self.turn.response_id, self._place, error.brief)
            self.opened.set_exception(error)
            self.opened.exception()  # whoever waits has it; if nobody does that is no defect
        elif not self.over and not self._is_broken():
            _log.warning("%s failed with %s: %s", self.turn.response_id, self._place, error.brief)
            self._end(self.machine.fail(as_response_error(error)))

    @property
    def _place(self) -> str:
        """Who was asked, for people."""
        served = served_by(self.turn.trace.attempts)
        return self.model.name if served is None else f"{served.model} at {served.upstream}"

    def _is_broken(self) -> bool:
        """Whether the log cannot be written: nothing may be told that is not stored."""
        return self.log is not None and self.log.failure is not None

    def _stopped(self) -> None:
        stop = self.stop or Stop("abandoned")
        if stop.kind == "failed" and stop.error is not None:
            self._fail(stop.error)
        elif not self.exists:
            self._fail(Unavailable("The request was cancelled before it began."))
        elif stop.kind == "cancelled" and not self._is_broken():
            self._note("cancelled", {"at": self.clock.now()})
            self.machine.fold.cancel()
            self._end([])

    def _end(self, told: Sequence[Event]) -> None:
        changes = () if self.record is None else (ending(self.record, self.machine.fold.response()),)
        self.publish(told, changes, ended=True)
        self._say_no_more()

    def _say_no_more(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)

    def _leave(self) -> None:
        """A run that could not end leaves its log to whoever takes over, and its readers with a hint to come back."""
        if self.exists and not self.over:
            error = Unavailable("The server stopped working on this response.", retry_after=1)
            if self.journal is not None and self.entry is not None:
                self.journal.leave(self.entry, error)
            elif self.log is not None:
                self.log.fail(error)
        self._say_no_more()

    # What was told

    def publish(self, told: Sequence[Event], changes: Sequence[Change] = (), *, ended: bool = False) -> None:
        """Append events to the log: through the journal, or at once where nothing is stored."""
        if self.log is None:
            return
        self._watch(told)
        data = frames(told)
        if self.journal is not None and self.entry is not None:
            patient = not (self.eager or ended)
            self.journal.append(self.entry, data, len(told), changes, ended=ended, patient=patient)
            return
        if data:
            self.log.append(data, len(told))
        self.log.commit(self.log.next, ended=ended)

    def _watch(self, told: Sequence[Event]) -> None:
        for event in told:
            kind = type(event)
            if kind in _GATED or (kind is events.OutputTextDelta and event.logprobs):  # type: ignore[union-attr]
                self.gated |= include.gates(event)

    def _note(self, kind: str, fact: dict[str, Any]) -> None:
        if self.record is not None:
            self.publish((), (Fact(self.record.key, self.machine.fold.next, kind, encode(fact)),))


def ending(record: Record, response: Response) -> End:
    """What is written of a response that is over."""
    foreign = [str(item.id) for item in response.output if item.id and response_of(str(item.id)) != record.id]
    gated = " ".join(sorted(include.gates(response)))
    return End(record.key, response.status, encode(response), gated, foreign)


def as_response_error(error: APIError) -> ResponseError:
    """An error as `response.failed` tells it, with a code that clients know."""
    return ResponseError(code=_code_of(error), message=error.message)


def _code_of(error: APIError) -> str:
    match error:
        case QuotaExceeded():
            return "insufficient_quota"
        case RateLimited():
            return "rate_limit_exceeded"
        case InvalidRequest(code="context_length_exceeded"):
            return "context_length_exceeded"
        case InvalidRequest():
            return "invalid_prompt"
        case _:
            return "server_error"
