"""The Response as it looks at its start: a request's settings, with the defaults that are in effect, and no output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from antiphon.wire.request import AccessPrograms, CreateResponse, Image, PromptCacheOptions
from antiphon.wire.response import Response
from antiphon.wire.struct import UNSET
from antiphon.wire.tools import FormatText, TextConfig

_TIERS = {"auto": "default", "fast": "priority"}
"""How a requested service tier is echoed, where not by its own name."""

_NOT_ECHOED = frozenset({"model", "conversation", "moderation"})
"""The first two are what the engine made of them; the moderation of a Response is its result, not what was asked."""


def opened(request: CreateResponse, *, response_id: str, model: str, created_at: int) -> Response:
    """The Response of the first event. `created_at` is Unix time in seconds; `model` names who answers."""
    asked = {name: getattr(request, name) for name in _ECHOED}
    given = {name: _SAID[name](value) if name in _SAID else value for name, value in asked.items() if value is not None}
    return Response(
        id=response_id,
        created_at=created_at,
        model=model,
        status="queued" if request.background else "in_progress",
        **{name: value for name, value in given.items() if value is not None},
    )


_ECHOED = tuple(
    name for name in Response.__struct_fields__ if name in CreateResponse.__struct_fields__ and name not in _NOT_ECHOED
)


def _text(asked: TextConfig) -> TextConfig:
    verbosity = "medium" if asked.verbosity is UNSET or asked.verbosity is None else asked.verbosity
    return msgspec.structs.replace(asked, format=asked.format or FormatText(), verbosity=verbosity)


def _image(asked: Image) -> dict[str, Any] | None:
    """A Response says which policy was applied; who left it to the model is not told."""
    effective = asked.context_compression in ("enabled", "disabled")
    return {"context_compression": asked.context_compression} if effective else None


def _access(asked: AccessPrograms) -> dict[str, Any] | None:
    return None if asked.cyber is None else {"cyber": asked.cyber}


def _cache(asked: PromptCacheOptions) -> dict[str, Any]:
    echoed = {"mode": asked.mode or "implicit", "ttl": asked.ttl or "30m"}
    compared = asked.comparison_response_id
    return echoed if compared is None else {**echoed, "comparison_response_id": compared}


_SAID: dict[str, Callable[[Any], Any]] = {
    "service_tier": lambda asked: _TIERS.get(asked, asked),
    "prompt_cache_retention": lambda asked: asked.replace("-", "_"),
    "text": _text,
    "image": _image,
    "access_programs": _access,
    "prompt_cache_options": _cache,
}
"""How a setting is echoed that is not echoed as it was sent."""
