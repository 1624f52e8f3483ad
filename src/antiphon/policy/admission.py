"""Admission: how many calls an upstream gets at a time, and who is next.

A call is *offered*, and is admitted, waits, or is refused. Whoever holds a `Ticket` gives it back with `leave`, once:
after its call, or when it no longer wants to wait. What that lets happen to others comes back as `Moves`.

**Fair share.** A place that falls free goes to the project with the fewest calls running; among equals to the one that
was served least recently; within a project to its oldest ticket. When the queue is full, the newest ticket of the
project with the most calls, running and waiting, is displaced by one of a project that would still have fewer. So a
project that asks for a hundred times its share waits mostly for itself. A call that runs is never interrupted: with one
place or two, or for a project that comes near its own share, the wait for another's calls is still felt.

**Deadlines.** A ticket's deadline is the last moment at which beginning makes sense. Who could not be served before it,
by what calls took of late, is refused at once instead of waiting in vain; who is not is dropped.

**The limit** is fixed, or, opted in, follows the time to first token: while the last ones are as quick as those of long
ago it grows, when they are slower it shrinks in proportion (the gradient).

Times are monotonic seconds and arguments.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

__all__ = ["Admission", "AdmissionSettings", "Admitted", "Moves", "Reason", "Refused", "Ticket", "Waiting"]

Reason: TypeAlias = Literal["full", "deadline"]
Place: TypeAlias = Literal["running", "waiting", "dropped", "left"]

Count: TypeAlias = Annotated[int, Meta(ge=1)]

LEAST_HINT: Final = 1.0
LONGEST_HINT: Final = 120.0
"""Seconds. The official SDKs do not retry at all when they are told to wait longer."""

_NEWEST: Final = 0.1
"""The weight of the newest call in what calls took of late."""


class AdmissionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The places of one upstream."""

    limit: Count
    """Calls at a time; where an adaptive limit begins."""
    queue: Annotated[int, Meta(ge=0)] = 100
    """Calls that wait, those not counted that are not bounded."""
    adaptive: bool = False
    floor: Count = 1
    ceiling: Count = 1000
    """Bounds of an adaptive limit."""


class Ticket:
    """A call that was admitted or waits. Given back once, with `Admission.leave`."""

    __slots__ = ("deadline", "is_bounded", "number", "place", "project", "since")

    def __init__(self, number: int, project: str, deadline: float | None, now: float, is_bounded: bool) -> None:
        self.number = number
        self.project = project
        self.deadline = deadline
        self.is_bounded = is_bounded
        """Whether it takes a place in the queue: then it may find that full, and be displaced from it."""
        self.since = now
        """When it began to wait; once admitted, when it was."""
        self.place: Place = "waiting"


class Admitted(msgspec.Struct, frozen=True):
    """The call may be made."""

    ticket: Ticket


class Waiting(msgspec.Struct, frozen=True):
    """The call has a place in the queue."""

    ticket: Ticket
    moves: Moves
    """`dropped` are those who had to go for it."""


class Refused(msgspec.Struct, frozen=True):
    """There is no place, or none in time."""

    retry_after: float
    """Seconds, by what calls took of late."""
    reason: Reason


class Moves(msgspec.Struct, frozen=True):
    """Tickets that stopped waiting."""

    admitted: list[Ticket] = []
    dropped: list[Ticket] = []
    """Their deadline has passed, or they were displaced; `leave` may be called for them, and does nothing."""


