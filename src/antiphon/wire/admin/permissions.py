"""What a project may use: models and hosted tools."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from antiphon.wire.admin.fields import ModelName
from antiphon.wire.admin.request import AdminRequest
from antiphon.wire.struct import Wire

__all__ = [
    "HostedToolPermissions",
    "ModelPermissions",
    "ModelPermissionsDeleted",
    "ToolPermission",
    "UpdateHostedToolPermissions",
    "UpdateModelPermissions",
]

Mode = Literal["allow_list", "deny_list"]


class ModelPermissions(Wire, tag_field="object", tag="project.model_permissions", kw_only=True):
    """The models that a project may call, or those that it may not."""

    mode: Mode
    model_ids: list[str]


class UpdateModelPermissions(AdminRequest, kw_only=True):
    """POST /organization/projects/{project_id}/model_permissions. A name may hold `*` for any text (extension)."""

    mode: Mode
    model_ids: Annotated[list[ModelName], Meta(max_length=1000)]


class ModelPermissionsDeleted(Wire, tag_field="object", tag="project.model_permissions.deleted", kw_only=True):
    """The answer to DELETE /organization/projects/{project_id}/model_permissions: every model is allowed again."""

    deleted: bool = True


class ToolPermission(Wire, kw_only=True, forbid_unknown_fields=True):
    """Whether a hosted tool may be used."""

    enabled: bool


class HostedToolPermissions(Wire, kw_only=True):
    """The hosted tools that a project may use. This object does not say its type, at OpenAI neither."""

    code_interpreter: ToolPermission
    file_search: ToolPermission
    image_generation: ToolPermission
    mcp: ToolPermission
    web_search: ToolPermission


class UpdateHostedToolPermissions(AdminRequest, kw_only=True):
    """POST /organization/projects/{project_id}/hosted_tool_permissions. A tool that is not named stays as it is."""

    code_interpreter: ToolPermission | None = None
    file_search: ToolPermission | None = None
    image_generation: ToolPermission | None = None
    mcp: ToolPermission | None = None
    web_search: ToolPermission | None = None
