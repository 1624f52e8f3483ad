"""Traces with OpenTelemetry: an observer that makes a span of each request, by the GenAI conventions.

    client = AsyncClient(AsyncOpenAI(), observers=OpenTelemetryObserver())

The span is a child of the one that is current when the request begins. Attempts that failed, and streams that were
taken up, are events of it. No span has content. Needs the extra `antiphon[otel]`, or `opentelemetry-api`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from antiphon.client.monitor import code_of
from antiphon.client.records import AttemptFailed, Began, Ended, Flagged, Record, Resumed, Spent
from antiphon.turn import semconv

if TYPE_CHECKING:
    from openai.types.responses import ResponseUsage
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["OpenTelemetryObserver"]


class OpenTelemetryObserver:
    """Makes spans. `provider`: None is that of the process. Raises ImportError without `opentelemetry-api`."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        from opentelemetry import trace

        self._tracer = trace.get_tracer("antiphon.client", tracer_provider=provider)
        self._open: dict[int, Span] = {}

    def __call__(self, record: Record) -> None:
        """Begin a span, note something in it, or end it."""
        match record:
            case Began():
                self._begin(record)
            case Ended():
                self._end(record)
            case AttemptFailed() | Resumed() | Spent() | Flagged():
                if (span := self._open.get(record.number)) is not None:
                    _note(span, record)

    def _begin(self, record: Began) -> None:
        from opentelemetry.trace import SpanKind

        attributes: dict[str, Any] = {
            semconv.OPERATION: semconv.CHAT,
            semconv.PROVIDER: semconv.OPENAI,
            semconv.REQUEST_MODEL: record.model,
            semconv.REQUEST_STREAM: record.streamed,
            semconv.BACKGROUND: record.background,
        }
        name = f"{semconv.CHAT} {record.model}"
        self._open[record.number] = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)

    def _end(self, record: Ended) -> None:
        from opentelemetry.trace import Status, StatusCode

        span = self._open.pop(record.number, None)
        if span is None:
            return
        span.set_attributes(dict(_figures(record)))
        if record.error is not None:
            code = code_of(record.error)
            span.set_attribute(semconv.ERROR_TYPE, code)
            span.set_status(Status(StatusCode.ERROR, code))
        span.end()


def _note(span: Span, record: AttemptFailed | Resumed | Spent | Flagged) -> None:
    match record:
        case AttemptFailed(attempt=attempt, error=error, then=then, wait=wait):
            told: dict[str, Any] = {semconv.ATTEMPT: attempt, semconv.THEN: then, semconv.WAIT: wait}
            span.add_event("attempt failed", {semconv.ERROR_TYPE: code_of(error), **told})
        case Resumed(after=after):
            span.add_event("resumed", {semconv.AFTER: after})
        case Flagged(side=side, verdict=verdict, action=action):
            categories = sorted(verdict.flagged)
            span.add_event("flagged", {semconv.SIDE: side, semconv.CATEGORIES: categories, semconv.ACTION: action})
        case Spent(cost=cost) if cost is not None:
            span.set_attribute(semconv.COST, float(cost))


def _figures(end: Ended) -> Iterator[tuple[str, Any]]:
    """What is known of a request when it is over."""
    yield semconv.OUTCOME, end.status
    yield semconv.ATTEMPTS, end.attempts
    if end.response_id:
        yield semconv.RESPONSE_ID, end.response_id
    if end.answered_by:
        yield semconv.RESPONSE_MODEL, end.answered_by
        yield semconv.FINISH_REASONS, [end.status]
    if end.first_output is not None:
        yield semconv.TIME_TO_FIRST_CHUNK, end.first_output
    if end.cache:
        yield semconv.CACHE, end.cache
    if end.usage is not None:
        yield from _tokens(end.usage)


def _tokens(usage: ResponseUsage) -> Iterator[tuple[str, int]]:
    """The figures of a usage; of other servers' there may be fewer."""
    details = ((usage.input_tokens_details, "cached_tokens"), (usage.output_tokens_details, "reasoning_tokens"))
    cached, reasoning = (getattr(holder, name, None) for holder, name in details)
    figures = {
        semconv.INPUT_TOKENS: usage.input_tokens,
        semconv.OUTPUT_TOKENS: usage.output_tokens,
        semconv.CACHED_TOKENS: cached,
        semconv.REASONING_TOKENS: reasoning,
    }
    yield from ((name, figure) for name, figure in figures.items() if figure is not None)
