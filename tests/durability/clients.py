"""Clients of a server that is stopped, or whose disk is full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.durability.kill import Seen, Server


@dataclass
class Listener(Seen):
    """A client that keeps the comments of its stream apart."""

    store: bool = True
    status: int = 0
    comments: bytes = b""

    def take(self, chunk: bytes) -> None:
        head, end, self.pending = (self.pending + chunk).rpartition(b"\n\n")
        for frame in (head + end).split(b"\n\n")[:-1]:
            if frame.startswith(b":"):
                self.comments += frame
            else:
                self.data += frame + b"\n\n"

    def request(self) -> dict[str, Any]:
        return {**super().request(), "store": self.store}


async def listen(http: aiohttp.ClientSession, server: Server, seen: Listener) -> None:
    """Read one stream until it ends or is cut."""
    try:
        async with http.post(server.url, json=seen.request()) as answer:
            seen.status = answer.status
            async for chunk in answer.content.iter_any():
                seen.take(chunk)
    except aiohttp.ClientError:
        pass  # the server has cut the stream: that is how a client knows that it has no end
