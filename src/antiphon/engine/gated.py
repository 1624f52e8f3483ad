"""Gated: a model whose words are judged before they are said.

A moderator that answers at once judges each batch. One that takes its time judges a window while reading goes on, until
so much is held back that the upstream has to wait. A hit closes the upstream at once; the answer ends as `incomplete`
with `content_filter`, and what was let through stays. Where nothing is to be judged there is no gate.

Who only scores holds no word back, and no upstream: the end of the response alone waits for what is found.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

import msgspec

from antiphon.engine.around import Around
from antiphon.engine.moderation import Moderation, Panel, Plan, moderation_of
from antiphon.policy.gate import Gate
from antiphon.policy.strings import strings_of
from antiphon.policy.verdict import CLEAN, Account, Verdict, account_of, merged
from antiphon.policy.weight import estimated, read
from antiphon.ports import Model
from antiphon.tokens import estimate
from antiphon.turn.deltas import Delta, Finished, Settled, Usage
from antiphon.turn.input import Turn
from antiphon.wire.errors import APIError

__all__ = ["Gated"]

MOST_HELD = 16 * 1024
"""Characters that are held back, beside four windows, before the upstream has to wait for a verdict."""

_EVERYTHING = 2**62
"""A window that is never full."""


class Gated(Around):
    """A model behind the gate."""

    def __init__(self, inner: Model, moderation: Moderation) -> None:
        super().__init__(inner)
        self._moderation = moderation

    def stream(self, turn: Turn) -> AsyncGenerator[list[Delta], None]:
        """Say one turn, as far as it may be said."""
        if turn.judges:
            return self.inner.stream(turn)
        plan = self._moderation.plan(turn.request, relays=self.inner.relays)
        if plan is None:
            return self.inner.stream(turn)
        if plan.is_ours:
            turn = msgspec.structs.replace(turn, request=msgspec.structs.replace(turn.request, moderation=None))
        return _moderated(self.inner, turn, plan)


async def _moderated(model: Model, turn: Turn, plan: Plan) -> AsyncGenerator[list[Delta], None]:
    async with aclosing(Scored(plan.output.scores, turn)) as scored:
        end: list[Delta] = []
        async with aclosing(model.stream(turn)) as batches:
            held = _held(batches, turn, plan.output.blocks)
            async with aclosing(batches if held is None else held.batches()) as passing:
                async for batch in passing:
                    words, end = _parted(batch)
                    scored.hear(words)
                    yield words
                    if end:
                        break
        # The upstream is closed by now: it waits for no verdict.
        if held is not None and held.gate.is_cut:
            words = held.gate.release()
            end = [Finished("content_filter")]
            scored.hear(words)
            yield [
                *words,
                held.gate.usage or Usage(estimated(read(turn.items, turn.request), estimate(held.gate.taken))),
            ]
        if end:
            verdict = merged([CLEAN if held is None else held.verdict, await scored.verdict()])
            yield [*_told(turn, plan, verdict), *end]


def _held(batches: AsyncIterator[list[Delta]], turn: Turn, panel: Panel | None) -> Held | None:
    if panel is None:
        return None
    held = Held(batches, panel, account_of(turn))
    if turn.prefix is not None:
        held.gate.follow("".join(strings_of(turn.prefix)))
    return held


def _parted(batch: list[Delta]) -> tuple[list[Delta], list[Delta]]:
    """What is said, and the end: `Finished`, with what comes behind it."""
    place = next((place for place, delta in enumerate(batch) if type(delta) is Finished), len(batch))
    return batch[:place], batch[place:]


def _told(turn: Turn, plan: Plan, verdict: Verdict) -> list[Delta]:
    """What the Response says of its moderation. What an upstream was asked for is the upstream's to say."""
    if plan.is_theirs and not verdict.is_flagged:
        return []
    return [Settled({"moderation": moderation_of(plan, turn.moderated, verdict)})]


