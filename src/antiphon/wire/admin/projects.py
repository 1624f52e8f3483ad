"""Projects: what owns keys, responses, limits and budgets."""

from __future__ import annotations

from typing import ClassVar, Literal

from antiphon.wire.admin.fields import Name
from antiphon.wire.admin.paging import ListQuery
from antiphon.wire.admin.request import AdminRequest
from antiphon.wire.struct import Wire

__all__ = ["CreateProject", "Project", "ProjectsQuery", "UpdateProject"]

_ONE_PLACE = "Data stays where this server keeps it."
_NO_KMS = "This server does not use customer-managed encryption keys."


class Project(Wire, tag_field="object", tag="organization.project", kw_only=True):
    """A project. An archived one can be read, and serves nothing."""

    id: str
    name: str
    created_at: int
    archived_at: int | None = None
    status: Literal["active", "archived"] = "active"


class CreateProject(AdminRequest, kw_only=True):
    """POST /organization/projects"""

    name: Name
    external_key_id: str | None = None
    geography: str | None = None
    residency: str | None = None

    unserved: ClassVar = {"external_key_id": _NO_KMS, "geography": _ONE_PLACE, "residency": _ONE_PLACE}


class UpdateProject(AdminRequest, kw_only=True):
    """POST /organization/projects/{project_id}"""

    name: Name | None = None
    external_key_id: str | None = None
    geography: str | None = None

    unserved: ClassVar = {"external_key_id": _NO_KMS, "geography": _ONE_PLACE}


class ProjectsQuery(ListQuery, kw_only=True):
    """GET /organization/projects"""

    include_archived: bool = False
