"""Rate limits: requests and tokens, a minute and a day, of one model in one project.

    limits = Limits(LimitSettings(max_requests_per_1_minute=60, max_tokens_per_1_minute=30_000))
    match limits.reserve(now, tokens_estimate=1_500):
        case Grant() as grant: ...               # call the model
            limits.settle(grant, actual, now)    # it used so many tokens; or
            limits.release(grant, now)           # it was never asked: nothing was used
        case Refused() as refused: ...           # 429, with `message` and `refused.retry_after`

**Buckets.** Each limit is a bucket that is full at first and refilled continuously, by limit / period each second, as
OpenAI's headers count: with 200 requests a day, one comes back every 7m12s. There is no window whose end everybody
waits for. A reservation is taken from all buckets or from none.

**Settling** leaves a bucket as if the actual tokens had been reserved in the first place: what was reserved too much
comes back, save for what the bucket has been refilled with since and could not have held. Tokens above the reservation
are taken when they are known, even if the bucket is then overdrawn; nobody is admitted before it has recovered.

Times are seconds of one monotonic clock, and arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import ceil
from types import MappingProxyType
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

import msgspec
from msgspec import Meta

__all__ = ["Grant", "LimitSettings", "Limits", "Refused", "Standing", "Which", "duration", "message", "of_a_day"]

Which: TypeAlias = Literal["rpm", "rpd", "tpm", "tpd"]
"""Requests or tokens, a minute or a day."""

Most: TypeAlias = Annotated[int, Meta(ge=0)] | None
"""A limit; None: there is none."""


class LimitSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of one model in one project, under the names of the API's `project.rate_limit`; the last is ours."""

    max_requests_per_1_minute: Most = None
    max_requests_per_1_day: Most = None
    max_tokens_per_1_minute: Most = None
    max_tokens_per_1_day: Most = None


class _Kind(NamedTuple):
    """What there is to know of one kind of limit."""

    setting: str
    unit: Literal["requests", "tokens"]
    period: float
    words: str


_KINDS: Final[dict[Which, _Kind]] = {
    "rpm": _Kind("max_requests_per_1_minute", "requests", 60.0, "requests per min (RPM)"),
    "rpd": _Kind("max_requests_per_1_day", "requests", 86_400.0, "requests per day (RPD)"),
    "tpm": _Kind("max_tokens_per_1_minute", "tokens", 60.0, "tokens per min (TPM)"),
    "tpd": _Kind("max_tokens_per_1_day", "tokens", 86_400.0, "tokens per day (TPD)"),
}

_NOTHING: Final[Mapping[Which, int]] = MappingProxyType({})

_ROUNDING: Final = 0.01
"""Of a token or a request: what sums of seconds may be wrong by. Whoever waits as long as told is let in."""


class Grant:
    """A reservation in all buckets. Given back once, with `Limits.settle` or `Limits.release`."""

    __slots__ = ("number", "tokens")

    def __init__(self, number: int, tokens: int) -> None:
        self.number = number
        self.tokens = tokens

    def amount(self, which: Which) -> int:
        """What was taken from a bucket."""
        return _amount(which, self.tokens)


class Refused(msgspec.Struct, frozen=True):
    """There is no room. Nothing was taken from any bucket."""

    retry_after: float | None
    """Seconds until there would be room, if nobody else came; None: never, the request is larger than the limit."""
    which: Which
    """The limit that has room last."""
    limit: int
    used: int
    requested: int


class Standing(msgspec.Struct, frozen=True):
    """Where one limit stands."""

    which: Which
    limit: int
    remaining: int
    """Never negative, and rounded down: so much can be reserved now."""
    reset: float
    """Seconds until the bucket is full again."""

    @property
    def used(self) -> int:
        """What is not there to be reserved."""
        return self.limit - self.remaining


