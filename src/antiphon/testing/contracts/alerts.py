"""What every store of alerts does: each is written down once, with the ways on which it has yet to be sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any, Final, TypeAlias

from antiphon.policy.alert import Alert, alert_of
from antiphon.policy.budget import BudgetSettings, Crossing, Window
from antiphon.ports import AlertStore, Fired

OpenAlerts: TypeAlias = Callable[[], AbstractAsyncContextManager[AlertStore]]
"""Opens a store, each time the same one; nothing is in it the first time."""

BUDGET: Final = BudgetSettings(id="budget_1", scope="project", owner="proj_1", window="daily", limit=Decimal("1.50"))


def alert(
    at: float = 1.0, organization: str = "default", start: int = 0, threshold: str = "0.8", limit: str = "1.50"
) -> Alert:
    """An alert of a budget that is told at some time."""
    budget: Any = BudgetSettings(
        id=BUDGET.id, scope=BUDGET.scope, owner=BUDGET.owner, window=BUDGET.window, limit=Decimal(limit)
    )
    crossing = Crossing(
        budget=budget, window=Window(start, start + 86_400), threshold=Decimal(threshold), spent=Decimal("1.20")
    )
    return alert_of(crossing, organization, at)


class AlertStoreContract:
    """Fixture: `open_alerts`."""

    async def test_an_alert_is_written_down_once(self, open_alerts: OpenAlerts) -> None:
        async with open_alerts() as store:
            assert await store.fire(alert(), ["email"])
            assert not await store.fire(alert(at=2.0), ["webhook"])
            assert await store.fired(0.0) == [Fired(alert(), ("email",))]

    async def test_of_many_who_write_it_at_once_one_is_first(self, open_alerts: OpenAlerts) -> None:
        async with open_alerts() as store:
            first = await asyncio.gather(*(store.fire(alert(at=float(at)), []) for at in range(20)))
            assert first.count(True) == 1

    async def test_another_window_threshold_amount_or_organization_is_another_alert(
        self, open_alerts: OpenAlerts
    ) -> None:
        async with open_alerts() as store:
            others = [
                alert(),
                alert(start=86_400),
                alert(threshold="1"),
                alert(limit="3"),
                alert(organization="org-other"),
            ]
            assert all([await store.fire(each, []) for each in others])
            assert len({each.id for each in others}) == len(others)
            assert len(await store.fired(0.0)) == len(others)

    async def test_a_way_on_which_it_was_sent_is_not_pending_any_more(self, open_alerts: OpenAlerts) -> None:
        async with open_alerts() as store:
            await store.fire(alert(), ["email", "webhook"])
            await store.sent(alert().id, "email")
            await store.sent(alert().id, "email")
            await store.sent("evt_unknown", "webhook")
            assert [one.pending for one in await store.fired(0.0)] == [("webhook",)]

    async def test_they_are_read_from_a_time_on_oldest_first(self, open_alerts: OpenAlerts) -> None:
        async with open_alerts() as store:
            for at in (30.0, 10.0, 20.0):
                await store.fire(alert(at=at, start=int(at)), [])
            assert [one.alert.at for one in await store.fired(20.0)] == [20.0, 30.0]

    async def test_they_are_still_there_when_it_is_opened_again(self, open_alerts: OpenAlerts) -> None:
        async with open_alerts() as store:
            await store.fire(alert(), ["email"])
        async with open_alerts() as store:
            assert await store.fired(0.0) == [Fired(alert(), ("email",))]
            assert not await store.fire(alert(), ["email"])
