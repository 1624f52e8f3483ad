"""What is asked of usage and costs: a time, a width of buckets, a grouping, filters; and which buckets that is.

Buckets are the minutes, hours and days of UTC. The first and the last are cut to the time that was asked for, so
that their sum is exactly what was used in it. No clock here: the time is an argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, ClassVar, Final, Literal, NamedTuple

from msgspec import Meta

from antiphon.wire.admin.fields import Id, Time
from antiphon.wire.admin.request import AdminRequest
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.invalid import wrong_value

__all__ = [
    "AudioQuery",
    "CallerQuery",
    "CompletionsQuery",
    "CostsQuery",
    "FileSearchCallsQuery",
    "ImagesQuery",
    "ModelQuery",
    "Plan",
    "ProjectQuery",
    "Span",
    "UsageQuery",
    "WebSearchCallsQuery",
    "plan",
]

Width = Literal["1m", "1h", "1d"]
SECONDS: Final[Mapping[Width, int]] = {"1m": 60, "1h": 3600, "1d": 86_400}
_PAGE: Final = re.compile(r"page_([0-9]{1,12})")


class Count(NamedTuple):
    """How many buckets a page has when nothing is said, and at most."""

    usual: int
    most: int


class UsageQuery(AdminRequest, kw_only=True):
    """What all reports take. `start_time` is inclusive, `end_time` exclusive, and now if it is not sent.

    `counts` has the widths of its buckets, `groups` the fields that it can be grouped by.
    """

    start_time: Time
    end_time: Time | None = None
    bucket_width: Width = "1d"
    limit: Annotated[int, Meta(ge=1)] | None = None
    page: str | None = None
    group_by: list[str] = []
    project_ids: list[Id] = []

    counts: ClassVar[Mapping[Width, Count]] = {"1d": Count(7, 31), "1h": Count(24, 168), "1m": Count(60, 1440)}
    groups: ClassVar[tuple[str, ...]] = ("project_id",)

    @property
    def buckets(self) -> int:
        """How many buckets a page has."""
        return self.limit if self.limit is not None else self.counts[self.bucket_width].usual

    @property
    def begin(self) -> int:
        """Where the page begins."""
        return self.start_time if self.page is None else _begin(self, self.page)

    def check(self) -> None:
        """Raises InvalidRequest for a time that ends before it begins, and for what this report does not have."""
        if self.end_time is not None and self.end_time <= self.start_time:
            message = "Invalid 'end_time': it must be later than 'start_time'."
            raise InvalidRequest(message, param="end_time", code="invalid_value")
        if self.bucket_width not in self.counts:
            raise wrong_value("bucket_width", self.bucket_width, tuple(self.counts))
        for index, field in enumerate(self.group_by):
            if field not in self.groups:
                raise wrong_value(f"group_by[{index}]", field, self.groups)
        self._check_page()

    def _check_page(self) -> None:
        most = self.counts[self.bucket_width].most
        if self.buckets > most:
            message = (
                f"Invalid 'limit': integer above maximum value. Expected a value <= {most} with buckets of "
                f"'{self.bucket_width}', but got {self.limit} instead."
            )
            raise InvalidRequest(message, param="limit", code="integer_above_max_value")
        if self.page is not None:
            _begin(self, self.page)


def _begin(query: UsageQuery, page: str) -> int:
    """Where a later page begins: at the border of two buckets, within the time asked for. Raises InvalidRequest."""
    found = _PAGE.fullmatch(page)
    begin = int(found[1]) if found else 0
    late = query.end_time is not None and begin >= query.end_time
    if begin <= query.start_time or late or begin % SECONDS[query.bucket_width]:
        message = "Invalid 'page': it is not the 'next_page' of an answer to the same query."
        raise InvalidRequest(message, param="page", code="invalid_value")
    return begin


class Span(NamedTuple):
    """The time of a bucket, in Unix seconds: from `start_time` to before `end_time`."""

    start_time: int
    end_time: int


class Plan(NamedTuple):
    """The buckets of one page, and the name of the next page if there is one."""

    spans: list[Span]
    next_page: str | None


def plan(query: UsageQuery, now: int) -> Plan:
    """Which buckets a page has. `now`: Unix seconds. Without an `end_time` the last bucket is the one that is now."""
    width, until, at = SECONDS[query.bucket_width], query.end_time, query.begin
    end = now + 1 if until is None else until
    spans: list[Span] = []
    while at < end and len(spans) < query.buckets:
        border = at - at % width + width
        spans.append(Span(at, border if until is None else min(border, until)))
        at = spans[-1].end_time
    return Plan(spans, f"page_{at}" if at < end else None)


# The reports


class ProjectQuery(UsageQuery, kw_only=True):
    """GET /organization/usage/vector_stores, …/code_interpreter_sessions: known by project alone."""


class CallerQuery(UsageQuery, kw_only=True):
    """What the reports take that know who called."""

    api_key_ids: list[Id] = []
    user_ids: list[Id] = []

    groups: ClassVar[tuple[str, ...]] = ("project_id", "user_id", "api_key_id")


class ModelQuery(CallerQuery, kw_only=True):
    """GET /organization/usage/embeddings, …/moderations"""

    models: list[Id] = []

    groups: ClassVar[tuple[str, ...]] = (*CallerQuery.groups, "model")


class AudioQuery(ModelQuery, kw_only=True):
    """GET /organization/usage/audio_speeches, …/audio_transcriptions"""


class CompletionsQuery(ModelQuery, kw_only=True):
    """GET /organization/usage/completions, …/decisions. `batch`: only batch jobs, or only others."""

    batch: bool | None = None

    groups: ClassVar[tuple[str, ...]] = (*ModelQuery.groups, "batch", "service_tier", "api_source")


class ImagesQuery(ModelQuery, kw_only=True):
    """GET /organization/usage/images"""

    sizes: list[Literal["256x256", "512x512", "1024x1024", "1792x1792", "1024x1792"]] = []
    sources: list[Literal["image.generation", "image.edit", "image.variation"]] = []

    groups: ClassVar[tuple[str, ...]] = (*ModelQuery.groups, "size", "source")


class WebSearchCallsQuery(ModelQuery, kw_only=True):
    """GET /organization/usage/web_search_calls"""

    context_levels: list[Literal["low", "medium", "high"]] = []

    groups: ClassVar[tuple[str, ...]] = (*ModelQuery.groups, "context_level", "api_source")


class FileSearchCallsQuery(CallerQuery, kw_only=True):
    """GET /organization/usage/file_search_calls"""

    vector_store_ids: list[Id] = []

    groups: ClassVar[tuple[str, ...]] = (*CallerQuery.groups, "vector_store_id")


class CostsQuery(UsageQuery, kw_only=True):
    """GET /organization/costs: by days only. A line item is a model, as its upstream calls it."""

    api_key_ids: list[Id] = []
    line_items: list[Id] = []

    counts: ClassVar[Mapping[Width, Count]] = {"1d": Count(7, 180)}
    groups: ClassVar[tuple[str, ...]] = ("project_id", "user_id", "line_item", "api_key_id", "api_source")
