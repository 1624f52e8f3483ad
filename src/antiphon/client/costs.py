"""Costs: what requests cost, exactly, and budgets that hold before the money is gone.

    costs = Costs(budgets=[Budget("5.00", "day"), Budget("0.50", "hour", hard=False)], ledger="costs.jsonl")
    client = AsyncClient(AsyncOpenAI(), costs=costs)
    ...
    costs.summary("day").by_model["gpt-5"].cost                   # a Decimal of US dollars

Prices are those of `antiphon.policy.prices`: dated, with cached tokens at their own rate. A model without a known price
costs None, not 0; its requests are counted as `unpriced`, and under a hard budget they are refused.

**Budgets.** Before a request is sent, what it may cost at most is reserved: its input, estimated, and its output up to
`max_output_tokens`. Under a hard budget the server is told that limit (`answer_tokens` where the request has none, less
where less is left), so however many requests run side by side, they stay within it, save for input that cannot be
counted here (`previous_response_id`, files). What has no room is a BudgetExceeded, and nothing is sent. At 80 % of a
budget a BudgetAlert is told, once in each period: after a restart, and among processes that share a ledger, too.

**What is charged** is what the server reports. An answer that was cut or left is charged what was counted of it, and an
attempt that was thrown away for a new one, too. An answer in the background that was left goes on at the server; of
that nobody here hears.

Processes that share a ledger see what the others have spent, not what they have reserved.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import aclosing
from datetime import datetime
from decimal import Decimal, InvalidOperation, localcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from antiphon import tokens
from antiphon.client import options
from antiphon.client.asked import plain
from antiphon.client.books import PERIODS, Books, Period, Spending, Summary, begin_of, end_of
from antiphon.client.border import TERMINAL, response_in, usage_of
from antiphon.client.call import Ask, Call, Flow
from antiphon.client.errors import BudgetExceeded, OptionError
from antiphon.client.ledger import AlertLine, Entry, Ledger, SpentLine
from antiphon.client.records import BudgetAlert, Spent
from antiphon.policy.prices import Prices, PricesError
from antiphon.policy.prices.terms import EXACT, ZERO
from antiphon.turn.usage import added
from antiphon.wire.response import Usage

if TYPE_CHECKING:
    from openai.types.responses import Response, ResponseStreamEvent

__all__ = ["Budget", "Costs", "Period", "Spending", "Summary"]

_log = logging.getLogger("antiphon.client")

LEAST_ANSWER: Final = 16
"""The smallest `max_output_tokens` that the API takes."""
_MILLION: Final = 1_000_000
_READ: Final = ("input", "instructions", "tools", "text")
_BILLED: Final = {"web_search_call": "web_search_calls", "file_search_call": "file_search_calls"}


class Budget:
    """So much for a period of the calendar, in UTC. Raises OptionError.

    `limit`: US dollars, as a text, a Decimal or a whole number. `alert`: the share at which an alert is given.
    `hard`: whether requests beyond it are refused. `model`: the one model that it is for; without one it is for all.
    """

    def __init__(
        self,
        limit: Decimal | int | str,
        period: Period = "day",
        *,
        alert: Decimal | str = "0.8",
        hard: bool = True,
        model: str | None = None,
    ) -> None:
        self.limit = _decimal("costs.budgets.limit", limit)
        self.period: Period = options.one_of("costs.budgets.period", period, PERIODS)
        self.alert = _decimal("costs.budgets.alert", alert)
        if self.alert > 1:
            raise OptionError("costs.budgets.alert", f"takes a share of the limit, as in '0.8', not {alert!r}")
        self.hard = options.flag("costs.budgets.hard", hard)
        self.model = model

    @property
    def name(self) -> str:
        """As in `5.00 USD a day for gpt-5`."""
        when = "in all" if self.period == "total" else f"{'an' if self.period == 'hour' else 'a'} {self.period}"
        return f"{self.limit} USD {when}{f' for {self.model}' if self.model else ''}"

    def holds(self, model: str) -> bool:
        """Whether it is for a model."""
        return self.model in (None, model)

    def __repr__(self) -> str:
        return f"Budget({self.name!r})"


class Costs:
    """Counts what requests cost. Implements `antiphon.client.call.Layer`; several clients, and threads, may share one.

    `prices`: a price file, or Prices; its entries go before the published ones. `provider`: whose prices hold, such as
    `openai`, where the address does not tell. `ledger`: a file. `on_alert`: called with each BudgetAlert, as observers
    are. `now`: the time, for tests. Raises OptionError.
    """

    def __init__(
        self,
        *,
        budgets: Budget | Mapping[str, Any] | Iterable[Budget | Mapping[str, Any]] = (),
        prices: Prices | str | Path | None = None,
        provider: str | None = None,
        ledger: str | Path | None = None,
        on_alert: Callable[[BudgetAlert], object] | None = None,
        answer_tokens: int = 16_384,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.budgets = _budgets(budgets)
        self._prices = _prices(prices)
        self._provider = provider
        self._on_alert = on_alert
        if on_alert is not None and not callable(on_alert):
            raise OptionError("costs.on_alert", f"takes a function of a BudgetAlert, not {on_alert!r}")
        self._answer_tokens = options.count("costs.answer_tokens", answer_tokens, LEAST_ANSWER)
        self._now = now
        self._lock = threading.RLock()
        self._books = Books()
        self._alerted: dict[tuple[str, float], str] = {}
        self._reserved: dict[_Charge, Decimal] = {}
        self._warned: set[str] = set()
        self._ledger = None if ledger is None else Ledger(_path(ledger))
        self._refresh()

    # What was spent

    def summary(self, period: Period = "day", at: datetime | None = None) -> Summary:
        """What was spent in a period: that of now, or of another time."""
        with self._lock:
            self._refresh()
            return self._all().summary(period, self._now() if at is None else at.timestamp())

    def summaries(self, period: Period = "day") -> list[Summary]:
        """All periods in which something was spent, the oldest first."""
        with self._lock:
            self._refresh()
            return list(self._all().summaries(period))

    def left(self, budget: Budget) -> Decimal:
        """What there is left of a budget in its present period, after what is reserved for requests under way."""
        with self._lock:
            self._refresh()
            return self._left(budget)

    # The layer

    async def __call__(self, call: Call, ask: Ask) -> Flow:
        """Answer a call, if there is money for it, and charge it. Raises BudgetExceeded."""
        charge = self._reserve(call)
        try:
            async with aclosing(ask(call)) as flow:
                async for event in flow:
                    charge.hear(event)
                    if event.type in TERMINAL:
                        self._settle(charge)
                    yield event
        finally:
            self._settle(charge)

    # Before

    def _reserve(self, call: Call) -> _Charge:
        charge = _Charge(call, _weight(call))
        hard = [budget for budget in self.budgets if budget.hard and budget.holds(call.model)]
        if hard:
            with self._lock:
                self._refresh()
                self._reserved[charge] = self._bound(call, charge.input, min(hard, key=self._left))
        return charge

    def _bound(self, call: Call, inward: int, budget: Budget) -> Decimal:
        """What a request may cost at most, its answer made as short as the budget needs. Raises BudgetExceeded."""
        at_least, million = (self._estimate(call, inward, outward) for outward in (0, _MILLION))
        if at_least is None or million is None:
            told = (
                f"No price is known for {call.model!r}, so the budget of {budget.name} cannot hold it; give `prices`."
            )
            raise BudgetExceeded(told)
        wanted = call.params.get("max_output_tokens")
        wanted = wanted if isinstance(wanted, int) else self._answer_tokens
        left = self._left(budget)
        with localcontext(EXACT):
            each = (million - at_least) / _MILLION
            room = wanted if not each else min(wanted, max(0, int((left - at_least) / each)))
            if at_least > left or room < min(wanted, LEAST_ANSWER):
                raise self._refusal(budget, left)
            if each:
                call.params["max_output_tokens"] = room
            return at_least + room * each

    def _refusal(self, budget: Budget, left: Decimal) -> BudgetExceeded:
        now = self._now()
        end = end_of(budget.period, now)
        told = f"The budget of {budget.name} has {max(left, ZERO):.6f} USD left, which is not enough for this request."
        return BudgetExceeded(told, retry_after=None if end is None else max(0.0, end.timestamp() - now))

    def _left(self, budget: Budget) -> Decimal:
        reserved = (amount for charge, amount in self._reserved.items() if budget.holds(charge.call.model))
        with localcontext(EXACT):
            spent = self._all().spent(begin_of(budget.period, self._now()), budget.model)
            return budget.limit - spent - sum(reserved, ZERO)

    def _estimate(self, call: Call, inward: int, outward: int) -> Decimal | None:
        tier = call.params.get("service_tier")
        price = self._prices.price_of(
            call.model,
            at=self._now(),
            upstream=self._place(call),
            service_tier=tier if isinstance(tier, str) else None,
        )
        cost = None if price is None else price.estimate(inward, outward, {})
        return None if cost is None else cost.total

    def _place(self, call: Call) -> str:
        return self._provider or str(call.openai.base_url)

    # After

    def _settle(self, charge: _Charge) -> None:
        """Charge what there is to charge; once."""
        with self._lock:
            self._reserved.pop(charge, None)
            if charge.is_settled:
                return
            charge.is_settled = True
            usage, is_counted = charge.usage()
            if usage is None:
                return
            call, at = charge.call, self._now()
            cost = self._cost(charge, usage, at)
            details = usage.input_tokens_details
            line = SpentLine(
                at=at,
                model=call.model,
                cost=cost,
                input=usage.input_tokens,
                cached=details.cached_tokens,
                output=usage.output_tokens,
                id=call.response_id,
            )
            self._enter(line)
            alerts = list(self._alerts(call, at))
        spent = Spent(
            number=call.number,
            model=call.model,
            response_id=call.response_id,
            cost=cost,
            usage=usage,
            counted=is_counted,
        )
        call.tell(spent)
        for alert in alerts:
            call.tell(alert)
            if self._on_alert is not None:
                self._on_alert(alert)

    def _cost(self, charge: _Charge, usage: Usage, at: float) -> Decimal | None:
        """By the model that has answered, where that is listed; else by the one that was asked."""
        response, call = charge.response, charge.call
        answered = str(response.model) if response is not None and response.model else call.model
        tier = None if response is None else response.service_tier
        for model in dict.fromkeys((answered, call.model)):
            price = self._prices.price_of(model, at=at, upstream=self._place(call), service_tier=tier)
            cost = None if price is None else price.cost(usage, _tools(response))
            if cost is not None:
                self._warn(cost.unpriced)
                return cost.total
        self._warn((call.model,))
        return None

    def _warn(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in self._warned and len(self._warned) < _MILLION:
                self._warned.add(name)
                _log.warning("the price of %r is not known, so it is not in any sum; give `prices`", name)

    def _enter(self, line: Entry) -> None:
        if self._ledger is None:
            self._take(line)
        else:
            self._ledger.add(line)
            self._refresh()

    def _alerts(self, call: Call, at: float) -> Iterator[BudgetAlert]:
        """The alerts that are due, and were not given in this period: by nobody who shares the ledger."""
        for budget in self.budgets:
            since = begin_of(budget.period, at)
            spent = self._all().spent(since, budget.model)
            name = (budget.name, since.timestamp())
            if not budget.holds(call.model) or spent < budget.alert * budget.limit or name in self._alerted:
                continue
            own = secrets.token_hex(8)
            self._enter(AlertLine(at=at, budget=budget.name, since=since.timestamp(), by=own))
            if self._alerted.setdefault(name, own) == own:
                yield BudgetAlert(
                    number=call.number,
                    model=call.model,
                    budget=budget.name,
                    since=since,
                    spent=spent,
                    limit=budget.limit,
                )

    # The ledger

    def _refresh(self) -> None:
        """Take in what is new in the ledger."""
        if self._ledger is None:
            return
        is_all, entries = self._ledger.read()
        if is_all:
            self._books.clear()
        for entry in entries:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        match entry:
            case SpentLine():
                self._books.add(entry)
            case AlertLine(budget=budget, since=since, by=by):
                self._alerted.setdefault((budget, since), by)

    def _all(self) -> Books:
        """The books, with what could not be written yet."""
        unwritten = [] if self._ledger is None else self._ledger.unwritten
        lines = [entry for entry in unwritten if isinstance(entry, SpentLine)]
        return self._books.with_lines(lines) if lines else self._books


class _Charge:
    """What one call will have cost."""

    def __init__(self, call: Call, inward: int) -> None:
        self.call = call
        self.input = inward
        """Tokens of the input, estimated."""
        self.response: Response | None = None
        self.is_settled = False
        self._said = 0

    def hear(self, event: ResponseStreamEvent) -> None:
        """Take note of an event."""
        if event.type.endswith(".delta"):
            said: Any = getattr(event, "delta", "")
            self._said += len(said.encode()) if isinstance(said, str) else 0
        self.response = response_in(event) or self.response

    def usage(self) -> tuple[Usage | None, bool]:
        """The tokens that are to be paid, and whether some were counted here; None if nothing was said."""
        told = None if self.response is None else usage_of(self.response)
        counted = [self._counted(said) for said in self.call.thrown_away]
        if told is None and self._said:
            counted.append(self._counted(self._said))
        whole = told
        for each in counted:
            whole = each if whole is None else added(whole, each)
        return whole, bool(counted)

    def _counted(self, said: int) -> Usage:
        outward = tokens.estimate(said)
        return Usage(input_tokens=self.input, output_tokens=outward, total_tokens=self.input + outward)


def _weight(call: Call) -> int:
    """The tokens of a request's input, as far as it can be seen from here."""
    read: dict[str, Any] = {name: call.params[name] for name in _READ if name in call.params}
    return tokens.estimate(len(msgspec.json.encode(plain(read))))


