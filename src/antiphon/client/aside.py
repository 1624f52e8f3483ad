"""Aside: a file that turned out to be damaged is given another name, so that nobody loses it and nobody trusts it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["set_aside"]


def is_foreign(data: bytes, mark: bytes) -> bool:
    """Whether what a file begins with is somebody else's: it says something, and nowhere our `mark`.

    Only what is ours is set aside, and what a broken disk has filled with zeros.
    """
    return mark not in data and bool(data.strip(b"\0"))


def set_aside(path: Path, companions: Iterable[str] = ()) -> Path:
    """Rename a file to `….damaged-1`, or the next number that is free, and give that name.

    `companions` are endings of files that belong to it (`-wal`), and go with it. Raises OSError.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    for ending in companions:
        beside = path.with_name(path.name + ending)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + ending))
    return aside
