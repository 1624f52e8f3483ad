"""A fake upstream in the test's own event loop, which may misbehave at any byte.

    async with FakeUpstream() as up:
        up.script = [error_answer(503), stream(chat_stream("Hello there"))]
        ...                                     # a client of `up.base_url` gets a 503, then the stream
        assert up.requests[0].json()["stream"]

Each request takes the next answer of `script`; `up.always(answer)` gives the same to all; `up.handler` decides by the
request. `FAULTS` has every fault that an upstream is known for. Nothing sleeps: an answer that is `gated` goes on when
the test says so, and `received` and `closed_by_peer` wait for what the other side does. Their timeouts only keep a
broken test from hanging.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

from tests.support.answers import (
    Answer,
    Ending,
    Gate,
    Hold,
    Pause,
    Send,
    error_answer,
    json_answer,
    plain,
    raw,
    refused,
    stream,
)
from tests.support.chat_chunks import ToolCall, chat_chunks, chat_json, chat_stream, sse
from tests.support.faults import FAULTS, RESPONSES_FAULTS, STATUSES, Fault
from tests.support.response_events import responses_json, responses_stream

__all__ = [
    "FAULTS",
    "RESPONSES_FAULTS",
    "STATUSES",
    "Answer",
    "Connection",
    "FakeUpstream",
    "Fault",
    "Gate",
    "Request",
    "ToolCall",
    "chat_chunks",
    "chat_json",
    "chat_stream",
    "error_answer",
    "json_answer",
    "plain",
    "raw",
    "refused",
    "responses_json",
    "responses_stream",
    "sse",
    "stream",
]

TIMEOUT = 10.0  # seconds until a test that waits in vain fails
BACKLOG = 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came; header names are in lower case. `received_at` is monotonic, in seconds."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    received_at: float

    def json(self) -> Any:
        """Decode the body."""
        return json.loads(self.body)


class Connection:
    """One connection; the stamps are monotonic, in seconds, and None as long as it has not happened."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.opened_at = time.monotonic()
        self.closed_by_peer_at: float | None = None
        self.ended_at: float | None = None
        self._is_ending = False
        self._answering: asyncio.Task[None] | None = None

    def answers_in(self, task: asyncio.Task[None]) -> None:
        """Remember what to stop when the peer leaves."""
        self._answering = task

    def end(self) -> None:
        """Note that it is this side that closes: what the peer does from now on is only its answer to that."""
        self._is_ending = True

    def peer_left(self) -> bool:
        """Note that the peer closed, unless this side did before; True the first time."""
        if self._is_ending or self.closed_by_peer_at is not None:
            return False
        self.closed_by_peer_at = time.monotonic()
        if self._answering is not None:
            self._answering.cancel()
        return True


