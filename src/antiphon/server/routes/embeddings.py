"""POST /v1/embeddings: texts as vectors, by a configured upstream."""

from __future__ import annotations

import asyncio

from antiphon.server.call import Call, ClientLeft
from antiphon.server.routes.responses import PROJECT
from antiphon.wire.embeddings import decode_embeddings
from antiphon.wire.struct import encode


async def create(call: Call) -> None:
    """POST /v1/embeddings. When the client leaves, the upstream is left too."""
    request = decode_embeddings(await call.json())
    working = asyncio.create_task(call.engine.embeddings.create(PROJECT, request, call.trace()))
    watcher = asyncio.create_task(call.left())
    try:
        await asyncio.wait((working, watcher), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientLeft
        answer = working.result()
    finally:
        watcher.cancel()
        working.cancel()
    await call.answer(encode(answer))
