"""Projects, and what they may use."""

from __future__ import annotations

import msgspec

from antiphon.policy import access
from antiphon.policy import administration as admin
from antiphon.policy.directory import Project
from antiphon.server.call import Call
from antiphon.server.routes.admin.asked import body, directory, edited, project, query, seconds
from antiphon.wire.admin import permissions
from antiphon.wire.admin import projects as wire
from antiphon.wire.admin.paging import page_among
from antiphon.wire.struct import encode


def shown(found: Project) -> wire.Project:
    """A project as the API shows it."""
    return wire.Project(
        id=found.id,
        name=found.name,
        created_at=int(found.created_at),
        archived_at=seconds(found.archived_at),
        status="active" if found.archived_at is None else "archived",
    )


async def create(call: Call) -> None:
    """POST /organization/projects"""
    asked = await body(call, wire.CreateProject)
    await call.answer(encode(shown(await edited(call, lambda edit: admin.create_project(edit, asked.name)))))


async def list_projects(call: Call) -> None:
    """GET /organization/projects"""
    asked = query(call, wire.ProjectsQuery)
    ours = [each for each in directory(call).projects.values() if each.organization == call.principal.organization]
    found = [shown(each) for each in ours if asked.include_archived or each.archived_at is None]
    await call.answer(encode(page_among(found, asked)))


async def retrieve(call: Call) -> None:
    """GET /organization/projects/{project_id}"""
    await call.answer(encode(shown(project(call))))


async def update(call: Call) -> None:
    """POST /organization/projects/{project_id}"""
    asked = await body(call, wire.UpdateProject)
    project_id = call.path["project_id"]
    changed = await edited(call, lambda edit: admin.rename_project(edit, project_id, asked.name))
    await call.answer(encode(shown(changed)))


async def archive(call: Call) -> None:
    """POST /organization/projects/{project_id}/archive"""
    project_id = call.path["project_id"]
    await call.answer(encode(shown(await edited(call, lambda edit: admin.archive_project(edit, project_id)))))


# Models


def _models(found: Project) -> permissions.ModelPermissions:
    return permissions.ModelPermissions(mode=found.models.mode, model_ids=list(found.models.model_ids))


async def retrieve_models(call: Call) -> None:
    """GET /organization/projects/{project_id}/model_permissions"""
    await call.answer(encode(_models(project(call))))


async def update_models(call: Call) -> None:
    """POST /organization/projects/{project_id}/model_permissions"""
    asked = await body(call, permissions.UpdateModelPermissions)
    models = access.ModelPermissions(asked.mode, tuple(asked.model_ids))
    project_id = call.path["project_id"]
    await call.answer(encode(_models(await edited(call, lambda edit: admin.permit_models(edit, project_id, models)))))


async def delete_models(call: Call) -> None:
    """DELETE /organization/projects/{project_id}/model_permissions"""
    project_id = call.path["project_id"]
    await edited(call, lambda edit: admin.permit_models(edit, project_id, None))
    await call.answer(encode(permissions.ModelPermissionsDeleted()))


# Hosted tools


def _tools(found: Project) -> permissions.HostedToolPermissions:
    tools = msgspec.structs.asdict(found.tools)
    return permissions.HostedToolPermissions(
        **{name: permissions.ToolPermission(enabled=enabled) for name, enabled in tools.items()}
    )


async def retrieve_tools(call: Call) -> None:
    """GET /organization/projects/{project_id}/hosted_tool_permissions"""
    await call.answer(encode(_tools(project(call))))


async def update_tools(call: Call) -> None:
    """POST /organization/projects/{project_id}/hosted_tool_permissions"""
    asked = msgspec.structs.asdict(await body(call, permissions.UpdateHostedToolPermissions))
    tools = {name: permission.enabled for name, permission in asked.items() if permission is not None}
    project_id = call.path["project_id"]
    await call.answer(encode(_tools(await edited(call, lambda edit: admin.permit_tools(edit, project_id, tools)))))
