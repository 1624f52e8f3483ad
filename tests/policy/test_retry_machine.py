"""The retry budget and its decisions against a model that counts what is held."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from antiphon.policy.retry import (
    Continue,
    Elsewhere,
    Failure,
    Fault,
    GiveUp,
    Place,
    RetryBudget,
    RetrySettings,
    Traffic,
    Wait,
    decide,
)
from antiphon.wire import errors

SETTINGS = RetrySettings(bucket=60)
COST = {"transient": 14, "throttled": 5}
ERRORS = {
    "transient": errors.Unavailable("down"),
    "throttled": errors.RateLimited("slow down"),
    "soon": errors.RateLimited("slow down", retry_after=1.0),
    "late": errors.RateLimited("slow down", retry_after=60.0),
    "final": errors.InvalidRequest("wrong"),
    "key": errors.UpstreamMalformed("refused", code="upstream_key_refused", should_retry=False),
}

FAILURES = st.builds(
    Failure,
    error=st.just(ERRORS["transient"]),
    attempts=st.integers(1, 7),
    now=st.just(10.0),
    deadline=st.sampled_from([None, 10.5, 15.0]),
    first_token=st.just(0.2),
    has_output=st.booleans(),
    is_resumable=st.booleans(),
)
CHANCES = st.sampled_from([0.0, 0.5, 0.99])


class RetryMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        traffic = Traffic()
        self.budgets = [RetryBudget(SETTINGS, traffic), RetryBudget(SETTINGS, traffic)]
        self.tokens = [60, 60]
        self.held: list[tuple[Place, int, int]] = []  # place, which budget, what it cost

    def affords(self, which: int, fault: str) -> bool:
        retries = sum(1 for _, _, cost in self.held if cost)
        return self.tokens[which] >= COST[fault] and retries + 1 <= max(3, len(self.held) / 5)

    def hold(self, place: Place, which: int, cost: int) -> None:
        self.held.append((place, which, cost))
        self.tokens[which] -= cost

    @rule(which=st.integers(0, 1), times=st.integers(1, 12))
    def begin(self, which: int, times: int) -> None:
        for _ in range(times):
            self.hold(self.budgets[which].begin(), which, 0)

    @rule(which=st.integers(0, 1), fault=st.sampled_from(["transient", "throttled"]))
    def retry(self, which: int, fault: Fault) -> None:
        expected = self.affords(which, fault)
        place = self.budgets[which].retry(fault)
        assert (place is not None) == expected
        if place is not None:
            self.hold(place, which, COST[fault])

    @precondition(lambda self: self.held)
    @rule(data=st.data(), how=st.sampled_from(["well", "badly", "never made"]))
    def give_back(self, data: st.DataObject, how: str) -> None:
        place, which, cost = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        match how:
            case "well":
                self.budgets[which].end(place, success=True)
                self.tokens[which] = min(60, self.tokens[which] + (cost or 1))
            case "badly":
                self.budgets[which].end(place, success=False)
            case _:
                self.budgets[which].cancel(place)
                self.tokens[which] = min(60, self.tokens[which] + cost)

    @rule(failure=FAILURES, kind=st.sampled_from(sorted(ERRORS)), has_other=st.booleans(), chance=CHANCES)
    def decide(self, failure: Failure, kind: str, has_other: bool, chance: float) -> None:
        failure = replace(failure, error=ERRORS[kind])
        left = None if failure.deadline is None else failure.deadline - failure.now
        has_output, is_resumable = failure.has_output, failure.is_resumable
        here, other = self.budgets
        fault = "throttled" if kind in ("throttled", "soon", "late") else "transient"
        can_stay, can_go = self.affords(0, fault), has_other and self.affords(1, fault) and not is_resumable
        given = decide(failure, SETTINGS, here=here, elsewhere=other if has_other else None, random=lambda: chance)
        forbidden = (
            kind == "final" or failure.attempts >= (6 if is_resumable else 3) or (has_output and not is_resumable)
        )
        match given:
            case Wait(seconds=seconds, place=place) | Continue(seconds=seconds, place=place):
                assert not forbidden
                assert kind not in ("key", "late")
                assert can_stay
                assert isinstance(given, Continue) == is_resumable
                assert left is None or seconds + 0.2 <= left
                assert seconds >= (1.0 if kind == "soon" else 0.0)
                assert kind == "soon" or not can_go
                self.hold(place, 0, COST[fault])
            case Elsewhere(place=place):
                assert not forbidden
                assert can_go
                self.hold(place, 1, COST[fault])
            case GiveUp(why=why, should_retry=should_retry):
                assert forbidden or not can_go
                assert forbidden or not can_stay or kind in ("key", "late") or (left is not None and why == "deadline")
                assert should_retry is False or why != "budget"

    @invariant()
    def the_books_agree(self) -> None:
        assert [budget.tokens for budget in self.budgets] == self.tokens
        traffic = self.budgets[0].traffic
        assert traffic.calls == len(self.held)
        assert traffic.retries == sum(1 for _, _, cost in self.held if cost)
        assert all(0 <= tokens <= 60 for tokens in self.tokens)


TestRetry = RetryMachine.TestCase
