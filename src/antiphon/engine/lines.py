"""Lines: a backend with what is known of it, and one attempt at it.

Lines to the same upstream share what belongs to the upstream: its retry budget and its queue. A breaker and the times
to first token belong to upstream and model.

An attempt gives back what it took (a permit, a place in the budget, a ticket of the queue) exactly once, however it
ends, and leaves a note in the turn's trace. What it says before its first output is held, so that nothing remains of
one that fails. What it has used is what its upstream told; where that is nothing, an estimate (rule 20).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from decimal import Decimal
from functools import partial
from typing import Final, TypeAlias

import msgspec
from msgspec.structs import replace

from antiphon.engine.queue import Queue
from antiphon.policy.admission import Ticket
from antiphon.policy.breaker import Breaker, Permit, outcome_of
from antiphon.policy.hedge import Hedging
from antiphon.policy.retry import Place, RetryBudget
from antiphon.policy.uses import Uses
from antiphon.policy.weight import estimated, read, size_of
from antiphon.ports import Clock, Model
from antiphon.tokens import estimate
from antiphon.turn.deltas import (
    SILENT,
    Arguments,
    Command,
    Delta,
    Finished,
    Reasoning,
    Refusal,
    Summary,
    Text,
    Usage,
)
from antiphon.turn.input import Turn
from antiphon.turn.trace import Attempt
from antiphon.wire.errors import APIError, UpstreamMalformed

_WORDS: Final = (Text, Arguments, Reasoning, Summary, Refusal, Command)
"""Deltas with a `text` of the model's own."""


class Line(msgspec.Struct, eq=False):
    """A backend and what is known of it."""

    model: Model
    breaker: Breaker
    budget: RetryBudget
    queue: Queue | None = None
    """None: as many calls at a time as there are."""
    judges: Queue | None = None
    """The places of judges: an answer waits for its own, and must not hold the place that it would wait for."""
    hedging: Hedging | None = None
    """None: no second call beside a slow first one."""
    weight: float = 1.0
    price: Callable[[], Decimal | None] = lambda: None
    """What a usual request costs now; only compared."""
    first_token: float = 0.0
    """The shortest time to a first token so far, in seconds; 0: there was none."""

    def queue_for(self, turn: Turn) -> Queue | None:
        """Where a turn gets its place."""
        return self.judges if turn.judges else self.queue


class Try:
    """One attempt: what it took is given back, and noted in the trace, when it is over.

    `go_on` decides for a backend that could take up its answer (`antiphon.turn.input.GoOn`).
    """

    def __init__(
        self,
        line: Line,
        turn: Turn,
        clock: Clock,
        *,
        go_on: AskGoOn,
        permit: Permit,
        place: Place,
        ticket: Ticket | None,
        is_hedge: bool = False,
    ) -> None:
        self.line = line
        self.spoke = False
        """Whether it has said something that a reader could see."""
        self._permit = permit
        self._place = place
        self._queue = line.queue_for(turn)
        self._ticket = ticket
        self._turn = turn
        self._go_on = go_on
        self._clock = clock
        self._held: list[Delta] = []
        self._uses = Uses(turn.request.service_tier)
        self._said = 0
        self._is_accepted = False
        self._finished: Finished | None = None
        self._batches: AsyncGenerator[list[Delta], None] | None = None
        self._is_over = False
        key = line.breaker.key
        self._note = Attempt(
            upstream=key.upstream, model=key.model, began=clock.monotonic(), is_hedge=is_hedge, judges=turn.judges
        )
        turn.trace.attempts.append(self._note)

    async def say(self) -> AsyncGenerator[list[Delta], None]:
        """What the model says; before its first output empty batches, which say that the upstream has accepted."""
        turn = replace(self._turn, go_on=partial(self._go_on, self))
        try:
            async with aclosing(self.line.model.stream(turn)) as batches:
                async for batch in batches:
                    yield self._hear(batch)
            if self._finished is None:
                raise UpstreamMalformed("The model stopped without saying that it was done.")
        except BaseException as error:
            self._end(error)
            raise
        self._end(None)

    async def until_output(self) -> list[Delta]:
        """Listen until there is output."""
        self._batches = self.say()
        async for batch in self._batches:
            if self.spoke:
                return batch
        raise AssertionError("an attempt ends with output, or with an error")

    async def rest(self) -> AsyncGenerator[list[Delta], None]:
        """What comes after the first output."""
        assert self._batches is not None
        async for batch in self._batches:
            yield batch

    async def aclose(self) -> None:
        """Stop it, wherever it is."""
        if self._batches is not None:
            await self._batches.aclose()
        self._end(asyncio.CancelledError())

    def pay(self, place: Place, *, success: bool) -> None:
        """Go on in another place of the budget. `success`: whether anything new was heard in the one until now."""
        self._place.budget.end(self._place, success=success)
        self._place = place

    @property
    def waited(self) -> float:
        """Seconds since it began."""
        return self._clock.monotonic() - self._note.began

    def _hear(self, batch: list[Delta]) -> list[Delta]:
        self._is_accepted = True
        for delta in batch:
            if isinstance(delta, _WORDS):
                self._said += size_of(delta.text)
            elif isinstance(delta, Usage):
                self._note.usage = delta.usage
            elif isinstance(delta, Finished):
                self._finished = delta
            else:
                self._uses.hear(delta)
        if self.spoke:
            return batch
        self._held += batch
        if self._finished is None and all(type(delta) in SILENT for delta in batch):
            return []
        self.spoke = True
        self._first_token()
        return self._held

    def _first_token(self) -> None:
        now, line = self._clock.monotonic(), self.line
        took = self._note.first_token = now - self._note.began
        line.first_token = min(line.first_token or took, took)
        line.breaker.first_token(self._permit, took, now)
        if line.hedging is not None:
            line.hedging.observe(took, now)
        if self._queue is not None:
            self._queue.observe_first_token(took)

    def _end(self, error: BaseException | None) -> None:
        if self._is_over:
            return
        self._is_over = True
        if self._finished is not None:
            error = None  # its reader closes it behind the last word
        now = self._clock.monotonic()
        self._write(error, now)
        outcome = outcome_of(error)
        self.line.breaker.record(self._permit, outcome, now, getattr(error, "retry_after", None))
        if outcome == "ignored":
            self._place.budget.cancel(self._place)
        else:
            self._place.budget.end(self._place, success=outcome == "success")
        if self._ticket is not None and self._queue is not None:
            self._queue.leave(self._ticket)

    def _write(self, error: BaseException | None, now: float) -> None:
        note, finished = self._note, self._finished
        note.took = now - note.began
        note.service_tier, note.tools = self._uses.service_tier, self._uses.tools
        if error is None:
            note.outcome = "incomplete" if finished is not None and finished.incomplete else "completed"
        else:
            note.outcome = "failed" if isinstance(error, Exception) else "cancelled"
            note.code = getattr(error, "code", None)
        if note.usage is None and (self._is_accepted or note.outcome == "cancelled"):
            turn = self._turn
            note.usage = estimated(read(turn.items, turn.request), estimate(self._said))
            note.is_estimated = True


AskGoOn: TypeAlias = Callable[[Try, APIError, int], Awaitable[bool]]
"""What a `GoOn` is asked, and of which attempt."""
