"""Lines over scripted models, on virtual time, that count what was taken from them and given back."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from copy import copy

from antiphon.engine.attempts import Attempts
from antiphon.engine.lines import Line
from antiphon.engine.queue import Queue
from antiphon.policy.breaker import Breaker, BreakerSettings, Key, Permit
from antiphon.policy.hedge import HedgeSettings, Hedging
from antiphon.policy.retry import RetryBudget, RetrySettings
from antiphon.testing import FakeClock, ScriptedModel
from antiphon.turn.deltas import Finished, Text
from antiphon.turn.input import Turn
from antiphon.wire.errors import APIError, Unavailable
from antiphon.wire.request import CreateResponse

DOWN = Unavailable("Down.")
CUT = Unavailable("Cut.", code="upstream_cut")
UNREACHABLE = Unavailable("Refused.", code="upstream_unreachable")

TOUCHY = BreakerSettings(connect_failures=1, open_for=5, jitter=0, ramp=0)
"""Opens with the first connection that is refused, for five seconds."""


class Plays(ScriptedModel):
    """A model with a script for each call, the last one again and again."""

    def __init__(self, *scripts, name="m", **options):
        calls = iter(scripts)
        self.last = None

        def script(turn):
            self.last = next(calls, self.last)
            return [copy(step) if isinstance(step, APIError) else step for step in self.last]

        super().__init__(script, name=name, **options)


class Takes(ScriptedModel):
    """A model that takes so many seconds to its first word: a number for each call, the last one again and again."""

    def __init__(self, *seconds, words="Well.", name="m"):
        super().__init__(name=name)
        self.clock = None  # its scene's
        self.words = words
        self._seconds = list(seconds)

    async def stream(self, turn):
        seconds = self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        self.turns.append(turn)
        self.open += 1
        try:
            yield []
            await self.clock.sleep(seconds)
            yield [Text(self.words)]
            yield [Finished()]
        finally:
            self.open -= 1


class CountingBreaker(Breaker):
    """A breaker that knows how many of its permits are out."""

    out = 0

    def admit(self, now, **options):
        permit = super().admit(now, **options)
        self.out += isinstance(permit, Permit)
        return permit

    def record(self, permit, outcome, now, retry_after=None):
        super().record(permit, outcome, now, retry_after)
        self.out -= 1


class Scene:
    """Lines over models, and a clock that stands still."""

    def __init__(self, *models, settings=None, queue=None, hedging=None, breaker=None, random=lambda: 0.5, **options):
        self.clock = FakeClock()
        self.models = models
        self.retry = settings or RetrySettings()
        if hedging is True:
            hedging = HedgeSettings(least=1, share=1.0)
        for model in models:
            model.clock = self.clock
        self.lines = [
            Line(
                model,
                CountingBreaker(Key(f"up{at}", model.name), breaker or BreakerSettings(ramp=0), random=random),
                RetryBudget(self.retry),
                queue=Queue(queue, self.clock) if queue is not None else None,
                hedging=Hedging(hedging) if hedging else None,
            )
            for at, model in enumerate(models)
        ]
        self.model = Attempts(self.lines, self.clock, self.retry, random=random, **options)

    async def ask(self, turn=None):
        """What is heard of a turn, and the error at its end; waits pass at once."""
        asking, heard = self.begin(turn)
        while not asking.done():
            await settle()
            if not asking.done():
                assert self.clock.waiting, "nothing more will happen"
                await self.clock.advance(self.clock.waiting[0])
        return heard, await error_of(asking)

    def begin(self, turn=None):
        """Ask, and wait for nothing."""
        heard = []
        return asyncio.create_task(self.hear(turn or a_turn(), heard)), heard

    async def hear(self, turn, heard):
        async with aclosing(self.model.stream(turn)) as batches:
            async for batch in batches:
                heard.extend(batch)

    def take_out(self, at):
        """Let the (touchy) breaker of a line open."""
        breaker, now = self.lines[at].breaker, self.clock.monotonic()
        breaker.record(breaker.admit(now), "connect_failure", now)
        assert breaker.state == "open"

    def nothing_is_held(self):
        """Every permit, place and ticket was given back, no stream is open, and nobody waits for a time."""
        for line in self.lines:
            assert line.breaker.out == 0
            assert (line.budget.traffic.calls, line.budget.traffic.retries) == (0, 0)
            assert line.queue is None or (line.queue.admission.running, line.queue.admission.waiting) == (0, 0)
        assert [model.open for model in self.models] == [0] * len(self.models)
        assert self.clock.waiting == []


def a_turn(**fields):
    """A turn, of a request of its own."""
    return Turn(**{"request": CreateResponse(input="Hi"), "items": [], **fields})


async def settle():
    """Let all tasks go as far as they can."""
    for _ in range(30):
        await asyncio.sleep(0)


async def leave(*tasks):
    """Let clients go."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def error_of(task):
    """The APIError that a task ends with, None if it ends well."""
    try:
        await task
    except APIError as error:
        return error
    return None


def texts(heard):
    """All text of what was heard."""
    return "".join(delta.text for delta in heard if isinstance(delta, Text))
