"""How late the event loop is: the one figure that says whether the process has too much to do."""

from __future__ import annotations

from typing import Final

from antiphon.ports import Clock, Timer

__all__ = ["Lag"]

EVERY: Final = 0.25
"""Seconds between two looks."""


class Lag:
    """Asks to be called in so many seconds, and sees how much later it is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due = 0.0
        self._worst = 0.0
        self._timer: Timer | None = None

    def take(self) -> float:
        """The longest delay since this was asked before, in seconds. Asked first, it begins to look."""
        if self._timer is None:
            self._wait()
        worst = max(self._worst, self._clock.monotonic() - self._due)
        self._worst = 0.0
        return worst if worst > 0 else 0.0

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self) -> None:
        self._due = self._clock.monotonic() + EVERY
        self._timer = self._clock.call_later(EVERY, self._look)

    def _look(self) -> None:
        self._worst = max(self._worst, self._clock.monotonic() - self._due)
        self._wait()
