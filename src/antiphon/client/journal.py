"""Journal: what a batch has of its answers, in a file, so that it can be taken up again.

One line of JSON an answer, each with a checksum, behind a first line that says what the file is. A last line that was
cut by a crash is left out. A file with any other line that is wrong is not this journal, or was damaged: it is set
aside under another name, and the batch begins anew. A file serves one batch at a time.
"""

from __future__ import annotations

import hashlib
import json
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from antiphon.client.aside import is_foreign, set_aside
from antiphon.client.errors import OptionError

__all__ = ["Journal", "fingerprint"]

_HEAD: Final = {"journal": "antiphon.batch", "version": 1}
_MARK: Final = b'"antiphon.batch"'
"""Only a journal says so."""


class _Damaged(ValueError):
    """A file that is no journal."""


class Journal:
    """The answers of a batch by their keys. Threads may share it."""

    def __init__(self, path: Path) -> None:
        """Raises OptionError if the file is in use, or cannot be written."""
        self._path = path
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[str, dict[str, Any]]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._opened()
        except OSError as error:
            raise OptionError("journal", f"{path}: {error.strerror or error}") from None

    def _opened(self) -> IO[bytes]:
        file = self._path.open("a+b")
        _lock(file, self._path)
        file.seek(0)
        data = file.read()
        try:
            end = self._read(data)
        except _Damaged as error:
            if is_foreign(data, _MARK):
                file.close()
                raise OptionError("journal", f"{self._path} is no journal of a batch; name another file") from None
            aside = set_aside(self._path)
            file.close()
            warnings.warn(f"{self._path} {error}; it is now {aside.name}, and the batch begins anew", stacklevel=6)
            return self._opened()
        file.truncate(end)
        if end == 0:
            file.write(_line(_HEAD))
            file.flush()
        return file

    def _read(self, data: bytes) -> int:
        """Take the answers of a file in. Gives the end of its last whole line. Raises _Damaged."""
        self._answers.clear()
        *lines, rest = data.split(b"\n")
        for number, line in enumerate(lines, 1):
            fields = _checked(line, number)
            if number == 1 and fields != _HEAD:
                raise _Damaged("is no journal of a batch")
            if number > 1:
                self._answers[fields["key"]] = (fields["request"], fields["response"])
        if not lines and rest and not _line(_HEAD).startswith(rest):
            raise _Damaged("is no journal of a batch")
        return len(data) - len(rest)

    def answer(self, key: str, request: str) -> dict[str, Any] | None:
        """The answer to a request, if it is known and the request is the same as then."""
        asked, response = self._answers.get(key, ("", {}))
        return response if asked == request else None

    def keep(self, key: str, request: str, response: dict[str, Any]) -> None:
        """Write an answer down."""
        with self._lock:
            self._file.write(_line({"key": key, "request": request, "response": response}))
            self._file.flush()

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


def fingerprint(params: Mapping[str, Any]) -> str:
    """What makes two requests the same."""
    text = json.dumps(params, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _line(fields: Mapping[str, Any]) -> bytes:
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    return b"%s %s\n" % (hashlib.sha256(text).hexdigest()[:16].encode(), text)


def _checked(line: bytes, number: int) -> dict[str, Any]:
    checksum, _, text = line.partition(b" ")
    if hashlib.sha256(text).hexdigest()[:16].encode() != checksum:
        raise _Damaged(f"is damaged in line {number}")
    fields: dict[str, Any] = json.loads(text)
    return fields


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # a system without it
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise OptionError("journal", f"{path} is in use by another batch") from None
