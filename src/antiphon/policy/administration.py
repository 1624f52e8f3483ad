"""Administration: what is done to a directory, and the lines of the audit log that tell of it.

    edit = Edit(directory, now, principal, chance)
    project = create_project(edit, "Search")
    edit.change()                                   # what becomes different, with its lines

Each function decides on one snapshot and changes nothing: an `Edit` gathers what is to be. Who asks was authorised
before; here it is only looked at where rights could grow: nobody gives a key more scopes than the own one has.

What is not found in the caller's organization, or in the project that the caller names, is unknown: NotFound, in the
same words whether it is foreign, deleted or never was. Times are Unix seconds; chance is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, get_args

import msgspec

from antiphon.policy.access import (
    ALL,
    Action,
    HostedToolPermissions,
    KeyKind,
    ModelPermissions,
    Principal,
    format_key,
    hashed,
    redacted,
)
from antiphon.policy.directory import (
    DEFAULT,
    Change,
    Directory,
    Dropped,
    Key,
    Logged,
    Member,
    Project,
    ProjectRole,
    Row,
    ServiceAccount,
    User,
)
from antiphon.wire.admin import audit
from antiphon.wire.admin import permissions as wire
from antiphon.wire.errors import InvalidRequest, NotFound, PermissionDenied
from antiphon.wire.struct import UNSET

__all__ = [
    "Edit",
    "NewKey",
    "account_named",
    "add_member",
    "archive_project",
    "create_account",
    "create_admin_key",
    "create_key",
    "create_project",
    "delete_account",
    "delete_user",
    "permit_models",
    "permit_tools",
    "project_in",
    "remove_member",
    "rename_project",
    "revoke_key",
    "rotate_key",
    "unknown",
    "update_account",
    "update_key",
    "update_member",
    "update_user",
]

Chance = Callable[[int], bytes]
"""So many random bytes."""

_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 12


class NewKey(NamedTuple):
    """A key, with the value that is shown once."""

    key: Key
    value: str


class Edit:
    """A change in the making."""

    def __init__(
        self, directory: Directory, now: float, by: Principal, chance: Chance, address: str | None = None
    ) -> None:
        """`address` is where somebody without a key is."""
        self.directory = directory
        self.now = now
        self.by = by
        self._chance = chance
        self._address = address
        self._put: list[Row] = []
        self._projects: dict[str, Project] = {}
        self._drop: list[Dropped] = []
        self._logs: list[Logged] = []

    def change(self) -> Change:
        """What was gathered."""
        return Change(self._put, self._drop, self._logs)

    def put(self, *rows: Row) -> None:
        """Rows as they are to be."""
        self._put += rows
        self._projects |= {row.id: row for row in rows if isinstance(row, Project)}

    def project(self, project_id: str) -> Project:
        """A project of the caller's organization, as it is to be. Raises NotFound."""
        changed = self._projects.get(project_id)
        return changed or project_in(self.directory, self.by.organization, project_id)

    def drop(self, *rows: Dropped) -> None:
        """Rows that are to go."""
        self._drop += rows

    def new_id(self, prefix: str) -> str:
        """An id that nothing has."""
        return f"{prefix}{self._chance(_ID_BYTES).hex()}"

    def new_key(self, kind: KeyKind) -> str:
        """A key that nobody has."""
        return format_key(self._chance(_SECRET_BYTES), kind)

    def log(self, details: audit.Details, project: Project | None = None) -> None:
        """Tell of it. `project`: where it is done, unless to the organization as a whole."""
        where = None if project is None else audit.AuditProject(id=project.id, name=project.name)
        actor = _actor(self.directory, self.by, self._address)
        line = audit.entry(self.new_id("audit_log-"), int(self.now), actor, details, where)
        self._logs.append(
            Logged(
                id=line.id,
                organization=self.by.organization,
                project=where.id if where else None,
                type=line.type,
                at=self.now,
                key=self.by.key_id,
                actor=_person(actor),
                email=_email(actor),
                resource=details.id,
                entry=msgspec.json.encode(line),
            )
        )


# Who does it


