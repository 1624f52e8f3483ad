"""Ledger: what was spent, in a file that is only ever appended to. Several processes may share it.

One line of JSON for each entry, behind its checksum; the first line says what the file is:

    1f0c… {"kind":"ledger","name":"antiphon.costs","version":1}
    9ab2… {"kind":"spent","at":1763712000.0,"model":"gpt-5","cost":"0.00125","input":800,"output":25,"id":"resp_1"}
    77de… {"kind":"alert","at":1763712000.0,"budget":"5.00 USD a day","since":1763683200.0}

Money is written in decimals. A line that does not match its checksum was damaged, or cut by a crash: then the file is
set aside under another name, all lines that are sound go on in a new one, and a warning says how many were lost. What
cannot be written for now (a full disk) stays in memory, goes to the file with the next entry that can be written, and
is told to the log `antiphon.client`.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import threading
import warnings
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import IO, Final, TypeAlias

import msgspec

from antiphon.client.aside import is_foreign, set_aside
from antiphon.client.errors import OptionError

__all__ = ["AlertLine", "Entry", "Ledger", "SpentLine"]

_log = logging.getLogger("antiphon.client")


class SpentLine(msgspec.Struct, tag_field="kind", tag="spent", frozen=True, kw_only=True, omit_defaults=True):
    """What one call of a server cost."""

    at: float
    """Unix time in seconds."""
    model: str
    cost: Decimal | None
    """US dollars; None where no price was known."""
    input: int = 0
    cached: int = 0
    """How much of the input was read from the server's cache."""
    output: int = 0
    id: str | None = None
    """The response."""


class AlertLine(msgspec.Struct, tag_field="kind", tag="alert", frozen=True, kw_only=True):
    """An alert was given: not again in this period of this budget."""

    at: float
    budget: str
    since: float
    by: str = ""
    """Who gave it. Of several who did, the first in the file."""


class _Head(msgspec.Struct, tag_field="kind", tag="ledger", frozen=True):
    name: str = "antiphon.costs"
    version: int = 1


Entry: TypeAlias = SpentLine | AlertLine

_HEAD: Final = _Head()
_MARK: Final = b'"antiphon.costs"'
"""Only a ledger says so."""
_DECODER: Final[msgspec.json.Decoder[Entry | _Head]] = msgspec.json.Decoder(SpentLine | AlertLine | _Head)


class _Damaged(ValueError):
    """A line that is not as it was written."""


class Ledger:
    """The entries of a file. `read` gives what came since the last time, from whatever process. Threads may share it.

    Raises OptionError if the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.RLock()
        self._at = 0
        """Up to where the file was read."""
        self._file_id: tuple[int, int] | None = None
        self._unwritten: list[Entry] = []
        self._is_silent = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._open() as file:
                file.seek(0)
                data = _all_of(file)
                if is_foreign(data, _MARK) and not _line(_HEAD).startswith(data):
                    raise OptionError("costs.ledger", f"{path} is no ledger; name another file")
        except OSError as error:
            raise OptionError("costs.ledger", f"{path}: {error.strerror or error}") from None

    def read(self) -> tuple[bool, list[Entry]]:
        """The entries that are new, and whether these are all there are: then what was read before is void."""
        with self._lock:
            try:
                with self._open() as file:
                    return self._read(file)
            except OSError as error:
                self._tell(f"cannot be read: {error.strerror or error}")
                return False, []

    def add(self, entry: Entry) -> None:
        """Write an entry. The next `read` gives it."""
        with self._lock:
            self._unwritten.append(entry)
            try:
                with self._open() as file:
                    self._write(file)
            except OSError as error:
                self._tell(f"cannot be written: {error.strerror or error}")

    @property
    def unwritten(self) -> list[Entry]:
        """What could not be written yet."""
        return list(self._unwritten)

    # The file

    @contextlib.contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        """The file, for this process alone. It may be another one than before: then it is read from its beginning."""
        while True:
            file = self._path.open("a+b", buffering=0)
            with file:
                _lock(file)
                if not self._is_current(file):
                    continue  # somebody has set it aside in the meantime
                yield file
                return

    def _is_current(self, file: IO[bytes]) -> bool:
        own = os.fstat(file.fileno())
        try:
            now = self._path.stat()
        except FileNotFoundError:
            return False
        if (own.st_dev, own.st_ino) != (now.st_dev, now.st_ino):
            return False
        if self._file_id != (own.st_dev, own.st_ino) or own.st_size < self._at:
            self._file_id, self._at = (own.st_dev, own.st_ino), 0
        return True

    def _write(self, file: IO[bytes]) -> None:
        size = file.seek(0, os.SEEK_END)
        data = b"".join(map(_line, self._unwritten if size else (_HEAD, *self._unwritten)))
        if size and not _ends_well(file):
            data = b"\n" + data  # what a crash has cut is one damaged line, and not two
        try:
            if file.write(data) != len(data):
                raise OSError("the disk is full")
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise
        self._unwritten.clear()
        self._is_silent = False

    def _read(self, file: IO[bytes]) -> tuple[bool, list[Entry]]:
        begins = self._at == 0
        file.seek(self._at)
        data = _all_of(file)
        try:
            entries = [_entry(line) for line in data.split(b"\n") if line]
        except _Damaged:
            return True, self._mend(file)
        self._at += len(data)
        return begins, [entry for entry in entries if not isinstance(entry, _Head)]

    def _mend(self, file: IO[bytes]) -> list[Entry]:
        """Set a damaged file aside, and go on with what is sound of it."""
        file.seek(0)
        lines = [line for line in _all_of(file).split(b"\n") if line]
        sound = [entry for entry in map(_sound, lines) if entry is not None and not isinstance(entry, _Head)]
        lost = sum(_sound(line) is None for line in lines)
        aside = set_aside(self._path)
        with self._path.open("xb") as made:
            made.write(b"".join(map(_line, (_HEAD, *sound))))
            self._at = made.tell()
            stat = os.fstat(made.fileno())
        self._file_id = (stat.st_dev, stat.st_ino)
        what = f"{lost} of its {len(lines)} lines are lost, and what they cost is not counted any more"
        warnings.warn(f"{self._path} is damaged and is now {aside.name}; {what}", stacklevel=2)
        return sound

    def _tell(self, what: str) -> None:
        if not self._is_silent:
            _log.error("the ledger %s %s; %d entries are in memory only", self._path, what, len(self._unwritten))
            self._is_silent = True


# Lines


def _line(entry: Entry | _Head) -> bytes:
    text = msgspec.json.encode(entry)
    return b"%s %s\n" % (hashlib.sha256(text).hexdigest()[:16].encode(), text)


def _entry(line: bytes) -> Entry | _Head:
    """The entry on a line. Raises _Damaged."""
    checksum, _, text = line.partition(b" ")
    if hashlib.sha256(text).hexdigest()[:16].encode() != checksum:
        raise _Damaged
    try:
        return _DECODER.decode(text)
    except msgspec.MsgspecError as error:
        raise _Damaged from error


def _sound(line: bytes) -> Entry | _Head | None:
    try:
        return _entry(line)
    except _Damaged:
        return None


def _all_of(file: IO[bytes]) -> bytes:
    return b"".join(iter(lambda: file.read(2**20), b""))


def _ends_well(file: IO[bytes]) -> bool:
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _lock(file: IO[bytes]) -> None:
    try:
        import fcntl
    except ImportError:  # a system without it: one process at a time
        return
    fcntl.flock(file, fcntl.LOCK_EX)
