"""The Response as it looks at its start: a request's settings, with the defaults that are in effect, and no output."""

from __future__ import annotations

from typing import Any

from antiphon.wire.request import CreateResponse
from antiphon.wire.response import Response
from antiphon.wire.struct import UNSET

_TIERS = {"auto": "default", "fast": "priority"}
"""How a requested service tier is echoed, where not by its own name."""

_ECHOED = tuple(
    name
    for name in Response.__struct_fields__
    if name in CreateResponse.__struct_fields__ and name not in ("model", "conversation", "service_tier")
)


def opened(request: CreateResponse, *, response_id: str, model: str, created_at: int) -> Response:
    """The Response of the first event. `created_at` is Unix time in seconds; `model` names who answers."""
    given: dict[str, Any] = {}
    for name in _ECHOED:
        value = getattr(request, name)
        if value is not None and value is not UNSET:
            given[name] = value
    tier = request.service_tier or "auto"
    return Response(
        id=response_id,
        created_at=created_at,
        model=model,
        status="queued" if request.background else "in_progress",
        service_tier=_TIERS.get(tier, tier),
        **given,
    )
