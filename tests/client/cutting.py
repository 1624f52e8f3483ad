"""A proxy that cuts: it passes on so many bytes of the next answers, then closes the connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """`cuts` has for each of the next connections how many bytes of its answers are passed on; then all are."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.cuts: list[int] = []
        self.passed = 0
        """Bytes that the last connection passed on."""
        self.port = 0

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self.cuts.pop(0) if self.cuts else None
        there, here = await asyncio.open_connection("127.0.0.1", self._target)
        asking = asyncio.create_task(_pump(reader, here))
        try:
            self.passed = await _pump(there, writer, left)
        finally:
            asking.cancel()
            here.close()
            writer.close()


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, left: int | None = None) -> int:
    passed = 0
    while data := await source.read(65536):
        piece = data if left is None else data[: left - passed]
        target.write(piece)
        passed += len(piece)
        if passed == left:
            break
    return passed


@asynccontextmanager
async def cutting(port: int) -> AsyncIterator[Proxy]:
    """A proxy in front of a port of loopback."""
    proxy = Proxy(port)
    server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy
