"""Journal: group commit. Nothing is sent that is not in the store first (rule 2), and one commit serves all streams.

While one commit runs, everything that is said gathers for the next: no timer, no queue. A commit appends **one
segment** with the new chunks of all running responses. Segments are only for the day after a crash; nobody reads them
while the process lives. When a response ends, or has much in memory, its chunks are written once more as one
*stretch*, which is what late readers get, and its part of the segments is spent.
"""

from __future__ import annotations

import asyncio
import logging

from antiphon.engine.log import Log
from antiphon.ports import Batch, Change, Chunk, Store, Written
from antiphon.wire.errors import APIError, Conflict, ServerError

_log = logging.getLogger(__name__)

SPILL = 256 * 1024
"""Bytes of one log that stay in memory before they are written as a stretch and forgotten."""

LAG = 4096
"""Segments that a slow log may hold back from being dropped."""


class Entry:
    """A log that is written to the journal, and how far it is."""

    __slots__ = ("ended", "fence", "key", "log", "segment", "sent", "stretched")

    def __init__(self, key: int, log: Log, fence: int = 0) -> None:
        self.key = key
        self.log = log
        self.fence = fence
        self.sent = log.next
        """Events below this number were handed to the store."""
        self.stretched = log.next
        """Events below this number are in stretches."""
        self.segment: int | None = None
        """The oldest segment that this log needs."""
        self.ended = False


class Journal:
    """Writes logs through a store, many in one commit."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._dirty: dict[Entry, None] = {}
        self._changes: list[Change] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._busy = False
        self._pinned: dict[Entry, None] = {}
        """Entries that need segments, oldest need first."""
        self._last_segment = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def append(self, entry: Entry, frames: bytes, count: int, *, ended: bool = False) -> None:
        """Add frames to a log; they become visible when they are committed. `ended`: they are the last."""
        if frames:
            entry.log.append(frames, count)
        entry.ended = ended
        self._dirty[entry] = None
        self._kick()

    def note(self, change: Change) -> None:
        """Write a change with the next commit, before the chunks that were appended after it."""
        self._changes.append(change)
        self._kick()

    async def barrier(self) -> None:
        """Wait until all that was handed over is committed. Raises Unavailable if the store could not."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._kick()
        await waiter

    async def idle(self) -> None:
        """Wait until nothing is left to write."""
        await self._idle.wait()

    def _kick(self) -> None:
        if not self._busy:
            self._busy = True
            self._idle.clear()
            asyncio.get_running_loop().call_soon(self._commit)

    def _commit(self) -> None:
        dirty, self._dirty = list(self._dirty), {}
        waiters, self._waiters = self._waiters, []
        batch = Batch(spent=self._spent())
        batch.changes, self._changes = self._changes, []
        upto = [self._gather(entry, batch) for entry in dirty]
        written = self._store.write(batch)
        written.add_done_callback(lambda done: self._committed(done, dirty, upto, waiters))

    def _gather(self, entry: Entry, batch: Batch) -> int:
        """Put what is new of a log into the batch. Returns how far the log will be committed."""
        log = entry.log
        late = entry.segment is not None and self._last_segment - entry.segment > LAG
        if entry.ended or log.size > SPILL or late:
            batch.stretches.append(Chunk(entry.key, entry.stretched, log.since(entry.stretched), entry.fence))
            entry.stretched = log.next
        else:
            batch.chunks.append(Chunk(entry.key, entry.sent, log.since(entry.sent), entry.fence))
        entry.sent = log.next
        return log.next

    def _committed(
        self,
        done: asyncio.Future[Written],
        dirty: list[Entry],
        upto: list[int],
        waiters: list[asyncio.Future[None]],
    ) -> None:
        error = _api_error(done.exception())
        if error is None:
            written = done.result()
            self._last_segment = max(self._last_segment, written.segment)
            for entry, number in zip(dirty, upto, strict=True):
                self._advance(entry, number, written)
        else:
            for entry in dirty:
                self._pinned.pop(entry, None)
                entry.log.fail(error)
        for waiter in waiters:
            if not waiter.done():
                waiter.set_exception(error) if error else waiter.set_result(None)
        self._next()

    def _advance(self, entry: Entry, upto: int, written: Written) -> None:
        if entry.key in written.fenced:
            self._pinned.pop(entry, None)
            entry.log.fail(Conflict("Another worker has taken this response over."))
            return
        if entry.stretched >= upto:
            entry.segment = None
            self._pinned.pop(entry, None)
        elif entry.segment is None:
            entry.segment = written.segment
            self._pinned[entry] = None
        entry.log.commit(upto, ended=entry.ended and upto == entry.log.next)
        if entry.stretched >= upto and not entry.ended:
            entry.log.forget(upto)

    def _next(self) -> None:
        if self._dirty or self._changes or self._waiters:
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
