"""POST /v1/moderations: what a moderator of this server finds in texts and images."""

from __future__ import annotations

import asyncio

from antiphon.server.call import Call, ClientLeft
from antiphon.wire.moderations import decode_moderation
from antiphon.wire.struct import encode


async def create(call: Call) -> None:
    """POST /v1/moderations. When the client leaves, the moderator is left too."""
    request = decode_moderation(await call.json())
    judging = asyncio.create_task(call.engine.moderation.classify(request))
    watcher = asyncio.create_task(call.left())
    try:
        await asyncio.wait((judging, watcher), return_when=asyncio.FIRST_COMPLETED)
        if not judging.done():
            raise ClientLeft
        answer = judging.result()
    finally:
        watcher.cancel()
        judging.cancel()
    await call.answer(encode(answer))
