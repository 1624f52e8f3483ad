"""POST /v1/embeddings: texts as vectors, by a configured upstream."""

from __future__ import annotations

from antiphon.server.call import Call
from antiphon.wire.embeddings import decode_embeddings
from antiphon.wire.struct import encode


async def create(call: Call) -> None:
    """POST /v1/embeddings. When the client leaves, the upstream is left too."""
    request = decode_embeddings(await call.json())
    call.accounts.permit_model(call.project, request.model)
    try:
        answer = await call.while_there(
            call.engine.embeddings.create(call.project, request, call.trace(), principal=call.principal)
        )
    finally:
        call.limited(request.model)
    await call.answer(encode(answer))
