"""SIGTERM under load: every stream is drained or ends with a hint, the exit code is 0, and the data is whole."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import contextmanager

import aiohttp
import pytest

from tests.durability.clients import Listener, listen
from tests.durability.kill import WORDS, Outcome, Server, check
from tests.support.serving import events
from tests.support.upstream import FakeUpstream, chat_stream, stream
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

STREAMS = 60
HINT = b"continue with GET"


def everyone():
    """Foreground and background, stored and unstored, of both models."""
    for number in range(STREAMS):
        background = number % 3 == 0
        yield Listener(background, ("rehearsal", "chat")[number % 2], store=background or number % 3 == 1)


async def stopped(http, server, listeners):
    """Stop the server in the midst of its streams; returns the exit code."""
    tasks = [asyncio.create_task(listen(http, server, seen)) for seen in listeners]
    await until(lambda: all(seen.count > 5 for seen in listeners), seconds=30)
    code = await asyncio.to_thread(server.stop)
    await asyncio.gather(*tasks)
    return code


@contextmanager
def serve(folder, upstream, *, grace):
    upstream.handler = lambda _: stream(chat_stream(WORDS)).paced(0.004)
    with Server(folder, upstream.base_url, "normal") as server:
        server.config.write_text(f"[server]\nshutdown_grace = {grace}\n{server.config.read_text()}")
        server.start()
        yield server


async def test_streams_that_end_within_the_grace_are_drained(tmp_path):
    listeners = [seen for seen in everyone() if not seen.background]
    async with FakeUpstream() as upstream, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        with serve(tmp_path, upstream, grace=60) as server:
            assert await stopped(http, server, listeners) == 0
    assert [events(seen.data)[-1]["type"] for seen in listeners] == ["response.completed"] * len(listeners)


async def test_streams_that_do_not_are_told_how_to_go_on_and_nothing_is_lost(tmp_path):
    listeners, outcome = list(everyone()), Outcome()
    async with FakeUpstream() as upstream, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        with serve(tmp_path, upstream, grace=0) as server:
            assert await stopped(http, server, listeners) == 0
            for seen in listeners:
                if not seen.is_whole:
                    assert seen.background
                    assert HINT in seen.comments
            assert any(not seen.is_whole for seen in listeners)
            assert any(b"response.failed" in seen.data for seen in listeners if not seen.store)
            server.start()
            await asyncio.gather(*(check(http, server, seen, outcome) for seen in listeners if seen.store))
            assert await asyncio.to_thread(server.stop) == 0
    assert outcome.problems == []
    assert outcome.resumed


async def test_a_client_that_does_not_read_does_not_keep_the_process(tmp_path):
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as http:
        with serve(tmp_path, upstream, grace=0) as server:
            body = {"model": "rehearsal", "stream": True, "input": "#tokens 100000\nTell me everything."}
            data = json.dumps(body).encode()
            deaf = socket.create_connection(("127.0.0.1", server.port))
            head = f"POST /v1/responses HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n"
            deaf.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + data)
            assert (await asyncio.to_thread(deaf.recv, 12)) == b"HTTP/1.1 200"
            async with http.get(f"http://127.0.0.1:{server.port}/health") as answer:
                assert answer.status == 200
            assert await asyncio.to_thread(server.stop) == 0
            deaf.close()


async def test_a_request_in_its_hold_is_told_to_come_back(tmp_path):
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as http:
        with serve(tmp_path, upstream, grace=0) as server:
            upstream.always(stream(chat_stream(WORDS)).stall_after(0))
            body = {"model": "chat", "input": "Hi."}
            asking = asyncio.create_task(http.post(server.url, json=body))
            await upstream.received()
            assert await asyncio.to_thread(server.stop) == 0
            async with await asking as answer:
                assert answer.status in (200, 503)  # the hold may have ended meanwhile: then it is a failed response
                told = await answer.json()
            assert "stopping" in str(told)
