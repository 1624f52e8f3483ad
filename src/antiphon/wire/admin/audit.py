"""The audit log: who changed what, and when.

An entry has its details under a key that is its type: `{"type": "project.created", "project.created": {…}}`. `entry`
makes one, so that the two cannot differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, Literal

from msgspec import field

from antiphon.wire.admin.fields import Id, Time
from antiphon.wire.admin.limits import UpdateProjectRateLimit
from antiphon.wire.admin.paging import ListQuery, Order
from antiphon.wire.admin.permissions import UpdateHostedToolPermissions, UpdateModelPermissions
from antiphon.wire.admin.request import AdminRequest
from antiphon.wire.admin.spend import SpendAlertRequest, UpdateSpendLimit
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.struct import UNSET, Maybe, Wire

__all__ = [
    "EVENTS",
    "EVENT_TYPES",
    "APIKeyChanges",
    "APIKeyCreated",
    "APIKeyDeleted",
    "APIKeyUpdated",
    "Actor",
    "ActorAPIKey",
    "ActorServiceAccount",
    "ActorSession",
    "ActorUser",
    "AuditLog",
    "AuditLogsQuery",
    "AuditProject",
    "BudgetChange",
    "Details",
    "EffectiveAt",
    "OrganizationChanges",
    "OrganizationUpdated",
    "ProjectArchived",
    "ProjectChanges",
    "ProjectCreated",
    "ProjectTitle",
    "ProjectUpdated",
    "RateLimitUpdated",
    "RoleOf",
    "ScopesOf",
    "ServiceAccountChanges",
    "ServiceAccountCreated",
    "ServiceAccountDeleted",
    "ServiceAccountUpdated",
    "UserAdded",
    "UserDeleted",
    "UserUpdated",
    "entry",
]


# Who


class ActorUser(Wire, kw_only=True):
    """A user."""

    id: str
    email: Maybe[str | None] = UNSET


class ActorServiceAccount(Wire, kw_only=True):
    """A service account."""

    id: str


class ActorAPIKey(Wire, kw_only=True):
    """The key that was used, and whose it is: `type` says which of the two is there."""

    id: str
    type: Literal["user", "service_account"]
    user: Maybe[ActorUser] = UNSET
    service_account: Maybe[ActorServiceAccount] = UNSET


class ActorSession(Wire, kw_only=True):
    """Somebody without a key: at the command line, or at a server that needs none."""

    ip_address: Maybe[str | None] = UNSET
    user: Maybe[ActorUser] = UNSET


class Actor(Wire, kw_only=True):
    """Who did it: `type` says which of the two is there."""

    type: Literal["api_key", "session"]
    api_key: Maybe[ActorAPIKey] = UNSET
    session: Maybe[ActorSession] = UNSET


class AuditProject(Wire, kw_only=True):
    """The project in which it was done."""

    id: str
    name: str


# What


class Details(Wire, kw_only=True):
    """What happened to the object `id`. `event` is the type of the entry."""

    event: ClassVar[str]
    id: str


class ScopesOf(Wire, kw_only=True):
    """What a key may do."""

    scopes: list[str]


class APIKeyCreated(Details, kw_only=True):
    """A key was made, also one of a service account or an admin key."""

    event: ClassVar[str] = "api_key.created"
    data: ScopesOf


class APIKeyChanges(Wire, kw_only=True):
    """What of a key was to be changed."""

    scopes: Maybe[list[str]] = UNSET
    expires_in_seconds: Maybe[int] = UNSET


class APIKeyUpdated(Details, kw_only=True):
    """A key was changed."""

    event: ClassVar[str] = "api_key.updated"
    changes_requested: APIKeyChanges


class APIKeyDeleted(Details, kw_only=True):
    """A key was revoked."""

    event: ClassVar[str] = "api_key.deleted"


class ProjectTitle(Wire, kw_only=True):
    """The name of a project, in both of the words that OpenAI has for it."""

    name: str
    title: str


class ProjectCreated(Details, kw_only=True):
    """A project was made."""

    event: ClassVar[str] = "project.created"
    data: ProjectTitle


class BudgetChange(Wire, kw_only=True):
    """A budget as it was to be (extension). `amount`: US dollars; `thresholds`: parts of it. Decimals, as text."""

    amount: str
    hard: bool
    thresholds: list[str]


class OrganizationChanges(Wire, kw_only=True):
    """What of the organization was to be changed (extension; OpenAI's log does not say it). `null`: was deleted.

    `budgets` are named by window, `monthly`; those of a key by window and key, `daily key_1`.
    """

    spend_limit: Maybe[UpdateSpendLimit | None] = UNSET
    budgets: Maybe[dict[str, BudgetChange | None]] = UNSET
    spend_alerts: Maybe[dict[str, SpendAlertRequest | None]] = UNSET


class ProjectChanges(OrganizationChanges, kw_only=True):
    """What of a project was to be changed. All but `title` are extensions. `null`: was deleted."""

    title: Maybe[str] = UNSET
    model_permissions: Maybe[UpdateModelPermissions | None] = UNSET
    hosted_tool_permissions: Maybe[UpdateHostedToolPermissions] = UNSET


class OrganizationUpdated(Details, kw_only=True):
    """A limit or an alert of the organization was changed."""

    event: ClassVar[str] = "organization.updated"
    changes_requested: OrganizationChanges


class ProjectUpdated(Details, kw_only=True):
    """A project was changed, or what it may use or spend."""

    event: ClassVar[str] = "project.updated"
    changes_requested: ProjectChanges


class ProjectArchived(Details, kw_only=True):
    """A project was archived."""

    event: ClassVar[str] = "project.archived"


class RateLimitUpdated(Details, kw_only=True):
    """A rate limit was changed."""

    event: ClassVar[str] = "rate_limit.updated"
    changes_requested: UpdateProjectRateLimit


class RoleOf(Wire, kw_only=True):
    """The role that somebody was given."""

    role: str


class ServiceAccountCreated(Details, kw_only=True):
    """A service account was made."""

    event: ClassVar[str] = "service_account.created"
    data: RoleOf


class ServiceAccountChanges(Wire, kw_only=True):
    """What of a service account was to be changed. `name` is an extension."""

    role: Maybe[str] = UNSET
    name: Maybe[str] = UNSET


class ServiceAccountUpdated(Details, kw_only=True):
    """A service account was changed."""

    event: ClassVar[str] = "service_account.updated"
    changes_requested: ServiceAccountChanges


class ServiceAccountDeleted(Details, kw_only=True):
    """A service account was deleted, with its keys."""

    event: ClassVar[str] = "service_account.deleted"


class UserAdded(Details, kw_only=True):
    """A user came to the organization, or to the project that the entry names."""

    event: ClassVar[str] = "user.added"
    data: RoleOf


class UserUpdated(Details, kw_only=True):
    """The role of a user was changed, in the organization or in the project that the entry names."""

    event: ClassVar[str] = "user.updated"
    changes_requested: RoleOf


class UserDeleted(Details, kw_only=True):
    """A user left the organization, or the project that the entry names."""

    event: ClassVar[str] = "user.deleted"


# The entry


class AuditLog(Wire, kw_only=True):
    """One entry. `effective_at`: Unix seconds. This object does not say its type, at OpenAI neither."""

    id: str
    type: str
    effective_at: int
    actor: Actor
    project: Maybe[AuditProject] = UNSET
    api_key_created: Maybe[APIKeyCreated] = field(name="api_key.created", default=UNSET)
    api_key_updated: Maybe[APIKeyUpdated] = field(name="api_key.updated", default=UNSET)
    api_key_deleted: Maybe[APIKeyDeleted] = field(name="api_key.deleted", default=UNSET)
    organization_updated: Maybe[OrganizationUpdated] = field(name="organization.updated", default=UNSET)
    project_created: Maybe[ProjectCreated] = field(name="project.created", default=UNSET)
    project_updated: Maybe[ProjectUpdated] = field(name="project.updated", default=UNSET)
    project_archived: Maybe[ProjectArchived] = field(name="project.archived", default=UNSET)
    rate_limit_updated: Maybe[RateLimitUpdated] = field(name="rate_limit.updated", default=UNSET)
    service_account_created: Maybe[ServiceAccountCreated] = field(name="service_account.created", default=UNSET)
    service_account_updated: Maybe[ServiceAccountUpdated] = field(name="service_account.updated", default=UNSET)
    service_account_deleted: Maybe[ServiceAccountDeleted] = field(name="service_account.deleted", default=UNSET)
    user_added: Maybe[UserAdded] = field(name="user.added", default=UNSET)
    user_updated: Maybe[UserUpdated] = field(name="user.updated", default=UNSET)
    user_deleted: Maybe[UserDeleted] = field(name="user.deleted", default=UNSET)


EVENTS: Final[Mapping[str, type[Details]]] = {
    details.event: details
    for details in (
        APIKeyCreated,
        APIKeyUpdated,
        APIKeyDeleted,
        OrganizationUpdated,
        ProjectCreated,
        ProjectUpdated,
        ProjectArchived,
        RateLimitUpdated,
        ServiceAccountCreated,
        ServiceAccountUpdated,
        ServiceAccountDeleted,
        UserAdded,
        UserUpdated,
        UserDeleted,
    )
}
"""The types of the entries that this server writes."""


def entry(
    log_id: str, effective_at: int, actor: Actor, details: Details, project: AuditProject | None = None
) -> AuditLog:
    """The entry for what happened. `project`: where, unless it was to the organization as a whole."""
    log = AuditLog(
        id=log_id,
        type=details.event,
        effective_at=effective_at,
        actor=actor,
        project=UNSET if project is None else project,
    )
    setattr(log, details.event.replace(".", "_"), details)
    return log


# The query

_OTHER_TYPES: Final = """
certificate.created certificate.updated certificate.deleted certificates.activated certificates.deactivated
checkpoint.permission.created checkpoint.permission.deleted external_key.registered external_key.removed
external_storage.registered external_storage.removed group.created group.updated group.deleted invite.sent
invite.accepted invite.deleted ip_allowlist.created ip_allowlist.updated ip_allowlist.deleted
ip_allowlist.config.activated ip_allowlist.config.deactivated login.succeeded login.failed logout.succeeded
logout.failed project.deleted rate_limit.deleted resource.deleted tunnel.created tunnel.updated tunnel.deleted
workload_identity_provider.created workload_identity_provider.updated workload_identity_provider.deleted
workload_identity_provider_mapping.created workload_identity_provider_mapping.updated
workload_identity_provider_mapping.deleted role.created role.updated role.deleted role.assignment.created
role.assignment.deleted role.bound_to_resource role.unbound_from_resource scim.enabled scim.disabled
""".split()

EVENT_TYPES: Final = frozenset({*EVENTS, *_OTHER_TYPES})
"""The types that one may ask for; of those that are not in `EVENTS` there are no entries. And all of `tenant.…`."""


class EffectiveAt(AdminRequest, kw_only=True):
    """A range of time, in Unix seconds."""

    gt: Time | None = None
    gte: Time | None = None
    lt: Time | None = None
    lte: Time | None = None


class AuditLogsQuery(ListQuery, kw_only=True):
    """GET /organization/audit_logs, newest first. There are no tenants here: with `tenant_only` nothing is found."""

    order: Order = "desc"
    effective_at: EffectiveAt | None = None
    event_types: list[str] = []
    actor_ids: list[Id] = []
    actor_emails: list[Id] = []
    project_ids: list[Id] = []
    resource_ids: list[Id] = []
    tenant_only: bool = False

    def check(self) -> None:
        """Raises InvalidRequest for a misspelt type: to an auditor, nothing found means that nothing happened."""
        for index, name in enumerate(self.event_types):
            if name not in EVENT_TYPES and not name.startswith("tenant."):
                message = f"Invalid value: '{name[:64]}'. It is not a type of the audit log, such as 'project.created'."
                raise InvalidRequest(message, param=f"event_types[{index}]", code="invalid_value")
