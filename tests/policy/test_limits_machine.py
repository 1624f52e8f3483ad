"""Limits against a ledger that is played again from the start, with what was really used in the place of estimates."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from antiphon.policy.limits import Grant, Limits, LimitSettings, Refused

PERIODS = {"rpm": 60.0, "rpd": 86_400.0, "tpm": 60.0, "tpd": 86_400.0}


class LimitsMachine(RuleBasedStateMachine):
    @initialize(rpm=st.integers(1, 6), rpd=st.integers(3, 40), tpm=st.integers(1, 500), tpd=st.integers(100, 3000))
    def begin(self, rpm: int, rpd: int, tpm: int, tpd: int) -> None:
        self.now = 0.0
        self.most = {"rpm": rpm, "rpd": rpd, "tpm": tpm, "tpd": tpd}
        self.limits = Limits(
            LimitSettings(
                max_requests_per_1_minute=rpm,
                max_requests_per_1_day=rpd,
                max_tokens_per_1_minute=tpm,
                max_tokens_per_1_day=tpd,
            ),
            0.0,
        )
        self.running: list[tuple[Grant, int]] = []
        self.charges: list[tuple[float, int, int]] = []  # when, requests, tokens

    def level(self, which: str, now: float) -> float:
        """What is missing from a bucket, by all that was taken from it."""
        level, at = 0.0, 0.0
        for when, requests, tokens in [*self.charges, (now, 0, 0)]:
            level = max(0.0, level - (when - at) * self.most[which] / PERIODS[which])
            level += requests if which.startswith("r") else tokens
            at = when
        return level

    def fits(self, which: str, now: float, tokens: int) -> bool:
        amount = 1 if which.startswith("r") else tokens
        return self.level(which, now) + amount <= self.most[which] + 0.011

    @rule(seconds=st.sampled_from([0.25, 1.0, 7.0, 30.0, 61.0, 5000.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(tokens=st.integers(0, 600))
    def reserve(self, tokens: int) -> None:
        match self.limits.reserve(self.now, tokens):
            case Grant() as grant:
                assert all(self.fits(which, self.now, tokens) for which in self.most)
                self.running.append((grant, len(self.charges)))
                self.charges.append((self.now, 1, tokens))
            case Refused(retry_after=None, which=which):
                assert tokens > self.most[which]
            case Refused(retry_after=retry_after, which=which):
                assert all(self.fits(each, self.now + retry_after, tokens) for each in self.most)
                amount = 1 if which.startswith("r") else tokens
                assert self.level(which, self.now) + amount > self.most[which]

    @rule(tokens=st.integers(1, 400))
    def who_waits_as_long_as_told_is_let_in(self, tokens: int) -> None:
        found = self.limits.reserve(self.now, tokens)
        if isinstance(found, Refused) and found.retry_after is not None:
            self.now += found.retry_after
            found = self.limits.reserve(self.now, tokens)
            assert isinstance(found, Grant)
        if isinstance(found, Grant):
            self.running.append((found, len(self.charges)))
            self.charges.append((self.now, 1, tokens))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), part=st.floats(0, 1))
    def settle(self, data: st.DataObject, part: float) -> None:
        grant, place = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        actual = int(grant.tokens * part)
        self.limits.settle(grant, actual, self.now)
        when, requests, _ = self.charges[place]
        self.charges[place] = (when, requests, actual)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), more=st.integers(1, 300))
    def settle_above_the_estimate(self, data: st.DataObject, more: int) -> None:
        grant, _ = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.limits.settle(grant, grant.tokens + more, self.now)
        self.charges.append((self.now, 0, more))

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        grant, place = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.limits.release(grant, self.now)
        self.charges[place] = (self.charges[place][0], 0, 0)

    @invariant()
    def all_stands_as_if_what_was_used_had_been_reserved(self) -> None:
        for standing in self.limits.standings(self.now):
            level = self.level(standing.which, self.now)
            rate = self.most[standing.which] / PERIODS[standing.which]
            assert standing.reset * rate == pytest.approx(level, abs=1e-6)
            assert 0 <= standing.remaining <= standing.limit

    def teardown(self) -> None:
        for grant, _ in self.running:
            self.limits.release(grant, self.now)
        assert not any(standing.used for standing in self.limits.standings(self.now + 10 * 86_400.0))


TestLimits = LimitsMachine.TestCase
