"""Upstreams: what a process knows of those it asks, by address and by model, whichever names requests use."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Literal, TypeAlias

from antiphon.engine.lines import Line
from antiphon.engine.queue import Queue
from antiphon.policy.admission import AdmissionSettings
from antiphon.policy.breaker import Breaker, BreakerSettings, Key, Transition
from antiphon.policy.hedge import HedgeSettings, Hedging
from antiphon.policy.retry import RetryBudget, RetrySettings, Traffic
from antiphon.ports import Clock, Model

_log = logging.getLogger(__name__)

MOST = 1000
"""Models that are remembered of those that only clients name."""

OTHERS = "*"
"""The label of all of them."""

Word: TypeAlias = Literal["auto", "open", "off"]
"""An operator's word on a breaker (rule 8). `open`: nobody is admitted. `off`: everybody is, and nothing is judged."""


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
        self.configured: set[Key] = set()
        """Models that the configuration names: they are not forgotten, and have a label of their own."""
        self.queues: dict[str, Queue] = {}
        """By the address of their upstream."""
        self.judges: dict[str, Queue] = {}
        """The same for judges."""
        self._breaker = breaker or BreakerSettings()
        self._hedge = hedging or HedgeSettings()
        self._budgets: dict[str, RetryBudget] = {}
        self._hedgings: dict[Key, Hedging] = {}
        self._others: dict[Key, None] = {}
        """Models that only clients have named, the newest last."""
        self._traffic = Traffic()

    def line(
        self,
        model: Model,
        upstream: str,
        *,
        places: AdmissionSettings | None = None,
        hedges: bool = False,
        breaker: Word = "auto",
        price: Callable[[], Decimal | None] = lambda: None,
        is_configured: bool = True,
    ) -> Line:
        """The line to a model of an upstream. `places`: how many calls it gets at a time, if there is a limit.

        `is_configured` is False for a name that comes from a client.
        """
        key = Key(upstream, model.name)
        if key not in self.breakers:
            self.breakers[key] = Breaker(key, self._breaker, random=self.chance, on_transition=self._changed)
            self._hedgings[key] = Hedging(self._hedge)
        self._remember(key, is_configured)
        self._force(self.breakers[key], breaker)
        if upstream not in self._budgets:
            self._budgets[upstream] = RetryBudget(self.retry, self._traffic)
        if places is not None and upstream not in self.queues:
            self.queues[upstream] = Queue(places, self.clock)
            self.judges[upstream] = Queue(places, self.clock)
        return Line(
            model,
            self.breakers[key],
            self._budgets[upstream],
            queue=self.queues.get(upstream) if places is not None else None,
            judges=self.judges.get(upstream) if places is not None else None,
            hedging=self._hedgings[key] if hedges else None,
            price=price,
        )

    def _remember(self, key: Key, is_configured: bool) -> None:
        """Clients may name as many models as they like: beyond a number the oldest is forgotten."""
        self._others.pop(key, None)
        if is_configured:
            self.configured.add(key)
        elif key not in self.configured:
            self._others[key] = None
            if len(self._others) > MOST:
                oldest = next(iter(self._others))
                del self._others[oldest], self.breakers[oldest], self._hedgings[oldest]

    def _force(self, breaker: Breaker, word: Word) -> None:
        match word:
            case "open":
                breaker.force_open(self.clock.monotonic())
            case "off":
                breaker.disable(self.clock.monotonic())

    def label_of(self, key: Key) -> str:
        """What a metric calls a model: its name, or `*` where that is a client's."""
        return key.model if key in self.configured else OTHERS

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
        """How many requests, and judges, wait at each upstream that has a limit."""
        return [
            (upstream, queue.admission.waiting + self.judges[upstream].admission.waiting)
            for upstream, queue in self.queues.items()
        ]
