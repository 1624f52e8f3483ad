"""What was spent in the windows that run."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from antiphon.policy.budget import Payer, window_of
from antiphon.policy.ledger import Spent
from antiphon.policy.spent import KINDS, Sums

PAYER = Payer("key_1", "proj_1", "default")
DAY = 86_400.0
COSTS = st.decimals(min_value=0, max_value=1000, places=18)


@given(st.lists(st.tuples(COSTS, st.floats(0, 40 * DAY)), max_size=30))
def test_a_sum_is_that_of_the_costs_in_its_window_whatever_the_order_of_the_past(costs):
    sums, now = Sums(), max((at for _, at in costs), default=0.0)
    for cost, at in costs:
        sums.add(PAYER, cost, at)
    for kind in KINDS:
        start = window_of(kind, now).start
        expected = sum((cost for cost, at in costs if at >= start), Decimal(0))
        assert sums.of(kind, "key", "key_1", now) == expected
        assert sums.of(kind, "organization", "default", now) == expected
        assert sums.of(kind, "key", "key_2", now) == 0


def test_a_window_that_is_over_has_spent_nothing():
    sums = Sums()
    sums.add(PAYER, Decimal(1), 0.0)
    assert sums.of("hourly", "project", "proj_1", 3_599.0) == 1
    assert sums.of("hourly", "project", "proj_1", 3_600.0) == 0
    assert sums.of("daily", "project", "proj_1", 3_600.0) == 1


def test_who_has_no_key_spends_with_the_project():
    sums = Sums()
    sums.read("daily", 0.0, [Spent(organization="default", project="proj_1", key_id="", cost=Decimal(2))])
    assert sums.of("daily", "project", "proj_1", 0.0) == 2
    assert sums.of("daily", "key", "", 0.0) == 0
    assert sums.of("hourly", "project", "proj_1", 0.0) == 0
