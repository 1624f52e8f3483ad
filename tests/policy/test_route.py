"""In which order backends are asked."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.policy.route import in_order


def no_prices():
    raise AssertionError("prices are not asked for")


def test_first_is_the_order_of_the_list():
    assert in_order("first", [1, 5, 3], no_prices, lambda: 0.5) == [0, 1, 2]


def test_weighted_asks_each_first_as_often_as_its_share():
    chance = Random(7)
    firsts = Counter(in_order("weighted", [1, 2, 7], no_prices, chance.random)[0] for _ in range(10_000))
    assert [firsts[place] / 10_000 for place in range(3)] == pytest.approx([0.1, 0.2, 0.7], abs=0.02)


def test_what_has_no_weight_is_only_a_fallback():
    chance = Random(7)
    for _ in range(100):
        assert in_order("weighted", [0, 1, 1], no_prices, chance.random)[-1] == 0


def test_the_cheapest_is_first_and_an_unknown_price_last():
    prices = [Decimal(2), None, Decimal("0.5"), Decimal(0)]
    assert in_order("cheapest", [1] * 4, lambda: prices, lambda: 0.5) == [3, 2, 0, 1]


def test_equal_prices_keep_the_order_of_the_list():
    assert in_order("cheapest", [1] * 3, lambda: [None, Decimal(1), Decimal(1)], lambda: 0.5) == [1, 2, 0]


@given(st.sampled_from(["first", "weighted", "cheapest"]), st.lists(st.floats(0, 100), min_size=1), st.randoms())
def test_every_backend_is_there_once(order, weights, chance):
    places = in_order(order, weights, lambda: [None] * len(weights), chance.random)
    assert sorted(places) == list(range(len(weights)))
