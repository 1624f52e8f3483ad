"""The gate of a budget: no stream says more than was paid for.

    cap = Cap(offer.reserved)
    say(cap.take(batch))       # what may be said of a batch
    if cap.is_full: ...        # end the turn with Finished("max_output_tokens"), and close the upstream

The cap went upstream as `max_output_tokens`. This gate is for upstreams that do not keep to it, and counts without a
tokenizer: `antiphon.tokens.estimate` of all bytes said so far. One token a delta would be wrong both ways: some
upstreams put many tokens into a delta, some a token into several. The estimate is seldom too low (rows of digits have
half as many tokens again), so what is let through costs what was reserved at most. It is often too high, so more is
reserved than the cap (`antiphon.policy.budget.SLACK`), and a stream that keeps to its cap is not cut, unless the budget
had no more to reserve.

Counted is what a model writes: text, refusals, reasoning, summaries, arguments, commands, whether told in deltas or
standing in an item. What tools return is not. Where the upstream reports its usage, that is believed instead.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.tokens import estimate
from antiphon.turn import deltas
from antiphon.turn.deltas import Delta, Key
from antiphon.turn.fold import value_at
from antiphon.turn.writers import PARTS, row
from antiphon.wire.struct import type_of

__all__ = ["Cap", "written"]

_WORDS: Final = (
    deltas.Text,
    deltas.Refusal,
    deltas.Reasoning,
    deltas.Summary,
    deltas.Arguments,
    deltas.Command,
)


class Cap:
    """Counts one stream against the output tokens that are reserved for it."""

    __slots__ = ("_bytes", "_told", "is_full", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.is_full = False
        """Whether something was held back. No words pass any more."""
        self._bytes = 0
        self._told: dict[Key, int] = {}  # bytes of the items that are not done

    @property
    def tokens(self) -> int:
        """What was let through, as this gate counts: what a stream is charged for that was cut before its usage."""
        return estimate(self._bytes)

    def take(self, batch: list[Delta]) -> list[Delta]:
        """What may be said of a batch: all of it, or what stands before the limit and the usage reported behind it."""
        if self.is_full:
            return _usage(batch)
        for place, delta in enumerate(batch):
            size = self._size(delta)
            if size and estimate(self._bytes + size) > self.limit and not self._is_within(batch):
                return self._cut(batch, place)
            self._bytes += size
        return batch

    def _is_within(self, batch: Sequence[Delta]) -> bool:
        """Whether the upstream reports, in this batch, that it kept to the limit."""
        reported = [delta.usage.output_tokens for delta in batch if isinstance(delta, deltas.Usage)]
        return bool(reported) and reported[-1] <= self.limit

    def _size(self, delta: Delta) -> int:
        """Bytes of the words in a delta that were not told before."""
        match delta:
            case deltas.ItemStarted():
                self._told[delta.key] = written(delta.item)
                return self._told[delta.key]
            case deltas.ItemDone():
                told = self._told.pop(delta.key, 0)
                return max(0, written(delta.item) - told)
        if not isinstance(delta, _WORDS):
            return 0
        size = _bytes(delta.text)
        if delta.key is not None:
            self._told[delta.key] = self._told.get(delta.key, 0) + size
        return size

    def _cut(self, batch: list[Delta], place: int) -> list[Delta]:
        self.is_full = True
        return [*batch[:place], *self._beginning(batch[place]), *_usage(batch[place:])]

    def _beginning(self, delta: Delta) -> list[Delta]:
        """As much of a delta as there is room for. Words that come with log probabilities are not divided."""
        if not isinstance(delta, _WORDS) or (isinstance(delta, deltas.Text) and delta.logprobs):
            return []
        text = delta.text
        room = (
            bisect_right(range(len(text)), self.limit, key=lambda end: estimate(self._bytes + _bytes(text[:end]))) - 1
        )
        if room <= 0:
            return []
        self._bytes += _bytes(text[:room])
        return [msgspec.structs.replace(delta, text=text[:room])]


def _usage(batch: Sequence[Delta]) -> list[Delta]:
    return [delta for delta in batch if isinstance(delta, deltas.Usage)]


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def written(item: Any) -> int:
    """Bytes of what a model wrote of an item: its growing text, its commands, the texts of its parts."""
    writer = row(type_of(item))
    found: list[Any] = list(value_at(item, writer.commands) or ()) if writer.commands else []
    if writer.growth is not None:
        found.append(value_at(item, writer.growth.field))
    for place in writer.places:
        found += (_text_of(part) for part in value_at(item, (place,)) or ())
    return sum(_bytes(text) for text in found if isinstance(text, str))


def _text_of(part: Any) -> Any:
    kind = PARTS.get(type_of(part))
    return value_at(part, (kind.text,)) if kind is not None else None
