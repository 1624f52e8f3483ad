"""Readiness, metrics, log lines and traces of a running server."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from antiphon.engine.engine import EngineSettings
from antiphon.observe.metrics import Metrics
from antiphon.observe.otel import exporting
from antiphon.testing import ScriptedModel, said
from antiphon.turn.deltas import Text
from antiphon.wire.errors import Unavailable
from tests.engine.test_report import Watching
from tests.observe.lines import written_lines
from tests.support.chat_catalog import ChatCatalog
from tests.support.serving import serving
from tests.support.upstream import FakeUpstream, chat_stream, plain, stream
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

SECRET = "the secret of the lake"  # what must be in no line, no label and no span
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


# Readiness


async def test_the_server_is_ready_while_its_store_answers():
    async with serving() as s:
        assert (await s.ask("GET", "/ready"))[:2] == (200, {"status": "ready"})


async def test_a_store_that_fails_makes_the_server_alive_and_not_ready(monkeypatch):
    async with serving() as s:

        async def broken(*_):
            raise Unavailable("The disk is gone.")

        monkeypatch.setattr(s.engine.store, "find", broken)
        status, body, _ = await s.ask("GET", "/ready")
        assert (status, body["error"]["message"]) == (503, "The disk is gone.")
        assert (await s.ask("GET", "/health"))[0] == 200


async def test_a_store_that_says_nothing_makes_the_server_not_ready(monkeypatch):
    monkeypatch.setattr("antiphon.engine.engine.PATIENCE", 0.0)
    async with serving() as s:
        monkeypatch.setattr(s.engine.store, "find", lambda *_: asyncio.Event().wait())
        status, body, _ = await s.ask("GET", "/ready")
        assert (status, body["error"]["message"]) == (503, "The store does not answer.")


async def test_a_server_that_stops_is_alive_and_not_ready():
    async with serving() as s:
        s.engine.stopping = True
        status, body, _ = await s.ask("GET", "/ready")
        assert (status, body["error"]["message"]) == (503, "The server is stopping.")
        assert (await s.ask("GET", "/health"))[0] == 200


async def test_readiness_needs_no_key():
    async with serving(api_key=lambda: "secret") as s:
        assert (await s.ask("GET", "/ready"))[0] == 200


# Metrics


async def test_metrics_need_the_key_unless_they_are_open():
    metrics, key = Metrics(), {"Authorization": "Bearer secret"}
    for is_open, headers, status in ((False, {}, 401), (False, key, 200), (True, {}, 200)):
        async with (
            serving(api_key=lambda: "secret", metrics=metrics, metrics_open=is_open) as s,
            s.http.get(s.url + "/metrics", headers=headers) as answer,
        ):
            assert answer.status == status


async def test_a_server_without_metrics_says_so():
    async with serving() as s:
        status, body, _ = await s.ask("GET", "/metrics")
        assert (status, body["error"]["code"]) == (404, "not_served")


async def test_a_foreign_host_gets_no_metrics():
    async with serving(metrics=Metrics(), hosts=frozenset(("127.0.0.1",))) as s:
        assert (await s.ask("GET", "/metrics", headers={"Host": "evil.example"}))[0] == 400


async def gauge(s, name: str) -> float:
    async with s.http.get(s.url + "/metrics") as answer:
        text = await answer.text()
    return float(re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)[1])


async def test_what_is_under_way_is_read_from_the_server():
    go, metrics = asyncio.Event(), Metrics()
    async with serving(ScriptedModel([[Text("a")], go, *said()]), observers=[metrics], metrics=metrics) as s:
        body = {"model": "scripted", "input": "Hi.", "stream": True}
        async with s.http.post(s.url + "/v1/responses", json=body) as answer:
            await answer.content.readany()
            assert await gauge(s, "antiphon_streams_open") == 1
            assert await gauge(s, 'antiphon_responses_running{kind="foreground"}') == 1
            go.set()
            await answer.read()
        await until(lambda: not s.engine.runs)
        assert await gauge(s, "antiphon_streams_open") == 0
        assert await gauge(s, 'antiphon_responses_running{kind="foreground"}') == 0


async def test_background_responses_that_wait_for_a_slot_are_in_the_queue():
    go, metrics = asyncio.Event(), Metrics()
    settings = EngineSettings(background_slots=1)
    model = ScriptedModel([[Text("a")], go, *said()])
    async with serving(model, settings=settings, observers=[metrics], metrics=metrics) as s:
        for _ in range(3):
            await s.create(background=True)
        assert await gauge(s, 'antiphon_queue_length{queue="background"}') == 2
        go.set()
        await until(lambda: not s.engine.runs)
        assert await gauge(s, 'antiphon_queue_length{queue="background"}') == 0


# Log lines


@pytest.fixture
def lines():
    with written_lines() as written:
        yield written


async def test_every_request_has_one_line_with_the_id_that_its_client_got(lines):
    async with serving(observers=[lines.log], api_key=lambda: "k") as s:
        key = {"Authorization": "Bearer k"}
        asked = [
            ("POST", "/v1/responses", {"model": "scripted", "input": "Hi."}, key, 200),
            ("POST", "/v1/responses", {"model": "nobody", "input": "Hi."}, key, 400),
            ("POST", "/v1/responses", {}, {}, 401),
            ("GET", "/v1/responses/resp_1", None, key, 404),
            ("GET", "/v1/nowhere?secret=1", None, key, 404),
            ("PUT", "/v1/models", {}, key, 405),
            ("GET", "/v1/models", None, {**key, "Host": "/"}, 400),
        ]
        ids = [
            (await s.ask(method, path, body, headers=headers))[2]["x-request-id"]
            for method, path, body, headers, _ in asked
        ]
    assert [line["request_id"] for line in lines.lines] == ids
    assert [line["status"] for line in lines.lines] == [status for *_, status in asked]
    routes = ["/v1/responses"] * 3 + ["/v1/responses/{response_id}", "unknown", "/v1/models", "/v1/models"]
    assert [line["route"] for line in lines.lines] == routes


@pytest.mark.parametrize("body", [{}, {"stream": True}, {"store": False}, {"background": True}])
async def test_no_line_and_no_metric_has_content(lines, body):
    metrics = Metrics(["scripted"])
    async with serving(ScriptedModel(said(SECRET)), observers=[lines.log, metrics], metrics=metrics) as s:
        sent = {"model": "scripted", "input": SECRET, "instructions": SECRET, "user": SECRET, **body}
        async with s.http.post(s.url + "/v1/responses", json=sent) as answer:
            await answer.read()
        count = 2 if "background" in body else 1
        await until(lambda: len(lines.lines) >= count)
        async with s.http.get(s.url + "/metrics") as answer:
            text = await answer.text()
    assert len(lines.lines) == count
    assert lines.lines[-1]["outcome"] == "completed"
    assert lines.lines[-1]["output_tokens"] > 0
    assert SECRET not in json.dumps(lines.lines) + text


async def test_a_stream_of_any_length_is_two_calls_and_one_line(lines):
    watching = Watching()
    async with serving(ScriptedModel(said("x" * 1000, size=1)), observers=[lines.log, watching]) as s:
        data = await s.stream()
    assert data.count(b"response.output_text.delta\n") == 1000
    assert [type(call).__name__ for call in watching.calls] == ["Began", "Report", "Answered"]
    assert len(lines.lines) == 1


# Traces


async def test_the_trace_of_a_client_goes_to_the_upstream_as_it_is_where_nobody_traces_here():
    async with FakeUpstream() as up, serving(ChatCatalog(up.base_url)) as s:
        up.always(stream(chat_stream("Hello")))
        for given, sent in (
            (TRACE, TRACE),
            ("no trace", None),
            (TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), None),
        ):
            body = {"model": "chat", "input": "Hi."}
            status, answer, _ = await s.ask("POST", "/v1/responses", body, headers={"traceparent": given})
            assert status == 200, answer
            assert up.requests[-1].headers.get("traceparent") == sent


async def test_spans_go_to_a_collector_and_the_upstream_is_told_of_ours():
    async with FakeUpstream() as up, FakeUpstream() as collector:
        collector.always(plain(200))
        up.always(stream(chat_stream(SECRET)))
        tracing = exporting(collector.base_url.removesuffix("/v1"))
        async with serving(ChatCatalog(up.base_url), observers=[tracing]) as s:
            body = {"model": "chat", "input": SECRET}
            assert (await s.ask("POST", "/v1/responses", body, headers={"traceparent": TRACE}))[0] == 200
        await asyncio.to_thread(tracing.close)
        (request,) = collector.requests
        _, trace_id, span_id, _ = up.requests[0].headers["traceparent"].split("-")
    assert request.target == "/v1/traces"
    assert trace_id == TRACE.split("-")[1]
    assert span_id != TRACE.split("-")[2]
    for known in (trace_id, span_id, TRACE.split("-")[2]):
        assert bytes.fromhex(known) in request.body
    assert b"gen_ai.request.model" in request.body
    assert SECRET.encode() not in request.body
