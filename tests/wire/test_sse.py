from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.wire import events
from antiphon.wire.errors import UpstreamMalformed
from antiphon.wire.events import decode_event
from antiphon.wire.sse import SSESplitter, SSEvent, frame, frames
from antiphon.wire.struct import Opaque, encode
from tests.wire import samples


def split(*chunks: bytes) -> list[SSEvent]:
    splitter = SSESplitter()
    found = [event for chunk in chunks for event in splitter.feed(chunk)]
    return found + splitter.close()


def reference(stream: bytes) -> list[SSEvent]:
    """The event stream format of the HTML standard, read slowly: decode, split into lines, go field by field."""
    text = stream.decode(errors="replace").removeprefix("\ufeff")
    found: list[SSEvent] = []
    name, data = "", []
    for line in [*re.split(r"\r\n|\r|\n", text), ""]:
        if not line:
            if data:
                found.append((name or None, "\n".join(data).encode()))
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if field == "event":
            name = value
        if field == "data":
            data.append(value)
    return found


PIECES = st.sampled_from(
    [
        b"data: one\n\n",
        b"data: two\r\n\r\n",
        b"event: x\ndata: {}\n\n",
        b"data:\n\n",
        b"data\n\n",
        b": ping\n\n",
        b"\n",
        b"\r",
        b"\r\n",
        b"data: a\ndata: b\n\n",
        b"id: 1\nretry: 5\n",
        b"event:\n",
        b"event: y\n",
        b"\xef\xbb\xbf",
        b"data: \xff\xe2\x82\n\n",
        "data: \u00e4\u20ac\U0001f600\n\n".encode(),
        b"data:  two spaces\n\n",
        b"x",
        b"data: ",
    ]
)
STREAMS = st.lists(PIECES | st.binary(max_size=4), max_size=12).map(b"".join)


@st.composite
def cut_streams(draw: st.DrawFn) -> list[bytes]:
    """A stream, cut anywhere."""
    stream = draw(STREAMS)
    cuts = sorted(draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    return [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]


@given(cut_streams())
def test_a_stream_gives_the_events_of_the_standard_however_it_is_cut(chunks: list[bytes]) -> None:
    assert split(*chunks) == reference(b"".join(chunks))


@given(st.lists(PIECES, max_size=12))
def test_a_stream_that_is_cut_where_lines_end_gives_the_events_of_the_standard(chunks: list[bytes]) -> None:
    assert split(*chunks) == reference(b"".join(chunks))


@given(STREAMS)
def test_a_stream_of_single_bytes_gives_the_events_of_the_standard(stream: bytes) -> None:
    assert split(*(stream[index : index + 1] for index in range(len(stream)))) == reference(stream)


def test_the_usual_chunk_is_split_at_once() -> None:
    splitter = SSESplitter()
    assert splitter.feed(b"data: 1\n\n") == [(None, b"1")]
    assert splitter.feed(b"data: 2\n\ndata: 3\n\n") == [(None, b"2"), (None, b"3")]
    assert splitter.feed("data: \u00e4\n\n".encode()) == [(None, "\u00e4".encode())]
    assert splitter.feed(b"data: \xff\n\n") == [(None, "\ufffd".encode())]
    assert splitter.close() == []


def test_a_chunk_that_only_looks_like_the_usual_is_read_line_by_line() -> None:
    splitter = SSESplitter()
    splitter.feed(b"data: 1\n\n")
    assert splitter.feed(b"data: 2\ndata: 3\n\n") == [(None, b"2\n3")]
    assert splitter.feed(b"event: x\n") == []
    assert splitter.feed(b"data: 4\n\n") == [("x", b"4")]
    assert splitter.feed(b"data: 5\n") == []
    assert splitter.feed(b"data: 6\n\n") == [(None, b"5\n6")]
    assert splitter.feed(b"data: 7\n\n: ping\n\n") == [(None, b"7")]


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b"\xef\xbb\xbfdata: 1\n\n", [(None, b"1")]),
        (b": ping\n\ndata: 1\n\n", [(None, b"1")]),
        (b"event: ping\n\ndata: 1\n\n", [(None, b"1")]),
        (b"event: a\nevent: b\ndata: 1\n\n", [("b", b"1")]),
        (b"data: 1\ndata: 2\n\n", [(None, b"1\n2")]),
        (b"data:1\rdata:2\r\n\r\ndata:3\n\r", [(None, b"1\n2"), (None, b"3")]),
        (b"id: 7\nretry: 10\nfoo: bar\ndata: 1\n\n", [(None, b"1")]),
        (b"data: 1", [(None, b"1")]),
        (b"data: 1\n", [(None, b"1")]),
        (b"event: a\n", []),
        (b"", []),
        (b"data: [DONE]\n\n", [(None, b"[DONE]")]),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, found: list[SSEvent]) -> None:
    assert split(stream) == found


