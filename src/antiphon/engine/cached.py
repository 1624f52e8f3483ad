"""The response cache: an answer that was given is given again, and one that is being given is given to all who ask.

`Answers` is what all models share: the answers that were kept, and those that are on their way. `Cached` is a model
around another one; it works turn by turn, on what the model says, so that a hit gets its own ids and numbers, its own
journal and log, as any answer does. What a gate inside withheld was never heard here.

**Kept** is what `antiphon.policy.repeat` allows: whole answers that depend on nothing but the request. A cache that
cannot be read is a miss, and one that cannot be written keeps nothing: no request fails of it.

**A flight** is one call of the model that several equal turns follow. Its attempts are on the bill of one of them, who
pays: the first, and when that one leaves before the end, the next. A flight begins with the look-up, and ends when its
answer is where the next look-up finds it, so that no request falls between. Who comes later hears what was said before,
then the rest.

* It is read no faster than the fastest follower wants it. What a slower one has not heard stays in memory, once for
  all of them: at most the answer.
* Who leaves stops nobody; when the last one leaves, the upstream is closed.
* A failure is everybody's, before the first words too: the retries were made inside. Only a refusal of what a follower
  did not ask (their requests may differ in what shapes no answer, such as `metadata`) lets that one go on with another
  flight, which again is one for all who are left.
* Each follower's own deadline ends only its own response; the flight has the latest of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial, reduce
from typing import Final, Literal

import msgspec

from antiphon.engine.around import Around
from antiphon.policy.cache_key import SILENT, cache_key
from antiphon.policy.repeat import Recording, has_answer_for_others
from antiphon.ports import Clock, Model, ResponseCache
from antiphon.turn.codec import Answer, Unreadable, decode_answer, encode_answer
from antiphon.turn.deltas import Delta, Finished, Usage
from antiphon.turn.input import Turn
from antiphon.turn.trace import Attempt, Trace, served_by
from antiphon.turn.usage import added
from antiphon.wire.errors import APIError, RateLimited, Unavailable
from antiphon.wire.response import Usage as UsageFigures

__all__ = ["Answers", "CacheOptions", "CacheStatistics", "Cached"]

_log = logging.getLogger(__name__)

Mark = Literal["hit", "miss", "shared"]

AHEAD: Final = 16
"""Batches that a flight may be ahead of its fastest follower."""

AT_ONCE: Final = 64
"""Deltas of a kept answer that are said in one batch: it is not paced as the original was."""

_COST: Final = ("", "hit", "shared", "miss")
"""Marks, those that cost more behind those that cost less."""

_ASKED_FOR_ITSELF: Final = sorted(SILENT - {"model", "input", "previous_response_id", "conversation"})
"""Parameters in which the followers of a flight may differ."""


class CacheOptions(msgspec.Struct, frozen=True):
    """How the response cache behaves."""

    ttl: float = 3600.0
    """Seconds that an answer is kept."""
    max_entry_bytes: int = 2**20
    """What is longer is not kept."""
    models: frozenset[str] = frozenset()
    """The names of the models that are served; none named: all."""
    projects: frozenset[str] = frozenset()
    """Whose answers are kept and shared; none named: everybody's."""

    def keeps(self, model: str) -> bool:
        """Whether the answers of a model are kept and shared."""
        return not self.models or model in self.models


class CacheStatistics(msgspec.Struct):
    """What the cache has done since the start. Counted by turns: a response with hosted tools has several."""

    hits: int = 0
    misses: int = 0
    shared: int = 0
    stored: int = 0
    unreadable: int = 0
    """Entries that were damaged and have been removed."""
    failures: int = 0
    """Look-ups and writes that the store could not do."""
    saved: UsageFigures = msgspec.field(default_factory=UsageFigures)
    """Tokens that did not have to be paid for."""


