"""Keys: those of a project, which call models, and admin keys. A value is shown once, in the answer that makes it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from antiphon.wire.admin.fields import AdminKeyLifetime, Id, KeyLifetime, Name, Scope
from antiphon.wire.admin.paging import ListQuery
from antiphon.wire.admin.request import AdminRequest
from antiphon.wire.struct import UNSET, Maybe, Wire

__all__ = [
    "AdminAPIKey",
    "AdminAPIKeyCreated",
    "AdminAPIKeyDeleted",
    "AdminKeyOwner",
    "CreateAdminAPIKey",
    "CreateProjectAPIKey",
    "CreateServiceAccountAPIKey",
    "KeyOwner",
    "ProjectAPIKey",
    "ProjectAPIKeyCreated",
    "ProjectAPIKeyDeleted",
    "ProjectAPIKeysQuery",
    "ServiceAccountAPIKey",
    "ServiceAccountOwner",
    "UpdateProjectAPIKey",
    "UserOwner",
]

Scopes = Annotated[list[Scope], Meta(max_length=64)]
"""An empty list restricts nothing: the key may do what its owner may."""


# Keys of a project


class UserOwner(Wire, kw_only=True):
    """The user whose key it is, with the role in the project."""

    id: str
    email: str
    name: str
    created_at: int
    role: str


class ServiceAccountOwner(Wire, kw_only=True):
    """The service account whose key it is, with the role in the project."""

    id: str
    name: str
    created_at: int
    role: str


class KeyOwner(Wire, kw_only=True):
    """Whose key it is: `type` says which of the two is there."""

    type: Literal["user", "service_account"]
    user: Maybe[UserOwner] = UNSET
    service_account: Maybe[ServiceAccountOwner] = UNSET


class ProjectAPIKey(Wire, tag_field="object", tag="organization.project.api_key", kw_only=True):
    """A key of a project. OpenAI's object does not show `scopes` (extension)."""

    id: str
    name: str
    redacted_value: str
    created_at: int
    owner: KeyOwner
    owner_project_access: Literal["active", "inactive"] = "active"
    last_used_at: int | None = None
    expires_at: int | None = None
    scopes: list[str] = []


class ProjectAPIKeyCreated(ProjectAPIKey, tag_field="object", tag="organization.project.api_key", kw_only=True):
    """The answer to POST /organization/projects/{project_id}/api_keys (extension)."""

    value: str


class ProjectAPIKeyDeleted(Wire, tag_field="object", tag="organization.project.api_key.deleted", kw_only=True):
    """The answer to DELETE /organization/projects/{project_id}/api_keys/{api_key_id}"""

    id: str
    deleted: bool = True


class CreateServiceAccountAPIKey(AdminRequest, kw_only=True):
    """POST /organization/projects/{project_id}/service_accounts/{service_account_id}/api_keys"""

    name: Name | None = None
    expires_in_seconds: KeyLifetime | None = None
    scopes: Scopes | None = None


class CreateProjectAPIKey(CreateServiceAccountAPIKey, kw_only=True):
    """POST /organization/projects/{project_id}/api_keys: a key of a user (extension; OpenAI's are made on its page).

    Without `user_id` it is the caller's own.
    """

    user_id: Id | None = None


class UpdateProjectAPIKey(AdminRequest, kw_only=True):
    """POST /organization/projects/{project_id}/api_keys/{api_key_id}. The lifetime begins with this request."""

    expires_in_seconds: KeyLifetime | None = None
    scopes: Scopes | None = None


class ProjectAPIKeysQuery(ListQuery, kw_only=True):
    """GET /organization/projects/{project_id}/api_keys. Not sent is `any`: no key is hidden."""

    owner_project_access: Literal["active", "inactive", "any"] = "any"


class ServiceAccountAPIKey(Wire, tag_field="object", tag="organization.project.service_account.api_key", kw_only=True):
    """A new key of a service account, with its value. Where keys are listed it is a `ProjectAPIKey`."""

    id: str
    name: str
    created_at: int
    value: str
    expires_at: int | None = None


# Admin keys


class AdminKeyOwner(Wire, kw_only=True):
    """The user whose admin key it is."""

    id: str
    name: str
    created_at: int
    object: Literal["organization.user"] = "organization.user"
    type: Literal["user"] = "user"
    role: Literal["owner"] = "owner"


class AdminAPIKey(Wire, tag_field="object", tag="organization.admin_api_key", kw_only=True):
    """A key to the admin API. It calls no model."""

    id: str
    name: str
    redacted_value: str
    created_at: int
    owner: AdminKeyOwner
    last_used_at: int | None = None
    expires_at: int | None = None


class AdminAPIKeyCreated(AdminAPIKey, tag_field="object", tag="organization.admin_api_key", kw_only=True):
    """The answer to POST /organization/admin_api_keys"""

    value: str


class AdminAPIKeyDeleted(Wire, tag_field="object", tag="organization.admin_api_key.deleted", kw_only=True):
    """The answer to DELETE /organization/admin_api_keys/{key_id}"""

    id: str
    deleted: bool = True


class CreateAdminAPIKey(AdminRequest, kw_only=True):
    """POST /organization/admin_api_keys"""

    name: Name
    expires_in_seconds: AdminKeyLifetime | None = None
