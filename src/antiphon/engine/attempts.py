"""Attempts: one turn, asked of one upstream after the other until one answers (rules 1-16 of the policies).

What is decided is decided in `antiphon.policy`; here it is done. Until an attempt has said something that its reader
could see, its failure is nobody's business: another attempt follows, after a wait or at another line. After it nothing
is tried again: the failure is that of the response, with what was said.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final, NoReturn

from msgspec import structs

from antiphon.engine.around import taken_by
from antiphon.engine.lines import Line, Try
from antiphon.policy.breaker import Reason, Refused, overruled
from antiphon.policy.hedge import Hedging
from antiphon.policy.retry import (
    Continue,
    Elsewhere,
    Failure,
    GiveUp,
    Place,
    RetrySettings,
    Verdict,
    decide,
    no_room,
    outward,
)
from antiphon.policy.route import Order, in_order
from antiphon.ports import Clock
from antiphon.turn.deltas import Delta
from antiphon.turn.input import Turn
from antiphon.wire.errors import APIError, InvalidRequest, RateLimited, Unavailable
from antiphon.wire.request import CreateResponse


class Attempts:
    """Some lines as one `antiphon.ports.Model`."""

    def __init__(
        self,
        lines: Sequence[Line],
        clock: Clock,
        settings: RetrySettings,
        *,
        order: Order = "first",
        random: Callable[[], float],
    ) -> None:
        self.lines = tuple(lines)
        self._clock = clock
        self._settings = structs.replace(settings, attempts=max(settings.attempts, len(self.lines)))
        self._order: Order = order
        self._random = random

    # What the lines are together

    @property
    def name(self) -> str:
        """The name of the first line's model."""
        return self.lines[0].model.name

    @property
    def continues(self) -> bool:
        """Whether every line goes on within a half-said item: who will be asked is not known before."""
        return all(line.model.continues for line in self.lines)

    @property
    def pass_through(self) -> frozenset[str]:
        """Parameters that a line lets through; only such lines are asked then."""
        return frozenset().union(*(line.model.pass_through for line in self.lines))

    @property
    def chat_parameters(self) -> frozenset[str]:
        """Parameters of Chat Completions that a line takes; only such lines are asked then."""
        return frozenset().union(*(line.model.chat_parameters for line in self.lines))

    @property
    def relays(self) -> bool:
        """Whether a Responses server is among the lines."""
        return any(line.model.relays for line in self.lines)

    def accept(self, request: CreateResponse) -> tuple[str, ...]:
        """The tool types that are left out by the first line which serves the request. Raises InvalidRequest."""
        return self._serving(request)[0].model.accept(request)

    async def count(self, turn: Turn) -> int:
        """The input tokens of a turn, by the first line that serves it."""
        return await self._serving(turn.request)[0].model.count(turn)

    async def aclose(self) -> None:
        """Release what the lines hold."""
        for line in self.lines:
            await line.model.aclose()

    def _serving(self, request: CreateResponse) -> list[Line]:
        """The lines that can serve a request, as they are listed. Raises InvalidRequest if there is none."""
        if len(self.lines) == 1:
            return list(self.lines)
        refusal: InvalidRequest | None = None
        serving = []
        for line in self.lines:
            try:
                line.model.accept(request)
            except InvalidRequest as error:
                refusal = refusal or error
            else:
                serving.append(line)
        if not serving and refusal is not None:
            raise refusal
        fitting = [line for line in serving if request.extra.keys() <= taken_by(line.model)]
        if not fitting:
            name = next(iter(request.extra))
            message = f"No backend of this model takes all of the parameters {', '.join(request.extra)}."
            raise InvalidRequest(message, param=name, code="unknown_parameter")
        return fitting

    # A turn

    async def stream(self, turn: Turn) -> AsyncGenerator[list[Delta], None]:
        """Say one turn. Raises the APIError of the last attempt, or at once what `all_down` does."""
        search = Search(self._open_lines(turn), turn, self._clock, self._settings, self._random)
        while True:
            one = await search.ask()
            try:
                async with aclosing(search.said_by(one)) as batches:
                    async for batch in batches:
                        yield batch
                return
            except APIError as error:
                wait = search.after(error)
            if wait:
                await search.pause(wait)

    def _open_lines(self, turn: Turn) -> list[tuple[Line, bool]]:
        """The lines that may be asked, in order, and whether the pool overrules their breaker. Raises Unavailable."""
        lines = self._serving(turn.request)
        order = in_order(
            self._order, [line.weight for line in lines], lambda: [line.price() for line in lines], self._random
        )
        lines = [lines[place] for place in order]
        now = self._clock.monotonic()
        refusals = {line: line.breaker.refusal(now) for line in lines}
        ready = [(line, False) for line in lines if refusals[line] is None]
        ignored = overruled([line.breaker for line in lines], now)
        last = [(line, True) for line in lines if line.breaker in ignored]
        if not ready and not last:
            all_down(tuple(refused for refused in refusals.values() if refused is not None))
        return [*ready, *last]


