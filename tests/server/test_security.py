"""Attacks on the HTTP side, over raw sockets: each gets the right status in the envelope, and harms nobody."""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from antiphon.observe.logs import OneLine
from antiphon.plugins import Models
from antiphon.stores.sqlite import DATABASE
from antiphon.testing import Only, ScriptedModel
from antiphon.wire.errors import LONGEST_MESSAGE
from tests.support.raw import Answer, ask, connected, request
from tests.support.serving import Serving, serving

pytestmark = pytest.mark.anyio

KEY = "sk-test-0123456789"
HOST = b"Host: 127.0.0.1\r\n"
JSON_HEAD = b"POST /v1/responses HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
async def s(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Serving]:
    """A server with the built-in model, as it listens on loopback."""
    hosts = frozenset(("127.0.0.1", "localhost"))
    origins = frozenset(("https://app.example",))
    async with serving(
        Models({}, answer_all=True), folder=tmp_path_factory.mktemp("data"), hosts=hosts, origins=origins
    ) as served:
        yield served


async def create(s: Serving, body: bytes | Any) -> Answer:
    return await ask(s.port, request("POST", "/v1/responses", body))


async def check_unharmed(s: Serving) -> None:
    """The server answers, nothing runs, and nothing is unfinished."""
    answer = await ask(s.port, request("GET", "/health"))
    assert answer.status == 200
    assert not s.engine.runs
    assert await s.engine.store.unfinished() == []


def rows(s: Serving) -> int:
    store = s.engine.store
    connection = sqlite3.connect(store._folder / DATABASE)  # type: ignore[attr-defined]  # there is no other way to see that nothing was written
    try:
        return int(connection.execute("SELECT count(*) FROM responses").fetchone()[0])
    finally:
        connection.close()


# What is no HTTP

NO_HTTP = {
    "garbage": b"\x00\x01\x02\x03\r\n\r\n",
    "no path": b"GET\r\n\r\n",
    "a line without an end": b"GET /v1/models HTTP/1.1\n" + HOST + b"\n",
    "bytes beyond ascii in the path": "GET /v1/é HTTP/1.1\r\n".encode() + HOST + b"\r\n",
    "a control character in the path": b"GET /v1/\x01models HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space before the colon": b"GET /v1/models HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
    "a folded header": b"GET /v1/models HTTP/1.1\r\n" + HOST + b"X: a\r\n b\r\n\r\n",
    "a NUL in a header": b"GET /v1/models HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n",
    "HTTP/2 with prior knowledge": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a proxy's request": b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "length and chunks": JSON_HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunks and length": JSON_HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "two lengths": JSON_HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "two equal lengths": JSON_HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a negative length": JSON_HEAD + b"Content-Length: -2\r\n\r\n{}",
    "a length with a sign": JSON_HEAD + b"Content-Length: +2\r\n\r\n{}",
    "a length of many digits": JSON_HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    "an unknown coding": JSON_HEAD + b"Transfer-Encoding: xchunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "chunked that is not last": JSON_HEAD + b"Transfer-Encoding: chunked, gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "a chunk of wrong size": JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a chunk without its end": JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n",
}


@pytest.mark.parametrize("sent", NO_HTTP.values(), ids=list(NO_HTTP))
async def test_what_is_no_http_is_refused_in_the_envelope_and_the_connection_closed(s: Serving, sent: bytes):
    before = rows(s)
    async with connected(s.port) as connection:
        await connection.send(sent)
        answer = await connection.answer()
        assert answer.status == 400
        assert answer.error["code"] == "invalid_http"
        assert answer.header("connection") == "close"
        assert await connection.closed() == b""
    await check_unharmed(s)
    assert rows(s) == before


async def test_garbage_after_a_request_does_not_take_the_place_of_its_answer(s: Serving):
    async with connected(s.port) as connection:
        await connection.send(request("GET", "/v1/models") + request("GET", "/health") + b"GARBAGE\r\n\r\n")
        assert json.loads((await connection.answer()).body)["object"] == "list"
        assert json.loads((await connection.answer()).body)["status"] == "ok"
        assert await connection.closed() == b""
    await check_unharmed(s)


