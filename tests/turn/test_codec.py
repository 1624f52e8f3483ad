"""What was said can be kept as bytes, and said again."""

from __future__ import annotations

import copy
from typing import get_args
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turn import deltas
from antiphon.turn.codec import TAGS, VERSION, Answer, Unreadable, decode_answer, encode_answer
from antiphon.turn.deltas import Annotated, Delta, Finished, ItemDone, ItemStarted, Text
from antiphon.turn.machine import Machine
from antiphon.wire.items import Message
from antiphon.wire.response import Response
from antiphon.wire.sse import frames
from tests.turn.strategies import Story, stories


def machine() -> Machine:
    numbers = iter(range(10_000))
    made = Machine(lambda prefix: f"{prefix}_{next(numbers)}")
    made.create(Response(id="resp_1", created_at=1, model="m"))
    made.begin()
    return made


def told(said: list[Delta]) -> bytes:
    """The events of some deltas, to the end of the response."""
    one = machine()
    return frames([*one.feed(said), *one.finish(2)])


def kept(said: list[Delta]) -> bytes:
    """Some deltas as the answer of somebody."""
    return encode_answer(Answer(said, "http://h/v1", "qwen3"))


def last_turn(story: Story) -> list[Delta]:
    return story.turns[-1]


def test_every_kind_of_delta_has_a_tag():
    assert set(TAGS.values()) == set(get_args(deltas.Delta))


@given(stories())
def test_what_comes_back_is_what_went_in(story):
    answer = Answer(story.deltas, "http://h/v1", "qwen3")
    assert decode_answer(encode_answer(answer)) == answer


@given(stories())
def test_it_tells_the_same_events(story):
    said = last_turn(story)
    assert told(decode_answer(kept(said)).deltas) == told(said)


@given(stories())
def test_telling_deltas_leaves_them_as_they_were_so_that_several_can_tell_them(story):
    said = last_turn(story)
    before = copy.deepcopy(said)
    assert told(said) == told(said)
    assert said == before


@given(stories(), st.data())
def test_bytes_that_were_damaged_are_unreadable(story, data):
    whole = kept(story.deltas)
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    with pytest.raises(Unreadable):
        decode_answer(damaged)
    with pytest.raises(Unreadable):
        decode_answer(whole[:at])


@pytest.mark.parametrize("rows", [b'[["whisper"]]', b"[[]]", b'[["text"]]', b'{"text":1}', b'[["usage",3]]'])
def test_a_right_checksum_over_something_else_is_unreadable_too(rows):
    for payload in (rows, b'["http://h/v1","qwen3",' + rows + b"]"):
        with pytest.raises(Unreadable, match=r"^(?!the checksum)"):
            decode_answer(VERSION + crc32(payload).to_bytes(4, "big") + payload)


def test_an_annotation_of_an_unknown_shape_is_kept_as_it_is():
    said: list[Delta] = [Text("a"), Annotated({"type": "url_citation", "odd": 1}), Annotated({"type": "odd"})]
    assert decode_answer(kept(said)).deltas == said


def test_the_bytes_are_small():
    said: list[Delta] = [Text("Hello")] * 100
    assert len(kept(said)) < 100 * 20


def test_items_keep_their_type():
    item = Message(role="assistant", status="in_progress", content=[])
    back = decode_answer(kept([ItemStarted(0, item), ItemDone(0), Finished()])).deltas
    assert back == [ItemStarted(0, item), ItemDone(0), Finished()]