_BAD_DAYS: Final[frozenset[Reason]] = frozenset({"open", "half_open", "ramp"})


def all_down(refusals: Sequence[Refused]) -> NoReturn:
    """Say that nobody can be asked, why, and when it makes sense to come back. Raises Unavailable or RateLimited."""
    wait = outward(min(refused.retry_after for refused in refusals))
    reasons = {refused.reason for refused in refusals}
    if reasons == {"throttled"}:
        raise RateLimited("The model's upstream has asked for fewer requests.", retry_after=wait)
    if reasons == {"misconfigured"}:
        message = "The upstream refuses the key that this server is configured with."
        raise Unavailable(message, code="upstream_key_refused", retry_after=wait)
    why = "its upstream has failed too often of late" if reasons <= _BAD_DAYS else "none of its upstreams can be asked"
    raise Unavailable(f"The model is not available at the moment: {why}.", code="upstream_down", retry_after=wait)


class Search:
    """The way of one turn through the lines."""

    def __init__(
        self,
        lines: list[tuple[Line, bool]],
        turn: Turn,
        clock: Clock,
        settings: RetrySettings,
        random: Callable[[], float],
    ) -> None:
        self._lines = lines
        self._turn = turn
        self._clock = clock
        self._settings = settings
        self._random = random
        self._at = 0
        self._place: Place | None = None
        """What the next attempt may cost; None for the first."""
        self._attempts = 0
        self._one: Try | None = None
        self._failure: APIError | None = None
        """Why the last attempt failed."""

    async def ask(self) -> Try:
        """The next attempt, with all that it needs.

        Raises the APIError of the last attempt if there is none, and without any that of the last queue or breaker.
        """
        while True:
            try:
                one = self._one = await self._enter(*self._lines[self._at])
            except APIError as error:
                self._pass(error)
            except BaseException:
                self._drop_place()
                raise
            else:
                self._attempts += 1
                return one

    async def _enter(self, line: Line, is_overruled: bool) -> Try:
        """Take a ticket and a permit. Raises ServerOverloaded, Unavailable or RateLimited.

        What runs in the background was accepted, and is stored: it waits for a place, at the last who could have one.
        So does a judge: an answer that has begun would fail without it.
        """
        turn, began, queue = self._turn, self._clock.monotonic(), line.queue_for(self._turn)
        ticket = None
        if queue is not None:
            waits = (turn.request.background or turn.judges) and self._at == len(self._lines) - 1
            try:
                ticket = await queue.enter(turn.project, turn.deadline, bounded=not waits)
            finally:
                turn.trace.queued += self._clock.monotonic() - began
        permit = line.breaker.admit(self._clock.monotonic(), overruled=is_overruled)
        if isinstance(permit, Refused):
            if queue is not None and ticket is not None:
                queue.leave(ticket)
            all_down([permit])
        place, self._place = self._place or line.budget.begin(), None
        return Try(line, turn, self._clock, go_on=self.go_on, permit=permit, place=place, ticket=ticket)

    def _pass(self, refusal: APIError) -> None:
        """The line has no room: the next one is asked, and pays if this is a retry. Raises as `ask` if none can."""
        is_retry = self._place is not None
        self._drop_place()
        self._at += 1
        if self._at < len(self._lines) and is_retry:
            self._place = self._lines[self._at][0].budget.retry("transient")
        if self._at == len(self._lines) or (is_retry and self._place is None):
            if self._failure is None:
                raise refusal
            self._give_up(self._failure, no_room(self._failure))

    def _drop_place(self) -> None:
        if self._place is not None:
            self._place.budget.cancel(self._place)
            self._place = None

    def after(self, error: APIError) -> float:
        """What follows a failure: the seconds to wait before the next attempt. Raises the error if there is none."""
        one = self._one
        assert one is not None
        self._failure = error
        line, _ = self._lines[self._at]
        following = self._lines[self._at + 1][0] if self._at + 1 < len(self._lines) else None
        lines = [line] if following is None else [line, following]
        failure = Failure(
            error=error,
            attempts=self._attempts,
            now=self._clock.monotonic(),
            deadline=self._turn.deadline,
            first_token=min(line.first_token for line in lines),
            has_output=one.spoke,
            others=len(self._lines) - self._at - 1,
        )
        verdict = self._decide(failure, line, following)
        if isinstance(verdict, GiveUp):
            self._give_up(error, verdict)
        self._place = verdict.place
        if isinstance(verdict, Elsewhere):
            self._at += 1
            return 0.0
        return verdict.seconds

    async def go_on(self, one: Try, error: APIError, failed: int) -> bool:
        """Whether an attempt may take up its answer where its connection broke (rule 10): a `GoOn`."""
        failure = Failure(
            error=error,
            attempts=failed,
            now=self._clock.monotonic(),
            deadline=self._turn.deadline,
            has_output=one.spoke,
            is_resumable=True,
        )
        verdict = self._decide(failure, one.line, None)
        if not isinstance(verdict, Continue):
            return False
        one.pay(verdict.place, success=failed == 1)
        await self._clock.sleep(verdict.seconds)
        return True

    def _decide(self, failure: Failure, line: Line, following: Line | None) -> Verdict:
        elsewhere = following.budget if following is not None else None
        return decide(failure, self._settings, here=line.budget, elsewhere=elsewhere, random=self._random)

    def _give_up(self, error: APIError, verdict: GiveUp) -> NoReturn:
        if verdict.should_retry is not None:
            error.should_retry = verdict.should_retry
        if error.retry_after is not None:
            error.retry_after = outward(error.retry_after, give_up=error.should_retry is False)
        raise error

    async def pause(self, seconds: float) -> None:
        """Wait before the next attempt."""
        try:
            await self._clock.sleep(seconds)
        except BaseException:
            self._drop_place()
            raise

    # A second call beside a slow first one

    def said_by(self, one: Try) -> AsyncGenerator[list[Delta], None]:
        """What an attempt says; if it is slow to begin, and hedging is on, what the faster of two says."""
        hedging = one.line.hedging
        delay = None if hedging is None else hedging.call(self._clock.monotonic())
        if hedging is None or delay is None:
            return one.say()
        return self._raced(one, hedging, delay)

    async def _raced(self, first: Try, hedging: Hedging, delay: float) -> AsyncGenerator[list[Delta], None]:
        tries = [first]
        tasks = [asyncio.create_task(first.until_output())]
        timer = asyncio.create_task(self._clock.sleep(delay))
        try:
            await asyncio.wait((tasks[0], timer), return_when=asyncio.FIRST_COMPLETED)
            if not tasks[0].done() and (second := self._second(hedging)) is not None:
                tries.append(second)
                tasks.append(asyncio.create_task(second.until_output()))
            winner = await _first_to_speak(tasks)
            self._one = tries[winner]
            if winner:
                hedging.observe(first.waited, self._clock.monotonic())
            for task in tasks:
                task.cancel()  # the others; what is done is done
            yield tasks[winner].result()
            async for batch in tries[winner].rest():
                yield batch
        finally:
            timer.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for one in tries:
                await one.aclose()

    def _second(self, hedging: Hedging) -> Try | None:
        """A second call, at the next line if there is one; None if its queue, its breaker or its quota has no room."""
        line, _ = self._lines[min(self._at + 1, len(self._lines) - 1)]
        queue, now = line.queue_for(self._turn), self._clock.monotonic()
        if queue is not None and not queue.has_room:
            return None
        permit = line.breaker.admit(now)
        if isinstance(permit, Refused):
            return None
        if not hedging.take():
            line.breaker.record(permit, "ignored", now)
            return None
        ticket = queue.take(self._turn.project) if queue is not None else None
        place = line.budget.begin()
        return Try(
            line, self._turn, self._clock, go_on=self.go_on, permit=permit, place=place, ticket=ticket, is_hedge=True
        )


async def _first_to_speak(tasks: Sequence[asyncio.Task[list[Delta]]]) -> int:
    """The place of the first task that got output, or ended well. Raises the error of the first if all fail."""
    waiting = set(tasks)
    while True:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for place, task in enumerate(tasks):
            if task in done and task.exception() is None:
                return place
        if not waiting:
            tasks[0].result()
