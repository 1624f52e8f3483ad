"""Retry: whether a call that failed is made again, where, and when.

`decide` looks at one failure and gives one of four verdicts: wait and ask the same upstream, ask the next one now, go
on within an answer that its upstream can resume, or give up. It holds what all verdicts but the last need: a `Place`
in a `RetryBudget`. First calls take a place too, since the budget is a share of what is under way.

    place = budget.begin()                                  # the first call
    ...                                                     # it fails
    budget.end(place, success=False)
    verdict = decide(failure, settings, here=budget, elsewhere=next_budget, random=random)
    ...                                                     # Wait, Elsewhere and Continue hold the place of the retry

A retry is paid for by the upstream that it goes to, and gets its tokens back when it succeeds: an upstream that answers
can be fallen back to for ever, one that does not is soon left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from antiphon.policy.breaker import Outcome, outcome_of
from antiphon.wire.errors import APIError

__all__ = [
    "Continue",
    "Elsewhere",
    "Failure",
    "Fault",
    "GiveUp",
    "Place",
    "RetryBudget",
    "RetrySettings",
    "Traffic",
    "Verdict",
    "Wait",
    "Why",
    "decide",
    "no_room",
    "outward",
]

Fault: TypeAlias = Literal["transient", "throttled"]

Why: TypeAlias = Literal["not_retryable", "output", "attempts", "retry_after", "deadline", "budget", "no_room"]
"""What a retry fails by: the kind of error; output that the client has; the number of attempts; a Retry-After beyond
our patience; the request's deadline; the retry budget; the breaker or the queue of whoever was to be asked."""

Seconds: TypeAlias = Annotated[float, Meta(gt=0)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]

LONGEST_HINT: Final = 120.0
"""Seconds. The official SDKs do not retry at all when they are told to wait longer."""

_MOST_DOUBLINGS: Final = 60


class RetrySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often, how soon, and at whose cost. Times are in seconds."""

    attempts: Count = 3
    """Calls for one request, the first among them, at all upstreams together; at least one for each upstream."""
    resumes: Count = 6
    """Connections in a row over which an answer that can be resumed may bring nothing new. More than `attempts`: what
    was done for it would be lost."""
    base: Seconds = 0.1
    throttled_base: Seconds = 1.0
    """The longest first wait: after a fault, and after a 429 without Retry-After. It doubles with each attempt."""
    longest: Seconds = 8.0
    """The longest wait that doubling leads to."""
    patience: Annotated[float, Meta(ge=0)] = 2.0
    """The longest Retry-After that is waited for."""
    bucket: Count = 500
    """Tokens of an upstream's budget."""
    transient_cost: Count = 14
    throttled_cost: Count = 5
    refund: Count = 1
    """Tokens that a first call which succeeds brings back. A retry that succeeds brings back what it cost."""
    share: Annotated[float, Meta(ge=0, le=1)] = 0.2
    least: Annotated[int, Meta(ge=0)] = 3
    """Retries at a time: so many, or this share of the calls under way, whichever is more."""


# The budget


class Traffic:
    """Calls that are under way, and the retries among them. Upstreams that stand in for each other share one."""

    __slots__ = ("calls", "retries")

    def __init__(self) -> None:
        self.calls = 0
        self.retries = 0


class Place:
    """A call that is under way, or about to be. Given back once, with `RetryBudget.end` or `cancel` of its budget."""

    __slots__ = ("budget", "cost", "is_open")

    def __init__(self, budget: RetryBudget, cost: int) -> None:
        self.budget = budget
        self.cost = cost
        """Tokens that were taken for it; 0 for a first call."""
        self.is_open = True


class RetryBudget:
    """What retries may cost one upstream: a bucket of tokens, and a share of the traffic."""

    __slots__ = ("_costs", "settings", "tokens", "traffic")

    def __init__(self, settings: RetrySettings, traffic: Traffic | None = None) -> None:
        self.settings = settings
        self.tokens = settings.bucket
        self.traffic = Traffic() if traffic is None else traffic
        self._costs: dict[Fault, int] = {"transient": settings.transient_cost, "throttled": settings.throttled_cost}

    def begin(self) -> Place:
        """A first call begins. It is never refused."""
        self.traffic.calls += 1
        return Place(self, 0)

    def retry(self, fault: Fault) -> Place | None:
        """Take what a retry costs and its share of the traffic; None if either is not there."""
        cost = self._costs[fault]
        traffic = self.traffic
        most = max(self.settings.least, self.settings.share * traffic.calls)
        if self.tokens < cost or traffic.retries + 1 > most:
            return None
        self.tokens -= cost
        traffic.calls += 1
        traffic.retries += 1
        return Place(self, cost)

    def end(self, place: Place, *, success: bool) -> None:
        """A call is over. Raises RuntimeError if it was before."""
        self._leave(place)
        if success:
            self._put_back(place.cost or self.settings.refund)

    def cancel(self, place: Place) -> None:
        """A call was not made after all; it costs nothing. Raises RuntimeError if its place was given back before."""
        self._leave(place)
        self._put_back(place.cost)

    def _leave(self, place: Place) -> None:
        if not place.is_open or place.budget is not self:
            raise RuntimeError("A place is given back once, to the budget that it is from.")
        place.is_open = False
        self.traffic.calls -= 1
        if place.cost:
            self.traffic.retries -= 1

    def _put_back(self, tokens: int) -> None:
        self.tokens = min(self.tokens + tokens, self.settings.bucket)


