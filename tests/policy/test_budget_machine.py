"""Budgets against a list of what each request holds and costs: nothing leaks, no limit is passed, alerts fire once."""

from __future__ import annotations

from decimal import Decimal
from itertools import groupby

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from antiphon.policy.budget import Budget, Budgets, BudgetSettings, Crossing, Payer, Refused, Reservation, window_of

ZERO = Decimal(0)
PAYERS = [Payer("k1", "p1", "o"), Payer("k2", "p1", "o"), Payer("k3", "p2", "o")]
OWNERS = [
    ("key", "k1", "hourly"),
    ("project", "p1", "daily"),
    ("project", "p2", "hourly"),
    ("organization", "o", "monthly"),
]
AMOUNTS = st.decimals(0, 3, places=4)


class BudgetMachine(RuleBasedStateMachine):
    @initialize(limits=st.lists(st.tuples(st.decimals(1, 9, places=2), st.booleans()), min_size=4, max_size=4))
    def begin(self, limits: list[tuple[Decimal, bool]]) -> None:
        self.now = 1_796_000_000.0
        self.budgets = Budgets()
        self.settings = {
            owner: BudgetSettings(id=owner, scope=scope, owner=owner, window=window, limit=limit, hard=hard)
            for (scope, owner, window), (limit, hard) in zip(OWNERS, limits, strict=True)
        }
        for settings in self.settings.values():
            self.budgets.put(settings, self.now)
        self.open: list[tuple[Reservation, Payer, float]] = []
        self.costs: list[tuple[Payer, float, Decimal, Decimal]] = []  # who, when begun, cost, above its reservation
        self.fired: list[tuple[str, int, Decimal]] = []

    def begun_in(self, owner: str, began: float, now: float) -> bool:
        kind = self.settings[owner].window
        return window_of(kind, began) == window_of(kind, now)

    def figures(self, owner: str, now: float) -> tuple[Decimal, Decimal, Decimal]:
        """Spent, overrun and held in the window of now."""
        ours = [cost for cost in self.costs if owner in cost[0] and self.begun_in(owner, cost[1], now)]
        held = [each for each, payer, began in self.open if owner in payer and self.begun_in(owner, began, now)]
        return (
            sum((cost for _, _, cost, _ in ours), ZERO),
            sum((over for *_, over in ours), ZERO),
            sum((each.amount for each in held), ZERO),
        )

    def current(self) -> list[Budget]:
        """All budgets as they stand: those of reservations of nothing."""
        found = {}
        for payer in PAYERS:
            nothing = self.budgets.reserve(payer, ZERO, self.now)
            assert isinstance(nothing, Reservation)
            self.budgets.release(nothing)
            found |= {budget.settings.id: budget for budget in nothing.budgets}
        assert found.keys() == self.settings.keys()
        return list(found.values())

    def note(self, crossings: list[Crossing]) -> None:
        self.fired += [(each.budget.id, each.window.start, each.threshold) for each in crossings]

    @rule(seconds=st.sampled_from([0.0, 10.0, 600.0, 3600.0, 86_400.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(payer=st.sampled_from(PAYERS), amount=AMOUNTS)
    def reserve(self, payer: Payer, amount: Decimal) -> None:
        available = self.budgets.available(payer, self.now)
        answer = self.budgets.reserve(payer, amount, self.now)
        match answer:
            case Reservation():
                assert available is None or amount <= available
                self.open.append((answer, payer, self.now))
            case Refused():
                assert available is not None
                assert available < amount
                assert answer.budget.hard
                assert (answer.reason == "spent") == (answer.spent + amount > answer.budget.limit)
                self.note(answer.crossings)

    def end(self, place: tuple[Reservation, Payer, float], cost: Decimal) -> None:
        reservation, payer, began = place
        over = max(ZERO, cost - reservation.amount)
        self.costs.append((payer, began, cost, over))
        self.note(self.budgets.settle(reservation, cost))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), part=st.decimals(0, 1, places=2))
    def settle(self, data: st.DataObject, part: Decimal) -> None:
        place = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.end(place, place[0].amount * part)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), more=AMOUNTS)
    def settle_with_an_overrun(self, data: st.DataObject, more: Decimal) -> None:
        place = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        self.end(place, place[0].amount + more)

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        self.budgets.release(self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))[0])

    @invariant()
    def figures_are_the_sums_of_what_happened(self) -> None:
        for budget in self.current():
            spent, _, held = self.figures(budget.settings.owner, self.now)
            assert (budget.spent, budget.reserved) == (spent, held)

    @invariant()
    def a_hard_limit_is_passed_by_overruns_only(self) -> None:
        for owner, settings in self.settings.items():
            spent, overrun, held = self.figures(owner, self.now)
            assert not settings.hard or spent + held <= settings.limit + overrun

    @invariant()
    def alerts_fire_once_a_window_and_not_before_their_time(self) -> None:
        assert len(set(self.fired)) == len(self.fired)
        for (owner, start), alerts in groupby(sorted(self.fired), key=lambda alert: alert[:2]):
            spent, _, _ = self.figures(owner, start)
            limit = self.settings[owner].limit
            for *_, threshold in alerts:
                assert spent >= limit * min(threshold, Decimal("0.9"))

    @invariant()
    def all_that_was_reached_has_fired(self) -> None:
        fired = set(self.fired)
        for budget in self.current():
            for threshold in budget.settings.thresholds:
                if budget.spent >= budget.settings.limit * threshold:
                    assert (budget.settings.id, budget.window.start, threshold) in fired

    def teardown(self) -> None:
        for reservation, *_ in self.open:
            self.budgets.release(reservation)
        assert all(budget.reserved == 0 for budget in self.current())


TestBudgets = BudgetMachine.TestCase
