"""What a fake upstream says to one request, byte by byte.

An `Answer` is a head, then steps (send these bytes, wait at this gate, pause), then an ending: keep the connection,
close it, reset it, or say nothing more. It is a value: an answer can be sent any number of times, and `cut_after`,
`gated` and the like give a changed copy.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from http import HTTPStatus
from typing import Any, Literal

Framing = Literal["chunked", "length", "close"]

SSE = "text/event-stream; charset=utf-8"


class Gate:
    """Holds answers until the test lets them go on."""

    def __init__(self) -> None:
        self._passes = asyncio.Semaphore(0)
        self._arrivals = asyncio.Semaphore(0)
        self._is_open = False

    def release(self, count: int = 1) -> None:
        """Let `count` holds pass."""
        for _ in range(count):
            self._passes.release()

    def open(self) -> None:
        """Let everything pass from now on."""
        self._is_open = True
        self._passes.release()

    async def reached(self) -> None:
        """Wait until the next hold is reached: all bytes before it were sent."""
        await self._arrivals.acquire()

    async def wait(self) -> None:
        """Hold an answer; called by the upstream."""
        self._arrivals.release()
        await self._passes.acquire()
        if self._is_open:
            self._passes.release()


@dataclass(frozen=True, slots=True)
class Send:
    """Write these bytes to the connection."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Hold:
    """Wait until the gate lets one pass."""

    gate: Gate


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for so many seconds: for looking at a stream by hand, not for tests."""

    seconds: float


Step = Send | Hold | Pause


class Ending(Enum):
    """What happens on the connection after the last step."""

    KEEP = auto()
    CLOSE = auto()
    RESET = auto()
    SILENCE = auto()


@dataclass(frozen=True)
class Answer:
    """One answer; `refuses` means that nobody listens on the port, so that there is none."""

    head: bytes = b""
    steps: tuple[Step, ...] = ()
    ending: Ending = Ending.CLOSE
    refuses: bool = False

    @property
    def wire(self) -> bytes:
        """All bytes of the answer, the head included."""
        return self.head + b"".join(step.data for step in self.steps if isinstance(step, Send))

    def after(self, marker: bytes) -> int:
        """Count the bytes up to the end of the first `marker`."""
        return self.wire.index(marker) + len(marker)

    def cut_after(self, count: int) -> Answer:
        """Send the first `count` bytes, the head included, then close the connection (FIN)."""
        return self._first(count, Ending.CLOSE)

    def reset_after(self, count: int) -> Answer:
        """Send the first `count` bytes, the head included, then reset the connection (RST)."""
        return self._first(count, Ending.RESET)

    def stall_after(self, count: int) -> Answer:
        """Send the first `count` bytes, the head included, then nothing; the connection stays."""
        return self._first(count, Ending.SILENCE)

    def gated(self, gate: Gate) -> Answer:
        """Hold before each chunk of the body."""
        return replace(self, steps=tuple(_before_each(Hold(gate), self.steps)))

    def paced(self, seconds: float) -> Answer:
        """Pause before each chunk of the body."""
        return replace(self, steps=tuple(_before_each(Pause(seconds), self.steps)))

    def _first(self, count: int, ending: Ending) -> Answer:
        return replace(
            self, head=self.head[:count], steps=tuple(_limited(self.steps, count - len(self.head))), ending=ending
        )


def _before_each(extra: Step, steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield from (extra, step) if isinstance(step, Send) else (step,)


def _limited(steps: Iterable[Step], left: int) -> Iterator[Step]:
    for step in steps:
        if left <= 0:
            return
        if isinstance(step, Send):
            yield Send(step.data[:left])
            left -= len(step.data)
        else:
            yield step


def refused() -> Answer:
    """Nobody listens on the port, until another script is given; a connection from before is reset."""
    return Answer(refuses=True, ending=Ending.RESET)


def raw(data: bytes, ending: Ending = Ending.CLOSE) -> Answer:
    """Send bytes as they are, HTTP or not."""
    return Answer(data, ending=ending)


def plain(
    status: int = 200,
    body: bytes = b"",
    *,
    content_type: str | None = "text/plain; charset=utf-8",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Answer with a body of known length; None as content type leaves that header out."""
    named = {} if content_type is None else {"Content-Type": content_type}
    head = http_head(status, {**named, "Content-Length": str(len(body)), **(headers or {})})
    return Answer(head, (Send(body),) if body else (), Ending.KEEP)


def json_answer(body: Any, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Answer:
    """Answer with JSON."""
    return plain(status, json.dumps(body).encode(), content_type="application/json", headers=headers)


def error_answer(
    status: int, message: str = "It went wrong.", *, headers: Mapping[str, str] | None = None, **error: Any
) -> Answer:
    """Answer with an error in the envelope of the API; `error` adds to it or changes it (type, code, param)."""
    body = {"message": message, "type": "server_error", "param": None, "code": None, **error}
    return json_answer({"error": body}, status, headers=headers)


def stream(
    chunks: Sequence[bytes],
    *,
    framing: Framing = "chunked",
    status: int = 200,
    content_type: str = SSE,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Answer with a stream, one write a chunk.

    `framing` says how the client knows the end: by HTTP chunks, by Content-Length, or only by the closed connection.
    """
    fields = {"Content-Type": content_type, "Cache-Control": "no-cache", **(headers or {})}
    match framing:
        case "chunked":
            head = http_head(status, {**fields, "Transfer-Encoding": "chunked"})
            body = tuple(Send(b"%x\r\n%b\r\n" % (len(chunk), chunk)) for chunk in chunks)
            return Answer(head, (*body, Send(b"0\r\n\r\n")), Ending.KEEP)
        case "length":
            head = http_head(status, {**fields, "Content-Length": str(sum(map(len, chunks)))})
            return Answer(head, tuple(map(Send, chunks)), Ending.KEEP)
        case "close":
            head = http_head(status, {**fields, "Connection": "close"})
            return Answer(head, tuple(map(Send, chunks)), Ending.CLOSE)


def http_head(status: int, headers: Mapping[str, str]) -> bytes:
    """Build the status line and the headers, with the blank line after them."""
    phrase = next((known.phrase for known in HTTPStatus if known == status), "Site is overloaded")
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
