"""How late the event loop is: the one figure that says whether the process has too much to do."""

from __future__ import annotations

from typing import Final

from antiphon.ports import Clock

__all__ = ["Lag"]

EVERY: Final = 0.25
"""Seconds between two looks."""


class Lag:
    """Asks to be called in so many seconds, and sees how much later it is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due = 0.0
        self._worst = 0.0
        self._looks = False

    def take(self) -> float:
        """The longest delay since this was asked before, in seconds. Asked first, it begins to look."""
        if not self._looks:
            self._looks = True
            self._wait()
        worst = max(self._worst, self._clock.monotonic() - self._due)
        self._worst = 0.0
        return worst if worst > 0 else 0.0

    def _wait(self) -> None:
        self._due = self._clock.monotonic() + EVERY
        self._clock.call_later(EVERY, self._look)

    def _look(self) -> None:
        self._worst = max(self._worst, self._clock.monotonic() - self._due)
        self._wait()
