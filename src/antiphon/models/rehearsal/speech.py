"""Saying a plan: tokens are counted and limited, a fault strikes midway, and what was said before is left out.

What is said is a plain sequence. Waiting is left to the caller: an error is handed over to be raised, and `STALLED`
stands where a silence begins that does not end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from antiphon.models.rehearsal.acts import WORDS, Act
from antiphon.models.rehearsal.faults import INCOMPLETE, STALL, Fault
from antiphon.turn.deltas import Annotated, Delta, Finished, IncompleteReason, Reasoning, Refusal, Summary, Text, Usage
from antiphon.wire.errors import APIError
from antiphon.wire.response import InputTokensDetails, OutputTokensDetails
from antiphon.wire.response import Usage as Figures


class Stalled:
    """Silence that does not end."""


STALLED: Final = Stalled()
Said: TypeAlias = Delta | Stalled | APIError


class Before:
    """What was said in an earlier run: whole items by their kinds, and a part of the message that followed them."""

    def __init__(self, kinds: Sequence[str], text: str = "", notes: int = 0) -> None:
        self._kinds = list(kinds)
        self._text = len(text)
        self._notes = notes

    def has(self, act: Act) -> bool:
        """Whether the act, the next of the plan, was said as a whole."""
        if not self._kinds or self._kinds[0] != act.kind:
            return False
        self._kinds.pop(0)
        return True

    def rest_of(self, delta: Delta) -> Delta | None:
        """What is left to say of a delta, None if all of it was said."""
        match delta:
            case Text() | Refusal() if self._text:
                self._text, cut = max(0, self._text - len(delta.text)), min(self._text, len(delta.text))
                return type(delta)(delta.text[cut:]) if cut < len(delta.text) else None
            case Annotated() if self._notes:
                self._notes -= 1
                return None
        return delta


class Speech:
    """One turn being said."""

    def __init__(self, acts: Sequence[Act], before: Before, fault: Fault | None, limit: int | None) -> None:
        self._acts = acts
        self._before = before
        self._fault = fault if fault is not None and fault.after is not None else None
        self._limit = limit
        self._tokens = 0
        self._thoughts = 0

    def deltas(self, input_tokens: int) -> Iterator[Said]:
        """All that is said, to the end. What was said before counts, for limits and usage, as if it were said again."""
        for act in self._acts:
            silent = self._before.has(act)
            for delta in act.deltas:
                if isinstance(delta, WORDS):
                    if self._is_struck():
                        yield from self._strike(input_tokens)
                        return
                    if self._tokens == self._limit:
                        yield from self._end(input_tokens, "max_output_tokens")
                        return
                    self._count(delta)
                if not silent and (rest := self._before.rest_of(delta)) is not None:
                    yield rest
        yield from self._strike(input_tokens) if self._fault else self._end(input_tokens, None)

    def _is_struck(self) -> bool:
        return self._fault is not None and self._tokens == self._fault.after

    def _count(self, delta: Delta) -> None:
        self._tokens += 1
        self._thoughts += isinstance(delta, Reasoning | Summary)

    def _strike(self, input_tokens: int) -> Iterator[Said]:
        assert self._fault is not None, "only a fault strikes"
        if self._fault.kind == STALL:
            yield STALLED
        elif self._fault.kind in INCOMPLETE:
            yield from self._end(input_tokens, INCOMPLETE[self._fault.kind])
        else:
            yield self._fault.error()

    def _end(self, input_tokens: int, reason: IncompleteReason | None) -> Iterator[Said]:
        figures = Figures(
            input_tokens=input_tokens,
            input_tokens_details=InputTokensDetails(cached_tokens=0, cache_write_tokens=0),
            output_tokens=self._tokens,
            output_tokens_details=OutputTokensDetails(reasoning_tokens=self._thoughts),
            total_tokens=input_tokens + self._tokens,
        )
        yield Usage(figures)
        yield Finished(reason)
