"""Admission against a model that keeps tickets in one list: none is lost, none is doubled, the limit holds."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from antiphon.policy.admission import Admission, AdmissionSettings, Admitted, Moves, Refused, Ticket, Waiting

PROJECTS = st.sampled_from(["a", "b", "c", "d"])


class AdmissionMachine(RuleBasedStateMachine):
    @initialize(limit=st.integers(1, 4), queue=st.integers(0, 5))
    def begin(self, limit: int, queue: int) -> None:
        self.now = 0.0
        self.settings = AdmissionSettings(limit=limit, queue=queue)
        self.admission = Admission(self.settings)
        self.running: list[Ticket] = []
        self.waiting: list[Ticket] = []
        self.gone: list[Ticket] = []
        self.served: list[str] = []

    def admit(self, ticket: Ticket) -> None:
        assert len(self.running) < self.settings.limit
        assert ticket.deadline is None or self.now < ticket.deadline
        self.running.append(ticket)
        self.served.append(ticket.project)

    def last(self, project: str) -> int:
        return max((place for place, served in enumerate(self.served, 1) if served == project), default=0)

    def settle(self, moves: Moves) -> None:
        for ticket in moves.dropped:
            self.waiting.remove(ticket)
            self.gone.append(ticket)
        for ticket in moves.admitted:
            self.is_next(ticket)
            self.waiting.remove(ticket)
            self.admit(ticket)

    def is_next(self, chosen: Ticket) -> None:
        """No project with fewer running, or as few and served before it, was passed over; nor an older ticket."""
        counts = {ticket.project: 0 for ticket in self.waiting}
        for ticket in self.running:
            counts[ticket.project] = counts.get(ticket.project, 0) + 1
        rank = {ticket.project: (counts[ticket.project], self.last(ticket.project)) for ticket in self.waiting}
        assert rank[chosen.project] == min(rank.values())
        own = [ticket for ticket in self.waiting if ticket.project == chosen.project]
        assert own[0] is chosen

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(project=PROJECTS, left=st.sampled_from([None, 0.0, 1.0, 20.0]))
    def offer(self, project: str, left: float | None) -> None:
        deadline = None if left is None else self.now + left
        match self.admission.offer(self.now, project, deadline):
            case Admitted(ticket=ticket):
                assert not self.waiting
                self.admit(ticket)
            case Waiting(ticket=ticket, moves=moves):
                assert len(self.running) == self.settings.limit
                assert not moves.admitted
                self.is_fair(project, moves)
                self.settle(moves)
                self.waiting.append(ticket)
            case Refused(retry_after=retry_after, reason=reason):
                assert 1.0 <= retry_after <= 120.0
                assert reason == "full" or left is not None
                if reason == "full":
                    assert len(self.waiting) == self.settings.queue
                    assert len(self.running) == self.settings.limit

    def is_fair(self, project: str, moves: Moves) -> None:
        """Who was in time was displaced only by a project that has less."""
        for ticket in moves.dropped:
            if ticket.deadline is None or self.now < ticket.deadline:
                assert len(moves.dropped) == 1
                assert self.load(ticket.project) > self.load(project) + 1

    def load(self, project: str) -> int:
        return sum(ticket.project == project for ticket in self.running + self.waiting)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        ticket = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.settle(self.admission.leave(ticket, self.now))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def withdraw(self, data: st.DataObject) -> None:
        ticket = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        self.settle(self.admission.leave(ticket, self.now))

    @precondition(lambda self: self.gone)
    @rule()
    def leave_after_being_dropped(self) -> None:
        assert self.admission.leave(self.gone.pop(), self.now) == Moves([], [])

    @rule()
    def expire(self) -> None:
        late = [ticket for ticket in self.waiting if ticket.deadline is not None and self.now >= ticket.deadline]
        moves = self.admission.expire(self.now)
        assert {ticket.number for ticket in moves.dropped} == {ticket.number for ticket in late}
        self.settle(moves)

    @invariant()
    def nobody_is_lost_or_doubled(self) -> None:
        if not self.waiting:
            self.served = [project for project in self.served if self.load(project)]
        assert (self.admission.running, self.admission.waiting) == (len(self.running), len(self.waiting))
        assert len(self.running) <= self.settings.limit
        assert len(self.waiting) <= self.settings.queue
        assert not self.waiting or len(self.running) == self.settings.limit
        everybody = self.running + self.waiting + self.gone
        assert len({ticket.number for ticket in everybody}) == len(everybody)
        for tickets, place in ((self.running, "running"), (self.waiting, "waiting"), (self.gone, "dropped")):
            assert {ticket.place for ticket in tickets} <= {place}

    def teardown(self) -> None:
        while self.running:
            self.settle(self.admission.leave(self.running.pop(), self.now))
        assert (self.admission.running, self.admission.waiting) == (0, 0)
        assert not self.waiting


TestAdmission = AdmissionMachine.TestCase