class Answers:
    """The answers that may be said again, and those that are being said."""

    def __init__(self, cache: ResponseCache, clock: Clock, options: CacheOptions) -> None:
        self.options = options
        self.statistics = CacheStatistics()
        self._cache = cache
        self._clock = clock
        self._flights: dict[bytes, _Flight] = {}

    def serves(self, turn: Turn) -> bool:
        """Whether the cache may do anything for a turn."""
        is_ours = not self.options.projects or turn.project in self.options.projects
        return is_ours and turn.cache != "off" and has_answer_for_others(turn)

    def flight(self, model: Model, turn: Turn, key: bytes) -> _Flight:
        """The flight of an equal turn that is under way, or a new one."""
        flight = self._flights.get(key)
        if flight is not None and turn.cache == "use" and not flight.has_failed and not flight.is_short:
            return flight
        made = _Flight(self, model, turn, key)
        if flight is None or flight.has_failed:
            self._flights[key] = made
        return made

    def forget(self, flight: _Flight) -> None:
        """Let nobody else follow a flight."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]

    async def find(self, project: str, key: bytes) -> Answer | None:
        """The answer that is kept under a key."""
        try:
            data = await self._cache.get(project, key)
            return None if data is None else decode_answer(data)
        except APIError as error:
            self._fail("looked up", error)
        except Unreadable as error:
            _log.warning("an answer in the cache is damaged, and is removed: %s", error)
            self.statistics.unreadable += 1
            self._cache.remove(project, key).add_done_callback(partial(self._wrote, "removed"))
        return None

    def keep(self, flight: _Flight, answer: Answer) -> bool:
        """Write an answer down; when that is done, the flight is forgotten. False if it is too long."""
        data = encode_answer(answer)
        if len(data) > self.options.max_entry_bytes:
            return False
        put = self._cache.put(flight.turn.project, flight.key, data, self._clock.now() + self.options.ttl)
        put.add_done_callback(lambda done: self._kept(flight, done))
        return True

    def _kept(self, flight: _Flight, done: asyncio.Future[None]) -> None:
        self.forget(flight)
        self.statistics.stored += self._wrote("kept", done)

    def _wrote(self, done: str, future: asyncio.Future[None]) -> bool:
        error = None if future.cancelled() else future.exception()
        if isinstance(error, APIError):
            self._fail(done, error)
        elif error is not None:
            _log.error("an answer could not be %s", done, exc_info=error)
        return error is None

    def _fail(self, done: str, error: APIError) -> None:
        self.statistics.failures += 1
        _log.warning("an answer could not be %s in the cache: %s", done, error.message)


class Cached(Around):
    """A model whose answers are given again."""

    def __init__(self, inner: Model, answers: Answers, identity: bytes) -> None:
        """`identity` stands for everything that is configured and shapes what the model inside says."""
        super().__init__(inner)
        self.answers = answers
        self._identity = identity

    def stream(self, turn: Turn) -> AsyncGenerator[list[Delta], None]:
        """Say one turn, again if it was said before."""
        return self._stream(turn) if self.answers.serves(turn) else self.inner.stream(turn)

    async def _stream(self, turn: Turn) -> AsyncGenerator[list[Delta], None]:
        key = cache_key(turn, self._identity)
        is_said = False
        while not is_said:
            flight = self.answers.flight(self.inner, turn, key)
            follower = flight.join(turn)
            try:
                while (batch := await flight.next(follower)) is not None:
                    yield batch
                is_said = True
            except APIError as error:
                if not _is_anothers(error, flight, follower):
                    raise
            finally:
                await flight.leave(follower)


def _is_anothers(error: APIError, flight: _Flight, follower: _Follower) -> bool:
    """Whether a failure may be of what only the flight's maker asked for: a refusal, with other words on the side."""
    if error.status >= 500 or isinstance(error, RateLimited) or flight.batches:
        return False
    mine, theirs = follower.turn.request, flight.turn.request
    return any(getattr(mine, name) != getattr(theirs, name) for name in _ASKED_FOR_ITSELF)


class _Follower:
    """A turn that follows a flight."""

    __slots__ = ("at", "turn")

    def __init__(self, turn: Turn) -> None:
        self.turn = turn
        self.at = 0
        """How many batches it has heard."""


