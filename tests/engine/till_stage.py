"""An engine with a till: limits, budgets and alerts over a real store, a scripted model with a price, a still clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from antiphon.engine.accounts import OPEN, Accounts
from antiphon.engine.alerts import Alerts
from antiphon.engine.capped import Capped
from antiphon.engine.costs import Costs
from antiphon.engine.engine import Engine, EngineSettings
from antiphon.engine.moderation import Moderation
from antiphon.engine.run import Run
from antiphon.engine.till import Till, payer_of
from antiphon.policy import spending
from antiphon.policy.access import Principal
from antiphon.policy.directory import Budget, RateLimit
from antiphon.ports import AlertSink, Choice, Model
from antiphon.stores.accounts import SQLiteAccounts
from antiphon.stores.ledger import SQLiteLedger
from antiphon.stores.till import SQLiteAlerts
from antiphon.testing import FakeClock, Only, ScriptedModel
from antiphon.turn.deltas import Finished, Text, Usage
from antiphon.turn.input import Turn
from antiphon.wire import response
from antiphon.wire.request import decode_create
from tests.engine.stage import NEVER, PROJECT
from tests.stores.disk import TroubledStore
from tests.support.money import prices

PRICE = (0.0, 1_000.0)
"""Nothing for input, a tenth of a cent for each token of output."""

OUTPUT = 16
"""What an answer may have whose request does not say."""


class Gated(Only):
    """A catalog whose models stand behind the gate of the budgets, as those of a server do."""

    around: Callable[[Model], Model] = staticmethod(lambda model: model)
    """What stands before the gate."""

    def choose(self, name: str | None) -> Choice:
        choice = super().choose(name)
        return Choice(choice.name, self.around(Capped(choice.model)), output=OUTPUT)


def answer(tokens: int, *, words: int | None = None, usage: bool = True) -> Any:
    """The script of an answer of so many tokens; of each the gate counts three bytes."""
    used = response.Usage(input_tokens=0, output_tokens=tokens, total_tokens=tokens)
    said = [[Text("abc")] for _ in range(tokens if words is None else words)]
    return [[], *said, [*([Usage(used)] if usage else []), Finished()]]


@asynccontextmanager
async def till_stage(
    folder: Path,
    script: Any = None,
    *,
    clock: FakeClock | None = None,
    sinks: Sequence[AlertSink] = (),
    price: tuple[float, float] | None = PRICE,
    model: ScriptedModel | None = None,
    around: Callable[[Model], Model] | None = None,
    moderation: Moderation | None = None,
    **settings: Any,
) -> AsyncIterator[Engine]:
    """A started engine. With no price, that of the model is unknown. `around` puts another model around its own."""
    clock = clock or FakeClock()
    store = TroubledStore(folder / "store", now=clock.now)
    accounts = Accounts(SQLiteAccounts(store), clock, polls=False)
    known = prices(folder, **({} if price is None else {"scripted": price}), other=(1.0, 1.0))
    ledger = SQLiteLedger(store)
    catalog = Gated(model or ScriptedModel(answer(8) if script is None else script))
    if around is not None:
        catalog.around = around
    engine = Engine(
        catalog,
        store,
        clock,
        EngineSettings(**{"hold": NEVER, **settings}),
        cost=Costs(known),
        accounts=accounts,
        moderation=moderation,
        till=Till(accounts, clock, prices=known, ledger=ledger, alerts=Alerts(SQLiteAlerts(store), clock, sinks)),
        ledger=ledger,
    )
    await engine.start()
    try:
        yield engine
    finally:
        await engine.aclose()


async def budget(engine: Engine, dollars: str, *, owner: str = PROJECT, **how: Any) -> Budget:
    """Give a project, or another scope, a budget."""
    scope, window = how.pop("scope", "project"), how.pop("window", "monthly")
    return await engine.accounts.edit(
        OPEN, lambda edit: spending.set_budget(edit, scope, owner, window, Decimal(dollars), **how)
    )


async def limit(engine: Engine, model: str = "scripted", **limits: int) -> RateLimit:
    """Limit a model in the default project."""
    return await engine.accounts.edit(OPEN, lambda edit: spending.set_limit(edit, PROJECT, model, limits))


def asked(**body: Any) -> Any:
    """A request."""
    return decode_create(json.dumps({"model": "scripted", "input": "Hi.", **body}).encode())


async def begin(engine: Engine, principal: Principal = OPEN, project: str = PROJECT, **body: Any) -> Run:
    """Ask for a response."""
    return await engine.create(project, asked(**body), principal=principal)


async def whole(engine: Engine, **body: Any) -> response.Response:
    """A response, when all of it is over."""
    run = await begin(engine, **body)
    found = await run.result()
    await over(run)
    return found


async def over(run: Run) -> None:
    """Wait until a run has settled."""
    assert run.task is not None
    await asyncio.wait([run.task])
    await asyncio.sleep(0)


def left(engine: Engine, project: str = PROJECT, key: str = "") -> Decimal | None:
    """What hard budgets have left, as the header tells it."""
    found = engine.till.headers(payer_of("default", project, key), project, "scripted")
    told = found.get("x-antiphon-budget-remaining")
    return None if told is None else Decimal(told)


def asks(turn: Turn) -> int | None:
    """The cap that went upstream."""
    return turn.request.max_output_tokens
