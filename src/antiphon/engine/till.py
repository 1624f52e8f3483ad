"""The till: what a request may use is held before a model is called, and settled when the work is over (rules 17-21).

    allowance = till.admit(asking)      # raises RateLimited or QuotaExceeded; nothing is held then
    till.release(asking.id)             # the work did not begin, or is left to another process
    till.ended(report)                  # it is over: what it used is counted, what it did not use is free again

`admit` waits for nothing, so of two requests only one gets the last cent. What is decided is decided in
`antiphon.policy.limits` and `antiphon.policy.budget`. The till is an `antiphon.ports.Observer`: it settles by the same
report that the ledger writes down, for all work, whether it was admitted here or by a process that died.

What is held is in memory only. What is spent is in the ledger, from which the sums of the running windows are read at
the start: so a crash between the two heals by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Final

import msgspec

from antiphon.engine.accounts import Accounts
from antiphon.engine.alerts import Alerts
from antiphon.policy import budget as money
from antiphon.policy import limits as rates
from antiphon.policy.alert import Alert, alert_of
from antiphon.policy.budget import (
    ZERO,
    Budgets,
    BudgetSettings,
    Crossing,
    Offer,
    Payer,
    Reservation,
    TokenPrice,
    TooDear,
    affordable,
    window_of,
)
from antiphon.policy.directory import EMPTY, Budget, Directory, RateLimit, SpendAlert
from antiphon.policy.ledger import UsageQuery
from antiphon.policy.limits import Grant, Limits, LimitSettings, Standing
from antiphon.policy.prices import Prices
from antiphon.policy.spent import KINDS, Sums
from antiphon.policy.weight import read
from antiphon.ports import Choice, Clock, Ledger
from antiphon.turn.input import Allowance, Turn
from antiphon.turn.report import Answered, Began, Report
from antiphon.wire.errors import QuotaExceeded, RateLimited

__all__ = ["Asking", "Till", "asking_of", "billed_of", "payer_of"]

HOUR: Final = 3600
DAY: Final = 24 * HOUR
"""Seconds."""

SOON: Final = 1.0
"""Seconds after which it makes sense to ask again for what running requests hold."""


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """A request that wants to be served."""

    id: str
    """Of the work: the id in its report."""
    payer: Payer
    project: str
    model: str
    """The name that it gives."""
    billed: tuple[tuple[str, str | None], ...] = ()
    """Under which names upstreams may bill it, and their addresses; none: what it costs is not known before."""
    least: Decimal = ZERO
    """What is held of the budgets then, in US dollars."""
    input: Callable[[], int]
    """The tokens of its input, estimated. Only asked where somebody counts them."""
    requested: int | None = None
    """The `max_output_tokens` of the request."""
    output: int = 0
    """The output tokens that are held where the request does not say. 0: there is no output."""
    service_tier: str | None = None


class _Held(msgspec.Struct, frozen=True):
    """What one piece of work holds."""

    limits: Limits | None
    grant: Grant | None
    reservation: Reservation | None


class Till:
    """The limits and the money of a server."""

    def __init__(
        self,
        accounts: Accounts,
        clock: Clock,
        *,
        prices: Prices | None = None,
        ledger: Ledger | None = None,
        alerts: Alerts | None = None,
    ) -> None:
        self.spent = Sums()
        self.budgets = Budgets()
        self._accounts = accounts
        self._clock = clock
        self._prices = prices or Prices()
        self._ledger = ledger
        self.alerts = alerts
        self._limits: dict[tuple[str, str], Limits] = {}
        self.held: dict[str, _Held] = {}
        """What running work holds, by its id."""
        self._seen = EMPTY
        self._fired: dict[str, list[Alert]] = {}
        self._used: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
        """Requests and tokens of each hour before the start, by project and model."""

    # Life

    async def start(self) -> None:
        """Read what was spent, and which alerts were sent. Raises Unavailable."""
        if self._ledger is not None:
            await self._read(self._ledger)
        for fired in await self.alerts.start() if self.alerts is not None else ():
            self._fired.setdefault(fired.alert.budget, []).append(fired.alert)
        self._accounts.on_change = self._follow
        self._follow(self._accounts.directory)

    async def _read(self, ledger: Ledger) -> None:
        """What was spent in the windows that run, and used in the day before now."""
        now = self._clock.now()
        for kind in KINDS:
            self.spent.read(kind, now, await ledger.spent(window_of(kind, now).start))
        directory = self._accounts.directory
        limited = any(row.max_requests_per_1_day or row.max_tokens_per_1_day for row in directory.limits.values())
        for organization in directory.organizations if limited else ():
            query = UsageQuery(
                organization=organization, since=now - DAY, until=now, width=HOUR, groups=("project", "model")
            )
            for used in await ledger.usage(query):
                tokens = used.tokens.input + used.tokens.output
                self._used.setdefault((used.project or "", used.model or ""), []).append(
                    (used.start, used.calls, tokens)
                )

    async def aclose(self) -> None:
        """Send what is on its way."""
        if self.alerts is not None:
            await self.alerts.aclose()

    def _follow(self, directory: Directory) -> None:
        """Limits and budgets as they are set now."""
        before, self._seen = self._seen, directory
        for place, limits in list(self._limits.items()):
            if place in directory.limits:
                limits.change(_limit_settings(directory.limits[place]), self._clock.monotonic())
            else:
                del self._limits[place]
        known: dict[str, Budget | SpendAlert] = {**before.budgets, **before.alerts}
        wanted: dict[str, Budget | SpendAlert] = {**directory.budgets, **directory.alerts}
        for gone in known.keys() - wanted.keys():
            self.budgets.remove(gone)
        for budget_id, row in wanted.items():
            if row != known.get(budget_id):
                self._put(_budget_settings(row))

    def _put(self, settings: BudgetSettings) -> None:
        now = self._clock.now()
        spent = self.spent.of(settings.window, settings.scope, settings.owner, now)
        start = window_of(settings.window, now).start
        fired = [
            alert.threshold
            for alert in self._fired.get(settings.id, ())
            if (alert.starts, alert.amount) == (start, settings.limit)
        ]
        self._tell(self.budgets.put(settings, now, spent, fired))

    # Before the work

    def admit(self, asking: Asking, *, is_limited: bool = True) -> Allowance | None:
        """Hold what a request may use. Returns how long hard budgets let its answer be; None: they do not say.

        `is_limited`: whether rate limits count it. Raises RateLimited, or QuotaExceeded.
        """
        limits = self._limits_of(asking.project, asking.model) if is_limited else None
        if limits is None and not self.budgets.ids:
            return None
        inward = asking.input()
        grant = None if limits is None else self._within(limits, asking, inward)
        try:
            offer, reservation = self._paid(asking, inward)
        except QuotaExceeded:
            if limits is not None and grant is not None:
                limits.release(grant, self._clock.monotonic())
            raise
        self.held[asking.id] = _Held(limits, grant, reservation)
        return _allowance(offer, asking)

    def _within(self, limits: Limits, asking: Asking, inward: int) -> Grant:
        now = self._clock.monotonic()
        granted = limits.reserve(now, inward + (asking.requested or 0))
        if isinstance(granted, Grant):
            return granted
        message = rates.message(granted, asking.model[:200], asking.project)
        is_hopeless = granted.retry_after is None
        raise RateLimited(message, retry_after=granted.retry_after, should_retry=False if is_hopeless else None)

    def _paid(self, asking: Asking, inward: int) -> tuple[Offer | None, Reservation | None]:
        if not self.budgets.ids:
            return None, None
        now = self._clock.now()
        available = self.budgets.available(asking.payer, now)
        offer = self._offer(asking, inward, available)
        reserved = self.budgets.reserve(asking.payer, offer.amount, now)
        if isinstance(reserved, Reservation):
            return (offer if isinstance(offer, Offer) else None), reserved
        self._tell(reserved.crossings)
        is_held = reserved.reason == "held"
        raise QuotaExceeded(
            money.message(reserved), retry_after=SOON if is_held else None, should_retry=True if is_held else None
        )

    def _offer(self, asking: Asking, inward: int, available: Decimal | None) -> Offer | TooDear:
        if not asking.billed:
            return Offer(None, None, asking.least)
        price = self._price(asking, inward)
        if asking.output:
            # The price has the input's cost in it, as that is no multiple of one token's price.
            return affordable(available, price, 0, requested=asking.requested, default=asking.output)
        if price is not None:
            return Offer(None, None, price.fixed)
        return Offer(None, None, ZERO) if available is None else TooDear(None)

    def _price(self, asking: Asking, inward: int) -> TokenPrice | None:
        """What the dearest of those who may serve it takes; None if one of them has no price."""
        found = []
        for model, upstream in asking.billed:
            cost = self._prices.estimate(
                model,
                inward,
                1 if asking.output else 0,
                at=self._clock.now(),
                upstream=upstream,
                service_tier=asking.service_tier,
            )
            if cost is None:
                return None
            found.append((cost.total - cost.output, cost.output))
        return TokenPrice(ZERO, max(output for _, output in found), fixed=max(fixed for fixed, _ in found))

    def release(self, work_id: str) -> None:
        """Give back what work holds that did not begin, or that is left to another process."""
        held = self.held.pop(work_id, None)
        if held is None:
            return
        if held.limits is not None and held.grant is not None:
            held.limits.release(held.grant, self._clock.monotonic())
        if held.reservation is not None:
            self.budgets.release(held.reservation)

    # After it

    def began(self, work: Began) -> None:
        """Nothing: what it may use is held since it was admitted."""

    def ended(self, report: Report) -> None:
        """Count what was used, also by work that holds nothing here."""
        now, payer = self._clock.now(), payer_of(report.organization, report.project, report.key_id)
        held = self.held.pop(report.id, None)
        if held is not None and held.limits is not None and held.grant is not None:
            held.limits.settle(held.grant, _tokens(report), self._clock.monotonic())
        if report.cost is not None:
            self.spent.add(payer, report.cost, report.at)
        reservation = None if held is None else held.reservation
        if reservation is None and self.budgets.ids and report.cost:
            charged = self.budgets.reserve(payer, ZERO, now)
            reservation = charged if isinstance(charged, Reservation) else None
        if reservation is not None:
            self._tell(self.budgets.settle(reservation, report.cost))

    def answered(self, request: Answered) -> None:
        """Nothing: what counts is the work."""

    # What is told

    def headers(self, payer: Payer, project: str, model: str) -> dict[str, str]:
        """Where the limits stand that a request has met, and what hard budgets have left, in US dollars."""
        found: dict[str, str] = {}
        row = self._seen.limit(project, model)
        limits = None if row is None else self._limits.get((row.project, row.model))
        if limits is not None:
            found |= limits.headers(self._clock.monotonic())
        available = self.budgets.available(payer, self._clock.now()) if self.budgets.ids else None
        if available is not None:
            found["x-antiphon-budget-remaining"] = f"{available.normalize():f}"
        return found

    def standings(self, row: RateLimit) -> list[Standing]:
        """Where the limits of a row stand."""
        limits = self._limits_of(row.project, row.model)
        return [] if limits is None else limits.standings(self._clock.monotonic())

    def is_spent(self, row: Budget) -> bool:
        """Whether a budget stops requests now."""
        now = self._clock.now()
        return row.hard and self.spent.of(row.window, row.scope, row.owner, now) >= row.amount

    def _limits_of(self, project: str, model: str) -> Limits | None:
        """The limits that count a model. Names that have none of their own share one: anybody can make up a name."""
        row = self._seen.limit(project, model)
        if row is None:
            return None
        limits = self._limits.get((row.project, row.model))
        if limits is None:
            limits = Limits(_limit_settings(row), self._clock.monotonic(), self._used_up(row))
            self._limits[row.project, row.model] = limits
        return limits

    def _used_up(self, row: RateLimit) -> dict[rates.Which, int]:
        """What was used of the limits of a day before the start."""
        names = [place for place in self._used if place[0] == row.project and self._seen.limit(*place) is row]
        used, now = sorted(each for place in names for each in self._used.pop(place)), self._clock.now()
        return {
            "rpd": rates.of_a_day(row.max_requests_per_1_day, [(at, requests) for at, requests, _ in used], now),
            "tpd": rates.of_a_day(row.max_tokens_per_1_day, [(at, tokens) for at, _, tokens in used], now),
        }

    def _tell(self, crossings: Iterable[Crossing]) -> None:
        for crossing in crossings:
            budget_id = crossing.budget.id
            row = self._seen.budgets.get(budget_id) or self._seen.alerts.get(budget_id)
            if row is not None and self.alerts is not None:
                asked = row if isinstance(row, SpendAlert) else None
                self.alerts.tell(alert_of(crossing, row.organization, self._clock.now(), asked))


def payer_of(organization: str, project: str, key_id: str) -> Payer:
    """Whose budgets work is paid from."""
    return Payer(key_id or None, project, organization)


def asking_of(turn: Turn, choice: Choice) -> Asking:
    """What a response asks for."""
    request = turn.request
    return Asking(
        id=turn.response_id,
        payer=payer_of(turn.organization, turn.project, turn.key_id),
        project=turn.project,
        model=request.model or choice.name,
        billed=billed_of(choice),
        input=lambda: read(turn.items, request),
        requested=request.max_output_tokens,
        output=choice.output,
        service_tier=request.service_tier,
    )


def billed_of(choice: Choice) -> tuple[tuple[str, str | None], ...]:
    """Under which names upstreams may bill a model, and their addresses."""
    return choice.billed or ((choice.model.name, None),)


def _allowance(offer: Offer | None, asking: Asking) -> Allowance | None:
    """What the gate counts against. What costs nothing is not counted."""
    if offer is None or offer.cap is None or offer.reserved is None or not offer.amount:
        return None
    wanted = asking.output if asking.requested is None else asking.requested
    return Allowance(offer.cap, offer.reserved, is_short=asking.requested is None or offer.cap < wanted)


def _tokens(report: Report) -> int:
    """What counts against limits: what was paid for, also of answers that have no end. What judges use does not."""
    told = [attempt.usage for attempt in report.attempts if not (attempt.judges or attempt.is_past)]
    return sum(used.input_tokens + used.output_tokens for used in (*told, report.apart) if used is not None)


def _limit_settings(row: RateLimit | None) -> LimitSettings:
    if row is None:
        return LimitSettings()
    return LimitSettings(**{name: getattr(row, name) for name in LimitSettings.__struct_fields__})


def _budget_settings(row: Budget | SpendAlert) -> BudgetSettings:
    """A spend alert is a soft budget of a month with one threshold."""
    return BudgetSettings(
        id=row.id,
        scope=row.scope,
        owner=row.owner,
        window="monthly" if isinstance(row, SpendAlert) else row.window,
        limit=row.amount,
        hard=not isinstance(row, SpendAlert) and row.hard,
        thresholds=(money.WHOLE,) if isinstance(row, SpendAlert) else row.thresholds,
    )
