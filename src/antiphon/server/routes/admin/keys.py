"""Keys of projects, and keys to the admin API. A value is shown once, in the answer that makes it."""

from __future__ import annotations

from typing import Any

from antiphon.policy import administration as admin
from antiphon.policy.administration import Edit, NewKey
from antiphon.policy.directory import DEFAULT, Directory, Key, Project, ServiceAccount, User
from antiphon.server.call import Call
from antiphon.server.routes.admin.asked import body, directory, edited, project, query, seconds
from antiphon.wire.admin import keys as wire
from antiphon.wire.admin.paging import ListQuery, page_among
from antiphon.wire.struct import encode


def account_key(new: NewKey) -> wire.ServiceAccountAPIKey:
    """A new key of a service account, with its value."""
    key = new.key
    created, expires = int(key.created_at), seconds(key.expires_at)
    return wire.ServiceAccountAPIKey(id=key.id, name=key.name, created_at=created, value=new.value, expires_at=expires)


# Keys of a project


def _fields(call: Call, key: Key) -> dict[str, Any]:
    found = directory(call)
    return {
        "id": key.id,
        "name": key.name,
        "redacted_value": key.redacted,
        "created_at": int(key.created_at),
        "owner": _owner(found, found.projects[key.project or DEFAULT], key),
        "owner_project_access": "active" if found.principal_of(key) is not None else "inactive",
        "last_used_at": seconds(call.accounts.used_at(key)),
        "expires_at": seconds(key.expires_at),
        "scopes": list(key.scopes or ()),
    }


def _owner(found: Directory, own: Project, key: Key) -> wire.KeyOwner:
    if (account := found.account(own.id, key.owner)) is not None:
        holder = wire.ServiceAccountOwner(
            id=account.id, name=account.name, created_at=int(account.created_at), role=account.role
        )
        return wire.KeyOwner(type="service_account", service_account=holder)
    user = found.users[key.owner]
    return wire.KeyOwner(
        type="user",
        user=wire.UserOwner(
            id=user.id,
            email=user.email,
            name=user.name or "",
            created_at=int(user.added_at),
            role=found.role_in(own, user) or "none",
        ),
    )


def shown(call: Call, key: Key) -> wire.ProjectAPIKey:
    """A key of a project as the API shows it."""
    return wire.ProjectAPIKey(**_fields(call, key))


async def create(call: Call) -> None:
    """POST /organization/projects/{project_id}/api_keys: a key of a user, by default of the caller (extension)."""
    asked = await body(call, wire.CreateProjectAPIKey)
    project_id = call.path["project_id"]

    def create_key(edit: Edit) -> NewKey:
        owner = _owner_for(edit, project_id, asked.user_id)
        name = asked.name or "Secret key"
        return admin.create_key(edit, project_id, owner, name, scopes=asked.scopes, lifetime=asked.expires_in_seconds)

    new = await edited(call, create_key)
    await call.answer(encode(wire.ProjectAPIKeyCreated(value=new.value, **_fields(call, new.key))))


def _owner_for(edit: Edit, project_id: str, user_id: str | None) -> User | ServiceAccount:
    """The user that is named; else whoever has the key, or on an open server runs it. Raises NotFound."""
    organization = edit.by.organization
    held = edit.directory.keys.get(edit.by.key_id or "")
    if user_id is None and held is not None:
        account = edit.directory.account(project_id, held.owner)
        if account is not None:
            return account
        user_id = held.owner
    owner = edit.directory.operator(organization) if user_id is None else edit.directory.user(organization, user_id)
    if owner is None:
        raise admin.unknown("user", user_id or "")
    return owner


