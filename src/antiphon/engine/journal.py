"""Journal: group commit. Nothing is sent that is not in the store first (rule 2), and one commit serves all streams.

While one commit runs, everything that is said gathers for the next: no timer, no queue. A commit appends **one
segment** with the new chunks of all running responses. Segments are only for the day after a crash; nobody reads them
while the process lives. When a response ends, or has much in memory, its chunks are written once more as one
*stretch*, which is what late readers get, and its part of the segments is spent.

An entry is *settled* when nothing of its log is left to write: it ended, its worker left it, or another took it. When
a commit fails, the logs in it are *broken*: their readers get the error after what was committed, nothing is added
any more, and what was committed stays pinned in its segments until `rescue` could write it as a stretch. Then, and
not before, whoever takes the response over finds its whole log.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from antiphon.engine.log import Log
from antiphon.ports import Batch, Change, Chunk, Store, Written
from antiphon.wire.errors import APIError, Conflict, ServerError

_log = logging.getLogger(__name__)

SPILL = 256 * 1024
"""Bytes of one log that stay in memory before they are written as a stretch and forgotten."""

LAG = 4096
"""Segments that a slow log may hold back from being dropped."""


PATIENCE = 0.05
"""Seconds that words may wait for their commit when nobody reads them before the answer is whole."""


class Entry:
    """A log that is written to the journal, and how far it is."""

    __slots__ = (
        "changes",
        "ended",
        "fence",
        "key",
        "leaving",
        "log",
        "on_broken",
        "on_settled",
        "segment",
        "sent",
        "settled",
        "stretched",
    )

    def __init__(self, key: int, log: Log, fence: int = 0) -> None:
        self.key = key
        self.log = log
        self.fence = fence
        self.changes: list[Change] = []
        """What is written together with the chunks that are not yet handed over."""
        self.sent = log.next
        """Events below this number were handed to the store."""
        self.stretched = log.next
        """Events below this number are in stretches."""
        self.segment: int | None = None
        """The oldest segment that this log needs."""
        self.ended = False
        self.leaving: APIError | None = None
        """What readers are told when the worker leaves a log that has not ended."""
        self.settled = False
        self.on_broken: Callable[[], None] | None = None
        """Called when the log cannot go on."""
        self.on_settled: Callable[[], None] | None = None


class _Part(NamedTuple):
    """What of a log goes into a commit."""

    entry: Entry
    upto: int
    is_stretch: bool
    is_last: bool


class Journal:
    """Writes logs through a store, many in one commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._dirty: dict[Entry, None] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._busy = False
        self._pinned: dict[Entry, None] = {}
        """Entries that need segments, oldest need first."""
        self._broken: dict[Entry, None] = {}
        self._last_segment = 0
        self._dropped = 1
        """Segments below this number are dropped."""
        self._timer: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def append(
        self,
        entry: Entry,
        frames: bytes,
        count: int,
        changes: Sequence[Change] = (),
        *,
        ended: bool = False,
        patient: bool = False,
    ) -> None:
        """Add frames to a log; they become visible when they are committed, together with the changes.

        `ended`: they are the last. `patient`: nobody waits for them, a later commit will do. What comes for a log that
        cannot go on is dropped.
        """
        if entry.log.failure is not None:
            return
        if frames:
            entry.log.append(frames, count)
        entry.changes += changes
        entry.ended = entry.ended or ended
        self._dirty[entry] = None
        self._kick(patient=patient)

    def leave(self, entry: Entry, error: APIError) -> None:
        """Put a log that has not ended away, for another to go on with. Readers get `error` after what was said."""
        if entry.log.failure is None and not entry.ended:
            entry.leaving = error
            self._dirty[entry] = None
            self._kick()

    def barrier(self, *, patient: bool = False) -> asyncio.Future[None]:
        """Done when all that was handed over is committed. It has the error, Unavailable, if the store could not."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self._busy and not self._dirty and self._spent() <= self._dropped:
            waiter.set_result(None)
            return waiter
        self._waiters.append(waiter)
        self._kick(patient=patient)
        return waiter

    @property
    def backlog(self) -> int:
        """Logs in which something was said that no commit has taken up yet."""
        return len(self._dirty)

    async def idle(self) -> None:
        """Wait until nothing is left to write."""
        await self._idle.wait()

    async def rescue(self) -> None:
        """Write what was committed of broken logs as stretches. Raises Unavailable while the store cannot.

        Each is a commit of its own: a log that was broken once does not break others.
        """
        for entry in list(self._broken):
            chunk = Chunk(entry.key, entry.stretched, entry.log.since(entry.stretched), entry.fence)
            await self._store.write(Batch(stretches=[chunk]))
            self._broken.pop(entry, None)
            self._settle(entry)

    # Commits

    def _kick(self, *, patient: bool = False) -> None:
        """See to it that there is a commit: at once, or before long."""
        if self._busy:
            return
        self._idle.clear()
        loop = asyncio.get_running_loop()
        if not patient:
            self._busy = True
            loop.call_soon(self._commit)
        elif self._timer is None:
            self._timer = loop.call_later(PATIENCE, self._kick)

    def _commit(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._touch_late()
        dirty, self._dirty = self._dirty, {}
        waiters, self._waiters = self._waiters, []
        batch = Batch(spent=self._spent())
        parts = [self._gather(entry, batch) for entry in dirty]
        written = self._store.write(batch)
        written.add_done_callback(lambda done: self._committed(done, parts, waiters, batch.spent))

    def _touch_late(self) -> None:
        """Have the logs that hold back old segments write a stretch, also when nothing new was said in them."""
        for entry in self._pinned:
            if not self._is_late(entry):
                break
            if entry.log.failure is None:
                self._dirty[entry] = None

    def _is_late(self, entry: Entry) -> bool:
        return entry.segment is not None and self._last_segment - entry.segment > LAG

    def _gather(self, entry: Entry, batch: Batch) -> _Part:
        """Put what is new of a log into the batch."""
        log = entry.log
        batch.changes += entry.changes
        entry.changes = []
        is_last = entry.ended or entry.leaving is not None
        is_stretch = is_last or log.size > SPILL or self._is_late(entry)
        if is_stretch:
            batch.stretches.append(Chunk(entry.key, entry.stretched, log.since(entry.stretched), entry.fence))
        else:
            batch.chunks.append(Chunk(entry.key, entry.sent, log.since(entry.sent), entry.fence))
        entry.sent = log.next
        return _Part(entry, log.next, is_stretch, is_last)

    def _committed(
        self,
        done: asyncio.Future[Written],
        parts: Sequence[_Part],
        waiters: Sequence[asyncio.Future[None]],
        spent: int,
    ) -> None:
        error = _api_error(done.exception())
        if error is None:
            written = done.result()
            self._last_segment = max(self._last_segment, written.segment)
            self._dropped = max(self._dropped, spent)
            for part in parts:
                self._advance(part, written)
        else:
            for part in parts:
                self._break(part.entry, error)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error) if error else waiter.set_result(None)
        self._next()

    def _advance(self, part: _Part, written: Written) -> None:
        entry, log = part.entry, part.entry.log
        if entry.key in written.fenced:
            self._break(entry, Conflict("Another worker has taken this response over."), fenced=True)
            return
        if part.is_stretch:
            entry.stretched = part.upto
            entry.segment = None
            self._pinned.pop(entry, None)
        elif entry.segment is None and part.upto > entry.stretched:
            entry.segment = written.segment
            self._pinned[entry] = None
        log.commit(part.upto, ended=part.is_last and entry.leaving is None)
        if part.is_last:
            if entry.leaving is not None:
                log.fail(entry.leaving)
            self._settle(entry)
        elif part.is_stretch:
            log.forget(part.upto)

    def _break(self, entry: Entry, error: APIError, *, fenced: bool = False) -> None:
        """A log cannot go on. What readers may have seen of it is kept, unless it has become another's."""
        entry.log.fail(error)
        entry.changes = []
        self._dirty.pop(entry, None)
        if entry.log.next > entry.stretched and not fenced:
            self._broken[entry] = None
        else:
            self._settle(entry)
        if entry.on_broken is not None:
            entry.on_broken()

    def _settle(self, entry: Entry) -> None:
        self._pinned.pop(entry, None)
        entry.settled = True
        if entry.on_settled is not None:
            entry.on_settled()

    def _next(self) -> None:
        if self._dirty or self._waiters:
            self._commit()
        else:
            self._busy = False
            self._idle.set()

    def _spent(self) -> int:
        """Segments below this number hold nothing that a running log needs."""
        for entry in self._pinned:
            return entry.segment or 0
        return self._last_segment + 1


def _api_error(error: BaseException | None) -> APIError | None:
    """What a reader is told of a commit that failed."""
    if error is None or isinstance(error, APIError):
        return error
    _log.error("a commit failed", exc_info=error)
    return ServerError("The server could not write its journal.")
