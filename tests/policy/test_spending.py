"""Limits, budgets and alerts as they are set, on one snapshot of the directory."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from antiphon.engine.accounts import OPEN
from antiphon.policy import administration as act
from antiphon.policy import spending
from antiphon.policy.administration import Edit
from antiphon.policy.directory import Directory, Organization, first_rows
from antiphon.wire.admin.limits import UNLIMITED
from antiphon.wire.admin.spend import NotificationChannel, SpendAlertRequest, UpdateSpendLimit
from antiphon.wire.errors import NotFound

FIVE_DOLLARS = UpdateSpendLimit(threshold_amount=500, currency="USD", interval="month")
ALERT = SpendAlertRequest(
    threshold_amount=0,
    currency="USD",
    interval="month",
    notification_channel=NotificationChannel(type="email", recipients=["b@c.example", "a@b.example", "b@c.example"]),
)


class World:
    """A directory that changes are carried out on."""

    def __init__(self) -> None:
        self.directory = Directory([*first_rows(1.0), Organization(id="org-other", name="Other", created_at=1.0)])
        self.logs: list[Any] = []
        self._made = 0

    def do(self, decide: Callable[[Edit], Any], organization: str = "default") -> Any:
        by = msgspec.structs.replace(OPEN, organization=organization)
        edit = Edit(self.directory, 2.0, by, self._chance)
        result = decide(edit)
        change = edit.change()
        self.directory = self.directory.after(change)
        self.logs += [json.loads(line.entry) for line in change.logs]
        return result

    def _chance(self, size: int) -> bytes:
        self._made += 1
        return self._made.to_bytes(size, "big")


@pytest.fixture
def world() -> World:
    return World()


def key(world: World) -> str:
    account = world.do(lambda edit: act.create_account(edit, "default", "bot"))
    return str(world.do(lambda edit: act.create_key(edit, "default", account, "bot")).key.id)


def test_a_limit_that_is_not_named_stays_and_unlimited_lifts_one(world: World):
    world.do(lambda edit: spending.set_limit(edit, "default", "m", {"max_requests_per_1_minute": 5}))
    world.do(lambda edit: spending.set_limit(edit, "default", "m", {"max_tokens_per_1_day": 0}))
    row = world.directory.limit("default", "m")
    assert row is not None
    assert (row.max_requests_per_1_minute, row.max_tokens_per_1_day) == (5, 0)
    world.do(lambda edit: spending.set_limit(edit, "default", "m", {"max_requests_per_1_minute": UNLIMITED}))
    row = world.directory.limit("default", "m")
    assert row is not None
    assert (row.max_requests_per_1_minute, row.max_tokens_per_1_day) == (None, 0)
    assert [log["rate_limit.updated"]["id"] for log in world.logs] == ["rl-m"] * 3


def test_the_spend_limit_of_the_api_is_the_hard_monthly_budget_and_keeps_its_thresholds(world: World):
    half = (Decimal("0.5"),)
    made = world.do(
        lambda edit: spending.set_budget(edit, "project", "default", "monthly", Decimal(1), hard=False, thresholds=half)
    )
    changed = world.do(lambda edit: spending.set_spend_limit(edit, "project", "default", FIVE_DOLLARS))
    assert (changed.id, changed.amount, changed.hard, changed.thresholds) == (made.id, 5, True, half)
    assert list(world.directory.budgets) == [made.id]
    assert world.logs[-1]["project.updated"]["changes_requested"] == {
        "spend_limit": {"threshold_amount": 500, "currency": "USD", "interval": "month"}
    }


def test_a_budget_of_a_key_is_told_in_the_log_of_its_project(world: World):
    key_id = key(world)
    world.do(lambda edit: spending.set_budget(edit, "key", key_id, "daily", Decimal("0.50")))
    assert world.logs[-1]["project"]["id"] == "default"
    assert world.logs[-1]["project.updated"]["changes_requested"]["budgets"] == {
        f"daily {key_id}": {"amount": "0.50", "hard": True, "thresholds": ["0.8", "1"]}
    }
    world.do(lambda edit: spending.remove_budget(edit, "key", key_id, "daily"))
    assert world.logs[-1]["project.updated"]["changes_requested"]["budgets"] == {f"daily {key_id}": None}
    assert world.directory.budgets == {}


def test_one_of_the_organization_is_told_without_a_project(world: World):
    world.do(lambda edit: spending.set_budget(edit, "organization", "default", "monthly", Decimal(5)))
    assert "project" not in world.logs[-1]
    assert world.logs[-1]["organization.updated"]["id"] == "default"


def test_recipients_are_named_once_and_an_alert_may_be_at_nothing(world: World):
    made = world.do(lambda edit: spending.put_alert(edit, "organization", "default", ALERT))
    assert (made.amount, made.recipients) == (0, ("b@c.example", "a@b.example"))
    again = world.do(lambda edit: spending.put_alert(edit, "organization", "default", ALERT, made.id))
    assert (again.id, again.created_at) == (made.id, made.created_at)
    world.do(lambda edit: spending.delete_alert(edit, "organization", "default", made.id))
    assert world.directory.alerts == {}


def test_what_belongs_to_another_organization_is_unknown(world: World):
    key_id = key(world)
    alert = world.do(lambda edit: spending.put_alert(edit, "organization", "default", ALERT))
    for decide in (
        lambda edit: spending.set_limit(edit, "default", "m", {}),
        lambda edit: spending.set_budget(edit, "project", "default", "daily", Decimal(1)),
        lambda edit: spending.set_budget(edit, "key", key_id, "daily", Decimal(1)),
        lambda edit: spending.set_budget(edit, "organization", "default", "daily", Decimal(1)),
        lambda edit: spending.delete_alert(edit, "organization", "org-other", alert.id),
        lambda edit: spending.put_alert(edit, "organization", "org-other", ALERT, alert.id),
    ):
        with pytest.raises(NotFound):
            world.do(decide, "org-other")
    assert list(world.directory.alerts) == [alert.id]
    assert world.directory.budgets == {}
