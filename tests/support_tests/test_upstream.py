"""The fake upstream: a server that answers as told, misbehaves as told, and knows what the other side did."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.support.answers import Gate, Pause, Send
from tests.support.upstream import (
    Answer,
    FakeUpstream,
    chat_stream,
    error_answer,
    json_answer,
    plain,
    raw,
    refused,
    stream,
)

pytestmark = pytest.mark.anyio

BODY = json.dumps({"model": "m", "stream": True}).encode()
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Key: Fox\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
MIDDLE = b'" quick"'


class Client:
    """A client that reads bytes, so that nothing of what the upstream did is hidden."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, request: bytes = POST) -> None:
        self.writer.write(request)
        await self.writer.drain()

    async def leave(self) -> None:
        self.writer.close()
        await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)


@asynccontextmanager
async def connected(up: FakeUpstream) -> AsyncIterator[Client]:
    client = Client(*await asyncio.open_connection("127.0.0.1", up.port))
    try:
        yield client
    finally:
        await client.leave()


def whole() -> Answer:
    return stream(chat_stream("The quick brown fox."))


async def test_a_script_gives_its_answers_in_order_and_requests_are_recorded() -> None:
    async with FakeUpstream() as up:
        up.script = [error_answer(503), json_answer({"ok": True})]
        async with connected(up) as client:
            await client.ask()
            assert b" 503 " in await client.reader.readuntil(b"}}")
            await client.ask()
            assert b" 200 OK" in await client.reader.readuntil(b"}")
        first = up.requests[0]
        assert (first.method, first.target) == ("POST", "/v1/chat/completions")
        assert first.headers["x-key"] == "Fox"
        assert first.json() == {"model": "m", "stream": True}
        assert len(up.requests) == 2
        assert up.requests[1].received_at >= first.received_at
        assert up.script == []


async def test_a_handler_decides_by_the_request() -> None:
    async with FakeUpstream() as up:
        up.handler = lambda request: plain(200, request.target.encode())
        async with connected(up) as client:
            await client.ask(b"GET /v1/models HTTP/1.1\r\n\r\n")
            await client.reader.readuntil(b"\r\n\r\n/v1/models")


async def test_the_same_answer_can_be_given_to_every_request_until_a_script_is_set() -> None:
    async with FakeUpstream() as up:
        up.always(plain(200, b"again"))
        async with connected(up) as client:
            for _ in range(3):
                await client.ask()
                await client.reader.readuntil(b"again")
            up.script = [plain(200, b"once")]
            await client.ask()
            await client.reader.readuntil(b"once")


async def test_a_request_beyond_the_script_gets_an_error_that_says_so() -> None:
    async with FakeUpstream() as up, connected(up) as client:
        await client.ask()
        answer = await client.reader.readuntil(b"}}")
        assert b" 500 " in answer
        assert b"has no further answer" in answer


async def test_a_request_body_in_chunks_is_put_together() -> None:
    async with FakeUpstream() as up:
        up.script = [plain()]
        async with connected(up) as client:
            await client.ask(
                b'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n": 1\r\n1\r\n}\r\n0\r\n\r\n'
            )
            assert (await up.received()).json() == {"a": 1}


async def test_open_connections_are_counted() -> None:
    async with FakeUpstream() as up:
        assert up.open_connections == 0
        up.always(plain(200, b"here"))
        async with connected(up) as one, connected(up) as other:
            for client in (one, other):
                await client.ask()
                await client.reader.readuntil(b"here")
            assert up.open_connections == 2
            await one.leave()
            await up.all_closed(but=1)
            await other.ask()
            await other.reader.readuntil(b"here")
        await up.all_closed()
        assert up.open_connections == 0
        assert len(up.connections) == 2


async def test_a_peer_that_leaves_in_the_middle_of_an_answer_is_noticed_at_once_and_stamped() -> None:
    async with FakeUpstream() as up:
        answer = whole()
        up.script = [answer.stall_after(answer.after(MIDDLE))]
        async with connected(up) as client:
            await client.ask()
            await client.reader.readuntil(MIDDLE)
            assert up.connections[0].closed_by_peer_at is None
            before = time.monotonic()
        stamp = await up.closed_by_peer()
        assert before <= stamp <= time.monotonic()
        await up.all_closed()


async def test_a_peer_that_leaves_without_reading_is_noticed_though_bytes_wait_to_be_written() -> None:
    async with FakeUpstream() as up:
        up.script = [plain(200, b"x" * 50_000_000)]
        async with connected(up) as client:
            await client.ask()
            await client.reader.readuntil(b"xxx")
        await up.closed_by_peer()
        await up.all_closed()


async def test_a_peer_that_leaves_while_an_answer_is_held_is_noticed() -> None:
    gate = Gate()
    async with FakeUpstream() as up:
        up.script = [whole().gated(gate)]
        async with connected(up) as client:
            await client.ask()
            await gate.reached()
        await up.closed_by_peer()
        await up.all_closed()


async def test_a_connection_that_the_upstream_closed_does_not_count_as_closed_by_the_peer() -> None:
    async with FakeUpstream() as up:
        up.script = [raw(b"bye")]
        async with connected(up) as client:
            await client.ask()
            assert await client.reader.read() == b"bye"
        await up.all_closed()
        assert up.connections[0].closed_by_peer_at is None
        with pytest.raises(TimeoutError):
            await up.closed_by_peer(within=0)


