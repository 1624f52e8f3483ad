"""`antiphon status`: the figures of a running server."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from antiphon.cli.figures import Figures, Model, figures_of
from antiphon.cli.status import rates, view
from antiphon.observe.metrics import Metrics
from tests.cli.conftest import serving
from tests.observe.reports import UPSTREAM, answered, attempt, report


@pytest.fixture
def figures():
    """Those of a server that had some work."""
    metrics = Metrics(["gpt", "small"])
    tries = (attempt(outcome="failed"), attempt(), attempt(upstream="http://b/v1"))
    metrics.ended(report(attempts=tries, cost=Decimal("0.5"), cache="hit"))
    metrics.ended(report(first_token=0.6, took=2.6))
    metrics.ended(report(outcome="failed", error="upstream_cut", error_class="Unavailable"))
    metrics.ended(report(operation="embeddings", model="small", first_token=None, usage=None))
    metrics.answered(answered(status=400, error="model_not_found", error_class="InvalidRequest"))
    metrics.read(
        "antiphon_breaker_state", lambda: {(UPSTREAM, "qwen3", "open"): 1.0, (UPSTREAM, "qwen3", "closed"): 0.0}
    )
    metrics.read("antiphon_queue_length", lambda: {("background",): 3.0})
    metrics.read("antiphon_streams_open", lambda: {(): 2.0})
    metrics.read("antiphon_responses_running", lambda: {("foreground",): 4.0, ("background",): 1.0})
    metrics.read("antiphon_event_loop_lag_seconds", lambda: {(): 0.012})
    return figures_of(metrics.render()[0].decode())


def test_the_figures_of_the_metrics_are_read(figures):
    gpt, small = figures.models
    assert (gpt.model, gpt.operation, gpt.requests, gpt.failed) == ("gpt", "response", 3, 1)
    assert (gpt.input_tokens, gpt.cached_tokens, gpt.output_tokens, gpt.cost_usd) == (300, 120, 63, 0.5)
    assert gpt.first_token_p50 == pytest.approx(0.4375)
    assert gpt.first_token_p95 == pytest.approx(0.925)
    assert gpt.per_token == pytest.approx(0.1)
    assert (small.operation, small.requests, small.first_token_p50, small.cost_usd) == ("embeddings", 1, None, None)
    first, second = figures.upstreams
    assert (first.upstream, first.attempts, first.failed, first.breaker) == (UPSTREAM, 2, 1, "open")
    assert (second.upstream, second.attempts, second.breaker) == ("http://b/v1", 1, None)
    assert (figures.retries, figures.fallbacks, figures.cache) == (1, 1, {"hit": 1})
    assert figures.errors == {"upstream_cut": 1, "model_not_found": 1}
    assert (figures.foreground, figures.background, figures.streams, figures.queues) == (4, 1, 2, {"background": 3})


def test_a_look_shows_them_all(figures):
    figures.started, figures.memory_bytes = 1000.0, 64 * 2**20
    shown = view(figures, 1000.0 + 3720)
    for words in ("1 h 2 min", "64 MB", "4 foreground, 1 background", "3 background", "12 ms", "1 hit", "0.5000"):
        assert words in shown
    assert "http://10.0.0.1:8000/v1  qwen3  2         1       open" in shown
    assert "upstream_cut" in shown


def test_an_idle_server_shows_no_empty_tables():
    shown = view(Figures(version="1"), 0.0)
    assert "MODEL" not in shown
    assert "UPSTREAM" not in shown


def test_what_came_between_two_looks_is_told_a_second():
    def at(requests: int, tokens: int) -> Figures:
        return Figures(models=[Model(model="m", operation="response", requests=requests, output_tokens=tokens)])

    assert rates(at(10, 100), at(15, 400), 2.0) == "2.5 requests/s  150 tokens/s"


@pytest.mark.parametrize("text", ["", "<html>", "up 1\n", 'x{y="'])
def test_what_are_no_metrics_of_ours_is_said_to_be_none(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the parser's own errors are among them
        figures_of(text)


def test_a_running_server_is_looked_at_once_where_nobody_watches(antiphon, server):
    antiphon("ask", "--base-url", server.base_url, "Hi.")
    for options in ([], ["--once"]):
        done = antiphon("status", "--base-url", server.base_url, *options)
        assert done.exit_code == 0
        assert "rehearsal" in done.stdout
        assert "running" in done.stdout


def test_the_figures_can_be_had_as_json(antiphon, server):
    told = json.loads(antiphon("status", "--json", "--base-url", server.base_url).stdout)
    assert told["version"]
    assert set(told) == set(Figures.__struct_fields__)


def test_no_server_is_told_in_one_line(antiphon):
    done = antiphon("status", "--base-url", "http://127.0.0.1:9/v1")
    assert done.exit_code == 1
    assert "no server answers" in done.stderr


def test_the_key_is_sent_and_a_wrong_one_is_told_of(antiphon, tmp_path):
    with serving(tmp_path, "--port", "0", ANTIPHON_API_KEY="secret") as server:
        assert antiphon("status", "--base-url", server.base_url).exit_code == 1
        assert antiphon("status", "--base-url", server.base_url, "--api-key", "secret").exit_code == 0


def test_a_server_without_metrics_is_told_of(antiphon, tmp_path):
    with serving(tmp_path, "--port", "0", ANTIPHON_METRICS_ENABLED="false") as server:
        done = antiphon("status", "--base-url", server.base_url)
    assert done.exit_code == 1
    assert "switched off" in done.stderr
