"""The streams of every kind of item are, byte for byte, what was recorded of them."""

from __future__ import annotations

import pytest

from antiphon.turn import frames
from antiphon.wire.items import OUTPUT_ITEM_TYPES
from tests.turn.golden import ITEMS, RECORDED, streams
from tests.turn.telling import finished, judged

STREAMS = dict(streams())


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_told_as_it_was_recorded(name: str) -> None:
    recorded = (RECORDED / f"{name}.sse").read_bytes()
    assert STREAMS[name].decode().split("\n\n") == recorded.decode().split("\n\n")


def test_every_recording_belongs_to_a_stream() -> None:
    assert {path.stem for path in RECORDED.glob("*.sse")} == STREAMS.keys()


def test_every_kind_of_output_item_is_recorded() -> None:
    assert ITEMS.keys() >= OUTPUT_ITEM_TYPES


@pytest.mark.parametrize("kind", ITEMS)
def test_what_is_recorded_of_an_item_is_valid(kind: str) -> None:
    finished(*ITEMS[kind])


@pytest.mark.parametrize("name", [name for name in STREAMS if name.startswith("response.")])
def test_what_is_recorded_of_a_response_is_valid(name: str) -> None:
    judged(list(frames.events(STREAMS[name])))
