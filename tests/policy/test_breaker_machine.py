"""The breaker against a model that keeps every call and counts anew each time."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from antiphon.policy.breaker import Breaker, BreakerSettings, Key, Outcome, Permit, Refused, Transition

SETTINGS = BreakerSettings(
    volume=4, connect_failures=3, jitter=0.0, probes=2, successes=2, ramp=8.0, stable=20.0, refusals=2
)
OUTCOMES = st.sampled_from(["success", "failure", "connect_failure", "ignored", "throttled", "misconfigured"])
MOVES = {
    ("closed", "open"),
    ("closed", "misconfigured"),
    ("open", "half_open"),
    ("misconfigured", "half_open"),
    ("half_open", "open"),
    ("half_open", "misconfigured"),
    ("half_open", "closed"),
}
FORCED = {"forced_open", "disabled"}


class Model:
    """What the breaker should be, told the simplest way: lists of what happened, and no sums."""

    def __init__(self) -> None:
        self.state = "closed"
        self.since = 0.0
        self.calls: list[tuple[float, bool]] = []
        self.connects: list[bool] = []
        self.refusals = 0
        self.good = 0
        self.openings = 0
        self.until = 0.0
        self.paused = 0.0
        self.held: set[int] = set()
        self.ramps = False

    def to(self, state: str, now: float) -> None:
        if state == self.state:
            return
        self.state, self.since = state, now
        self.calls, self.connects, self.refusals, self.good = [], [], 0, 0
        self.held = set()
        self.ramps = state == "closed"

    def admits(self, now: float, chance: float) -> bool:
        match self.state:
            case "disabled":
                return True
            case "forced_open":
                return False
            case "open" | "misconfigured":
                return now >= self.until and now >= self.paused
            case "half_open":
                return now >= self.paused and len(self.held) < SETTINGS.probes
        if now < self.paused:
            return False
        elapsed = now - self.since
        if not self.ramps or elapsed >= 8 or not self.held:
            return True
        return chance < (0.1 if elapsed < 4 else 0.3)

    def open(self, now: float) -> None:
        if self.state == "closed" and now - self.since >= SETTINGS.stable:
            self.openings = 0
        self.until = now + min(300.0, 5.0 * 2**self.openings)
        self.openings += 1
        self.to("open", now)

    def refuse(self, now: float) -> None:
        self.until = now + 300.0
        self.to("misconfigured", now)

    def record(self, outcome: str, now: float) -> None:
        if self.state == "half_open":
            self.good += outcome == "success"
            if outcome in ("failure", "connect_failure"):
                self.open(now)
            elif outcome == "misconfigured":
                self.refuse(now)
            elif self.good >= SETTINGS.successes:
                self.to("closed", now)
        elif self.state == "closed":
            self.record_call(outcome, now)

    def record_call(self, outcome: str, now: float) -> None:
        if outcome != "ignored":
            self.connects.append(outcome == "connect_failure")
        if outcome == "misconfigured":
            self.refusals += 1
            if self.refusals >= SETTINGS.refusals:
                self.refuse(now)
        if outcome not in ("success", "failure", "connect_failure"):
            return
        if outcome == "success":
            self.refusals = 0
        self.calls.append((now, outcome != "success"))
        recent = [failed for at, failed in self.calls if now // 3 - at // 3 < 10]
        in_a_row = self.connects[-SETTINGS.connect_failures :]
        if (len(in_a_row) == SETTINGS.connect_failures and all(in_a_row)) or (
            len(recent) >= SETTINGS.volume and sum(recent) / len(recent) >= SETTINGS.ratio
        ):
            self.open(now)


class BreakerMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.chance = 0.5
        self.told: list[Transition] = []
        self.breaker = Breaker(Key("u", "m"), SETTINGS, random=lambda: self.chance, on_transition=self.told.append)
        self.model = Model()
        self.permits: dict[int, Permit] = {}
        self.next = 0

    @rule(seconds=st.sampled_from([0.0, 0.5, 1.0, 3.0, 5.0, 10.0, 31.0, 300.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(chance=st.sampled_from([0.0, 0.2, 0.5, 0.9]))
    def admit(self, chance: float) -> None:
        self.chance = chance
        expected = self.model.admits(self.now, chance)
        answer = self.breaker.admit(self.now)
        assert isinstance(answer, Permit) == expected, answer
        if isinstance(answer, Permit):
            if self.model.state in ("open", "misconfigured"):
                self.model.to("half_open", self.now)
            self.permits[self.next] = answer
            self.model.held.add(self.next)
            self.next += 1
        else:
            assert isinstance(answer, Refused)
            assert answer.retry_after > 0

    @precondition(lambda self: self.permits)
    @rule(data=st.data(), outcome=OUTCOMES, wait=st.sampled_from([None, 0.0, 4.0]))
    def record(self, data: st.DataObject, outcome: Outcome, wait: float | None) -> None:
        number = data.draw(st.sampled_from(sorted(self.permits)))
        self.breaker.record(self.permits.pop(number), outcome, self.now, wait)
        if outcome == "throttled" and wait is not None:
            self.model.paused = max(self.model.paused, self.now + wait)
        if number in self.model.held:
            self.model.held.discard(number)
            self.model.record(outcome, self.now)

    @rule(times=st.integers(1, 5), outcome=OUTCOMES)
    def calls(self, times: int, outcome: Outcome) -> None:
        """Several quick calls, so that states other than closed are often reached."""
        for _ in range(times):
            before = set(self.permits)
            self.admit(0.0)
            for number in set(self.permits) - before:
                self.breaker.record(self.permits.pop(number), outcome, self.now)
                self.model.held.discard(number)
                self.model.record(outcome, self.now)

    @rule(word=st.sampled_from(["force_open", "disable"]))
    @precondition(lambda self: self.next >= 30)
    def force(self, word: str) -> None:
        getattr(self.breaker, word)(self.now)
        self.model.to({"force_open": "forced_open", "disable": "disabled"}[word], self.now)

    @invariant()
    def agrees(self) -> None:
        assert self.breaker.state == self.model.state

    @invariant()
    def every_change_is_told_and_allowed(self) -> None:
        state = "closed"
        for step in self.told:
            assert step.old == state
            assert step.cause == "forced" or (step.old, step.new) in MOVES
            assert step.cause == "forced" or step.new not in FORCED
            state = step.new
        assert state == self.breaker.state


TestBreaker = BreakerMachine.TestCase
