"""Breaker: whether an upstream is asked at all.

One breaker stands before one upstream, model and class of operation (`Key`). A call is admitted with a `Permit`, which
is given back exactly once, with the call's outcome, when its stream is over; `first_token` is told apart.

    closed ──── too many failures, or slow ones ───▶ open ──── its time is over ───▶ half_open
       ▲                                              ▲                               │    │
       │                                              └────────── a probe fails ──────┘    │
       └── three probes succeed; admission ramps up ───────────────────────────────────────┘

    closed, half_open ──── the upstream refuses our key ───▶ misconfigured ──── a long pause ───▶ half_open
    any ──── force_open ───▶ forced_open      any ──── disable ───▶ disabled

* An outcome counts only in the state in which its call was admitted: a stream that began before the breaker opened says
  nothing of how the upstream is now.
* A 429 is no failure. It pauses the upstream, whatever the state, until its Retry-After.
* Times are monotonic seconds and arguments, chance is an argument. State belongs to this process alone: to begin anew,
  closed and with everything forgotten, is to make a new breaker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

from antiphon.wire.errors import (
    APIError,
    AuthenticationFailed,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    RequestTimeout,
)

__all__ = [
    "Breaker",
    "BreakerSettings",
    "Cause",
    "Key",
    "Outcome",
    "Permit",
    "Reason",
    "Refused",
    "State",
    "Transition",
    "outcome_of",
    "overruled",
]

State: TypeAlias = Literal["closed", "open", "half_open", "misconfigured", "forced_open", "disabled"]

Outcome: TypeAlias = Literal["success", "failure", "connect_failure", "ignored", "throttled", "misconfigured"]
"""How a call ended. `ignored`: it says nothing of the upstream (the client left, or its request was at fault)."""

Reason: TypeAlias = Literal["open", "half_open", "ramp", "throttled", "misconfigured", "forced_open"]
"""Why a call is refused. `half_open`: probes are under way already. `ramp`: not yet all are admitted again."""

Cause: TypeAlias = Literal[
    "failure_ratio",
    "connect_failures",
    "slow_calls",
    "probe_failed",
    "probes_succeeded",
    "key_refused",
    "time",
    "forced",
]
"""Why the state changed."""

Share: TypeAlias = Annotated[float, Meta(gt=0, le=1)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]

RAMP: Final = (0.1, 0.3)
"""Shares of the calls that are admitted after closing, each for an equal part of `ramp`; then all are."""

HINT: Final = 1.0
"""Seconds after which a call that was refused by chance, or for a probe, may ask again."""

FORCED_HINT: Final = 30.0
"""Seconds that the clients of an upstream which an operator took out are told to wait: nobody knows better."""


class BreakerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a breaker opens, for how long, and how it closes. Times are in seconds."""

    window: Seconds = 30.0
    buckets: Count = 10
    """Parts that the window moves on by."""
    volume: Count = 20
    """Calls in the window below which no ratio means anything."""
    ratio: Share = 0.5
    """Failures among the calls of the window that open it."""
    connect_failures: Count = 5
    """Connect failures in a row that open it, whatever the volume."""
    slow_after: Seconds | None = None
    """A first token that comes later is slow. None: slow calls are not looked at."""
    slow_ratio: Share = 0.8
    """Slow first tokens among all of the window that open it."""
    open_for: Seconds = 5.0
    """The first time that it opens; each further time twice as long."""
    longest: Seconds = 300.0
    jitter: Annotated[float, Meta(ge=0, lt=1)] = 0.1
    """Of the time that it is open, either way."""
    probes: Annotated[int, Meta(ge=1, le=10)] = 1
    """Calls at a time while it is half open."""
    successes: Count = 3
    """Probes in a row that close it."""
    ramp: Annotated[float, Meta(ge=0)] = 30.0
    """From closing until all calls are admitted again."""
    stable: Seconds = 60.0
    """Closed for so long, it opens next time as if for the first time."""
    refusals: Count = 3
    """Refusals of our key in a row, no success between them, that make it misconfigured. One is not enough: some
    upstreams answer 403 for what a client asked."""
    misconfigured_for: Seconds = 300.0
    """The pause before a key that was refused is tried again."""
    longest_pause: Seconds = 3600.0
    """The longest Retry-After of a 429 that is believed."""