class _Bucket:
    """One limit. `level` is what is missing from a full bucket: it rises by what is taken, and falls with time."""

    __slots__ = ("_at", "_lows", "_rate", "level", "limit")

    def __init__(self, limit: int, period: float, used: float, now: float) -> None:
        self.limit = limit
        self.level = used
        self._rate = limit / period
        self._at = now
        self._lows: dict[int, float] = {}  # grant -> the lowest level since; ascending, as later ones saw less

    def resize(self, limit: int, period: float, now: float) -> None:
        """Another limit from now on; what is missing stays missing."""
        self.refill(now)
        self.limit = limit
        self._rate = limit / period

    def refill(self, now: float) -> None:
        """Let time pass. A clock that goes back is taken to stand still."""
        if now > self._at:
            self.level = max(0.0, self.level - (now - self._at) * self._rate)
            self._at = now
            for number in reversed(self._lows):
                if self._lows[number] <= self.level:
                    break
                self._lows[number] = self.level

    def wait(self, amount: int) -> float | None:
        """Seconds until so much can be taken. None: never."""
        if amount > self.limit or not self.limit:
            return None
        missing = self.level + amount - self.limit
        return missing / self._rate if missing > _ROUNDING else 0.0

    def take(self, number: int, amount: int) -> None:
        """Take what a grant reserves."""
        self.level += amount
        self._lows[number] = self.level

    def give_back(self, number: int, excess: int) -> None:
        """Take a grant's excess back; a negative one is what was used above the reservation.

        Had the excess not been taken, the level would have been lower ever since, but never below zero.
        """
        low = self._lows.pop(number)
        back = min(float(excess), low)
        self.level -= back
        if back > 0:
            for other, its_low in self._lows.items():
                self._lows[other] = its_low - back if other > number else min(its_low, low - back)

    def standing(self, which: Which) -> Standing:
        """Where it stands, as of the last refill."""
        remaining = max(0, int(self.limit - self.level + _ROUNDING))
        return Standing(which, self.limit, remaining, self.level / self._rate if self._rate else 0.0)


class Limits:
    """The limits of one model in one project.

    `used` is what is known to be used up already, such as the requests of the day before a restart.
    """

    __slots__ = ("_buckets", "_grants", "_running", "settings")

    def __init__(self, settings: LimitSettings, now: float, used: Mapping[Which, int] = _NOTHING) -> None:
        self.settings = settings
        self._grants = 0
        self._running: dict[int, Grant] = {}
        self._buckets: dict[Which, _Bucket] = {
            which: _Bucket(limit, _KINDS[which].period, float(used.get(which, 0)), now)
            for which, limit in _limits(settings)
        }

    def change(self, settings: LimitSettings, now: float) -> None:
        """Other limits from now on. What is used stays used; a limit that is new holds what is running."""
        self.settings = settings
        buckets: dict[Which, _Bucket] = {}
        for which, limit in _limits(settings):
            bucket = self._buckets.get(which)
            if bucket is None:
                bucket = _Bucket(limit, _KINDS[which].period, 0.0, now)
                for number, grant in self._running.items():
                    bucket.take(number, grant.amount(which))
            else:
                bucket.resize(limit, _KINDS[which].period, now)
            buckets[which] = bucket
        self._buckets = buckets

    def reserve(self, now: float, tokens_estimate: int) -> Grant | Refused:
        """A request wants to be made that will take so many tokens, input and output."""
        self._refill(now)
        grant = Grant(self._grants, tokens_estimate)
        refused = self._refusal(grant)
        if refused is not None:
            return refused
        self._grants += 1
        self._running[grant.number] = grant
        for which, bucket in self._buckets.items():
            bucket.take(grant.number, grant.amount(which))
        return grant

    def settle(self, grant: Grant, actual_tokens: int, now: float) -> None:
        """A request is over, and took so many tokens. Raises RuntimeError if the grant was given back before."""
        self._give_back(grant, {"requests": 0, "tokens": grant.tokens - actual_tokens}, now)

    def release(self, grant: Grant, now: float) -> None:
        """A request was not made after all. Raises RuntimeError if the grant was given back before."""
        self._give_back(grant, {"requests": 1, "tokens": grant.tokens}, now)

    def standings(self, now: float) -> list[Standing]:
        """Where each limit stands."""
        self._refill(now)
        return [bucket.standing(which) for which, bucket in self._buckets.items()]

    def headers(self, now: float) -> dict[str, str]:
        """The `x-ratelimit-*` headers: of requests and of tokens the limit that has least left, the minute's if equal.

        A unit without a limit has no headers.
        """
        found: dict[str, str] = {}
        standings = self.standings(now)
        for unit in ("requests", "tokens"):
            own = [standing for standing in standings if _KINDS[standing.which].unit == unit]
            if own:
                found |= _headers(unit, min(own, key=lambda standing: standing.remaining))
        return found

    def _refill(self, now: float) -> None:
        for bucket in self._buckets.values():
            bucket.refill(now)

    def _refusal(self, grant: Grant) -> Refused | None:
        """What refuses a grant, if anything: the limit that can never hold it, else the one that has room last."""
        longest: Refused | None = None
        for which, bucket in self._buckets.items():
            wait = bucket.wait(grant.amount(which))
            if wait == 0.0:
                continue
            refused = Refused(wait, which, bucket.limit, ceil(bucket.level - _ROUNDING), grant.amount(which))
            if wait is None:
                return refused
            if longest is None or wait > (longest.retry_after or 0.0):
                longest = refused
        return longest

    def _give_back(self, grant: Grant, excess: Mapping[str, int], now: float) -> None:
        if self._running.get(grant.number) is not grant:
            raise RuntimeError("A grant is given back once.")
        del self._running[grant.number]
        for which, bucket in self._buckets.items():
            bucket.refill(now)
            bucket.give_back(grant.number, excess[_KINDS[which].unit])


