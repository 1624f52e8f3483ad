"""POST /v1/moderations: what a moderator of this server finds in texts and images."""

from __future__ import annotations

from antiphon.server.call import Call
from antiphon.wire.moderations import decode_moderation
from antiphon.wire.struct import encode


async def create(call: Call) -> None:
    """POST /v1/moderations. When the client leaves, the moderator is left too."""
    request = decode_moderation(await call.json())
    if request.model is not None:
        call.accounts.permit_model(call.project, request.model)
    moderator = call.engine.moderation.named(request.model)
    try:
        answer = await call.while_there(
            call.engine.moderations.create(call.project, request, call.trace(), principal=call.principal)
        )
    finally:
        call.limited(moderator)
    await call.answer(encode(answer))
