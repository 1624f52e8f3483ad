"""Budgets: what a key, a project or an organization may spend in an hour, a day or a month.

    offer = affordable(budgets.available(payer, now), price, input_tokens, requested=..., default=...)
    match budgets.reserve(payer, offer.amount, now):
        case Reservation() as reservation: ...            # send `offer.cap` upstream, count with `Cap(offer.reserved)`
            crossings = budgets.settle(reservation, cost)  # alerts to be sent
        case Refused() as refused: ...                     # 429 insufficient_quota, with `message(refused)`

* A reservation is made in all budgets of a request or in none, and before the call. So what is spent and reserved never
  passes a hard limit when a request begins: it is overspent at most by what running requests cost *more* than they had
  reserved. One that stays within its reservation, as the cap and its gate see to, overspends nothing.
* A reservation belongs to the window in which it was made, also when it is settled in the next.
* Reservations die with the process that made them: what is spent is in the ledger, and what a crash cut is charged by
  whoever closes it.
* A threshold fires once a window. Who keeps alerts over restarts keeps which have fired, and hands them to `put`.

Money is Decimal, in US dollars, and exact. Times are Unix seconds, and arguments: windows are those of the calendar.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Final, Literal, NamedTuple, TypeAlias

import msgspec

__all__ = [
    "WHOLE",
    "ZERO",
    "Budget",
    "BudgetSettings",
    "Budgets",
    "Crossing",
    "Offer",
    "Payer",
    "Refused",
    "Reservation",
    "Scope",
    "TokenPrice",
    "TooDear",
    "Window",
    "WindowKind",
    "affordable",
    "crossed",
    "dollars",
    "message",
    "window_of",
]

Scope: TypeAlias = Literal["key", "project", "organization"]
WindowKind: TypeAlias = Literal["hourly", "daily", "monthly"]

ZERO: Final = Decimal(0)
WHOLE: Final = Decimal(1)

LEAST_OUTPUT: Final = 16
"""Tokens: the smallest `max_output_tokens` of the API."""

SLACK: Final = 4
"""So many times the cap is reserved, where the budget has it, and let through by the gate (`antiphon.policy.cap`). The
gate counts a token for every three bytes. English has four to five, Russian seven, Hindi and deeply indented JSON eight
to ten: up to twelve, a stream that keeps to its cap is not cut."""

NEARLY: Final = Decimal("0.9")
"""The part of a limit from which on a refusal means that the budget is used up. Below, a request was simply large."""

_EXACT: Final = Context(prec=100)
"""More digits than any sum here has, whatever the program around us has set for itself."""


# Windows


class Window(NamedTuple):
    """From `start` up to, and without, `end`."""

    start: int
    end: int


def window_of(kind: WindowKind, now: float) -> Window:
    """The hour, day or month of the calendar, in UTC, that a time is in."""
    match kind:
        case "hourly":
            return _span(now, 3600)
        case "daily":
            return _span(now, 86_400)
        case "monthly":
            start = datetime.fromtimestamp(now // 1, UTC).replace(day=1, hour=0, minute=0, second=0)
            year, month = divmod(start.year * 12 + start.month, 12)
            return Window(int(start.timestamp()), int(datetime(year, month + 1, 1, tzinfo=UTC).timestamp()))


def _span(now: float, seconds: int) -> Window:
    start = int(now // seconds) * seconds
    return Window(start, start + seconds)


# Thresholds


def crossed(limit: Decimal, before: Decimal, after: Decimal, thresholds: Iterable[Decimal]) -> tuple[Decimal, ...]:
    """The thresholds, parts of a limit, that lie above what was spent before and not above what is spent now."""
    amounts = ((threshold, _EXACT.multiply(limit, threshold)) for threshold in sorted(thresholds))
    return tuple(threshold for threshold, amount in amounts if before < amount <= after)


# Budgets


class BudgetSettings(msgspec.Struct, frozen=True, kw_only=True):
    """One budget. A soft one refuses nothing: it is there for its alerts."""

    id: str
    scope: Scope
    owner: str
    """The id of the key, project or organization."""
    window: WindowKind
    limit: Decimal
    hard: bool = True
    thresholds: tuple[Decimal, ...] = (Decimal("0.8"), WHOLE)
    """Parts of the limit at which an alert is sent, each once a window."""

    def __post_init__(self) -> None:
        _check(self.limit)
        for threshold in self.thresholds:
            if _check(threshold) == 0:
                raise ValueError("A threshold is a part of the limit above 0.")


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold was reached: an alert is to be sent, for this budget and window the only one."""

    budget: BudgetSettings
    window: Window
    threshold: Decimal
    spent: Decimal
    refused: bool = False
    """Whether it counts as reached because what is left did not pay for a request, and nearly all is spent."""


