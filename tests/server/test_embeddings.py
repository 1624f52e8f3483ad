"""POST /v1/embeddings, from the official SDK to an upstream and back."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import openai
import pytest
from openai import AsyncOpenAI

from antiphon.config.load import load
from antiphon.observe.metrics import Metrics
from antiphon.plugins import embedders
from antiphon.turn.report import Report
from tests.engine.test_report import Watching
from tests.support.answers import Gate
from tests.support.embedding import VECTOR, embeddings
from tests.support.serving import serving
from tests.support.upstream import FakeUpstream, error_answer, json_answer, plain
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

TABLES = """
[embeddings."small"]
base_url = "{url}"
model = "nomic"
api_key = "upstream-key"
headers = {{ "X-Team" = "blue" }}
"""


@asynccontextmanager
async def embedding(tmp_path, tables=TABLES, **options):
    """A server with an upstream for embeddings, an SDK client for it, and that upstream."""
    async with FakeUpstream() as up:
        (tmp_path / "antiphon.toml").write_text(tables.format(url=up.base_url))
        known = embedders(load(environ={"HOME": str(tmp_path)}, folder=tmp_path))
        async with (
            serving(embedders=known, **options) as s,
            AsyncOpenAI(base_url=f"{s.url}/v1", api_key="none", max_retries=0) as client,
        ):
            yield s, client, up


@pytest.mark.parametrize("asked", [None, "float", "base64"])
async def test_both_forms_of_a_vector_reach_the_sdk_bit_for_bit(tmp_path, asked):
    async with embedding(tmp_path) as (_, client, up):
        up.always(embeddings(2, encoding=asked or "base64"))
        given = {} if asked is None else {"encoding_format": asked}
        answer = await client.embeddings.create(model="small", input=["a", "b"], **given)
        sent = up.requests[0].json()
    assert answer.model == "small"
    assert answer.usage.prompt_tokens == 8
    assert [one.index for one in answer.data] == [0, 1]
    if asked == "base64":
        assert isinstance(answer.data[0].embedding, str)
    else:
        assert answer.data[0].embedding == list(VECTOR)
    assert sent == {"model": "nomic", "input": ["a", "b"], "encoding_format": asked or "base64"}


async def test_the_upstream_gets_its_own_key_and_headers_and_the_trace_of_the_client(tmp_path):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with embedding(tmp_path) as (_, client, up):
        up.always(embeddings())
        headers = {"traceparent": trace}
        await client.embeddings.create(model="small", input="a", dimensions=3, user="u", extra_headers=headers)
        request = up.requests[0]
    assert request.target == "/v1/embeddings"
    assert request.headers["authorization"] == "Bearer upstream-key"
    assert request.headers["x-team"] == "blue"
    assert request.headers["traceparent"] == trace
    assert (request.json()["dimensions"], request.json()["user"]) == (3, "u")


async def test_tokens_are_handed_on_as_they_are(tmp_path):
    async with embedding(tmp_path) as (_, client, up):
        up.always(embeddings())
        await client.embeddings.create(model="small", input=[1, 2, 3])
        up.always(embeddings(2))
        await client.embeddings.create(model="small", input=[[1, 2], [3]])
        assert [request.json()["input"] for request in up.requests] == [[1, 2, 3], [[1, 2], [3]]]


async def test_an_unknown_model_is_refused_with_the_names_there_are(tmp_path):
    async with embedding(tmp_path) as (_, client, up):
        for name in ("large", "*"):
            with pytest.raises(openai.BadRequestError) as refused:
                await client.embeddings.create(model=name, input="a")
            assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
            assert "small" in refused.value.message
        assert up.requests == []


async def test_every_other_name_goes_to_the_upstream_of_all_others(tmp_path):
    async with embedding(tmp_path, '[embeddings."*"]\nbase_url = "{url}"') as (s, client, up):
        up.always(embeddings())
        assert (await client.embeddings.create(model="any", input="a")).model == "any"
        assert up.requests[0].json()["model"] == "any"
        assert [model.id async for model in client.models.list()] == ["scripted"]
        assert s.engine.embeddings.names() == []


async def test_the_models_stand_in_the_list_of_models(tmp_path):
    async with embedding(tmp_path) as (_, client, _up):
        assert [model.id async for model in client.models.list()] == ["scripted", "small"]
        assert (await client.models.retrieve("small")).owned_by == "embeddings"


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (error_answer(429, "Slow down.", headers={"Retry-After": "7"}), 429, "rate_limit_exceeded"),
        (error_answer(400, "Too long.", code="context_length_exceeded"), 400, "context_length_exceeded"),
        (error_answer(401, "Who are you?"), 502, "upstream_key_refused"),
        (error_answer(500), 503, "service_unavailable"),
        (embeddings(3), 502, "upstream_malformed"),
        (json_answer({"object": "list"}), 502, "upstream_malformed"),
        (json_answer([]), 502, "upstream_malformed"),
        (
            json_answer({"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": 7}]}),
            502,
            "upstream_malformed",
        ),
        (plain(200, b"{", content_type="application/json"), 502, "upstream_malformed"),
        (plain(200, b"<html>", content_type="text/html"), 502, "upstream_malformed"),
        (embeddings(1).cut_after(150), 503, "upstream_cut"),
    ],
)
async def test_what_goes_wrong_upstream_keeps_its_meaning(tmp_path, answer, status, code):
    watching = Watching()
    async with embedding(tmp_path, observers=[watching]) as (s, _, up):
        up.always(answer)
        told, body, headers = await s.ask("POST", "/v1/embeddings", {"model": "small", "input": "a"})
    if code == "rate_limit_exceeded":
        assert headers["retry-after"] == "7"
    assert (told, body["error"]["code"]) == (status, code)
    assert (watching.report.outcome, watching.report.error) == ("failed", code)
    assert watching.report.attempts[0].code == code


async def test_the_work_is_watched_like_any_other(tmp_path):
    watching, metrics = Watching(), Metrics(["small"])
    async with embedding(tmp_path, observers=[watching, metrics], metrics=metrics) as (s, client, up):
        up.always(embeddings())
        await client.embeddings.create(model="small", input="a")
        async with s.http.get(s.url + "/metrics") as answer:
            text = await answer.text()
        address = up.base_url
    report = watching.report
    assert (report.operation, report.outcome, report.model) == ("embeddings", "completed", "small")
    assert (report.upstream, report.upstream_model, report.usage.input_tokens) == (address, "nomic", 4)
    assert 'antiphon_requests_total{model="small",operation="embeddings",outcome="completed"} 1.0' in text
    assert 'antiphon_tokens_total{kind="input",model="small"} 4.0' in text


async def test_when_the_client_leaves_the_upstream_is_left(tmp_path):
    watching, gate = Watching(), Gate()
    async with embedding(tmp_path, observers=[watching]) as (s, _, up):
        up.always(embeddings().gated(gate))
        asking = asyncio.create_task(s.ask("POST", "/v1/embeddings", {"model": "small", "input": "a"}))
        await gate.reached()
        asking.cancel()
        await up.closed_by_peer()
        await until(lambda: any(isinstance(call, Report) for call in watching.calls))
    assert watching.report.outcome == "cancelled"


async def test_the_route_needs_the_key_and_plain_json(tmp_path):
    async with embedding(tmp_path, api_key=lambda: "secret") as (s, _, up):
        assert (await s.ask("POST", "/v1/embeddings", {"model": "small", "input": "a"}))[0] == 401
        headers = {"Authorization": "Bearer secret", "Content-Type": "text/plain"}
        async with s.http.post(s.url + "/v1/embeddings", data=json.dumps({}), headers=headers) as answer:
            assert answer.status == 415
        assert up.requests == []
