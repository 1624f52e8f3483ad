"""A log on a socket: server-sent events with keepalives, for as long as the client stays.

Every send holds whole frames, so a comment may go between any two of them. Keepalives are comments, never events: they
have no number and are not part of the log. One task looks after all streams of a server.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from time import monotonic

from antiphon.server.call import Call, Header
from antiphon.turn import frames
from antiphon.wire.errors import APIError

KIND = b"text/event-stream; charset=utf-8"
HEADERS: tuple[Header, ...] = (
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
DONE = b"data: [DONE]\n\n"
KEEPALIVE = b": keepalive\n\n"


class Stream:
    """One client that reads a log."""

    __slots__ = ("call", "is_waiting", "last")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.last = monotonic()
        self.is_waiting = False
        """Whether the client is slow to take what was sent."""

    async def send(self, data: bytes) -> None:
        """Send whole frames."""
        self.last = monotonic()
        self.is_waiting = True
        await self.call.piece(data)
        self.is_waiting = False


class Streams:
    """All streams of a server, and the one task that keeps them alive."""

    def __init__(self) -> None:
        self._open: set[Stream] = set()
        self._task: asyncio.Task[None] | None = None
        self._pings: set[asyncio.Task[None]] = set()

    async def serve(
        self, call: Call, data: AsyncIterator[bytes], *, on_leave: Callable[[], None], obfuscate: bool = False
    ) -> None:
        """Send a log until its end, or until the client leaves: then `on_leave` is called and nothing is sent."""
        stream = Stream(call)
        await call.begin(KIND, HEADERS)
        if call.scope["method"] == "HEAD":
            await call.piece(b"", more=False)
            return
        watcher = _watch(call)
        self._add(stream)
        try:
            async for chunk in data:
                await stream.send(_padded(chunk) if obfuscate else chunk)
            await call.piece(DONE if call.options.done_marker else b"", more=False)
        except APIError as error:
            await stream.send(_hint(error))  # and no end of the body: the client sees that the stream is cut
        except asyncio.CancelledError:
            if not watcher.done():
                raise
        finally:
            self._open.discard(stream)
            if watcher.done():
                on_leave()
            watcher.cancel()

    @property
    def open(self) -> int:
        """How many there are."""
        return len(self._open)

    def _add(self, stream: Stream) -> None:
        self._open.add(stream)
        if self._task is None:
            self._task = asyncio.create_task(self._keep_alive(stream.call.options.keepalive))

    async def _keep_alive(self, silence: float) -> None:
        while self._open:
            await asyncio.sleep(min(1.0, silence / 2))
            now = monotonic()
            for stream in self._open:
                if now - stream.last >= silence and not stream.is_waiting:
                    task = asyncio.create_task(self._ping(stream))
                    self._pings.add(task)
                    task.add_done_callback(self._pings.discard)
        self._task = None

    async def _ping(self, stream: Stream) -> None:
        if stream in self._open:  # it may have ended since
            await stream.send(KEEPALIVE)


def _watch(call: Call) -> asyncio.Task[None]:
    """A task that ends when the client leaves, and then cancels the one that serves it."""
    serving = asyncio.current_task()
    assert serving is not None
    watcher = asyncio.create_task(call.left())
    watcher.add_done_callback(lambda done: None if done.cancelled() else serving.cancel())
    return watcher


def _hint(error: APIError) -> bytes:
    text = " ".join(error.message.split())
    return f": {text} The events so far are kept: continue with GET ?stream=true&starting_after=N\n\n".encode()


_DELTA = b".delta\ndata: "


def _padded(chunk: bytes) -> bytes:
    """Frames whose deltas carry a random `obfuscation`, so that their length says little about the text."""
    return b"".join(_pad(frame) for frame in chunk.split(frames.END) if frame)


def _pad(frame: bytes) -> bytes:
    if _DELTA not in frame:
        return frame + frames.END
    length = 1 + secrets.randbelow(16)
    padding = secrets.token_urlsafe(length)[:length].encode()
    return frame[:-1] + b',"obfuscation":"' + padding + b'"}' + frames.END
