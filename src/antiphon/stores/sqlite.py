"""The SQLite store: one file in the data folder, one writer thread, and two that read.

Everything that changes the database runs on the writer thread, a batch at a time, each in one transaction. Reads have
a connection of their own (WAL: they see the last commit and wait for nobody), and sums over many rows another, so that
no other read waits for them.

Durability: `synchronous="normal"` survives the death of the process; `"full"` survives the loss of power too, at one
fsync a commit.

One server process owns the data folder: it holds a lock on `antiphon.lock` for as long as it lives.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Literal, TypeVar

import msgspec

from antiphon.ports import Batch, Begin, Chunk, End, Fact, Stored, Written
from antiphon.stores import ledger_sql, till_sql
from antiphon.stores import statements as sql
from antiphon.stores.ledger_rows import put_row
from antiphon.turn import frames
from antiphon.wire.errors import Unavailable

T = TypeVar("T")
Synchronous = Literal["normal", "full"]
Job = Callable[[sqlite3.Connection], Any]

DATABASE = "antiphon.db"
LOCK = "antiphon.lock"


class DataFolderInUse(Exception):
    """Another process owns the data folder; the message says which."""


class SQLiteStore:
    """`antiphon.ports.Store` on a file."""

    def __init__(
        self,
        folder: Path,
        *,
        synchronous: Synchronous = "normal",
        owner: str = "",
        now: Callable[[], float] = time.time,
        patience: float = 5.0,
    ) -> None:
        """`patience` is how many seconds a write waits for another process that holds the database."""
        self._folder = folder
        self._synchronous = synchronous
        self._patience = patience
        self._owner = owner
        self._now = now
        self._lock: IO[str] | None = None
        self._dropped = 0
        self._segment = 0

    # Life

    async def start(self) -> int:
        """Take the folder, open the database, put a dead process's segments in order. Returns the first free key.

        Raises DataFolderInUse, or Unavailable if the folder cannot be written or holds something else.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = _take_lock(self._folder / LOCK, self._owner)
        except OSError as error:
            raise Unavailable(f"The data folder {self._folder} cannot be used: {error.strerror}.") from error
        return await self._begin(self._prepare)

    async def join(self) -> None:
        """Open the database beside whoever owns it, for other tables than those of responses and their journals.

        Raises Unavailable as `start` does.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unavailable(f"The data folder {self._folder} cannot be used: {error.strerror}.") from error
        await self._begin(self._make)

    async def _begin(self, prepare: Callable[[sqlite3.Connection], T]) -> T:
        self._writer = _Thread(self._open, "antiphon-writer")
        self._reader = _Thread(self._open, "antiphon-reader")
        self._summer = _Thread(self._open, "antiphon-summer")
        try:
            return await self._writer.call(prepare)
        except BaseException as error:
            await self.aclose()
            if isinstance(error, Unavailable):
                raise Unavailable(f"The database {self._folder / DATABASE} cannot be used. {error.message}") from error
            raise

    async def aclose(self) -> None:
        """Write what was handed over, close the connections, give the folder back."""
        await self._writer.stop()
        await self._reader.stop()
        await self._summer.stop()
        if self._lock is not None:
            self._lock.close()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._folder / DATABASE, timeout=self._patience, isolation_level=None, cached_statements=256
        )
        try:
            for pragma in ("PRAGMA journal_mode = WAL", sql.PRAGMAS[self._synchronous], sql.CHECKPOINT):
                connection.execute(pragma)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _make(self, connection: sqlite3.Connection) -> None:
        """Bring the tables up to date."""
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > sql.VERSION:
            raise Unavailable(f"It was written by a newer version of Antiphon: its schema is {version}.")
        if version < sql.VERSION:
            for schema in (sql.SCHEMA, ledger_sql.SCHEMA, till_sql.SCHEMA):
                connection.executescript(schema)
            connection.execute(sql.SET_VERSION)

    def _prepare(self, connection: sqlite3.Connection) -> int:
        self._make(connection)
        with _Transaction(connection):
            self._segment = _settle_segments(connection)
        self._dropped = self._segment
        return int(connection.execute(sql.NEXT_KEY).fetchone()[0])

    # Writing

    def write(self, batch: Batch) -> asyncio.Future[Written]:
        """Commit a batch; see the port."""
        return self._writer.call(lambda connection: self._write(connection, batch))

    def _write(self, connection: sqlite3.Connection, batch: Batch) -> Written:
        with _Transaction(connection):
            fenced = _fenced(connection, [*batch.chunks, *batch.stretches])
            for change in batch.changes:
                if isinstance(change, Begin) or change.key not in fenced:
                    _apply(connection, change)
            stretches = [(c.key, c.first, c.data) for c in batch.stretches if c.data and c.key not in fenced]
            if stretches:
                connection.executemany(sql.ADD_STRETCH, stretches)
            chunks = [chunk for chunk in batch.chunks if chunk.data and chunk.key not in fenced]
            number = self._segment + 1
            if chunks:
                spans = msgspec.json.encode([(chunk.key, chunk.first, len(chunk.data)) for chunk in chunks])
                connection.execute(sql.ADD_SEGMENT, (number, spans, b"".join(chunk.data for chunk in chunks)))
            if batch.spent > self._dropped:
                connection.execute(sql.DROP_SEGMENTS, (batch.spent,))
        self._segment = number
        self._dropped = max(self._dropped, batch.spent)
        return Written(number, fenced)

    async def delete(self, project: str, response_id: str) -> bool:
        """Remove a response and all that hangs on it."""

        def delete(connection: sqlite3.Connection) -> bool:
            with _Transaction(connection):
                row = connection.execute(sql.EXISTS, (response_id, project)).fetchone()
                for statement in sql.DELETE if row else ():
                    connection.execute(statement, row)
            return row is not None

        return await self._writer.call(delete)

    # What other tables of the database need

    def change(self, job: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Run a job in a transaction of its own, after what was handed over before it."""

        def change(connection: sqlite3.Connection) -> T:
            with _Transaction(connection):
                return job(connection)

        return self._writer.call(change)

    def look(self, job: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Run a job that only reads. It sees the last commit."""
        return self._reader.call(job)

    def sum(self, job: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Run a job that only reads, but may read millions of rows: only other sums wait for it."""
        return self._summer.call(job)

    # Leases

    async def lease(self, key: int, owner: str, until: float) -> int | None:
        """Take a response; None if somebody holds it."""

        def lease(connection: sqlite3.Connection) -> int | None:
            with _Transaction(connection):
                row = connection.execute(sql.LEASE, (owner, until, key, self._now())).fetchone()
            return None if row is None else int(row[0])

        return await self._writer.call(lease)

    async def renew(self, keys: Sequence[int], owner: str, until: float) -> set[int]:
        """Extend leases; returns those still held."""

        def renew(connection: sqlite3.Connection) -> set[int]:
            with _Transaction(connection):
                rows = [connection.execute(sql.RENEW, (until, key, owner)).fetchone() for key in keys]
            return {int(row[0]) for row in rows if row is not None}

        return await self._writer.call(renew)

    async def release(self, owner: str | None = None) -> None:
        """Give leases back: an owner's, or all."""
        statement, values = (sql.RELEASE_ALL, ()) if owner is None else (sql.RELEASE, (owner,))
        await self._writer.call(lambda connection: connection.execute(statement, values).rowcount)

    # Reading

    async def find(self, project: str, response_id: str) -> Stored | None:
        """A response of a project."""
        row = await self._reader.call(lambda c: c.execute(sql.FIND, (response_id, project)).fetchone())
        return None if row is None else _stored(row)

    async def chain(self, project: str, response_id: str) -> list[Stored]:
        """A response and all before it, oldest first."""
        rows = await self._reader.call(lambda c: c.execute(sql.CHAIN, (response_id, project)).fetchall())
        return [_stored(row) for row in rows]

    async def owner_of(self, project: str, item_id: str) -> str | None:
        """The response of an item with a foreign id."""
        row = await self._reader.call(lambda c: c.execute(sql.OWNER_OF, (item_id, project)).fetchone())
        return None if row is None else str(row[0])

    async def read(self, key: int, number: int) -> bytes:
        """Frames from the event `number` on, out of the stretch that holds it."""
        row = await self._reader.call(lambda c: c.execute(sql.READ, (key, number)).fetchone())
        if row is None:
            return b""
        first, data = row
        return frames.skip(data, number - first)

    async def unfinished(self) -> Sequence[Stored]:
        """Responses that are not over and that nobody holds."""
        rows = await self._reader.call(lambda c: c.execute(sql.UNFINISHED, (self._now(),)).fetchall())
        return [_stored(row) for row in rows]


_OUTAGES = frozenset(
    (
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    )
)
"""What SQLite says of a disk, or of a file. Everything else is a defect of ours."""


class _Thread:
    """A thread with a connection of its own, which runs jobs one after the other.

    A job's error becomes the error of its future; what SQLite says about the disk becomes Unavailable. After `stop`
    every job is refused.
    """

    def __init__(self, connect: Callable[[], sqlite3.Connection], name: str) -> None:
        self._connect = connect
        self._jobs: SimpleQueue[tuple[Job, asyncio.Future[Any]] | None] = SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def call(self, job: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """Run a job after those before it."""
        future: asyncio.Future[T] = self._loop.create_future()
        if self._stopped:
            future.set_exception(Unavailable("The store is closed."))
        else:
            self._jobs.put((job, future))
        return future

    async def stop(self) -> None:
        """Run what was put in, then close."""
        self._stopped = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        connection: sqlite3.Connection | None = None
        while (entry := self._jobs.get()) is not None:
            job, future = entry
            try:
                connection = connection or self._connect()
                result = job(connection)
            except sqlite3.Error as error:
                self._answer(future, None, _meaning(error))
            except BaseException as error:  # noqa: BLE001 - it is handed to the one who waits
                self._answer(future, None, error)
            else:
                self._answer(future, result, None)
        if connection is not None:
            connection.close()

    def _answer(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        def answer() -> None:
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)

        self._loop.call_soon_threadsafe(answer)


class _Transaction:
    """`BEGIN IMMEDIATE` … `COMMIT`, or `ROLLBACK` and the error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
                return
            except sqlite3.Error:
                self._rollback()
                raise
        self._rollback()

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")


def _apply(connection: sqlite3.Connection, change: Begin | End | Fact) -> None:
    match change:
        case Begin(record=r):
            values = (r.key, r.id, r.project, r.created_at, r.status, r.background, r.model, r.previous)
            connection.execute(sql.BEGIN, (*values, r.request, r.input))
            if change.row is not None:
                put_row(connection, change.row)
        case End():
            connection.execute(sql.END, (change.status, change.response, change.gated, change.key))
            for item_id in change.item_ids:
                connection.execute(sql.NOTE_ITEM, (item_id, change.key))
        case Fact():
            connection.execute(sql.NOTE_FACT, (change.key, change.after, change.kind, change.data))


def _fenced(connection: sqlite3.Connection, chunks: Sequence[Chunk]) -> set[int]:
    """The keys of leased logs whose fence has risen since their worker took them."""
    fenced = set()
    for chunk in chunks:
        if chunk.fence:
            row = connection.execute(sql.FENCE, (chunk.key,)).fetchone()
            if row is None or row[0] != chunk.fence:
                fenced.add(chunk.key)
    return fenced


def _settle_segments(connection: sqlite3.Connection) -> int:
    """Write what segments hold of each log behind its stretches, and drop them. Returns the last segment's number."""
    tails = {key: _Tail(connection, key) for (key,) in connection.execute(sql.RUNNING)}
    last = 0
    for number, spans, data in connection.execute(sql.ALL_SEGMENTS):
        last, at = number, 0
        for key, first, length in msgspec.json.decode(spans, type=list[tuple[int, int, int]]):
            if key in tails:  # else the response is over, or was deleted
                tails[key].add(first, data[at : at + length])
            at += length
    for tail in tails.values():
        tail.write(connection)
    connection.execute(sql.DROP_SEGMENTS, (last + 1,))
    return last


class _Tail:
    """What segments hold of a log behind its stretches. A stretch repeats what older segments hold, and goes on."""

    def __init__(self, connection: sqlite3.Connection, key: int) -> None:
        row = connection.execute(sql.LAST_STRETCH, (key,)).fetchone()
        self.key = key
        self.first = self.next = 0 if row is None else row[0] + frames.count(row[1])
        self.pieces: list[bytes] = []

    def add(self, first: int, data: bytes) -> None:
        """Take the part of a chunk that is new. Chunks come in the order in which they were said."""
        new = frames.skip(data, self.next - first)
        self.next += frames.count(new)
        self.pieces.append(new)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write the tail as a stretch, if there is one."""
        if self.next > self.first:
            connection.execute(sql.ADD_STRETCH, (self.key, self.first, b"".join(self.pieces)))


def _stored(row: Sequence[Any]) -> Stored:
    names = Stored.__struct_fields__
    fields = dict(zip(names, row, strict=True))
    return Stored(**{**fields, "background": bool(fields["background"])})


def _meaning(error: sqlite3.Error) -> Exception:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _OUTAGES:
        return Unavailable(f"The store cannot be read or written: {error}.", retry_after=5)
    return error


def holder_of(folder: Path) -> str | None:
    """What the process that owns a data folder says of itself; None if there is none, or it cannot be told."""
    try:
        with (folder / LOCK).open() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return handle.read().strip() or None
    except (OSError, UnicodeDecodeError):
        pass
    return None


def _take_lock(path: Path, owner: str) -> IO[str]:
    """Lock a file for as long as this process lives. Raises DataFolderInUse with what its holder wrote into it."""
    handle = path.open("a+")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip() or "another process"
        handle.close()
        raise DataFolderInUse(f"The data folder {path.parent} is in use by {holder}.") from None
    handle.truncate(0)
    handle.write(owner or f"process {os.getpid()}")
    handle.flush()
    return handle
