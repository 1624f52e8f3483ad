"""Metrics: what is counted, what is read, and that labels stay few."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from prometheus_client.parser import text_string_to_metric_families

from antiphon.engine.upstreams import Upstreams
from antiphon.observe.metrics import METRICS, MOST_SERIES, Metrics
from antiphon.testing import FakeClock, ScriptedModel
from tests.observe.reports import UPSTREAM, USAGE, answered, attempt, began, report


def told(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """The samples: their name, and the values of their labels in the order of the table."""
    text = metrics.render()[0].decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(each.name, *in_order(each.name, each.labels)): each.value for each in samples}


def in_order(name: str, labels: dict[str, str]) -> list[str]:
    known = METRICS.get(name) or METRICS.get(name.rpartition("_")[0])
    order = (*known.labels, "le") if known else labels
    return [labels[label] for label in order if label in labels]


@pytest.fixture
def metrics():
    return Metrics(["gpt"])


def test_a_response_is_counted_with_its_times_and_tokens(metrics):
    metrics.began(began())
    metrics.ended(report(cost=Decimal("0.25"), cache="miss", tokens_saved=7))
    found = told(metrics)
    assert found["antiphon_requests_total", "response", "gpt", "completed"] == 1
    assert found["antiphon_time_to_first_token_seconds_sum", "gpt"] == 0.5
    assert found["antiphon_time_per_output_token_seconds_sum", "gpt"] == pytest.approx(0.1)
    assert found["antiphon_request_seconds_sum", "response", "gpt"] == 2.5
    tokens = {kind: found["antiphon_tokens_total", "gpt", kind] for kind in ("input", "cached", "output", "reasoning")}
    assert tokens == {"input": 100, "cached": 40, "output": 21, "reasoning": 5}
    assert found["antiphon_cost_usd_total", "gpt"] == 0.25
    assert found["antiphon_cache_total", "gpt", "miss"] == 1
    assert found["antiphon_tokens_saved_total", "gpt"] == 7


def test_what_the_cache_answered_with_is_counted_apart_with_the_money_that_it_saved(metrics):
    metrics.ended(report(cache="hit", reused=(attempt(usage=USAGE),), cost=Decimal(0), saved=Decimal("0.125")))
    found = told(metrics)
    kinds = ("input", "cached", "output", "reasoning")
    assert {found["antiphon_tokens_total", "gpt", kind] for kind in kinds} == {0}
    assert found["antiphon_cache_tokens_saved_total", "gpt", "input"] == 100
    assert found["antiphon_cache_tokens_saved_total", "gpt", "output"] == 21
    assert found["antiphon_cache_usd_saved_total", "gpt"] == 0.125


def test_a_histogram_counts_each_value_in_every_bucket_above_it(metrics):
    for seconds in (0.05, 0.3, 1e6):
        metrics.ended(report(first_token=seconds, took=seconds + 1))
    found = told(metrics)
    name = "antiphon_time_to_first_token_seconds"
    buckets = {float(key[2]): value for key, value in found.items() if key[0] == f"{name}_bucket"}
    assert [buckets[bound] for bound in (0.05, 0.25, 0.5, 300, math.inf)] == [1, 1, 2, 2, 3]
    assert found[f"{name}_count", "gpt"] == 3


def test_attempts_retries_and_fallbacks_are_told_apart_and_a_hedge_is_neither(metrics):
    other = "http://10.0.0.2/v1"
    row = (
        attempt(outcome="failed", code="upstream_cut"),
        attempt(outcome="failed", code="upstream_cut"),
        attempt(upstream=other),
        attempt(is_hedge=True, outcome="cancelled"),
    )
    metrics.ended(report(attempts=row))
    found = told(metrics)
    assert found["antiphon_attempts_total", UPSTREAM, "qwen3", "failed"] == 2
    assert found["antiphon_attempts_total", UPSTREAM, "qwen3", "cancelled"] == 1
    assert found["antiphon_attempts_total", other, "qwen3", "completed"] == 1
    assert found["antiphon_retries_total", "gpt"] == 1
    assert found["antiphon_fallbacks_total", "gpt"] == 1


def test_an_error_is_counted_once_whether_it_was_an_http_answer_or_a_failed_response(metrics):
    refused = {"error": "upstream_timeout", "error_class": "UpstreamTimeout"}
    metrics.ended(report(outcome="failed", refused=True, **refused))
    metrics.answered(answered(status=504, **refused))
    metrics.ended(report(outcome="failed", **refused))
    metrics.answered(answered())
    found = told(metrics)
    assert found["antiphon_errors_total", "upstream_timeout", "UpstreamTimeout"] == 2
    assert found["antiphon_http_requests_total", "POST", "/v1/responses", "504"] == 1


def test_what_nobody_configured_has_no_label_of_its_own(metrics):
    for number in range(3):
        metrics.ended(report(model=f"made-up-{number}"))
        metrics.answered(answered(method=f"X{number}", route="unknown", status=404))
    found = told(metrics)
    assert found["antiphon_requests_total", "response", "*", "completed"] == 3
    assert found["antiphon_http_requests_total", "other", "unknown", "404"] == 3


def test_series_are_bounded_whatever_others_say(metrics):
    for number in range(MOST_SERIES * 2):
        metrics.answered(answered(status=400, error=f"code_{number}", error_class="InvalidRequest"))
    found = told(metrics)
    series = [key for key in found if key[0] == "antiphon_errors_total"]
    assert len(series) == MOST_SERIES + 1
    assert found["antiphon_errors_total", "other", "other"] == MOST_SERIES


def test_gauges_have_no_more_series_than_others_and_no_label_is_long(metrics):
    metrics.read("antiphon_breaker_state", lambda: {("u", f"{number:04}" * 100, "open"): 1.0 for number in range(1000)})
    metrics.ended(report(attempts=(attempt(model="m" * 10_000),)))
    found = told(metrics)
    assert len([key for key in found if key[0] == "antiphon_breaker_state"]) == MOST_SERIES
    assert max(len(label) for key in found for label in key) == 128


def test_names_that_clients_invent_have_one_label_at_their_upstream_too(metrics):
    upstreams = Upstreams(FakeClock())
    metrics.watch_upstreams(upstreams)
    own = upstreams.line(ScriptedModel(name="qwen3"), UPSTREAM)
    for number in range(MOST_SERIES * 2):
        line = upstreams.line(ScriptedModel(name=f"made-up-{number}"), UPSTREAM, is_configured=False)
        if number % 2:
            line.breaker.force_open(0)
        metrics.ended(report(model=f"made-up-{number}", attempts=(attempt(model=f"made-up-{number}"),)))
    metrics.ended(report(model="made-up", attempts=(attempt(model="judge"), attempt())))
    metrics.ended(report(attempts=(attempt(model="any"),)))
    own.breaker.force_open(0)
    found = told(metrics)
    assert found["antiphon_attempts_total", UPSTREAM, "*", "completed"] == MOST_SERIES * 2 + 1
    assert found["antiphon_attempts_total", UPSTREAM, "qwen3", "completed"] == 1
    assert found["antiphon_attempts_total", UPSTREAM, "any", "completed"] == 1
    assert found["antiphon_breaker_state", UPSTREAM, "qwen3", "forced_open"] == 1
    assert found["antiphon_breaker_state", UPSTREAM, "qwen3", "closed"] == 0
    assert found["antiphon_breaker_state", UPSTREAM, "*", "closed"] == MOST_SERIES
    assert found["antiphon_breaker_state", UPSTREAM, "*", "forced_open"] == MOST_SERIES
    assert found["antiphon_breaker_transitions_total", UPSTREAM, "*", "forced_open"] == MOST_SERIES
    assert found["antiphon_breaker_transitions_total", UPSTREAM, "qwen3", "forced_open"] == 1


def test_gauges_are_read_when_they_are_asked_for_and_put_together(metrics):
    states = {("http://a/v1", "qwen3", "closed"): 1.0}
    metrics.read("antiphon_breaker_state", lambda: states)
    metrics.read("antiphon_breaker_state", lambda: {("http://b/v1", "qwen3", "open"): 1.0})
    states[("http://a/v1", "qwen3", "closed")] = 0.0
    found = told(metrics)
    assert found["antiphon_breaker_state", "http://a/v1", "qwen3", "closed"] == 0
    assert found["antiphon_breaker_state", "http://b/v1", "qwen3", "open"] == 1


def test_openmetrics_is_spoken_to_those_who_ask_for_it(metrics):
    plain, kind = metrics.render()
    assert kind.startswith("text/plain")
    assert b"# EOF" not in plain
    text, kind = metrics.render("application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_every_metric_of_the_table_is_told_and_no_other_of_ours(metrics):
    text = metrics.render()[0].decode()
    named = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE antiphon_")}
    assert named == set(METRICS)


@pytest.mark.parametrize("name", METRICS)
def test_names_follow_the_conventions_of_prometheus(name):
    metric = METRICS[name]
    assert name.endswith("_total") == (metric.kind == "counter")
    assert bool(metric.bounds) == (metric.kind == "histogram")
    assert "le" not in metric.labels
