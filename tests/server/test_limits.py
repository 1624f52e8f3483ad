"""Limits of size, number and time; clients that are slow, leave or never read; and many of all kinds at once."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon.engine.engine import EngineSettings
from antiphon.server import run, sse
from antiphon.server.call import MOST_FIELDS, Call, ServerOptions
from antiphon.server.connection import MOST_WAITING
from antiphon.testing import ScriptedModel, said
from antiphon.wire.errors import Conflict, RateLimited, Unavailable
from tests.support.raw import Connection, ask, connected, request
from tests.support.serving import Serving, events, serving

pytestmark = pytest.mark.anyio

HOST = b"Host: 127.0.0.1\r\n"
JSON_HEAD = b"POST /v1/responses HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
PLAIN = {"model": "scripted", "input": "Hi."}
SOON = 0.05
"""Seconds of a deadline that a test waits for."""


async def until(is_so: Any) -> None:
    """Wait for a condition that comes without our doing."""
    async with asyncio.timeout(10):
        while not is_so():  # noqa: ASYNC110 - nobody could set an event
            await asyncio.sleep(0.001)


async def check_unharmed(s: Serving) -> None:
    """The server answers, nothing runs, and nothing is unfinished."""
    assert (await ask(s.port, request("GET", "/health"))).status == 200
    await until(lambda: not s.engine.runs)
    await s.engine.journal.barrier()
    assert await s.engine.store.unfinished() == []


# The head


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 2_000,
        b"GET /v1/models?" + b"a" * 2_000,
        b"GET /v1/models HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 2_000,
        b"GET /v1/models HTTP/1.1\r\n" + HOST + b"a" * 2_000,
        b"GET /v1/models HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 400,
        b"\r\n" * 1_001,
    ],
    ids=["path", "query", "value", "name", "many", "blank lines"],
)
async def test_a_head_without_an_end_is_refused_at_the_limit(sent: bytes):
    async with serving(max_headers=1_000) as s:
        async with connected(s.port) as connection:
            await connection.send(sent)
            answer = await connection.answer()
            assert answer.status == 400
            assert answer.error["code"] == "headers_too_large"
            assert await connection.closed() == b""
        await check_unharmed(s)


@pytest.mark.parametrize(
    "sent",
    [
        request("GET", "/v1/models?" + "a" * 1_000),
        request("GET", "/" + "a" * 1_000),
        request("GET", "/v1/models", headers={"X": "a" * 1_000}),
    ],
    ids=["query", "path", "value"],
)
async def test_a_whole_head_beyond_the_limit_is_refused_after_the_answers_before_it(sent: bytes):
    async with serving(max_headers=1_000) as s:
        for before in (0, 2):
            async with connected(s.port) as connection:
                await connection.send(request("GET", "/health") * before + sent)
                for _ in range(before):
                    assert (await connection.answer()).status == 200
                if not before:
                    assert (await connection.answer()).error["code"] == "headers_too_large"
                assert await connection.closed() == b""


async def test_a_body_does_not_count_as_a_head():
    async with serving(max_headers=1_000) as s, connected(s.port) as connection:
        await connection.send(request("POST", "/v1/responses", {**PLAIN, "input": "x" * 50_000}) * 2)
        assert (await connection.answer()).status == 200
        assert (await connection.answer()).status == 200


@pytest.mark.parametrize(
    "sent", [b"G", b"GET /v1/models HTTP/1.1\r\n" + HOST, b"\r\n"], ids=["a byte", "half", "blank"]
)
async def test_a_head_that_does_not_come_is_not_waited_for(sent: bytes):
    async with serving(head_timeout=SOON) as s, connected(s.port) as connection:
        await connection.send(sent)
        answer = await connection.answer()
        assert answer.status == 408
        assert answer.error["code"] == "request_timeout"
        assert await connection.closed() == b""


async def test_the_head_of_a_second_request_is_not_waited_for_either():
    async with serving(head_timeout=SOON) as s, connected(s.port) as connection:
        await connection.send(request("GET", "/health"))
        assert (await connection.answer()).status == 200
        await connection.send(b"GET /health HTTP/1.1\r\n")
        assert (await connection.answer()).status == 408
        assert await connection.closed() == b""


async def test_a_refusal_reaches_a_client_that_is_still_sending():
    async with serving() as s, connected(s.port) as connection:
        await connection.send(b"GET /v1/models HTTP/1.1\r\nX: " + b"a" * 20_000_000)
        assert (await connection.answer()).error["code"] == "headers_too_large"
        assert await connection.closed() == b""


async def test_a_client_that_connects_and_says_nothing_is_not_waited_for():
    async with serving(head_timeout=SOON) as s, connected(s.port) as connection:
        assert await connection.closed() == b""


async def test_the_deadline_of_a_head_is_not_that_of_the_answer():
    gate = asyncio.Event()
    model = ScriptedModel([[], gate, *said()])
    async with serving(model) as s, connected(s.port) as connection:
        await connection.send(request("POST", "/v1/responses", PLAIN))
        await until(lambda: model.open)
        (served,) = s.server.server_state.connections
        assert served._deadline is None
        gate.set()
        assert (await connection.answer()).status == 200


# The body


@pytest.mark.parametrize("sent", [b"", b"{"], ids=["none", "half"])
async def test_a_body_that_does_not_come_is_not_waited_for(sent: bytes):
    async with serving(body_timeout=SOON) as s:
        async with connected(s.port) as connection:
            await connection.send(JSON_HEAD + b"Content-Length: 100\r\n\r\n" + sent)
            answer = await connection.answer()
            assert answer.status == 408
            assert answer.error["code"] == "request_timeout"
            assert answer.header("connection") == "close"
            assert await connection.closed() == b""
        await check_unharmed(s)


async def test_a_request_whose_client_leaves_before_its_end_is_none():
    model = ScriptedModel()
    async with serving(model) as s:
        whole = json.dumps(PLAIN).encode()
        for sent in (whole, whole + b"   ", b""):
            async with connected(s.port) as connection:
                await connection.send(JSON_HEAD + b"Content-Length: 1000\r\n\r\n" + sent)
                connection.writer.write_eof()
                assert await connection.closed() == b""
        await check_unharmed(s)
        assert model.turns == []


async def test_an_answer_before_the_body_leaves_the_connection_usable():
    async with serving(max_body=100_000) as s, connected(s.port) as connection:
        large, kind = b"x" * 150_000, {"Content-Type": "text/plain"}
        for sent, status in (
            (request("POST", "/v1/responses", large), 413),
            (request("POST", "/v1/responses", b"x" * 90_000, kind), 415),
            (request("POST", "/v1/nothing", b"x" * 90_000), 404),
            (request("GET", "/v1/models", b"x" * 90_000), 200),
            (request("POST", "/v1/responses", PLAIN), 200),
        ):
            await connection.send(sent)
            assert (await connection.answer()).status == status


async def test_a_connection_whose_request_was_answered_early_is_not_kept_for_ever():
    async with serving(max_body=1_000) as s, connected(s.port) as connection:
        await connection.send(JSON_HEAD + b"Content-Length: 2000\r\n\r\n")
        assert (await connection.answer()).status == 413
        (served,) = s.server.server_state.connections
        await connection.send(b"x" * 2_000)
        await until(lambda: served._in_head)
        assert served._deadline is not None
        assert served._deadline.when() > asyncio.get_running_loop().time() + served.options.body_timeout


async def test_what_goes_on_coming_after_an_early_answer_has_a_deadline():
    async with serving(max_body=1_000, body_timeout=SOON) as s, connected(s.port) as connection:
        await connection.send(JSON_HEAD + b"Content-Length: 2000\r\n\r\nxxx")
        assert (await connection.answer()).status == 413
        assert await connection.closed() == b""


async def test_what_goes_on_coming_after_an_early_answer_has_a_limit():
    async with serving(max_body=1_000) as s, connected(s.port) as connection:
        await connection.send(JSON_HEAD + b"Content-Length: 100000000\r\n\r\n")
        assert (await connection.answer()).status == 413
        with pytest.raises(ConnectionError):
            await connection.send(b"x" * 90_000_000)


async def test_chunks_of_one_byte_are_a_body_too():
    sent = json.dumps(PLAIN).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in sent) + b"0\r\n\r\n"
    async with serving() as s, connected(s.port) as connection:
        head = JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        for at in range(0, len(chunks), 7):
            await connection.send(head + chunks[at : at + 7])
            head = b""
        assert (await connection.answer()).status == 200


async def test_a_client_that_asks_first_is_told_to_go_on_only_where_the_body_is_wanted():
    expect = {"Expect": "100-continue"}
    body = json.dumps(PLAIN).encode()
    async with serving() as s, connected(s.port) as connection:
        await connection.send(request("POST", "/v1/responses", body, expect)[: -len(body)])
        assert (await connection.answer()).status == 100
        await connection.send(body)
        assert (await connection.answer()).status == 200
        await connection.send(request("POST", "/v1/responses", b"", expect | {"Content-Length": "99999999999"}))
        assert (await connection.answer()).status == 413


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "deflate, gzip", "GZIP"])
async def test_a_compressed_body_is_refused_by_name(coding: str):
    async with serving() as s:
        for header in ("Content-Encoding", "Transfer-Encoding"):
            headers = {header: coding if header == "Content-Encoding" else f"{coding}, chunked"}
            sent = request("POST", "/v1/responses", b"2\r\n{}\r\n0\r\n\r\n", headers)
            if header == "Transfer-Encoding":
                sent = sent.replace(b"Content-Length: 12\r\n", b"")
            answer = await ask(s.port, sent)
            assert answer.status == 415
            assert answer.error["code"] == "unsupported_content_type"
            assert answer.header("accept-encoding") == "identity"


@pytest.mark.parametrize(
    "fill",
    [b"[", b"[]", b'{"a":', b'"', b"\\", b'"a",', b"1,", b"\xff", b" ", b"\0"],
    ids=["open", "pairs", "objects", "quotes", "backslashes", "strings", "numbers", "no text", "blanks", "nul"],
)
async def test_a_body_as_large_as_allowed_is_only_refused(fill: bytes):
    async with serving(max_body=4 * 2**20) as s:
        body = fill * (4 * 2**20 // len(fill))
        answer = await ask(s.port, request("POST", "/v1/responses", body))
        assert answer.status == 400
        assert answer.error["code"] in ("invalid_json", "invalid_type")
        await check_unharmed(s)


async def test_a_long_input_is_answered_up_to_the_limit_of_the_api():
    model = ScriptedModel()
    async with serving(model) as s:
        answer = await ask(s.port, request("POST", "/v1/responses", {**PLAIN, "input": "x" * 10_485_760}))
        assert answer.status == 200
        refused = await ask(s.port, request("POST", "/v1/responses", {**PLAIN, "input": "x" * 10_485_761}))
        assert refused.error["code"] == "string_above_max_length"
        parts = [{"type": "input_text", "text": "x" * 10_000_000}] * 3
        whole = {**PLAIN, "input": [{"role": "user", "content": parts}]}
        assert (await ask(s.port, request("POST", "/v1/responses", whole))).status == 200
        assert len(model.turns) == 2


# The query


async def test_a_query_of_thousands_of_parameters_is_refused():
    async with serving() as s:
        response = await s.create()
        path = f"/v1/responses/{response['id']}/input_items?"
        for count, status in ((MOST_FIELDS, 200), (MOST_FIELDS + 1, 400), (5_000, 400)):
            answer = await ask(s.port, request("GET", path + "&".join(["x=1"] * count)))
            assert answer.status == status
        assert answer.error["code"] == "too_many_parameters"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=abc&limit=1", 200),
        ("limit=1&limit=abc", 400),
        ("limit=", 400),
        ("limit", 400),
        ("limit=1%00", 400),
        ("limit=%D9%A1", 400),
        ("limit=+1", 400),
        ("limit=1e1", 400),
        ("limit=-0", 400),
        ("limit=" + "9" * 5_000, 400),
        ("limit=100", 200),
        ("order=asc&order=desc", 200),
        ("order=ASC", 400),
        ("after=", 400),
        ("after=%00&before=%FF", 400),
        ("include=reasoning.encrypted_content&include[]=message.output_text.logprobs", 200),
        ("include[]=", 400),
        ("include[0]=x", 200),
        ("unknown=1&%FF=%00", 200),
        ("&&&=&=", 200),
    ],
)
async def test_of_a_repeated_parameter_the_last_counts_and_nothing_is_guessed(query: str, status: int):
    async with serving() as s:
        response = await s.create()
        answer = await ask(s.port, request("GET", f"/v1/responses/{response['id']}/input_items?{query}"))
        assert answer.status == status, answer.body


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("stream=true&starting_after=-2", 400),
        ("stream=true&starting_after=" + "9" * 19, 400),
        ("stream=true&starting_after=x", 400),
        ("stream=1", 400),
        ("stream=TRUE", 400),
        ("stream=true&include_obfuscation=2", 400),
        ("stream=false&starting_after=3", 200),
        ("stream=false&starting_after=-2", 400),
        ("include_obfuscation=maybe", 400),
        ("starting_after=3", 200),
        ("stream=true&starting_after=9007199254740992", 200),
    ],
)
async def test_the_query_of_a_retrieval_is_checked(query: str, status: int):
    async with serving() as s:
        response = await s.create()
        answer = await ask(s.port, request("GET", f"/v1/responses/{response['id']}?{query}"))
        assert answer.status == status, answer.body


# Lists


async def test_after_and_before_together_are_a_window():
    async with serving() as s:
        items = [{"role": "user", "content": str(number)} for number in range(6)]
        response = await s.create(input=items)
        path = f"/v1/responses/{response['id']}/input_items"
        _, whole, _ = await s.ask("GET", f"{path}?order=asc")
        ids = [item["id"] for item in whole["data"]]

        async def window(query: str) -> tuple[list[str], bool]:
            _, page, _ = await s.ask("GET", f"{path}?order=asc&{query}")
            found = [item["id"] for item in page["data"]]
            assert (page["first_id"], page["last_id"]) == ((found[0], found[-1]) if found else (None, None))
            return found, page["has_more"]

        assert await window(f"after={ids[0]}&before={ids[5]}") == (ids[1:5], False)
        assert await window(f"after={ids[0]}&before={ids[5]}&limit=2") == (ids[1:3], True)
        assert await window(f"after={ids[3]}&before={ids[1]}") == ([], False)
        assert await window(f"after={ids[2]}&before={ids[2]}") == ([], False)
        assert await window(f"before={ids[0]}") == ([], False)
        assert await window(f"after={ids[5]}") == ([], False)


async def test_a_list_of_items_ends_also_when_an_item_was_sent_twice():
    async with serving() as s:
        first = await s.create(input=[{"role": "user", "content": "One.", "id": "msg_mine"}])
        again = [
            {"role": "user", "content": "Two."},
            {"role": "user", "content": "One.", "id": "msg_mine"},
            {"type": "item_reference", "id": first["output"][0]["id"]},
        ]
        second = await s.create(input=again, previous_response_id=first["id"])
        path, seen, page = f"/v1/responses/{second['id']}/input_items?order=asc&limit=1", [], {"has_more": True}
        while page["has_more"]:
            after = f"&after={seen[-1]}" if seen else ""
            _, page, _ = await s.ask("GET", path + after)
            seen.append(page["last_id"])
            assert len(seen) < 10
        assert len(seen) == len(set(seen)) == 3


async def test_an_item_of_unknown_type_without_an_id_has_none_in_a_list():
    async with serving() as s:
        response = await s.create(input=[{"type": "x:unknown", "a": 1}])
        _, page, _ = await s.ask("GET", f"/v1/responses/{response['id']}/input_items")
    assert page["data"] == [{"type": "x:unknown", "a": 1}]
    assert (page["first_id"], page["last_id"]) == (None, None)


async def test_the_input_of_a_response_is_listed_without_what_was_deleted_before_it():
    async with serving() as s:
        first = await s.create(input="One.")
        second = await s.create(input="Two.", previous_response_id=first["id"])
        await s.ask("DELETE", f"/v1/responses/{first['id']}")
        status, page, _ = await s.ask("GET", f"/v1/responses/{second['id']}/input_items")
    assert status == 200
    assert [item["content"][0]["text"] for item in page["data"]] == ["Two."]


async def test_the_input_of_an_unstored_response_is_not_kept():
    async with serving() as s:
        response = await s.create(store=False)
        status, body, _ = await s.ask("GET", f"/v1/responses/{response['id']}/input_items")
    assert status == 404
    assert body["error"]["code"] == "response_not_found"


async def test_many_references_to_one_response_look_it_up_once(monkeypatch: pytest.MonkeyPatch):
    async with serving() as s:
        first = await s.create()
        own = first["output"][0]["id"]
        looked_up: list[str] = []
        find = s.engine.store.find

        async def counted(project: str, response_id: str) -> Any:
            looked_up.append(response_id)
            return await find(project, response_id)

        monkeypatch.setattr(s.engine.store, "find", counted)
        references = [{"type": "item_reference", "id": f"{own[:-4]}{number:04x}"} for number in range(1, 500)]
        status, _, _ = await s.ask("POST", "/v1/responses", {**PLAIN, "input": references})
        assert status == 404
        assert looked_up == [first["id"]]


# Streams


async def test_stream_options_of_an_answer_that_is_none_do_nothing():
    async with serving() as s:
        response = await s.create(stream_options={"include_obfuscation": True})
    assert response["status"] == "completed"


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "text/event-stream", "*/*;q=0", "", "\\"])
async def test_the_answer_does_not_depend_on_what_the_client_accepts(accept: str):
    async with serving() as s:
        for stream, kind in ((False, "application/json"), (True, "text/event-stream; charset=utf-8")):
            sent = request("POST", "/v1/responses", {**PLAIN, "stream": stream}, {"Accept": accept})
            answer = await ask(s.port, sent)
            assert (answer.status, answer.header("content-type")) == (200, kind)


async def test_a_queued_response_can_be_followed_before_it_begins():
    gate = asyncio.Event()
    settings = EngineSettings(background_slots=1)
    async with serving(ScriptedModel([gate, *said()]), settings=settings) as s:
        await s.create(background=True)
        queued = await s.create(background=True)
        async with s.http.get(f"{s.url}/v1/responses/{queued['id']}?stream=true") as answer:
            head = await answer.content.readuntil(b"response.queued")
            gate.set()
            told = events(head + await answer.read())
    assert [event["type"] for event in told][:3] == ["response.created", "response.queued", "response.in_progress"]
    assert told[-1]["type"] == "response.completed"


@pytest.mark.parametrize(
    ("wait", "seconds", "milliseconds"),
    [
        (0.0, "1", "1"),
        (0.0004, "1", "1"),
        (0.2, "1", "200"),
        (1.0, "1", "1000"),
        (1.2, "2", "1200"),
        (90, "90", "90000"),
    ],
)
@pytest.mark.parametrize("kind", [RateLimited, Unavailable, Conflict])
async def test_who_comes_back_when_told_does_not_come_too_early(
    kind: Any, wait: float, seconds: str, milliseconds: str
):
    async with serving(ScriptedModel([kind("Not now.", retry_after=wait)])) as s:
        answer = await ask(s.port, request("POST", "/v1/responses", PLAIN))
        assert answer.status == kind.status
        assert (answer.header("retry-after"), answer.header("retry-after-ms")) == (seconds, milliseconds)


# Several requests on one connection


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_who_wants_the_connection_closed_gets_it_closed(version: str):
    async with serving() as s, connected(s.port) as connection:
        sent = request("GET", "/health", headers={"Connection": "close"} if version == "1.1" else None)
        await connection.send(sent.replace(b"HTTP/1.1", f"HTTP/{version}".encode()))
        answer = await connection.answer()
        assert answer.status == 200
        assert answer.header("connection") == "close"
        assert await connection.closed() == b""


async def test_requests_that_come_at_once_are_answered_in_their_order():
    async with serving() as s, connected(s.port) as connection:
        paths = ["/health", "/v1/models", "/v1/nothing", "/openapi.json", "/v1/responses/none"]
        create = request("POST", "/v1/responses", PLAIN)
        await connection.send(create + b"".join(request("GET", path) for path in paths) + create)
        statuses = [(await connection.answer()).status for _ in range(len(paths) + 2)]
    assert statuses == [200, 200, 200, 404, 200, 404, 200]


async def test_more_waiting_requests_than_anybody_sends_end_the_connection():
    model = ScriptedModel([asyncio.Event()])
    async with serving(model) as s:
        async with connected(s.port) as connection:
            await connection.send(request("POST", "/v1/responses", PLAIN))
            await until(lambda: model.open)
            await connection.send(request("GET", "/health") * (MOST_WAITING + 1))
            assert await connection.closed() == b""
        await until(lambda: not model.open)
        await check_unharmed(s)


@pytest.mark.parametrize(
    "waiting",
    [b"", request("GET", "/health"), request("POST", "/v1/responses", PLAIN) * 3, b"GET /", b"GARBAGE\r\n\r\n"],
    ids=["none", "one", "three", "half", "garbage"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize("said_before", [0, 3])
async def test_a_client_that_leaves_stops_the_model_whatever_it_had_sent_after(
    waiting: bytes, stream: bool, said_before: int
):
    model = ScriptedModel([*said()[:said_before], asyncio.Event()])
    async with serving(model) as s:
        async with connected(s.port) as connection:
            await connection.send(request("POST", "/v1/responses", {**PLAIN, "stream": stream}))
            await until(lambda: model.open)
            await connection.send(waiting)
            connection.writer.close()
            await until(lambda: not model.open)
        await check_unharmed(s)
        assert len(model.turns) == 1


async def test_a_waiting_request_with_a_large_body_is_not_kept():
    model = ScriptedModel([asyncio.Event()])
    async with serving(model) as s:
        async with connected(s.port) as connection:
            await connection.send(request("POST", "/v1/responses", PLAIN))
            await until(lambda: model.open)
            with pytest.raises(ConnectionError):
                await connection.send(request("POST", "/v1/responses", b"x" * 30_000_000))
        await until(lambda: not model.open)
        await check_unharmed(s)


# Clients that do not read


@asynccontextmanager
async def not_reading(s: Serving, **body: Any) -> AsyncIterator[Connection]:
    """A client that asks for a stream and reads nothing of it."""
    async with connected(s.port) as connection:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined]  # every socket's transport has it
        await connection.send(request("POST", "/v1/responses", {**PLAIN, "stream": True} | body))
        yield connection


@pytest.mark.parametrize("store", [True, False], ids=["stored", "unstored"])
async def test_a_client_that_never_reads_does_not_keep_the_server_from_ending(
    store: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run, "LAST_WORDS", SOON)
    async with serving(ScriptedModel(said("x" * 30_000_000, size=500_000))) as s, not_reading(s, store=store):
        connections = s.server.server_state.connections
        await until(lambda: any(served.flow.write_paused for served in connections))
        s.server.should_exit = True
        await until(lambda: not connections and not s.server.server_state.tasks)
    assert not s.engine.runs


async def test_a_client_that_never_reads_gets_no_comments(monkeypatch: pytest.MonkeyPatch):
    class Stuck(Call):
        """A call whose client takes nothing."""

        async def piece(self, data: bytes, *, more: bool = True) -> None:
            sent.append(data)
            await asyncio.Event().wait()

    async def nothing(_: Any = None) -> Any:
        await asyncio.Event().wait()

    async def told() -> AsyncIterator[bytes]:
        yield b"event: x\n\n"

    sent: list[bytes] = []
    rounds: list[None] = []
    monkeypatch.setattr(sse, "monotonic", lambda: rounds.append(None) or 1.0 * len(rounds))
    scope = {"type": "http", "method": "GET", "headers": []}
    call = Stuck(scope, nothing, lambda _: asyncio.sleep(0), None, ServerOptions(keepalive=0.002))  # type: ignore[arg-type]  # it needs no engine
    serving_it = asyncio.create_task(sse.Streams().serve(call, told(), on_leave=lambda: None))
    await until(lambda: len(rounds) > 10)
    assert sent == [b"event: x\n\n"]
    serving_it.cancel()
    await asyncio.wait([serving_it])


# Many at once


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


KINDS: list[dict[str, Any]] = [
    {"stream": True},
    {"stream": True, "store": False},
    {"store": False},
    {},
    {"background": True},
    {"background": True, "stream": True},
    {"model": "nobody"},
    {"input": [3]},
    {"previous_response_id": "resp_none"},
]


async def one_client(s: Serving, dice: random.Random, statuses: list[int]) -> None:
    """Ask for something, and leave at some moment; or read it to its end."""
    body = {**PLAIN, **dice.choice(KINDS)}
    stays = dice.random() < 0.6
    async with connected(s.port) as connection:
        sent = request("POST", "/v1/responses", body)
        if not stays and dice.random() < 0.3:
            await connection.send(sent[: dice.randrange(len(sent))])
            connection.leave()
            return
        await connection.send(sent)
        if not stays:
            for _ in range(dice.randrange(30)):
                await asyncio.sleep(0)
            connection.leave()
            return
        answer = await connection.answer()
        statuses.append(answer.status)
        if answer.status == 200 and not body.get("stream") and body.get("store", True):
            response_id = json.loads(answer.body)["id"]
            path = f"/v1/responses/{response_id}{dice.choice(['', '?stream=true', '/input_items'])}"
            await connection.send(request("GET", path))
            statuses.append((await connection.answer()).status)


def resident() -> int:
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("seed", [1, 2])
async def test_three_hundred_clients_of_all_kinds_leave_nothing_behind(seed: int, caplog: pytest.LogCaptureFixture):
    dice = random.Random(seed)
    statuses: list[int] = []
    model = ScriptedModel(lambda _: said("A long answer that comes in many pieces. " * 20, size=7))
    async with serving(model, settings=EngineSettings(background_slots=8)) as s:
        await s.create()
        tasks, open_before, memory = asyncio.all_tasks(), descriptors(), resident()
        async with asyncio.timeout(120), asyncio.TaskGroup() as group:
            for _ in range(300):
                group.create_task(one_client(s, dice, statuses))
        await until(lambda: not s.engine.runs and not model.open)
        await s.engine.journal.idle()
        await until(lambda: len(s.server.server_state.connections) <= 1)
        await until(lambda: asyncio.all_tasks() <= tasks | {asyncio.current_task()} | keepalive_task())
        assert descriptors() <= open_before + 1
        assert resident() - memory < 100 * 2**20
        assert await s.engine.store.unfinished() == []
        await check_unharmed(s)
    assert len(statuses) > 150
    assert set(statuses) <= {200, 400}
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == []


def keepalive_task() -> set[asyncio.Task[Any]]:
    """The one task that looks after the streams, until it sees that there are none."""
    return {task for task in asyncio.all_tasks() if "_keep_alive" in repr(task.get_coro())}
