"""Hedging: whether, and when, a call that is slow to begin gets a second one beside it.

Only before the first token, and only after the time that 95 % of the calls need to theirs: until then slowness is
nothing unusual. Second calls are at most 5 % of the calls, so that an upstream which is slow as a whole is not asked
twice by everybody. Times are monotonic seconds and arguments.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from math import ceil
from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta

__all__ = ["HedgeSettings", "Hedging"]

Share: TypeAlias = Annotated[float, Meta(gt=0, le=1)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]

MOST_SAVED: Final = 10.0
"""Second calls that a long time without any entitles to, at once."""


class HedgeSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a second call is made. That it is made at all is switched on elsewhere."""

    percentile: Share = 0.95
    """Of the times to the first token: how long the first call is alone."""
    share: Share = 0.05
    """Second calls among all first ones."""
    least: Count = 50
    """Times that must be known before any second call."""
    most: Count = 500
    """Times that are remembered."""
    age: Annotated[float, Meta(gt=0)] = 600.0
    """Seconds that a time is remembered."""


class Hedging:
    """The times to first token of one upstream and model, and the quota of second calls."""

    __slots__ = ("_quota", "_seen", "_sorted", "settings")

    def __init__(self, settings: HedgeSettings) -> None:
        self.settings = settings
        self._seen: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []
        self._quota = 0.0

    def observe(self, seconds: float, now: float) -> None:
        """Note how long a call took to its first token.

        For a first call that lost to its second: how long it had waited by then. Left out, the slowest calls would be
        missing, and each percentile shorter than the one before.
        """
        self._seen.append((now, seconds))
        insort(self._sorted, seconds)
        if len(self._seen) > self.settings.most:
            self._forget_oldest()

    def call(self, now: float) -> float | None:
        """A first call begins. Returns after how many seconds a second may go beside it; None: not at all."""
        self._quota = min(self._quota + self.settings.share, MOST_SAVED)
        while self._seen and self._seen[0][0] < now - self.settings.age:
            self._forget_oldest()
        count = len(self._sorted)
        if count < self.settings.least:
            return None
        return self._sorted[ceil(self.settings.percentile * count) - 1]

    def take(self) -> bool:
        """Take a second call out of the quota, at the moment it would begin. False: the quota is used up."""
        if self._quota < 1.0:
            return False
        self._quota -= 1.0
        return True

    def _forget_oldest(self) -> None:
        _, seconds = self._seen.popleft()
        del self._sorted[bisect_left(self._sorted, seconds)]
