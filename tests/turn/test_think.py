"""The splitter of `<think>` tags: what is thought and what is said, however the text is cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turn.think import Piece, ThinkSplitter


def split(*pieces: str) -> tuple[str, str]:
    """What is thought, and what is said."""
    splitter = ThinkSplitter()
    found = [piece for text in pieces for piece in splitter.feed(text)] + splitter.close()
    assert all(piece.text for piece in found)
    return "".join(p.text for p in found if p.thought), "".join(p.text for p in found if not p.thought)


@pytest.mark.parametrize(
    ("text", "thought", "said"),
    [
        ("<think>Hmm.</think>Yes.", "Hmm.", "Yes."),
        ("\n <think>\nHmm.\n</think>\n\nYes.", "Hmm.\n", "Yes."),
        ("<think></think>Yes.", "", "Yes."),
        ("<think>\n\n</think>\n\nYes.", "", "Yes."),
        ("Yes.", "", "Yes."),
        ("  Yes.", "", "  Yes."),
        ("Use <think>tags</think>.", "", "Use <think>tags</think>."),
        ("<think>a < b, </thin> </think>", "a < b, </thin> ", ""),
        ("<think>Hmm.</think>Say <think>x</think>", "Hmm.", "Say <think>x</think>"),
        ("<thinking>Hmm.", "", "<thinking>Hmm."),
        ("<think>never closed", "never closed", ""),
        ("<think>never closed</thi", "never closed</thi", ""),
        ("<thi", "", "<thi"),
        ("  ", "", "  "),
        ("<think>", "", ""),
        ("", "", ""),
        (" " * 64 + "<think>Hmm.</think>", "Hmm.", ""),
        (" " * 65 + "<think>Hmm.</think>", "", " " * 65 + "<think>Hmm.</think>"),
    ],
)
def test_thoughts_are_what_stands_between_the_tags_at_the_very_start(text: str, thought: str, said: str) -> None:
    assert split(text) == (thought, said)
    assert split(*text) == (thought, said)


fragments = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "</", "th", "ink>", "<thi", "nk>", " ", "\n", "a", "word ", "é狐"])
).map("".join)


@given(text=fragments, cuts=st.lists(st.integers(min_value=0, max_value=40)))
def test_any_cutting_gives_the_same_thoughts_and_words(text: str, cuts: list[int]) -> None:
    bounds = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [text[start:end] for start, end in pairwise(bounds)]
    assert split(*pieces) == split(text)


texts = st.text().filter(lambda text: "think>" not in text)


@given(thought=texts, said=texts)
def test_what_was_put_between_tags_comes_back(thought: str, said: str) -> None:
    thought, said = thought.strip(), said.strip()
    assert split(f"<think>{thought}</think>{said}") == (thought, said)


@given(text=texts)
def test_a_text_without_tags_is_not_touched(text: str) -> None:
    assert split(text) == ("", text)


def test_text_is_held_no_longer_than_it_may_be_a_tag() -> None:
    splitter = ThinkSplitter()
    assert splitter.feed("<thi") == []
    assert splitter.feed("s is") == [Piece(False, "<this is")]
    assert splitter.said
    assert splitter.feed("<think>") == [Piece(False, "<think>")]


def test_thoughts_are_told_while_they_come() -> None:
    splitter = ThinkSplitter()
    splitter.feed("<think>")
    assert splitter.feed("First, ") == [Piece(True, "First, ")]
    assert splitter.feed("a</") == [Piece(True, "a")]
    assert splitter.feed("b") == [Piece(True, "</b")]
    assert not splitter.said
