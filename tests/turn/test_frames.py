"""A log as bytes: frames are counted, skipped and read back, whatever they say."""

from __future__ import annotations

import pytest

from antiphon.turn import frames
from antiphon.wire.events import Event, Keepalive
from antiphon.wire.sse import frames as encoded
from antiphon.wire.struct import Opaque, encode

EVENTS: list[Event] = [
    Keepalive(sequence_number=0),
    Opaque({"type": "x:blank lines", "sequence_number": 1, "text": "one\n\ndata: two\n\n"}),
    Opaque({"type": "x:two\nlines", "sequence_number": 2}),
    Opaque({"type": "x:naïve data: x", "sequence_number": 3}),
    Opaque({"type": "x:two\n\ndata: lines", "sequence_number": 4}),
    Keepalive(sequence_number=5),
]
DATA = encoded(EVENTS)


def test_nothing_that_an_event_says_is_taken_for_the_end_of_a_frame() -> None:
    assert frames.count(DATA) == len(EVENTS)
    assert list(frames.payloads(DATA)) == [encode(event) for event in EVENTS]
    assert list(frames.events(DATA)) == EVENTS


@pytest.mark.parametrize("number", range(len(EVENTS) + 1))
def test_what_is_left_after_some_events_is_the_frames_of_the_others(number: int) -> None:
    assert frames.skip(DATA, number) == encoded(EVENTS[number:])


def test_after_more_events_than_there_are_nothing_is_left() -> None:
    assert frames.skip(DATA, len(EVENTS) + 1) == b""


def test_an_empty_log_holds_nothing() -> None:
    assert (frames.count(b""), frames.skip(b"", 3), list(frames.events(b""))) == (0, b"", [])