class Scored:
    """Who only scores: judges the input while it is answered, hears all that is said, and judges that at the end."""

    def __init__(self, panel: Panel | None, turn: Turn) -> None:
        """`panel` judges what is said; for the input there is `turn.moderated.scoring`."""
        self._panel = panel
        self._turn = turn
        self._gate = Gate(overlap=0, window=_EVERYTHING)
        scoring = turn.moderated.scoring
        self._input = None if scoring is None else asyncio.ensure_future(scoring(turn))

    def hear(self, batch: Sequence[Delta]) -> None:
        """Listen."""
        if self._panel is not None:
            self._gate.feed(batch)

    async def verdict(self) -> Verdict:
        """Judge all that was said, and wait for what is found in the input."""
        found = CLEAN
        if self._panel is not None:
            self._gate.finish()
            found = await self._panel.verdict(self._gate.ask(), account=account_of(self._turn))
        if self._input is not None:
            self._turn.moderated.input, self._turn.moderated.scoring = await self._input, None
        return found

    async def aclose(self) -> None:
        """Wait for nothing any more."""
        if self._input is not None:
            self._input.cancel()
            await asyncio.gather(self._input, return_exceptions=True)


class Held:
    """An answer behind a gate, while its upstream is read and its moderators judge."""

    def __init__(self, batches: AsyncIterator[list[Delta]], panel: Panel, account: Account | None = None) -> None:
        self.gate = Gate(overlap=panel.overlap, window=panel.window)
        self.verdict = CLEAN
        """All that was found."""
        self._batches = batches
        self._panel = panel
        self._account = account
        self._most = MOST_HELD + 4 * panel.window
        self._reading: asyncio.Task[list[Delta] | None] | None = None
        self._judging: asyncio.Future[Verdict] | None = None
        self._is_read = False
        self._error: APIError | None = None

    async def batches(self) -> AsyncGenerator[list[Delta], None]:
        """What may be said. The first batch, empty or not, comes as soon as the upstream has accepted; if it refuses,
        none comes.

        After a hit there are no more; what the gate still lets out is the caller's to say.
        """
        is_first = True
        try:
            while not self._is_over:
                await self._step()
                if self.gate.is_cut:
                    return
                if (out := self.gate.release()) or (is_first and not self._is_read):
                    yield out
                is_first = False
        finally:
            await self._stop()
        if self._error is not None:
            raise self._error

    @property
    def _is_over(self) -> bool:
        return self.gate.is_cut or (self._is_read and self._judging is None)

    async def _step(self) -> None:
        """Hear the next batch, or a verdict, whichever is first."""
        if self._judging is None and self._reading is None:
            self._take(await self._read())
        else:
            await self._either()
        self._ask()

    async def _either(self) -> None:
        if self._reading is None and not self._is_read and self.gate.held < self._most:
            self._reading = asyncio.create_task(self._read())
        waiting = [future for future in (self._reading, self._judging) if future is not None]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if self._judging is not None and self._judging.done():
            judged, self._judging = self._judging, None
            self._settle(judged.result())
        if self._reading is not None and self._reading.done():
            read, self._reading = self._reading, None
            self._take(read.result())

    async def _read(self) -> list[Delta] | None:
        """The next batch, None at the end. A failure is the end too: what was said before it is judged first."""
        try:
            return await anext(self._batches, None)
        except APIError as error:
            self._error = error
            return None

    def _take(self, batch: list[Delta] | None) -> None:
        if batch is None:
            self._is_read = True
            self.gate.finish()
        else:
            self.gate.feed(batch)

    def _ask(self) -> None:
        while self._judging is None and (passages := self.gate.ask()):
            found = self._panel.judge(passages, account=self._account)
            if isinstance(found, Verdict):
                self._settle(found)
            else:
                self._judging = asyncio.ensure_future(found)

    def _settle(self, verdict: Verdict) -> None:
        self.verdict = merged([self.verdict, verdict])
        self.gate.settle(verdict)

    async def _stop(self) -> None:
        """Wait for nothing any more."""
        pending = [future for future in (self._reading, self._judging) if future is not None]
        for future in pending:
            future.cancel()
        if pending:
            await asyncio.wait(pending)
