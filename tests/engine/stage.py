"""An engine over a real store, with a scripted model and a clock that stands still; and its death."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from antiphon.engine.engine import Engine, EngineSettings
from antiphon.engine.moderation import Moderation
from antiphon.engine.run import Run
from antiphon.ports import Batch, Catalog, Written
from antiphon.stores.sqlite import SQLiteStore
from antiphon.testing import FakeClock, Only, ScriptedModel
from antiphon.wire.errors import APIError, Unavailable
from antiphon.wire.request import decode_create
from tests.stores.disk import TroubledStore

PROJECT = "default"
NEVER = 3600.0
"""A hold that does not end by itself."""


@asynccontextmanager
async def stage(
    folder: Path,
    model: ScriptedModel | Catalog | None = None,
    *,
    clock: FakeClock | None = None,
    store: SQLiteStore | None = None,
    moderation: Moderation | None = None,
    **settings: Any,
) -> AsyncIterator[Engine]:
    """A started engine. What still runs at the end of the block is left as it is."""
    clock = clock or FakeClock()
    catalog = Only(model or ScriptedModel()) if model is None or isinstance(model, ScriptedModel) else model
    store = store or TroubledStore(folder, now=clock.now)
    engine = Engine(catalog, store, clock, EngineSettings(**{"hold": NEVER, **settings}), moderation=moderation)
    await engine.start()
    try:
        yield engine
    finally:
        if isinstance(store, Withholding):
            await store.let_go()
        await engine.aclose()


class Withholding(TroubledStore):
    """A store that keeps batches back until it is told to write them."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, **options)
        self.withholds = False
        self.batches: list[Batch] = []
        self._kept: list[tuple[Batch, asyncio.Future[Written]]] = []

    def write(self, batch: Batch) -> asyncio.Future[Written]:
        self.batches.append(batch)
        if not self.withholds:
            return super().write(batch)
        future: asyncio.Future[Written] = asyncio.get_running_loop().create_future()
        self._kept.append((batch, future))
        return future

    async def let_go(self) -> None:
        """Write what was kept back, and what comes."""
        self.withholds = False
        kept, self._kept = self._kept, []
        for batch, future in kept:
            try:
                future.set_result(await super().write(batch))
            except Unavailable as error:
                future.set_exception(error)


async def create(engine: Engine, **body: Any) -> Run:
    """Ask for a response; one in the background is stored then."""
    request = decode_create(json.dumps({"model": "scripted", "input": "Hi.", **body}).encode())
    run = await engine.create(PROJECT, request)
    if request.background:
        await asyncio.shield(run.opened)
    return run


async def bytes_of(data: AsyncIterator[bytes]) -> bytes:
    """All of a stream."""
    return b"".join([chunk async for chunk in data])


async def read(engine: Engine, response_id: str, after: int = -1, include: Iterable[str] = ()) -> bytes:
    """The stream of a response after an event, to its end."""
    return await bytes_of(await engine.follow(PROJECT, response_id, after, list(include)))


class Reader:
    """Reads a stream, and keeps what it got when it breaks."""

    def __init__(self, data: AsyncIterator[bytes]) -> None:
        self.seen = b""
        self.error: APIError | None = None
        self._task = asyncio.create_task(self._read(data))

    async def _read(self, data: AsyncIterator[bytes]) -> None:
        try:
            async for chunk in data:
                self.seen += chunk
        except APIError as error:
            self.error = error

    async def end(self) -> Reader:
        """Wait until there is no more to read."""
        await self._task
        return self


async def retrieve(engine: Engine, response_id: str, include: Iterable[str] = ()) -> dict[str, Any]:
    """A response as GET gives it."""
    response: dict[str, Any] = json.loads(await engine.retrieve(PROJECT, response_id, list(include)))
    return response


def events_of(data: bytes) -> list[dict[str, Any]]:
    """The events of a stream."""
    return [json.loads(frame.partition(b"\ndata: ")[2]) for frame in data.split(b"\n\n") if frame]


def types_of(data: bytes) -> list[str]:
    """Their types."""
    return [event["type"] for event in events_of(data)]


def text_of(response: dict[str, Any]) -> str:
    """All text of a response."""
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(part.get("text", "") for item in messages for part in item["content"])


async def crash(engine: Engine, to: Path) -> Path:
    """The files as a kill would leave them now, after what was said so far is committed. The engine lives on."""
    await engine.journal.barrier()
    store = engine.store
    assert isinstance(store, TroubledStore)
    return await store.copy(to)