def test_a_line_feed_belongs_to_the_carriage_return_of_the_chunk_before() -> None:
    assert split(b"data: 1\r", b"\ndata: 2\r", b"\n\r", b"\n") == [(None, b"1\n2")]


def test_an_event_is_given_as_soon_as_its_last_byte_is_there() -> None:
    splitter = SSESplitter()
    assert splitter.feed(b"data: 1\r\r") == [(None, b"1")]
    assert splitter.feed(b"\ndata: 2\n") == []
    assert splitter.feed(b"\n") == [(None, b"2")]


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: 12345678901\n\n"],
        [b"data: 1234567", b"8901\n\n"],
        [b"data: 1\n\n", b"data: 12345678901\n\n"],
        [b"x" * 17],
        [b"data: 12345678\ndata: 12345678\n\n"],
        [b"data: 12345678\n", b"data: 12345678\n"],
    ],
)
def test_a_line_or_an_event_that_is_too_long_is_told_as_the_fault_of_the_other_server(chunks: list[bytes]) -> None:
    splitter = SSESplitter(max_line=16)
    with pytest.raises(UpstreamMalformed, match="more than 16 bytes"):
        list(map(splitter.feed, chunks))


def test_a_line_may_be_as_long_as_the_limit() -> None:
    splitter = SSESplitter(max_line=16)
    assert splitter.feed(b"data: 1234567890\n\ndata: 2\n\n") == [(None, b"1234567890"), (None, b"2")]


def test_a_frame_is_the_type_the_json_and_a_blank_line() -> None:
    assert frame(events.Keepalive(sequence_number=3)) == (
        b'event: keepalive\ndata: {"type":"keepalive","sequence_number":3}\n\n'
    )


@pytest.mark.parametrize("event", samples.EVENTS, ids=lambda event: type(event).__name__)
def test_a_frame_is_named_after_the_type_of_its_event(event: Any) -> None:
    ((name, data),) = split(frame(event))
    assert data == encode(event)
    assert name == next(wire for wire, struct in events.EVENTS.items() if isinstance(event, struct))


def test_frames_stand_one_after_the_other() -> None:
    assert frames(samples.EVENTS) == b"".join(map(frame, samples.EVENTS))
    assert frames([]) == b""
    assert [decode_event(data) for _, data in split(frames(samples.EVENTS))] == samples.EVENTS


def test_text_that_looks_like_a_frame_stays_inside_of_one() -> None:
    delta = events.AudioTranscriptDelta(sequence_number=1, delta="\n\ndata: {}\r\n\r\nevent: x\n\n\u2028")
    ((_, data),) = split(frame(delta))
    assert decode_event(data) == delta


def test_an_event_of_unknown_type_is_framed_under_its_own_name() -> None:
    assert frame(Opaque({"type": "x:progress", "n": 1})) == b'event: x:progress\ndata: {"type":"x:progress","n":1}\n\n'


@pytest.mark.parametrize("name", ["", "a\nb", "a\rb", "\u0085"])
def test_a_type_that_would_break_the_frame_is_not_its_name(name: str) -> None:
    event = Opaque({"type": name})
    assert frame(event) == b"event: message\ndata: " + encode(event) + b"\n\n"
