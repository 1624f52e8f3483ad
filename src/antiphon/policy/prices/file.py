"""An own price file: TOML, read once at the start, and refused as a whole when anything in it cannot be meant.

docs/prices.md describes the format. A complaint names the file, the line, the key and the reason.
"""

from __future__ import annotations

import fnmatch
import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from itertools import combinations
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

from msgspec import Struct

from antiphon.policy.prices.names import address_of, names_of
from antiphon.policy.prices.terms import STANDARD, TERMS, ZERO, Price, Rate, Rates

__all__ = ["Entry", "OwnPrices", "PricesError", "read"]

Place: TypeAlias = tuple[str | int, ...]
"""The way to a value: `("price", 0, "tiers", "flex", "factor")`."""

_HIGHEST: Final = 1_000_000
_PLACES: Final = 12
_LONGEST: Final = 50
"""Lines of a value that the search for a line looks back over; each costs a reading of the file."""
_UNITS: Final = {"call": "calls", "session": "sessions"}
_FIELDS: Final = frozenset(
    {*TERMS, "model", "upstream", "from", "until", "request", "tools", "long_context", "tiers"},
)


class PricesError(Exception):
    """A price file that cannot be followed."""

    def __init__(self, file: str, line: int | None, key: str, reason: str) -> None:
        self.file = file
        self.line = line
        """From 1. None if the file could not be read at all."""
        self.key = key
        self.reason = reason
        super().__init__(": ".join(filter(None, (self.place, key, reason))))

    @property
    def place(self) -> str:
        """The file and the line, in words."""
        return self.file if self.line is None else f"{self.file}, line {self.line}"


class Period(Struct, frozen=True):
    """From a moment on, until just before another. None is open."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, at: datetime) -> bool:
        """Whether a moment is in it."""
        return (self.since is None or self.since <= at) and (self.until is None or at < self.until)

    def meets(self, other: Period) -> bool:
        """Whether there is a moment in both."""
        return _begins_before_end(self, other) and _begins_before_end(other, self)


def _begins_before_end(one: Period, other: Period) -> bool:
    return one.since is None or other.until is None or one.since < other.until


class Entry(Struct, frozen=True, kw_only=True):
    """One `[[price]]`."""

    model: str
    """In lower case; with `*` a pattern."""
    pattern: re.Pattern[str] | None
    upstream: str | None
    period: Period
    rates: Rates
    request: Decimal
    tools: Mapping[str, Decimal]
    tiers: Mapping[str, Rates]

    def price(self, source: str, service_tier: str | None, tools: Mapping[str, Decimal]) -> Price:
        """Its price in a service tier; `tools` are those that the file has for every model."""
        is_standard = not service_tier or service_tier in STANDARD
        special = self.tiers.get(service_tier or "")
        return Price(
            model=self.model,
            source=source,
            rates={**self.rates, **(special or {})},
            request=self.request,
            tools={**tools, **self.tools},
            unpriced=() if is_standard or special is not None else (f"service_tier {service_tier}",),
        )

    def rank(self, names: Sequence[str], upstream: str | None) -> tuple[int, ...] | None:
        """How well it fits, to be compared; None if it does not."""
        if self.upstream is not None and not _is_same_place(self.upstream, upstream):
            return None
        if self.pattern is None:
            return (1, -names.index(self.model), self.upstream is not None) if self.model in names else None
        is_fit = any(map(self.pattern.match, names))
        return (0, len(self.model), self.upstream is not None) if is_fit else None


def _is_same_place(listed: str, upstream: str | None) -> bool:
    """Whether an upstream is the listed one: its name, its host, or its host and port."""
    if upstream is None:
        return False
    address = urlsplit(address_of(upstream) or "")
    return listed in {upstream.lower(), address.hostname, address.netloc}


class ToolEntry(Struct, frozen=True):
    """One `[[tool]]`."""

    name: str
    period: Period
    uses: Mapping[str, Decimal]


class OwnPrices(Struct, frozen=True):
    """What a price file says."""

    source: str = ""
    entries: tuple[Entry, ...] = ()
    tools: tuple[ToolEntry, ...] = ()

    def price_of(self, model: str, upstream: str | None, at: datetime, service_tier: str | None) -> Price | None:
        """The price of a model at a time: an exact name before a pattern, a longer pattern before a shorter one."""
        names = names_of(model)
        ranked = ((entry.rank(names, upstream), entry) for entry in self.entries if entry.period.holds(at))
        fitting = [(rank, entry) for rank, entry in ranked if rank is not None]
        if not fitting:
            return None
        _, best = max(fitting, key=lambda pair: pair[0])
        return best.price(self.source, service_tier, self.tools_at(at))

    def tools_at(self, at: datetime) -> dict[str, Decimal]:
        """What hosted tools cost with every model."""
        return {use: price for entry in self.tools if entry.period.holds(at) for use, price in entry.uses.items()}


# Reading


def read(path: Path) -> OwnPrices:
    """The prices of a file. Raises PricesError."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise PricesError(path.name, None, "", f"cannot be read: {error}") from error
    top = _Table(_Text(path.name, text), (), _parsed(path.name, text), {"price", "tool"})
    entries = [(table, _entry(table)) for table in top.tables("price", _FIELDS)]
    tools = [(table, _tool(table)) for table in top.tables("tool", {"name", "from", "until", *_UNITS})]
    _check_distinct([(table, (entry.model, entry.upstream), entry.period) for table, entry in entries])
    _check_distinct([(table, (entry.name,), entry.period) for table, entry in tools])
    return OwnPrices(path.name, tuple(entry for _, entry in entries), tuple(entry for _, entry in tools))


