"""Side by side: one piece of work for each of some things, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

__all__ = ["MOST", "side_by_side"]

MOST: Final = 8
"""Pieces of work that are done at the same time."""

T = TypeVar("T")
R = TypeVar("R")


async def side_by_side(work: Callable[[T], Awaitable[R]], given: Sequence[T], *, most: int = MOST) -> list[R]:
    """The results, in the order of what was given. The first failure ends the rest, and is raised.

    Between two pieces everybody else has a turn, also where the work itself never waits.
    """
    results: dict[int, R] = {}
    left = iter(enumerate(given))

    async def worker() -> None:
        for place, each in left:
            results[place] = await work(each)
            await asyncio.sleep(0)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(most, len(given))):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [results[place] for place in range(len(given))]
