"""POST /v1/moderations: what a moderator of this server finds in texts and images."""

from __future__ import annotations

from antiphon.server.call import Call
from antiphon.server.routes.responses import PROJECT
from antiphon.wire.moderations import decode_moderation
from antiphon.wire.struct import encode


async def create(call: Call) -> None:
    """POST /v1/moderations. When the client leaves, the moderator is left too."""
    request = decode_moderation(await call.json())
    answer = await call.while_there(call.engine.moderations.create(PROJECT, request, call.trace()))
    await call.answer(encode(answer))
