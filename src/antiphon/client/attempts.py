"""Attempts: the innermost layer. It asks the server, again if need be, so that the caller sees each event once.

    before the first output      what a failed attempt said is not shown: `response.created` waits for the first output
    after it, in the background  the stream is taken up after the last event (`starting_after`)
    after it, otherwise          StreamCut; only a caller who does not watch (`create`) gets a new attempt

Whether and when is for `antiphon.policy.retry` to say, whether at all for `antiphon.policy.breaker`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import openai

from antiphon.client.border import FAULTS, NOT_OUTPUT, TERMINAL, cut_of, failure_in, judged, refusal_of, response_in
from antiphon.client.call import Call, Flow
from antiphon.client.errors import (
    CircuitOpen,
    ClientError,
    DeadlineExceeded,
    ResponseCancelled,
    ResponseFailed,
    StreamCut,
    StreamFailed,
    StreamMalformed,
)
from antiphon.client.records import AttemptFailed, FirstOutput, Resumed
from antiphon.client.upstream import Attempt, Upstream
from antiphon.policy.retry import Continue, Failure, GiveUp, Place, Wait

if TYPE_CHECKING:
    from openai.types.responses import Response, ResponseStreamEvent

__all__ = ["Attempts"]

_KEPT: Final = ("extra_headers", "extra_query", "timeout", "include")
"""What a request and the resumption of its stream have in common."""

_AFTERWARDS: Final = 1.0
"""Seconds that a server has to end a stream whose last event came, so that its connection can be used again."""


class Attempts:
    """Asks one server. Implements `antiphon.client.call.Ask`."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    async def __call__(self, call: Call) -> Flow:
        """All events of the answer, each once. Raises ClientError."""
        answer = _Answer(call, self.upstream)
        place: Place | None = None
        while not answer.is_over:
            try:
                async with aclosing(answer.attempt(place)) as events:
                    async for event in events:
                        yield event
            except ClientError as error:
                try:
                    place = await answer.mend(error)
                except ClientError:
                    for event in answer.held:
                        yield event
                    raise


