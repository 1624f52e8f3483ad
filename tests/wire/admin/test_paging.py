"""Pages: whoever goes through them, forward or back, sees each object once and in order."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.wire.admin.paging import ListQuery, Order, page_among, page_of
from antiphon.wire.errors import InvalidRequest


@dataclass
class Row:
    id: str


def rows(size: int) -> list[Row]:
    return [Row(f"x_{n}") for n in range(size)]


SIZES, LIMITS, ORDERS = st.integers(0, 12), st.integers(1, 5), st.sampled_from(["asc", "desc"])


@given(SIZES, LIMITS, ORDERS)
def test_going_forward_shows_each_object_once_and_in_order(size: int, limit: int, order: Order) -> None:
    everything, seen, after = rows(size), [], None
    for _ in range(size + 1):  # at least one object a page, or it would never end
        page = page_among(everything, ListQuery(limit=limit, order=order, after=after))
        seen += page.data
        assert len(page.data) <= limit
        if not page.has_more:
            break
        after = page.last_id
    assert seen == (everything if order == "asc" else everything[::-1])


@given(st.integers(1, 12), LIMITS, ORDERS)
def test_going_back_shows_each_object_once_and_in_order(size: int, limit: int, order: Order) -> None:
    everything = rows(size)
    ordered = everything if order == "asc" else everything[::-1]
    seen, before = ordered[-1:], ordered[-1].id
    for _ in range(size + 1):  # at least one object a page, or it would never end
        page = page_among(everything, ListQuery(limit=limit, order=order, before=before))
        seen = page.data + seen
        if not page.has_more:
            break
        assert page.first_id is not None
        before = page.first_id
    assert seen == ordered


def test_with_both_cursors_the_page_is_the_first_of_what_stands_between() -> None:
    page = page_among(rows(9), ListQuery(after="x_2", before="x_6", limit=2))
    assert ([row.id for row in page.data], page.has_more) == (["x_3", "x_4"], True)
    assert not page_among(rows(9), ListQuery(after="x_2", before="x_5", limit=2)).has_more


def test_the_object_beyond_the_limit_is_not_shown() -> None:
    forward = page_of(rows(3), ListQuery(limit=2))
    assert ([row.id for row in forward.data], forward.last_id, forward.has_more) == (["x_0", "x_1"], "x_1", True)
    back = page_of(rows(3), ListQuery(limit=2, before="x_9"))
    assert ([row.id for row in back.data], back.first_id, back.last_id) == (["x_1", "x_0"], "x_1", "x_0")


@pytest.mark.parametrize("param", ["after", "before"])
def test_a_cursor_that_is_not_in_the_list_is_refused(param: str) -> None:
    with pytest.raises(InvalidRequest, match="No object with id 'nobody'") as refusal:
        page_among(rows(3), ListQuery(**{param: "nobody"}))
    assert (refusal.value.param, refusal.value.code) == (param, "invalid_value")