def _actor(directory: Directory, by: Principal, address: str | None) -> audit.Actor:
    """Who has the key; on an open server, and at the command line, the operator."""
    operator = directory.operator(by.organization)
    if by.key_id is None:
        session = audit.ActorSession(ip_address=address or UNSET, user=_actor_user(operator))
        return audit.Actor(type="session", session=session)
    key = directory.keys.get(by.key_id)
    if by.kind == "service_account":
        account = audit.ActorServiceAccount(id=key.owner if key else by.key_id)
        held = audit.ActorAPIKey(id=by.key_id, type="service_account", service_account=account)
    else:
        user = directory.user(by.organization, key.owner) if key else operator
        held = audit.ActorAPIKey(id=by.key_id, type="user", user=_actor_user(user))
    return audit.Actor(type="api_key", api_key=held)


def _actor_user(user: User | None) -> audit.ActorUser:
    return audit.ActorUser(id="", email=None) if user is None else audit.ActorUser(id=user.id, email=user.email)


def _user(actor: audit.Actor) -> audit.ActorUser | None:
    holder = actor.session if actor.session is not UNSET else actor.api_key
    return None if holder is UNSET or holder.user is UNSET else holder.user


def _person(actor: audit.Actor) -> str | None:
    if actor.api_key is not UNSET and actor.api_key.service_account is not UNSET:
        return actor.api_key.service_account.id
    user = _user(actor)
    return None if user is None else user.id or None


def _email(actor: audit.Actor) -> str | None:
    user = _user(actor)
    return None if user is None or user.email is UNSET else user.email


# Looking up


def unknown(kind: str, given: str) -> NotFound:
    """The error for an id that is not there."""
    return NotFound(f"No {kind} with id '{given[:100]}'.", code="not_found")


def project_in(directory: Directory, organization: str, project_id: str) -> Project:
    """A project of an organization. Raises NotFound."""
    found = directory.project(organization, project_id)
    if found is None:
        raise unknown("project", project_id)
    return found


def active(edit: Edit, project_id: str) -> Project:
    """A project that can be changed. Raises NotFound, or InvalidRequest for an archived one."""
    found = edit.project(project_id)
    if found.archived_at is not None:
        raise InvalidRequest(f"The project '{project_id}' is archived.", code="project_archived")
    return found


def _account(edit: Edit, project: Project, account_id: str) -> ServiceAccount:
    found = edit.directory.account(project.id, account_id)
    if found is None:
        raise unknown("service account", account_id)
    return found


def account_named(directory: Directory, project: Project, name: str) -> ServiceAccount | None:
    """The first service account of a project with a name."""
    accounts = (each for each in directory.accounts.values() if each.project == project.id)
    return next((each for each in accounts if each.name == name), None)


def _member(edit: Edit, project: Project, user_id: str) -> tuple[Member, User]:
    user = edit.directory.user(edit.by.organization, user_id)
    member = edit.directory.members.get((project.id, user_id))
    if user is None or member is None:
        raise unknown("user", user_id)
    return member, user


def _user_of(edit: Edit, user_id: str) -> User:
    found = edit.directory.user(edit.by.organization, user_id)
    if found is None:
        raise unknown("user", user_id)
    return found


def _key(edit: Edit, project: Project | None, key_id: str) -> Key:
    found = edit.directory.key(edit.by.organization, project.id if project else None, key_id)
    if found is None:
        raise unknown("API key", key_id)
    return found


# Projects


def create_project(edit: Edit, name: str) -> Project:
    """A new project."""
    made = Project(id=edit.new_id("proj_"), organization=edit.by.organization, name=name, created_at=edit.now)
    edit.put(made)
    edit.log(audit.ProjectCreated(id=made.id, data=audit.ProjectTitle(name=name, title=name)), made)
    return made


def rename_project(edit: Edit, project_id: str, name: str | None) -> Project:
    """Give a project a name; None leaves it as it is."""
    project = active(edit, project_id)
    if name is None:
        return project
    return _changed(edit, msgspec.structs.replace(project, name=name), audit.ProjectChanges(title=name))


