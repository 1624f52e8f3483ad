"""GET /metrics: for Prometheus, and for `antiphon status`."""

from __future__ import annotations

from antiphon.engine.accounts import CONFIGURED
from antiphon.server.call import Call
from antiphon.server.guard import authorized, identified
from antiphon.wire.errors import NotFound


async def metrics(call: Call) -> None:
    """GET /metrics: for all, or for admin keys and the key of the configuration.

    The figures are of all projects, so the key of one does not do.
    """
    if not call.options.metrics_open:
        identified(call)
        if call.principal is not CONFIGURED:
            authorized(call, "usage.read")
    known = call.options.metrics
    if known is None:
        raise NotFound("Metrics are switched off on this server.", code="not_served")
    body, kind = known.render(call.headers.get(b"accept", b"").decode("latin-1"))
    await call.answer(body, kind=kind.encode())
