"""Limits and alerts on money, of the organization and of a project.

A spend limit is the hard monthly budget of its owner. A path without a project means the organization.
"""

from __future__ import annotations

from typing import TypeAlias

from antiphon.policy import spending
from antiphon.policy.administration import unknown
from antiphon.policy.budget import Scope
from antiphon.policy.directory import Budget, SpendAlert
from antiphon.server.call import Call
from antiphon.server.routes.admin.asked import body, directory, edited, project, query
from antiphon.wire.admin import spend as wire
from antiphon.wire.admin.paging import page_among
from antiphon.wire.errors import NotFound
from antiphon.wire.struct import UNSET, encode

Owner: TypeAlias = tuple[Scope, str]


def _owner(call: Call) -> Owner:
    """Whose money it is about. Raises NotFound for a foreign project."""
    if "project_id" in call.path:
        return "project", project(call).id
    return "organization", call.principal.organization


# Limits


def _limit(call: Call, owner: Owner) -> Budget:
    """Raises NotFound."""
    found = directory(call).budget(*owner, "monthly")
    if found is None or not found.hard:
        raise NotFound("There is no spend limit.", code="not_found")
    return found


def _shown(call: Call, row: Budget) -> wire.OrganizationSpendLimit | wire.ProjectSpendLimit:
    """A limit as the API shows it: in whole cents, rounded down."""
    kind = wire.ProjectSpendLimit if row.scope == "project" else wire.OrganizationSpendLimit
    status = wire.Enforcement(status="enforcing" if call.engine.till.is_spent(row) else "inactive")
    return kind(threshold_amount=int(row.amount / spending.CENT), enforcement=status)


async def retrieve_limit(call: Call) -> None:
    """GET …/spend_limit"""
    await call.answer(encode(_shown(call, _limit(call, _owner(call)))))


async def update_limit(call: Call) -> None:
    """POST …/spend_limit"""
    asked, owner = await body(call, wire.UpdateSpendLimit), _owner(call)
    changed = await edited(call, lambda edit: spending.set_spend_limit(edit, *owner, asked))
    await call.answer(encode(_shown(call, changed)))


async def delete_limit(call: Call) -> None:
    """DELETE …/spend_limit"""
    owner = _owner(call)
    _limit(call, owner)
    await edited(call, lambda edit: spending.remove_budget(edit, *owner, "monthly"))
    is_project = owner[0] == "project"
    await call.answer(encode(wire.ProjectSpendLimitDeleted() if is_project else wire.OrganizationSpendLimitDeleted()))


# Alerts


def _alert(row: SpendAlert) -> wire.OrganizationSpendAlert | wire.ProjectSpendAlert:
    kind = wire.ProjectSpendAlert if row.scope == "project" else wire.OrganizationSpendAlert
    channel = wire.NotificationChannel(
        type="email",
        recipients=list(row.recipients),
        subject_prefix=UNSET if row.subject_prefix is None else row.subject_prefix,
    )
    return kind(id=row.id, threshold_amount=int(row.amount / spending.CENT), notification_channel=channel)


async def list_alerts(call: Call) -> None:
    """GET …/spend_alerts"""
    asked, owner = query(call, wire.SpendAlertsQuery), _owner(call)
    found = [_alert(row) for row in directory(call).alerts_of(*owner)]
    await call.answer(encode(page_among(found, asked)))


async def create_alert(call: Call) -> None:
    """POST …/spend_alerts"""
    asked, owner = await body(call, wire.SpendAlertRequest), _owner(call)
    made = await edited(call, lambda edit: spending.put_alert(edit, *owner, asked))
    await call.answer(encode(_alert(made)))


async def retrieve_alert(call: Call) -> None:
    """GET …/spend_alerts/{alert_id}"""
    alert_id = call.path["alert_id"]
    found = [row for row in directory(call).alerts_of(*_owner(call)) if row.id == alert_id]
    if not found:
        raise unknown("spend alert", alert_id)
    await call.answer(encode(_alert(found[0])))


async def update_alert(call: Call) -> None:
    """POST …/spend_alerts/{alert_id}"""
    asked, owner = await body(call, wire.SpendAlertRequest), _owner(call)
    alert_id = call.path["alert_id"]
    changed = await edited(call, lambda edit: spending.put_alert(edit, *owner, asked, alert_id))
    await call.answer(encode(_alert(changed)))


async def delete_alert(call: Call) -> None:
    """DELETE …/spend_alerts/{alert_id}"""
    owner, alert_id = _owner(call), call.path["alert_id"]
    await edited(call, lambda edit: spending.delete_alert(edit, *owner, alert_id))
    is_project = owner[0] == "project"
    kind = wire.ProjectSpendAlertDeleted if is_project else wire.OrganizationSpendAlertDeleted
    await call.answer(encode(kind(id=alert_id)))
