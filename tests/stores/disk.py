"""A SQLite store whose disk does what a test wants, and what is in its files."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from antiphon.stores.sqlite import DATABASE, SQLiteStore

FILES = (DATABASE, f"{DATABASE}-wal")


class Trouble:
    """What goes wrong: `at` counts statements down, and the one that it falls on raises; `lasts`: all raise."""

    def __init__(self) -> None:
        self.at: int | None = None
        self.lasts = False
        self.statements = 0

    def strike(self) -> None:
        self.statements += 1
        if self.at is not None:
            self.at -= 1
        if self.lasts or (self.at is not None and self.at < 0):
            self.at = None
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error


class Troubled:
    """A connection with trouble. A statement that fails is not carried out."""

    def __init__(self, connection: sqlite3.Connection, trouble: Trouble) -> None:
        self._connection = connection
        self._trouble = trouble

    def execute(self, *arguments: Any) -> sqlite3.Cursor:
        if arguments[0] != "ROLLBACK":
            self._trouble.strike()
        return self._connection.execute(*arguments)

    def executemany(self, *arguments: Any) -> sqlite3.Cursor:
        self._trouble.strike()
        return self._connection.executemany(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class TroubledStore(SQLiteStore):
    """A store on a disk with trouble. Reading has none."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, **options)
        self.trouble = Trouble()

    def _open(self) -> Any:
        connection = super()._open()
        is_writer = threading.current_thread().name == "antiphon-writer"
        return Troubled(connection, self.trouble) if is_writer else connection

    async def on_writer(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run something between two transactions, on the thread that writes."""
        return await self._writer.call(job)

    async def copy(self, to: Path) -> Path:
        """The files as a crash between two transactions would leave them."""
        await self.on_writer(lambda _: copy_files(self._folder, to))
        return to

    async def limit(self, more_pages: int | None) -> None:
        """Leave room for so many pages; None: for all."""

        def limit(connection: sqlite3.Connection) -> None:
            count = connection.execute("PRAGMA page_count").fetchone()[0]
            most = 2**30 if more_pages is None else count + more_pages
            connection.execute(f"PRAGMA max_page_count = {most}")

        await self.on_writer(limit)


def copy_files(folder: Path, to: Path) -> None:
    """Copy a database with its write-ahead log."""
    to.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (folder / name).exists():
            shutil.copyfile(folder / name, to / name)


def rows(folder: Path, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """What a database holds, read by another connection."""
    with closing(sqlite3.connect(folder / DATABASE)) as connection:
        return connection.execute(statement, values).fetchall()


@asynccontextmanager
async def opened(store: SQLiteStore) -> AsyncIterator[SQLiteStore]:
    """A store from its start to its end."""
    await store.start()
    try:
        yield store
    finally:
        await store.aclose()


@asynccontextmanager
async def troubled(folder: Path, **options: Any) -> AsyncIterator[TroubledStore]:
    """A started store on a disk with trouble."""
    store = TroubledStore(folder, **options)
    async with opened(store):
        yield store
