"""Upstreams: what a process knows of those it asks, by address and by model, whichever names requests use."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from decimal import Decimal

from antiphon.engine.lines import Line
from antiphon.engine.queue import Queue
from antiphon.policy.admission import AdmissionSettings
from antiphon.policy.breaker import Breaker, BreakerSettings, Key, Transition
from antiphon.policy.hedge import HedgeSettings, Hedging
from antiphon.policy.retry import RetryBudget, RetrySettings, Traffic
from antiphon.ports import Clock, Model

_log = logging.getLogger(__name__)

MOST = 1000
"""Models that are remembered."""


class Upstreams:
    """Makes lines. Those to one upstream share its retry budget and its queue, those to one model of it the rest."""

    def __init__(
        self,
        clock: Clock,
        *,
        retry: RetrySettings | None = None,
        breaker: BreakerSettings | None = None,
        hedging: HedgeSettings | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.clock = clock
        self.retry = retry or RetrySettings()
        self.chance = chance
        self.on_transition: Callable[[Transition], object] | None = None
        """Who else wants to know of a breaker that changes its state; the log always does."""
        self.breakers: dict[Key, Breaker] = {}
        self.queues: dict[str, Queue] = {}
        """By the address of their upstream."""
        self._breaker = breaker or BreakerSettings()
        self._hedge = hedging or HedgeSettings()
        self._budgets: dict[str, RetryBudget] = {}
        self._hedgings: dict[Key, Hedging] = {}
        self._traffic = Traffic()

    def line(
        self,
        model: Model,
        upstream: str,
        *,
        places: AdmissionSettings | None = None,
        hedges: bool = False,
        price: Callable[[], Decimal | None] = lambda: None,
    ) -> Line:
        """The line to a model of an upstream. `places`: how many calls it gets at a time, if there is a limit."""
        key = Key(upstream, model.name)
        if key not in self.breakers:
            self._forget()
            self.breakers[key] = Breaker(key, self._breaker, random=self.chance, on_transition=self._changed)
            self._hedgings[key] = Hedging(self._hedge)
        if upstream not in self._budgets:
            self._budgets[upstream] = RetryBudget(self.retry, self._traffic)
        if places is not None and upstream not in self.queues:
            self.queues[upstream] = Queue(places, self.clock)
        return Line(
            model,
            self.breakers[key],
            self._budgets[upstream],
            queue=self.queues.get(upstream) if places is not None else None,
            hedging=self._hedgings[key] if hedges else None,
            price=price,
        )

    def _forget(self) -> None:
        """Models of a catch-all name come as clients name them: beyond a number the oldest is forgotten."""
        if len(self.breakers) >= MOST:
            oldest = next(iter(self.breakers))
            del self.breakers[oldest], self._hedgings[oldest]

    def _changed(self, change: Transition) -> None:
        level = logging.ERROR if change.new == "misconfigured" else logging.WARNING
        _log.log(
            level,
            "the breaker of %s at %s is %s, after %s (%s)",
            change.key.model,
            change.key.upstream,
            change.new,
            change.old,
            change.cause,
        )
        if self.on_transition is not None:
            self.on_transition(change)

    def waiting(self) -> Iterable[tuple[str, int]]:
        """How many requests wait at each upstream that has a limit."""
        return [(upstream, queue.admission.waiting) for upstream, queue in self.queues.items()]
