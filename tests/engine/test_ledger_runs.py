"""A thousand runs of every kind, with crashes between them: the ledger has what the upstreams have counted."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from antiphon import tokens
from antiphon.engine.engine import Engine
from antiphon.engine.run import Run, Stop
from antiphon.policy.ledger import RESTARTED, Row
from antiphon.policy.weight import read
from antiphon.testing.scripted import Step
from antiphon.turn.deltas import Finished, Text, Usage
from antiphon.turn.input import Turn
from antiphon.wire.errors import ServerError, Unavailable
from antiphon.wire.response import Usage as Figures
from tests.engine.ledger_stage import PRICES, Counting, all_rows, ledger_stage, over
from tests.engine.stage import crash, create
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

RUNS = 1_000
LIVES = 20
"""Processes, each killed after its part of the runs."""

KINDS = ("input", "output")
BODIES = ({}, {"store": False}, {"stream": True}, {"store": False, "stream": True}, {"background": True})


class Chance:
    """What becomes of each call and each run, by one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.standing: set[str] = set()
        """Responses whose upstream says nothing more for ever."""

    def script(self, turn: Turn) -> Iterator[Step]:
        """A call: refused, cut before or within the answer, without an end, with or without its usage."""
        yield from self._steps()
        self.standing.add(turn.response_id)
        yield asyncio.Event()

    def _steps(self) -> list[Step]:
        kind = self.random.choices(("whole", "silent", "refused", "cut", "broken", "endless"), (5, 2, 1, 1, 2, 3))[0]
        words = [[Text("a" * self.random.randrange(1, 40))] for _ in range(self.random.randrange(1, 4))]
        if kind == "refused":
            return [Unavailable("Down.")]
        if kind == "cut":
            return [[], Unavailable("Down.")]
        if kind == "broken":
            return [[], *words, ServerError("Gone.")]
        if kind == "endless":
            return [[], *words]
        usage = [] if kind == "silent" else [Usage(self._figures())]
        return [[], *words, [*usage, Finished()]]

    def _figures(self) -> Figures:
        inward, outward = self.random.randrange(1, 500), self.random.randrange(1, 500)
        return Figures(input_tokens=inward, output_tokens=outward, total_tokens=inward + outward)


class Life:
    """One process: what its upstreams counted, and what the kill has cut."""

    def __init__(self, engine: Engine, chance: Chance, known: Counter[str]) -> None:
        self.engine = engine
        self.chance = chance
        self.known = known
        """Output that the ledger has of answers that were cut before, by response."""
        self.left: list[Run] = []
        """What the kill will cut."""

    async def run(self, count: int) -> None:
        """Make so many runs, some at a time, after those that are taken over."""
        await self._end(list(self.engine.runs.values()))
        while count:
            some = min(count, self.chance.random.randrange(1, 12))
            bodies = [self.chance.random.choice(BODIES) for _ in range(some)]
            await self._end([await create(self.engine, **body) for body in bodies])
            count -= some

    async def _end(self, runs: list[Run]) -> None:
        """Cancel some runs on their way; what comes to a stand is cancelled, or left."""
        standing, chance = self.chance.standing, self.chance.random
        for run in chance.sample(runs, len(runs) // 4):
            for _ in range(chance.randrange(10)):
                await asyncio.sleep(0)
            run.end(Stop("cancelled"))
        for run in runs:
            await until(lambda run=run: run.task.done() or run.turn.response_id in standing)
            tried = [attempt for attempt in run.turn.trace.attempts if not attempt.is_past]
            if run.stop is None and not run.task.done() and len(tried) == 1 and chance.random() < 0.3:
                self.left.append(run)
                continue
            run.end(Stop("cancelled"))
            await over(run)
        standing.clear()

    def cut(self) -> Counter[str]:
        """What the ledger is to know of what the kill cuts: the input; and of what is stored, what it had said."""
        found: Counter[str] = Counter()
        for run in self.left:
            words = "".join(item.content[0].text for item in run.machine.fold.output())
            said = tokens.estimate(len(words)) if run.record is not None else 0
            found["scripted input"] += read(run.turn.items, run.turn.request)
            found["scripted output"] += said - self.known[run.turn.response_id]
            found["estimated"] += 1
            self.known[run.turn.response_id] = said
        return found


@pytest.mark.parametrize("seed", [1, 2])
async def test_the_ledger_is_what_the_upstreams_counted(tmp_path: Path, seed: int):
    chance, counted, known = Chance(seed), Counter[str](), Counter[str]()
    for number in range(LIVES):
        models = Counting(chance.script), Counting(chance.script, name="b")
        async with ledger_stage(tmp_path / str(number), *models) as engine:
            life = Life(engine, chance, known)
            await life.run(RUNS // LIVES)
            await engine.books.settle()
            counted += sum((model.counts() for model in models), start=life.cut())
            await crash(engine, tmp_path / str(number + 1))
    models = Counting(), Counting(name="b")
    async with ledger_stage(tmp_path / str(LIVES), *models) as engine:
        for run in list(engine.runs.values()):
            await over(run)
        counted += sum((model.counts() for model in models), start=Counter[str]())
        rows = await all_rows(engine, tmp_path / str(LIVES))
        assert not await engine.books.ledger.running()
    assert len(rows) == RUNS
    assert told(rows) == counted
    assert all(row.cost == sum(charge.cost for charge in row.charges) for row in rows)
    assert sum(row.cost for row in rows) == money(counted)
    assert Counter(row.outcome for row in rows).keys() == {"completed", "failed", "cancelled"}
    assert sum(charge.code == RESTARTED for row in rows for charge in row.charges) > LIVES


def told(rows: list[Row]) -> Counter[str]:
    """What the ledger says."""
    found: Counter[str] = Counter()
    for charge in (charge for row in rows for charge in row.charges):
        found[f"{charge.model} input"] += charge.tokens.input
        found[f"{charge.model} output"] += charge.tokens.output
        found["estimated"] += charge.is_estimated
    return found


def money(counted: Counter[str]) -> Decimal:
    """What that costs."""
    amounts = (
        Decimal(price) * counted[f"{model} {kind}"] / 1_000_000
        for model in ("scripted", "b")
        for kind, price in zip(KINDS, PRICES[model], strict=True)
    )
    return sum(amounts, start=Decimal(0))
