"""What a Response says of the moderation of its input and output."""

from __future__ import annotations

from typing import Final, Literal

from antiphon.wire.struct import UNSET, Maybe, Typed, Wire

__all__ = ["CATEGORIES", "Modality", "ModerationError", "ModerationResult", "ResponseModeration"]

Modality = Literal["text", "image"]

CATEGORIES: Final = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)
"""What the official SDK reads in each result."""


class ModerationResult(Typed, tag="moderation_result", kw_only=True):
    """What was found in the input, or in the output, of a response."""

    model: str
    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Modality]]


class ModerationError(Typed, tag="error", kw_only=True):
    """Why nothing is said of the input, or of the output."""

    code: str
    message: str


class ResponseModeration(Wire, kw_only=True):
    """The `moderation` of a Response. We always send both sides; another server may leave one out."""

    input: Maybe[ModerationResult | ModerationError | None] = UNSET
    output: Maybe[ModerationResult | ModerationError | None] = UNSET
