"""Acts: what rehearsal says in a turn, one after the other, each of them one output item.

An act is a kind of item and its deltas, made as they are said, so that a million tokens take no memory. The deltas that
hold words are rehearsal's tokens: they are paced, counted, and what `max_output_tokens` limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any

import msgspec

from antiphon.models.rehearsal.dice import Dice, pieces
from antiphon.turn.deltas import (
    Annotated,
    Arguments,
    Command,
    CommandOutput,
    Delta,
    ItemDone,
    ItemStarted,
    Key,
    Progress,
    Reasoning,
    Refusal,
    Summary,
    Text,
)
from antiphon.wire.content import Annotation
from antiphon.wire.items import CodeInterpreterCall, Item, OutputImage, OutputLogs, ShellCall

WORDS = (Text, Refusal, Reasoning, Summary, Arguments, Command, CommandOutput)
"""The deltas that are tokens."""


class Act(msgspec.Struct):
    """One output item, and how it is told."""

    kind: str
    """The wire type of the item."""
    deltas: Iterable[Delta]


class Answer(msgspec.Struct):
    """A text, and the annotations within it by the number of characters that stand before them."""

    text: str = ""
    notes: list[tuple[int, Annotation]] = []

    def add(self, text: str) -> None:
        """Say more."""
        self.text += text

    def note(self, annotation: Annotation) -> None:
        """Annotate what was said last."""
        self.notes.append((len(self.text), annotation))


class Ids:
    """Keys and call ids of one turn. Call ids come from the words of the turn, and are new to the conversation."""

    def __init__(self, dice: Dice, taken: Iterable[str] = ()) -> None:
        self._dice = dice
        self._taken = set(taken)
        self._keys = count()

    def key(self) -> Key:
        """A key for one more item."""
        return f"rehearsal {next(self._keys)}"

    def call_id(self) -> str:
        """A call id that no item of the conversation has."""
        made = f"call_{self._dice.below(1 << 64):016x}"
        if made in self._taken:
            return self.call_id()
        self._taken.add(made)
        return made


Logprobs = Callable[[str], list[Any] | None]


def text(answer: Answer, logprobs: Logprobs) -> Act:
    """A message that says an answer."""
    return Act("message", _text(answer, logprobs))


def _text(answer: Answer, logprobs: Logprobs) -> Iterator[Delta]:
    notes = sorted(answer.notes, key=lambda note: note[0])
    said = 0
    for piece in pieces(answer.text):
        yield Text(piece, logprobs=logprobs(piece))
        said += len(piece)
        while notes and notes[0][0] <= said:
            yield Annotated(notes.pop(0)[1])


def refusal(words: str) -> Act:
    """A message that refuses."""
    return Act("message", (Refusal(piece) for piece in pieces(words)))


def reasoning(words: str, summary: str) -> Act:
    """A reasoning item: raw text, and a summary if there is one."""
    said: list[Delta] = [Reasoning(piece) for piece in pieces(words)]
    return Act("reasoning", said + [Summary(piece) for piece in pieces(summary)])


def written(kind: str, key: Key, start: Item, words: str) -> Act:
    """A call into which words are written: arguments, an input, code, a patch."""
    return Act(kind, [ItemStarted(key, start), *(Arguments(key, piece) for piece in pieces(words)), ItemDone(key)])


def shell(key: Key, start: ShellCall, commands: Iterable[str]) -> Act:
    """A shell call whose commands are written one after the other."""
    said = [Command(key, index, piece) for index, command in enumerate(commands) for piece in pieces(command)]
    return Act("shell_call", [ItemStarted(key, start), *said, ItemDone(key)])


def interpreted(key: Key, code: str, container: str, outputs: list[OutputLogs | OutputImage]) -> Act:
    """A code interpreter call: the code is written, then there are outputs."""
    done = CodeInterpreterCall(status="completed", container_id=container, code=code, outputs=outputs)
    start = CodeInterpreterCall(status="in_progress", container_id=container, code="", outputs=None)
    said = (Arguments(key, piece) for piece in pieces(code))
    return whole("code_interpreter_call", key, done, *said, Progress(key, "interpreting"), start=start)


def whole(kind: str, key: Key, item: Item, *between: Delta, start: Item | None = None) -> Act:
    """An item that is told at once. `start` is how it looks at first, if it looks different."""
    return Act(kind, [ItemStarted(key, item if start is None else start), *between, ItemDone(key, item)])