def archive_project(edit: Edit, project_id: str) -> Project:
    """End a project. Its keys are none from then on; what it has stored stays. A second time changes nothing."""
    project = edit.project(project_id)
    if project.id == DEFAULT:
        raise InvalidRequest("The default project cannot be archived.", code="default_project")
    if project.archived_at is not None:
        return project
    project = msgspec.structs.replace(project, archived_at=edit.now)
    edit.put(project)
    edit.log(audit.ProjectArchived(id=project.id), project)
    return project


def permit_models(edit: Edit, project_id: str, models: ModelPermissions | None) -> Project:
    """Say which models a project may name; None: all."""
    project = active(edit, project_id)
    told = None if models is None else wire.UpdateModelPermissions(mode=models.mode, model_ids=list(models.model_ids))
    changed = msgspec.structs.replace(project, models=models or ModelPermissions())
    return _changed(edit, changed, audit.ProjectChanges(model_permissions=told))


def permit_tools(edit: Edit, project_id: str, tools: Mapping[str, bool]) -> Project:
    """Say which hosted tools a project may use, by the names of `HostedToolPermissions`; the others stay."""
    project = active(edit, project_id)
    told = wire.UpdateHostedToolPermissions(**{name: wire.ToolPermission(enabled=on) for name, on in tools.items()})
    permitted: HostedToolPermissions = msgspec.structs.replace(project.tools, **tools)
    changed = msgspec.structs.replace(project, tools=permitted)
    return _changed(edit, changed, audit.ProjectChanges(hosted_tool_permissions=told))


def _changed(edit: Edit, project: Project, changes: audit.ProjectChanges) -> Project:
    edit.put(project)
    edit.log(audit.ProjectUpdated(id=project.id, changes_requested=changes), project)
    return project


# Service accounts


def create_account(
    edit: Edit, project_id: str, name: str, role: Literal["owner", "member", "none"] = "member"
) -> ServiceAccount:
    """A new service account."""
    project = active(edit, project_id)
    made = ServiceAccount(id=edit.new_id("svc_acct_"), project=project.id, name=name, role=role, created_at=edit.now)
    edit.put(made)
    edit.log(audit.ServiceAccountCreated(id=made.id, data=audit.RoleOf(role=role)), project)
    return made


def update_account(
    edit: Edit, project_id: str, account_id: str, name: str | None, role: Literal["owner", "member"] | None
) -> ServiceAccount:
    """Give a service account another name or role; None leaves it as it is."""
    project = active(edit, project_id)
    account = _account(edit, project, account_id)
    changes = audit.ServiceAccountChanges(role=role or UNSET, name=name or UNSET)
    account = msgspec.structs.replace(account, name=name or account.name, role=role or account.role)
    edit.put(account)
    edit.log(audit.ServiceAccountUpdated(id=account.id, changes_requested=changes), project)
    return account


def delete_account(edit: Edit, project_id: str, account_id: str) -> None:
    """Remove a service account, and revoke its keys."""
    project = edit.project(project_id)
    account = _account(edit, project, account_id)
    edit.drop(account)
    edit.log(audit.ServiceAccountDeleted(id=account.id), project)
    _revoke_all(edit, account.id)


# Keys


def create_key(
    edit: Edit,
    project_id: str,
    owner: ServiceAccount | User,
    name: str,
    *,
    scopes: Sequence[str] | None = None,
    lifetime: float | None = None,
) -> NewKey:
    """A new key of a project, for one who has a role in it. Without scopes it may do what its owner may.

    `lifetime` is in seconds. Raises NotFound for an owner without a role.
    """
    project = active(edit, project_id)
    if isinstance(owner, User) and edit.directory.role_in(project, owner) is None:
        raise unknown("user", owner.id)
    granted = _granted(edit, scopes) if edit.by.project is not None else _known(scopes)
    return _new_key(edit, project, owner.id, name, scopes=granted, lifetime=lifetime)


