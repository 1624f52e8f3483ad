"""Tells `<think>…</think>` at the start of an answer from the answer, wherever the pieces of the text are cut.

Some servers send a reasoning model's output as it is: its thoughts between tags, then the answer. Only tags at the
very start count, so that an answer may speak about them. White space around them belongs to the tags: before
`<think>`, right after it, and after `</think>`. Thoughts of white space alone are none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

__all__ = ["Piece", "ThinkSplitter"]

_OPEN: Final = "<think>"
_CLOSE: Final = "</think>"
_MAX_SPACE: Final = 64
"""Characters of white space that may come before the tag. Without a bound, a stream of blanks would be held forever."""


class Piece(NamedTuple):
    """A piece of text, and whether it was thought or said."""

    thought: bool
    text: str


class ThinkSplitter:
    """`feed` it the text as it comes, `close` it at the end. Once `said` is True all that follows is answer.

        start ──"<think>"──▶ lead ──text──▶ thoughts ──"</think>"──▶ gap ──text──▶ said
          └────────────────────── any other text ─────────────────────────────────▶ said

    What might be the beginning of a tag is held until it is known: at most eight characters, and before the first word
    some white space.
    """

    __slots__ = ("_held", "_pieces", "_state")

    def __init__(self) -> None:
        self._state: State = ThinkSplitter._start
        self._held = ""
        self._pieces: list[Piece] = []

    @property
    def said(self) -> bool:
        """Whether the thoughts, if there were any, are over: `feed` would give back what it gets."""
        return self._state is ThinkSplitter._said

    def feed(self, text: str) -> list[Piece]:
        """What is known now: thoughts, words of the answer, or both."""
        rest = self._held + text
        self._held = ""
        while rest:
            rest = self._state(self, rest)
        pieces, self._pieces = self._pieces, []
        return pieces

    def close(self) -> list[Piece]:
        """What was held at the end of the text: the half of a tag is text after all."""
        held, self._held = self._held, ""
        thought = self._state is ThinkSplitter._thoughts
        self._state = ThinkSplitter._said
        return [Piece(thought, held)] if held else []

    # Each state takes what is not yet told, adds to the pieces what it can tell, and returns what is left for the next.

    def _start(self, text: str) -> str:
        words = text.lstrip()
        if len(text) - len(words) > _MAX_SPACE:
            return self._say(text)
        if words.startswith(_OPEN):
            self._state = ThinkSplitter._lead
            return words[len(_OPEN) :]
        if not _OPEN.startswith(words):
            return self._say(text)
        self._held = text
        return ""

    def _lead(self, text: str) -> str:
        words = text.lstrip()
        if words:
            self._state = ThinkSplitter._thoughts
        return words

    def _thoughts(self, text: str) -> str:
        thoughts, tag, rest = text.partition(_CLOSE)
        if tag:
            self._state = ThinkSplitter._gap
        elif kept := _overlap(thoughts):
            thoughts, self._held = thoughts[:-kept], thoughts[-kept:]
        if thoughts:
            self._pieces.append(Piece(True, thoughts))
        return rest

    def _gap(self, text: str) -> str:
        words = text.lstrip()
        return self._say(words) if words else ""

    def _said(self, text: str) -> str:
        self._pieces.append(Piece(False, text))
        return ""

    def _say(self, text: str) -> str:
        self._state = ThinkSplitter._said
        return text


State: TypeAlias = Callable[[ThinkSplitter, str], str]


def _overlap(text: str) -> int:
    """How many characters at the end of the text may be the beginning of the closing tag."""
    most = min(len(text), len(_CLOSE) - 1)
    return next((size for size in range(most, 0, -1) if text.endswith(_CLOSE[:size])), 0)