class _Share:
    """What one project has: calls running, and those that wait, the oldest first."""

    __slots__ = ("running", "served", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.served = 0  # the number of the admission that was its last
        self.waiting: dict[int, Ticket] = {}

    @property
    def load(self) -> int:
        return self.running + len(self.waiting)

    @property
    def newest(self) -> Ticket | None:
        """The one that would be displaced."""
        return next((ticket for ticket in reversed(self.waiting.values()) if ticket.is_bounded), None)


class Admission:
    """The queue of one upstream."""

    __slots__ = (
        "_admissions",
        "_bounded",
        "_gradient",
        "_shares",
        "_tickets",
        "_took",
        "running",
        "settings",
        "waiting",
    )

    def __init__(self, settings: AdmissionSettings) -> None:
        self.settings = settings
        self.running = 0
        self.waiting = 0
        self._bounded = 0  # of those that wait
        self._shares: dict[str, _Share] = {}
        self._tickets = 0
        self._admissions = 0
        self._took = 0.0  # seconds that calls took of late; 0 as long as none has ended
        self._gradient = _Gradient(settings) if settings.adaptive else None

    @property
    def limit(self) -> int:
        """Calls at a time, now. Where it has just shrunk, more may still be running."""
        return self.settings.limit if self._gradient is None else int(self._gradient.limit)

    @property
    def has_room(self) -> bool:
        """Whether a call that is offered now is admitted at once."""
        return not self.waiting and self.running < self.limit

    def offer(
        self, now: float, project: str, deadline: float | None = None, *, bounded: bool = True
    ) -> Admitted | Waiting | Refused:
        """A call wants to be made. `deadline` is the last moment at which beginning makes sense.

        One that is not `bounded` waits however many do: whoever offers it bounds their number.
        """
        if deadline is not None and now >= deadline:
            return Refused(self._hint(), "deadline")
        share = self._shares.get(project) or _Share()
        ticket = Ticket(self._tickets, project, deadline, now, bounded)
        if self.has_room:
            self._keep(share, ticket)
            self._admit(share, ticket, now)
            return Admitted(ticket)
        if deadline is not None and now + self._wait(share) >= deadline:
            return Refused(self._hint(), "deadline")
        dropped = self._make_room(share, now) if bounded else []
        if bounded and self._is_full():
            return Refused(self._hint(), "full")
        self._keep(share, ticket)
        share.waiting[ticket.number] = ticket
        self.waiting += 1
        self._bounded += bounded
        return Waiting(ticket, Moves(dropped=dropped))

    def leave(self, ticket: Ticket, now: float) -> Moves:
        """A ticket is given back: its call is over, or it waits no longer. Raises RuntimeError if it was before."""
        place, ticket.place = ticket.place, "left"
        match place:
            case "left":
                raise RuntimeError("A ticket is given back once.")
            case "waiting":
                self._take_out(ticket)
            case "running":
                self._end(ticket, now)
        return self._fill(now)

    def expire(self, now: float) -> Moves:
        """Drop those whose deadline has passed."""
        dropped = [ticket for ticket in self._queue() if _is_late(ticket, now)]
        for ticket in dropped:
            self._drop(ticket)
        return Moves(dropped=dropped)

    def observe_first_token(self, seconds: float, now: float) -> Moves:
        """Note a time to first token, for an adaptive limit. Where it grows, others may begin."""
        if self._gradient is None:
            return Moves()
        self._gradient.observe(seconds, self.running)
        return self._fill(now)

    # Places

    def _keep(self, share: _Share, ticket: Ticket) -> None:
        self._shares[ticket.project] = share
        self._tickets += 1

    def _admit(self, share: _Share, ticket: Ticket, now: float) -> None:
        self._admissions += 1
        share.served = self._admissions
        share.running += 1
        self.running += 1
        ticket.place = "running"
        ticket.since = now

    def _end(self, ticket: Ticket, now: float) -> None:
        took = now - ticket.since
        self._took += (took - self._took) * (_NEWEST if self._took else 1.0)
        self._shares[ticket.project].running -= 1
        self.running -= 1

    def _take_out(self, ticket: Ticket) -> None:
        del self._shares[ticket.project].waiting[ticket.number]
        self.waiting -= 1
        self._bounded -= ticket.is_bounded

    def _drop(self, ticket: Ticket) -> None:
        self._take_out(ticket)
        ticket.place = "dropped"

    def _fill(self, now: float) -> Moves:
        """Admit as many as there are places for."""
        moves = Moves([], [])
        while self.waiting and self.running < self.limit:
            ticket = self._next()
            if _is_late(ticket, now):
                self._drop(ticket)
                moves.dropped.append(ticket)
            else:
                self._take_out(ticket)
                self._admit(self._shares[ticket.project], ticket, now)
                moves.admitted.append(ticket)
        if not self.waiting:  # nobody is compared with anybody now: who was served when is forgotten
            self._shares = {project: share for project, share in self._shares.items() if share.running}
        return moves

    def _is_full(self) -> bool:
        return self._bounded >= self.settings.queue

    # Whose turn it is

    def _next(self) -> Ticket:
        """The ticket that a free place goes to."""
        shares = (share for share in self._shares.values() if share.waiting)
        share = min(shares, key=lambda share: (share.running, share.served, next(iter(share.waiting))))
        return next(iter(share.waiting.values()))

    def _make_room(self, share: _Share, now: float) -> list[Ticket]:
        """Drop from a full queue who is late, else one ticket of the project that has the most, if it has more."""
        if not self._is_full():
            return []
        dropped = self.expire(now).dropped
        others = [(other.load, newest) for other in self._shares.values() if (newest := other.newest) is not None]
        if not self._is_full() or not others:
            return dropped
        load, newest = max(others, key=lambda other: other[0])
        if load <= share.load + 1:
            return dropped
        self._drop(newest)
        return [*dropped, newest]

    def _queue(self) -> Iterator[Ticket]:
        return (ticket for share in self._shares.values() for ticket in share.waiting.values())

    # How long it takes

    def _wait(self, share: _Share) -> float:
        """Seconds until a new ticket of a project is served: its own before it, and for each one of every other."""
        projects = sum(1 for other in self._shares.values() if other.waiting and other is not share) + 1
        ahead = min(self.waiting, len(share.waiting) * projects)
        return (ahead + 1) * self._took / self.limit

    def _hint(self) -> float:
        return min(max((self.waiting + 1) * self._took / self.limit, LEAST_HINT), LONGEST_HINT)


def _is_late(ticket: Ticket, now: float) -> bool:
    return ticket.deadline is not None and now >= ticket.deadline


# The adaptive limit

_ROUND: Final = 20
"""Times to first token that are averaged before the limit moves."""
_LONG_AGO: Final = 0.05
"""The weight of a round in the long average."""
_TOLERANCE: Final = 1.5
"""Up to so many times the long average is no sign of overload."""
_STEEPEST: Final = 0.5
"""The limit is never more than halved in a round."""


class _Gradient:
    """A limit that follows the ratio of the long average of the time to first token to that of the last round."""

    __slots__ = ("_average", "_count", "_settings", "_sum", "limit")

    def __init__(self, settings: AdmissionSettings) -> None:
        self._settings = settings
        self._average = 0.0
        self._sum = 0.0
        self._count = 0
        self.limit = float(min(max(settings.limit, settings.floor), settings.ceiling))

    def observe(self, seconds: float, running: int) -> None:
        self._sum += seconds
        self._count += 1
        if self._count >= _ROUND:
            self._end_round(self._sum / self._count, running)
            self._sum, self._count = 0.0, 0

    def _end_round(self, average: float, running: int) -> None:
        self._average = min(self._average or average, average * 2)  # long slow times are forgotten soon after
        gradient = min(max(_TOLERANCE * self._average / average, _STEEPEST), 1.0) if average else 1.0
        self._average += (average - self._average) * _LONG_AGO
        if gradient == 1.0 and running < self.limit / 2:
            return  # quick because there is little to do: that says nothing of a higher limit
        room = sqrt(self.limit) if gradient == 1.0 else 0.0
        self.limit = min(max(self.limit * gradient + room, self._settings.floor), self._settings.ceiling)