class Key(NamedTuple):
    """What a breaker stands before."""

    upstream: str
    model: str
    operation: str = "responses"


class Refused(msgspec.Struct, frozen=True):
    """The upstream is not asked."""

    retry_after: float
    """Seconds. What a client is told (`antiphon.policy.retry.outward` bounds it)."""
    reason: Reason


class Transition(msgspec.Struct, frozen=True):
    """A breaker changed its state: for an event and a metric."""

    key: Key
    old: State
    new: State
    at: float
    cause: Cause


class Permit:
    """A call that was admitted. Given back once, with `Breaker.record`."""

    __slots__ = ("_given_back", "period")

    def __init__(self, period: int) -> None:
        self.period = period
        self._given_back = False

    def give_back(self) -> None:
        """Note that it is. Raises RuntimeError if it was before, which is a defect of whoever did it."""
        if self._given_back:
            raise RuntimeError("A permit is given back once.")
        self._given_back = True


_UNCOUNTED: Final = -1
"""The period of a permit for which the breaker was overruled."""

_OVERRULABLE: Final[frozenset[Reason]] = frozenset({"open", "half_open"})
"""What a pool may overrule. An operator's word, a refused key and a Retry-After stand."""

_MOST_DOUBLINGS: Final = 60


class Breaker:
    """The state machine. `random` gives numbers in [0, 1); `on_transition` is told after each change."""

    __slots__ = (
        "_closed_at",
        "_connect_failures",
        "_on_transition",
        "_openings",
        "_paused_until",
        "_period",
        "_ramps",
        "_random",
        "_refusals",
        "_running",
        "_successes",
        "_until",
        "_window",
        "key",
        "settings",
        "state",
    )

    def __init__(
        self,
        key: Key,
        settings: BreakerSettings,
        *,
        random: Callable[[], float],
        on_transition: Callable[[Transition], object] | None = None,
    ) -> None:
        self.key = key
        self.settings = settings
        self.state: State = "closed"
        self._random = random
        self._on_transition = on_transition
        self._window = _Window(settings.window, settings.buckets)
        self._period = 0  # counts changes of state
        self._running = 0  # permits of this period
        self._connect_failures = 0
        self._refusals = 0
        self._successes = 0
        self._openings = 0
        self._until = 0.0
        self._paused_until = 0.0
        self._closed_at = 0.0
        self._ramps = False

    # Calls

    def admit(self, now: float, *, overruled: bool = False) -> Permit | Refused:
        """Let a call through, or say why not. `overruled`: the pool ignores this breaker (see `overruled`)."""
        refused = self.refusal(now)
        if refused is not None and overruled and refused.reason in _OVERRULABLE:
            return Permit(_UNCOUNTED)
        if refused is None and self._ramps:
            refused = self._ramp(now)
        if refused is not None:
            return refused
        if self.state in {"open", "misconfigured"}:
            self._go("half_open", now, "time")
        self._running += 1
        return Permit(self._period)

    def refusal(self, now: float) -> Refused | None:
        """Why a call would be refused now, the ramp left aside. Changes nothing."""
        match self.state:
            case "disabled":
                return None
            case "forced_open":
                return Refused(FORCED_HINT, "forced_open")
            case "open" | "misconfigured" as reason if now < self._until:
                return Refused(max(self._until, self._paused_until) - now, reason)
        if now < self._paused_until:
            return Refused(self._paused_until - now, "throttled")
        if self.state == "half_open" and self._running >= self.settings.probes:
            return Refused(HINT, "half_open")
        return None

    def first_token(self, permit: Permit, seconds: float, now: float) -> None:
        """Note how long an admitted call took to its first output."""
        if permit.period != self._period:
            return
        self._connect_failures = 0
        slow_after = self.settings.slow_after
        if slow_after is None or self.state == "disabled":
            return
        is_slow = seconds > slow_after
        if self.state == "half_open":
            if is_slow:
                self._open(now, "probe_failed")
            return
        self._window.add(_FIRST_TOKENS, now)
        if is_slow:
            self._window.add(_SLOW, now)
        if self._is_reached(_SLOW, _FIRST_TOKENS, self.settings.slow_ratio):
            self._open(now, "slow_calls")

    def record(self, permit: Permit, outcome: Outcome, now: float, retry_after: float | None = None) -> None:
        """Give a permit back with the outcome of its call. `retry_after` is what a 429 said, in seconds.

        Raises RuntimeError if it was given back before.
        """
        permit.give_back()
        if outcome == "throttled" and retry_after is not None:
            self._paused_until = max(self._paused_until, now + min(retry_after, self.settings.longest_pause))
        if permit.period != self._period:
            return
        self._running -= 1
        if self.state == "half_open":
            self._record_probe(outcome, now)
        elif self.state == "closed":
            self._record_call(outcome, now)

    # An operator's word

    def force_open(self, now: float) -> None:
        """Admit nothing from now on."""
        self._go("forced_open", now, "forced")

    def disable(self, now: float) -> None:
        """Admit everything and judge nothing from now on."""
        self._go("disabled", now, "forced")

    # What outcomes lead to

    def _record_call(self, outcome: Outcome, now: float) -> None:
        match outcome:
            case "ignored":
                return
            case "throttled":
                self._connect_failures = 0
                return
            case "misconfigured":
                self._refuse_key(now)
                return
            case "success":
                self._connect_failures = self._refusals = 0
            case "failure":
                self._connect_failures = 0
            case "connect_failure":
                self._connect_failures += 1
        self._window.add(_CALLS, now)
        if outcome != "success":
            self._window.add(_FAILURES, now)
        if self._connect_failures >= self.settings.connect_failures:
            self._open(now, "connect_failures")
        elif self._is_reached(_FAILURES, _CALLS, self.settings.ratio):
            self._open(now, "failure_ratio")

    def _record_probe(self, outcome: Outcome, now: float) -> None:
        match outcome:
            case "success":
                self._successes += 1
                if self._successes >= self.settings.successes:
                    self._go("closed", now, "probes_succeeded")
            case "failure" | "connect_failure":
                self._open(now, "probe_failed")
            case "misconfigured":
                self._misconfigure(now)

    def _refuse_key(self, now: float) -> None:
        self._connect_failures = 0
        self._refusals += 1
        if self._refusals >= self.settings.refusals:
            self._misconfigure(now)

    def _misconfigure(self, now: float) -> None:
        self._until = now + self.settings.misconfigured_for
        self._go("misconfigured", now, "key_refused")

    def _is_reached(self, some: int, of: int, ratio: float) -> bool:
        counts = self._window.counts
        return counts[of] >= self.settings.volume and counts[some] >= ratio * counts[of]

    def _open(self, now: float, cause: Cause) -> None:
        settings = self.settings
        if self.state == "closed" and now - self._closed_at >= settings.stable:
            self._openings = 0
        doublings = min(self._openings, _MOST_DOUBLINGS)
        length = min(settings.open_for * 2.0**doublings, settings.longest)
        self._until = now + length * (1 + settings.jitter * (2 * self._random() - 1))
        self._openings += 1
        self._go("open", now, cause)

    def _ramp(self, now: float) -> Refused | None:
        """Chance decides after closing; one call at a time is no herd, and always goes through."""
        elapsed = now - self._closed_at
        if elapsed >= self.settings.ramp:
            self._ramps = False
            return None
        share = RAMP[min(int(elapsed / self.settings.ramp * len(RAMP)), len(RAMP) - 1)]
        return None if self._running == 0 or self._random() < share else Refused(HINT, "ramp")

    def _go(self, new: State, now: float, cause: Cause) -> None:
        """The only place where the state changes."""
        old, self.state = self.state, new
        if old == new:
            return
        self._period += 1
        self._running = 0
        self._forget()
        if new == "closed":
            self._closed_at = now
        self._ramps = new == "closed" and self.settings.ramp > 0
        if self._on_transition is not None:
            self._on_transition(Transition(self.key, old, new, now, cause))

    def _forget(self) -> None:
        self._successes = self._connect_failures = self._refusals = 0
        self._window.clear()