async def test_a_gate_lets_one_chunk_pass_at_a_time() -> None:
    gate = Gate()
    answer = stream([b"one", b"two", b"three"], framing="close")
    async with FakeUpstream() as up:
        up.script = [answer.gated(gate)]
        async with connected(up) as client:
            await client.ask()
            assert await client.reader.readuntil(b"\r\n\r\n") == answer.head
            for word in (b"one", b"two"):
                await gate.reached()
                gate.release()
                assert await client.reader.readexactly(len(word)) == word
            await gate.reached()
            gate.open()
            assert await client.reader.read() == b"three"


async def test_chunks_arrive_one_by_one() -> None:
    async with FakeUpstream() as up:
        up.script = [stream([b"one", b"two", b"three"], framing="close")]
        async with connected(up) as client:
            await client.ask()
            await client.reader.readuntil(b"\r\n\r\n")
            pieces = []
            while piece := await client.reader.read(100):
                pieces.append(piece)
        assert b"".join(pieces) == b"onetwothree"
        assert len(pieces) > 1


async def test_an_open_gate_holds_nothing_any_more() -> None:
    gate = Gate()
    gate.open()
    async with FakeUpstream() as up:
        up.always(whole().gated(gate))
        for _ in range(2):
            async with connected(up) as client:
                await client.ask()
                await client.reader.readuntil(b"0\r\n\r\n")


async def test_a_cut_is_the_end_of_the_connection_after_so_many_bytes() -> None:
    answer = whole()
    async with FakeUpstream() as up:
        for count in (0, 1, len(answer.head), len(answer.head) + 1, len(answer.wire) - 1):
            up.script = [answer.cut_after(count)]
            async with connected(up) as client:
                await client.ask()
                assert await client.reader.read() == answer.wire[:count]


async def test_a_reset_is_an_error_after_so_many_bytes() -> None:
    answer = whole()
    async with FakeUpstream() as up:
        for count in (0, len(answer.head), answer.after(MIDDLE)):
            up.script = [answer.reset_after(count)]
            async with connected(up) as client:
                await client.ask()
                with pytest.raises(ConnectionResetError):
                    await read_to_the_end(client, answer.wire[:count])


async def read_to_the_end(client: Client, expected: bytes) -> None:
    assert await client.reader.readexactly(len(expected)) == expected
    await client.reader.read()


async def test_a_stall_keeps_the_connection_without_another_byte() -> None:
    answer = whole()
    async with FakeUpstream() as up:
        up.script = [answer.stall_after(30)]
        async with connected(up) as client:
            await client.ask()
            assert await client.reader.readexactly(30) == answer.wire[:30]
            assert not client.reader.at_eof()
            assert up.open_connections == 1


async def test_a_refusing_upstream_has_nobody_on_its_port_until_it_gets_another_script() -> None:
    async with FakeUpstream() as up:
        port = up.port
        up.script = [refused()]
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
        up.script = [plain(200, b"back")]
        assert up.port == port
        async with connected(up) as client:
            await client.ask()
            await client.reader.readuntil(b"back")


async def test_an_upstream_can_die_between_two_requests() -> None:
    async with FakeUpstream() as up:
        up.script = [plain(200, b"alive"), refused()]
        async with connected(up) as client:
            await client.ask()
            await client.reader.readuntil(b"alive")
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", up.port)
            await client.ask()
            with pytest.raises(ConnectionResetError):
                await client.reader.read()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", up.port)


async def test_always_refusing_refuses_always() -> None:
    async with FakeUpstream() as up:
        up.always(refused())
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", up.port)


async def test_many_clients_are_answered_side_by_side() -> None:
    async with FakeUpstream() as up:
        up.always(whole())

        async def ask() -> bytes:
            async with connected(up) as client:
                await client.ask()
                return await client.reader.readuntil(b"0\r\n\r\n")

        answers = await asyncio.gather(*(ask() for _ in range(50)))
        assert set(answers) == {whole().wire}
        assert len(up.requests) == 50
        await up.received(50)


async def test_leaving_the_upstream_closes_its_connections_and_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    async with FakeUpstream() as up:
        up.always(raw(b"").stall_after(0))
        client = Client(*await asyncio.open_connection("127.0.0.1", up.port))
        await client.ask()
        await up.received()
    assert asyncio.all_tasks() == before
    assert await client.reader.read() == b""
    await client.leave()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", up.port)


async def test_a_paced_answer_pauses_before_each_chunk() -> None:
    answer = stream([b"one", b"two"], framing="close").paced(0)
    assert answer.steps == (Pause(0), Send(b"one"), Pause(0), Send(b"two"))
    async with FakeUpstream() as up:
        up.script = [answer]
        async with connected(up) as client:
            await client.ask()
            assert await client.reader.read() == answer.wire


@pytest.mark.parametrize("ending", ["cut_after", "reset_after", "stall_after"])
def test_the_upstream_runs_on_uvloop_too(ending: str) -> None:
    answer = whole()

    async def meet() -> None:
        async with FakeUpstream() as up:
            up.script = [getattr(answer, ending)(answer.after(MIDDLE))]
            async with connected(up) as client:
                await client.ask()
                await client.reader.readuntil(MIDDLE)
            await up.all_closed()
            up.script = [refused()]
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", up.port)

    pytest.importorskip("uvloop").run(meet())


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
def test_a_stream_is_framed_as_asked(framing: str) -> None:
    answer = stream([b"one", b"two"], framing=framing)
    body = answer.wire.removeprefix(answer.head)
    assert body == {"chunked": b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n", "length": b"onetwo", "close": b"onetwo"}[framing]
    assert {"chunked": b"chunked", "length": b"Content-Length: 6", "close": b"close"}[framing] in answer.head
