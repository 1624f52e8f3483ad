"""Side by side: a few at a time, in order, and none after the first failure."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.engine.side_by_side import MOST, side_by_side
from antiphon.wire.errors import Unavailable

pytestmark = pytest.mark.anyio


class Work:
    """Pieces of work that last until they are let go; it knows how many are being done."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.open = 0
        self.gate = asyncio.Event()

    async def __call__(self, number: int) -> int:
        self.begun.append(number)
        self.open += 1
        try:
            await self.gate.wait()
            if number == 3:
                raise Unavailable("The third fails.")
            return number * 10
        finally:
            self.open -= 1


async def settle() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


async def test_results_come_in_the_order_of_what_was_given():
    async def late_ones_first(number: int) -> int:
        for _ in range(10 - number):
            await asyncio.sleep(0)
        return number * 10

    assert await side_by_side(late_ones_first, range(10)) == [number * 10 for number in range(10)]
    assert await side_by_side(late_ones_first, []) == []


async def test_no_more_than_a_few_are_done_at_the_same_time():
    work = Work()
    task = asyncio.create_task(side_by_side(work, [number for number in range(1000) if number != 3]))
    await settle()
    assert (work.open, len(work.begun)) == (MOST, MOST)
    work.gate.set()
    assert len(await task) == 999


async def test_the_first_failure_is_raised_as_it_is_and_ends_the_rest():
    work = Work()
    task = asyncio.create_task(side_by_side(work, range(1000), most=4))
    await settle()
    work.gate.set()
    with pytest.raises(Unavailable, match="third"):
        await task
    assert work.open == 0
    assert len(work.begun) < 20


async def test_who_leaves_ends_all():
    work = Work()
    task = asyncio.create_task(side_by_side(work, range(1000)))
    await settle()
    task.cancel()
    await asyncio.wait((task,))
    assert (task.cancelled(), work.open) == (True, 0)


async def test_work_that_never_waits_lets_others_have_their_turn():
    done: list[int] = []

    async def at_once(number: int) -> None:
        done.append(number)

    task = asyncio.create_task(side_by_side(at_once, range(1000)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 0 < len(done) < 100
    await task
    assert done == list(range(1000))