# The decision


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A call that failed, and how things stand. Times are monotonic seconds."""

    error: APIError
    attempts: int
    """Calls made for this request so far, this one among them; for an answer that is resumed, those since the last
    that brought anything new."""
    now: float
    deadline: float | None = None
    first_token: float = 0.0
    """The least time that a first token needs."""
    others: int = 0
    """Upstreams that were not asked yet: so many calls are theirs."""
    has_output: bool = False
    """Whether an output event reached the client. `response.created` and `in_progress` are ours: they do not count. A
    tool that has started does: its item is told first."""
    is_resumable: bool = False
    """Whether the upstream can go on with the answer where it broke off. Then it does, or nothing is done."""


class Wait(msgspec.Struct, frozen=True):
    """Ask the same upstream again, after so many seconds."""

    seconds: float
    place: Place


class Elsewhere(msgspec.Struct, frozen=True):
    """Ask the next upstream, now."""

    place: Place


class Continue(msgspec.Struct, frozen=True):
    """After so many seconds, ask the same upstream for the rest of its answer."""

    seconds: float
    place: Place


class GiveUp(msgspec.Struct, frozen=True):
    """The request fails with the error of its last call."""

    why: Why
    should_retry: bool | None = None
    """What the client is told about retrying; None: as the error says."""


Verdict: TypeAlias = Wait | Elsewhere | Continue | GiveUp

_FAULTS: Final[dict[Outcome, Fault]] = {
    "failure": "transient",
    "connect_failure": "transient",
    "throttled": "throttled",
    "misconfigured": "transient",  # only elsewhere, where the key is another
}

_FINAL: Final[frozenset[Why]] = frozenset({"budget", "attempts", "no_room"})
"""The client is told not to retry: this server is the layer that does, and has. A 429 that says when there is room is
passed on as it is, except where the budget is spent."""


def decide(
    failure: Failure,
    settings: RetrySettings,
    *,
    here: RetryBudget,
    elsewhere: RetryBudget | None,
    random: Callable[[], float],
) -> Verdict:
    """What to do about a failure. `elsewhere` is the budget of the next upstream, None if none is left.

    `random` gives numbers in [0, 1). A verdict other than GiveUp has taken the place that it holds.
    """
    outcome = outcome_of(failure.error)
    fault = _FAULTS.get(outcome)
    if fault is None or (failure.error.should_retry is False and outcome != "misconfigured"):
        return GiveUp("not_retryable")
    why = _forbidden(failure, settings)
    if why is not None:
        return _give_up(why, failure.error)
    wait = None if outcome == "misconfigured" else _wait(failure, fault, settings, random())
    why = "not_retryable" if outcome == "misconfigured" else "retry_after"
    has_calls_left = failure.attempts + failure.others < settings.attempts
    for seconds, budget, stays in _ways(failure, wait, here, elsewhere, has_calls_left=has_calls_left):
        if not _is_in_time(failure, seconds):
            why = "deadline"
        elif (place := budget.retry(fault)) is None:
            why = "budget"
        elif not stays:
            return Elsewhere(place)
        else:
            return Continue(seconds, place) if failure.is_resumable else Wait(seconds, place)
    return _give_up(why, failure.error)


def no_room(error: APIError) -> GiveUp:
    """What to do about a failure after which whoever was to be asked has let nobody in."""
    return _give_up("no_room", error)


def outward(seconds: float, *, give_up: bool = False) -> float:
    """The Retry-After that a client is told, in seconds: at most 120, or it would not retry, unless it should not."""
    return seconds if give_up else min(seconds, LONGEST_HINT)


def _forbidden(failure: Failure, settings: RetrySettings) -> Why | None:
    """What stands against any further call."""
    if failure.has_output and not failure.is_resumable:
        return "output"
    most = settings.resumes if failure.is_resumable else settings.attempts
    return "attempts" if failure.attempts >= most else None


def _ways(
    failure: Failure, wait: float | None, here: RetryBudget, elsewhere: RetryBudget | None, *, has_calls_left: bool
) -> Iterator[tuple[float, RetryBudget, bool]]:
    """After how many seconds a further call could be made, at whose cost, and whether it stays; the better way first.

    An upstream that says when it has room is waited for, as long as there are calls left beside one for each of the
    others, and one that can resume is the only one. Otherwise another one is better than any wait.
    """
    is_first = (failure.error.retry_after is not None and has_calls_left) or failure.is_resumable
    if wait is not None and is_first:
        yield wait, here, True
    if elsewhere is not None and not failure.is_resumable:
        yield 0.0, elsewhere, False
    if wait is not None and not is_first:
        yield wait, here, True


def _wait(failure: Failure, fault: Fault, settings: RetrySettings, chance: float) -> float | None:
    """Seconds before the same upstream may be asked again: full jitter, and no sooner than it says. None: too long."""
    hint = failure.error.retry_after or 0.0
    if hint > settings.patience:
        return None
    base = settings.throttled_base if fault == "throttled" else settings.base
    doublings = min(failure.attempts - 1, _MOST_DOUBLINGS)
    return max(hint, chance * min(settings.longest, base * 2.0**doublings))


def _is_in_time(failure: Failure, wait: float) -> bool:
    return failure.deadline is None or failure.now + wait + failure.first_token <= failure.deadline


def _give_up(why: Why, error: APIError) -> GiveUp:
    is_passed_on = outcome_of(error) == "throttled" and error.retry_after is not None and why != "budget"
    return GiveUp(why, False if why in _FINAL and not is_passed_on else None)
