"""An engine that writes a ledger, over upstreams that count what they were asked and what they said."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from antiphon import tokens
from antiphon.engine.attempts import Attempts
from antiphon.engine.capped import Capped
from antiphon.engine.costs import Costs
from antiphon.engine.engine import Engine, EngineSettings
from antiphon.engine.gated import Gated
from antiphon.engine.lines import Line
from antiphon.engine.moderation import Moderation
from antiphon.engine.run import Run
from antiphon.engine.upstreams import Upstreams
from antiphon.policy.breaker import BreakerSettings
from antiphon.policy.hedge import HedgeSettings
from antiphon.policy.ledger import Row, Tokens
from antiphon.policy.retry import RetrySettings
from antiphon.policy.weight import read
from antiphon.ports import Choice, Embedder, Model
from antiphon.stores.ledger import SQLiteLedger
from antiphon.stores.sqlite import SQLiteStore
from antiphon.testing import FakeClock, Only, ScriptedModel
from antiphon.testing.scripted import Script
from antiphon.turn.deltas import Text, Usage
from antiphon.turn.input import Turn
from tests.engine.stage import NEVER
from tests.stores.disk import TroubledStore, rows
from tests.support.money import prices

PRICES = {"scripted": (10.0, 100.0), "b": (1.0, 2.0), "judge": (0.5, 0.5), "nomic": (3.0, 0.0)}
"""US dollars for a million tokens of input, and of output."""

LONG = BreakerSettings(volume=10**6, connect_failures=10**6, refusals=10**6)
"""A breaker that does not open: what is tried is what is counted."""


class Counting(ScriptedModel):
    """An upstream that counts each call as its ledger ought to."""

    def __init__(self, script: Any = None, *, name: str = "scripted", **options: Any) -> None:
        super().__init__(script, name=name, **options)
        self.counted: Counter[str] = Counter()
        self.calls = 0

    async def stream(self, turn: Turn) -> Any:
        """Play the script, and count what was delivered; where it reports its usage, that counts."""
        self.calls += 1
        accepted, said, reported = False, 0, None
        finished = False
        try:
            async for batch in super().stream(turn):
                accepted = True
                said += sum(len(delta.text.encode()) for delta in batch if isinstance(delta, Text))
                reported = next((delta.usage for delta in batch if isinstance(delta, Usage)), reported)
                yield batch
            finished = True
        except BaseException as error:
            accepted = accepted or not isinstance(error, Exception)  # who is left may have begun
            raise
        finally:
            if reported is not None:
                self._count(reported.input_tokens, reported.output_tokens, estimated=False)
            elif accepted or finished:
                self._count(read(turn.items, turn.request), tokens.estimate(said), estimated=True)

    def counts(self) -> Counter[str]:
        """What was counted so far, with the name of the model."""
        return Counter(
            {
                f"{self.name} input": self.counted["input"],
                f"{self.name} output": self.counted["output"],
                "estimated": self.counted["estimated"],
            }
        )

    def _count(self, inward: int, outward: int, *, estimated: bool) -> None:
        self.counted["input"] += inward
        self.counted["output"] += outward
        self.counted["estimated"] += estimated


class Catalog(Only):
    """Models composed as those of a server are."""

    def __init__(self, model: ScriptedModel, others: Mapping[str, Model], around: Callable[[Model], Model]) -> None:
        super().__init__(model)
        self._around = around
        self._others = others

    def choose(self, name: str | None) -> Choice:
        if name in self._others:
            return Choice(name, self._others[name])
        choice = super().choose(name)
        return Choice(choice.name, self._around(choice.model), billed=(("scripted", "http://up0/v1"),))


def lines_of(models: tuple[Model, ...], clock: FakeClock, *, hedges: bool = False) -> tuple[list[Line], Attempts]:
    """The models as upstreams that stand in for each other. A retry waits for nothing."""
    retry, hedging = RetrySettings(bucket=10**6), HedgeSettings(share=1.0)
    upstreams = Upstreams(clock, retry=retry, breaker=LONG, hedging=hedging, chance=lambda: 0.0)
    lines = [upstreams.line(model, f"http://up{at}/v1", hedges=hedges) for at, model in enumerate(models)]
    return lines, Attempts(lines, clock, upstreams.retry, random=lambda: 0.0)


@asynccontextmanager
async def ledger_stage(
    folder: Path,
    *models: Model | Script | Any,
    clock: FakeClock | None = None,
    store: SQLiteStore | None = None,
    moderation: Moderation | None = None,
    around: Callable[[Model], Model] = lambda model: model,
    hedges: bool = False,
    others: Mapping[str, Model] | None = None,
    embedders: Mapping[str, Embedder] | None = None,
    **settings: Any,
) -> AsyncIterator[Engine]:
    """A started engine. The models are upstreams one after the other; `around` is what stands around them all."""
    clock = clock or FakeClock()
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - nobody else waits
    made = tuple(model if isinstance(model, ScriptedModel) else Counting(model) for model in models or (None,))
    lines, attempts = lines_of(made, clock, hedges=hedges)
    for line in lines if hedges else ():
        for _ in range(50):
            assert line.hedging is not None
            line.hedging.observe(1.0, 0.0)
    judged = moderation or Moderation()
    catalog = Catalog(made[0], others or {}, lambda _: around(Gated(Capped(attempts), judged)))
    store = store or TroubledStore(folder, now=clock.now)
    engine = Engine(
        catalog,
        store,
        clock,
        EngineSettings(**{"hold": NEVER, **settings}),
        cost=Costs(prices(folder, **PRICES)),
        moderation=moderation,
        embedders=embedders,
        ledger=SQLiteLedger(store),
    )
    await engine.start()
    try:
        yield engine
    finally:
        await engine.aclose()


async def over(run: Run) -> Run:
    """A run whose task is done and whose report was told."""
    assert run.task is not None
    await asyncio.wait([run.task])
    await asyncio.sleep(0)
    return run


async def row_of(engine: Engine, run: Run | str) -> Row:
    """The row of a run that is over."""
    if isinstance(run, Run):
        await over(run)
    assert engine.books is not None
    await engine.books.settle()
    found = await engine.books.ledger.find(run if isinstance(run, str) else run.turn.response_id)
    assert found is not None
    return found


async def all_rows(engine: Engine, folder: Path) -> list[Row]:
    """All rows there are."""
    assert engine.books is not None
    await engine.books.settle()
    return [await row_of(engine, each) for (each,) in rows(folder, "SELECT id FROM ledger ORDER BY number")]


def used(inward: int, outward: int) -> Tokens:
    """Tokens in and out."""
    return Tokens(input=inward, output=outward)
