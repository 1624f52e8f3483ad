"""The gate of a budget: how much of a stream is let through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.policy.budget import SLACK
from antiphon.policy.cap import Cap
from antiphon.tokens import count, estimate
from antiphon.turn.deltas import (
    Annotated,
    Arguments,
    Command,
    Finished,
    ItemDone,
    ItemStarted,
    Noted,
    Reasoning,
    Refusal,
    Summary,
    Text,
    Usage,
)
from antiphon.wire.content import OutputText
from antiphon.wire.items import CodeInterpreterCall, FunctionCall, Message
from antiphon.wire.response import Usage as UsageFigures
from antiphon.wire.struct import Opaque


def call(arguments: str = "") -> FunctionCall:
    return FunctionCall(id="fc_1", call_id="call_1", name="f", arguments=arguments, status="completed")


def said(batch: list[object]) -> str:
    return "".join(getattr(delta, "text", "") for delta in batch)


def used(tokens: int) -> Usage:
    return Usage(UsageFigures(output_tokens=tokens))


def test_what_is_within_the_limit_passes_as_it_came():
    cap, batch = Cap(4), [Text("0123456789ab"), Finished()]
    assert cap.take(batch) is batch
    assert (cap.is_full, cap.tokens) == (False, 4)


def test_what_is_above_it_is_cut_within_its_delta():
    cap = Cap(4)
    assert cap.take([Text("0123456789"), Text("abcdef", key="m"), Finished()]) == [
        Text("0123456789"),
        Text("ab", key="m"),
    ]
    assert (cap.is_full, cap.tokens) == (True, 4)


def test_nothing_but_usage_passes_once_it_is_full():
    cap = Cap(1)
    cap.take([Text("0123456789")])
    assert cap.take([Text("more"), used(9), Finished()]) == [used(9)]
    assert cap.tokens == 1


def test_usage_behind_the_cut_is_still_told():
    assert Cap(1).take([Text("0123456789"), used(9), Finished()]) == [Text("012"), used(9)]


def test_an_upstream_that_reports_to_have_kept_to_the_limit_is_believed():
    cap, batch = Cap(1), [Text("0123456789"), used(1), Finished()]
    assert cap.take(batch) is batch
    assert not cap.is_full
    assert cap.take([Noted({})]) == [Noted({})]


def test_small_deltas_are_counted_together():
    cap = Cap(4)
    for letter in "0123456789ab":
        assert cap.take([Text(letter)]) == [Text(letter)]
    assert cap.take([Text("c")]) == []


def test_all_that_a_model_writes_is_counted():
    deltas = [
        Text("abc"),
        Refusal("abc"),
        Reasoning("abc"),
        Summary("abc"),
        Arguments("k", "abc"),
        Command("k", 0, "abc"),
    ]
    for delta in deltas:
        cap = Cap(1)
        assert cap.take([delta]) == [delta]
        assert cap.take([delta]) == []
    cap = Cap(6)
    assert cap.take(deltas) == deltas
    assert cap.tokens == 6


def test_what_it_does_not_write_is_not_counted():
    cap, batch = Cap(0), [Annotated({"type": "url_citation", "url": "http://x"}), Noted({"id": "abc"}), Finished()]
    assert cap.take(batch) is batch


def test_the_words_of_an_item_are_counted_once():
    cap = Cap(4)
    batch = [ItemStarted("k", call("012")), Arguments("k", "345678"), ItemDone("k", call("012345678"))]
    assert cap.take(batch) is batch
    assert cap.tokens == 3


def test_words_that_only_stand_in_an_item_that_is_done_are_counted():
    message = Message(
        id="msg_1", role="assistant", content=[OutputText(text="0123456789", annotations=[])], status="completed"
    )
    assert Cap(3).take([ItemStarted("k", call()), ItemDone("k", message)]) == [ItemStarted("k", call())]
    cap, opaque = Cap(4), Opaque({"type": "function_call", "arguments": "0123456789"})
    assert cap.take([ItemDone("k", opaque)]) == [ItemDone("k", opaque)]
    assert cap.tokens == 4


def test_what_a_tool_returns_is_not_counted():
    ran = CodeInterpreterCall(
        id="ci_1", code="abc", container_id="c", status="completed", outputs=[{"type": "logs", "logs": "x" * 99}]
    )
    cap = Cap(1)
    assert cap.take([ItemDone("k", ran)]) == [ItemDone("k", ran)]
    assert cap.tokens == 1


def test_words_with_log_probabilities_are_not_divided():
    assert Cap(1).take([Text("0123456789", logprobs=[object()])]) == []


def test_a_character_is_not_divided():
    cap = Cap(1)
    assert cap.take([Text("ä💥b")]) == [Text("ä")]
    assert Cap(1).take([Text("💥")]) == []
    assert Cap(1).take([Text("\ud800\ud800")]) == [Text("\ud800")]


words = st.lists(
    st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40).map(Text), max_size=4), max_size=8
)


@given(words, st.integers(0, 60))
def test_no_stream_passes_the_limit_and_none_within_it_is_touched(batches, limit):
    cap = Cap(limit)
    out = "".join(said(cap.take(batch)) for batch in batches)
    whole = "".join(said(batch) for batch in batches)
    assert whole.startswith(out)
    assert estimate(len(out.encode())) == cap.tokens <= limit
    assert cap.is_full == (estimate(len(whole.encode())) > limit)
    assert cap.is_full or out == whole
    assert not cap.is_full or estimate(len(whole[: len(out) + 1].encode())) > limit


TEXTS = {
    "long words": "The internationalization committee acknowledged extraordinary administrative responsibilities. ",
    "code": "def total(orders: list[Order]) -> Decimal:\n    return sum((order.amount for order in orders), ZERO)\n\n",
    "German": "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. ",
    "Russian": "Съешь же ещё этих мягких французских булок, да выпей чаю. ",
    "Hindi": "ऋषियों को सताने वाले दुष्ट राक्षसों के राजा का सर्वनाश करने वाले राम। ",
    "Chinese": "天地玄黄。宇宙洪荒。日月盈昃。辰宿列张。",
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_stream_that_keeps_to_its_cap_is_not_cut(kind):
    text = TEXTS[kind] * 20
    cap = Cap(count(text) * SLACK)
    assert cap.take([Text(text)]) == [Text(text)]