class _Answer:
    """One answer, over all the attempts that it takes."""

    def __init__(self, call: Call, upstream: Upstream) -> None:
        self.call = call
        self.upstream = upstream
        self._since = call.io.monotonic()
        self.is_over = False
        self.held: list[ResponseStreamEvent] = []
        """What the caller sees only if it is not said anew."""
        self._last: int | None = None  # the number of the last event
        self._has_output = False  # the caller has something of the answer
        self._can_resume = False
        self._failures = 0  # attempts in a row that brought nothing new
        self._brought = False  # this attempt brought something new

    # One attempt

    async def attempt(self, place: Place | None) -> AsyncGenerator[ResponseStreamEvent, None]:
        """What one call of the server adds to the answer. Raises ClientError if it is not all of the rest."""
        io = self.call.io
        attempt = self.upstream.begin(self.call.model, place, io.monotonic())
        self.call.attempts += 1
        self._brought = False
        fault: BaseException | None = None
        try:
            stream = await self._open()
            try:
                async with aclosing(self._events(stream)) as events:
                    async for event in events:
                        self._note_output(event, attempt)
                        for released in self._released(event):
                            yield released
                await self._let_end(stream)
            finally:
                await io.close(stream)
        except BaseException as error:
            fault = error
            raise
        finally:
            is_success = self.is_over and not isinstance(fault, ClientError)
            self.upstream.end(attempt, None if is_success else fault, io.monotonic(), brought=self._is_progress)

    async def _open(self) -> Any:
        """Begin the answer, or go on with it. Raises ClientError."""
        call, responses = self.call, self.call.openai.responses
        limits = call.io.limits(call.params.get("timeout", call.openai.timeout), call.deadline)
        if self._can_resume and call.response_id is not None and self._last is not None:
            record = Resumed(number=call.number, model=call.model, response_id=call.response_id, after=self._last)
            call.tell(record)
            again = {**self._kept(), **limits, "stream": True, "starting_after": self._last}
            ask = partial(responses.retrieve, call.response_id, **again)
        else:
            ask = partial(responses.create, **{**call.params, **limits, "stream": True})
        try:
            stream = await call.io.call(ask, call.deadline)
        except openai.APIError as fault:
            raise refusal_of(fault) from fault
        if not self._can_resume:
            self._last = None
            self._throw_away()
        return stream

    def _throw_away(self) -> None:
        """Forget what an attempt said that nobody has seen; it was paid for all the same."""
        if any(event.type not in NOT_OUTPUT for event in self.held):
            said = (getattr(event, "delta", "") for event in self.held)
            self.call.thrown_away.append(sum(len(words.encode()) for words in said if isinstance(words, str)))
        self.held.clear()

    async def _events(self, stream: Any) -> AsyncGenerator[ResponseStreamEvent, None]:
        """The new events of a stream, up to the last one of the response. Raises ClientError if that does not come."""
        after, told = self._last, None
        while (event := await self._read(stream)) is not None:
            if not self._is_new(event, after):
                continue
            self._take(event)
            yield event
            told = failure_in(event) or told
            if event.type in TERMINAL:
                break
        else:
            raise told or StreamCut("The stream ended before the response did.")
        if told is not None:
            raise told

    async def _read(self, stream: Any) -> ResponseStreamEvent | None:
        try:
            event: ResponseStreamEvent | None = await self.call.io.read(stream, self.call.deadline)
        except FAULTS as fault:
            raise cut_of(fault) from fault
        return event

    async def _let_end(self, stream: Any) -> None:
        """Read on after the last event, so that the connection can be used again."""
        io = self.call.io
        with suppress(*FAULTS):
            while await io.read(stream, io.monotonic() + _AFTERWARDS) is not None:
                pass

    # Events

    def _is_new(self, event: ResponseStreamEvent, after: int | None) -> bool:
        """Whether the caller has not had an event before the stream broke. `after`: the last one of then."""
        number = _number(event)
        if after is None or number is None or self._last is None:
            return True
        if self._last == after and number > after + 1:
            raise StreamMalformed(f"The stream goes on with event {number} after event {after}.")
        return number > self._last

    def _take(self, event: ResponseStreamEvent) -> None:
        call, number = self.call, _number(event)
        self._last = self._last if number is None else number
        self._brought = True
        self.is_over = event.type in TERMINAL
        if (response := response_in(event)) is not None:
            call.response_id = response.id
            is_background = call.is_background and response.background is True
            self._can_resume = is_background and number is not None
        if self._can_resume:
            self._failures = 0

    def _note_output(self, event: ResponseStreamEvent, attempt: Attempt) -> None:
        """Note the first output of an attempt, and of the answer."""
        if attempt.has_output or event.type in NOT_OUTPUT:
            return
        call, now = self.call, self.call.io.monotonic()
        self.upstream.first_output(attempt, now)
        if call.first_output is None:
            call.first_output = now - self._since
            call.tell(FirstOutput(number=call.number, model=call.model, seconds=call.first_output))

    def _released(self, event: ResponseStreamEvent) -> Iterator[ResponseStreamEvent]:
        """The events that can be shown now."""
        self.held.append(event)
        if not self._must_wait(event):
            self._has_output = self._has_output or event.type not in NOT_OUTPUT
            released, self.held = self.held, []
            yield from released

    def _must_wait(self, event: ResponseStreamEvent) -> bool:
        if self._can_resume or event.type in TERMINAL - NOT_OUTPUT:
            return False
        return not self.call.is_streamed or (not self._has_output and event.type in NOT_OUTPUT)

    # Failures

    @property
    def _is_progress(self) -> bool:
        """Whether this attempt brought something that need not be asked for again."""
        return self._brought and self._can_resume

    async def mend(self, error: ClientError) -> Place:
        """Wait until the server may be asked again, and give the place for that. Raises ClientError if it may not."""
        call = self.call
        error.attempts = call.attempts
        if isinstance(error, CircuitOpen | DeadlineExceeded):
            raise error
        if call.deadline is not None and call.io.monotonic() >= call.deadline:
            raise DeadlineExceeded("The time for this request is over.") from error
        self._failures += 1
        verdict = GiveUp("not_retryable") if self._is_final(error) else self.upstream.decide(self._failure(error))
        failed = partial(AttemptFailed, number=call.number, model=call.model, attempt=call.attempts, error=error)
        if not isinstance(verdict, Wait | Continue):
            why = verdict.why if isinstance(verdict, GiveUp) else ""
            call.tell(failed(then="give_up", why=why))
            raise await self._last_word(error)
        call.tell(failed(then="resume" if self._can_resume else "retry", wait=verdict.seconds))
        try:
            await call.io.sleep(verdict.seconds, call.deadline)
        except BaseException:
            self.upstream.cancel(verdict.place)
            raise
        self.is_over = False
        return verdict.place

    def _is_final(self, error: ClientError) -> bool:
        """Whether an error is the end of a response that the caller has heard of."""
        return self.is_over and (self._can_resume or self._has_output) and isinstance(error, ResponseFailed)

    def _failure(self, error: ClientError) -> Failure:
        has_output = self._has_output or (self._can_resume and self._brought)
        return Failure(
            error=judged(error),
            attempts=self._failures,
            now=self.call.io.monotonic(),
            deadline=self.call.deadline,
            has_output=has_output,
            is_resumable=self._can_resume,
        )

    async def _last_word(self, error: ClientError) -> ClientError:
        """The error that the caller gets; of an answer that is kept at the server, with all that is known there."""
        if not self._can_resume or isinstance(error, ResponseFailed):
            return error
        if not isinstance(error, StreamFailed):
            cut = StreamCut(f"The connection broke, and the rest could not be fetched: {error.message}")
            cut.__cause__ = error
            error = cut
        known = await self._look()
        if known is not None and known.status == "cancelled":
            error = ResponseCancelled("The response was cancelled.")
        if known is not None:
            error.partial = known
        error.attempts = self.call.attempts
        return error

    async def _look(self) -> Response | None:
        """The response as the server has it; None if it does not say."""
        from openai.types.responses import Response

        call = self.call
        ask = partial(call.openai.responses.retrieve, call.response_id, **self._kept())
        try:
            known = await call.io.call(ask, call.deadline)
        except (openai.APIError, DeadlineExceeded):
            return None
        return known if isinstance(known, Response) else None  # of what is no JSON the SDK gives the text

    def _kept(self) -> dict[str, Any]:
        return {name: self.call.params[name] for name in _KEPT if name in self.call.params}


def _number(event: ResponseStreamEvent) -> int | None:
    """The number of an event, if its server gives numbers."""
    number: Any = getattr(event, "sequence_number", None)
    return number if isinstance(number, int) else None
