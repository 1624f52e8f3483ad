"""The ledger: what each piece of work used and what it cost, and below it each attempt.

A row is *open* from the beginning of the work to its end; then it is written again, with what it has come to. So what a
crash has cut is known to the next start. What was used is what was used at the upstreams: by attempts that failed, by
calls beside slow ones and by models that judge, too; what the response cache answered used nothing.

Money is in US dollars and exact. None is a price that nobody knows, which is not the same as 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Context, Decimal
from typing import Final, Literal, TypeAlias

import msgspec

from antiphon.turn.report import Began, Operation, Report
from antiphon.turn.trace import Attempt, Outcome
from antiphon.wire import response
from antiphon.wire.response import InputTokensDetails, OutputTokensDetails

__all__ = [
    "ALL_TIME",
    "EXACT",
    "NOTHING",
    "RESTARTED",
    "Charge",
    "Group",
    "Row",
    "Spent",
    "Tokens",
    "Usage",
    "UsageQuery",
    "attempts_of",
    "cut",
    "opened",
    "report_of_row",
    "row_of",
    "total",
    "used",
]

EXACT: Final = Context(prec=60)
"""Sums of money lose no digit: the smallest price has 18 decimal places, and the largest sum not forty before them."""

RESTARTED: Final = "server_restarted"
"""The code of what a crash has cut."""

_LARGEST: Final = 2**53
"""Figures are other servers': beyond this they are a mistake, and must not keep a row from being written."""

FREE: Final = ("hit", "shared")
"""What the cache answered was paid for once, by another request."""


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What was used. Cached tokens and those written to a cache are part of the input, reasoning of the output."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0

    @classmethod
    def of(cls, usage: response.Usage | None) -> Tokens:
        """The tokens that an upstream reports."""
        if usage is None:
            return NOTHING
        return cls(
            input=_figure(usage.input_tokens),
            cached=_figure(usage.input_tokens_details.cached_tokens),
            cache_write=_figure(usage.input_tokens_details.cache_write_tokens),
            output=_figure(usage.output_tokens),
            reasoning=_figure(usage.output_tokens_details.reasoning_tokens),
        )

    def usage(self) -> response.Usage:
        """The same in the words of the API."""
        return response.Usage(
            input_tokens=self.input,
            input_tokens_details=InputTokensDetails(cached_tokens=self.cached, cache_write_tokens=self.cache_write),
            output_tokens=self.output,
            output_tokens_details=OutputTokensDetails(reasoning_tokens=self.reasoning),
            total_tokens=self.input + self.output,
        )

    def __add__(self, other: Tokens) -> Tokens:
        """The sum, figure by figure."""
        pairs = zip(msgspec.structs.astuple(self), msgspec.structs.astuple(other), strict=True)
        return Tokens(**dict(zip(self.__struct_fields__, (one + two for one, two in pairs), strict=True)))


NOTHING: Final = Tokens()


def _sum(each: Iterable[Tokens]) -> Tokens:
    """Most work has one charge."""
    found = list(each)
    return found[0] if len(found) == 1 else sum(found, start=NOTHING)


def _figure(tokens: int) -> int:
    return min(max(tokens, 0), _LARGEST)


