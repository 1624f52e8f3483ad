"""Where a key comes from: the settings, a file, or a command. What is given out is never logged.

A file is read again when it has changed, so that a key can be replaced while the server runs. A command's key is kept
for five minutes; what it wrote to its error output goes to our log, never to a client.
"""

from __future__ import annotations

import asyncio
import logging
import shlex
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from antiphon.config.settings import Keyed
from antiphon.wire.errors import Unavailable

__all__ = ["KeyCommand", "KeyFile", "KeySource", "NoKey", "key_at_hand", "key_now", "key_source"]

KeySource: TypeAlias = str | Callable[[], str | Awaitable[str]] | None
"""A key, or what gives one each time it is asked. Raises NoKey if there is none to be had."""

KEPT: Final = 300.0
"""Seconds that a command's key is used."""

PATIENCE: Final = 20.0
"""Seconds that a command has. It may ask a person for a fingerprint."""

_log = logging.getLogger(__name__)


class NoKey(Unavailable):
    """A key cannot be had. `reason` says why, for the log and the terminal; a client learns no path and no command."""

    def __init__(self, reason: str) -> None:
        super().__init__("The key for this model cannot be had at the moment.", code="key_unavailable")
        self.reason = reason


def key_source(settings: Keyed) -> KeySource:
    """What gives the key of a table while the server runs; None if it has none. It logs why there is no key."""
    match _source(settings):
        case KeyFile() as file:
            return _logged(file)
        case KeyCommand() as command:
            return _logged_in_turn(command)
        case source:
            return source


async def key_now(settings: Keyed) -> str | None:
    """The key of a table as it is now. Raises NoKey."""
    match _source(settings):
        case KeyFile() as file:
            return file()
        case KeyCommand() as command:
            return await command()
        case source:
            return source


def key_at_hand(settings: Keyed) -> Callable[[], str | None]:
    """What gives the key of a table without waiting. A command is run now, and not again. Raises NoKey."""
    match _source(settings):
        case KeyFile() as file:
            file()
            return _logged(file)
        case KeyCommand() as command:
            key = command.run()
            return lambda: key
        case source:
            return lambda: source


def _source(settings: Keyed) -> str | KeyFile | KeyCommand | None:
    if settings.api_key is not None:
        return settings.api_key.reveal()
    if settings.api_key_file is not None:
        return KeyFile(settings.api_key_file)
    if settings.api_key_command is not None:
        return KeyCommand(settings.api_key_command)
    return None


def _logged(file: KeyFile) -> Callable[[], str]:
    def key() -> str:
        with _reasons_logged():
            return file()

    return key


def _logged_in_turn(command: KeyCommand) -> Callable[[], Awaitable[str]]:
    async def key() -> str:
        with _reasons_logged():
            return await command()

    return key


@contextmanager
def _reasons_logged() -> Iterator[None]:
    try:
        yield
    except NoKey as error:
        _log.error("%s", error.reason)
        raise


class KeyFile:
    """The key in a file, which may be replaced at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._key = ""

    def __call__(self) -> str:
        """The key that the file holds now."""
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if stamp != self._stamp:
                self._key = self._path.read_text(encoding="utf-8").strip()
                self._stamp = stamp
        except (OSError, UnicodeDecodeError) as error:
            raise NoKey(f"the key file {self._path} cannot be read: {error}") from error
        if not self._key:
            raise NoKey(f"the key file {self._path} is empty")
        return self._key


class KeyCommand:
    """The key that a command prints. `monotonic` tells how old a key is."""

    def __init__(self, command: str | Sequence[str], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._command = shlex.split(command) if isinstance(command, str) else list(command)
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._key = ""
        self._until = float("-inf")

    async def __call__(self) -> str:
        """The key, from the last run if that is not long ago. The event loop does not wait for the command."""
        async with self._lock:
            if self._monotonic() >= self._until:
                self._key = await asyncio.to_thread(self.run)
                self._until = self._monotonic() + KEPT
            return self._key

    def run(self) -> str:
        """Run the command, without a shell, and wait for it."""
        name = self._command[0]
        try:
            done = subprocess.run(  # noqa: S603 - the command is the configuration's own
                self._command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NoKey(f"the key command {name!r} failed: {error}") from error
        key = done.stdout.decode(errors="replace").strip()
        if done.returncode or not key:
            said = done.stderr.decode(errors="replace").strip()
            raise NoKey(f"the key command {name!r} ended with {done.returncode} and no key: {said}")
        return key