def create_admin_key(
    edit: Edit, name: str, scopes: Sequence[str] | None = None, lifetime: float | None = None
) -> NewKey:
    """A new key to the admin API, of whoever asks for it: a user, or the one who runs the server."""
    held = edit.directory.keys.get(edit.by.key_id or "")
    operator = edit.directory.operator(edit.by.organization)
    owner = held.owner if held is not None else operator.id if operator is not None else ""
    return _new_key(edit, None, owner, name, scopes=_granted(edit, scopes), lifetime=lifetime)


def _new_key(
    edit: Edit,
    project: Project | None,
    owner: str,
    name: str,
    *,
    scopes: tuple[Action, ...] | None,
    lifetime: float | None,
) -> NewKey:
    value = edit.new_key("admin" if project is None else "project")
    key = Key(
        id=edit.new_id("key_"),
        organization=edit.by.organization,
        project=None if project is None else project.id,
        owner=owner,
        name=name,
        hash=hashed(value.encode()),
        redacted=redacted(value),
        scopes=scopes,
        created_at=edit.now,
        expires_at=None if lifetime is None else edit.now + lifetime,
    )
    edit.put(key)
    edit.log(audit.APIKeyCreated(id=key.id, data=audit.ScopesOf(scopes=list(scopes or ()))), project)
    return NewKey(key, value)


def update_key(edit: Edit, project_id: str, key_id: str, scopes: Sequence[str] | None, lifetime: float | None) -> Key:
    """Give a key of a project other scopes, or a lifetime that begins now; None leaves them as they are."""
    project = active(edit, project_id)
    key = _key(edit, project, key_id)
    changes = audit.APIKeyChanges()
    if scopes is not None:
        changes.scopes = list(scopes)
        granted = _granted(edit, scopes) if edit.by.project is not None else _known(scopes)
        key = msgspec.structs.replace(key, scopes=granted)
    if lifetime is not None:
        changes.expires_in_seconds = int(lifetime)
        key = msgspec.structs.replace(key, expires_at=edit.now + lifetime)
    edit.put(key)
    edit.log(audit.APIKeyUpdated(id=key.id, changes_requested=changes), project)
    return key


def revoke_key(edit: Edit, project_id: str | None, key_id: str) -> Key:
    """End a key of a project, or with None one to the admin API."""
    project = None if project_id is None else edit.project(project_id)
    key = _key(edit, project, key_id)
    return _revoked(edit, key, project)


def rotate_key(edit: Edit, project_id: str | None, key_id: str, overlap: float) -> NewKey:
    """A new key in place of another, which is good for `overlap` seconds more. It lives as long as the other was to."""
    project = None if project_id is None else active(edit, project_id)
    old = _key(edit, project, key_id)
    lifetime = None if old.expires_at is None else old.expires_at - old.created_at
    new = _new_key(edit, project, old.owner, old.name, scopes=old.scopes, lifetime=lifetime)
    for row in edit.directory.budgets.values():
        if (row.scope, row.owner) == ("key", old.id):
            edit.put(msgspec.structs.replace(row, id=edit.new_id("budget_"), owner=new.key.id, created_at=edit.now))
    if overlap <= 0:
        _revoked(edit, old, project)
        return new
    until = edit.now + overlap
    edit.put(msgspec.structs.replace(old, expires_at=until if old.expires_at is None else min(until, old.expires_at)))
    changes = audit.APIKeyChanges(expires_in_seconds=int(overlap))
    edit.log(audit.APIKeyUpdated(id=old.id, changes_requested=changes), project)
    return new


def _revoked(edit: Edit, key: Key, project: Project | None) -> Key:
    key = msgspec.structs.replace(key, revoked_at=edit.now)
    edit.put(key)
    edit.log(audit.APIKeyDeleted(id=key.id), project)
    return key


def _revoke_all(edit: Edit, owner: str) -> None:
    for key in edit.directory.keys.values():
        if key.owner == owner:
            _revoked(edit, key, None if key.project is None else edit.directory.projects.get(key.project))


