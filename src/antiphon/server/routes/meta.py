"""What is not the API but about it: health, readiness, and the description of the interface."""

from __future__ import annotations

import antiphon
from antiphon.server.call import Call
from antiphon.wire.struct import encode


async def health(call: Call) -> None:
    """GET /health"""
    await call.answer(encode({"status": "ok", "version": antiphon.__version__}))


async def ready(call: Call) -> None:
    """GET /ready. Raises Unavailable while the server stops, or while its store does not answer."""
    await call.engine.ready()
    await call.answer(encode({"status": "ready"}))


async def openapi(call: Call) -> None:
    """GET /openapi.json"""
    from antiphon.server.openapi import document  # built from the wire types when somebody asks

    await call.answer(document())