# The window

_CALLS, _FAILURES, _FIRST_TOKENS, _SLOW = range(4)
_COLUMNS: Final = 4


class _Window:
    """Counts of the last so many seconds, in buckets: adding costs the same whatever was counted."""

    __slots__ = ("_at", "_buckets", "_width", "counts")

    def __init__(self, seconds: float, buckets: int) -> None:
        self._width = seconds / buckets
        self._buckets = [[0] * _COLUMNS for _ in range(buckets)]
        self._at = 0
        self.counts = [0] * _COLUMNS

    def add(self, column: int, now: float) -> None:
        at = int(now / self._width)
        if at > self._at:
            self._move(at)
        self._buckets[self._at % len(self._buckets)][column] += 1
        self.counts[column] += 1

    def clear(self) -> None:
        for bucket in self._buckets:
            bucket[:] = [0] * _COLUMNS
        self.counts[:] = [0] * _COLUMNS

    def _move(self, at: int) -> None:
        """Forget the buckets that time has passed over."""
        for passed in range(max(self._at, at - len(self._buckets)) + 1, at + 1):
            bucket = self._buckets[passed % len(self._buckets)]
            for column, count in enumerate(bucket):
                self.counts[column] -= count
            bucket[:] = [0] * _COLUMNS
        self._at = at


