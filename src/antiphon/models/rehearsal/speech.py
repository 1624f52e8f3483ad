"""Saying a plan: tokens are counted, limited, paced, cut where a fault asks for it, and joined to what was said before.

    for delta in Speech(reading, script, limit).deltas(acts): ...

What is said is a plain sequence; waiting is left to the caller, for whom `STALLED` stands where silence begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from antiphon.models.rehearsal.acts import WORDS, Act
from antiphon.models.rehearsal.faults import INCOMPLETE, STALL, Fault
from antiphon.turn.deltas import (
    Annotated,
    Delta,
    Finished,
    IncompleteReason,
    Reasoning,
    Refusal,
    Summary,
    Text,
    Usage,
)
from antiphon.wire.response import InputTokensDetails, OutputTokensDetails
from antiphon.wire.response import Usage as Figures


class Stalled:
    """Silence that does not end."""


STALLED: Final = Stalled()


def unsaid(acts: Sequence[Act], said: Iterable[str]) -> list[Act]:
    """The acts that come after the items that were said already, matched by kind."""
    left = list(acts)
    for kind in said:
        if left and left[0].kind == kind:
            left.pop(0)
    return left


class Speech:
    """One turn being said: how many tokens it has taken, and when it must end."""

    def __init__(self, fault: Fault | None, limit: int | None) -> None:
        self._fault = fault if fault is not None and fault.after is not None else None
        self._limit = limit
        self._tokens = 0
        self._thoughts = 0

    def deltas(self, acts: Iterable[Act], half: str | None, input_tokens: int) -> Iterator[Delta | Stalled]:
        """All deltas to the end. `half` is what was said of the first act, a message. Raises the APIError of a fault."""
        reason: IncompleteReason | None = None
        for delta in self._words(acts, half):
            if isinstance(delta, str):
                reason = delta
                break
            yield delta
        
