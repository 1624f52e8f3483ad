"""Journal and store together: what was acknowledged is what is read back, wherever it crashed and whatever failed.

Several logs are said in any interleaving, with spills, ends, workers that leave, commits that fail and crashes between
any two transactions. A crash is a copy of the files with which a new store starts.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from pathlib import Path

import pytest

from antiphon.engine import journal as journals
from antiphon.engine.journal import Entry, Journal
from antiphon.engine.log import Log
from antiphon.ports import Begin
from antiphon.testing.contracts.store import PROJECT, end, record
from antiphon.turn import frames
from antiphon.wire.errors import Unavailable
from tests.stores.disk import TroubledStore

pytestmark = pytest.mark.anyio

SEEDS = range(40)
LENGTH = 200
NAMES = "abcd"
WEIGHTS = {
    "say": 12,
    "say_nothing": 3,
    "end": 1,
    "leave": 1,
    "take_over": 3,
    "delete": 1,
    "commit": 4,
    "let_it_begin": 6,
    "fail": 1,
    "rescue": 2,
    "read": 4,
    "crash": 1,
}
"""What may happen, and how often."""


def walk(seed):
    """The steps of a story: what happens, to whom, and two numbers."""
    dice = random.Random(seed)
    for what in dice.choices(list(WEIGHTS), list(WEIGHTS.values()), k=LENGTH):
        yield what, dice.choice(NAMES), dice.randrange(1, 5), dice.randrange(30)


@pytest.fixture(autouse=True, scope="module")
def small_limits():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journals, "SPILL", 900)
        patch.setattr(journals, "LAG", 3)
        yield


class Teller:
    """A log as its writer knows it."""

    def __init__(self, key: int) -> None:
        self.key = key
        self.entry: Entry | None = None
        self.said: list[bytes] = []
        self.ended = False

    @property
    def log(self) -> Log:
        assert self.entry is not None
        return self.entry.log

    @property
    def acknowledged(self) -> int:
        """How many events somebody may have seen."""
        return len(self.said) if self.entry is None else self.log.committed

    @property
    def speaks(self) -> bool:
        entry = self.entry
        return entry is not None and entry.log.failure is None and entry.leaving is None and not self.ended


class World:
    """A process: a journal over a store, and who tells something."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tellers: dict[str, Teller] = {}
        self.generation = 0

    async def start(self) -> None:
        self.store = TroubledStore(self.folder)
        self.journal = Journal(self.store)
        self.next_key = await self.store.start()

    async def step(self, what: str, name: str, few: int, many: int) -> None:
        match what:
            case "say":
                await self.say(name, few, 20 * many)
            case "fail":
                self.store.trouble.at = 2 * few - 2
            case "read":
                await self.read(name, many)
            case "commit" | "let_it_begin" | "rescue" | "crash":
                await getattr(self, what)()
            case _:
                await getattr(self, what)(name)

    async def die(self) -> None:
        self.store.trouble.at = None
        await self.journal.idle()
        await self.store.aclose()

    def _teller(self, name: str) -> Teller:
        if name not in self.tellers:
            teller = self.tellers[name] = Teller(self.next_key)
            self.next_key += 1
            self._enter(teller)
            assert teller.entry is not None
            self.journal.append(teller.entry, b"", 0, [Begin(record(teller.key))])
        return self.tellers[name]

    def _enter(self, teller: Teller) -> None:
        log = Log(next_number=len(teller.said), read_back=lambda number: self.store.read(teller.key, number))
        teller.entry = Entry(teller.key, log)

    async def say(self, name: str, count: int, size: int) -> None:
        teller = self._teller(name)
        if teller.speaks:
            assert teller.entry is not None
            start, mark = teller.log.next, f"{name} {self.generation} {'x' * size}"
            told = [f"event: e\ndata: {start + n} {mark}\n\n".encode() for n in range(count)]
            teller.said[start:] = told
            self.journal.append(teller.entry, b"".join(told), count)

    async def say_nothing(self, name: str) -> None:
        teller = self._teller(name)
        if teller.speaks:
            assert teller.entry is not None
            self.journal.append(teller.entry, b"", 0)

    async def end(self, name: str) -> None:
        teller = self._teller(name)
        if teller.speaks:
            assert teller.entry is not None
            self.journal.append(teller.entry, b"", 0, [end(teller.key)], ended=True)
            teller.ended = True

    async def leave(self, name: str) -> None:
        teller = self._teller(name)
        if teller.speaks:
            assert teller.entry is not None
            self.journal.leave(teller.entry, Unavailable("Left."))

    async def take_over(self, name: str) -> None:
        """Another worker of the same process goes on, when the log of the first is put away."""
        teller = self.tellers.get(name)
        if teller is None or teller.entry is None or not teller.entry.settled or teller.log.ended:
            return
        stored = await self.store.find(PROJECT, f"resp_{teller.key}")
        if stored is not None and stored.response is None:
            recovered = await self._read_all(teller.key)
            assert recovered == teller.said[: teller.log.committed]
            teller.said, teller.ended = recovered, False
            self._enter(teller)

    async def delete(self, name: str) -> None:
        teller = self.tellers.get(name)
        if teller is not None and (teller.entry is None or teller.log.ended):
            with suppress(Unavailable):
                await self.store.delete(PROJECT, f"resp_{teller.key}")
                del self.tellers[name]

    async def commit(self) -> None:
        with suppress(Unavailable):
            await self.journal.barrier()

    async def let_it_begin(self) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def rescue(self) -> None:
        with suppress(Unavailable):
            await self.journal.rescue()

    async def read(self, name: str, number: int) -> None:
        """A reader that comes now sees what is committed, and what is committed meanwhile."""
        teller = self.tellers.get(name)
        if teller is None or teller.entry is None or number >= teller.log.committed:
            return
        upto, seen = teller.log.committed, b""
        async for data in teller.log.follow(number):
            seen += data
            if number + frames.count(seen) >= upto:
                break
        assert seen == b"".join(teller.said[number : number + frames.count(seen)])

    async def crash(self) -> None:
        acknowledged = {name: teller.acknowledged for name, teller in self.tellers.items()}
        over = {name for name, teller in self.tellers.items() if teller.entry is not None and teller.log.ended}
        self.generation += 1
        self.folder = await self.store.copy(self.folder.with_name(f"{self.generation}"))
        await self.die()
        await self.start()
        unfinished = {stored.key for stored in await self.store.unfinished()}
        for name, teller in list(self.tellers.items()):
            recovered = await self._read_all(teller.key)
            stored = await self.store.find(PROJECT, f"resp_{teller.key}")
            assert len(recovered) >= acknowledged[name]
            assert recovered == teller.said[: len(recovered)]
            assert (teller.key in unfinished) == (stored is not None and stored.response is None)
            if stored is None:
                assert not recovered
                del self.tellers[name]
                continue
            assert name not in over or stored.response is not None
            teller.said, teller.ended, teller.entry = recovered, stored.response is not None, None
            if not teller.ended:
                self._enter(teller)

    async def _read_all(self, key: int) -> list[bytes]:
        found: list[bytes] = []
        while data := await self.store.read(key, len(found)):
            found += [frame + b"\n\n" for frame in data.split(b"\n\n") if frame]
        return found


@pytest.mark.parametrize("seed", SEEDS)
async def test_what_was_acknowledged_is_read_back_after_any_crash(seed, tmp_path):
    world = World(tmp_path / "0")
    await world.start()
    try:
        for what, name, few, many in [*walk(seed), ("commit", "", 0, 0), ("crash", "", 0, 0)]:
            await world.step(what, name, few, many)
    finally:
        await world.die()
