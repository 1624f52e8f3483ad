"""The engine of a configuration: over a store in SQLite, with its accounts, its ledger and its till."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from antiphon.config.addresses import is_loopback
from antiphon.config.settings import Config
from antiphon.engine.accounts import Accounts
from antiphon.engine.alerts import Alerts
from antiphon.engine.clock import SystemClock
from antiphon.engine.costs import Costs
from antiphon.engine.engine import Engine, EngineSettings
from antiphon.engine.till import Till
from antiphon.plugins.alerts import alert_sinks
from antiphon.plugins.catalog import Models
from antiphon.plugins.embeddings import embedders
from antiphon.ports import Observer
from antiphon.stores.accounts import SQLiteAccounts
from antiphon.stores.chat import SQLiteChats
from antiphon.stores.ledger import SQLiteLedger
from antiphon.stores.sqlite import SQLiteStore
from antiphon.stores.till import SQLiteAlerts

__all__ = ["engine_of"]


def engine_of(
    settings: Config,
    catalog: Models,
    store: SQLiteStore,
    observers: Sequence[Observer] = (),
    key: Callable[[], str | None] = lambda: None,
) -> Engine:
    """The engine over the store in the data folder. `key` gives the one key of the configuration."""
    server, background, clock = settings.server, settings.background, SystemClock()
    options = EngineSettings(
        hold=server.hold,
        on_disconnect=server.on_disconnect,
        background_slots=background.slots,
        lease=background.lease,
        max_attempts=background.max_attempts,
    )
    accounts = Accounts(
        SQLiteAccounts(store),
        clock,
        opens=is_loopback(server.host),
        configured=key,
        admin_key=None if server.admin_key is None else server.admin_key.reveal(),
    )
    ledger = SQLiteLedger(store)
    alerts = Alerts(SQLiteAlerts(store), clock, alert_sinks(settings, clock.now))
    return Engine(
        catalog,
        store,
        clock,
        options,
        observers=observers,
        cost=Costs(catalog.prices),
        embedders=embedders(settings),
        moderation=catalog.moderation,
        chats=SQLiteChats(store),
        accounts=accounts,
        till=Till(accounts, clock, prices=catalog.prices, ledger=ledger, alerts=alerts),
        ledger=ledger,
    )