class _Flight:
    """One call of a model for all equal turns."""

    def __init__(self, answers: Answers, model: Model, turn: Turn, key: bytes) -> None:
        self.key = key
        self.turn = msgspec.structs.replace(turn, trace=turn.trace.alone())
        """What the model is asked: the first follower's turn, with the latest deadline of all, and its own trace."""
        self.batches: list[list[Delta]] = []
        self.is_over = False
        """Whether the end of the answer was heard."""
        self._answers = answers
        self._model = model
        self._followers: list[_Follower] = []
        self._payer: _Follower | None = None
        self._mark: Mark = "miss"
        self._kept: Answer | None = None
        """What was found."""
        self._found = asyncio.Event()
        """Set when the cache was looked up."""
        self._news = asyncio.Event()
        self._wanted = asyncio.Event()
        self._task = asyncio.create_task(self._fly())
        self._task.add_done_callback(self._landed)

    @property
    def has_failed(self) -> bool:
        """Whether the call has ended without an answer; it may not be forgotten yet."""
        return self._task.done() and (self._task.cancelled() or self._task.exception() is not None)

    @property
    def is_short(self) -> bool:
        """Whether its answer may be shorter than another's: its maker has less money than it asked for."""
        allowance = self.turn.allowance
        return allowance is not None and allowance.is_short

    # Followers

    def join(self, turn: Turn) -> _Follower:
        """Follow from the beginning."""
        follower = _Follower(turn)
        self._followers.append(follower)
        self._payer = self._payer or follower
        ends = (self.turn.deadline, turn.deadline)
        self.turn.deadline = None if None in ends else max(end for end in ends if end is not None)
        self._wanted.set()
        return follower

    async def next(self, follower: _Follower) -> list[Delta] | None:
        """The next batch; None after the last. Raises the failure of the call, when all before it was heard."""
        if follower.at == 0:
            await self._found.wait()
            self._tell(follower)
        while follower.at == len(self.batches):
            if self._task.done():
                self._end()
                return None
            await self._news.wait()
        batch = self.batches[follower.at]
        follower.at += 1
        self._wanted.set()
        return batch

    async def leave(self, follower: _Follower) -> None:
        """Follow no longer. When nobody follows, the call is ended, and its upstream closed."""
        self._followers.remove(follower)
        self._settle(follower)
        if follower is self._payer:
            self._pay(follower)
        self._wanted.set()
        if self._followers:
            return
        if not self.is_over:
            self._answers.forget(self)
            self._task.cancel()
        if not self._task.done():
            await asyncio.wait([self._task])

    def _end(self) -> None:
        """What comes after the last batch: nothing, or the failure."""
        if self._task.cancelled():
            raise Unavailable("The server is stopping.", retry_after=1)
        self._task.result()

    # What it costs whom

    def _mark_of(self, follower: _Follower) -> Mark:
        return "shared" if self._mark == "miss" and follower is not self._payer else self._mark

    def _tell(self, follower: _Follower) -> None:
        """Note for people what the cache does for a follower."""
        mark = self._mark_of(follower)
        _note(follower.turn.trace, mark)
        statistics = self._answers.statistics
        statistics.hits += mark == "hit"
        statistics.misses += mark == "miss"
        statistics.shared += mark == "shared"

    def _settle(self, follower: _Follower) -> None:
        """Note what a follower has heard and need not pay for."""
        heard = self.batches[: follower.at]
        if not heard or self._mark_of(follower) == "miss":
            return
        told = [delta.usage for batch in heard for delta in batch if type(delta) is Usage]
        upstream, model = self._source
        reused = Attempt(upstream, model, 0.0, outcome="completed", usage=reduce(added, told) if told else None)
        follower.turn.trace.reused.append(reused)
        statistics = self._answers.statistics
        statistics.saved = reduce(added, told, statistics.saved)

    @property
    def _source(self) -> tuple[str, str]:
        """The upstream and the model that the answer is from."""
        if self._kept is not None:
            return self._kept.upstream, self._kept.model
        served = served_by(self.turn.trace.attempts)
        return (served.upstream, served.model) if served is not None else ("", self._model.name)

    def _pay(self, follower: _Follower) -> None:
        """The one who pays leaves: with all that there is to hear, or before, and then the next one pays."""
        has_all = (self.is_over or self.has_failed) and follower.at == len(self.batches)
        if self._followers and not has_all:
            self._payer = self._followers[0]
            if self._found.is_set() and self._mark == "miss":
                _note(self._payer.turn.trace, "miss")
            return
        trace, own = follower.turn.trace, self.turn.trace
        trace.attempts += own.attempts
        trace.queued += own.queued

    # The call

    async def _fly(self) -> None:
        if self.turn.cache == "use":
            self._kept = await self._answers.find(self.turn.project, self.key)
        self._mark = "miss" if self._kept is None else "hit"
        self._found.set()
        if self._kept is None:
            await self._call()
        else:
            said = self._kept.deltas
            for at in range(0, len(said), AT_ONCE):
                self._hear(said[at : at + AT_ONCE])

    async def _call(self) -> None:
        recording = Recording()
        async with aclosing(self._model.stream(self.turn)) as batches:
            async for batch in batches:
                recording.hear(batch)
                self._hear(batch)
                if self.is_over:
                    break
                await self._pace()
        said = recording.answer
        if said is None or not self._answers.keep(self, Answer(said, *self._source)):
            self._answers.forget(self)

    def _hear(self, batch: list[Delta]) -> None:
        self.batches.append(batch)
        self.is_over = self.is_over or any(type(delta) is Finished for delta in batch)
        self._wake()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _pace(self) -> None:
        """Wait until somebody wants to hear on."""
        while max((follower.at for follower in self._followers), default=0) + AHEAD <= len(self.batches):
            self._wanted.clear()
            await self._wanted.wait()

    def _landed(self, _: asyncio.Task[None]) -> None:
        """The call has ended, one way or another."""
        if self.has_failed or self._mark == "hit":
            self._answers.forget(self)
        self._found.set()
        self._wake()


def _note(trace: Trace, mark: Mark) -> None:
    """Note what the cache did in a turn; of several turns what cost most stands."""
    if _COST.index(mark) > _COST.index(trace.cache):
        trace.cache = mark
