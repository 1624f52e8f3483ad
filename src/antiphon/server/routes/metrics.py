"""GET /metrics: for Prometheus, and for `antiphon status`."""

from __future__ import annotations

from antiphon.server.call import Call
from antiphon.server.guard import keyed
from antiphon.wire.errors import NotFound


async def metrics(call: Call) -> None:
    """GET /metrics, with the key if there is one and the configuration does not say otherwise."""
    if not call.options.metrics_open:
        keyed(call)
    known = call.options.metrics
    if known is None:
        raise NotFound("Metrics are switched off on this server.", code="not_served")
    body, kind = known.render(call.headers.get(b"accept", b"").decode("latin-1"))
    await call.answer(body, kind=kind.encode())
