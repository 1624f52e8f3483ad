"""Hedging, rule 15: when a second call goes beside a slow one, and how many there may be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.policy.hedge import HedgeSettings, Hedging


def hedging(times: list[float], **changed: float) -> Hedging:
    one = Hedging(HedgeSettings(**changed))
    for seconds in times:
        one.observe(seconds, 0.0)
    return one


HUNDRED = [number / 10 for number in range(1, 101)]


def test_rule_15_a_second_call_waits_for_the_p95_of_the_time_to_first_token():
    assert hedging(HUNDRED).call(0.0) == 9.5
    assert hedging(HUNDRED[::-1]).call(0.0) == 9.5
    assert hedging(HUNDRED, percentile=0.5).call(0.0) == 5.0
    assert hedging(HUNDRED, percentile=1.0).call(0.0) == 10.0


def test_rule_15_no_second_call_before_enough_is_known():
    assert hedging([1.0] * 49).call(0.0) is None
    assert hedging([1.0] * 50).call(0.0) == 1.0


def test_rule_15_at_most_five_percent_extra_calls():
    one = hedging(HUNDRED)
    extra = 0
    for calls in range(1, 2001):
        one.call(0.0)
        extra += one.take()
        assert extra <= 0.05 * calls + 1e-9
    assert extra >= 99


def test_rule_15_a_quiet_time_entitles_to_ten_at_once_and_no_more():
    one = hedging(HUNDRED)
    for _ in range(10_000):
        one.call(0.0)
    assert [one.take() for _ in range(11)] == [True] * 10 + [False]


def test_rule_15_the_newest_five_hundred_times_count():
    one = hedging([9.0] * 500 + [1.0] * 500)
    assert one.call(0.0) == 1.0


def test_rule_15_times_of_long_ago_are_forgotten():
    one = hedging([9.0] * 50)
    assert one.call(600.0) == 9.0
    assert one.call(600.1) is None
    for _ in range(50):
        one.observe(1.0, 601.0)
    assert one.call(601.0) == 1.0


@given(
    st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.9, 0.95, 1.0]),
)
def test_rule_15_the_delay_is_one_of_the_remembered_times_with_the_right_rank(seen, percentile):
    one = Hedging(HedgeSettings(percentile=percentile, least=1, most=20, age=100.0))
    now = 0.0
    times: list[tuple[float, float]] = []
    for passed, seconds in seen:
        now += passed
        one.observe(seconds, now)
        times = [*times, (now, seconds)][-20:]
    known = [seconds for at, seconds in times if at >= now - 100.0]
    delay = one.call(now)
    assert delay in known
    assert sum(seconds <= delay for seconds in known) >= percentile * len(known) - 1e-9
    assert sum(seconds < delay for seconds in known) < percentile * len(known)


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_the_share_is_a_setting(share):
    one = hedging(HUNDRED, share=share)
    extra = 0
    for _ in range(1000):
        one.call(0.0)
        extra += one.take()
    assert extra == pytest.approx(1000 * share, abs=1)