class Budget:
    """One budget in one window: what is spent, and what running requests may still spend."""

    __slots__ = ("fired", "reserved", "settings", "spent", "window")

    def __init__(
        self, settings: BudgetSettings, window: Window, spent: Decimal = ZERO, fired: Iterable[Decimal] = ()
    ) -> None:
        self.settings = settings
        self.window = window
        self.spent = _check(spent)
        self.reserved = ZERO
        self.fired = set(fired)
        """The thresholds whose alert was sent."""

    @property
    def left(self) -> Decimal:
        """What can still be reserved; negative where more was spent than the limit."""
        return _EXACT.subtract(self.settings.limit, _EXACT.add(self.spent, self.reserved))

    def pays(self, amount: Decimal) -> bool:
        """Whether an amount can be reserved. What costs nothing always can."""
        return amount <= max(self.left, ZERO)

    def reserve(self, amount: Decimal) -> None:
        """Hold an amount. Whether it fits was asked before."""
        self.reserved = _EXACT.add(self.reserved, amount)

    def free(self, amount: Decimal) -> None:
        """Hold it no longer."""
        self.reserved = _EXACT.subtract(self.reserved, amount)

    def spend(self, amount: Decimal) -> list[Crossing]:
        """Charge a cost. Returns the thresholds that are reached by it."""
        self.spent = _EXACT.add(self.spent, amount)
        return self.due()

    def due(self) -> list[Crossing]:
        """The thresholds that are reached and have not fired; now they have."""
        reached = crossed(self.settings.limit, Decimal(-1), self.spent, set(self.settings.thresholds) - self.fired)
        return [self._fire(threshold) for threshold in reached]

    def refuse(self, amount: Decimal) -> list[Crossing]:
        """Note a request that was refused. Where that is for good, and nearly all is spent, the whole is reached."""
        thresholds = set(self.settings.thresholds) - self.fired
        nearly = self.spent >= _EXACT.multiply(self.settings.limit, NEARLY)
        if WHOLE in thresholds and nearly and self.is_spent(amount):
            return [self._fire(WHOLE, refused=True)]
        return []

    def is_spent(self, amount: Decimal) -> bool:
        """Whether an amount would not fit even if nothing was reserved."""
        return _EXACT.add(self.spent, amount) > self.settings.limit

    def change(self, settings: BudgetSettings) -> list[Crossing]:
        """Another limit, or other thresholds. One that is no longer reached may be reached again."""
        self.settings = settings
        self.fired &= set(crossed(settings.limit, Decimal(-1), self.spent, self.fired))
        return self.due()

    def _fire(self, threshold: Decimal, *, refused: bool = False) -> Crossing:
        self.fired.add(threshold)
        return Crossing(
            budget=self.settings, window=self.window, threshold=threshold, spent=self.spent, refused=refused
        )


class Payer(NamedTuple):
    """Whose budgets a request is paid from. None where there is none, such as on a server without keys."""

    key: str | None
    project: str | None
    organization: str | None

    def places(self) -> tuple[tuple[Scope, str | None], ...]:
        """The scopes, each with whose budgets it means."""
        return ("key", self.key), ("project", self.project), ("organization", self.organization)


class Reservation:
    """An amount that a request holds in its budgets. Ended once, with `Budgets.settle` or `Budgets.release`."""

    __slots__ = ("amount", "budgets", "made", "payer")

    def __init__(self, payer: Payer, amount: Decimal, budgets: tuple[Budget, ...], made: float) -> None:
        self.payer = payer
        self.amount = amount
        self.budgets = budgets
        self.made = made


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """A hard budget does not pay for the request. Nothing was reserved."""

    budget: BudgetSettings
    window: Window
    reason: Literal["spent", "held", "unpriced"]
    """`held`: what running requests have reserved would do, and part of it may come back: trying again can help.
    `unpriced`: nobody knows what the request would cost."""
    requested: Decimal | None
    spent: Decimal
    reserved: Decimal
    crossings: list[Crossing]
    """Alerts to be sent."""