async def create_for_account(call: Call) -> None:
    """POST /organization/projects/{project_id}/service_accounts/{service_account_id}/api_keys"""
    asked = await body(call, wire.CreateServiceAccountAPIKey)
    project_id, account_id = call.path["project_id"], call.path["service_account_id"]

    def create_key(edit: Edit) -> NewKey:
        account = edit.directory.account(project_id, account_id)
        if account is None:
            raise admin.unknown("service account", account_id)
        name = asked.name or account.name
        return admin.create_key(edit, project_id, account, name, scopes=asked.scopes, lifetime=asked.expires_in_seconds)

    project(call)
    await call.answer(encode(account_key(await edited(call, create_key))))


async def list_keys(call: Call) -> None:
    """GET /organization/projects/{project_id}/api_keys"""
    asked = query(call, wire.ProjectAPIKeysQuery)
    keys = directory(call).keys_of(call.principal.organization, project(call).id)
    found = [shown(call, key) for key in keys]
    wanted = [key for key in found if asked.owner_project_access in ("any", key.owner_project_access)]
    await call.answer(encode(page_among(wanted, asked)))


async def retrieve(call: Call) -> None:
    """GET /organization/projects/{project_id}/api_keys/{api_key_id}"""
    await call.answer(encode(shown(call, _find(call, project(call), call.path["api_key_id"]))))


async def update(call: Call) -> None:
    """POST /organization/projects/{project_id}/api_keys/{api_key_id}"""
    asked = await body(call, wire.UpdateProjectAPIKey)
    project_id, key_id = call.path["project_id"], call.path["api_key_id"]
    key = await edited(
        call, lambda edit: admin.update_key(edit, project_id, key_id, asked.scopes, asked.expires_in_seconds)
    )
    await call.answer(encode(shown(call, key)))


async def delete(call: Call) -> None:
    """DELETE /organization/projects/{project_id}/api_keys/{api_key_id}"""
    project_id, key_id = call.path["project_id"], call.path["api_key_id"]
    await edited(call, lambda edit: admin.revoke_key(edit, project_id, key_id))
    await call.answer(encode(wire.ProjectAPIKeyDeleted(id=key_id)))


def _find(call: Call, own: Project | None, key_id: str) -> Key:
    found = directory(call).key(call.principal.organization, own.id if own else None, key_id)
    if found is None:
        raise admin.unknown("API key", key_id)
    return found


# Keys to the admin API


def _admin_fields(call: Call, key: Key) -> dict[str, Any]:
    user = directory(call).users[key.owner]
    return {
        "id": key.id,
        "name": key.name,
        "redacted_value": key.redacted,
        "created_at": int(key.created_at),
        "owner": wire.AdminKeyOwner(id=user.id, name=user.name or user.email, created_at=int(user.added_at)),
        "last_used_at": seconds(call.accounts.used_at(key)),
        "expires_at": seconds(key.expires_at),
    }


async def create_admin(call: Call) -> None:
    """POST /organization/admin_api_keys"""
    asked = await body(call, wire.CreateAdminAPIKey)
    new = await edited(call, lambda edit: admin.create_admin_key(edit, asked.name, lifetime=asked.expires_in_seconds))
    await call.answer(encode(wire.AdminAPIKeyCreated(value=new.value, **_admin_fields(call, new.key))))


async def list_admin(call: Call) -> None:
    """GET /organization/admin_api_keys"""
    asked = query(call, ListQuery)
    keys = directory(call).keys_of(call.principal.organization, None)
    await call.answer(encode(page_among([wire.AdminAPIKey(**_admin_fields(call, key)) for key in keys], asked)))


async def retrieve_admin(call: Call) -> None:
    """GET /organization/admin_api_keys/{key_id}"""
    key = _find(call, None, call.path["key_id"])
    await call.answer(encode(wire.AdminAPIKey(**_admin_fields(call, key))))


async def delete_admin(call: Call) -> None:
    """DELETE /organization/admin_api_keys/{key_id}"""
    key_id = call.path["key_id"]
    await edited(call, lambda edit: admin.revoke_key(edit, None, key_id))
    await call.answer(encode(wire.AdminAPIKeyDeleted(id=key_id)))
