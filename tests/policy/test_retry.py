"""Retries, rule by rule: time and chance are arguments."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest

from antiphon.policy.retry import (
    Continue,
    Elsewhere,
    Failure,
    GiveUp,
    RetryBudget,
    RetrySettings,
    Traffic,
    Verdict,
    Wait,
    decide,
    no_room,
    outward,
)
from antiphon.wire import errors
from antiphon.wire.errors import APIError

SETTINGS = RetrySettings()
DOWN = errors.Unavailable("down")
LIMITED = errors.RateLimited("slow down")


def limited(seconds: float) -> APIError:
    return errors.RateLimited("slow down", retry_after=seconds)


def verdict(
    error: APIError = DOWN,
    *,
    here: RetryBudget | None = None,
    elsewhere: RetryBudget | None = None,
    chance: float = 0.5,
    settings: RetrySettings = SETTINGS,
    **how: Any,
) -> Verdict:
    failure = Failure(error=error, **{"attempts": 1, "now": 100.0, **how})
    budget = RetryBudget(settings) if here is None else here
    return decide(failure, settings, here=budget, elsewhere=elsewhere, random=lambda: chance)


def seconds(given: Verdict) -> float:
    assert isinstance(given, Wait | Continue), given
    return given.seconds


def spent(settings: RetrySettings = SETTINGS) -> RetryBudget:
    budget = RetryBudget(settings)
    budget.tokens = 0
    return budget


# 9


@pytest.mark.parametrize(
    "error",
    [
        DOWN,
        errors.Unavailable("", code="upstream_unreachable"),
        errors.Unavailable("", code="upstream_cut"),
        errors.UpstreamTimeout(""),
        errors.UpstreamMalformed(""),
        errors.ServerOverloaded(""),
        LIMITED,
    ],
    ids=repr,
)
def test_rule_9_the_upstreams_faults_are_retried(error):
    assert isinstance(verdict(error), Wait)


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidRequest(""),
        errors.NotFound(""),
        errors.Unprocessable(""),
        errors.InvalidRequest("", code="context_length_exceeded"),
        errors.ServerError("", should_retry=False),
    ],
    ids=repr,
)
def test_rule_9_what_would_fail_again_is_not_retried_anywhere(error):
    assert verdict(error, elsewhere=RetryBudget(SETTINGS)) == GiveUp("not_retryable")


@pytest.mark.parametrize(
    "error",
    [errors.UpstreamMalformed("", code="upstream_key_refused", should_retry=False), errors.QuotaExceeded("")],
    ids=repr,
)
def test_rule_9_a_refused_key_is_retried_only_where_the_key_is_another(error):
    assert verdict(error) == GiveUp("not_retryable")
    assert isinstance(verdict(error, elsewhere=RetryBudget(SETTINGS)), Elsewhere)


def test_rule_9_not_after_output():
    assert verdict(has_output=True, elsewhere=RetryBudget(SETTINGS)) == GiveUp("output")


def test_rule_9_not_without_room_for_a_first_token():
    assert seconds(verdict(deadline=102.05, first_token=2.0)) == pytest.approx(0.05)
    assert verdict(deadline=102.04, first_token=2.0) == GiveUp("deadline")


def test_rule_9_another_upstream_is_asked_where_there_is_no_time_to_wait():
    given = verdict(limited(2.0), deadline=101.5, elsewhere=RetryBudget(SETTINGS))
    assert isinstance(given, Elsewhere)


def test_rule_9_not_without_a_token():
    assert verdict(here=spent()) == GiveUp("budget", should_retry=False)
    assert verdict(here=spent(), elsewhere=spent()) == GiveUp("budget", should_retry=False)


def test_rule_9_the_upstream_that_a_retry_goes_to_pays_for_it():
    here, elsewhere = RetryBudget(SETTINGS), RetryBudget(SETTINGS)
    assert isinstance(verdict(here=here, elsewhere=elsewhere), Elsewhere)
    assert (here.tokens, elsewhere.tokens) == (500, 486)
    assert isinstance(verdict(here=spent(), elsewhere=elsewhere), Elsewhere)
    assert isinstance(verdict(here=here, elsewhere=spent()), Wait)


def test_rule_9_what_is_refused_takes_nothing_out_of_the_budget():
    here, elsewhere = RetryBudget(SETTINGS), RetryBudget(SETTINGS)
    for how in (
        {"has_output": True},
        {"attempts": 3},
        {"deadline": 100.0, "first_token": 1.0},
    ):
        verdict(here=here, elsewhere=elsewhere, **how)
    assert (here.tokens, elsewhere.tokens, here.traffic.calls) == (500, 500, 0)


# 10


def test_rule_10_after_output_an_upstream_that_can_resume_is_continued_and_no_other_is_asked():
    given = verdict(has_output=True, is_resumable=True, elsewhere=RetryBudget(SETTINGS))
    assert isinstance(given, Continue)
    assert verdict(has_output=True, is_resumable=True, here=spent(), elsewhere=RetryBudget(SETTINGS)) == GiveUp(
        "budget", should_retry=False
    )


def test_rule_10_before_output_too_for_what_it_has_done_need_not_be_done_again():
    elsewhere = RetryBudget(SETTINGS)
    assert isinstance(verdict(is_resumable=True, elsewhere=elsewhere), Continue)
    assert verdict(is_resumable=True, here=spent(), elsewhere=elsewhere) == GiveUp("budget", should_retry=False)


def test_rule_10_to_continue_has_waits_and_an_end_as_a_retry_has():
    assert seconds(verdict(is_resumable=True, attempts=5)) == pytest.approx(0.8)
    assert verdict(is_resumable=True, attempts=6) == GiveUp("attempts", should_retry=False)
    assert verdict(errors.NotFound(""), is_resumable=True) == GiveUp("not_retryable")
    assert verdict(limited(60.0), is_resumable=True) == GiveUp("retry_after")


# 11


def test_rule_11_three_attempts():
    assert isinstance(verdict(attempts=2), Wait)
    assert verdict(attempts=3) == GiveUp("attempts", should_retry=False)
    assert verdict(attempts=3, elsewhere=RetryBudget(SETTINGS)) == GiveUp("attempts", should_retry=False)


@pytest.mark.parametrize(("error", "base"), [(DOWN, 0.1), (LIMITED, 1.0)])
def test_rule_11_full_jitter_up_to_a_doubling_wait(error, base):
    patient = msgspec.structs.replace(SETTINGS, attempts=20)
    for attempts in range(1, 19):
        most = min(8.0, base * 2 ** (attempts - 1))
        for chance in (0.0, 0.25, 0.999):
            given = verdict(error, attempts=attempts, chance=chance, settings=patient)
            assert seconds(given) == pytest.approx(chance * most)


def test_rule_11_a_retry_after_of_two_seconds_is_waited_for():
    assert seconds(verdict(limited(2.0), chance=0.0)) == 2.0
    assert seconds(verdict(limited(0.5), chance=0.9)) == pytest.approx(0.9)


def test_rule_11_and_rather_than_asking_elsewhere():
    assert isinstance(verdict(limited(2.0), elsewhere=RetryBudget(SETTINGS)), Wait)


def test_rule_11_as_long_as_attempts_are_left_for_those_who_were_not_asked():
    asked = {"elsewhere": RetryBudget(SETTINGS), "others": 1}
    assert isinstance(verdict(limited(1.0), attempts=1, **asked), Wait)
    assert isinstance(verdict(limited(1.0), attempts=2, **asked), Elsewhere)
    assert isinstance(verdict(limited(1.0), attempts=2, elsewhere=spent(), others=1), Wait)


def test_rule_11_a_longer_one_leads_to_the_next_backend():
    assert isinstance(verdict(limited(2.1), elsewhere=RetryBudget(SETTINGS)), Elsewhere)


def test_rule_11_or_the_429_is_passed_on_as_it_is():
    assert verdict(limited(2.1)) == GiveUp("retry_after")
    assert verdict(limited(1.0), attempts=3) == GiveUp("attempts")


def test_rule_11_a_fault_leads_to_the_next_backend_without_any_wait():
    assert isinstance(verdict(elsewhere=RetryBudget(SETTINGS)), Elsewhere)


def test_rule_11_a_503_says_when_to_come_back_as_a_429_does():
    assert seconds(verdict(errors.Unavailable("", retry_after=1.5))) == 1.5
    assert verdict(errors.Unavailable("", retry_after=15.0)) == GiveUp("retry_after")


def test_rule_11_patience_is_a_setting():
    assert seconds(verdict(limited(9.0), settings=RetrySettings(patience=10.0))) == 9.0


def test_rule_11_hints_to_clients_are_at_most_two_minutes_unless_they_should_give_up():
    assert (outward(3.0), outward(300.0), outward(300.0, give_up=True)) == (3.0, 120.0, 300.0)


# 12


def test_rule_12_a_retry_costs_tokens_and_a_clean_success_brings_one_back():
    budget = RetryBudget(SETTINGS)
    transient, throttled = budget.retry("transient"), budget.retry("throttled")
    assert transient is not None
    assert throttled is not None
    assert budget.tokens == 500 - 14 - 5
    budget.end(transient, success=False)
    budget.end(throttled, success=False)
    budget.end(budget.begin(), success=False)
    assert budget.tokens == 481
    budget.end(budget.begin(), success=True)
    assert budget.tokens == 482


def test_rule_12_a_retry_that_succeeds_brings_back_what_it_cost():
    budget = RetryBudget(SETTINGS)
    for _ in range(1000):
        place = budget.retry("transient")
        assert place is not None
        budget.end(place, success=True)
    assert budget.tokens == 500


def test_rule_12_a_retry_that_was_not_made_costs_nothing():
    budget = RetryBudget(SETTINGS)
    place = budget.retry("transient")
    assert place is not None
    budget.cancel(place)
    budget.cancel(budget.begin())
    assert (budget.tokens, budget.traffic.calls, budget.traffic.retries) == (500, 0, 0)


def test_rule_12_the_bucket_is_never_fuller_than_full():
    budget = RetryBudget(SETTINGS)
    budget.end(budget.begin(), success=True)
    assert budget.tokens == 500


def test_rule_12_three_retries_at_a_time_are_always_allowed():
    budget = RetryBudget(SETTINGS)
    held = [budget.retry("transient") for _ in range(4)]
    assert [place is not None for place in held] == [True, True, True, False]
    assert held[0] is not None
    budget.end(held[0], success=False)
    assert budget.retry("transient") is not None


def test_rule_12_with_much_under_way_a_fifth_of_it():
    budget = RetryBudget(RetrySettings(bucket=10**6))
    for _ in range(100):
        budget.begin()
    granted = 0
    while budget.retry("transient"):
        granted += 1
    assert granted == 24  # the next would be the 25th, beside 124 calls
    assert budget.tokens == 10**6 - 24 * 14


def test_rule_12_upstreams_that_stand_in_for_each_other_share_the_traffic_and_not_the_tokens():
    traffic = Traffic()
    busy, spare = RetryBudget(SETTINGS, traffic), RetryBudget(SETTINGS, traffic)
    for _ in range(100):
        busy.begin()
    for _ in range(20):
        assert spare.retry("transient")
    assert (busy.tokens, spare.tokens) == (500, 220)


def test_rule_12_a_place_is_given_back_once_and_where_it_is_from():
    budget, other = RetryBudget(SETTINGS), RetryBudget(SETTINGS)
    place = budget.begin()
    with pytest.raises(RuntimeError):
        other.end(place, success=True)
    budget.end(place, success=True)
    with pytest.raises(RuntimeError):
        budget.cancel(place)


def outage(upstreams: int, seconds: int, per_second: int) -> tuple[list[float], list[float], float]:
    """Requests against upstreams that all fail: when each came, when each attempt was made, when tokens ran out.

    Waits of at most a second are made part of the moment at which the request came.
    """
    random = Random(5)
    traffic = Traffic()
    budgets = [RetryBudget(SETTINGS, traffic) for _ in range(upstreams)]
    requests: list[float] = []
    attempts: list[float] = []
    spent_at = float("inf")
    for tick in range(seconds * per_second):
        now = tick / per_second
        requests.append(now)
        at, made = 0, 1
        place = budgets[0].begin()
        while True:
            attempts.append(now)
            place.budget.end(place, success=False)
            following = budgets[at + 1] if at + 1 < upstreams else None
            failure = Failure(error=DOWN, attempts=made, now=now)
            given = decide(failure, SETTINGS, here=budgets[at], elsewhere=following, random=random.random)
            if isinstance(given, GiveUp):
                break
            place, made = given.place, made + 1
            at += isinstance(given, Elsewhere)
        if all(budget.tokens < 14 for budget in budgets):
            spent_at = min(spent_at, now)
    return requests, attempts, spent_at


@pytest.mark.parametrize("upstreams", [1, 3])
def test_rule_12_in_a_total_outage_attempts_stay_below_1_2_times_the_requests(upstreams):
    requests, attempts, spent_at = outage(upstreams, seconds=180, per_second=10)
    assert len(attempts) > len(requests)
    assert spent_at < 60
    for start in range(int(spent_at) + 1, 121):
        asked = sum(start <= at < start + 60 for at in requests)
        made = sum(start <= at < start + 60 for at in attempts)
        assert made <= 1.2 * asked


def test_rule_12_an_outage_with_a_second_upstream_that_is_well_never_runs_out():
    traffic = Traffic()
    bad, well = RetryBudget(SETTINGS, traffic), RetryBudget(SETTINGS, traffic)
    for _ in range(1000):
        bad.end(bad.begin(), success=False)
        given = verdict(here=bad, elsewhere=well)
        assert isinstance(given, Elsewhere)
        well.end(given.place, success=True)


# 13


@pytest.mark.parametrize("error", [DOWN, LIMITED], ids=repr)
def test_rule_13_when_the_budget_is_spent_the_client_is_told_not_to_retry(error):
    assert verdict(error, here=spent()) == GiveUp("budget", should_retry=False)


def test_rule_13_one_layer_retries():
    assert verdict(attempts=3) == GiveUp("attempts", should_retry=False)
    assert verdict(limited(60.0)) == GiveUp("retry_after", should_retry=None)


def test_rule_13_a_429_without_retry_after_was_repeated_by_whoever_does_that():
    assert verdict(LIMITED, attempts=3) == GiveUp("attempts", should_retry=False)
    assert verdict(limited(1.0), attempts=3) == GiveUp("attempts", should_retry=None)
    assert no_room(LIMITED) == GiveUp("no_room", should_retry=False)


def test_rule_13_and_when_nobody_who_could_be_asked_has_room():
    assert no_room(DOWN) == GiveUp("no_room", should_retry=False)
    assert no_room(limited(60.0)) == GiveUp("no_room", should_retry=None)
    assert no_room(errors.QuotaExceeded("")) == GiveUp("no_room", should_retry=False)


# 14


def test_rule_14_no_wait_goes_beyond_the_deadline():
    random = Random(3)
    for _ in range(2000):
        error = random.choice([DOWN, LIMITED, limited(random.random() * 3)])
        deadline = 100.0 + random.random() * 3
        room = random.random() * 2
        given = verdict(
            error, attempts=random.choice([1, 2]), deadline=deadline, first_token=room, chance=random.random()
        )
        if isinstance(given, Wait):
            assert 100.0 + given.seconds + room <= deadline
        else:
            assert isinstance(given, GiveUp)


def test_rule_14_without_a_deadline_there_is_always_time():
    assert isinstance(verdict(first_token=1e9), Wait)