def _tools(response: Response | None) -> dict[str, int]:
    """What the server's own tools are billed by."""
    output = [] if response is None else response.output or []
    used = Counter(_BILLED[item.type] for item in output if item.type in _BILLED)
    containers = {getattr(item, "container_id", None) for item in output if item.type == "code_interpreter_call"}
    return {**used, **({"code_interpreter_sessions": len(containers)} if containers else {})}


# Options


def _decimal(option: str, given: object) -> Decimal:
    """A sum of money, or a share. Floats are refused: 0.1 of them is not 0.1."""
    if isinstance(given, bool) or not isinstance(given, Decimal | int | str):
        raise OptionError(option, f"takes a number as a text ('5.00'), a Decimal or a whole number, not {given!r}")
    try:
        number = Decimal(given)
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or number <= 0:
        raise OptionError(option, f"takes a number above 0, not {given!r}")
    return number


def _budgets(given: Any) -> tuple[Budget, ...]:
    several = [given] if isinstance(given, Budget | Mapping) else given
    if isinstance(several, str) or not isinstance(several, Iterable):
        raise OptionError("costs.budgets", f"takes Budgets, or mappings of their options, not {given!r}")
    made = [options.part("costs.budgets", each, Budget, bare=False) for each in several]
    return tuple(budget for budget in made if budget is not None)


def _prices(given: object) -> Prices:
    match given:
        case Prices():
            return given
        case None:
            return Prices()
        case str() | Path():
            try:
                return Prices.load(Path(given))
            except PricesError as error:
                raise OptionError("costs.prices", str(error)) from None
    raise OptionError("costs.prices", f"takes the path of a price file, or Prices, not {given!r}")


def _path(given: object) -> Path:
    if not isinstance(given, str | Path):
        raise OptionError("costs.ledger", f"takes a path, not {given!r}")
    return Path(given)
