"""Costs: what a piece of work cost, by the prices that held when it began."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from decimal import Decimal

from antiphon.policy.prices import Prices
from antiphon.turn.report import Report
from antiphon.wire.response import Usage

_log = logging.getLogger(__name__)

MOST_WARNED = 1000
"""Models whose missing price is told once; after so many, no more are told."""


class Costs:
    """An `antiphon.engine.report.Cost`."""

    def __init__(self, prices: Prices) -> None:
        self._prices = prices
        self._warned: set[str] = set()

    def __call__(self, report: Report) -> Decimal | None:
        """The US dollars that all attempts cost together; None if the price of one of them is not known."""
        total = Decimal(0)
        for upstream, model, usage in _uses(report):
            cost = self._prices.cost(model, usage, at=report.at, upstream=upstream)
            if cost is None:
                self._warn(model)
                return None
            total += cost.total
        return total

    def _warn(self, model: str) -> None:
        if model not in self._warned and len(self._warned) < MOST_WARNED:
            self._warned.add(model)
            _log.warning("the price of %r is not known: what it costs is told as null; see docs/prices.md", model)


def _uses(report: Report) -> Iterator[tuple[str | None, str, Usage]]:
    """Which tokens of which model were used where. What no attempt was made for is the built-in model's."""
    for attempt in report.attempts:
        if attempt.usage is not None:
            address = attempt.upstream if "://" in attempt.upstream else None
            yield address, attempt.model, attempt.usage
    if report.usage is not None and all(attempt.judges for attempt in report.attempts):
        yield None, report.upstream_model or report.model, report.usage