async def test_a_body_that_is_larger_than_declared_is_cut_and_its_rest_is_no_request(s: Serving):
    async with connected(s.port) as connection:
        await connection.send(request("POST", "/v1/responses", b'{"model":"m","input":"x"}')[:-1] + b'}" garbage')
        assert (await connection.answer()).status == 200
        assert await connection.closed() == b""
    await check_unharmed(s)


async def test_garbage_on_the_connection_of_a_stream_does_not_get_into_the_stream():
    import asyncio

    from antiphon.testing import said

    gate = asyncio.Event()
    async with serving(ScriptedModel([*said()[:3], gate, *said()[3:]])) as s, connected(s.port) as connection:
        body = {"model": "scripted", "input": "Hi.", "stream": True}
        await connection.send(request("POST", "/v1/responses", body))
        head = await connection.reader.readuntil(b"output_text.delta")
        await connection.send(b"\x00\x01GARBAGE\r\n\r\n")
        gate.set()
        rest = await connection.closed()
    assert b"200 OK" in head
    assert b"HTTP/1.1" not in rest
    assert b"response.completed" in rest


async def test_a_trailer_is_no_header(s: Serving):
    sent = b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nHost: evil.example\r\nAuthorization: Bearer x\r\n\r\n"
    answer = await ask(s.port, JSON_HEAD + sent)
    assert answer.status == 400
    assert answer.error["param"] == "input"


@pytest.mark.parametrize("offer", ["h2c", "websocket", "TLS/1.0"])
@pytest.mark.parametrize("chunked", [False, True], ids=["plain", "chunked"])
@pytest.mark.parametrize("pieces", [False, True], ids=["at once", "in pieces"])
async def test_an_offer_to_speak_another_protocol_is_overlooked_and_the_body_is_not(
    s: Serving, offer: str, chunked: bool, pieces: bool
):
    body = b'{"model":"m","input":"x"}'
    length = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: %d\r\n" % len(body)
    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: %s\r\nHTTP2-Settings: AAEAAEAA\r\n" % offer.encode()
    async with connected(s.port) as connection:
        await connection.send(JSON_HEAD + upgrade + length + b"\r\n" + (b"" if pieces else sent))
        if pieces:
            for at in range(len(sent)):
                await connection.send(sent[at : at + 1])
        assert (await connection.answer()).status == 200
        await connection.send(request("GET", "/health"))
        assert (await connection.answer()).status == 200


# Who may ask


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["evil.example"],
        ["127.0.0.1", "127.0.0.1"],
        ["127.0.0.1", "evil.example"],
        ["127.0.0.1.evil.example"],
        ["127.0.0.1/v1"],
        ["127.0.0.1?x"],
        ["127.0.0.1#x"],
        ["x/?"],
        ["evil.example\\@127.0.0.1"],
        ["user@127.0.0.1"],
        ["127.0.0.1:80:80"],
        ["127.0.0.1:"],
        ["127.0.0.1:999999"],
        ["127.0.0.1 evil.example"],
        ["127.1"],
        ["2130706433"],
        ["0x7f000001"],
        ["0.0.0.0"],
        ["[::ffff:127.0.0.1]"],
        ["localhost."],
        ["loc\N{CYRILLIC SMALL LETTER A}lhost"],
    ],
    ids=str,
)
async def test_only_one_plain_local_host_is_answered(s: Serving, hosts: list[str]):
    lines = "".join(f"Host: {host}\r\n" for host in hosts).encode()
    answer = await ask(s.port, b"GET /v1/models HTTP/1.1\r\n" + lines + b"\r\n")
    assert answer.status == 400
    assert answer.error["code"] == "invalid_host"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "localhost:1", "127.0.0.1:65535"])
async def test_a_local_host_is_answered_with_any_port(s: Serving, host: str):
    assert (await ask(s.port, request("GET", "/v1/models", host=host))).status == 200


