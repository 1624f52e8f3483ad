"""Server-sent events as bytes: events to frames, and any other server's stream to events.

Encoding is the hot path of the server. A frame is `event: <type>`, `data: <json>` and a blank line: no `id:` (with a
comment after it the official Python SDK reads an empty event), no `[DONE]` (OpenAI sends none), one frame never in two
pieces. The splitter follows the event stream format of the HTML standard and does no I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

from antiphon.wire.errors import UpstreamMalformed
from antiphon.wire.events import EVENTS, Event
from antiphon.wire.struct import Opaque, encoder

__all__ = ["MAX_LINE", "SSESplitter", "SSEvent", "frame", "frames"]

MAX_LINE: Final = 16 * 1024 * 1024
"""The longest line, and the longest data of an event, that a splitter takes, in bytes."""

_PREFIXES: Final[dict[type, bytes]] = {struct: f"event: {name}\ndata: ".encode() for name, struct in EVENTS.items()}


def frame(event: Event) -> bytes:
    """Encode one event."""
    return frames((event,))


def frames(events: Iterable[Event]) -> bytes:
    """Encode events one after the other."""
    buffer = bytearray()
    encode_into = encoder.encode_into
    prefixes = _PREFIXES
    for event in events:
        buffer += prefixes.get(type(event)) or _prefix(event)
        encode_into(event, buffer, -1)
        buffer += b"\n\n"
    return bytes(buffer)


def _prefix(event: Event) -> bytes:
    """The lines before the JSON of an event that has no struct. A type that would break the frame is not repeated."""
    name = event.type if isinstance(event, Opaque) else ""
    return f"event: {name if name and name.isprintable() else 'message'}\ndata: ".encode()


SSEvent: TypeAlias = tuple[str | None, bytes]
"""One event of a stream: the last `event` field (None if there was none) and all `data` lines, joined."""


class SSESplitter:
    """Splits a stream of server-sent events, however its bytes were cut.

    Lines may end in CR, LF or both. Comments, `id` and `retry` are skipped. Data is valid UTF-8: what is not, is
    replaced by U+FFFD. Raises UpstreamMalformed for a line, or the data of an event, of more than `max_line` bytes.
    """

    __slots__ = ("_after_cr", "_data", "_line", "_max_line", "_name", "_pending", "_size", "_started")

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._line = bytearray()  # of the line that is not yet whole
        self._data: list[bytes] = []
        self._size = 0  # of all data of the event that is not yet whole
        self._name: str | None = None
        self._after_cr = False  # the last byte was a CR: an LF that follows belongs to it
        self._pending = False  # something is half done
        self._started = False  # the first line has been seen, there can be no byte order mark any more

    def feed(self, chunk: bytes) -> list[SSEvent]:
        """Take the next bytes of the stream, give the events that they complete."""
        if (whole := self._whole(chunk)) is not None:
            return whole
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        events = self._lines(chunk)
        self._pending = bool(self._line or self._data or self._name or self._after_cr)
        return events

    def close(self) -> list[SSEvent]:
        """The stream is over. Gives the last event if only its blank line is missing."""
        if self._line:
            self._take(bytes(self._line))
            self._line.clear()
        return self._dispatch()

    def _whole(self, chunk: bytes) -> list[SSEvent] | None:
        """The short way for the usual: nothing is pending, and the chunk is a row of `data: ...` frames, no more."""
        if self._pending or not chunk.startswith(b"data: ") or not chunk.endswith(b"\n\n") or b"\r" in chunk:
            return None
        pieces = chunk[6:-2].split(b"\n\ndata: ")
        if chunk.count(b"\n") != 2 * len(pieces) or len(chunk) > self._max_line or not _is_utf8(chunk):
            return None
        self._started = True
        return [(None, piece) for piece in pieces]

    def _lines(self, chunk: bytes) -> list[SSEvent]:
        """Take the lines that a chunk completes, and keep its rest."""
        lines = chunk.splitlines()
        rest = b"" if chunk[-1:] in b"\r\n" else lines.pop()
        events: list[SSEvent] = []
        if lines and self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        for line in lines:
            self._check(len(line))
            if line:
                self._take(line)
            else:
                events += self._dispatch()
        self._line += rest
        self._check(len(self._line))
        return events

    def _take(self, line: bytes) -> None:
        """One field of an event."""
        if not self._started:
            self._started = True
            line = line.removeprefix(b"\xef\xbb\xbf")
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._size += len(value) + 1
            self._check(self._size - 1)
            self._data.append(value if _is_utf8(value) else value.decode(errors="replace").encode())
        elif field == b"event":
            self._name = value.decode(errors="replace")

    def _dispatch(self) -> list[SSEvent]:
        """The event that ends here. One without data is none (the HTML standard says so)."""
        self._started = True
        events = [(self._name or None, b"\n".join(self._data))] if self._data else []
        self._data.clear()
        self._size = 0
        self._name = None
        return events

    def _check(self, size: int) -> None:
        if size > self._max_line:
            raise UpstreamMalformed(f"A server-sent event has more than {self._max_line} bytes.")


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
