"""What was used and what it cost: pages of buckets of results.

A field that the report was not grouped by is null in its results, as it is at OpenAI. A bucket without use has no
results.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, Generic, Literal, NamedTuple, TypeVar

from antiphon.wire.admin.usage_query import (
    AudioQuery,
    CompletionsQuery,
    CostsQuery,
    FileSearchCallsQuery,
    ImagesQuery,
    ModelQuery,
    Plan,
    ProjectQuery,
    UsageQuery,
    WebSearchCallsQuery,
)
from antiphon.wire.struct import Wire

__all__ = [
    "COSTS",
    "REPORTS",
    "Amount",
    "AudioSpeechesResult",
    "AudioTranscriptionsResult",
    "Bucket",
    "CodeInterpreterSessionsResult",
    "CompletionsResult",
    "CostsResult",
    "DecisionsResult",
    "EmbeddingsResult",
    "FileSearchesResult",
    "ImagesResult",
    "ModerationsResult",
    "Report",
    "UsagePage",
    "VectorStoresResult",
    "WebSearchesResult",
    "usage_page",
]

T = TypeVar("T")
ApiSource = Literal["agents_api", "unlabeled"]
"""This server has no Agents API: grouped by it, everything is `unlabeled`."""


class Bucket(Wire, Generic[T], tag_field="object", tag="bucket", kw_only=True):
    """What was used from `start_time` to before `end_time`, in Unix seconds: one result for each group."""

    start_time: int
    end_time: int
    results: list[T]


class UsagePage(Wire, Generic[T], tag_field="object", tag="page", kw_only=True):
    """Some buckets, and where to go on."""

    data: list[Bucket[T]]
    has_more: bool = False
    next_page: str | None = None


def usage_page(plan: Plan, results: Mapping[int, list[T]]) -> UsagePage[T]:
    """The answer to a query: each bucket of its plan with the results for its `start_time`, if there are any."""
    buckets = [
        Bucket(start_time=span.start_time, end_time=span.end_time, results=results.get(span.start_time, []))
        for span in plan.spans
    ]
    return UsagePage(data=buckets, has_more=plan.next_page is not None, next_page=plan.next_page)


# The results


class _ProjectResult(Wire, kw_only=True):
    """By project."""

    project_id: str | None = None


class _CallerResult(_ProjectResult, kw_only=True):
    """By who called, too."""

    user_id: str | None = None
    api_key_id: str | None = None


class _ModelResult(_CallerResult, kw_only=True):
    """By model, too."""

    num_model_requests: int
    model: str | None = None


class CompletionsResult(_ModelResult, tag_field="object", tag="organization.usage.completions.result", kw_only=True):
    """Responses. `input_tokens` are the cached, the uncached and those written to the cache together.

    What an upstream does not tell apart is null: text and images, and how long the cache keeps what was written.
    """

    input_tokens: int
    output_tokens: int
    input_cached_tokens: int = 0
    input_uncached_tokens: int = 0
    input_cache_write_tokens: int = 0
    input_cache_write_30m_tokens: int | None = None
    input_cache_write_12h_tokens: int | None = None
    input_text_tokens: int | None = None
    input_image_tokens: int | None = None
    input_audio_tokens: int = 0
    input_cached_text_tokens: int | None = None
    input_cached_image_tokens: int | None = None
    input_cached_audio_tokens: int = 0
    output_text_tokens: int | None = None
    output_image_tokens: int | None = None
    output_audio_tokens: int = 0
    batch: bool | None = None
    service_tier: str | None = None
    api_source: ApiSource | None = None


class DecisionsResult(CompletionsResult, tag_field="object", tag="organization.usage.decisions.result", kw_only=True):
    """Decisions, which this server does not make: the report is there, and empty."""


class EmbeddingsResult(_ModelResult, tag_field="object", tag="organization.usage.embeddings.result", kw_only=True):
    """Embeddings."""

    input_tokens: int


class ModerationsResult(_ModelResult, tag_field="object", tag="organization.usage.moderations.result", kw_only=True):
    """Moderations."""

    input_tokens: int


class ImagesResult(_ModelResult, tag_field="object", tag="organization.usage.images.result", kw_only=True):
    """Images that were made."""

    images: int
    size: str | None = None
    source: str | None = None


class AudioSpeechesResult(
    _ModelResult, tag_field="object", tag="organization.usage.audio_speeches.result", kw_only=True
):
    """Speech, which this server does not make: the report is there, and empty."""

    characters: int


class AudioTranscriptionsResult(
    _ModelResult, tag_field="object", tag="organization.usage.audio_transcriptions.result", kw_only=True
):
    """Transcriptions, which this server does not make: the report is there, and empty."""

    seconds: int


class VectorStoresResult(
    _ProjectResult, tag_field="object", tag="organization.usage.vector_stores.result", kw_only=True
):
    """What vector stores take up."""

    usage_bytes: int


class CodeInterpreterSessionsResult(
    _ProjectResult, tag_field="object", tag="organization.usage.code_interpreter_sessions.result", kw_only=True
):
    """Sessions of the code interpreter."""

    num_sessions: int


class FileSearchesResult(
    _CallerResult, tag_field="object", tag="organization.usage.file_searches.result", kw_only=True
):
    """Calls of the file search."""

    num_requests: int
    vector_store_id: str | None = None


class WebSearchesResult(_ModelResult, tag_field="object", tag="organization.usage.web_searches.result", kw_only=True):
    """Calls of the web search, and the requests in which they were made."""

    num_requests: int
    context_level: str | None = None
    api_source: ApiSource | None = None


class Amount(Wire, kw_only=True):
    """Money. `value` is null if the price of something in it is not known: null is not 0."""

    value: float | None
    currency: Literal["usd"] = "usd"

    @classmethod
    def of(cls, cost: Decimal | None) -> Amount:
        """The amount of a cost in dollars. The API's number is a float, which holds 15 digits."""
        return cls(value=None if cost is None else float(cost))


class CostsResult(_CallerResult, tag_field="object", tag="organization.costs.result", kw_only=True):
    """What it cost. `quantity` and its unit are there when it is grouped by line item."""

    amount: Amount
    line_item: str | None = None
    quantity: float | None = None
    quantity_unit: str | None = None
    api_source: ApiSource | None = None


# Which report is asked for and answered how


class Report(NamedTuple):
    """The query of a report and the results in its buckets."""

    query: type[UsageQuery]
    result: type[Wire]


REPORTS: Final[Mapping[str, Report]] = {
    "completions": Report(CompletionsQuery, CompletionsResult),
    "decisions": Report(CompletionsQuery, DecisionsResult),
    "embeddings": Report(ModelQuery, EmbeddingsResult),
    "moderations": Report(ModelQuery, ModerationsResult),
    "images": Report(ImagesQuery, ImagesResult),
    "audio_speeches": Report(AudioQuery, AudioSpeechesResult),
    "audio_transcriptions": Report(AudioQuery, AudioTranscriptionsResult),
    "vector_stores": Report(ProjectQuery, VectorStoresResult),
    "code_interpreter_sessions": Report(ProjectQuery, CodeInterpreterSessionsResult),
    "file_search_calls": Report(FileSearchCallsQuery, FileSearchesResult),
    "web_search_calls": Report(WebSearchCallsQuery, WebSearchesResult),
}
"""GET /organization/usage/{name}, by the name."""

COSTS: Final = Report(CostsQuery, CostsResult)
"""GET /organization/costs"""