PATHS = {
    "//v1/responses": 404,
    "/v1//responses": 404,
    "/v1/responses/": 404,
    "/v1/./responses": 404,
    "/v1/../v1/responses": 404,
    "/v1/%2e%2e/v1/responses": 404,
    "/v1/responses/a%2Fcancel": 404,
    "/v1/responses/%00": 404,
    "/v1/responses/%0d%0aX-Evil:%201": 404,
    "/v1/responses/%ED%A0%80": 404,
    "/v1/responses/%FF%FE": 404,
    "/v1/responses/%": 404,
    "/v1/responses/%zz": 404,
    "/v1/responses/..%2f..%2fetc%2fpasswd": 404,
    "/v1/responses/' OR 1=1 --".replace(" ", "%20"): 404,
    "/v1/responses/resp_%25' UNION SELECT key".replace(" ", "+"): 404,
    "/v1/responses/%F0%9F%92%A9%E2%80%AE": 404,
    "/v1/responses/" + "a" * 20_000: 404,
    "/V1/RESPONSES/x": 404,
    "/v1/responses;x/y": 404,
    "/v1/models/..": 404,
    "/v1/models/../../etc/passwd": 404,
    "/v1/models/%00": 404,
    "/": 404,
    "*": 404,
    "http://evil.example/v1/nothing": 404,
}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:40])
@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
async def test_an_odd_path_is_an_unknown_one(s: Serving, method: str, path: str):
    answer = await ask(s.port, request(method, path, b"{}" if method == "POST" else None))
    allowed = {PATHS[path]} | ({405} if path.startswith(("/v1/models/", "/v1/responses/")) else set())
    assert answer.status in allowed
    assert len(answer.body) <= LONGEST_MESSAGE * 3
    await check_unharmed(s)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/responses/x",
        "/v1/responses/x?stream=true",
        "/v1/responses/x/input_items",
        "/v1/models",
        "/v1/models/x",
        "/v1/models%0A",
        "/v1/responses/%2e%2e",
        "http://127.0.0.1/v1/models",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_no_spelling_of_a_path_goes_round_the_key(method: str, path: str):
    async with serving(api_key=lambda: KEY) as s:
        for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": f"Bearer {KEY}x"}, {"X-Api-Key": KEY}):
            answer = await ask(s.port, request(method, path, headers=headers), method)
            assert answer.status == 401
            assert answer.header("www-authenticate") == "Bearer"
            assert answer.header("x-should-retry") == "false"
        assert (await ask(s.port, request("POST", "/v1/responses", {}))).status == 401
        assert (await ask(s.port, request("POST", "/v1/responses/x/cancel"))).status == 401
        assert (await ask(s.port, request("DELETE", "/v1/responses/x"))).status == 401


# Methods, and pages of other origins


async def test_head_is_answered_as_get_without_a_body(s: Serving):
    stored = json.loads((await create(s, {"model": "m", "input": "x"})).body)["id"]
    for path in ("/v1/models", "/health", "/openapi.json", f"/v1/responses/{stored}", "/v1/responses/none"):
        got = await ask(s.port, request("GET", path))
        async with connected(s.port) as connection:
            await connection.send(request("HEAD", path))
            head = await connection.answer("HEAD")
            await connection.send(request("GET", "/health"))
            assert (await connection.answer()).status == 200
        assert head.status == got.status
        assert head.header("content-length") == str(len(got.body))


async def test_head_of_a_stream_does_not_wait_for_its_end():
    import asyncio

    async with serving(ScriptedModel([[], asyncio.Event()])) as s:
        response = await s.create(background=True)
        path = f"/v1/responses/{response['id']}?stream=true"
        async with connected(s.port) as connection:
            await connection.send(request("HEAD", path))
            head = await connection.answer("HEAD")
            assert head.status == 200
            assert head.header("content-type") == "text/event-stream; charset=utf-8"
            await connection.send(request("POST", f"/v1/responses/{response['id']}/cancel"))
            assert (await connection.answer()).status == 200


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/responses", "POST, OPTIONS"),
        ("/v1/responses/x", "GET, DELETE, HEAD, OPTIONS"),
        ("/v1/responses/x/cancel", "POST, OPTIONS"),
        ("/v1/models", "GET, HEAD, OPTIONS"),
    ],
)
async def test_a_path_says_which_methods_it_has(s: Serving, path: str, allowed: str):
    answer = await ask(s.port, request("OPTIONS", path))
    assert answer.status == 204
    assert answer.header("allow") == allowed
    assert answer.header("content-length") is None
    for method in ("PUT", "PATCH", "TRACE", "PROPFIND"):
        refused = await ask(s.port, request(method, path))
        assert refused.status == 405
        assert refused.header("allow") == allowed
        assert refused.error["code"] == "method_not_supported"