def _parsed(file: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text, parse_float=Decimal)
    except RecursionError as error:
        raise PricesError(file, 1, "", "this is no TOML: nested too deeply") from error
    except ValueError as error:
        found = re.search(r"\(at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise PricesError(file, line, "", f"this is no TOML: {error}") from error


def _entry(table: _Table) -> Entry:
    model = table.text("model")
    if model is None:
        raise table.refuse("model", "must be set")
    upstream = table.text("upstream")
    if upstream is not None and "/" in upstream:
        raise table.refuse("upstream", "expected a host, a host:port, or the name of a provider")
    rates = _rates(table, {})
    if "input" not in rates:
        raise table.refuse("input", "must be set; 0 if it is free")
    return Entry(
        model=model,
        pattern=_pattern(model) if "*" in model else None,
        upstream=upstream,
        period=_period(table),
        rates=rates,
        request=table.money("request") or ZERO,
        tools={use: price for name, tool in table.named("tools", set(_UNITS)) for use, price in _uses(name, tool)},
        tiers={name: _tier(tier, rates) for name, tier in table.named("tiers", {*TERMS, "long_context", "factor"})},
    )


def _pattern(model: str) -> re.Pattern[str]:
    """`*` stands for any text, everything else for itself."""
    return re.compile(fnmatch.translate(model.replace("[", "[[]").replace("?", "[?]")))


def _tool(table: _Table) -> ToolEntry:
    name = table.text("name")
    if name is None:
        raise table.refuse("name", "must be set")
    return ToolEntry(name, _period(table), dict(_uses(name, table)))


def _uses(name: str, table: _Table) -> Iterator[tuple[str, Decimal]]:
    prices = {unit: table.money(unit) for unit in _UNITS}
    if all(price is None for price in prices.values()):
        raise table.refuse("call", "must be set, or session")
    yield from ((f"{name}_{_UNITS[unit]}", price) for unit, price in prices.items() if price is not None)


def _period(table: _Table) -> Period:
    since, until = table.moment("from"), table.moment("until")
    if since is not None and until is not None and until <= since:
        raise table.refuse("until", "must be later than from")
    return Period(since, until)


def _rates(table: _Table, standard: Rates) -> dict[str, Rate]:
    """The rates that a table sets. Of `standard` it has what it names only as a step."""
    rates = {term: Rate(price) for term in TERMS if (price := table.money(term)) is not None}
    last = -1
    for step in table.tables("long_context", {"above", *TERMS}):
        above = step.count("above")
        if above <= last:
            raise step.refuse("above", "must be larger than in the step before")
        last = above
        rates |= {term: _stepped(term, step, above, rates, standard) for term in TERMS if term in step.values}
    return rates


def _stepped(term: str, step: _Table, above: int, rates: Rates, standard: Rates) -> Rate:
    """A term's rate with one step more. That of the standard is begun anew, with its base."""
    price = step.money(term)
    rate = rates.get(term) or (Rate(standard[term].base) if term in standard else None)
    if rate is None or price is None:
        raise step.refuse(term, f"needs {term} outside of long_context, for requests that are shorter")
    return Rate(rate.base, (*rate.steps, (above, price)))


def _tier(table: _Table, standard: Rates) -> Rates:
    factor = table.money("factor")
    if factor is None:
        return _rates(table, standard)
    other = next((key for key in table.values if key != "factor"), None)
    if other is not None:
        raise table.refuse(other, "factor is set too, and only one of them can be")
    return {term: rate.times(factor) for term, rate in standard.items()}


def _check_distinct(entries: list[tuple[_Table, tuple[str | None, ...], Period]]) -> None:
    """Two entries for the same thing at the same time: one of them is a mistake."""
    for (_, name, period), (table, other, others) in combinations(entries, 2):
        if name == other and period.meets(others):
            raise table.refuse("", "an entry above it is for the same at the same time")


# Tables and their values


class _Text(Struct, frozen=True):
    """The text of the file, to tell where something stands in it."""

    file: str
    text: str

    def line_of(self, place: Place) -> int:
        """The line on which a value was said, from 1: that with which the file, cut there, has it.

        Cut within a value of several lines, the file is no TOML; then what stands before the value counts, unless the
        value is very long.
        """
        lines = self.text.split("\n")
        return bisect_left(range(1, len(lines)), 1, key=lambda count: _is_there(lines[:count], place)) + 1


def _is_there(lines: list[str], place: Place) -> bool:
    for count in range(len(lines), max(len(lines) - _LONGEST, 0), -1):
        try:
            value: Any = tomllib.loads("\n".join(lines[:count]))
        except ValueError:
            continue
        return _has(value, place)
    return False


def _has(value: Any, place: Place) -> bool:
    for step in place:
        if not (step in value if isinstance(value, dict) else isinstance(step, int) and step < len(value)):
            return False
        value = value[step]
    return True


class _Table:
    """One table of the file, and where it stands."""

    def __init__(self, text: _Text, place: Place, values: Any, known: set[str] | frozenset[str]) -> None:
        self.text_of_file = text
        self.place = place
        if not isinstance(values, dict):
            raise self._error(place, "expected a table")
        self.values: dict[str, Any] = values
        for key in values:
            if key not in known:
                raise self.refuse(key, f"there is no such key; there are {', '.join(sorted(known))}")

    def refuse(self, key: str, reason: str) -> PricesError:
        """The complaint about a key, or about the table itself."""
        return self._error((*self.place, *filter(None, (key,))), reason)

    def text(self, key: str) -> str | None:
        """A name, in lower case as names are compared."""
        value = self.values.get(key)
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise self.refuse(key, "expected a text that is not empty")
        return value.strip().lower() if value else None

    def money(self, key: str) -> Decimal | None:
        """Dollars, or a factor of them."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self.refuse(key, "expected a number")
        price = Decimal(value)
        exponent = price.as_tuple().exponent
        if not isinstance(exponent, int) or not 0 <= price <= _HIGHEST or exponent < -_PLACES:
            raise self.refuse(key, f"expected a number from 0 to {_HIGHEST}, with up to {_PLACES} decimal places")
        return abs(price)

    def count(self, key: str) -> int:
        """A number of tokens that must be there."""
        value = self.values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.refuse(key, "expected a number of tokens" if key in self.values else "must be set")
        return value

    def moment(self, key: str) -> datetime | None:
        """A date, which begins at midnight, or a date with a time. In UTC where it has no offset."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, date):
            raise self.refuse(key, "expected a date, such as 2026-01-31, without quotes")
        moment = value if isinstance(value, datetime) else datetime.combine(value, time())
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def tables(self, key: str, known: set[str] | frozenset[str]) -> list[_Table]:
        """The tables of an array."""
        values = self.values.get(key, [])
        if not isinstance(values, list):
            raise self.refuse(key, "expected an array of tables")
        return [_Table(self.text_of_file, (*self.place, key, n), each, known) for n, each in enumerate(values)]

    def named(self, key: str, known: set[str]) -> list[tuple[str, _Table]]:
        """The tables of a table, by their names."""
        values = self.values.get(key, {})
        if not isinstance(values, dict):
            raise self.refuse(key, "expected a table")
        return [
            (name, _Table(self.text_of_file, (*self.place, key, name), each, known)) for name, each in values.items()
        ]

    def _error(self, place: Place, reason: str) -> PricesError:
        key = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).removeprefix(".")
        return PricesError(self.text_of_file.file, self.text_of_file.line_of(_told(self, place)), key, reason)


def _told(table: _Table, place: Place) -> Place:
    """What of a place stands in the file: a key that is missing is told at its table."""
    return place if len(place) == len(table.place) or place[-1] in table.values else table.place
