"""The gate: what is flagged is never released, whatever the deltas that it comes in."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.policy.gate import _TAKE, Gate
from antiphon.policy.rules import Rules
from antiphon.policy.verdict import CLEAN, Passage, Verdict
from antiphon.turn import deltas
from antiphon.turn.deltas import (
    Annotated,
    Arguments,
    Command,
    CommandOutput,
    Finished,
    ItemDone,
    ItemStarted,
    Opaque,
    PartStarted,
    Progress,
    Reasoning,
    Refusal,
    Settled,
    Summary,
    Text,
    Usage,
)
from antiphon.wire import items
from antiphon.wire.content import Logprob, OutputText, TopLogprob
from antiphon.wire.response import Usage as Figures
from antiphon.wire.struct import Opaque as OpaqueItem

PHRASE = "forbidden phrase"
RULES = Rules({"house": [PHRASE]})
CALL = items.FunctionCall(call_id="c", name="f", arguments="")


def play(batches: Iterable[list[Any]], rules: Rules = RULES) -> tuple[list[Any], bool]:
    """What comes out of a gate with rules, and whether it was cut."""
    gate, out = Gate(overlap=rules.overlap), []
    for batch in batches:
        gate.feed(batch)
        while passages := gate.ask():
            gate.settle(rules.judge(passages))
        out += gate.release()
    return out, gate.is_cut


def words(out: Iterable[Any]) -> str:
    return "".join(delta.text for delta in out if isinstance(delta, Text))


def cut_at(text: str, cuts: Iterable[int]) -> list[str]:
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(text)}), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


CUTS = st.lists(st.integers(1, 80), max_size=30)
AROUND = st.text(alphabet="abc é\n ,.\u200bФ", max_size=30)


@given(AROUND, AROUND, CUTS, st.sampled_from([Text, Refusal, Reasoning, Summary]))
def test_nothing_of_a_phrase_is_released_however_it_is_cut(before, after, cuts, kind):
    text = f"{before} {PHRASE} {after}"
    batches = [[kind(piece)] for piece in cut_at(text, cuts)]
    out, is_cut = play([*batches, [Finished()]])
    assert is_cut
    released = "".join(delta.text for delta in out)
    assert released.rstrip("\u200b \n") == before.rstrip("\u200b \n")


@given(st.text(alphabet="forbiden phras\n\u200b", max_size=60), CUTS)
def test_what_is_clean_comes_out_as_it_came(text, cuts):
    pieces = [Text(piece) for piece in cut_at(text, cuts)]
    out, is_cut = play([*([piece] for piece in pieces), [Usage(Figures()), Finished()]])
    hit = RULES.judge([Passage(text)]).is_flagged
    assert is_cut == hit
    if not hit:
        assert out == [*pieces, Usage(Figures()), Finished()]


@pytest.mark.parametrize("size", range(1, len(PHRASE) + 4))
def test_what_is_released_does_not_hang_on_the_pieces(size):
    text = f"Well, this is a {PHRASE}, is it not?"
    out, _ = play([[Text(text[at : at + size])] for at in range(0, len(text), size)])
    assert words(out) == "Well, this is a"


@pytest.mark.parametrize("size", [1, 5, 6, 7, 13])
def test_a_phrase_in_json_escapes_is_held_back_as_a_whole(size):
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in PHRASE)
    text = f"say {escaped} now"
    out, is_cut = play([[Text(text[at : at + size])] for at in range(0, len(text), size)])
    assert is_cut
    assert "\\" not in words(out)


def test_no_more_than_the_overlap_is_held_back():
    gate = Gate(overlap=RULES.overlap)
    for number in range(100):
        gate.feed([Text(f"word {number} ")])
        gate.settle(RULES.judge(gate.ask()))
        gate.release()
        assert gate.held <= RULES.overlap + len(f"word {number} ")


def test_a_phrase_that_ends_where_a_word_goes_on_is_none():
    rules = Rules({"house": ["ass"]})
    assert play([[Text("cl")], [Text("ass")], [Text(" ass")], [Text("ign")], [Finished()]], rules)[1] is False
    assert play([[Text("cl")], [Text("ass")], [Text(" ass")], [Finished()]], rules)[1] is True


def test_parts_are_joined_as_clients_join_them_and_judged_by_themselves():
    joined = [[Text("a forbid", 1)], [PartStarted("output_text", 1)], [Text("den phrase", 1), Finished()]]
    assert play(joined) == ([Text("a forbid", 1), PartStarted("output_text", 1)], True)
    interleaved = [[Text("a forbid")], [Reasoning("hm")], [Text("den phrase"), Finished()]]
    assert play(interleaved) == ([Text("a forbid"), Reasoning("hm")], True)
    alone = [[Text("class")], [Reasoning("hm")], [Text("ass"), Finished()]]
    assert play(alone, Rules({"house": ["ass"]}))[1] is True


def test_the_order_of_deltas_of_several_items_is_kept():
    batch = [
        ItemStarted("a", CALL),
        ItemStarted("b", CALL),
        Arguments("b", '{"x": 1'),
        Arguments("a", "{}"),
        Text("words"),
        Arguments("b", "}"),
        ItemDone("a"),
        ItemDone("b"),
        Finished(),
    ]
    out, is_cut = play([[delta] for delta in batch])
    assert (out, is_cut) == (batch, False)


def test_what_waits_holds_up_all_behind_it():
    gate = Gate(overlap=0, window=10)
    gate.feed([Text("a few words"), Settled({"service_tier": "flex"}), Usage(Figures())])
    assert gate.ask()
    assert gate.release() == []
    gate.settle(CLEAN)
    assert [type(delta) for delta in gate.release()] == [Text, Settled, Usage]


SPLIT = [PHRASE[:4], PHRASE[4:11], PHRASE[11:]]
MESSAGE = items.Message(role="assistant", content=[OutputText(text=f"x {PHRASE}")])
SHELL = items.ShellCall(call_id="c", action=items.ShellAction(commands=[]))
PRINTED = items.ShellCallOutput(call_id="c", output=[])
SEARCH = items.WebSearchCall(id="w")
CITED = {"type": "url_citation", "start_index": 0, "end_index": 1, "title": PHRASE, "url": "https://example.com"}

HIDDEN: dict[str, list[list[Any]]] = {
    "arguments": [[ItemStarted(0, CALL)], *([Arguments(0, piece)] for piece in SPLIT), [ItemDone(0)]],
    "arguments in JSON escapes": [
        [ItemStarted(0, CALL)],
        *([Arguments(0, piece)] for piece in (r'{"a": "f\u00', r"6frbidden\u0", r'020phrase"}')),
    ],
    "arguments that a call begins with": [
        [ItemStarted(0, items.FunctionCall(call_id="c", name="f", arguments=SPLIT[0]))],
        *([Arguments(0, piece)] for piece in SPLIT[1:]),
    ],
    "the input of a custom tool": [
        [ItemStarted(0, items.CustomToolCall(call_id="c", name="f", input=""))],
        *([Arguments(0, piece)] for piece in SPLIT),
    ],
    "code": [
        [ItemStarted(0, items.CodeInterpreterCall(container_id="k", code=""))],
        *([Arguments(0, piece)] for piece in SPLIT),
    ],
    "a command": [[ItemStarted(0, SHELL)], *([Command(0, 0, piece)] for piece in SPLIT)],
    "what a command prints": [[ItemStarted(0, PRINTED)], *([CommandOutput(0, 0, stderr=piece)] for piece in SPLIT)],
    "what a command has printed": [
        [ItemStarted(0, PRINTED)],
        [CommandOutput(0, 0, output=[{"stdout": PHRASE, "stderr": "", "outcome": {"type": "timeout"}}])],
    ],
    "a message that comes whole": [[ItemStarted("m", MESSAGE)]],
    "the final form of an item": [[ItemStarted("m", SEARCH)], [ItemDone("m", MESSAGE)]],
    "a query": [
        [ItemStarted("w", SEARCH)],
        [ItemDone("w", items.WebSearchCall(id="w", action=items.Search(queries=["fine", PHRASE])))],
    ],
    "an annotation": [[Text("fine")], [Annotated(CITED)]],
    "progress": [[ItemStarted("w", SEARCH)], [Progress("w", "searching", {"note": PHRASE})]],
    "an item that nobody knows": [[ItemStarted(0, OpaqueItem({"type": "new", "inner": [{"words": PHRASE}]}))]],
    "an id that somebody chose": [[ItemStarted(0, items.ToolSearchCall(arguments={"id": PHRASE}))]],
    "a name of a field that somebody chose": [[ItemStarted(0, OpaqueItem({"type": "new", "inner": {PHRASE: 1}}))]],
    "pieces of an event that nobody knows": [
        [ItemStarted(0, OpaqueItem({"type": "new"}))],
        *([Opaque(0, {"type": "response.new.delta", "delta": piece})] for piece in SPLIT),
    ],
    "log probabilities that run ahead of their words": [
        [Text("", logprobs=[Logprob(token=piece, logprob=-1.0, top_logprobs=[])])] for piece in SPLIT
    ],
}


@pytest.mark.parametrize("batches", HIDDEN.values(), ids=HIDDEN.keys())
def test_a_phrase_is_found_wherever_somebody_could_read_it(batches):
    out, is_cut = play([[Text("before ")], *batches, [Finished()]])
    assert is_cut
    assert "phrase" not in repr(out)
    assert Finished() not in out


@pytest.mark.parametrize("batches", HIDDEN.values(), ids=HIDDEN.keys())
def test_the_same_without_the_phrase_passes_untouched(batches):
    given = [[Text("before ")], *batches, [Finished()]]
    out, is_cut = play(given, Rules({"house": ["something else"]}))
    assert (out, is_cut) == ([delta for batch in given for delta in batch], False)


def test_what_was_said_is_not_judged_again_when_its_item_is_done():
    gate = Gate(overlap=0)
    gate.feed([ItemStarted(0, CALL), Arguments(0, "{}")])
    assert [passage.text for passage in gate.ask()] == ["f", "{}"]
    gate.settle(CLEAN)
    gate.feed([ItemDone(0, items.FunctionCall(call_id="c", name="f", arguments="{}", status="completed"))])
    assert gate.ask() == []
    assert len(gate.release()) == 3


def test_log_probabilities_of_withheld_words_are_withheld_and_alternatives_left_out():
    entry = Logprob(token="fine", logprob=-1.0, top_logprobs=[TopLogprob(token="phrase", logprob=-2.0)])
    flagged = Text(f" {PHRASE}", logprobs=[Logprob(token=f" {PHRASE}", logprob=-1.0)])
    out, _ = play([[Text("fine", logprobs=[entry])], [flagged], [Finished()]])
    assert [delta.logprobs[0].token for delta in out] == ["fine"]
    assert out[0].logprobs[0].top_logprobs == []


def test_ids_images_and_encrypted_reasoning_are_not_judged():
    gate = Gate(overlap=0)
    image = items.ImageGenerationCall(id="ig", result="aGVsbG8=", revised_prompt="a cat")
    gate.feed([ItemStarted(0, image), ItemStarted(1, items.Reasoning(summary=[], encrypted_content="x"))])
    assert [passage.text for passage in gate.ask()] == ["a cat"]


# Windows


def test_a_window_is_asked_for_when_it_is_full_and_the_end_of_the_one_before_is_in_it():
    gate = Gate(overlap=3, window=10)
    gate.feed([Text("0123456789")])
    assert gate.ask() == []
    gate.feed([Text("abc")])
    assert [passage.text for passage in gate.ask()] == ["0123456789abc"]
    assert gate.ask() == []
    gate.feed([Text("defghijklmnop")])
    gate.settle(CLEAN)
    assert words(gate.release()) == "0123456789"
    (passage,) = gate.ask()
    assert passage.text.endswith("9abcdefghijklmnop")


def test_a_window_is_not_waited_for_when_an_item_is_done():
    gate = Gate(overlap=4, window=1000)
    gate.feed([Text("a few words"), ItemStarted(0, CALL)])
    assert [passage.text for passage in gate.ask()] == ["a few words", "f"]


def test_a_hit_that_nobody_can_place_lets_out_nothing_that_was_held():
    gate = Gate(overlap=4, window=0)
    gate.feed([Text("some words")])
    gate.ask()
    gate.settle(Verdict(flagged=frozenset({"hate"})))
    assert (gate.release(), gate.is_cut, gate.held) == ([], True, 0)
    gate.feed([Text("more")])
    assert gate.ask() == []


def test_every_delta_has_its_rule():
    assert set(_TAKE) == set(get_args(deltas.Delta))
