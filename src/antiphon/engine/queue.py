"""Queue: places at an upstream, for those who wait (`antiphon.policy.admission` decides who is next)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from antiphon.policy.admission import Admission, AdmissionSettings, Admitted, Moves, Refused, Ticket, Waiting
from antiphon.ports import Clock
from antiphon.wire.errors import ServerOverloaded

MESSAGE = "Too many requests are waiting for the model. Try again later."


class Queue:
    """The places of one upstream. A ticket from `enter` is given back with `leave`."""

    def __init__(self, settings: AdmissionSettings, clock: Clock) -> None:
        self.admission = Admission(settings)
        self._clock = clock
        self._waiting: dict[Ticket, asyncio.Future[bool]] = {}

    async def enter(self, project: str, deadline: float | None, *, bounded: bool = True) -> Ticket:
        """Wait for a place. Raises ServerOverloaded if there is none, or none before the deadline (monotonic).

        One that is not `bounded` is refused only for its deadline.
        """
        match self.admission.offer(self._clock.monotonic(), project, deadline, bounded=bounded):
            case Admitted(ticket):
                return ticket
            case Refused(retry_after):
                raise ServerOverloaded(MESSAGE, retry_after=retry_after)
            case Waiting(ticket, moves):
                self._apply(moves)
                return await self._wait(ticket)

    @property
    def has_room(self) -> bool:
        """Whether somebody who enters now has a place at once."""
        return self.admission.has_room

    def take(self, project: str) -> Ticket | None:
        """A place at once, or none."""
        now = self._clock.monotonic()
        answer = self.admission.offer(now, project) if self.has_room else None
        return answer.ticket if isinstance(answer, Admitted) else None

    async def _wait(self, ticket: Ticket) -> Ticket:
        turn = self._waiting[ticket] = asyncio.get_running_loop().create_future()
        late = None
        if ticket.deadline is not None:
            late = self._clock.call_later(ticket.deadline - self._clock.monotonic(), self._expire)
        try:
            is_admitted = await turn
        except asyncio.CancelledError:
            self.leave(ticket)
            raise
        finally:
            self._waiting.pop(ticket, None)
            if late is not None:
                late.cancel()
        if not is_admitted:
            raise ServerOverloaded(MESSAGE, retry_after=1)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give a place back; the next one has it."""
        self._apply(self.admission.leave(ticket, self._clock.monotonic()))

    def observe_first_token(self, seconds: float) -> None:
        """Note how long a call took to its first output."""
        self._apply(self.admission.observe_first_token(seconds, self._clock.monotonic()))

    def _expire(self) -> None:
        self._apply(self.admission.expire(self._clock.monotonic()))

    def _apply(self, moves: Moves) -> None:
        self._tell(moves.admitted, True)
        self._tell(moves.dropped, False)

    def _tell(self, tickets: Iterable[Ticket], is_admitted: bool) -> None:
        for ticket in tickets:
            waiting = self._waiting.get(ticket)
            if waiting is not None and not waiting.done():
                waiting.set_result(is_admitted)
