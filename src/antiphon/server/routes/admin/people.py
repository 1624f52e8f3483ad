"""Service accounts, and users of the organization and of its projects."""

from __future__ import annotations

from antiphon.policy import administration as admin
from antiphon.policy.administration import Edit, NewKey
from antiphon.policy.directory import Member, ServiceAccount, User
from antiphon.server.call import Call
from antiphon.server.routes.admin.asked import body, directory, edited, project, query, seconds
from antiphon.server.routes.admin.keys import account_key
from antiphon.wire.admin import people as wire
from antiphon.wire.admin.paging import ListQuery, page_among
from antiphon.wire.struct import encode

# Service accounts


def _account(found: ServiceAccount) -> wire.ProjectServiceAccount:
    return wire.ProjectServiceAccount(id=found.id, name=found.name, role=found.role, created_at=int(found.created_at))


async def create_account(call: Call) -> None:
    """POST /organization/projects/{project_id}/service_accounts: with a key, unless only the account is asked for."""
    asked = await body(call, wire.CreateServiceAccount)
    project_id = call.path["project_id"]

    def create(edit: Edit) -> tuple[ServiceAccount, NewKey | None]:
        account = admin.create_account(edit, project_id, asked.name)
        if asked.create_service_account_only:
            return account, None
        key = admin.create_key(edit, project_id, account, "Secret key", lifetime=asked.expires_in_seconds)
        return account, key

    account, key = await edited(call, create)
    answer = wire.ServiceAccountCreated(
        id=account.id,
        name=account.name,
        created_at=int(account.created_at),
        api_key=None if key is None else account_key(key),
    )
    await call.answer(encode(answer))


async def list_accounts(call: Call) -> None:
    """GET /organization/projects/{project_id}/service_accounts"""
    asked, own = query(call, ListQuery), project(call)
    accounts = [_account(each) for each in directory(call).accounts.values() if each.project == own.id]
    await call.answer(encode(page_among(accounts, asked)))


async def retrieve_account(call: Call) -> None:
    """GET /organization/projects/{project_id}/service_accounts/{service_account_id}"""
    account_id = call.path["service_account_id"]
    found = directory(call).account(project(call).id, account_id)
    if found is None:
        raise admin.unknown("service account", account_id)
    await call.answer(encode(_account(found)))


async def update_account(call: Call) -> None:
    """POST /organization/projects/{project_id}/service_accounts/{service_account_id}"""
    asked = await body(call, wire.UpdateServiceAccount)
    project_id, account_id = call.path["project_id"], call.path["service_account_id"]
    changed = await edited(
        call, lambda edit: admin.update_account(edit, project_id, account_id, asked.name, asked.role)
    )
    await call.answer(encode(_account(changed)))


async def delete_account(call: Call) -> None:
    """DELETE /organization/projects/{project_id}/service_accounts/{service_account_id}: with its keys."""
    project_id, account_id = call.path["project_id"], call.path["service_account_id"]
    await edited(call, lambda edit: admin.delete_account(edit, project_id, account_id))
    await call.answer(encode(wire.ProjectServiceAccountDeleted(id=account_id)))


# Users of a project


def _member(call: Call, found: Member) -> wire.ProjectUser:
    user = directory(call).users[found.user]
    return wire.ProjectUser(id=user.id, email=user.email, name=user.name, role=found.role, added_at=int(found.added_at))


async def add_member(call: Call) -> None:
    """POST /organization/projects/{project_id}/users"""
    asked = await body(call, wire.CreateProjectUser)
    project_id = call.path["project_id"]
    added = await edited(call, lambda edit: admin.add_member(edit, project_id, asked.role, asked.user_id, asked.email))
    await call.answer(encode(_member(call, added)))


async def list_members(call: Call) -> None:
    """GET /organization/projects/{project_id}/users"""
    asked, own = query(call, ListQuery), project(call)
    members = [_member(call, each) for each in directory(call).members.values() if each.project == own.id]
    await call.answer(encode(page_among(members, asked)))


async def retrieve_member(call: Call) -> None:
    """GET /organization/projects/{project_id}/users/{user_id}"""
    user_id = call.path["user_id"]
    found = directory(call).members.get((project(call).id, user_id))
    if found is None:
        raise admin.unknown("user", user_id)
    await call.answer(encode(_member(call, found)))


async def update_member(call: Call) -> None:
    """POST /organization/projects/{project_id}/users/{user_id}"""
    asked = await body(call, wire.UpdateProjectUser)
    project_id, user_id = call.path["project_id"], call.path["user_id"]
    changed = await edited(call, lambda edit: admin.update_member(edit, project_id, user_id, asked.role))
    await call.answer(encode(_member(call, changed)))


async def remove_member(call: Call) -> None:
    """DELETE /organization/projects/{project_id}/users/{user_id}"""
    project_id, user_id = call.path["project_id"], call.path["user_id"]
    await edited(call, lambda edit: admin.remove_member(edit, project_id, user_id))
    await call.answer(encode(wire.ProjectUserDeleted(id=user_id)))


# Users of the organization


def _user(call: Call, found: User) -> wire.OrganizationUser:
    keys = (key for key in directory(call).keys.values() if key.owner == found.id)
    used = [time for key in keys if (time := call.accounts.used_at(key)) is not None]
    return wire.OrganizationUser(
        id=found.id,
        email=found.email,
        name=found.name,
        role=found.role,
        added_at=int(found.added_at),
        api_key_last_used_at=seconds(max(used, default=None)),
    )


async def list_users(call: Call) -> None:
    """GET /organization/users"""
    asked = query(call, wire.OrganizationUsersQuery)
    emails = {email.lower() for email in asked.emails}
    users = (user for user in directory(call).users.values() if user.organization == call.principal.organization)
    found = [_user(call, user) for user in users if not emails or user.email.lower() in emails]
    await call.answer(encode(page_among(found, asked)))


async def retrieve_user(call: Call) -> None:
    """GET /organization/users/{user_id}"""
    user_id = call.path["user_id"]
    found = directory(call).user(call.principal.organization, user_id)
    if found is None:
        raise admin.unknown("user", user_id)
    await call.answer(encode(_user(call, found)))


async def update_user(call: Call) -> None:
    """POST /organization/users/{user_id}"""
    asked = await body(call, wire.UpdateOrganizationUser)
    user_id = call.path["user_id"]
    await call.answer(
        encode(_user(call, await edited(call, lambda edit: admin.update_user(edit, user_id, asked.role))))
    )


async def delete_user(call: Call) -> None:
    """DELETE /organization/users/{user_id}"""
    user_id = call.path["user_id"]
    await edited(call, lambda edit: admin.delete_user(edit, user_id))
    await call.answer(encode(wire.OrganizationUserDeleted(id=user_id)))
