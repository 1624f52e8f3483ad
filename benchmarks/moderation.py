"""What moderation costs: how much later words arrive, and how much work a delta is.

    .venv/bin/python -m benchmarks.moderation

An answer of 200 deltas, one every 20 ms, goes through the gate. For each character: how long after it was said was it
let through? Three moderators: a list of 1,000 words; and one that takes 150 ms for a verdict, with two windows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from statistics import quantiles

from antiphon.engine.gated import Held
from antiphon.engine.moderation import Panel
from antiphon.models.moderators import RuleList
from antiphon.policy.gate import Gate
from antiphon.policy.rules import Rules
from antiphon.policy.verdict import CLEAN, Account, Passage, Verdict
from antiphon.ports import Moderator
from antiphon.turn.deltas import Delta, Finished, Text

PACE = 0.02
COUNT = 200
TAKES = 0.15
WORDS = [f"forbidden{number}" for number in range(1000)]


class Slow:
    """A moderator that takes its time, and finds nothing."""

    overlap = 100

    def __init__(self, window: int) -> None:
        self.window = window

    async def judge(
        self, passages: Sequence[Passage], images: Sequence[str] = (), account: Account | None = None
    ) -> Verdict:
        await asyncio.sleep(TAKES)
        return CLEAN

    async def aclose(self) -> None:
        pass


async def paced(said: list[float]) -> AsyncIterator[list[Delta]]:
    """The answer; notes when each character was said."""
    for number in range(COUNT):
        await asyncio.sleep(PACE)
        words = f"word {number % 10} "
        said += [time.perf_counter()] * len(words)
        yield [Text(words)]
    yield [Finished()]


async def delays(moderator: Moderator) -> list[float]:
    """Milliseconds from the moment when a character was said to that when it was let through."""
    said: list[float] = []
    heard: list[float] = []
    async for batch in Held(paced(said), Panel([moderator], fails_open=False)).batches():
        now = time.perf_counter()
        heard += [now] * sum(len(delta.text) for delta in batch if isinstance(delta, Text))
    return [1000 * (end - begin) for begin, end in zip(said, heard, strict=True)]


def work(rules: Rules | None, size: int) -> float:
    """Microseconds a delta, in batches of `size`."""
    batches: list[list[Delta]] = [[Text(f"word {number} ") for number in range(size)] for _ in range(20_000 // size)]
    gate = Gate(overlap=0 if rules is None else rules.overlap)
    began = time.perf_counter()
    for batch in batches:
        gate.feed(batch)
        while passages := gate.ask():
            gate.settle(CLEAN if rules is None else rules.judge(passages))
        gate.release()
    return 1e6 * (time.perf_counter() - began) / 20_000


async def main() -> None:
    """Print the table."""
    rules = Rules({"house": WORDS})
    moderators: dict[str, Moderator] = {
        f"rules, longest word of {rules.overlap - 2}": RuleList(lambda: rules),
        "150 ms, window 400, overlap 100": Slow(400),
        "150 ms, window 80, overlap 100": Slow(80),
    }
    print("| moderator | a character is later by, p50 | p95 | the first one by |\n|---|---|---|---|")
    for name, moderator in moderators.items():
        found = await delays(moderator)
        points = quantiles(found, n=20)
        print(f"| {name} | {points[9]:.0f} ms | {points[18]:.0f} ms | {found[0]:.0f} ms |")
    for size in (1, 20):
        print(f"work a delta, in batches of {size}: {work(rules, size):.1f} µs")


if __name__ == "__main__":
    asyncio.run(main())
