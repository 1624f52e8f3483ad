"""Limits and alerts on money, of the organization and of a project. Amounts are in cents, months are UTC's."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, field

from antiphon.wire.admin.fields import LARGEST, Email, Line
from antiphon.wire.admin.paging import ListQuery
from antiphon.wire.admin.request import AdminRequest
from antiphon.wire.struct import UNSET, Maybe, Wire

__all__ = [
    "Enforcement",
    "NotificationChannel",
    "OrganizationSpendAlert",
    "OrganizationSpendAlertDeleted",
    "OrganizationSpendLimit",
    "OrganizationSpendLimitDeleted",
    "ProjectSpendAlert",
    "ProjectSpendAlertDeleted",
    "ProjectSpendLimit",
    "ProjectSpendLimitDeleted",
    "SpendAlertRequest",
    "SpendAlertsQuery",
    "UpdateSpendLimit",
]

Currency = Literal["USD"]
Interval = Literal["month"]


# Limits: one each, which stops requests


class Enforcement(Wire, kw_only=True):
    """Whether the limit stops requests now."""

    status: Literal["inactive", "enforcing"] = "inactive"


class _SpendLimit(Wire, kw_only=True):
    """What both limits say."""

    threshold_amount: int
    currency: Currency = "USD"
    interval: Interval = "month"
    enforcement: Enforcement = field(default_factory=Enforcement)


class OrganizationSpendLimit(_SpendLimit, tag_field="object", tag="organization.spend_limit", kw_only=True):
    """What all projects together may spend in a month."""


class ProjectSpendLimit(_SpendLimit, tag_field="object", tag="project.spend_limit", kw_only=True):
    """What a project may spend in a month."""


class OrganizationSpendLimitDeleted(Wire, tag_field="object", tag="organization.spend_limit.deleted", kw_only=True):
    """The answer to DELETE /organization/spend_limit"""

    deleted: bool = True


class ProjectSpendLimitDeleted(Wire, tag_field="object", tag="project.spend_limit.deleted", kw_only=True):
    """The answer to DELETE /organization/projects/{project_id}/spend_limit"""

    deleted: bool = True


class UpdateSpendLimit(AdminRequest, kw_only=True):
    """POST /organization/spend_limit, POST /organization/projects/{project_id}/spend_limit: makes it or replaces it."""

    threshold_amount: Annotated[int, Meta(ge=1, le=LARGEST)]
    currency: Currency
    interval: Interval


# Alerts: any number of them, which only tell


class NotificationChannel(Wire, kw_only=True, forbid_unknown_fields=True):
    """Where an alert goes."""

    type: Literal["email"]
    recipients: Annotated[list[Email], Meta(min_length=1, max_length=100)]
    subject_prefix: Maybe[Line | None] = UNSET


class _SpendAlert(Wire, kw_only=True):
    """What both alerts say."""

    id: str
    threshold_amount: int
    notification_channel: NotificationChannel
    currency: Currency = "USD"
    interval: Interval = "month"


class OrganizationSpendAlert(_SpendAlert, tag_field="object", tag="organization.spend_alert", kw_only=True):
    """Tells when all projects together have spent that much in a month."""


class ProjectSpendAlert(_SpendAlert, tag_field="object", tag="project.spend_alert", kw_only=True):
    """Tells when a project has spent that much in a month."""


class OrganizationSpendAlertDeleted(Wire, tag_field="object", tag="organization.spend_alert.deleted", kw_only=True):
    """The answer to DELETE /organization/spend_alerts/{alert_id}"""

    id: str
    deleted: bool = True


class ProjectSpendAlertDeleted(Wire, tag_field="object", tag="project.spend_alert.deleted", kw_only=True):
    """The answer to DELETE /organization/projects/{project_id}/spend_alerts/{alert_id}"""

    id: str
    deleted: bool = True


class SpendAlertRequest(AdminRequest, kw_only=True):
    """POST of a spend alert, to make one or to replace one: both take the whole of it."""

    threshold_amount: Annotated[int, Meta(ge=0, le=LARGEST)]
    currency: Currency
    interval: Interval
    notification_channel: NotificationChannel


class SpendAlertsQuery(ListQuery, kw_only=True):
    """GET /organization/spend_alerts, GET /organization/projects/{project_id}/spend_alerts"""
