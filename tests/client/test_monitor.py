"""Monitors: one line a request, metrics and spans, from the same frozen records; never any content."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import msgspec
import pytest
from openai import AsyncOpenAI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry

from antiphon.client import AsyncClient, OptionError, ServerFailed
from antiphon.client.costs import Budget, Costs
from antiphon.client.moderation import Moderation
from antiphon.client.moderators import RuleList
from antiphon.client.monitor import RequestLog
from antiphon.client.monitor_otel import OpenTelemetryObserver
from antiphon.client.monitor_prometheus import METRICS, MOST_VALUES, PrometheusObserver
from antiphon.client.records import Began
from antiphon.turn import semconv
from tests.client.recorded import TEXT, recording
from tests.support.answers import error_answer, stream
from tests.support.response_events import sse_of

pytestmark = pytest.mark.anyio

ASKED = {"model": "m", "input": "a secret question"}


@pytest.fixture
def prices(tmp_path):
    file = tmp_path / "prices.toml"
    file.write_text('[[price]]\nmodel = "m"\ninput = 1\noutput = 10\n')
    return file


@pytest.fixture
def parts(prices):
    """A client's options that make it say all that it can say."""
    rules = RuleList(words={"house": ["Größe"]})
    return {
        "cache": True,
        "costs": Costs(prices=prices, budgets=Budget("0.0001", hard=False)),
        "moderation": Moderation(rules, output="report", input="report"),
        "breaker": {"volume": 100},
    }


async def exercise(client, upstream) -> None:
    """An answer after a failed attempt, a hit, one that fails for good."""
    upstream.script = [error_answer(503), *[stream(sse_of(recording()))] * 3, *[error_answer(500)] * 3]
    for text in ("a secret question", "a secret question", "b", "c"):
        await client.create(model="m", input=text)
    with pytest.raises(ServerFailed):
        await client.create(model="m", input="d")


# Log


async def test_each_request_is_one_line_without_content(async_client, in_thread, upstream, caplog, parts):
    caplog.set_level(logging.INFO, "antiphon.client.requests")
    await exercise(async_client(upstream.base_url, observers=RequestLog(), **parts), upstream)
    lines = [record for record in caplog.records if record.getMessage().startswith("response ")]
    assert len(lines) == 5
    assert [record.levelno for record in lines] == [logging.INFO] * 4 + [logging.WARNING]
    fields = [record.fields for record in lines]
    assert [(each["status"], each["attempts"], each.get("cache")) for each in fields] == [
        ("completed", 2, "miss"),
        ("completed", 0, "hit"),
        ("completed", 1, "miss"),
        ("completed", 1, "miss"),
        ("failed", 3, "miss"),
    ]
    assert fields[0]["cost_usd"] == "0.000053"
    assert "cost_usd" not in fields[1]
    assert fields[-1]["error"] == "500"
    assert "budget budget=" in caplog.text
    assert "flagged number=" in caplog.text
    assert "secret" not in caplog.text
    assert TEXT not in caplog.text


async def test_a_line_cannot_be_forged(async_client, upstream, caplog):
    caplog.set_level(logging.INFO, "antiphon.client.requests")
    await async_client(upstream.base_url, observers=RequestLog()).create(model='x"\nresponse status="fine', input="Hi.")
    assert "\n" not in caplog.records[-1].getMessage()


# Prometheus


async def test_metrics_are_counted(async_client, upstream, parts):
    registry = CollectorRegistry()
    await exercise(async_client(upstream.base_url, observers=PrometheusObserver(registry), **parts), upstream)

    def value(name, **labels):
        return registry.get_sample_value(f"antiphon_client_{name}", {"model": "m", **labels})

    assert value("requests_total", status="completed") == 4
    assert value("requests_total", status="failed") == 1
    assert value("errors_total", error="500") == 1
    assert value("requests_running") == 0
    assert value("failed_attempts_total", error="503", then="retry") == 1
    assert value("tokens_total", kind="output") == 15
    assert value("cost_usd_total") == pytest.approx(3 * 0.000053)
    assert value("cache_total", result="hit") == 1
    assert value("request_seconds_count") == 5
    assert value("flagged_total", side="output", action="report") == 3
    assert registry.get_sample_value("antiphon_client_budget_alerts_total", {"budget": "0.0001 USD a day"}) == 1


def test_clients_share_one_observer_and_labels_are_few():
    registry = CollectorRegistry()
    observer = PrometheusObserver(registry)
    for number in range(MOST_VALUES + 50):
        observer(Began(number=number, model=f"m{number}", streamed=True, background=False))
    name = "antiphon_client_requests_running"
    assert registry.get_sample_value(name, {"model": "other"}) == 50
    assert registry.get_sample_value(name, {"model": "m0"}) == 1


def test_every_metric_has_a_row_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "client-monitoring.md").read_text()
    told = {
        row[0]: re.findall(r"`(\w+)`", row[1])
        for row in re.findall(r"^\| `(antiphon_client_\w+)` \| (.*?) \|", page, re.MULTILINE)
    }
    assert told == {name: list(metric.labels) for name, metric in METRICS.items()}


# OpenTelemetry


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def provider(exporter):
    made = TracerProvider()
    made.add_span_processor(SimpleSpanProcessor(exporter))
    yield made
    made.shutdown()


async def test_each_request_is_a_span_below_the_callers(async_client, upstream, parts, exporter, provider):
    client = async_client(upstream.base_url, observers=OpenTelemetryObserver(provider), **parts)
    with provider.get_tracer("app").start_as_current_span("app"):
        await exercise(client, upstream)
    *spans, caller = exporter.get_finished_spans()
    assert [span.parent.span_id for span in spans] == [caller.context.span_id] * 5
    first, hit, *_, last = spans
    assert first.name == "chat m"
    assert first.attributes[semconv.OUTPUT_TOKENS] == 5
    assert first.attributes[semconv.COST] == pytest.approx(0.000053)
    assert {"attempt failed", "flagged"} == {event.name for event in first.events}
    assert hit.attributes[semconv.CACHE] == "hit"
    assert last.status.status_code is StatusCode.ERROR
    assert last.attributes[semconv.ERROR_TYPE] == "500"
    told = " ".join(span.to_json() for span in spans)
    assert "secret" not in told
    assert "Größe" not in told
    names = {value for name, value in vars(semconv).items() if name.isupper()}
    for span in spans:
        assert set(span.attributes) <= names
        assert all(set(event.attributes) <= names for event in span.events)


async def test_a_stream_that_was_taken_up_says_so(async_client, upstream, exporter, provider):
    upstream.events = recording(background=True)
    upstream.spoil_first(lambda answer: answer.cut_after(len(answer.wire) - 900))
    client = async_client(upstream.base_url, observers=[OpenTelemetryObserver(provider)])
    await client.create(model="m", input="Hi.", background=True)
    (span,) = exporter.get_finished_spans()
    assert [event.name for event in span.events] == ["attempt failed", "resumed"]


# Records


def test_records_are_frozen():
    record = Began(number=1, model="m", streamed=True, background=False)
    with pytest.raises(AttributeError):
        record.model = "n"  # type: ignore[misc]
    assert msgspec.structs.replace(record, model="n") != record


def test_an_observer_is_a_function():
    with pytest.raises(OptionError) as caught:
        AsyncClient(AsyncOpenAI(api_key="none"), observers=["log"])
    assert caught.value.option == "observers"
