"""Entries in an SQLite file, which several processes may share. The only module of the toolkit that knows SQL.

Each entry has a checksum. One that is damaged is removed; a file that is no cache, or is damaged as a whole, is set
aside under another name, and the cache begins anew. A file that cannot be read or written for now (a full disk, another
process that holds it for long) is a miss, and is told once to the log `antiphon.client`.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import warnings
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar
from zlib import crc32

from antiphon.client.aside import is_foreign, set_aside
from antiphon.client.errors import OptionError

__all__ = ["SQLiteFile"]

T = TypeVar("T")

_log = logging.getLogger("antiphon.client")

_VERSION: Final = 1
_SET_VERSION: Final = "PRAGMA user_version = 1"
_COMPANIONS: Final = ("-wal", "-shm")
_BUSY: Final = 1.0
"""Seconds that another process may hold the file."""

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS answers (
    key BLOB PRIMARY KEY, data BLOB NOT NULL, checksum INTEGER NOT NULL, until REAL NOT NULL, used REAL NOT NULL
) WITHOUT ROWID"""
_DROP: Final = "DROP TABLE answers"
_GET: Final = "SELECT data, checksum FROM answers WHERE key = ? AND until > ?"
_USE: Final = "UPDATE answers SET used = ? WHERE key = ? AND used < ?"
_PUT: Final = "INSERT OR REPLACE INTO answers (key, data, checksum, until, used) VALUES (?, ?, ?, ?, ?)"
_REMOVE: Final = "DELETE FROM answers WHERE key = ?"
_CLEAR: Final = "DELETE FROM answers"
_EXPIRE: Final = "DELETE FROM answers WHERE until <= ?"
_COUNT: Final = "SELECT count(*) FROM answers"
_SHRINK: Final = """
DELETE FROM answers WHERE key IN (
    SELECT key FROM (
        SELECT key, row_number() OVER newest AS place, sum(length(data)) OVER newest AS size
        FROM answers WINDOW newest AS (ORDER BY used DESC, key)
    ) WHERE place > ? OR size > ?
)"""

_TO_THE: Final = 60.0
"""Seconds in which a second use is not marked."""


_MARK = b"SQLite format 3\0"
"""What each of its files begins with."""


class SQLiteFile:
    """Entries in a file. Implements `antiphon.client.entries.Entries`. Raises OptionError if it cannot be opened."""

    def __init__(self, path: Path, max_entries: int, max_bytes: int) -> None:
        self._path = path
        self._limits = (max_entries, max_bytes)
        self._lock = threading.RLock()
        self._is_silent = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = self._opened()
        except (OSError, sqlite3.OperationalError) as error:
            raise OptionError("cache.file", f"{path}: {getattr(error, 'strerror', None) or error}") from None

    def _opened(self) -> sqlite3.Connection:
        try:
            return self._connected()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:
            with self._path.open("rb") as file:
                if is_foreign(file.read(len(_MARK)), _MARK):
                    raise OptionError("cache.file", f"{self._path} is no cache of answers; name another file") from None
            aside = set_aside(self._path, _COMPANIONS)
            why = " ".join(str(error).split())
            message = f"{self._path} is no cache of answers, or is damaged ({why})"
            warnings.warn(f"{message}; it is now {aside.name}, and the cache begins anew", stacklevel=8)
            return self._connected()

    def _connected(self) -> sqlite3.Connection:
        """A connection to a sound file. Raises sqlite3.DatabaseError."""
        connection = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
            connection.text_factory = bytes  # what was damaged may be no text
        except BaseException:
            connection.close()
            raise
        return connection

    @staticmethod
    def _prepare(connection: sqlite3.Connection) -> None:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if tables - {"answers"}:
            raise sqlite3.OperationalError("this is the database of another program")
        if tables and version != _VERSION:
            connection.execute(_DROP)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute(_TABLE)
        connection.execute(_SET_VERSION)

    def get(self, key: bytes, now: float) -> bytes | None:
        """What is kept under a key."""

        def look(connection: sqlite3.Connection) -> bytes | None:
            with closing(connection.execute(_GET, (key, now))) as found:
                row = found.fetchone()
            if row is None:
                return None
            data, checksum = row
            if not isinstance(data, bytes) or crc32(data) != checksum:
                _log.warning("an answer in %s is damaged, and is removed", self._path)
                connection.execute(_REMOVE, (key,))
                return None
            connection.execute(_USE, (now, key, now - _TO_THE))
            return data

        return self._do(look)

    def put(self, key: bytes, data: bytes, *, until: float, now: float) -> None:
        """Keep data until a time."""

        def put(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                connection.execute(_PUT, (key, data, crc32(data), until, now))
                connection.execute(_EXPIRE, (now,))
                connection.execute(_SHRINK, self._limits)
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            connection.execute("COMMIT")

        self._do(put)

    def remove(self, key: bytes) -> None:
        """Keep it no longer."""
        self._do(lambda connection: connection.execute(_REMOVE, (key,)))

    def clear(self) -> None:
        """Keep nothing of all that is there."""
        self._do(lambda connection: connection.execute(_CLEAR))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def __del__(self) -> None:
        if hasattr(self, "_connection"):  # else it was never open
            self._connection.close()

    def __len__(self) -> int:
        count = self._do(lambda connection: connection.execute(_COUNT).fetchone()[0])
        return int(count or 0)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """Work with the file; None if it cannot be worked with."""
        with self._lock:
            try:
                return work(self._connection)
            except sqlite3.OperationalError as error:
                self._tell(error)
            except sqlite3.ProgrammingError:
                pass  # closed
            except sqlite3.DatabaseError as error:
                self._begin_anew(error)
        return None

    def _tell(self, error: sqlite3.Error) -> None:
        if not self._is_silent:
            _log.warning("the cache in %s cannot be used for now: %s", self._path, error)
            self._is_silent = True

    def _begin_anew(self, error: sqlite3.Error) -> None:
        self._connection.close()
        try:
            aside = set_aside(self._path, _COMPANIONS)
            _log.error("%s is damaged (%s); it is now %s, and the cache begins anew", self._path, error, aside.name)
            self._connection = self._connected()
        except (OSError, sqlite3.Error) as other:
            self._tell(sqlite3.OperationalError(str(other)))