async def test_the_page_of_a_configured_origin_may_ask_and_read_the_answer(s: Serving):
    page = {"Origin": "https://app.example"}
    asked = page | {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
    }
    allowed = await ask(s.port, request("OPTIONS", "/v1/responses", headers=asked))
    assert allowed.status == 204
    assert allowed.header("access-control-allow-origin") == "https://app.example"
    assert "POST" in (allowed.header("access-control-allow-methods") or "")
    assert allowed.header("access-control-allow-headers") == "*, authorization"
    for sent in (
        request("POST", "/v1/responses", {"model": "m", "input": "x"}, page),
        request("POST", "/v1/responses", {"model": "m", "input": "x", "stream": True}, page),
        request("POST", "/v1/responses", b"{", page),
        request("GET", "/v1/nothing", headers=page),
    ):
        answer = await ask(s.port, sent)
        assert answer.header("access-control-allow-origin") == "https://app.example"
        assert answer.header("access-control-expose-headers") == "*"
        assert answer.header("access-control-allow-credentials") is None
        assert answer.header("vary") == "origin"


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "https://app.example.evil.example",
        "http://app.example",
        "https://app.example:8443",
        "null",
        "",
        "file://",
        "http://127.0.0.1:1",
        "http://localhost",
        "http://[",
        "https://app.example, https://evil.example",
    ],
)
async def test_the_page_of_another_origin_gets_nothing(s: Serving, origin: str):
    for sent in (
        request("OPTIONS", "/v1/responses", headers={"Origin": origin, "Access-Control-Request-Method": "POST"}),
        request("POST", "/v1/responses", {"model": "m", "input": "x"}, {"Origin": origin}),
        request("GET", "/v1/models", headers={"Origin": origin}),
    ):
        answer = await ask(s.port, sent)
        assert answer.status == 403
        assert answer.error["code"] == "origin_not_allowed"
        assert answer.header("access-control-allow-origin") is None


async def test_a_page_cannot_send_a_request_without_asking_first(s: Serving):
    before = rows(s)
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/jso",
    ):
        answer = await ask(s.port, request("POST", "/v1/responses", b'{"input":"x"}', {"Content-Type": kind}))
        assert answer.status == 415
        assert answer.error["code"] == "unsupported_content_type"
    assert rows(s) == before


# What the JSON may hold


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "input": "x"} | fields).encode()