class Budgets:
    """All budgets of a server, and the reservations in them."""

    __slots__ = ("_budgets", "_of", "_open")

    def __init__(self) -> None:
        self._budgets: dict[str, Budget] = {}
        self._of: dict[tuple[Scope, str], dict[str, None]] = {}
        self._open: dict[Reservation, None] = {}

    def put(
        self, settings: BudgetSettings, now: float, spent: Decimal = ZERO, fired: Iterable[Decimal] = ()
    ) -> list[Crossing]:
        """Add a budget, or change the one of this id. Returns the alerts to be sent.

        `spent` and `fired` are what the ledger and the alerts have of the current window. They count for a budget that
        is new, or has changed its window or its owner, and what runs is reserved in it; else it goes on with its own.
        """
        known = self._budgets.get(settings.id)
        if known is not None and _is_same(known.settings, settings):
            return self._current(known, now).change(settings)
        self.remove(settings.id)
        budget = Budget(settings, window_of(settings.window, now), spent, fired)
        self._budgets[settings.id] = budget
        self._of.setdefault((settings.scope, settings.owner), {})[settings.id] = None
        self._adopt(budget)
        return budget.due()

    @property
    def ids(self) -> set[str]:
        """The ids of all budgets."""
        return set(self._budgets)

    def remove(self, budget_id: str) -> None:
        """Forget a budget, if there is one. It fires no more, whatever is settled in it."""
        budget = self._budgets.pop(budget_id, None)
        if budget is not None:
            budget.fired.update(budget.settings.thresholds)
            place = (budget.settings.scope, budget.settings.owner)
            del self._of[place][budget_id]
            if not self._of[place]:
                del self._of[place]

    def available(self, payer: Payer, now: float) -> Decimal | None:
        """What the payer's hard budgets all have left, at least 0. None: there is no hard budget."""
        left = [budget.left for budget in self._budgets_of(payer, now) if budget.settings.hard]
        return max(min(left), ZERO) if left else None

    def reserve(self, payer: Payer, amount: Decimal | None, now: float) -> Reservation | Refused:
        """Hold an amount in all budgets of a payer until it is settled. None: it is unknown."""
        held = ZERO if amount is None else _check(amount)
        budgets = tuple(self._budgets_of(payer, now))
        short = [budget for budget in budgets if budget.settings.hard and (amount is None or not budget.pays(held))]
        if short:
            return _refused(short, amount)
        for budget in budgets:
            budget.reserve(held)
        reservation = Reservation(payer, held, budgets, now)
        self._open[reservation] = None
        return reservation

    def settle(self, reservation: Reservation, cost: Decimal | None) -> list[Crossing]:
        """A request is over and cost so much; None: unknown, then what it had reserved. Returns the alerts to be sent.

        Raises RuntimeError if the reservation was ended before.
        """
        charged = reservation.amount if cost is None else _check(cost)
        self._end(reservation)
        return [crossing for budget in reservation.budgets for crossing in budget.spend(charged)]

    def release(self, reservation: Reservation) -> None:
        """A request is over and cost nothing. Raises RuntimeError if the reservation was ended before."""
        self._end(reservation)

    def _end(self, reservation: Reservation) -> None:
        if reservation not in self._open:
            raise RuntimeError("A reservation is ended once.")
        del self._open[reservation]
        for budget in reservation.budgets:
            budget.free(reservation.amount)

    def _adopt(self, budget: Budget) -> None:
        """Reserve in a new budget what its running requests hold, if they began in its window."""
        place = budget.settings.scope, budget.settings.owner
        for reservation in self._open:
            if place in reservation.payer.places() and reservation.made >= budget.window.start:
                budget.reserve(reservation.amount)
                reservation.budgets += (budget,)

    def _budgets_of(self, payer: Payer, now: float) -> Iterator[Budget]:
        for scope, owner in payer.places():
            if owner is not None:
                for budget_id in self._of.get((scope, owner), ()):
                    yield self._current(self._budgets[budget_id], now)

    def _current(self, budget: Budget, now: float) -> Budget:
        """The budget in the window of now. A clock that is set back brings no window back."""
        if now < budget.window.end:
            return budget
        fresh = Budget(budget.settings, window_of(budget.settings.window, now))
        self._budgets[budget.settings.id] = fresh
        return fresh


