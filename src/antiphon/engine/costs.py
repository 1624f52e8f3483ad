"""Costs: what a piece of work cost, by the prices that held when it began."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from decimal import Decimal

from antiphon.policy.prices import Prices
from antiphon.turn.report import Report
from antiphon.turn.trace import Attempt

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
        for one in _attempts(report):
            if one.usage is None:
                continue
            cost = self._prices.cost(
                one.model,
                one.usage,
                at=report.at,
                upstream=_address(one.upstream),
                service_tier=_tier(one, report),
                tools=one.tools,
            )
            if cost is None:
                self._warn(one.model)
                return None
            total += cost.total
        return total

    def _warn(self, model: str) -> None:
        if model not in self._warned and len(self._warned) < MOST_WARNED:
            self._warned.add(model)
            _log.warning("the price of %r is not known: what it costs is told as null; see docs/prices.md", model)


def _attempts(report: Report) -> Sequence[Attempt]:
    """What was asked of whom. What no attempt was made for is the built-in model's."""
    model = report.upstream_model or report.model
    return report.attempts or (Attempt(report.upstream, model, 0.0, usage=report.usage),)


def _tier(attempt: Attempt, report: Report) -> str | None:
    """In which tier it is billed. Judges are asked in none, whatever the request that they judge for asks."""
    return attempt.service_tier or (None if attempt.judges else report.service_tier)


def _address(upstream: str) -> str | None:
    """The address of an upstream; None for the name of a backend that has none."""
    return upstream if "://" in upstream else None
