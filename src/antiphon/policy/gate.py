"""The gate: holds back what a model says until it was judged. Sans-I/O; who judges, and how long that takes, is not
its business.

    gate = Gate(overlap=20, window=0)
    gate.feed(batch)                       # deltas come in
    while passages := gate.ask():          # texts to judge, if it is time
        gate.settle(moderator(passages))   # clean: more may be said; a hit: nothing more will be
    say(gate.release())                    # deltas go out, in the order in which they came

**Texts.** A part, the arguments of a call, the code of an interpreter, a command, what it prints: each is one text,
however it is cut into deltas. Of a text that goes on, the last `overlap` characters that count are held back, so that a
hit that is still being written is not half said. A text that begins anew is judged by itself, and joined to the end of
the one before it of its kind: clients join parts. What stands whole in an item or an event (names, queries, results,
outputs, citations, and every string of what only its source understands) is judged whole. JSON escapes are judged as
they stand and as what they stand for.

**Order.** Deltas leave in the order in which they came: what waits holds up all behind it, of other items too.

**Log probabilities.** Those of withheld words are withheld with them. The alternatives that were not said
(`top_logprobs`) are left out: nobody judges them.

Base64 of images and audio, encrypted reasoning and ids are not judged.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from antiphon.policy.strings import strings_at, strings_of
from antiphon.policy.text import tail_start, unescaped
from antiphon.policy.verdict import Passage, Verdict
from antiphon.turn import deltas
from antiphon.turn.deltas import Delta, Key
from antiphon.turn.fold import text_at
from antiphon.turn.writers import row
from antiphon.wire.struct import type_of

__all__ = ["Gate"]

CONTEXT: Final = 16
"""Characters before what is judged that are looked at again: they say whether a word begins there."""

ESCAPED: Final = 6
"""How much longer a text may be in JSON escapes."""


class Text:
    """One text, as far as it is still needed."""

    __slots__ = ("base", "buffer", "end", "free", "judged", "pieces", "said", "seed", "whole")

    def __init__(self, seed: str = "") -> None:
        self.seed = seed
        """The end of the text before it."""
        self.base = 0
        """Where in the text the buffer begins."""
        self.buffer = ""
        self.pieces: list[str] = []
        """What was said since the buffer was made."""
        self.said: list[str] = []
        """All that was said."""
        self.end = 0
        self.free = 0
        """Up to where it may be said."""
        self.judged = 0
        self.whole = False
        """Whether nothing more comes."""

    def say(self, words: str) -> None:
        self.pieces.append(words)
        self.said.append(words)
        self.end += len(words)

    def join(self) -> str:
        if self.pieces:
            self.buffer += "".join(self.pieces)
            self.pieces.clear()
        return self.buffer

    @property
    def is_open(self) -> bool:
        """Whether something is to be judged: more words, or that there will be no more."""
        return self.end > self.judged or (self.whole and self.free < self.end)

    def questions(self) -> Iterator[Question]:
        """What to judge."""
        words, begins = self.join(), self.base == 0
        yield Question(self, Passage(words, begins, self.whole), self.base, self.end)
        if "\\" in words:
            yield Question(self, Passage(unescaped(words), begins, self.whole), None, self.end)
        if begins and self.seed:
            joined = Passage(self.seed + words, begins=False, ends=self.whole)
            yield Question(self, joined, -len(self.seed), self.end)

    def clear(self, end: int, overlap: int, *, whole: bool) -> None:
        """Let what was found clean be said, save the end of a text that goes on."""
        words = self.join()
        upto = words[: end - self.base]
        tail = self.base + tail_start(upto, overlap * ESCAPED if "\\" in upto else overlap)
        self.judged = end
        self.free = max(self.free, end if whole else tail)
        start = max(self.base, min(self.free, tail) - CONTEXT)
        self.buffer, self.base = words[start - self.base :], start

    def tail(self, overlap: int) -> str:
        """The end of it, for the text that follows."""
        words = self.seed + self.join()
        return words[tail_start(words, overlap) :]


class Question(NamedTuple):
    """A passage that is being judged: where in its text it begins, if one can say, and where that ended."""

    text: Text
    passage: Passage
    origin: int | None
    end: int


class Held(NamedTuple):
    """A delta that waits for its texts: where in each it ends, and where in the first it begins."""

    delta: Delta
    texts: tuple[tuple[Text, int], ...]
    start: int
    size: int

    def is_free(self) -> bool:
        for text, end in self.texts:  # noqa: SIM110 - the hot path: a generator costs more than the loop
            if text.free < end:
                return False
        return True


_KINDS: Final[Mapping[type[Any], str]] = {
    deltas.Text: "output_text",
    deltas.Refusal: "refusal",
    deltas.Reasoning: "reasoning_text",
    deltas.Summary: "summary_text",
}
_DIVISIBLE: Final = (
    deltas.Text,
    deltas.Refusal,
    deltas.Reasoning,
    deltas.Summary,
    deltas.Arguments,
    deltas.Command,
)


class Gate:
    """Holds back what was not judged. `overlap` and `window` are in characters.

    A window of 0 asks whenever there is something to judge, another one when so much has gathered, or an item is done.
    """

    def __init__(self, *, overlap: int, window: int = 0) -> None:
        self.overlap = overlap
        self.window = window
        self.is_cut = False
        """Whether there was a hit: nothing more is let through."""
        self.held = 0
        """Characters that are held back."""
        self.taken = 0
        """Characters that came in."""
        self.usage: deltas.Usage | None = None
        """The figures of the answer, if they have come."""
        self._queue: deque[Held] = deque()
        self._fresh = 0
        """Characters of the delta that is being taken."""
        self._texts: dict[tuple[Any, ...], Text] = {}
        """Texts that are being written, by kind and place."""
        self._ends: dict[str, Text] = {}
        """The last text of each kind."""
        self._at: dict[Key | None, str] = {}
        """What kind of words an item is at."""
        self._known: dict[Key, set[str]] = {}
        """What was judged of an item that is being said."""
        self._waiting: dict[Text, None] = {}
        """Texts with something to judge, in the order in which that came."""
        self._unjudged = 0
        self._is_due = False
        self._asked: list[Question] = []

    # In

    def feed(self, batch: Sequence[Delta]) -> None:
        """Take deltas; after a hit they are of no interest."""
        for delta in () if self.is_cut else batch:
            _TAKE[type(delta)](self, delta)

    def follow(self, words: str) -> None:
        """The first text goes on with words that were said before, by an attempt that broke off."""
        before = self._ends["output_text"] = Text()
        before.say(words)

    def finish(self) -> None:
        """Nothing more comes."""
        for text in self._texts.values():
            self._close(text)
        self._texts.clear()
        self._is_due = True

    # Judging

    def ask(self) -> list[Passage]:
        """What is to be judged now; nothing while something is being judged, or if it is not time."""
        if self._asked or self.is_cut or not (self._is_due or self._unjudged > self.window):
            return []
        self._is_due = False
        self._unjudged = 0
        waiting, self._waiting = self._waiting, {}
        self._asked = [question for text in waiting if text.is_open for question in text.questions()]
        return [question.passage for question in self._asked]

    def settle(self, verdict: Verdict) -> None:
        """The verdict on what was asked for."""
        asked, self._asked = self._asked, []
        if verdict.is_flagged:
            self.is_cut = True
            if verdict.at is not None:
                self._let_before(asked, *verdict.at)
        else:
            self._clear(asked)

    def _clear(self, asked: Sequence[Question]) -> None:
        for text, passage, _, end in asked:
            if text.judged < end or (passage.ends and text.free < end):
                text.clear(end, self.overlap, whole=passage.ends)

    def _let_before(self, asked: Sequence[Question], index: int, start: int) -> None:
        """Let be said what stands before the hit in the passage that holds it."""
        text, _, origin, _ = asked[index]
        self._clear([question for question in asked[:index] if question.text is not text])
        if origin is not None:
            text.free = max(text.free, origin + start)

    # Out

    def release(self) -> list[Delta]:
        """What may be said."""
        queue, out = self._queue, []
        while queue and queue[0].is_free():
            held = queue.popleft()
            self.held -= held.size
            out.append(held.delta)
        if self.is_cut:
            out += self._last_words()
            queue.clear()
            self.held = 0
        return out

    def _last_words(self) -> list[Delta]:
        """What comes before the hit in the delta that holds it."""
        if not self._queue:
            return []
        delta, texts, start, _ = self._queue[0]
        is_text_alone = not (isinstance(delta, deltas.Text) and delta.logprobs)
        if not (isinstance(delta, _DIVISIBLE) and is_text_alone and texts[0][0].free > start):
            return []
        return [msgspec.structs.replace(delta, text=delta.text[: texts[0][0].free - start])]

    # Texts

    def _text(self, kind: str, *place: Any) -> Text:
        """The text of a kind at a place that is being written; it begins if there is none."""
        name = (kind, *place)
        text = self._texts.get(name)
        if text is None:
            before = self._ends.get(kind)
            text = Text("" if before is None else before.tail(self.overlap))
            self._texts[name] = self._ends[kind] = text
        return text

    def _write(self, text: Text, words: str) -> tuple[Text, int]:
        text.say(words)
        self._fresh += len(words)
        self._waiting[text] = None
        return text, text.end

    def _whole(self, words: Sequence[str]) -> list[tuple[Text, int]]:
        """Texts that stand whole."""
        needs = [self._write(Text(), each) for each in words]
        for text, _ in needs:
            text.whole = True
        return needs

    def _close(self, text: Text) -> None:
        """A text is whole: its end need not wait for what would follow."""
        text.whole = True
        self._waiting[text] = None
        self._is_due = True

    def _end(self, key: Key | None, kinds: Sequence[str] = ()) -> None:
        """The texts of an item are whole; all of them, or those of some kinds."""
        for name in [name for name in self._texts if name[1] == key and (not kinds or name[0] in kinds)]:
            text = self._texts.pop(name)
            if key is not None:
                self._known.setdefault(key, set()).add("".join(text.said))
            self._close(text)

    def _hold(self, delta: Delta, texts: Sequence[tuple[Text, int]] = (), start: int = 0) -> None:
        self._queue.append(Held(delta, tuple(texts), start, self._fresh))
        self.held += self._fresh
        self.taken += self._fresh
        self._unjudged += self._fresh
        self._fresh = 0

    # Deltas

    def _words(self, delta: Any) -> None:
        """Words of a message or of reasoning. Where they go to another part than those before, a text begins."""
        kind, key = _KINDS[type(delta)], delta.key
        if self._at.get(key) != kind:
            self._begin_part(kind, key)
        text = self._text(kind, key)
        start = text.end
        texts = [self._write(text, delta.text)]
        if type(delta) is deltas.Text and delta.logprobs:
            tokens = "".join(entry.token for entry in delta.logprobs)
            if tokens != delta.text:
                texts.append(self._write(self._text("logprobs", key), tokens))
            said = [msgspec.structs.replace(entry, top_logprobs=[]) for entry in delta.logprobs]
            delta = msgspec.structs.replace(delta, logprobs=said)
        self._hold(delta, texts, start)

    def _begin_part(self, kind: str, key: Key | None) -> None:
        if key is not None and key not in self._at:
            self._end_implied()
        self._end(key, tuple(_KINDS.values()))
        self._at[key] = kind

    def _end_implied(self) -> None:
        """A new item ends what was said without a key."""
        self._end(None)
        self._at.pop(None, None)

    def _part_started(self, delta: deltas.PartStarted) -> None:
        self._begin_part(delta.kind, delta.key)
        self._hold(delta)

    def _item_started(self, delta: deltas.ItemStarted) -> None:
        self._end_implied()
        self._at[delta.key] = ""
        growth = row(type_of(delta.item)).growth
        begun = text_at(delta.item, growth.field) if growth is not None else ""
        strings = [each for each in strings_of(delta.item) if each != begun]
        self._known[delta.key] = set(strings)
        texts = self._whole(strings)
        if begun:
            texts.append(self._write(self._text("arguments", delta.key), begun))
        self._hold(delta, texts)

    def _arguments(self, delta: deltas.Arguments) -> None:
        self._grow(delta, "arguments", delta.key)

    def _command(self, delta: deltas.Command) -> None:
        self._grow(delta, "command", delta.key, delta.index)

    def _grow(self, delta: deltas.Arguments | deltas.Command, kind: str, *place: Any) -> None:
        text = self._text(kind, *place)
        start = text.end
        self._hold(delta, [self._write(text, delta.text)], start)

    def _command_output(self, delta: deltas.CommandOutput) -> None:
        printed = {"stdout": delta.stdout, "stderr": delta.stderr}
        texts = [
            self._write(self._text(stream, delta.key, delta.index), words) for stream, words in printed.items() if words
        ]
        self._hold(delta, [*texts, *self._whole(strings_of(delta.output))])

    def _progress(self, delta: deltas.Progress) -> None:
        self._hold(delta, self._whole(strings_of(delta.fields)))
        self._is_due = True  # a tool is at work: what was said before need not wait for more words

    def _annotated(self, delta: deltas.Annotated) -> None:
        self._hold(delta, self._whole(strings_of(delta.annotation)))

    def _item_done(self, delta: deltas.ItemDone) -> None:
        """The final form of an item; what it has of what was said is not judged twice."""
        self._end(delta.key)
        self._at.pop(delta.key, None)
        known = self._known.pop(delta.key, set())
        self._hold(delta, self._whole([each for each in strings_of(delta.item) if each not in known]))
        self._is_due = True

    def _opaque(self, delta: deltas.Opaque) -> None:
        """Each string by itself, and as a piece of what the same field of such events says."""
        kind = str(delta.event.get("type"))
        texts = []
        for path, words in strings_at(delta.event):
            texts.append(self._write(self._text(".".join((kind, *path)), delta.key), words))
            texts += self._whole([words])
        self._hold(delta, texts)

    def _pass(self, delta: Delta) -> None:
        self._hold(delta)

    def _usage(self, delta: deltas.Usage) -> None:
        self.usage = delta
        self._hold(delta)

    def _finished(self, delta: deltas.Finished) -> None:
        self._hold(delta)
        self.finish()


_TAKE: Final[dict[type[Any], Callable[[Gate, Any], None]]] = {
    **dict.fromkeys(_KINDS, Gate._words),
    deltas.PartStarted: Gate._part_started,
    deltas.ItemStarted: Gate._item_started,
    deltas.Arguments: Gate._arguments,
    deltas.Command: Gate._command,
    deltas.CommandOutput: Gate._command_output,
    deltas.Progress: Gate._progress,
    deltas.Annotated: Gate._annotated,
    deltas.ItemDone: Gate._item_done,
    deltas.Opaque: Gate._opaque,
    deltas.Usage: Gate._usage,
    deltas.Settled: Gate._pass,
    deltas.Noted: Gate._pass,
    deltas.Finished: Gate._finished,
}
