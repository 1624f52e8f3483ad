"""HTTP by hand, on a socket: for what no client library would send."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

PATIENCE = 10.0
"""Seconds after which a test has failed; nothing waits for so long when all is well."""


@dataclass
class Answer:
    """What the server said to one request."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that is there at most once."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, values
        return values[0] if values else None

    @property
    def error(self) -> dict[str, Any]:
        """The error of the body, which must be in the API's envelope."""
        assert self.header("content-type") == "application/json"
        assert (self.header("x-request-id") or "").startswith("req_")
        body = json.loads(self.body)
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["message"]
        return dict(body["error"])


class Connection:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        async with asyncio.timeout(PATIENCE):
            await self.writer.drain()

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer, whole. Raises IncompleteReadError where the server closes before its end."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            status = int(head[0].split(" ")[1])
            headers = [(name.lower(), value) for name, _, value in (line.partition(": ") for line in head[1:-2])]
            answer = Answer(status, headers, b"")
            if method != "HEAD" and status not in (100, 204):
                answer.body = await self._body(answer)
            return answer

    async def _body(self, answer: Answer) -> bytes:
        if (length := answer.header("content-length")) is not None:
            return await self.reader.readexactly(int(length))
        assert answer.header("transfer-encoding") == "chunked"
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body

    async def closed(self) -> bytes:
        """Wait until the server closes; returns what it still said."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    def leave(self) -> None:
        """Go, without a word."""
        self.writer.transport.abort()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    """A connection to a server on loopback."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def ask(port: int, sent: bytes, method: str = "GET") -> Answer:
    """The answer to a request on a connection of its own."""
    async with connected(port) as connection:
        await connection.send(sent)
        return await connection.answer(method)


def request(
    method: str, path: str, body: bytes | Any = None, headers: dict[str, str] | None = None, *, host: str = "127.0.0.1"
) -> bytes:
    """A well-formed request; what is no bytes is sent as JSON."""
    given: dict[str, str] = {"Host": host}
    data = b""
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given |= {"Content-Type": "application/json", "Content-Length": str(len(data))}
    given |= headers or {}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + data