def of_a_day(limit: int | None, taken: Iterable[tuple[float, int]], now: float) -> int:
    """What of a day's limit is used up by what was taken at some times, oldest first: after a restart, say.

    The times are of any one clock, that of `now`.
    """
    level, at = 0.0, now
    for time, amount in taken:
        level = max(0.0, level - max(0.0, time - at) * (limit or 0) / _KINDS["rpd"].period) + amount
        at = time
    return ceil(max(0.0, level - max(0.0, now - at) * (limit or 0) / _KINDS["rpd"].period))


def message(refused: Refused, model: str, project: str) -> str:
    """What a 429 says, in the order that OpenAI has made familiar: which limit, where it stands, when to come again."""
    limit = f"for {model} in project {project} on {_KINDS[refused.which].words}: Limit {refused.limit}"
    if refused.retry_after is not None:
        figures = f"Used {refused.used}, Requested {refused.requested}"
        return f"Rate limit reached {limit}, {figures}. Please try again in {duration(refused.retry_after)}."
    if _KINDS[refused.which].unit == "requests":
        return f"No requests are allowed {limit}."
    advice = "Send less input, or ask for less output with max_output_tokens."
    return f"Request too large {limit}, Requested {refused.requested}. {advice}"


def duration(seconds: float) -> str:
    """A time as OpenAI's headers write it: `120ms`, `1.2s`, `6m0s`, `1h2m3s`. Milliseconds, rounded up."""
    milliseconds = ceil(round(seconds * 1000, 3))
    if 0 < milliseconds < 1000:
        return f"{milliseconds}ms"
    whole, rest = divmod(milliseconds, 1000)
    fraction = f".{rest:03}".rstrip("0") if rest else ""
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minute}m{second}{fraction}s"
    return f"{minute}m{second}{fraction}s" if minute else f"{second}{fraction}s"


def _amount(which: Which, tokens: int) -> int:
    return 1 if _KINDS[which].unit == "requests" else tokens


def _limits(settings: LimitSettings) -> Iterator[tuple[Which, int]]:
    for which, kind in _KINDS.items():
        limit = getattr(settings, kind.setting)
        if limit is not None:
            yield which, limit


def _headers(unit: str, standing: Standing) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{unit}": str(standing.limit),
        f"x-ratelimit-remaining-{unit}": str(standing.remaining),
        f"x-ratelimit-reset-{unit}": duration(standing.reset),
    }
