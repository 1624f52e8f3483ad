"""Traces: a span for each response, a child for each attempt at an upstream, with the GenAI conventions (`semconv`).

The span of a response begins with it: below the client's own, where the request had a `traceparent`; and what goes to
the upstreams carries ours. The attempts are told when the response is over, with the times that they had. No span has
content.

The package is the extra `otel`. It is imported only where traces are to be sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import antiphon
from antiphon.turn import semconv
from antiphon.turn.report import Answered, Began, Operation, Report
from antiphon.turn.trace import Attempt
from antiphon.wire.response import Usage

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

__all__ = ["ENDPOINT", "NotInstalled", "Tracing", "exporting"]

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""The variable that says where traces go: the standard one."""

FLUSH: Final = 2000
"""Milliseconds that the last spans have to be sent when the server ends."""

_OPERATIONS: Final[Mapping[Operation, str]] = {
    "response": semconv.CHAT,
    "embeddings": semconv.EMBEDDINGS,
    "moderation": semconv.MODERATION,
}

_PORTS: Final = {"http": 80, "https": 443}


class NotInstalled(Exception):
    """Traces are wanted, and the extra `otel` is not there."""


def exporting(endpoint: str | None = None) -> Tracing:
    """Traces that are sent over OTLP (HTTP, protobuf). Raises NotInstalled.

    `endpoint` is the address of a collector, like `http://127.0.0.1:4318`; None leaves that, as all else, to the
    `OTEL_*` variables.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise NotInstalled(f"traces need the extra `otel`: pip install 'antiphon[otel]' ({error.name})") from error
    resource = Resource.create({semconv.SERVICE_VERSION: antiphon.__version__})
    if str(resource.attributes[semconv.SERVICE_NAME]).startswith("unknown_service"):  # no variable gave another
        resource = resource.merge(Resource({semconv.SERVICE_NAME: semconv.OURS}))
    provider = TracerProvider(resource=resource)
    address = f"{endpoint.rstrip('/')}/v1/traces" if endpoint else None
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
    return Tracing(provider)


class Tracing:
    """Makes spans. Implements `antiphon.ports.Observer`."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("antiphon", antiphon.__version__)
        self._open: dict[str, Span] = {}

    def began(self, work: Began) -> None:
        """Begin a span, below that of the client; what goes to the upstreams is below ours."""
        from opentelemetry.trace import SpanKind

        operation = _OPERATIONS[work.operation]
        attributes: dict[str, Any] = {
            semconv.OPERATION: operation,
            semconv.PROVIDER: semconv.OURS,
            semconv.REQUEST_MODEL: work.model,
            semconv.RESPONSE_ID: work.id,
            semconv.REQUEST_ID: work.trace.request_id,
            semconv.PROJECT: work.project,
            semconv.REQUEST_STREAM: work.streamed,
            semconv.BACKGROUND: work.background,
        }
        span = self._tracer.start_span(
            f"{operation} {work.model}",
            _context_of(work.trace.traceparent),
            SpanKind.SERVER,
            attributes,
            start_time=_nanoseconds(work.at),
        )
        self._open[work.id] = span
        work.trace.traceparent = _traceparent(span)

    def ended(self, report: Report) -> None:
        """End the span, and tell the attempts."""
        from opentelemetry.trace import set_span_in_context

        span = self._open.pop(report.id, None)
        if span is None:
            return
        if span.is_recording():
            context = set_span_in_context(span)
            for attempt in report.attempts:
                self._tell(attempt, report, context)
            span.set_attributes(dict(_figures(report)))
            _judge(span, report.outcome, report.error or report.error_class)
        span.end(_nanoseconds(report.at + report.took))

    def answered(self, request: Answered) -> None:
        """Nothing: a request that did not ask a model has no span."""

    def close(self) -> None:
        """Send what is left, within two seconds."""
        self._provider.force_flush(FLUSH)
        self._provider.shutdown()

    def _tell(self, attempt: Attempt, report: Report, context: Context) -> None:
        from opentelemetry.trace import SpanKind

        began = report.at + attempt.began
        operation = semconv.CHAT if attempt.judges else _OPERATIONS[report.operation]
        span = self._tracer.start_span(
            f"{operation} {attempt.model}",
            context,
            SpanKind.CLIENT,
            dict(_place(attempt, operation)),
            start_time=_nanoseconds(began),
        )
        span.set_attributes(dict(_figures_of(attempt)))
        _judge(span, attempt.outcome, attempt.code)
        span.end(_nanoseconds(began + attempt.took))


def _context_of(traceparent: str) -> Context:
    """The context that a `traceparent` means; an empty one begins a trace."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    if not traceparent:
        return Context()
    _, trace_id, span_id, flags = traceparent.split("-")
    parent = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _traceparent(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _nanoseconds(at: float) -> int:
    return int(at * 1e9)


def _judge(span: Span, outcome: str | None, error: str | None) -> None:
    """Mark a span that failed; all others stay unset, as the conventions have it."""
    from opentelemetry.trace import Status, StatusCode

    if outcome == "failed":
        span.set_attribute(semconv.ERROR_TYPE, error or "_OTHER")
        span.set_status(Status(StatusCode.ERROR, error))


def _figures(report: Report) -> Iterator[tuple[str, Any]]:
    """What is known of a response when it is over."""
    yield semconv.RESPONSE_MODEL, report.model
    yield semconv.OUTCOME, report.outcome
    yield semconv.FINISH_REASONS, [report.reason or report.outcome]
    yield from _tokens(report.usage)
    if report.first_token is not None:
        yield semconv.TIME_TO_FIRST_CHUNK, report.first_token
    if report.queued:
        yield semconv.QUEUED, report.queued
    if report.cache:
        yield semconv.CACHE, report.cache
    if report.cost is not None:
        yield semconv.COST, float(report.cost)


def _figures_of(attempt: Attempt) -> Iterator[tuple[str, Any]]:
    yield from _tokens(attempt.usage)
    yield semconv.OUTCOME, attempt.outcome or "cancelled"
    if attempt.first_token is not None:
        yield semconv.TIME_TO_FIRST_CHUNK, attempt.first_token
    if attempt.is_hedge:
        yield semconv.HEDGE, True
    if attempt.judges:
        yield semconv.JUDGES, True
    if attempt.is_estimated:
        yield semconv.ESTIMATED, True


def _place(attempt: Attempt, operation: str) -> Iterator[tuple[str, Any]]:
    """What is known of an attempt when it begins."""
    yield semconv.OPERATION, operation
    yield semconv.PROVIDER, semconv.OPENAI
    yield semconv.REQUEST_MODEL, attempt.model
    url = urlsplit(attempt.upstream)
    if url.hostname:
        yield semconv.SERVER_ADDRESS, url.hostname
        yield semconv.SERVER_PORT, url.port or _PORTS.get(url.scheme, 0)


def _tokens(usage: Usage | None) -> Iterator[tuple[str, int]]:
    if usage is None:
        return
    yield semconv.INPUT_TOKENS, usage.input_tokens
    yield semconv.OUTPUT_TOKENS, usage.output_tokens
    yield semconv.CACHED_TOKENS, usage.input_tokens_details.cached_tokens
    yield semconv.REASONING_TOKENS, usage.output_tokens_details.reasoning_tokens
