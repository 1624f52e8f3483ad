"""POST /v1/moderations. Its answers have each of the API's categories, and those that a moderator has of its own."""

from __future__ import annotations

from typing import Any, Final

from antiphon.wire.errors import InvalidRequest
from antiphon.wire.moderation import Modality
from antiphon.wire.read import decoder, read
from antiphon.wire.request import check_depth
from antiphon.wire.struct import Typed, Wire

__all__ = [
    "CreateModeration",
    "ModerationCreated",
    "ModerationImage",
    "ModerationInput",
    "ModerationText",
    "ModerationVerdict",
    "decode_moderation",
]

MAX_INPUTS: Final = 2048


class ModerationText(Typed, tag="text", kw_only=True):
    """A text to judge."""

    text: str


class ModerationImageURL(Wire, kw_only=True):
    """Where an image is, or the image itself as a `data:` URL."""

    url: str


class ModerationImage(Typed, tag="image_url", kw_only=True):
    """An image to judge."""

    image_url: ModerationImageURL


ModerationInput = str | ModerationText | ModerationImage


class CreateModeration(Wire, kw_only=True, forbid_unknown_fields=True):
    """POST /moderations. A text, texts of which each has a result, or parts that have one result together."""

    input: str | list[str | ModerationText | ModerationImage]
    model: str | None = None

    @property
    def groups(self) -> list[list[ModerationInput]]:
        """What is judged together, one group a result."""
        if isinstance(self.input, str):
            return [[self.input]]
        if any(isinstance(part, str) for part in self.input):
            return [[part] for part in self.input]
        return [self.input]


class ModerationVerdict(Wire, kw_only=True):
    """What was found in one input."""

    flagged: bool
    categories: dict[str, bool]
    category_scores: dict[str, float]
    category_applied_input_types: dict[str, list[Modality]]


class ModerationCreated(Wire, kw_only=True):
    """The answer of POST /moderations. `model` names the moderator that judged."""

    id: str
    model: str
    results: list[ModerationVerdict]


def decode_moderation(body: bytes) -> CreateModeration:
    """Decode and validate the body of POST /moderations. Raises InvalidRequest."""
    check_depth(body)
    request: CreateModeration = read(body, decoder(CreateModeration))
    if isinstance(request.input, list):
        _check_list(request.input)
    return request


def _check_list(parts: list[Any]) -> None:
    if not parts:
        raise _wrong("Invalid 'input': empty array. Expected an array with at least one input.", "empty_array")
    if len(parts) > MAX_INPUTS:
        message = f"Invalid 'input': expected at most {MAX_INPUTS} inputs, but got {len(parts)}."
        raise _wrong(message, "array_above_max_length")
    if len({isinstance(part, str) for part in parts}) > 1:
        raise _wrong("Invalid 'input': expected strings, or objects, but got both in one array.", "invalid_type")


def _wrong(message: str, code: str) -> InvalidRequest:
    return InvalidRequest(message, param="input", code=code)