RowOutcome: TypeAlias = Literal["running"] | Outcome


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: a request to one upstream."""

    upstream: str
    """Its address, or the name of a backend that has none."""
    model: str
    """As the upstream calls it."""
    outcome: Outcome
    code: str | None = None
    """The code of the error that ended it."""
    tokens: Tokens = NOTHING
    is_estimated: bool = False
    """Whether the upstream did not say what was used."""
    is_hedge: bool = False
    judges: bool = False
    cost: Decimal | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work."""

    id: str
    """Of the response, or other work. A row replaces the one with the same id."""
    request_id: str = ""
    at: float
    """When it began, as Unix time."""
    organization: str
    project: str
    key_id: str = ""
    """Empty on an open server."""
    owner: str = ""
    """The user or service account who had the key."""
    operation: Operation
    asked: str
    """The model that the request named."""
    model: str
    """The model that the answer says it is by."""
    upstream: str = ""
    upstream_model: str = ""
    outcome: RowOutcome
    error: str | None = None
    background: bool = False
    stored: bool = False
    streamed: bool = False
    called: bool = False
    """Whether a model was asked, or the cache in its place. Who was refused before had no answer to pay for."""
    tokens: Tokens = NOTHING
    """Of all charges. While the work runs: how long its input is, if the store does not have it."""
    cost: Decimal | None = None
    saved: Decimal | None = None
    """What the answers of the cache would have cost."""
    saved_tokens: int = 0
    cache: Literal["", "miss", "hit", "shared"] = ""
    fence: int = 0
    """Of the last lease whose use is among the charges, while a response in the background runs."""
    charges: tuple[Charge, ...] = ()


# What is asked of it

ALL_TIME: Final = 2**40
"""Seconds: one bucket for everything."""

