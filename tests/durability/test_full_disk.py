"""A disk that is full under a running server: 503, no event that is not stored, and all is well when there is room."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest

from tests.durability.clients import Listener, listen
from tests.durability.kill import WORDS, Outcome, Server, check
from tests.support.upstream import FakeUpstream, chat_stream, stream
from tests.support.waiting import until

resource = pytest.importorskip("resource")
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="only Linux can limit a process from outside"),
]

NO_ROOM = 1
"""Bytes that a file may have: what is there stays, and nothing can be added."""


def limit(server, size):
    _, most = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most if size is None else size, most))


async def ask(http, server, **body):
    async with http.post(server.url, json={"model": "rehearsal", "input": "Hi.", **body}) as answer:
        return answer.status, json.loads(await answer.read()), answer.headers


async def is_over(http, server, seen):
    async with http.get(f"{server.url}/{seen.response_id}") as answer:
        return answer.status == 200 and (await answer.json())["status"] in ("completed", "failed")


async def test_a_full_disk_stops_what_is_stored_and_nothing_is_told_that_is_not(tmp_path):
    listeners = [Listener(number % 2 == 0, ("rehearsal", "chat")[number // 2 % 2]) for number in range(8)]
    outcome = Outcome()
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as http:
        upstream.handler = lambda _: stream(chat_stream(WORDS)).paced(0.004)
        with Server(tmp_path, upstream.base_url, "normal") as server:
            server.config.write_text(f"[background]\nlease = 1\n{server.config.read_text()}")
            server.start()
            tasks = [asyncio.create_task(listen(http, server, seen)) for seen in listeners]
            await until(lambda: all(seen.count > 20 for seen in listeners), seconds=30)

            limit(server, NO_ROOM)
            await asyncio.gather(*tasks)
            assert not any(seen.is_whole for seen in listeners)
            for body in ({}, {"stream": True}, {"background": True}):
                status, error, headers = await ask(http, server, **body)
                assert status == 503
                assert error["error"]["type"] == "service_unavailable_error"
                assert headers["retry-after"]
            assert (await ask(http, server, store=False))[0] == 200

            limit(server, None)
            assert (await ask(http, server))[0] == 200
            for seen in listeners:
                async with asyncio.timeout(30):
                    while not await is_over(http, server, seen):  # noqa: ASYNC110 - the server looks once a second
                        await asyncio.sleep(0.05)
            await asyncio.gather(*(check(http, server, seen, outcome) for seen in listeners))
            assert await asyncio.to_thread(server.stop) == 0
    assert outcome.problems == []
    assert outcome.events > 160
