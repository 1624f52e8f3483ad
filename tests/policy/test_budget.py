"""Windows, thresholds, reservations, and what can be afforded."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal, localcontext
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.policy.budget import (
    Budgets,
    BudgetSettings,
    Offer,
    Payer,
    Refused,
    Reservation,
    TokenPrice,
    TooDear,
    affordable,
    crossed,
    message,
    window_of,
)

NOON = datetime(2026, 11, 21, 12, 30, tzinfo=UTC).timestamp()
DAY = 86_400.0
PAYER = Payer("key_1", "proj_1", "org_1")
D = Decimal


def budget(limit: str = "10", scope: str = "project", window: str = "daily", **settings: object) -> BudgetSettings:
    owner = {"key": "key_1", "project": "proj_1", "organization": "org_1"}[scope]
    given = {"id": f"{scope}_{window}", "scope": scope, "owner": owner, "window": window} | settings
    return BudgetSettings(limit=D(limit), **given)


def budgets(*settings: BudgetSettings) -> Budgets:
    found = Budgets()
    for each in settings:
        found.put(each, NOON)
    return found


def reserved(found: Reservation | Refused) -> Reservation:
    assert isinstance(found, Reservation)
    return found


def refused(found: Reservation | Refused) -> Refused:
    assert isinstance(found, Refused)
    return found


def take(found: Budgets, amount: str, now: float = NOON) -> Reservation | Refused:
    return found.reserve(PAYER, D(amount), now)


def spend(found: Budgets, amount: str, now: float = NOON) -> list[D]:
    return [crossing.threshold for crossing in found.settle(reserved(take(found, amount, now)), D(amount))]


def figures(found: Budgets, now: float = NOON) -> list[tuple[D, D]]:
    nothing = reserved(found.reserve(PAYER, D(0), now))
    found.release(nothing)
    return [(each.spent, each.reserved) for each in nothing.budgets]


# Windows


def at(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("kind", "now", "start", "end"),
    [
        ("hourly", at(2026, 11, 21, 12, 59, 59), at(2026, 11, 21, 12), at(2026, 11, 21, 13)),
        ("hourly", at(2026, 11, 21, 13), at(2026, 11, 21, 13), at(2026, 11, 21, 14)),
        ("daily", at(2026, 12, 31, 23, 59, 59), at(2026, 12, 31), at(2027, 1, 1)),
        ("monthly", at(2026, 12, 31, 23, 59, 59), at(2026, 12, 1), at(2027, 1, 1)),
        ("monthly", at(2028, 2, 29, 1), at(2028, 2, 1), at(2028, 3, 1)),
        ("monthly", at(2026, 11, 1), at(2026, 11, 1), at(2026, 12, 1)),
    ],
)
def test_windows_are_those_of_the_calendar(kind, now, start, end):
    assert window_of(kind, now) == (start, end)
    assert window_of(kind, now + 0.999) == (start, end)


@given(st.sampled_from(["hourly", "daily", "monthly"]), st.floats(0, 4e9))
def test_windows_follow_each_other_without_gaps(kind, now):
    start, end = window_of(kind, now)
    assert start <= now < end
    assert window_of(kind, end).start == end
    assert window_of(kind, start - 1).end == start


# Thresholds


def test_a_threshold_is_crossed_by_what_reaches_it():
    thresholds = (D(1), D("0.8"))
    assert crossed(D(10), D(0), D("7.99"), thresholds) == ()
    assert crossed(D(10), D("7.99"), D(8), thresholds) == (D("0.8"),)
    assert crossed(D(10), D(8), D("9.99"), thresholds) == ()
    assert crossed(D(10), D(0), D(11), thresholds) == (D("0.8"), D(1))


@given(st.lists(st.decimals(0, 5, places=3), min_size=1, max_size=30))
def test_on_a_rising_sum_each_threshold_is_crossed_once_at_most(amounts):
    thresholds = (D("0.5"), D("0.8"), D(1))
    sums = [sum(amounts[:count], D(0)) for count in range(len(amounts) + 1)]
    steps = [crossed(D(10), *step, thresholds) for step in pairwise(sums)]
    assert [each for step in steps for each in step] == [each for each in thresholds if each * 10 <= sums[-1]]


def test_alerts_fire_once_a_window():
    found = budgets(budget("10"))
    assert [spend(found, "4"), spend(found, "4"), spend(found, "1"), spend(found, "1")] == [[], [D("0.8")], [], [D(1)]]
    assert spend(found, "9", NOON + DAY) == [D("0.8")]


def test_alerts_that_have_fired_before_a_restart_do_not_fire_again():
    found = Budgets()
    assert found.put(budget("10"), NOON, spent=D("8.5"), fired=[D("0.8")]) == []
    assert spend(found, "0.5") == []
    assert spend(found, "1") == [D(1)]


def test_an_alert_that_a_crash_has_swallowed_fires_at_the_start():
    found = Budgets()
    assert [crossing.threshold for crossing in found.put(budget("10"), NOON, spent=D(9))] == [D("0.8")]


def test_a_soft_budget_refuses_nothing_and_alerts():
    found = budgets(budget("1", hard=False))
    assert spend(found, "5") == [D("0.8"), D(1)]
    assert found.available(PAYER, NOON) is None
    reserved(take(found, "5"))
    reserved(found.reserve(PAYER, None, NOON))


def test_a_refusal_counts_as_reaching_the_whole_where_nearly_all_is_spent():
    found = budgets(budget("10"))
    spend(found, "9.5")
    (crossing,) = refused(take(found, "1")).crossings
    assert (crossing.threshold, crossing.refused) == (D(1), True)
    assert refused(take(found, "1")).crossings == []
    assert spend(found, "0.5") == []


def test_a_huge_request_does_not_use_up_the_alert():
    found = budgets(budget("10"))
    assert refused(take(found, "100")).crossings == []
    spend(found, "8")
    assert refused(take(found, "100")).crossings == []
    assert spend(found, "2") == [D(1)]


def test_what_others_hold_does_not_use_up_the_alert():
    found = budgets(budget("10"))
    spend(found, "9")
    held = reserved(take(found, "1"))
    assert refused(take(found, "0.5")).crossings == []
    found.release(held)
    assert spend(found, "1") == [D(1)]


# Reservations


def test_a_reservation_is_made_in_all_budgets_or_in_none():
    found = budgets(budget("10", "key"), budget("10", "project"), budget("1", "organization"))
    assert refused(take(found, "2")).budget.scope == "organization"
    assert figures(found) == [(0, 0)] * 3
    reserved(take(found, "1"))
    assert figures(found) == [(0, 1)] * 3


def test_only_the_budgets_of_the_payer_are_asked():
    found = budgets(budget("1", "key"), budget("10", "project"))
    other = found.reserve(Payer("key_2", "proj_1", "org_1"), D(5), NOON)
    assert [each.settings.scope for each in reserved(other).budgets] == ["project"]
    assert reserved(found.reserve(Payer(None, None, None), D(99), NOON)).budgets == ()


def test_what_is_settled_is_spent_and_the_rest_is_free():
    found = budgets(budget("10"))
    found.settle(reserved(take(found, "5")), D("1.5"))
    assert figures(found) == [(D("1.5"), 0)]
    assert found.available(PAYER, NOON) == D("8.5")


def test_an_unknown_cost_is_charged_as_reserved():
    found = budgets(budget("10"))
    found.settle(reserved(take(found, "5")), None)
    assert figures(found) == [(5, 0)]


def test_the_budget_with_least_left_counts():
    found = budgets(budget("10", "key"), budget("3", window="hourly"), budget("1", "organization", hard=False))
    assert found.available(PAYER, NOON) == 3


def test_an_overrun_is_charged_and_leaves_nothing():
    found = budgets(budget("1"))
    found.settle(reserved(take(found, "1")), D(3))
    assert figures(found) == [(3, 0)]
    assert found.available(PAYER, NOON) == 0
    assert refused(take(found, "0.000001")).reason == "spent"


def test_what_costs_nothing_is_paid_from_an_overspent_budget_too():
    found = budgets(budget("1"))
    found.settle(reserved(take(found, "1")), D(3))
    reserved(take(found, "0"))


@pytest.mark.parametrize("end", ["settle", "release"])
def test_a_reservation_is_ended_once(end):
    found = budgets(budget("10"))
    reservation = reserved(take(found, "1"))
    found.settle(reservation, D(1))
    with pytest.raises(RuntimeError, match="once"):
        found.settle(reservation, D(1)) if end == "settle" else found.release(reservation)
    assert figures(found) == [(1, 0)]


def test_a_reservation_belongs_to_the_window_in_which_it_was_made():
    found = budgets(budget("10"))
    reservation = reserved(take(found, "9"))
    assert figures(found, NOON + DAY) == [(0, 0)]
    (crossing,) = found.settle(reservation, D(9))
    assert crossing.window == window_of("daily", NOON)
    assert figures(found, NOON + DAY) == [(0, 0)]


def test_a_clock_that_is_set_back_brings_no_window_back():
    found = budgets(budget("10", window="hourly"))
    spend(found, "4")
    assert figures(found, NOON - 3600) == [(4, 0)]


def test_a_changed_limit_keeps_what_is_spent_and_held():
    found = budgets(budget("10"))
    spend(found, "4")
    reserved(take(found, "3"))
    found.put(budget("8"), NOON, spent=D(99))
    assert figures(found) == [(4, 3)]
    assert found.available(PAYER, NOON) == 1


def test_a_changed_limit_fires_what_it_reaches_and_arms_what_it_does_not():
    found = budgets(budget("10"))
    assert spend(found, "4") == []
    assert [crossing.threshold for crossing in found.put(budget("5"), NOON)] == [D("0.8")]
    assert found.put(budget("5"), NOON) == []
    assert found.put(budget("10"), NOON) == []
    assert spend(found, "4") == [D("0.8")]


def test_a_new_budget_holds_what_its_running_requests_have_reserved():
    found = Budgets()
    running = reserved(take(found, "6"))
    other = reserved(found.reserve(Payer("key_2", "proj_2", "org_1"), D(1), NOON))
    found.put(budget("10"), NOON)
    assert refused(take(found, "5")).reason == "held"
    found.settle(running, D(2))
    found.settle(other, D(1))
    assert figures(found) == [(2, 0)]


def test_a_new_budget_does_not_hold_what_began_in_the_window_before():
    found = Budgets()
    reserved(take(found, "6"))
    found.put(budget("10"), NOON + DAY)
    assert figures(found, NOON + DAY) == [(0, 0)]


def test_a_removed_budget_neither_refuses_nor_alerts():
    found = budgets(budget("1"))
    running = reserved(take(found, "1"))
    found.remove("project_daily")
    assert found.settle(running, D(1)) == []
    assert found.available(PAYER, NOON) is None
    found.remove("project_daily")
    assert found.ids == set()


def test_an_unknown_price_is_refused_under_a_hard_budget_only():
    assert refused(budgets(budget("10")).reserve(PAYER, None, NOON)).reason == "unpriced"


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity", "sNaN"])
def test_what_is_no_amount_of_money_is_refused(amount):
    found = budgets(budget("10"))
    with pytest.raises(ValueError, match="no amount"):
        take(found, amount)
    reservation = reserved(take(found, "1"))
    with pytest.raises(ValueError, match="no amount"):
        found.settle(reservation, D(amount))
    found.release(reservation)
    with pytest.raises(ValueError, match="no amount"):
        budget(amount)


def test_a_threshold_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        budget("10", thresholds=(D(0),))


def test_sums_are_exact_whatever_the_program_around_has_set():
    with localcontext() as context:
        context.prec = 3
        found = budgets(budget("123456.789"))
        spend(found, "0.000000123")
        assert figures(found) == [(D("0.000000123"), 0)]
        assert found.available(PAYER, NOON) == D("123456.788999877")


# What is said


def test_a_refusal_says_what_is_spent_and_when_it_begins_anew():
    found = budgets(budget("10"))
    spend(found, "9.5")
    assert message(refused(take(found, "0.75"))) == (
        "You have used up the daily budget of project proj_1 ($9.50 of $10.00 spent, $0.75 needed). "
        "It begins anew at 2026-11-22 00:00 UTC; until then, ask for less or have the budget raised."
    )


def test_of_several_spent_budgets_the_one_that_lasts_longest_is_named():
    found = budgets(budget("1", window="hourly"), budget("1", window="monthly"), budget("1", window="daily"))
    assert refused(take(found, "2")).budget.window == "monthly"


def test_a_refusal_says_that_others_hold_what_is_left():
    found = budgets(budget("10"))
    reserved(take(found, "9.123456"))
    assert message(refused(take(found, "1"))) == (
        "What is left of the daily budget of project proj_1 is held by requests that are running ($0.00 of $10.00 "
        "spent, $9.123456 held, $1.00 needed). Try again when they are over, or ask for less with max_output_tokens."
    )


def test_a_refusal_says_that_the_price_is_unknown():
    found = budgets(budget("10", "key", "monthly"))
    said = message(refused(found.reserve(PAYER, None, NOON)))
    assert said.startswith("The price of this model is unknown, and the monthly budget of key key_1 pays for known")


# What can be afforded

PRICE = TokenPrice(input=D("0.000001"), output=D("0.00001"))


def test_a_rich_budget_caps_nothing_but_what_was_asked_and_reserves_room_for_the_estimate():
    assert affordable(D(100), PRICE, 1000, requested=500, default=4096) == Offer(500, 2000, D("0.021"))
    assert affordable(D(100), PRICE, 0, requested=None, default=4096) == Offer(4096, 16_384, D("0.16384"))


def test_a_budget_that_is_nearly_spent_caps_at_what_it_pays_for():
    assert affordable(D("0.0023"), PRICE, 1000, requested=500, default=4096) == Offer(130, 130, D("0.0023"))


def test_less_than_the_smallest_answer_is_too_dear():
    assert affordable(D("0.00116"), PRICE, 1000, requested=500, default=64) == Offer(16, 16, D("0.00116"))
    assert affordable(D("0.00115"), PRICE, 1000, requested=500, default=64) == TooDear(D("0.00116"))


def test_fixed_terms_are_paid_first():
    price = TokenPrice(D(0), D("0.01"), fixed=D("0.9"))
    assert affordable(D(1), price, 0, requested=None, default=64) == TooDear(D("1.06"))


def test_without_a_hard_budget_only_the_request_caps():
    assert affordable(None, PRICE, 1000, requested=None, default=100) == Offer(None, None, D("0.002"))
    assert affordable(None, PRICE, 1000, requested=50, default=100) == Offer(50, None, D("0.0015"))
    assert affordable(None, None, 1000, requested=50, default=100) == Offer(50, None, D(0))


def test_what_costs_nothing_is_always_affordable():
    assert affordable(D(0), TokenPrice(D(0), D(0)), 10**6, requested=None, default=64) == Offer(64, 256, D(0))


def test_an_unknown_price_is_not_affordable():
    assert affordable(D(100), None, 1, requested=16, default=64) == TooDear(None)


money = st.decimals(0, 10, places=9)


tokens = st.integers(0, 10**6)
prices = st.builds(TokenPrice, money, money, money)


@given(money, prices, tokens, st.none() | st.integers(16, 10**6), st.integers(1, 10**6))
def test_what_is_offered_can_be_reserved_and_what_is_too_dear_cannot(limit, price, input_tokens, requested, default):
    found = budgets(budget(str(limit)))
    offer = affordable(found.available(PAYER, NOON), price, input_tokens, requested=requested, default=default)
    answer = found.reserve(PAYER, offer.amount, NOON)
    if isinstance(offer, TooDear):
        assert isinstance(answer, Refused)
    else:
        assert isinstance(answer, Reservation)
        assert 16 <= offer.cap <= offer.reserved
        assert offer.cap <= max(requested or default, 16)
        assert price.fixed + price.input * input_tokens + price.output * offer.reserved == offer.amount <= limit


# Rule 21


@given(st.randoms(use_true_random=False), st.integers(0, 199))
def test_two_hundred_requests_at_once_overspend_a_cent_by_one_overrun_at_most(chance: Random, culprit: int):
    """All interleavings of reserve and settle; one of the requests costs ten times what it had reserved."""
    found = budgets(budget("0.01"))
    waiting, running, largest = list(range(200)), [], D(0)
    while waiting or running:
        if waiting and (not running or chance.random() < 0.6):
            number = waiting.pop(chance.randrange(len(waiting)))
            offer = affordable(found.available(PAYER, NOON), PRICE, 20, requested=None, default=chance.randint(16, 64))
            answer = found.reserve(PAYER, offer.amount, NOON)
            if isinstance(answer, Reservation):
                running.append((number, answer))
        else:
            number, reservation = running.pop(chance.randrange(len(running)))
            cost = reservation.amount * (10 if number == culprit else D(chance.randint(0, 100)) / 100)
            largest = max(largest, cost - reservation.amount)
            found.settle(reservation, cost)
    ((spent, held),) = figures(found)
    assert held == 0
    assert spent <= D("0.01") + largest
