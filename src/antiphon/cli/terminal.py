"""What all commands share: where words go, colours for people only, and how a command ends."""

from __future__ import annotations

import os
import re
import sys
from typing import IO, Any, Final, NoReturn

import typer

__all__ = ["dim", "fail", "note", "out", "plain", "status", "strong"]

BROKEN: Final = 1
WRONG: Final = 2
INTERRUPTED: Final = 130

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_STYLES: Final = {"dim": "2", "strong": "1", "ok": "32", "warn": "33", "broken": "31"}


def out(text: str, *, end: str = "\n") -> None:
    """Write to stdout at once."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def note(text: str) -> None:
    """Write a line about the answer, which is not part of it, to stderr."""
    sys.stdout.flush()
    sys.stderr.write(plain(text, sys.stderr) + "\n")


def fail(message: str, code: int = BROKEN) -> NoReturn:
    """Say in one line what is wrong, and end."""
    note(f"antiphon: {message}")
    raise typer.Exit(code)


def plain(text: str, stream: IO[Any] | None = None) -> str:
    """A text that came from elsewhere, for a terminal: without the control characters that could take it over."""
    return _CONTROL.sub("", text) if (stream or sys.stdout).isatty() else text


def dim(text: str) -> str:
    """Grey, on a terminal."""
    return _styled(text, "dim")


def strong(text: str) -> str:
    """Bold, on a terminal."""
    return _styled(text, "strong")


def status(word: str) -> str:
    """`ok`, `warn` or `broken` in its colour, on a terminal."""
    return _styled(word, word)


def _styled(text: str, style: str) -> str:
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def table(rows: list[tuple[str, ...]]) -> str:
    """Rows as columns; the first row is the heading."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([strong(lines[0]), *lines[1:]])
