"""An engine whose model stands behind a response cache."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from antiphon.engine.cached import Answers, Cached, CacheOptions
from antiphon.engine.engine import Engine
from antiphon.engine.run import Run
from antiphon.testing import FakeClock, MemoryCache, Only, ScriptedModel
from antiphon.turn.input import CacheUse
from antiphon.wire.request import decode_create
from tests.engine.stage import PROJECT, bytes_of, stage


class Stage:
    """The engine, what is behind it, and how to ask it."""

    def __init__(self, engine: Engine, model: ScriptedModel, cached: Cached, clock: FakeClock) -> None:
        self.engine = engine
        self.model = model
        self.cached = cached
        self.clock = clock

    @property
    def calls(self) -> int:
        """How often the upstream was called."""
        return len(self.model.turns)

    async def create(self, *, project: str = PROJECT, cache: CacheUse = "use", **body: Any) -> Run:
        request = decode_create(json.dumps({"model": "scripted", "input": "Hi.", **body}).encode())
        return await self.engine.create(project, request, cache=cache)

    async def answer(self, **asked: Any) -> Run:
        """A run that is over."""
        run = await self.create(**asked)
        await run.result()
        assert run.task is not None
        await run.task
        return run

    async def stream(self, **asked: Any) -> tuple[Run, bytes]:
        """A run and all bytes of its stream."""
        run = await self.create(stream=True, **asked)
        await run.opened
        return run, await bytes_of(self.engine.frames_of(run))


@asynccontextmanager
async def cached_stage(
    folder: Path,
    model: ScriptedModel | None = None,
    *,
    cache: Any = None,
    identity: bytes = b"scripted",
    max_bytes: int = 2**20,
    **options: Any,
) -> AsyncIterator[Stage]:
    """A started engine with a cache."""
    clock, model = FakeClock(), model or ScriptedModel()
    cache = cache or MemoryCache(max_bytes=max_bytes, now=clock.now)
    cached = Cached(model, Answers(cache, clock, CacheOptions(**options)), identity)
    async with stage(folder, Only(cached), clock=clock) as engine:
        yield Stage(engine, model, cached, clock)


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(30):
        await asyncio.sleep(0)
