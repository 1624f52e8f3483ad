"""Who acts: users of the organization and of its projects, and service accounts."""

from __future__ import annotations

from typing import ClassVar, Literal

from antiphon.wire.admin.fields import Email, Id, KeyLifetime, Name, OrganizationRole, ProjectRole
from antiphon.wire.admin.keys import ServiceAccountAPIKey
from antiphon.wire.admin.paging import ListQuery
from antiphon.wire.admin.request import AdminRequest
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.invalid import missing
from antiphon.wire.struct import Wire

__all__ = [
    "CreateProjectUser",
    "CreateServiceAccount",
    "OrganizationUser",
    "OrganizationUserDeleted",
    "OrganizationUsersQuery",
    "ProjectServiceAccount",
    "ProjectServiceAccountDeleted",
    "ProjectUser",
    "ProjectUserDeleted",
    "ServiceAccountCreated",
    "UpdateOrganizationUser",
    "UpdateProjectUser",
    "UpdateServiceAccount",
]


def _exclusive(first: str, second: str) -> InvalidRequest:
    message = f"Mutually exclusive parameters: '{first}' and '{second}'. Provide only one of them."
    return InvalidRequest(message, param=second, code="mutually_exclusive_parameters")


# Users of the organization


class OrganizationUser(Wire, tag_field="object", tag="organization.user", kw_only=True):
    """A user. A user who came with an e-mail address alone has no name."""

    id: str
    email: str | None
    name: str | None
    role: OrganizationRole
    added_at: int
    api_key_last_used_at: int | None = None


class OrganizationUserDeleted(Wire, tag_field="object", tag="organization.user.deleted", kw_only=True):
    """The answer to DELETE /organization/users/{user_id}"""

    id: str
    deleted: bool = True


class OrganizationUsersQuery(ListQuery, kw_only=True):
    """GET /organization/users"""

    emails: list[Id] = []


class UpdateOrganizationUser(AdminRequest, kw_only=True):
    """POST /organization/users/{user_id}"""

    role: OrganizationRole | None = None
    role_id: str | None = None
    developer_persona: str | None = None
    technical_level: str | None = None

    unserved: ClassVar = {
        "role_id": "There are no roles of one's own making: 'role' takes 'owner' or 'reader'.",
        "developer_persona": "This server keeps no profile of its users.",
        "technical_level": "This server keeps no profile of its users.",
    }


# Users of a project


class ProjectUser(Wire, tag_field="object", tag="organization.project.user", kw_only=True):
    """A user with a role in a project."""

    id: str
    email: str | None
    name: str | None
    role: ProjectRole
    added_at: int


class ProjectUserDeleted(Wire, tag_field="object", tag="organization.project.user.deleted", kw_only=True):
    """The answer to DELETE /organization/projects/{project_id}/users/{user_id}"""

    id: str
    deleted: bool = True


class CreateProjectUser(AdminRequest, kw_only=True):
    """POST /organization/projects/{project_id}/users. Names the user by exactly one of `user_id` and `email`."""

    role: ProjectRole
    user_id: Id | None = None
    email: Email | None = None

    def check(self) -> None:
        """Raises InvalidRequest for a user without a name, or with two."""
        if self.user_id is None and self.email is None:
            raise missing("user_id")
        if self.user_id is not None and self.email is not None:
            raise _exclusive("user_id", "email")


class UpdateProjectUser(AdminRequest, kw_only=True):
    """POST /organization/projects/{project_id}/users/{user_id}"""

    role: ProjectRole | None = None


# Service accounts

ServiceAccountRole = Literal["owner", "member", "none"]


class ProjectServiceAccount(Wire, tag_field="object", tag="organization.project.service_account", kw_only=True):
    """An account of a program. With the role `none` its keys may do nothing."""

    id: str
    name: str
    role: ServiceAccountRole
    created_at: int


class ServiceAccountCreated(Wire, tag_field="object", tag="organization.project.service_account", kw_only=True):
    """The answer to POST /organization/projects/{project_id}/service_accounts"""

    id: str
    name: str
    created_at: int
    role: Literal["member", "none"] = "member"
    api_key: ServiceAccountAPIKey | None = None


class ProjectServiceAccountDeleted(
    Wire, tag_field="object", tag="organization.project.service_account.deleted", kw_only=True
):
    """The answer to DELETE /organization/projects/{project_id}/service_accounts/{service_account_id}"""

    id: str
    deleted: bool = True


class CreateServiceAccount(AdminRequest, kw_only=True):
    """POST /organization/projects/{project_id}/service_accounts: with a key, unless only the account is asked for."""

    name: Name
    create_service_account_only: bool | None = None
    expires_in_seconds: KeyLifetime | None = None

    def check(self) -> None:
        """Raises InvalidRequest for a lifetime without a key."""
        if self.create_service_account_only and self.expires_in_seconds is not None:
            raise _exclusive("create_service_account_only", "expires_in_seconds")


class UpdateServiceAccount(AdminRequest, kw_only=True):
    """POST /organization/projects/{project_id}/service_accounts/{service_account_id}"""

    name: Name | None = None
    role: Literal["member", "owner"] | None = None
