"""What every answer has, and what every wrong question gets."""

from __future__ import annotations

import json

import pytest

from tests.support.serving import events, serving

pytestmark = pytest.mark.anyio


def envelope(body: dict[str, object]) -> dict[str, object]:
    """The error of a body, which must be in the API's envelope."""
    assert set(body) == {"error"}
    error = body["error"]
    assert isinstance(error, dict)
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"]
    return error


async def test_every_answer_says_which_request_it_is_and_how_long_it_took():
    async with serving() as s:
        for method, path in (("GET", "/health"), ("GET", "/nowhere"), ("GET", "/v1/models")):
            _, _, headers = await s.ask(method, path)
            assert headers["x-request-id"].startswith("req_")
            assert headers["openai-processing-ms"].isdigit()
            assert headers["openai-version"] == "2020-10-01"


async def test_an_unknown_route_gets_the_envelope():
    async with serving() as s:
        status, body, _ = await s.ask("GET", "/v1/nothing")
    assert status == 404
    assert "GET /v1/nothing" in str(envelope(body)["message"])


async def test_a_wrong_method_gets_the_envelope():
    async with serving() as s:
        status, body, _ = await s.ask("PUT", "/v1/responses", {})
    assert status == 405
    assert envelope(body)["code"] == "method_not_supported"


@pytest.mark.parametrize(
    ("data", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"", "application/json", 400, "invalid_json"),
        (b"\xff\xfe", "application/json", 400, "invalid_json"),
        (b"[" * 100_000, "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_type"),
        (b'{"model": "scripted", "input": "x", "nope": 1}', "application/json", 400, "unknown_parameter"),
        (b'{"model": "scripted", "input": "x"}', "text/plain", 415, "unsupported_content_type"),
        (b'{"model": "scripted", "input": "x"}', "", 415, "unsupported_content_type"),
    ],
)
async def test_a_body_that_is_no_request_gets_the_envelope(data, kind, status, code):
    async with serving() as s:
        headers = {"Content-Type": kind}
        async with s.http.post(s.url + "/v1/responses", data=data, headers=headers) as answer:
            assert answer.status == status
            assert envelope(await answer.json())["code"] == code


async def test_a_body_beyond_the_limit_is_refused_by_its_length_and_by_its_bytes():
    async def pieces():
        for _ in range(20):
            yield b" " * 1024

    async with serving(max_body=4096) as s:
        for data in (b" " * 5000, pieces()):
            headers = {"Content-Type": "application/json"}
            async with s.http.post(s.url + "/v1/responses", data=data, headers=headers) as answer:
                assert answer.status == 413
                assert envelope(await answer.json())["code"] == "payload_too_large"


async def test_a_refused_request_leaves_no_row():
    async with serving() as s:
        status, _, _ = await s.ask("POST", "/v1/responses", {"model": "nobody", "input": "Hi."})
        assert status == 400
        assert await s.engine.store.unfinished() == []


async def test_other_keys_than_the_static_one_are_refused_alike():
    async with serving(api_key=lambda: "secret") as s:
        bodies = []
        for header in (None, "Bearer wrong", "Bearer ", "Basic secret", "secret", "Bearer secre\u00e9"):
            headers = {} if header is None else {"Authorization": header}
            status, body, answer = await s.ask("GET", "/v1/models", headers=headers)
            assert status == 401
            assert answer["x-should-retry"] == "false"
            bodies.append(body)
        assert all(body == bodies[0] for body in bodies)
        assert envelope(bodies[0])["code"] == "invalid_api_key"
        status, _, _ = await s.ask("GET", "/v1/models", headers={"Authorization": "Bearer secret"})
        assert status == 200


async def test_health_needs_no_key():
    async with serving(api_key=lambda: "secret") as s:
        assert (await s.ask("GET", "/health"))[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "x/?", "localhost:1:2", "127.0.0.1@evil", "", "localhost\t"])
async def test_a_foreign_or_malformed_host_is_refused(host):
    async with serving(hosts=frozenset(("localhost", "127.0.0.1"))) as s:
        status, body, _ = await s.ask("GET", "/v1/models", headers={"Host": host})
    assert status == 400
    assert envelope(body)["code"] == "invalid_host"


async def test_a_foreign_origin_is_refused_and_a_configured_one_is_not():
    async with serving(hosts=frozenset(("127.0.0.1",)), origins=frozenset(("https://app.example",))) as s:
        status, body, _ = await s.ask("GET", "/v1/models", headers={"Origin": "https://evil.example"})
        assert status == 403
        assert envelope(body)["code"] == "origin_not_allowed"
        for origin in ("https://app.example", s.url):
            assert (await s.ask("GET", "/v1/models", headers={"Origin": origin}))[0] == 200
        status, _, _ = await s.ask("GET", "/v1/models", headers={"Origin": "http://127.0.0.1:1"})
        assert status == 403


async def test_headers_beyond_all_measure_are_refused():
    async with serving(max_headers=1000) as s:
        status, body, _ = await s.ask("GET", "/v1/models", headers={"X-Large": "x" * 1200})
    assert status == 400
    assert envelope(body)["code"] == "headers_too_large"


async def test_a_defect_is_an_answer_with_the_id_of_the_request(monkeypatch):
    async with serving() as s:

        async def broken():
            raise RuntimeError("a defect")

        monkeypatch.setattr(s.engine.catalog, "models", broken)
        status, body, headers = await s.ask("GET", "/v1/models")
    assert status == 500
    assert headers["x-request-id"] in str(envelope(body)["message"])
    assert "a defect" not in json.dumps(body)


async def test_the_openapi_document_names_every_operation():
    async with serving() as s:
        status, document, _ = await s.ask("GET", "/openapi.json")
    assert status == 200
    assert document["openapi"].startswith("3.1")
    names = {operation["operationId"] for path in document["paths"].values() for operation in _operations(path)}
    assert names >= {"createResponse", "getResponse", "deleteResponse", "cancelResponse", "listInputItems"}


def _operations(path):
    return [operation for name, operation in path.items() if name != "parameters"]


async def test_a_stream_is_told_not_to_be_buffered_or_kept():
    async with serving() as s:
        body = {"model": "scripted", "input": "Hi.", "stream": True}
        async with s.http.post(s.url + "/v1/responses", json=body) as answer:
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["x-accel-buffering"] == "no"
            data = await answer.read()
    assert b"\nid:" not in data
    assert b"[DONE]" not in data
    assert b"obfuscation" not in data


async def test_the_done_marker_is_an_option():
    async with serving(done_marker=True) as s:
        assert (await s.stream()).endswith(b"}\n\ndata: [DONE]\n\n")


async def test_obfuscation_is_an_option_of_server_and_request():
    async with serving() as s:
        plain = await s.stream()
        padded = await s.stream(stream_options={"include_obfuscation": True})
    assert b"obfuscation" not in plain
    deltas = [event for event in events(padded) if event["type"].endswith(".delta")]
    assert deltas
    assert all(event.pop("obfuscation") for event in deltas)
    async with serving(obfuscation=True) as s:
        assert b"obfuscation" in await s.stream()
        assert b"obfuscation" not in await s.stream(stream_options={"include_obfuscation": False})