Group: TypeAlias = Literal["project", "owner", "key_id", "model", "line_item"]


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What was used from a time on and before another, in buckets. An empty filter lets everything pass."""

    organization: str
    since: float
    until: float
    width: int = ALL_TIME
    """Seconds of a bucket, counted from the beginning of 1970. By default one bucket holds all times."""
    groups: tuple[Group, ...] = ()
    """A line item is a model as its upstream calls it: with it, each charge counts instead of each piece of work."""
    operations: Sequence[Operation] = ()
    projects: Sequence[str] = ()
    owners: Sequence[str] = ()
    keys: Sequence[str] = ()
    models: Sequence[str] = ()
    line_items: Sequence[str] = ()


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What was used in a bucket by a group. What it was not grouped by is None."""

    start: int
    """Where the bucket begins, in Unix seconds; it may be before the time that was asked for."""
    project: str | None = None
    owner: str | None = None
    key_id: str | None = None
    model: str | None = None
    line_item: str | None = None
    works: int = 0
    """All pieces of work; `calls` are those for which a model was asked, or the cache in its place."""
    calls: int = 0
    failed: int = 0
    tokens: Tokens = NOTHING
    cost: Decimal = Decimal(0)
    """Of all whose price is known."""
    unpriced: int = 0
    """How many have a price that is not known."""
    saved: Decimal = Decimal(0)
    saved_tokens: int = 0


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent with a key."""

    organization: str
    project: str
    key_id: str
    cost: Decimal


def total(costs: Iterable[Decimal | None]) -> Decimal | None:
    """The sum; None if one of them is not known."""
    found = Decimal(0)
    for cost in costs:
        if cost is None:
            return None
        found = EXACT.add(found, cost)
    return found


# From what is told of work


def opened(work: Began, owner: str) -> Row:
    """The row of work that begins."""
    return Row(
        id=work.id,
        request_id=work.trace.request_id,
        at=work.at,
        organization=work.organization,
        project=work.project,
        key_id=work.key_id,
        owner=owner,
        operation=work.operation,
        asked=work.asked,
        model=work.model,
        upstream=work.upstream,
        upstream_model=work.upstream_model,
        outcome="running",
        background=work.background,
        stored=work.stored,
        streamed=work.streamed,
        tokens=Tokens(input=_figure(work.input_tokens)),
    )


def row_of(report: Report, owner: str) -> Row:
    """The row of work that is over and whose costs are known."""
    charges = tuple(_charges(report))
    unpaid = Tokens.of(report.unpaid)
    return Row(
        id=report.id,
        request_id=report.request_id,
        at=report.at,
        organization=report.organization,
        project=report.project,
        key_id=report.key_id,
        owner=owner,
        operation=report.operation,
        asked=report.asked,
        model=report.model,
        upstream=report.upstream,
        upstream_model=report.upstream_model,
        outcome=report.outcome,
        error=report.error or report.error_class,
        background=report.background,
        stored=report.stored,
        streamed=report.streamed,
        called=report.operation == "moderation" or report.cache in FREE or any(not charge.judges for charge in charges),
        tokens=_sum(charge.tokens for charge in charges),
        cost=report.cost,
        saved=report.saved,
        saved_tokens=unpaid.input + unpaid.output,
        cache=report.cache,
        charges=charges,
    )


def _charges(report: Report) -> Iterable[Charge]:
    """Its attempts; and what a model used of which none was noted. One that still runs is paid for by others."""
    for attempt in report.attempts:
        if attempt.outcome is not None:
            yield _charge(attempt, attempt.outcome)
    if report.apart is not None:
        yield Charge(
            upstream=report.upstream,
            model=report.upstream_model or report.model,
            outcome=report.outcome,
            code=report.error,
            tokens=Tokens.of(report.apart),
            is_estimated=report.usage is None,
            cost=total((report.cost, *(-(each.cost or Decimal(0)) for each in report.attempts))),
        )


def _charge(attempt: Attempt, outcome: Outcome) -> Charge:
    return Charge(
        upstream=attempt.upstream,
        model=attempt.model,
        outcome=outcome,
        code=attempt.code,
        tokens=Tokens.of(attempt.usage),
        is_estimated=attempt.is_estimated,
        is_hedge=attempt.is_hedge,
        judges=attempt.judges,
        cost=Decimal(0) if attempt.usage is None else attempt.cost,
    )


# From what a crash has left


def cut(row: Row, inward: int, outward: int, fence: int = 0) -> Row:
    """A row with what a dead process used for it, estimated."""
    lost = Charge(
        upstream=row.upstream,
        model=row.upstream_model or row.model,
        outcome="failed",
        code=RESTARTED,
        tokens=Tokens(input=_figure(inward), output=_figure(outward)),
        is_estimated=True,
    )
    return msgspec.structs.replace(row, charges=(*row.charges, lost), fence=fence)


def used(row: Row, tokens: Tokens, outcome: Outcome) -> Row:
    """A row with what its response says that was used, beside what is known already."""
    known = _sum(charge.tokens for charge in row.charges if not charge.judges)
    pairs = zip(msgspec.structs.astuple(tokens), msgspec.structs.astuple(known), strict=True)
    rest = Tokens(**dict(zip(Tokens.__struct_fields__, (max(0, one - two) for one, two in pairs), strict=True)))
    model = row.upstream_model or row.model
    charge = Charge(upstream=row.upstream, model=model, outcome=outcome, tokens=rest)
    return msgspec.structs.replace(row, charges=(*row.charges, charge))


def report_of_row(row: Row, outcome: Outcome, error: str | None) -> Report:
    """A row as the report of work that is over, before its price is known."""
    return Report(
        operation=row.operation,
        id=row.id,
        request_id=row.request_id,
        organization=row.organization,
        project=row.project,
        key_id=row.key_id,
        asked=row.asked,
        model=row.model,
        upstream=row.upstream,
        upstream_model=row.upstream_model,
        streamed=row.streamed,
        background=row.background,
        stored=row.stored,
        at=row.at,
        took=0.0,
        outcome=outcome,
        error=error,
        attempts=attempts_of(row),
        cache=row.cache,
    )


def attempts_of(row: Row) -> tuple[Attempt, ...]:
    """What the ledger has of a row as the attempts that they were; when they were made is not known any more."""
    return tuple(_attempt(charge) for charge in row.charges)


def _attempt(charge: Charge) -> Attempt:
    return Attempt(
        upstream=charge.upstream,
        model=charge.model,
        began=0.0,
        outcome=charge.outcome,
        code=charge.code,
        usage=charge.tokens.usage() if charge.tokens != NOTHING else None,
        is_estimated=charge.is_estimated,
        is_hedge=charge.is_hedge,
        judges=charge.judges,
        is_past=True,
        cost=charge.cost,
    )