JSON_BODIES: dict[str, tuple[bytes, int]] = {
    "the last of two keys counts": (b'{"model":"m","input":3,"input":"x"}', 200),
    "a number that no double holds": (b'{"model":"m","input":"x","temperature":1e400}', 400),
    "one inside of a schema": (
        b'{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":{"a":1e400}}]}',
        400,
    ),
    "NaN": (b'{"model":"m","input":"x","temperature":NaN}', 400),
    "Infinity": (b'{"model":"m","input":"x","temperature":-Infinity}', 400),
    "minus zero": (b'{"model":"m","input":"x","temperature":-0}', 200),
    "an integer of many digits": (b'{"model":"m","input":"x","max_tool_calls":' + b"9" * 5000 + b"}", 400),
    "one that still fits nowhere": (
        b'{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":{"a":' + b"9" * 40 + b"}}]}",
        200,
    ),
    "half a surrogate pair": (b'{"model":"m","input":"\\ud800"}', 400),
    "half a pair in a key": (b'{"model":"m","input":"x","metadata":{"\\udfff":"x"}}', 400),
    "bytes that are no UTF-8": (b'{"model":"m","input":"\xff\xfe"}', 400),
    "another encoding": ('{"model":"m","input":"x"}'.encode("utf-16"), 400),
    "a byte order mark": (b'\xef\xbb\xbf{"model":"m","input":"x"}', 400),
    "NUL everywhere": (body(input="a\0b", model="m\0", metadata={"\0": "\0"}, user="\0"), 200),
    "control characters everywhere": (body(input="\r\n\x1b[2J", model="\r\n", metadata={"\r\n": "\n"}), 200),
    "brackets beyond measure": (b"[" * 1_000_000, 400),
    "objects beyond measure": (b'{"a":' * 200_000, 400),
    "two values": (b'{"model":"m","input":"x"}{}', 400),
    "a comment": (b'{"model":"m",/* */"input":"x"}', 400),
    "a key that pollutes": (b'{"model":"m","input":"x","__proto__":{"a":1}}', 400),
    "a name of our own": (b'{"model":"m","input":"x","extra":{"a":1}}', 400),
    "an attribute of Python": (b'{"model":"m","input":"x","__class__":"x"}', 400),
    "null": (b"null", 400),
    "a string": (b'"x"', 400),
}


@pytest.mark.parametrize(("sent", "status"), JSON_BODIES.values(), ids=list(JSON_BODIES))
async def test_json_is_taken_by_the_letter(s: Serving, sent: bytes, status: int):
    answer = await create(s, sent)
    assert answer.status == status
    if status != 200:
        assert answer.error["type"] == "invalid_request_error"
    else:
        stored = json.loads(answer.body)
        assert json.loads((await ask(s.port, request("GET", f"/v1/responses/{stored['id']}"))).body) == stored
    await check_unharmed(s)


HOSTILE = {
    "SQL": "' OR 1=1; DROP TABLE responses; --",
    "a path": "../../../../etc/passwd",
    "control characters": "\r\nX-Evil: 1\r\n\r\n\0\x1b[2J",
    "a megabyte": "a" * 1_000_000,
    "beyond ascii": "r\N{CYRILLIC SMALL LETTER IE}sp_\u202e\U0001f4a9",
    "a template": "{{7*7}}${7*7}%s%n{0.__class__}",
    "an id of ours that is none": "resp_" + "0" * 40,
    "an item of ours that is none": "msg_" + "0" * 40 + "0000",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=list(HOSTILE))
async def test_an_id_is_only_ever_looked_up(s: Serving, hostile: str):
    places: list[dict[str, Any]] = [
        {"previous_response_id": hostile},
        {"input": [{"type": "item_reference", "id": hostile}]},
        {"input": [{"id": hostile}]},
        {"input": [{"type": "function_call_output", "call_id": hostile, "output": "x"}]},
        {"input": [{"type": "function_call", "call_id": hostile, "name": "f", "arguments": "{}"}]},
        {"conversation": hostile},
        {"conversation": {"id": hostile}},
        {"prompt": {"id": hostile}},
        {"tools": [{"type": "file_search", "vector_store_ids": [hostile]}]},
        {"tool_choice": {"type": "function", "name": hostile}},
    ]
    before = rows(s)
    for place in places:
        answer = await create(s, body(**place))
        assert answer.status in (400, 404), place
        assert len(answer.error["message"]) <= LONGEST_MESSAGE
    assert rows(s) == before
    await check_unharmed(s)


async def test_an_id_of_the_client_is_kept_as_it_is(s: Serving):
    for hostile in HOSTILE.values():
        sent = [{"type": "message", "role": "user", "content": "x", "id": hostile}]
        answer = await create(s, body(input=sent))
        assert answer.status == 200
        path = f"/v1/responses/{json.loads(answer.body)['id']}/input_items"
        (item,) = json.loads((await ask(s.port, request("GET", path))).body)["data"]
        assert item["id"] == hostile


# What may not get out


