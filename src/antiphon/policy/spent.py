"""What was spent in the hour, the day and the month that run: by each key, project and organization.

It is what a budget that is new in the middle of its window begins with. Money is Decimal, in US dollars, and exact.
Times are Unix seconds, and arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Context, Decimal
from typing import Final, get_args

from antiphon.policy.budget import ZERO, Payer, Scope, WindowKind, window_of
from antiphon.policy.ledger import Spent

__all__ = ["KINDS", "Sums"]

KINDS: Final[tuple[WindowKind, ...]] = get_args(WindowKind)

_EXACT: Final = Context(prec=100)
"""More digits than any sum here has, whatever the program around us has set for itself."""


class Sums:
    """Sums that begin anew with each window."""

    def __init__(self) -> None:
        self._sums: dict[tuple[WindowKind, Scope, str], tuple[int, Decimal]] = {}

    def add(self, payer: Payer, cost: Decimal, at: float, kinds: Iterable[WindowKind] = KINDS) -> None:
        """Count a cost in the windows that hold `at`. One of a window that is over counts no longer."""
        for kind in kinds:
            start = window_of(kind, at).start
            for scope, owner in payer.places():
                if owner is not None:
                    self._count((kind, scope, owner), start, cost)

    def read(self, kind: WindowKind, now: float, rows: Iterable[Spent]) -> None:
        """Count what a ledger has of a window that runs."""
        for row in rows:
            self.add(Payer(row.key_id or None, row.project, row.organization), row.cost, now, (kind,))

    def of(self, kind: WindowKind, scope: Scope, owner: str, now: float) -> Decimal:
        """What an owner has spent in the window of now."""
        start, spent = self._sums.get((kind, scope, owner), (0, ZERO))
        return spent if start == window_of(kind, now).start else ZERO

    def _count(self, place: tuple[WindowKind, Scope, str], start: int, cost: Decimal) -> None:
        known, spent = self._sums.get(place, (start, ZERO))
        if known <= start:
            self._sums[place] = start, _EXACT.add(spent, cost) if known == start else cost