# Pools


def overruled(breakers: Sequence[Breaker], now: float) -> list[Breaker]:
    """The breakers of a pool that are to be ignored, so that at most half of it is out: the nearest to being back.

    None of them when all are out: then nobody is left to protect the others from, and the client is told at once
    (503, with the least `retry_after` of the refusals).
    """
    out = [
        (refused.retry_after, place, refused) for place, each in enumerate(breakers) if (refused := each.refusal(now))
    ]
    surplus = len(out) - len(breakers) // 2
    if surplus <= 0 or len(out) == len(breakers):
        return []
    soonest = sorted((wait, place) for wait, place, refused in out if refused.reason in _OVERRULABLE)
    return [breakers[place] for _, place in soonest[:surplus]]


# Errors

_BY_CODE: Final[dict[str | None, Outcome]] = {
    "upstream_key_refused": "misconfigured",
    "upstream_unreachable": "connect_failure",
}

_BY_CLASS: Final[tuple[tuple[type[APIError], Outcome], ...]] = (
    (QuotaExceeded, "misconfigured"),  # the account behind our key has no money left: a person must act
    (RateLimited, "throttled"),
    (AuthenticationFailed, "misconfigured"),
    (PermissionDenied, "misconfigured"),
    (RequestTimeout, "failure"),
)
"""The first that fits. Of the others, those of the client are ignored and those of a server are failures."""


def outcome_of(error: BaseException | None) -> Outcome:
    """What the end of a call says of its upstream; None is a stream that reached its end.

    What is no `Exception` is somebody leaving: a task that was cancelled, a generator that was closed. An exception
    that is no APIError is a defect of the backend, and a failure.
    """
    if error is None:
        return "success"
    if not isinstance(error, APIError):
        return "failure" if isinstance(error, Exception) else "ignored"
    by_code = _BY_CODE.get(error.code)
    if by_code is not None:
        return by_code
    for kind, outcome in _BY_CLASS:
        if isinstance(error, kind):
            return outcome
    return "failure" if error.status >= 500 else "ignored"
