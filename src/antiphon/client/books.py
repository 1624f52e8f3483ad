"""Books: what was spent, added up by hour and model, and the periods that budgets and summaries go by.

Periods are those of the calendar, in UTC: an hour, a day, a week from Monday on, a month; `total` has no beginning.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal, localcontext
from typing import Final, Literal, TypeAlias, get_args

import msgspec

from antiphon.client.ledger import SpentLine
from antiphon.policy.prices.terms import EXACT, ZERO

__all__ = ["PERIODS", "Books", "Period", "Spending", "Summary", "begin_of", "end_of"]

Period: TypeAlias = Literal["hour", "day", "week", "month", "total"]
PERIODS: Final[tuple[Period, ...]] = get_args(Period)

_HOUR: Final = 3600
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def begin_of(period: Period, at: float) -> datetime:
    """When the period began that a time is in."""
    hour = datetime.fromtimestamp(at, UTC).replace(minute=0, second=0, microsecond=0)
    match period:
        case "hour":
            return hour
        case "day":
            return hour.replace(hour=0)
        case "week":
            return hour.replace(hour=0) - timedelta(days=hour.weekday())
        case "month":
            return hour.replace(day=1, hour=0)
    return _EPOCH


def end_of(period: Period, at: float) -> datetime | None:
    """When the next period begins; None if none does."""
    begun = begin_of(period, at)
    match period:
        case "hour":
            return begun + timedelta(hours=1)
        case "day":
            return begun + timedelta(days=1)
        case "week":
            return begun + timedelta(days=7)
        case "month":
            return (begun + timedelta(days=31)).replace(day=1)
    return None


class Spending(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent on some requests."""

    cost: Decimal = ZERO
    """US dollars, of those whose price was known."""
    requests: int = 0
    unpriced: int = 0
    """Requests whose price was not known. They are not in `cost`."""
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: Spending) -> Spending:
        with localcontext(EXACT):
            names = self.__struct_fields__
            return Spending(**{name: getattr(self, name) + getattr(other, name) for name in names})

    @property
    def average(self) -> Decimal | None:
        """What a request cost whose price was known; None if there was none."""
        priced = self.requests - self.unpriced
        return self.cost / priced if priced else None


class Summary(Spending, frozen=True, kw_only=True):
    """What was spent in a period."""

    period: Period
    since: datetime
    by_model: Mapping[str, Spending] = {}


class Books:
    """Sums by hour and model."""

    def __init__(self) -> None:
        self._hours: dict[tuple[int, str], Spending] = {}

    def clear(self) -> None:
        """Forget all."""
        self._hours.clear()

    def add(self, line: SpentLine) -> None:
        """Enter what a request cost."""
        place = (int(line.at // _HOUR), line.model)
        self._hours[place] = self._hours.get(place, Spending()) + spending_of(line)

    def with_lines(self, lines: Iterable[SpentLine]) -> Books:
        """These, and some lines more."""
        books = Books()
        books._hours = dict(self._hours)
        for line in lines:
            books.add(line)
        return books

    def spent(self, since: datetime, model: str | None = None) -> Decimal:
        """US dollars since the beginning of an hour."""
        first = since.timestamp() // _HOUR
        costs = (sums.cost for (hour, name), sums in self._hours.items() if hour >= first and model in (None, name))
        with localcontext(EXACT):
            return sum(costs, ZERO)

    def summaries(self, period: Period) -> Iterator[Summary]:
        """All periods in which something was spent, the oldest first."""
        periods: dict[datetime, dict[str, Spending]] = {}
        for (hour, model), sums in sorted(self._hours.items()):
            models = periods.setdefault(begin_of(period, hour * _HOUR), {})
            models[model] = models.get(model, Spending()) + sums
        for since, models in periods.items():
            yield _summary(period, since, models)

    def summary(self, period: Period, at: float) -> Summary:
        """The period that a time is in."""
        since = begin_of(period, at)
        found = (summary for summary in self.summaries(period) if summary.since == since)
        return next(found, Summary(period=period, since=since))


def _summary(period: Period, since: datetime, models: Mapping[str, Spending]) -> Summary:
    whole = sum_of(models.values())
    return Summary(period=period, since=since, by_model=dict(models), **msgspec.structs.asdict(whole))


def sum_of(several: Iterable[Spending]) -> Spending:
    """All of some spendings together."""
    whole = Spending()
    for each in several:
        whole += each
    return whole


def spending_of(line: SpentLine) -> Spending:
    """What one entry adds."""
    return Spending(
        cost=line.cost or ZERO,
        requests=1,
        unpriced=int(line.cost is None),
        input_tokens=line.input,
        cached_tokens=line.cached,
        output_tokens=line.output,
    )