def message(refused: Refused) -> str:
    """What a 429 says: which budget, where it stands, and what helps."""
    budget = refused.budget
    name = f"the {budget.window} budget of {budget.scope} {budget.owner}"
    match refused.reason:
        case "unpriced":
            return (
                f"The price of this model is unknown, and {name} pays for known prices only. "
                "Name a model that has a price, or have this one's added to the price file."
            )
        case "held":
            return (
                f"What is left of {name} is held by requests that are running ({_figures(refused)}). Try again when "
                "they are over, or ask for less with max_output_tokens."
            )
        case "spent":
            return (
                f"You have used up {name} ({_figures(refused)}). It begins anew at "
                f"{datetime.fromtimestamp(refused.window.end, UTC):%Y-%m-%d %H:%M} UTC; "
                "until then, ask for less or have the budget raised."
            )


def _figures(refused: Refused) -> str:
    held = f", {dollars(refused.reserved)} held" if refused.reserved else ""
    needed = f", {dollars(refused.requested)} needed" if refused.requested is not None else ""
    return f"{dollars(refused.spent)} of {dollars(refused.budget.limit)} spent{held}{needed}"


def dollars(amount: Decimal) -> str:
    """An amount as people read it: all digits that say something, and two behind the point at least."""
    whole, _, fraction = f"{amount:f}".partition(".")
    return f"${whole}.{fraction.rstrip('0'):0<2}"


def _refused(short: list[Budget], amount: Decimal | None) -> Refused:
    """A refusal in the name of the budget that gives hope last."""
    if amount is None:
        return _refusal(short[0], None, "unpriced", [])
    crossings = [crossing for budget in short for crossing in budget.refuse(amount)]
    spent = [budget for budget in short if budget.is_spent(amount)]
    if spent:
        return _refusal(max(spent, key=lambda budget: budget.window.end), amount, "spent", crossings)
    return _refusal(short[0], amount, "held", crossings)


def _refusal(
    budget: Budget,
    amount: Decimal | None,
    reason: Literal["spent", "held", "unpriced"],
    crossings: list[Crossing],
) -> Refused:
    return Refused(
        budget=budget.settings,
        window=budget.window,
        reason=reason,
        requested=amount,
        spent=budget.spent,
        reserved=budget.reserved,
        crossings=crossings,
    )


def _is_same(one: BudgetSettings, other: BudgetSettings) -> bool:
    return (one.scope, one.owner, one.window) == (other.scope, other.owner, other.window)


def _check(amount: Decimal) -> Decimal:
    """The amount. Raises ValueError if it is none: a NaN would compare as nothing does, a negative one makes money."""
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{amount} is no amount of money.")
    return amount


# What can be afforded


class TokenPrice(msgspec.Struct, frozen=True):
    """What a request costs at most, in US dollars for one token."""

    input: Decimal
    output: Decimal
    fixed: Decimal = ZERO
    """For the request as such, and for hosted tools."""


class Offer(msgspec.Struct, frozen=True):
    """A request as a budget can pay for it."""

    cap: int | None
    """The `max_output_tokens` to send upstream; None: none."""
    reserved: int | None
    """The output tokens that are paid for: what the gate lets through. None: no hard budget, no gate."""
    amount: Decimal
    """To be reserved."""


class TooDear(msgspec.Struct, frozen=True):
    """Not even the smallest answer can be paid for."""

    amount: Decimal | None
    """What the smallest answer would cost: `Budgets.reserve` refuses it, and says in whose name. None: unknown."""


def affordable(
    available: Decimal | None,
    price: TokenPrice | None,
    input_tokens: int,
    *,
    requested: int | None,
    default: int,
) -> Offer | TooDear:
    """How long an answer may be, given what the budgets have left (None: no hard one) and the price (None: unknown).

    The cap is what was requested, or what the model says by default, or what can be paid for: the smallest of these.
    Without a hard budget nothing is capped but by the request itself.
    """
    if price is None:
        return Offer(requested, None, ZERO) if available is None else TooDear(None)
    wanted = max(default if requested is None else requested, LEAST_OUTPUT)
    base = _EXACT.add(price.fixed, _EXACT.multiply(price.input, Decimal(input_tokens)))
    if available is None:
        return Offer(requested, None, _cost(base, price, wanted))
    least = _cost(base, price, LEAST_OUTPUT)
    if least > available:
        return TooDear(least)
    reserved = wanted * SLACK
    if price.output:
        reserved = min(reserved, int(_EXACT.divide_int(_EXACT.subtract(available, base), price.output)))
    return Offer(min(wanted, reserved), reserved, _cost(base, price, reserved))


def _cost(base: Decimal, price: TokenPrice, output_tokens: int) -> Decimal:
    return _EXACT.add(base, _EXACT.multiply(price.output, Decimal(output_tokens)))
