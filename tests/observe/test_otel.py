"""Spans, as the SDK's own in-memory exporter gets them."""

from __future__ import annotations

import sys
from decimal import Decimal

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import SpanKind, StatusCode

from antiphon.observe.otel import NotInstalled, Tracing, exporting
from antiphon.turn import semconv
from antiphon.turn.trace import Trace
from tests.observe.reports import USAGE, attempt, began, report

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Spans:
    def __init__(self, **options) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(**options)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracing = Tracing(provider)

    def of(self, work, report):
        """The spans of one response, its own last."""
        self.tracing.began(work)
        self.tracing.ended(report)
        return self.exporter.get_finished_spans()


@pytest.fixture
def spans():
    return Spans()


def test_a_response_is_a_span_with_the_names_of_the_conventions(spans):
    (span,) = spans.of(began(), report(cost=Decimal("0.5"), cache="miss"))
    assert (span.name, span.kind) == ("chat gpt", SpanKind.SERVER)
    assert span.parent is None
    assert span.start_time == 1000 * 10**9
    assert span.end_time == 1002.5 * 10**9
    assert span.status.status_code == StatusCode.UNSET
    told = dict(span.attributes)
    assert told[semconv.OPERATION] == "chat"
    assert told[semconv.REQUEST_MODEL] == told[semconv.RESPONSE_MODEL] == "gpt"
    assert told[semconv.RESPONSE_ID] == "resp_1"
    assert told[semconv.REQUEST_ID] == "req_1"
    assert told[semconv.INPUT_TOKENS] == 100
    assert told[semconv.CACHED_TOKENS] == 40
    assert told[semconv.OUTPUT_TOKENS] == 21
    assert told[semconv.REASONING_TOKENS] == 5
    assert told[semconv.TIME_TO_FIRST_CHUNK] == 0.5
    assert told[semconv.FINISH_REASONS] == ("completed",)
    assert told[semconv.COST] == 0.5


def test_every_attempt_is_a_child_with_its_own_times_and_place(spans):
    row = (
        attempt(took=0.5, outcome="failed", code="upstream_cut"),
        attempt(upstream="https://api.example.com/v1", model="big", began=0.6, took=1.9, first_token=0.2, usage=USAGE),
    )
    first, second, own = spans.of(began(), report(attempts=row))
    assert {first.parent.span_id, second.parent.span_id} == {own.context.span_id}
    assert {first.kind, second.kind} == {SpanKind.CLIENT}
    assert first.status.status_code == StatusCode.ERROR
    assert first.attributes[semconv.ERROR_TYPE] == "upstream_cut"
    assert (first.attributes[semconv.SERVER_ADDRESS], first.attributes[semconv.SERVER_PORT]) == ("10.0.0.1", 8000)
    assert second.name == "chat big"
    assert (second.attributes[semconv.SERVER_ADDRESS], second.attributes[semconv.SERVER_PORT]) == (
        "api.example.com",
        443,
    )
    assert second.attributes[semconv.INPUT_TOKENS] == 100
    assert (second.start_time, second.end_time) == (1000.6 * 10**9, 1002.5 * 10**9)
    assert own.status.status_code == StatusCode.UNSET


def test_the_trace_of_the_client_goes_on_and_our_span_is_what_upstreams_get(spans):
    trace = Trace(traceparent=CLIENT)
    (own,) = spans.of(began(trace=trace), report())
    assert f"{own.context.trace_id:032x}" == CLIENT.split("-")[1]
    assert f"{own.parent.span_id:016x}" == CLIENT.split("-")[2]
    assert own.parent.is_remote
    assert trace.headers == {"traceparent": f"00-{own.context.trace_id:032x}-{own.context.span_id:016x}-01"}


def test_a_client_that_does_not_sample_is_not_recorded_and_the_upstreams_are_told():
    spans = Spans(sampler=ParentBased(ALWAYS_OFF))
    trace = Trace(traceparent=CLIENT[:-2] + "00")
    assert spans.of(began(trace=trace), report(attempts=(attempt(),))) == ()
    assert trace.traceparent.split("-")[1] == CLIENT.split("-")[1]
    assert trace.traceparent.endswith("-00")


def test_a_failed_response_is_an_error_with_its_code(spans):
    (own,) = spans.of(began(), report(outcome="failed", error="upstream_timeout", error_class="UpstreamTimeout"))
    assert own.status.status_code == StatusCode.ERROR
    assert own.attributes[semconv.ERROR_TYPE] == "upstream_timeout"


def test_embeddings_are_an_operation_of_their_own(spans):
    (own,) = spans.of(began(operation="embeddings", id="emb_1"), report(operation="embeddings", id="emb_1"))
    assert own.name == "embeddings gpt"
    assert own.attributes[semconv.OPERATION] == "embeddings"


def test_what_a_judge_was_asked_is_a_chat_below_what_it_judged_for(spans):
    asked = (attempt(judges=True),)
    child, own = spans.of(began(operation="moderation"), report(operation="moderation", attempts=asked))
    assert (child.name, own.name) == ("chat qwen3", "moderation gpt")
    assert child.attributes[semconv.JUDGES] is True


def test_a_span_has_no_attribute_that_is_not_in_the_one_module_of_names(spans):
    names = {value for name, value in vars(semconv).items() if name.isupper()}
    row = (
        attempt(is_hedge=True, judges=True, outcome="cancelled", is_estimated=True),
        attempt(usage=USAGE, first_token=0.1),
    )
    full = report(attempts=row, queued=0.1, cache="miss", cost=Decimal(1), outcome="failed", error="x")
    for span in spans.of(began(), full):
        assert set(span.attributes) <= names


def test_without_the_extra_it_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(NotInstalled, match=r"antiphon\[otel\]"):
        exporting("http://127.0.0.1:4318")


@pytest.mark.parametrize(("given", "name"), [(None, "antiphon"), ("mine", "mine")])
def test_the_service_is_antiphon_unless_a_variable_names_it(given, name, monkeypatch):
    if given is not None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", given)
    tracing = exporting("http://127.0.0.1:9")
    assert tracing._provider.resource.attributes[semconv.SERVICE_NAME] == name
    tracing.close()