def _known(scopes: Sequence[str] | None) -> tuple[Action, ...] | None:
    """Scopes that there are; None, as an empty list, restricts nothing. Raises InvalidRequest for another."""
    if scopes is not None and not scopes:
        message = "Empty scopes would allow nothing. Leave 'scopes' out for all that the owner's role allows."
        raise InvalidRequest(message, param="scopes", code="empty_array")
    for index, scope in enumerate(scopes or ()):
        if scope not in ALL:
            listed = ", ".join(f"'{known}'" for known in get_args(Action))
            message = f"Invalid value: '{scope[:64]}'. Supported values are: {listed}."
            raise InvalidRequest(message, param=f"scopes[{index}]", code="invalid_value")
    return tuple(action for action in get_args(Action) if action in scopes) if scopes else None


def _granted(edit: Edit, scopes: Sequence[str] | None) -> tuple[Action, ...] | None:
    """Scopes that the caller may give: not more than the own key has. Raises PermissionDenied."""
    given, own = _known(scopes), edit.by.scopes
    if own is None:
        return given
    if given is None:
        return tuple(action for action in get_args(Action) if action in own)
    if not set(given) <= own:
        lacking = ", ".join(action for action in given if action not in own)
        message = f"A key cannot be given scopes that the key which makes it lacks: {lacking}."
        raise PermissionDenied(message, param="scopes", code="insufficient_permissions")
    return given


# People


def add_member(edit: Edit, project_id: str, role: ProjectRole, user_id: str | None, email: str | None) -> Member:
    """Give a user a role in a project. Who comes with an unknown e-mail address becomes a user of the organization."""
    project = active(edit, project_id)
    user = _user_of(edit, user_id) if user_id is not None else _user_with(edit, email or "")
    member = Member(project=project.id, user=user.id, role=role, added_at=edit.now)
    edit.put(member)
    edit.log(audit.UserAdded(id=user.id, data=audit.RoleOf(role=role)), project)
    return member


def _user_with(edit: Edit, email: str) -> User:
    ours = (user for user in edit.directory.users.values() if user.organization == edit.by.organization)
    found = next((user for user in ours if user.email.lower() == email.lower()), None)
    if found is not None:
        return found
    user = User(id=edit.new_id("user-"), organization=edit.by.organization, email=email, added_at=edit.now)
    edit.put(user)
    edit.log(audit.UserAdded(id=user.id, data=audit.RoleOf(role=user.role)))
    return user


def update_member(edit: Edit, project_id: str, user_id: str, role: ProjectRole | None) -> Member:
    """Give a user another role in a project; None leaves it as it is."""
    project = active(edit, project_id)
    member, user = _member(edit, project, user_id)
    if role is None:
        return member
    member = msgspec.structs.replace(member, role=role)
    edit.put(member)
    edit.log(audit.UserUpdated(id=user.id, changes_requested=audit.RoleOf(role=role)), project)
    return member


def remove_member(edit: Edit, project_id: str, user_id: str) -> None:
    """Take a user's role in a project. Keys of the user in it are none, as long as there is no new role."""
    project = edit.project(project_id)
    member, user = _member(edit, project, user_id)
    edit.drop(member)
    edit.log(audit.UserDeleted(id=user.id), project)


def update_user(edit: Edit, user_id: str, role: Literal["owner", "reader"] | None) -> User:
    """Give a user another role in the organization; None leaves it as it is."""
    user = _user_of(edit, user_id)
    if role is None:
        return user
    if role != "owner":
        _keep_an_owner(edit, user)
    user = msgspec.structs.replace(user, role=role)
    edit.put(user)
    edit.log(audit.UserUpdated(id=user.id, changes_requested=audit.RoleOf(role=role)))
    return user


def delete_user(edit: Edit, user_id: str) -> None:
    """Remove a user from the organization and all its projects, and revoke the user's keys."""
    user = _user_of(edit, user_id)
    _keep_an_owner(edit, user)
    edit.drop(user, *(member for member in edit.directory.members.values() if member.user == user.id))
    edit.log(audit.UserDeleted(id=user.id))
    _revoke_all(edit, user.id)


def _keep_an_owner(edit: Edit, user: User) -> None:
    users = edit.directory.users.values()
    owners = [each for each in users if each.organization == user.organization and each.role == "owner"]
    if owners == [user]:
        raise InvalidRequest("The last owner of an organization must stay its owner.", code="last_owner")
