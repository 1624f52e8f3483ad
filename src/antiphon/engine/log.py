"""Log: what happened in one response, as the bytes of its stream.

The one object between the run that writes and the readers that follow. A log is a sequence of *chunks*; a chunk is
one or more whole SSE frames, and knows the sequence number of its first. Readers name their place by the number of the
next event that they want, so a reader that comes back later, or from another process, needs nothing else.

A chunk is visible when it is `committed`: for a stored response when the journal has it (rule 2), for an unstored one
at once. Finished stretches of a stored log leave the memory (`forget`); readers that are behind get them from the
store.
An unstored log has a bounded window instead: the run waits (`room`) while its reader is slow.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Awaitable, Callable

from antiphon.turn import frames
from antiphon.wire.errors import APIError, NotFound

ReadBack = Callable[[int], Awaitable[bytes]]
"""Reads from the store: the frames from the event with this number on, as many as one stored stretch holds."""

WINDOW = 256 * 1024
"""Bytes of an unstored log that its reader may be behind."""

BACKLOG = 1024 * 1024
"""Bytes of a stored log that the store may be behind."""


class Log:
    """The bytes of one response's events."""

    __slots__ = (
        "_chunks",
        "_firsts",
        "_room",
        "_waiters",
        "committed",
        "ended",
        "failure",
        "first",
        "next",
        "read_back",
        "size",
    )

    def __init__(self, *, next_number: int = 0, read_back: ReadBack | None = None) -> None:
        self.first = next_number
        """Number of the first event that is in memory."""
        self.next = next_number
        """Number that the next event will have."""
        self.committed = next_number
        """Events with a smaller number may be sent."""
        self.ended = False
        """Whether the last event is committed."""
        self.failure: APIError | None = None
        """Why the log cannot go on: the store failed, or another worker has the response."""
        self.size = 0
        """Bytes in memory."""
        self.read_back = read_back
        self._chunks: list[bytes] = []
        self._firsts: list[int] = []
        self._waiters: list[asyncio.Future[None]] = []
        self._room: asyncio.Future[None] | None = None

    # The writing side

    def append(self, data: bytes, count: int) -> None:
        """Add `count` frames. They are not visible before they are committed."""
        self._firsts.append(self.next)
        self._chunks.append(data)
        self.next += count
        self.size += len(data)

    def commit(self, upto: int, *, ended: bool) -> None:
        """Make the events below `upto` visible and wake the readers."""
        self.committed = upto
        self.ended = ended
        self._wake()

    def fail(self, error: APIError) -> None:
        """The log cannot go on. What is not committed is dropped; readers get the error after what is."""
        keep = bisect_left(self._firsts, self.committed)
        self.size -= sum(map(len, self._chunks[keep:]))
        del self._chunks[keep:], self._firsts[keep:]
        self.next = self.committed
        self.failure = error
        self._wake()
        self._make_room()

    def since(self, number: int) -> bytes:
        """All bytes in memory from the event `number` on, committed or not. `number` begins a chunk, or is `next`."""
        return b"".join(self._chunks[bisect_left(self._firsts, number) :])

    def forget(self, upto: int) -> None:
        """Drop the chunks below `upto`, which begins one, from memory: the store has them, or nobody wants them."""
        keep = bisect_left(self._firsts, upto)
        self.size -= sum(map(len, self._chunks[:keep]))
        del self._chunks[:keep], self._firsts[:keep]
        self.first = self._firsts[0] if self._firsts else self.next
        self._make_room()

    @property
    def is_full(self) -> bool:
        """Whether the run should wait before it says more."""
        return self.size > (WINDOW if self.read_back is None else BACKLOG)

    async def room(self) -> None:
        """Wait until the reader of an unstored log, or the store of a stored one, has taken what there is."""
        while self.is_full and self.failure is None:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    # The reading side

    async def until_end(self) -> None:
        """Wait until the last event is committed. Raises the APIError that stopped the log."""
        while not self.ended:
            if self.failure is not None:
                raise self.failure
            await self._wait()

    async def follow(self, number: int = 0) -> AsyncIterator[bytes]:
        """All frames from the event `number` on: first what there is, then what comes, until the end.

        Raises the APIError that stopped the log.
        """
        while True:
            if number < self.first:
                data, number = await self._from_store(number)
                yield data
            elif number < self.committed:
                data, number = self._visible(number)
                yield data
                self._taken(number)
            elif self.failure is not None:
                raise self.failure
            elif self.ended:
                return
            else:
                await self._wait()

    def _visible(self, number: int) -> tuple[bytes, int]:
        firsts, chunks = self._firsts, self._chunks
        at = bisect_right(firsts, number) - 1
        end = bisect_left(firsts, self.committed)
        data = chunks[at] if end - at == 1 else b"".join(chunks[at:end])
        return frames.skip(data, number - firsts[at]), self.committed

    async def _from_store(self, number: int) -> tuple[bytes, int]:
        assert self.read_back is not None, "only a stored log leaves the memory"
        data = await self.read_back(number)
        if not data:
            raise NotFound("This response was deleted.", code="response_not_found")
        return data, number + frames.count(data)

    def _taken(self, number: int) -> None:
        if self.read_back is None:
            self.forget(number)

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
