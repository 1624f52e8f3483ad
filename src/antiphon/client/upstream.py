"""Upstream: what a client knows of the server that it asks: breakers by model, and the retry budget.

Threads may share a client, so each decision is made under a lock. None of them waits.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import msgspec

from antiphon.client.border import judged
from antiphon.client.errors import CircuitOpen, ClientError
from antiphon.client.records import Observer
from antiphon.policy.breaker import Breaker, BreakerSettings, Key, Permit, Refused, outcome_of
from antiphon.policy.retry import Failure, Place, RetryBudget, RetrySettings, Verdict, decide

__all__ = ["Attempt", "Upstream"]


class Attempt(msgspec.Struct):
    """One call of the server that is under way. Given back once, with `Upstream.end`."""

    place: Place
    breaker: Breaker | None
    permit: Permit | None
    since: float
    has_output: bool = False


class Upstream:
    """One server, seen from one client."""

    def __init__(
        self,
        name: str,
        retry: RetrySettings,
        breaker: BreakerSettings | None,
        random: Callable[[], float],
        observers: tuple[Observer, ...],
    ) -> None:
        self.name = name
        self.retry = retry
        self._breaking = breaker
        self._random = random
        self._observers = observers
        self._budget = RetryBudget(retry)
        self._breakers: dict[str, Breaker] = {}
        self._lock = threading.RLock()  # an observer that is told of a transition may look at the breaker

    def breaker(self, model: str) -> Breaker | None:
        """The breaker of a model; None if the client has none."""
        if self._breaking is None:
            return None
        with self._lock:
            found = self._breakers.get(model)
            if found is None:
                key = Key(self.name, model)
                found = Breaker(key, self._breaking, random=self._random, on_transition=self._tell)
                self._breakers[model] = found
            return found

    def begin(self, model: str, place: Place | None, now: float) -> Attempt:
        """Call the server. `place` is that of a retry, None for a first call. Raises CircuitOpen."""
        breaker = self.breaker(model)
        with self._lock:
            permit = None if breaker is None else breaker.admit(now)
            if isinstance(permit, Refused):
                if place is not None:
                    self._budget.cancel(place)
                raise CircuitOpen(_refusal(self.name, model, permit), retry_after=permit.retry_after)
            return Attempt(place or self._budget.begin(), breaker, permit, now)

    def first_output(self, attempt: Attempt, now: float) -> None:
        """The first output of a call came."""
        attempt.has_output = True
        if attempt.breaker is not None and attempt.permit is not None:
            with self._lock:
                attempt.breaker.first_token(attempt.permit, now - attempt.since, now)

    def end(self, attempt: Attempt, fault: BaseException | None, now: float, *, brought: bool) -> None:
        """A call is over: with the end of its answer, with an error, or because the caller left.

        `brought`: it brought something that need not be asked for again, so that trying paid off.
        """
        error = judged(fault) if isinstance(fault, ClientError) else fault
        with self._lock:
            self._budget.end(attempt.place, success=error is None or brought)
            if attempt.breaker is not None and attempt.permit is not None:
                hint = getattr(error, "retry_after", None)
                attempt.breaker.record(attempt.permit, outcome_of(error), now, hint)

    def decide(self, failure: Failure) -> Verdict:
        """Whether the server is asked again."""
        with self._lock:
            return decide(failure, self.retry, here=self._budget, elsewhere=None, random=self._random)

    def cancel(self, place: Place) -> None:
        """A retry was not made after all."""
        with self._lock:
            self._budget.cancel(place)

    def _tell(self, record: object) -> None:
        for observer in self._observers:
            observer(record)  # type: ignore[arg-type]  # a Transition is a Record


def _refusal(name: str, model: str, refused: Refused) -> str:
    if refused.reason == "throttled":
        return f"{name} said that it has no room for {model}."
    if refused.reason == "misconfigured":
        return f"{name} refuses the key for {model}."
    return f"{name} is not asked for {model} at the moment: its circuit is open ({refused.reason})."
