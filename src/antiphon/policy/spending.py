"""Limits, budgets and alerts as they are set: what is done to a directory, and the lines of the audit log.

As `antiphon.policy.administration`, whose `Edit` it uses: each function decides and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from antiphon.policy.administration import Edit, active, unknown
from antiphon.policy.budget import WHOLE, Scope, WindowKind
from antiphon.policy.directory import Budget, Project, RateLimit, SpendAlert
from antiphon.wire.admin import audit
from antiphon.wire.admin.limits import UNLIMITED, UpdateProjectRateLimit, rate_limit_id
from antiphon.wire.admin.spend import SpendAlertRequest, UpdateSpendLimit
from antiphon.wire.struct import UNSET

__all__ = [
    "CENT",
    "LIMITS",
    "THRESHOLDS",
    "delete_alert",
    "put_alert",
    "remove_budget",
    "remove_limit",
    "set_budget",
    "set_limit",
    "set_spend_limit",
]

CENT: Final = Decimal("0.01")

THRESHOLDS: Final = (Decimal("0.8"), WHOLE)
"""The parts of a budget at which an alert is sent, unless others are asked for."""

LIMITS: Final = (
    "max_requests_per_1_minute",
    "max_tokens_per_1_minute",
    "max_requests_per_1_day",
    "max_tokens_per_1_day",
)
"""The limits of a model, by the names that the API has for them."""


# Rate limits


def set_limit(edit: Edit, project_id: str, model: str, given: dict[str, int]) -> RateLimit:
    """Limit a model in a project. What is not named stays as it is; `UNLIMITED` lifts a limit."""
    project = active(edit, project_id)
    known = edit.directory.limits.get((project.id, model))
    row = known or RateLimit(project=project.id, model=model, created_at=edit.now)
    changes: dict[str, Any] = {name: None if value == UNLIMITED else value for name, value in given.items()}
    row = msgspec.structs.replace(row, **changes)
    edit.put(row)
    _log_limit(edit, project, model, given)
    return row


def remove_limit(edit: Edit, project_id: str, model: str) -> RateLimit:
    """Lift all limits of a model in a project. Raises NotFound if there are none."""
    project = edit.project(project_id)
    row = edit.directory.limits.get((project.id, model))
    if row is None:
        raise unknown("rate limit", rate_limit_id(model))
    edit.drop(row)
    _log_limit(edit, project, model, dict.fromkeys(LIMITS, UNLIMITED))
    return row


def _log_limit(edit: Edit, project: Project, model: str, given: dict[str, int]) -> None:
    changes = UpdateProjectRateLimit(**given)
    edit.log(audit.RateLimitUpdated(id=rate_limit_id(model), changes_requested=changes), project)


# Budgets


def set_budget(
    edit: Edit,
    scope: Scope,
    owner: str,
    window: WindowKind,
    amount: Decimal,
    *,
    hard: bool = True,
    thresholds: Sequence[Decimal] = THRESHOLDS,
) -> Budget:
    """Give an owner a budget for a kind of window, or another one. Raises NotFound for an owner that there is not."""
    project = _changeable(edit, scope, owner)
    row = _budget(edit, scope, owner, window, amount, hard=hard, thresholds=thresholds)
    change = audit.BudgetChange(
        amount=f"{amount:f}", hard=hard, thresholds=[f"{threshold:f}" for threshold in row.thresholds]
    )
    _log(edit, owner, project, {"budgets": {_name(scope, owner, window): change}})
    return row


def set_spend_limit(edit: Edit, scope: Scope, owner: str, asked: UpdateSpendLimit) -> Budget:
    """Give an owner the hard monthly budget of the API. Its thresholds stay as they are."""
    project = _changeable(edit, scope, owner)
    known = edit.directory.budget(scope, owner, "monthly")
    thresholds = THRESHOLDS if known is None else known.thresholds
    amount = asked.threshold_amount * CENT
    row = _budget(edit, scope, owner, "monthly", amount, hard=True, thresholds=thresholds)
    _log(edit, owner, project, {"spend_limit": asked})
    return row


def remove_budget(edit: Edit, scope: Scope, owner: str, window: WindowKind) -> Budget:
    """Take a budget away. Raises NotFound if there is none."""
    project = _project(edit, scope, owner)
    row = edit.directory.budget(scope, owner, window)
    if row is None:
        raise unknown("budget", _name(scope, owner, window))
    edit.drop(row)
    _log(edit, owner, project, {"budgets": {_name(scope, owner, window): None}})
    return row


def _budget(
    edit: Edit,
    scope: Scope,
    owner: str,
    window: WindowKind,
    amount: Decimal,
    *,
    hard: bool,
    thresholds: Sequence[Decimal],
) -> Budget:
    known = edit.directory.budget(scope, owner, window)
    row = Budget(
        id=edit.new_id("budget_") if known is None else known.id,
        organization=edit.by.organization,
        scope=scope,
        owner=owner,
        window=window,
        amount=amount,
        hard=hard,
        thresholds=tuple(sorted(set(thresholds))),
        created_at=edit.now if known is None else known.created_at,
    )
    edit.put(row)
    return row


# Alerts


def put_alert(
    edit: Edit, scope: Scope, owner: str, asked: SpendAlertRequest, alert_id: str | None = None
) -> SpendAlert:
    """Make an alert, or replace one. Raises NotFound for one that there is not."""
    project = _changeable(edit, scope, owner)
    known = None if alert_id is None else _alert(edit, scope, owner, alert_id)
    channel = asked.notification_channel
    row = SpendAlert(
        id=edit.new_id("alert_") if known is None else known.id,
        organization=edit.by.organization,
        scope=scope,
        owner=owner,
        amount=asked.threshold_amount * CENT,
        recipients=tuple(dict.fromkeys(channel.recipients)),
        subject_prefix=None if channel.subject_prefix is UNSET else channel.subject_prefix,
        created_at=edit.now if known is None else known.created_at,
    )
    edit.put(row)
    _log(edit, owner, project, {"spend_alerts": {row.id: asked}})
    return row


def delete_alert(edit: Edit, scope: Scope, owner: str, alert_id: str) -> None:
    """Remove an alert. Raises NotFound."""
    project = _project(edit, scope, owner)
    edit.drop(_alert(edit, scope, owner, alert_id))
    _log(edit, owner, project, {"spend_alerts": {alert_id: None}})


def _alert(edit: Edit, scope: Scope, owner: str, alert_id: str) -> SpendAlert:
    row = edit.directory.alerts.get(alert_id)
    if row is None or (row.scope, row.owner) != (scope, owner):
        raise unknown("spend alert", alert_id)
    return row


# Whose


def _changeable(edit: Edit, scope: Scope, owner: str) -> Project | None:
    """The same, for one whose money is to be changed. Raises InvalidRequest for an archived project."""
    project = _project(edit, scope, owner)
    return None if project is None else active(edit, project.id)


def _project(edit: Edit, scope: Scope, owner: str) -> Project | None:
    """The project that an owner is or is in; None for the organization. Raises NotFound for a foreign owner."""
    match scope:
        case "organization":
            if owner != edit.by.organization:
                raise unknown("organization", owner)
            return None
        case "project":
            return edit.project(owner)
        case "key":
            key = edit.directory.keys.get(owner)
            if key is None or key.organization != edit.by.organization or key.project is None:
                raise unknown("key", owner)
            return edit.project(key.project)


def _name(scope: Scope, owner: str, window: WindowKind) -> str:
    return f"{window} {owner}" if scope == "key" else window


def _log(edit: Edit, owner: str, project: Project | None, changes: dict[str, Any]) -> None:
    if project is None:
        told = audit.OrganizationChanges(**changes)
        edit.log(audit.OrganizationUpdated(id=owner, changes_requested=told))
    else:
        edit.log(audit.ProjectUpdated(id=project.id, changes_requested=audit.ProjectChanges(**changes)), project)
