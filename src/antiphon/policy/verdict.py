"""What a moderator is asked, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec

from antiphon.turn.input import Turn
from antiphon.turn.trace import Trace
from antiphon.wire.moderation import CATEGORIES, Modality, ModerationError, ModerationResult
from antiphon.wire.moderations import ModerationVerdict

__all__ = [
    "CLEAN",
    "Account",
    "Passage",
    "Told",
    "Verdict",
    "account_of",
    "merged",
    "result_of",
    "together",
    "verdict_of",
]


Told: TypeAlias = ModerationResult | ModerationError
"""What a Response says of one side."""


class Passage(msgspec.Struct, frozen=True):
    """A stretch of a text. Where it does not begin, or end, the text goes on, and nobody knows how."""

    text: str
    begins: bool = True
    ends: bool = True


class Account(msgspec.Struct, frozen=True):
    """On whose account something is judged: who asks a model for that has it noted, paid and bounded there."""

    project: str = "default"
    deadline: float | None = None
    """When the verdict is of no use any more, by the monotonic clock."""
    trace: Trace = msgspec.field(default_factory=Trace)


def account_of(turn: Turn) -> Account:
    """The account of a turn whose input or output is judged."""
    return Account(turn.project, turn.deadline, turn.trace)


class Verdict(msgspec.Struct, frozen=True):
    """What was found in some passages."""

    flagged: frozenset[str] = frozenset()
    """The categories that they fall under."""
    scores: dict[str, float] = {}
    """Category → how sure the moderator is, 0 to 1. A category that is not named has 0."""
    images: frozenset[str] = frozenset()
    """The categories that an image was looked at for."""
    at: tuple[int, int] | None = None
    """The passage, and the character of it, where the first hit begins; None if nobody can say.

    The passages before it are clean then.
    """

    @property
    def is_flagged(self) -> bool:
        """Whether they must not be said."""
        return bool(self.flagged)


CLEAN: Final = Verdict()


def merged(verdicts: Iterable[Verdict]) -> Verdict:
    """All that was found: the highest score of each category. The first hit is not known any more."""
    flagged: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    scores: dict[str, float] = {}
    for verdict in verdicts:
        flagged |= verdict.flagged
        images |= verdict.images
        for category, score in verdict.scores.items():
            scores[category] = max(score, scores.get(category, 0.0))
    return Verdict(flagged, scores, images)


def verdict_of(verdict: Verdict) -> ModerationVerdict:
    """A verdict as POST /moderations tells it."""
    names = _names(verdict)
    return ModerationVerdict(
        flagged=verdict.is_flagged,
        categories={name: name in verdict.flagged for name in names},
        category_scores={name: verdict.scores.get(name, 0.0) for name in names},
        category_applied_input_types={name: _modalities(verdict, name) for name in names},
    )


def result_of(verdict: Verdict, model: str) -> ModerationResult:
    """A verdict as a Response tells it."""
    told = verdict_of(verdict)
    return ModerationResult(
        model=model,
        flagged=told.flagged,
        categories=told.categories,
        category_scores=told.category_scores,
        category_applied_input_types=told.category_applied_input_types,
    )


def together(one: Told | None, other: Told) -> Told:
    """What two turns of a response amount to. That one was not judged must not hide what the other was flagged for."""
    match one, other:
        case ModerationResult() as first, ModerationResult() as second:
            both = merged(Verdict(_flagged(each), each.category_scores, _seen(each)) for each in (first, second))
            return result_of(both, second.model)
        case ModerationResult(flagged=True) as flagged, _:
            return flagged
        case ModerationError() as failure, ModerationResult(flagged=False):
            return failure
    return other


def _flagged(result: ModerationResult) -> frozenset[str]:
    return frozenset(name for name, is_flagged in result.categories.items() if is_flagged)


def _seen(result: ModerationResult) -> frozenset[str]:
    return frozenset(name for name, types in result.category_applied_input_types.items() if "image" in types)


def _names(verdict: Verdict) -> list[str]:
    return list(dict.fromkeys((*CATEGORIES, *sorted(verdict.scores.keys() | verdict.flagged))))


def _modalities(verdict: Verdict, category: str) -> list[Modality]:
    return ["text", "image"] if category in verdict.images else ["text"]