class _Protocol(asyncio.StreamReaderProtocol):
    """The stream protocol, which also tells at once that the peer closed or reset the connection."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self._reader = asyncio.StreamReader()
        super().__init__(self._reader)
        self._upstream = upstream
        self._connection = Connection()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        transport.set_write_buffer_limits(high=0)  # so that `drain` waits until the kernel has every byte
        self._connection.transport = transport
        writer = asyncio.StreamWriter(transport, self, self._reader, asyncio.get_running_loop())
        self._upstream.accepted(self._connection, self._reader, writer)

    def eof_received(self) -> bool:
        super().eof_received()
        self._upstream.peer_left(self._connection)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._upstream.peer_left(self._connection)


class FakeUpstream:
    """An HTTP/1.1 server on a free port of 127.0.0.1 that gives the answers it is told to."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self.handler: Callable[[Request], Answer] | None = None
        self._script: list[Answer] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._adoptions: set[asyncio.Task[None]] = set()
        self._socket = _bound_socket(0)
        self.port: int = self._socket.getsockname()[1]
        self._is_listening = False
        self._changed = asyncio.Event()

    @property
    def base_url(self) -> str:
        """The address with the path that OpenAI's has."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def script(self) -> list[Answer]:
        """The answers that are still to be given, one a request. A `refused()` in front closes the port."""
        return self._script

    @script.setter
    def script(self, answers: Iterable[Answer]) -> None:
        self._script = list(answers)
        self.handler = None
        self._listen_or_refuse()

    def always(self, answer: Answer) -> None:
        """Give the same answer to every request."""
        self.script = [answer] if answer.refuses else []
        self.handler = lambda _: answer

    @property
    def open_connections(self) -> int:
        """How many connections are open, seen from here."""
        return sum(connection.ended_at is None for connection in self.connections)

    async def received(self, count: int = 1, within: float = TIMEOUT) -> Request:
        """Wait until `count` requests have come in all, and give the last of those."""
        await self._until(lambda: len(self.requests) >= count, within)
        return self.requests[count - 1]

    async def closed_by_peer(self, within: float = TIMEOUT, *, count: int = 1) -> float:
        """Wait until the other side closed `count` connections in all; give the monotonic time of the last of those."""
        await self._until(lambda: len(self._closings()) >= count, within)
        return self._closings()[count - 1]

    async def all_closed(self, within: float = TIMEOUT, *, but: int = 0) -> None:
        """Wait until no connection is open, `but` so many."""
        await self._until(lambda: self.open_connections == but, within)

    def _closings(self) -> list[float]:
        return sorted(each.closed_by_peer_at for each in self.connections if each.closed_by_peer_at is not None)

    async def _until(self, happened: Callable[[], bool], within: float) -> None:
        async with asyncio.timeout(within):
            while not happened():
                self._changed.clear()
                await self._changed.wait()

    # The port

    async def __aenter__(self) -> Self:
        self._listen_or_refuse()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._stop_listening()
        self._socket.close()
        await asyncio.gather(*self._adoptions, return_exceptions=True)  # a socket that is half adopted closes badly
        for connection in self.connections:
            connection.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self.connections:
            if connection.transport is not None:  # a task that was stopped before its first step closed nothing
                connection.transport.abort()

    def _listen_or_refuse(self) -> None:
        refuses = bool(self._script) and self._script[0].refuses
        if refuses and self._is_listening:
            self._stop_listening()
            self._socket.close()
            self._socket = _bound_socket(self.port)  # keeps the port without listening on it
        elif not refuses and not self._is_listening:
            self._socket.listen(BACKLOG)
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)
            self._is_listening = True

    def _stop_listening(self) -> None:
        if self._is_listening:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._is_listening = False

    def _accept(self) -> None:
        try:
            accepted, _ = self._socket.accept()
        except BlockingIOError:  # it left before it was taken
            return
        accepted.setblocking(False)
        adoption = self._start(self._adopt(accepted))
        self._adoptions.add(adoption)
        adoption.add_done_callback(self._adoptions.discard)

    async def _adopt(self, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.connect_accepted_socket(lambda: _Protocol(self), accepted)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # One connection

    def accepted(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a new connection; called by its protocol."""
        self.connections.append(connection)
        connection.answers_in(self._start(self._serve(connection, reader, writer)))
        self._changed.set()

    def peer_left(self, connection: Connection) -> None:
        """Note that the other side closed a connection; called by its protocol."""
        if connection.peer_left():
            self._changed.set()

    async def _serve(self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ending = Ending.KEEP
        try:
            while ending is Ending.KEEP:
                self._note(await _read_request(reader))
                answer = self._next_answer()
                await _send(answer, writer)
                ending = answer.ending
            if ending is Ending.SILENCE:
                await asyncio.get_running_loop().create_future()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the peer left between two requests, or in one
        finally:
            connection.end()
            _close(writer, reset=ending is Ending.RESET)
            connection.ended_at = time.monotonic()
            self._changed.set()

    def _note(self, request: Request) -> None:
        self.requests.append(request)
        self._changed.set()

    def _next_answer(self) -> Answer:
        if self.handler is not None:
            return self.handler(self.requests[-1])
        if not self._script:
            return error_answer(500, "The script of this fake upstream has no further answer.")
        if self._script[0].refuses:  # on a connection from before the port was closed
            return self._script[0]
        answer = self._script.pop(0)
        self._listen_or_refuse()
        return answer


def _bound_socket(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setblocking(False)
    bound.bind(("127.0.0.1", port))
    return bound


def _close(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    if reset:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        writer.transport.abort()
    writer.close()


async def _send(answer: Answer, writer: asyncio.StreamWriter) -> None:
    for step in (Send(answer.head), *answer.steps):
        match step:
            case Send(data):
                writer.write(data)
                await writer.drain()
                await asyncio.sleep(0)  # a reader in the same loop gets its turn, so that writes arrive one by one
            case Hold(gate):
                await gate.wait()
            case Pause(seconds):
                await asyncio.sleep(seconds)


async def _read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = await _read_chunks(reader)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body, time.monotonic())


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return bytes(body)
