"""The breaker, rule by rule: time and chance are arguments."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from antiphon.policy.breaker import (
    FORCED_HINT,
    HINT,
    Breaker,
    BreakerSettings,
    Key,
    Outcome,
    Permit,
    Refused,
    Transition,
    outcome_of,
    overruled,
)
from antiphon.wire import errors

KEY = Key("https://one.example/v1", "m")


def middle() -> float:
    """Chance that changes no length: the middle of the jitter."""
    return 0.5


def never() -> float:
    """Chance that admits nobody while admission ramps up."""
    return 0.999


def breaker(
    random: Callable[[], float] = middle,
    told: Callable[[Transition], object] | None = None,
    key: Key = KEY,
    **changed: Any,
) -> Breaker:
    return Breaker(key, BreakerSettings(**changed), random=random, on_transition=told)


def admitted(one: Breaker, now: float) -> Permit:
    permit = one.admit(now)
    assert isinstance(permit, Permit), permit
    return permit


def refused(one: Breaker, now: float) -> Refused:
    refusal = one.admit(now)
    assert isinstance(refusal, Refused)
    return refusal


def call(one: Breaker, outcome: Outcome, now: float, times: int = 1, retry_after: float | None = None) -> None:
    for _ in range(times):
        one.record(admitted(one, now), outcome, now, retry_after)


def opened(now: float = 0.0, **changed: Any) -> Breaker:
    """A breaker that has just opened for five seconds."""
    one = breaker(**changed)
    call(one, "connect_failure", now, 5)
    assert one.state == "open"
    return one


def closed_again(now: float = 0.0, **changed: Any) -> Breaker:
    """A breaker that was open at `now`, and has closed five seconds later."""
    one = opened(now, **changed)
    call(one, "success", now + 5, 3)
    assert one.state == "closed"
    return one


# 1


def test_rule_1_a_breaker_stands_before_one_upstream_model_and_operation():
    told: list[Transition] = []
    keys = [Key("a", "m"), Key("b", "m"), Key("a", "n"), Key("a", "m", "embeddings")]
    one, *others = [breaker(told=told.append, key=key) for key in keys]
    call(one, "connect_failure", 1.0, 5)
    assert one.state == "open"
    assert {other.state for other in others} == {"closed"}
    assert [transition.key for transition in told] == [keys[0]]
    assert len(set(keys)) == 4


# 2


def test_rule_2_half_of_twenty_calls_failing_opens_it():
    one = breaker()
    call(one, "success", 0.0, 10)
    call(one, "failure", 1.0, 9)
    assert one.state == "closed"
    call(one, "failure", 1.0)
    assert one.state == "open"


def test_rule_2_below_twenty_calls_no_ratio_opens_it():
    one = breaker()
    call(one, "failure", 0.0, 19)
    assert one.state == "closed"


def test_rule_2_a_success_that_makes_the_volume_full_opens_it_too():
    one = breaker()
    call(one, "failure", 0.0, 19)
    call(one, "success", 0.0)
    assert one.state == "open"


def test_rule_2_what_is_older_than_the_window_is_forgotten():
    one = breaker()
    call(one, "failure", 0.0, 19)
    call(one, "failure", 30.0, 19)
    assert one.state == "closed"
    call(one, "failure", 56.9)
    assert one.state == "open"


def test_rule_2_the_window_moves_by_buckets():
    one = breaker()
    for second in range(29):
        call(one, "failure", float(second) * 3.1)  # ten buckets hold at most ten of them
    assert one.state == "closed"


def test_rule_2_five_connect_failures_in_a_row_open_it():
    one = breaker()
    call(one, "connect_failure", 0.0, 4)
    call(one, "success", 0.0)
    call(one, "connect_failure", 0.0, 4)
    assert one.state == "closed"
    call(one, "connect_failure", 0.0)
    assert one.state == "open"


def test_rule_2_an_answer_of_any_kind_shows_that_it_can_be_reached():
    for outcome in ("failure", "throttled", "misconfigured"):
        one = breaker()
        call(one, "connect_failure", 0.0, 4)
        call(one, outcome, 0.0)
        call(one, "connect_failure", 0.0)
        assert one.state == "closed", outcome


def test_rule_2_slow_first_tokens_open_it_where_that_is_asked_for():
    one, other = breaker(slow_after=2.0), breaker()
    for each in (one, other):
        for took in [1.0] * 4 + [2.5] * 16:
            permit = admitted(each, 0.0)
            each.first_token(permit, took, 0.0)
            each.record(permit, "success", 0.0)
    assert (one.state, other.state) == ("open", "closed")


def test_rule_2_a_first_token_in_time_is_not_slow():
    one = breaker(slow_after=2.0)
    for took in [2.0] * 5 + [2.5] * 16:  # 16 of 21 are less than 80 %
        one.first_token(admitted(one, 0.0), took, 0.0)
    assert one.state == "closed"


# 3


FAILURES = [
    errors.Unavailable("", code="upstream_cut"),
    errors.Unavailable(""),
    errors.ServerOverloaded(""),
    errors.ServerError(""),
    errors.UpstreamTimeout(""),
    errors.UpstreamTimeout("", code="upstream_stalled"),
    errors.UpstreamMalformed(""),
    errors.RequestTimeout(""),
    KeyError("a defect"),
]
IGNORED = [
    errors.InvalidRequest(""),
    errors.InvalidRequest("", code="context_length_exceeded"),
    errors.NotFound(""),
    errors.Conflict(""),
    errors.Unprocessable(""),
    errors.PayloadTooLarge(""),
    GeneratorExit(),
    KeyboardInterrupt(),
]
MISCONFIGURED = [
    errors.UpstreamMalformed("", code="upstream_key_refused"),
    errors.AuthenticationFailed(""),
    errors.PermissionDenied(""),
    errors.QuotaExceeded("", retry_after=3600.0),
]


@pytest.mark.parametrize("error", FAILURES, ids=repr)
def test_rule_3_the_upstreams_faults_are_failures(error):
    assert outcome_of(error) == "failure"


@pytest.mark.parametrize("error", IGNORED, ids=repr)
def test_rule_3_the_clients_faults_and_its_leaving_are_not_counted(error):
    assert outcome_of(error) == "ignored"


@pytest.mark.parametrize("error", MISCONFIGURED, ids=repr)
def test_rule_3_a_refused_key_is_a_matter_of_its_own(error):
    assert outcome_of(error) == "misconfigured"


def test_rule_3_the_other_ends_of_a_call():
    assert outcome_of(None) == "success"
    assert outcome_of(errors.Unavailable("", code="upstream_unreachable")) == "connect_failure"
    assert outcome_of(errors.RateLimited("")) == "throttled"


def test_rule_3_what_is_ignored_neither_opens_nor_fills_the_window():
    one = breaker()
    call(one, "ignored", 0.0, 100)
    call(one, "failure", 0.0, 19)
    assert one.state == "closed"


def test_rule_3_a_429_pauses_the_upstream_until_its_retry_after_and_is_no_failure():
    one = breaker()
    call(one, "throttled", 10.0, 1, retry_after=7.0)
    assert refused(one, 10.0) == Refused(7.0, "throttled")
    assert refused(one, 16.0) == Refused(1.0, "throttled")
    assert one.state == "closed"
    admitted(one, 17.0)


def test_rule_3_the_longer_of_two_pauses_holds():
    one = breaker()
    first, second = admitted(one, 0.0), admitted(one, 0.0)
    one.record(first, "throttled", 0.0, 20.0)
    one.record(second, "throttled", 1.0, 2.0)
    assert refused(one, 5.0) == Refused(15.0, "throttled")


def test_rule_3_a_pause_that_outlasts_the_open_time_is_the_hint():
    one = breaker()
    throttled = admitted(one, 0.0)
    call(one, "connect_failure", 0.0, 5)
    one.record(throttled, "throttled", 0.0, 60.0)
    assert refused(one, 1.0) == Refused(59.0, "open")
    assert refused(one, 5.0) == Refused(55.0, "throttled")


def test_rule_3_a_429_without_a_hint_pauses_nothing():
    one = breaker()
    call(one, "throttled", 0.0, 100)
    admitted(one, 0.0)


def test_rule_3_a_pause_is_at_most_an_hour():
    one = breaker()
    call(one, "throttled", 0.0, 1, retry_after=1e6)
    assert refused(one, 0.0) == Refused(3600.0, "throttled")


def test_rule_3_a_key_refused_three_times_is_tried_again_once_after_a_long_pause():
    told: list[Transition] = []
    one = breaker(told=told.append)
    call(one, "misconfigured", 0.0, 3)
    assert one.state == "misconfigured"
    assert refused(one, 299.0) == Refused(1.0, "misconfigured")
    call(one, "misconfigured", 300.0)
    assert one.state == "misconfigured"
    assert refused(one, 301.0) == Refused(299.0, "misconfigured")
    assert [(step.new, step.cause) for step in told] == [
        ("misconfigured", "key_refused"),
        ("half_open", "time"),
        ("misconfigured", "key_refused"),
    ]


def test_rule_3_a_403_that_a_client_can_provoke_takes_no_upstream_out():
    one = breaker()
    for _ in range(50):
        call(one, "misconfigured", 0.0, 2)
        call(one, "success", 0.0)
    assert one.state == "closed"


def test_rule_3_a_key_that_works_again_closes_it():
    one = breaker()
    call(one, "misconfigured", 0.0, 3)
    call(one, "success", 300.0, 3)
    assert one.state == "closed"


# 4


def test_rule_4_a_call_counts_when_its_stream_is_over():
    one = breaker(connect_failures=1)
    permit = admitted(one, 0.0)
    one.first_token(permit, 0.2, 0.2)
    assert one.state == "closed"
    one.record(permit, "connect_failure", 40.0)
    assert one.state == "open"


def test_rule_4_a_first_token_ends_a_row_of_connect_failures():
    one = breaker()
    permit = admitted(one, 0.0)
    call(one, "connect_failure", 0.0, 4)
    one.first_token(permit, 0.2, 0.2)
    call(one, "connect_failure", 0.0)
    assert one.state == "closed"


def test_rule_4_a_stream_that_began_before_it_opened_says_nothing_of_now():
    one = breaker()
    old = [admitted(one, 0.0) for _ in range(3)]
    call(one, "connect_failure", 0.0, 5)
    probe = admitted(one, 5.0)
    one.record(old[0], "failure", 5.0)
    assert one.state == "half_open"
    one.record(old[1], "success", 5.0)
    one.first_token(old[2], 0.1, 5.0)
    one.record(probe, "success", 5.0)
    assert one.state == "half_open"
    call(one, "success", 5.0, 1)
    assert one.state == "half_open"  # two of the three that it takes


def test_rule_4_a_permit_is_given_back_once():
    one = breaker()
    permit = admitted(one, 0.0)
    one.record(permit, "success", 0.0)
    with pytest.raises(RuntimeError):
        one.record(permit, "success", 0.0)


# 5


def open_lengths(one: Breaker, times: int, now: float = 0.0) -> list[float]:
    """How long it stays open, time after time, when each probe fails."""
    lengths = []
    call(one, "connect_failure", now, 5)
    for _ in range(times):
        wait = refused(one, now).retry_after
        lengths.append(wait)
        now += wait
        call(one, "failure", now)
    return lengths


def test_rule_5_each_time_it_is_open_twice_as_long_up_to_five_minutes():
    assert open_lengths(breaker(), 8) == pytest.approx([5, 10, 20, 40, 80, 160, 300, 300])


@pytest.mark.parametrize(("chance", "factor"), [(0.0, 0.9), (0.5, 1.0), (0.999999, 1.1)])
def test_rule_5_the_length_varies_by_ten_percent(chance, factor):
    assert open_lengths(breaker(lambda: chance), 2) == pytest.approx([5 * factor, 10 * factor], rel=1e-5)


def test_rule_5_it_stays_open_until_its_time_is_over():
    one = opened()
    assert refused(one, 4.999).reason == "open"
    admitted(one, 5.0)


def test_rule_5_after_a_stable_time_it_opens_as_if_for_the_first_time():
    one = closed_again()
    call(one, "connect_failure", 64.9, 5)
    assert refused(one, 64.9).retry_after == pytest.approx(10)
    other = closed_again()
    call(other, "connect_failure", 65.0, 5)
    assert refused(other, 65.0).retry_after == pytest.approx(5)


# 6


def test_rule_6_one_probe_at_a_time():
    one = opened()
    probe = admitted(one, 5.0)
    assert one.state == "half_open"
    assert refused(one, 5.0) == Refused(HINT, "half_open")
    one.record(probe, "success", 6.0)
    admitted(one, 6.0)


def test_rule_6_more_probes_by_configuration():
    one = opened(probes=3)
    for _ in range(3):
        admitted(one, 5.0)
    assert refused(one, 5.0).reason == "half_open"


def test_rule_6_three_successes_in_a_row_close_it():
    one = opened()
    call(one, "success", 5.0, 2)
    assert one.state == "half_open"
    call(one, "success", 5.0)
    assert one.state == "closed"


def test_rule_6_one_failure_opens_it_again_at_once():
    for outcome in ("failure", "connect_failure"):
        one = opened(probes=2)
        call(one, "success", 5.0, 2)
        other = admitted(one, 5.0)
        call(one, outcome, 5.0)
        assert one.state == "open"
        one.record(other, "success", 5.0)
        assert refused(one, 5.0) == Refused(10.0, "open")


def test_rule_6_a_cancelled_probe_frees_its_place_and_decides_nothing():
    one = opened()
    call(one, "success", 5.0, 2)
    call(one, "ignored", 5.0, 10)
    assert one.state == "half_open"
    call(one, "success", 5.0)
    assert one.state == "closed"


def test_rule_6_a_throttled_probe_frees_its_place_and_pauses():
    one = opened()
    call(one, "throttled", 5.0, 1, retry_after=3.0)
    assert refused(one, 6.0) == Refused(2.0, "throttled")
    call(one, "success", 8.0, 3)
    assert one.state == "closed"


def test_rule_6_a_slow_probe_does_not_close_what_slowness_opened():
    one = opened(slow_after=2.0)
    probe = admitted(one, 5.0)
    one.first_token(probe, 3.0, 8.0)
    assert one.state == "open"
    one.record(probe, "success", 9.0)
    assert refused(one, 8.0).retry_after == pytest.approx(10)


@pytest.mark.parametrize(("after", "share"), [(0.0, 0.1), (14.9, 0.1), (15.0, 0.3), (29.9, 0.3), (30.0, 1.0)])
def test_rule_6_after_closing_admission_ramps_up(after, share):
    one = closed_again(random=Random(7).random)
    now = one._closed_at + after
    admitted(one, now)  # something is under way, so that chance decides
    let_in = sum(isinstance(one.admit(now), Permit) for _ in range(2000))
    assert let_in / 2000 == pytest.approx(share, abs=0.03)


def test_rule_6_while_it_ramps_up_one_call_at_a_time_always_goes_through():
    one = closed_again(random=lambda: 0.5)
    one._random = never
    permit = admitted(one, 5.0)
    assert refused(one, 5.0) == Refused(HINT, "ramp")
    one.record(permit, "success", 6.0)
    admitted(one, 6.0)


def test_a_breaker_that_never_opened_does_not_ramp():
    one = breaker(never)
    for _ in range(100):
        admitted(one, 0.0)


# 7


def pool(states: str) -> list[Breaker]:
    """Breakers at time 1: `o`pen (the later the longer), `c`losed, `f`orced open, `m`isconfigured, `t`hrottled."""
    made = []
    for place, letter in enumerate(states):
        one = breaker(open_for=5.0 + place)
        match letter:
            case "o":
                call(one, "connect_failure", 0.0, 5)
            case "f":
                one.force_open(0.0)
            case "m":
                call(one, "misconfigured", 0.0, 3)
            case "t":
                call(one, "throttled", 0.0, 1, retry_after=60.0)
        made.append(one)
    return made


@pytest.mark.parametrize(
    ("states", "ignored"),
    [
        ("c", ""),
        ("o", ""),
        ("oc", ""),
        ("oo", ""),
        ("ooc", "0"),
        ("ooo", ""),
        ("oooc", "0"),
        ("oocc", ""),
        ("ooooc", "01"),
        ("cooooo", "12"),
        ("foc", "1"),
        ("ffc", ""),
        ("mmc", ""),
        ("toc", "1"),
        ("ttc", ""),
    ],
)
def test_rule_7_at_most_half_of_a_pool_is_out(states, ignored):
    breakers = pool(states)
    assert [str(breakers.index(one)) for one in overruled(breakers, 1.0)] == list(ignored)


def test_rule_7_an_overruled_breaker_admits_and_does_not_count():
    breakers = pool("ooc")
    (one,) = overruled(breakers, 1.0)
    for outcome in ("success", "failure", "misconfigured"):
        permit = one.admit(1.0, overruled=True)
        assert isinstance(permit, Permit)
        one.first_token(permit, 0.1, 1.0)
        one.record(permit, outcome, 1.0)
    assert one.state == "open"
    assert refused(one, 1.0).retry_after == pytest.approx(4)


def test_rule_7_an_operators_word_is_not_overruled():
    (one,) = pool("f")
    assert isinstance(one.admit(1.0, overruled=True), Refused)


def test_rule_7_a_single_upstream_says_how_long_it_stays_open():
    one = opened()
    assert overruled([one], 2.0) == []
    assert refused(one, 2.0) == Refused(3.0, "open")


# 8


def test_rule_8_force_open_holds_for_ever():
    one = breaker()
    one.force_open(0.0)
    assert refused(one, 1e6) == Refused(FORCED_HINT, "forced_open")


def test_rule_8_disable_admits_everything_and_judges_nothing():
    one = breaker(slow_after=1.0)
    one.disable(0.0)
    for outcome in ("failure", "connect_failure", "misconfigured", "throttled"):
        for _ in range(30):
            permit = admitted(one, 0.0)
            one.first_token(permit, 9.0, 0.0)
            one.record(permit, outcome, 0.0, 60.0)
    assert one.state == "disabled"
    admitted(one, 0.0)


def test_rule_8_every_transition_is_told_once_with_its_cause():
    told: list[Transition] = []
    one = breaker(told=told.append)
    call(one, "failure", 1.0, 20)
    call(one, "failure", 6.0)
    call(one, "success", 16.0, 3)
    one.force_open(17.0)
    one.force_open(18.0)
    one.disable(19.0)
    one.disable(20.0)
    assert [(step.old, step.new, step.at, step.cause) for step in told] == [
        ("closed", "open", 1.0, "failure_ratio"),
        ("open", "half_open", 6.0, "time"),
        ("half_open", "open", 6.0, "probe_failed"),
        ("open", "half_open", 16.0, "time"),
        ("half_open", "closed", 16.0, "probes_succeeded"),
        ("closed", "forced_open", 17.0, "forced"),
        ("forced_open", "disabled", 19.0, "forced"),
    ]


def test_rule_8_the_listener_sees_the_new_state():
    seen: list[str] = []
    one = breaker()
    one._on_transition = lambda _step: seen.append(one.state)
    call(one, "connect_failure", 0.0, 5)
    assert seen == ["open"]


# Simulated


def test_a_brown_out_of_sixty_seconds_is_recovered_from_within_two_windows():
    for seed in range(20):
        one = breaker(Random(seed).random)
        refused_late = 0
        for tick in range(180 * 20):
            now = tick / 20
            permit = one.admit(now)
            if isinstance(permit, Refused):
                refused_late += now >= 120
            else:
                one.record(permit, "failure" if now < 60 else "success", now)
        assert one.state == "closed"
        assert refused_late == 0, seed


def test_during_an_outage_only_a_few_calls_reach_the_upstream():
    one = breaker(Random(1).random)
    reached = 0
    for tick in range(60 * 50):
        permit = one.admit(tick / 50)
        if isinstance(permit, Permit):
            reached += 1
            one.record(permit, "failure", tick / 50)
    assert reached <= 20 + 4