@pytest.mark.parametrize(
    ("kinds", "named"),
    [
        (["web_search"], "web_search"),
        (["a\r\nX-Evil: 1"], "a??X-Evil:?1"),
        (["a\nSet-Cookie: x=y", "ü, b"], "a?Set-Cookie:?x?y, ???b"),
        (["x" * 10_000], "x" * 64),
        (["\0"], "?"),
        ([f"t{number}" for number in range(5_000)], ", ".join([*(f"t{number}" for number in range(32)), "..."])),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
async def test_the_names_of_tools_do_no_harm_in_a_header(s: Serving, kinds: list[str], named: str, stream: bool):
    answer = await create(s, body(tools=[{"type": kind} for kind in kinds], stream=stream))
    assert answer.status == 200
    assert answer.header("x-antiphon-tools-left-out") == named
    assert answer.header("x-evil") is None
    await check_unharmed(s)


async def test_nothing_of_the_machine_gets_out(s: Serving, monkeypatch: pytest.MonkeyPatch):
    folder = str(s.engine.store._folder)  # type: ignore[attr-defined]  # what must not be told
    said: list[bytes] = []

    async def broken() -> None:
        raise RuntimeError(f"a defect in {folder} with {KEY}")

    with monkeypatch.context() as defect:
        defect.setattr(s.engine.catalog, "models", broken)
        said.append((await ask(s.port, request("GET", "/v1/models", headers={"Authorization": f"Bearer {KEY}"}))).body)
    for sent in (*NO_HTTP.values(), *(create for create, _ in JSON_BODIES.values())):
        async with connected(s.port) as connection:
            whole = sent if sent in NO_HTTP.values() else request("POST", "/v1/responses", sent)
            await connection.send(whole + b"\r\n\r\n")
            said.append((await connection.answer()).body)
    everything = b"".join(said)
    for secret in (folder, KEY, "Traceback", "site-packages", "sqlite", ".py", "msgspec", "uvicorn", "/home", "/tmp"):
        assert secret.encode() not in everything


async def test_logs_hold_no_bodies_and_no_keys(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    caplog.set_level(logging.DEBUG, logger="antiphon")
    caplog.set_level(logging.INFO, logger="uvicorn")
    word = "word-of-the-user"
    async with serving(api_key=lambda: KEY) as s:
        known = {"Authorization": f"Bearer {KEY}"}
        for body in ({"input": word}, {"input": word, word: 1}, {"input": word, "stream": True}):
            sent = {"model": "scripted", "metadata": {"k": word}, "instructions": word} | body
            await ask(s.port, request("POST", "/v1/responses", sent, known))
            await ask(s.port, request("POST", "/v1/responses", sent, {"Authorization": f"Bearer {word}"}))
        await ask(s.port, b"GARBAGE " + word.encode() + b"\r\n\r\n")

        async def broken() -> None:
            raise RuntimeError("a defect")

        monkeypatch.setattr(s.engine.catalog, "models", broken)
        await ask(s.port, request("GET", f"/v1/models?x={word}", headers=known))
    assert "a defect" in caplog.text
    assert word not in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    "said", ["a\nb", "a\r\n2026-11-21 ERROR forged", "\x1b[2J\0\x85\u2028", "\ud800", '"}\n{"level":"error"']
)
def test_a_record_is_one_line_whatever_it_says(said: str):
    try:
        raise RuntimeError(said)
    except RuntimeError:
        record = logging.LogRecord(said, logging.ERROR, "", 0, "failed: %s", (said,), sys.exc_info())
    line = OneLine().format(record)
    assert line.isascii()
    assert line.isprintable()
    fields = json.loads(line)
    assert (fields["level"], fields["logger"], fields["message"]) == ("error", said, f"failed: {said}")
    assert "RuntimeError" in fields["traceback"]


async def test_a_parameter_that_passes_for_one_model_is_no_way_into_another(s: Serving):
    model = ScriptedModel(name="open", pass_through=frozenset(("extra", "top_k")))
    async with serving(Only(ScriptedModel(), open=model)) as other:
        sent = {"model": "scripted", "input": "x", "extra": {"a": 1}}
        assert (await ask(other.port, request("POST", "/v1/responses", sent))).error["param"] == "extra"
