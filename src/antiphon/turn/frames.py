"""A log as bytes: whole SSE frames, one after the other, one an event, numbered without gaps.

JSON holds no line break, so a blank line is always the end of a frame: frames are counted and skipped without a look
at what they say.
"""

from __future__ import annotations

from collections.abc import Iterator

from antiphon.wire.events import Event, decode_event

END = b"\n\n"
_DATA = b"data: "
_LATER = b"\n" + _DATA


def count(data: bytes) -> int:
    """How many events these bytes hold."""
    return data.count(END)


def skip(data: bytes, number: int) -> bytes:
    """The bytes after the first `number` events, b"" if there are no more."""
    at = 0
    for _ in range(number):
        found = data.find(END, at)
        if found < 0:
            return b""
        at = found + 2
    return data[at:] if at else data


def payloads(data: bytes) -> Iterator[bytes]:
    """The JSON of each event."""
    at = 0
    while (found := data.find(END, at)) >= 0:
        # An event whose type cannot stand in a line has no `event` line before its data.
        first = at if data.startswith(_DATA, at) else data.index(_LATER, at) + 1
        yield data[first + len(_DATA) : found]
        at = found + 2


def events(data: bytes) -> Iterator[Event]:
    """The events themselves."""
    return map(decode_event, payloads(data))
