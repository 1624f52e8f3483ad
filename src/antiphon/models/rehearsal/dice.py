"""Repeatable choices, and the cutting of text into tokens: what makes the same turn give the same words.

The numbers come from an arithmetic of our own, since the standard library may change how it draws a choice from a
seed, and a recorded rehearsal has to sound the same on every Python.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1


class Dice:
    """A sequence of numbers that its seed decides (SplitMix64)."""

    __slots__ = ("_state", "seed")

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self._state = int.from_bytes(hashlib.sha256(seed.encode("utf-8", "replace")).digest()[:8], "big")

    def below(self, limit: int) -> int:
        """A number from 0 up to, and without, `limit`."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        return (mixed ^ (mixed >> 31)) % limit

    def pick(self, options: Sequence[T]) -> T:
        """One of the options."""
        return options[self.below(len(options))]

    def shuffled(self, options: Iterable[T]) -> list[T]:
        """The options in another order."""
        left = list(options)
        return [left.pop(self.below(len(left))) for _ in range(len(left))]

    def fork(self, label: object) -> Dice:
        """Dice of their own for one purpose, so that drawing for another does not change what they show."""
        return Dice(f"{self.seed}/{label}")


_PIECE = re.compile(r" ?\w{1,12}|\n{1,4}|[^\S\n]{1,8}|[^\w\s]{1,4}")


def count(text: str) -> int:
    """Rehearsal's tokens in a text."""
    return sum(1 for _ in pieces(text))


def pieces(text: str) -> Iterator[str]:
    """The text cut into rehearsal's tokens: a word with the space before it, or a few signs. Joined they are the text.

    None equals the one before it, because loop guards take a repetition for a loop: one that would is cut in two.
    """
    last = ""
    for found in _PIECE.finditer(text):
        piece = found[0]
        if piece == last:
            yield piece[:1]
            piece = piece[1:]
        yield piece
        last = piece
