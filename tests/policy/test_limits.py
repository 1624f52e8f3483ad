"""Requests and tokens, a minute and a day."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.policy.limits import Grant, Limits, LimitSettings, Refused, duration, message


def limits(**settings: int) -> Limits:
    return Limits(LimitSettings(**settings), 0.0)


def granted(found: Grant | Refused) -> Grant:
    assert isinstance(found, Grant)
    return found


def refused(found: Grant | Refused) -> Refused:
    assert isinstance(found, Refused)
    return found


def left(found: Limits, now: float) -> dict[str, int]:
    return {standing.which: standing.remaining for standing in found.standings(now)}


def test_without_limits_everything_is_granted_and_no_header_is_sent():
    free = limits()
    granted(free.reserve(0.0, 10**9))
    assert free.headers(0.0) == {}


def test_a_bucket_is_full_at_first_and_then_refilled_continuously():
    found = limits(max_requests_per_1_minute=2)
    granted(found.reserve(0.0, 0))
    granted(found.reserve(0.0, 0))
    assert refused(found.reserve(0.0, 0)).retry_after == pytest.approx(30.0)
    assert refused(found.reserve(20.0, 0)).retry_after == pytest.approx(10.0)
    granted(found.reserve(30.0, 0))


def test_what_one_limit_refuses_is_taken_from_none():
    found = limits(max_requests_per_1_minute=10, max_requests_per_1_day=10, max_tokens_per_1_minute=100)
    granted(found.reserve(0.0, 80))
    before = found.standings(0.0)
    assert refused(found.reserve(0.0, 30)).which == "tpm"
    assert found.standings(0.0) == before


def test_the_limit_that_has_room_last_is_named():
    found = limits(max_requests_per_1_minute=1, max_requests_per_1_day=24, max_tokens_per_1_minute=100)
    granted(found.reserve(0.0, 100))
    assert refused(found.reserve(0.0, 10)).which == "rpm"
    daily = Limits(LimitSettings(max_requests_per_1_minute=60, max_requests_per_1_day=1), 0.0)
    granted(daily.reserve(0.0, 1))
    assert refused(daily.reserve(0.0, 1)) == Refused(86_400.0, "rpd", 1, 1, 1)


@pytest.mark.parametrize("setting", LimitSettings.__struct_fields__)
def test_a_request_larger_than_the_whole_limit_is_never_possible(setting):
    tokens = "tokens" in setting
    found = limits(**{setting: 99 if tokens else 0})
    found.reserve(0.0, 50)
    assert refused(found.reserve(0.0, 100)).retry_after is None


def test_never_is_said_even_where_another_limit_would_only_have_to_be_waited_for():
    found = limits(max_requests_per_1_minute=1, max_tokens_per_1_minute=10)
    granted(found.reserve(0.0, 1))
    never = refused(found.reserve(0.0, 11))
    assert (never.retry_after, never.which) == (None, "tpm")


def test_what_was_reserved_too_much_comes_back():
    found = limits(max_requests_per_1_minute=10, max_tokens_per_1_minute=1000)
    grant = granted(found.reserve(0.0, 900))
    found.settle(grant, 100, 0.0)
    assert left(found, 0.0) == {"rpm": 9, "tpm": 900}


def test_the_estimates_of_requests_side_by_side_do_not_stick():
    found = limits(max_tokens_per_1_minute=3000)
    one, two = (granted(found.reserve(0.0, 1000)) for _ in range(2))
    found.settle(two, 100, 0.0)
    found.settle(one, 100, 0.0)
    assert left(found, 0.0) == {"tpm": 2800}


def test_what_has_been_refilled_since_does_not_come_back_twice():
    found = limits(max_tokens_per_1_minute=600)
    long = granted(found.reserve(0.0, 600))
    granted(found.reserve(60.0, 500))
    found.settle(long, 0, 60.0)
    assert left(found, 60.0) == {"tpm": 100}


def test_tokens_above_the_reservation_are_taken_and_may_overdraw():
    found = limits(max_tokens_per_1_minute=600)
    found.settle(granted(found.reserve(0.0, 500)), 900, 0.0)
    assert left(found, 0.0) == {"tpm": 0}
    assert refused(found.reserve(0.0, 10)).retry_after == pytest.approx(31.0)


def test_a_released_request_was_never_made():
    found = limits(max_requests_per_1_minute=1, max_requests_per_1_day=1, max_tokens_per_1_minute=10)
    found.release(granted(found.reserve(0.0, 10)), 0.0)
    assert left(found, 0.0) == {"rpm": 1, "rpd": 1, "tpm": 10}


def test_a_grant_is_given_back_once():
    found = limits(max_tokens_per_1_minute=10)
    grant = granted(found.reserve(0.0, 1))
    found.settle(grant, 1, 0.0)
    with pytest.raises(RuntimeError, match="once"):
        found.release(grant, 0.0)


def test_a_grant_of_other_limits_is_not_taken_for_an_own_one():
    found, other = limits(max_tokens_per_1_minute=10), limits(max_tokens_per_1_minute=10)
    own, foreign = granted(found.reserve(0.0, 1)), granted(other.reserve(0.0, 1))
    with pytest.raises(RuntimeError):
        found.settle(foreign, 1, 0.0)
    found.settle(own, 1, 0.0)


def test_other_limits_keep_what_is_used_and_what_runs():
    found = limits(max_tokens_per_1_minute=600)
    grant = granted(found.reserve(0.0, 500))
    found.change(
        LimitSettings(max_tokens_per_1_minute=1200, max_tokens_per_1_day=10_000, max_requests_per_1_day=5), 0.0
    )
    assert left(found, 0.0) == {"rpd": 4, "tpm": 700, "tpd": 9500}
    found.settle(grant, 100, 0.0)
    assert left(found, 0.0) == {"rpd": 4, "tpm": 1100, "tpd": 9900}


def test_a_limit_that_goes_and_comes_back_still_holds_what_runs():
    found = limits(max_tokens_per_1_minute=600)
    granted(found.reserve(0.0, 500))
    found.change(LimitSettings(), 0.0)
    granted(found.reserve(0.0, 50))
    found.change(LimitSettings(max_tokens_per_1_minute=600), 0.0)
    assert left(found, 0.0) == {"tpm": 50}


def test_a_limit_below_what_is_used_refuses_until_there_is_room_again():
    found = limits(max_tokens_per_1_minute=600)
    granted(found.reserve(0.0, 600))
    found.change(LimitSettings(max_tokens_per_1_minute=60), 0.0)
    assert refused(found.reserve(0.0, 60)).retry_after == pytest.approx(600.0)
    found.change(LimitSettings(max_tokens_per_1_minute=0), 0.0)
    assert refused(found.reserve(1e6, 0)).retry_after is None
    assert found.headers(1e6)["x-ratelimit-reset-tokens"] == "0s"


def test_what_was_used_before_a_restart_counts():
    found = Limits(LimitSettings(max_requests_per_1_day=100), 0.0, used={"rpd": 99})
    granted(found.reserve(0.0, 1))
    refused(found.reserve(0.0, 1))


def test_a_clock_that_goes_back_stands_still():
    found = limits(max_requests_per_1_minute=1)
    granted(found.reserve(100.0, 0))
    assert refused(found.reserve(0.0, 0)).retry_after == pytest.approx(60.0)
    assert refused(found.reserve(130.0, 0)).retry_after == pytest.approx(30.0)


def test_the_six_headers():
    found = limits(max_requests_per_1_minute=60, max_tokens_per_1_minute=6000)
    granted(found.reserve(0.0, 3000))
    assert found.headers(0.0) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "3000",
        "x-ratelimit-reset-tokens": "30s",
    }


def test_the_headers_tell_the_limit_that_has_least_left():
    found = limits(max_requests_per_1_minute=60, max_requests_per_1_day=200)
    assert found.headers(0.0)["x-ratelimit-limit-requests"] == "60"
    daily = Limits(LimitSettings(max_requests_per_1_minute=60, max_requests_per_1_day=200), 0.0, used={"rpd": 190})
    assert daily.headers(0.0) == {
        "x-ratelimit-limit-requests": "200",
        "x-ratelimit-remaining-requests": "10",
        "x-ratelimit-reset-requests": "22h48m0s",
    }


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0s"),
        (0.0004, "1ms"),
        (0.12, "120ms"),
        (0.9999, "1s"),
        (1.0, "1s"),
        (1.2, "1.2s"),
        (8.64, "8.64s"),
        (59.9999, "1m0s"),
        (90.951, "1m30.951s"),
        (360.0, "6m0s"),
        (432.0, "7m12s"),
        (3723.0, "1h2m3s"),
        (3600.0, "1h0m0s"),
        (172_800.0, "48h0m0s"),
    ],
)
def test_times_are_written_as_openai_writes_them(seconds, written):
    assert duration(seconds) == written


_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@given(st.floats(0, 1e6))
def test_a_written_time_is_never_too_short_and_at_most_a_millisecond_too_long(seconds):
    pieces = re.findall(r"([\d.]+)(ms|[hms])", duration(seconds))
    assert "".join(number + unit for number, unit in pieces) == duration(seconds)
    read = sum(float(number) * _UNITS[unit] for number, unit in pieces)
    assert -2e-6 <= read - seconds <= 0.001 + 1e-6


def test_a_refusal_says_which_limit_and_when_to_come_again():
    found = limits(max_tokens_per_1_minute=30_000)
    granted(found.reserve(0.0, 29_100))
    assert message(refused(found.reserve(0.0, 1500)), "gpt-5", "proj_1") == (
        "Rate limit reached for gpt-5 in project proj_1 on tokens per min (TPM): "
        "Limit 30000, Used 29100, Requested 1500. Please try again in 1.2s."
    )


def test_a_refusal_for_good_says_what_to_do():
    never = refused(limits(max_tokens_per_1_day=100).reserve(0.0, 101))
    assert message(never, "m", "p") == (
        "Request too large for m in project p on tokens per day (TPD): Limit 100, Requested 101. "
        "Send less input, or ask for less output with max_output_tokens."
    )
    none = refused(limits(max_requests_per_1_minute=0).reserve(0.0, 1))
    assert message(none, "m", "p") == ("No requests are allowed for m in project p on requests per min (RPM): Limit 0.")
