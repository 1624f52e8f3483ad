"""The buckets of a report: together they are exactly the time that was asked for."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.wire.admin.request import decode_query
from antiphon.wire.admin.usage import CostsResult, VectorStoresResult, usage_page
from antiphon.wire.admin.usage_query import SECONDS, CostsQuery, ModelQuery, Plan, ProjectQuery, Span, UsageQuery, plan
from antiphon.wire.errors import InvalidRequest

DAY = 86_400


def every_page(query: UsageQuery, now: int) -> list[Plan]:
    """All pages of a query, each asked for with the `next_page` of the one before."""
    pages = [plan(query, now)]
    while pages[-1].next_page is not None:
        following = msgspec.structs.replace(query, page=pages[-1].next_page)
        following.check()
        assert following.begin > (pages[-1].spans[0].start_time if pages[-1].spans else -1), "it would never end"
        pages.append(plan(following, now))
    return pages


QUERIES = st.builds(
    lambda start, length, width, limit: ProjectQuery(
        start_time=start, end_time=start + length * SECONDS[width] // 7, bucket_width=width, limit=limit
    ),
    st.integers(0, 10**6),
    st.integers(7, 100),
    st.sampled_from(["1m", "1h", "1d"]),
    st.none() | st.integers(1, 31),
)


@given(QUERIES)
def test_the_buckets_of_all_pages_are_exactly_the_time_asked_for(query: ProjectQuery) -> None:
    pages = every_page(query, now=0)
    spans = [span for page in pages for span in page.spans]
    assert (spans[0].start_time, spans[-1].end_time) == (query.start_time, query.end_time)
    assert all(one.end_time == other.start_time for one, other in pairwise(spans))
    assert all(len(page.spans) == query.buckets for page in pages[:-1])


@given(QUERIES)
def test_every_border_between_two_buckets_is_a_border_of_utc(query: ProjectQuery) -> None:
    spans = [span for page in every_page(query, now=0) for span in page.spans]
    width = SECONDS[query.bucket_width]
    assert all(one.end_time % width == 0 for one in spans[:-1])
    assert all(one.start_time // width == (one.end_time - 1) // width for one in spans)


@given(st.integers(0, 20 * DAY), st.integers(0, 20 * DAY))
def test_without_an_end_the_last_bucket_is_the_one_that_is_now(start: int, now: int) -> None:
    spans = [span for page in every_page(ProjectQuery(start_time=start), now) for span in page.spans]
    if now < start:
        assert spans == []
    else:
        assert spans[-1].start_time <= now < spans[-1].end_time
        assert spans[-1].end_time % DAY == 0


@pytest.mark.parametrize(
    ("query", "usual"),
    [
        (ProjectQuery(start_time=0), 7),
        (ProjectQuery(start_time=0, bucket_width="1h"), 24),
        (ProjectQuery(start_time=0, bucket_width="1m"), 60),
        (CostsQuery(start_time=0), 7),
        (CostsQuery(start_time=0, limit=180), 180),
    ],
)
def test_a_page_has_as_many_buckets_as_the_api_says(query: UsageQuery, usual: int) -> None:
    assert len(plan(query, now=10**9).spans) == usual


@pytest.mark.parametrize(
    "page",
    [
        "",
        "page_",
        "2",
        "page_0",
        "page_86400",
        "page_86401",
        "page_864000",
        "page_-86400",
        "page_" + "9" * 20,
        "page_\u0661",
    ],
)
def test_a_page_that_no_answer_named_is_refused(page: str) -> None:
    fields = [("start_time", str(DAY)), ("end_time", str(10 * DAY)), ("page", page)]
    with pytest.raises(InvalidRequest) as refusal:
        decode_query(fields, ModelQuery)
    assert (refusal.value.param, refusal.value.code) == ("page", "invalid_value")


def test_a_bucket_without_use_has_no_results_and_the_page_says_where_to_go_on() -> None:
    result = VectorStoresResult(usage_bytes=5)
    shown = usage_page(Plan([Span(0, 60), Span(60, 120)], "page_120"), {60: [result]})
    assert [bucket.results for bucket in shown.data] == [[], [result]]
    assert (shown.has_more, shown.next_page) == (True, "page_120")
    last: Any = usage_page(Plan([], None), dict[int, list[CostsResult]]())
    assert (last.data, last.has_more, last.next_page) == ([], False, None)
