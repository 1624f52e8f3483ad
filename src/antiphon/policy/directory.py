"""The directory: organizations, their projects, people and keys; and what a key is therefore good for.

    Organization ── Project ── Member (a user's role in it)
         │             ├────── ServiceAccount
         │             ├────── Key (owner: a user or a service account)
         │             └────── RateLimit (of one model, or of every other one)
         ├──────── User ────── Key of the admin API
         └──────── Budget, SpendAlert (of a key, a project or the organization)

It is small, so it is held whole: a `Directory` is a snapshot that never changes. A `Change` says what the next one has
else. Every look-up carries the organization, and the project where there is one: what is foreign is not found.

Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import chain
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from antiphon.policy.access import Action, HostedToolPermissions, ModelPermissions, Principal, Role
from antiphon.policy.budget import WHOLE, Scope, WindowKind

__all__ = [
    "DEFAULT",
    "EMPTY",
    "EVERY_OTHER",
    "OPERATOR",
    "Budget",
    "Change",
    "Directory",
    "Dropped",
    "Key",
    "Logged",
    "Member",
    "Organization",
    "Project",
    "RateLimit",
    "Row",
    "ServiceAccount",
    "SpendAlert",
    "User",
    "first_rows",
]

DEFAULT: Final = "default"
"""The id of the organization, and of its project, that are always there."""

OPERATOR: Final = "user-default"
"""The user who stands for whoever runs the server."""

EVERY_OTHER: Final = "*"
"""In a rate limit: each model of the project that has no limit of its own."""

ProjectRole: TypeAlias = Literal["owner", "member", "viewer"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the directory."""


class Organization(Row, frozen=True, kw_only=True):
    """Who runs projects. What belongs to one does not exist for another."""

    id: str
    name: str
    created_at: float


class Project(Row, frozen=True, kw_only=True):
    """What owns keys, responses, limits and budgets."""

    id: str
    organization: str
    name: str
    created_at: float
    archived_at: float | None = None
    """Its keys are none from then on."""
    models: ModelPermissions = ModelPermissions()
    tools: HostedToolPermissions = HostedToolPermissions()


class User(Row, frozen=True, kw_only=True):
    """A person. An owner of the organization is an owner of all its projects."""

    id: str
    organization: str
    email: str
    name: str | None = None
    role: Literal["owner", "reader"] = "reader"
    added_at: float


class Member(Row, frozen=True, kw_only=True):
    """The role of a user in a project."""

    project: str
    user: str
    role: ProjectRole
    added_at: float


class ServiceAccount(Row, frozen=True, kw_only=True):
    """An account of a program, in one project. With the role `none` its keys may do nothing."""

    id: str
    project: str
    name: str
    role: Literal["owner", "member", "none"] = "member"
    created_at: float


class Key(Row, frozen=True, kw_only=True):
    """A key: its hash, and what may be shown of it."""

    id: str
    organization: str
    project: str | None = None
    """None: an admin key."""
    owner: str
    """The id of a user or of a service account."""
    name: str
    hash: str
    redacted: str
    scopes: tuple[Action, ...] | None = None
    """None: all that the owner's role allows."""
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None
    """The key is none from then on; its row stays, so that the server does not open when its last key goes."""
    used_at: float | None = None
    """When it was used last, to the minute."""


class RateLimit(Row, frozen=True, kw_only=True):
    """What a project may ask of one model. None: there is no such limit."""

    project: str
    model: str
    """The name that requests give, or `EVERY_OTHER`."""
    max_requests_per_1_minute: int | None = None
    max_tokens_per_1_minute: int | None = None
    max_requests_per_1_day: int | None = None
    max_tokens_per_1_day: int | None = None
    created_at: float


class Budget(Row, frozen=True, kw_only=True):
    """What its owner may spend in each window. An owner has one for each kind of window."""

    id: str
    organization: str
    scope: Scope
    owner: str
    """The id of the key, the project or the organization."""
    window: WindowKind
    amount: Decimal
    """US dollars."""
    hard: bool = True
    """Whether it stops requests; a soft one only tells."""
    thresholds: tuple[Decimal, ...] = (Decimal("0.8"), WHOLE)
    """The parts of the amount at which it is told."""
    created_at: float


class SpendAlert(Row, frozen=True, kw_only=True):
    """Tells some people when its owner has spent so much in a month. An owner has any number of them."""

    id: str
    organization: str
    scope: Scope
    owner: str
    amount: Decimal
    recipients: tuple[str, ...]
    """E-mail addresses."""
    subject_prefix: str | None = None
    created_at: float


Dropped: TypeAlias = User | Member | ServiceAccount | RateLimit | Budget | SpendAlert
"""Rows that may go. The others stay, with a mark that they are no more."""


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the audit log: `entry` is the object of the API, the rest is what one may ask for it by."""

    id: str
    organization: str
    project: str | None = None
    type: str
    at: float
    key: str | None = None
    actor: str | None = None
    email: str | None = None
    resource: str
    entry: bytes


class Change(msgspec.Struct):
    """What becomes different, all of it or nothing."""

    put: Sequence[Row] = ()
    drop: Sequence[Dropped] = ()
    logs: Sequence[Logged] = ()


def first_rows(now: float) -> list[Row]:
    """What a new server begins with: one organization, one project, and the user who runs it."""
    return [
        Organization(id=DEFAULT, name="Default", created_at=now),
        Project(id=DEFAULT, organization=DEFAULT, name="Default", created_at=now),
        User(
            id=OPERATOR, organization=DEFAULT, email="operator@localhost", name="Operator", role="owner", added_at=now
        ),
    ]


class Directory:
    """All rows at one moment, in the order in which they were made."""

    def __init__(self, rows: Iterable[Row] = (), *, revision: int = 0, closed: bool = False) -> None:
        """`revision` counts the changes. `closed`: a key was made once, even if it is gone."""
        self.revision = revision
        self.closed = closed
        self.organizations: dict[str, Organization] = {}
        self.projects: dict[str, Project] = {}
        self.users: dict[str, User] = {}
        self.members: dict[tuple[str, str], Member] = {}
        self.accounts: dict[str, ServiceAccount] = {}
        self.keys: dict[str, Key] = {}
        self.limits: dict[tuple[str, str], RateLimit] = {}
        """By project and model."""
        self.budgets: dict[str, Budget] = {}
        self.alerts: dict[str, SpendAlert] = {}
        for row in rows:
            self._add(row)
        self.holders: dict[str, Principal] = dict(self._holders())
        """Who holds the key with a hash. Only keys that are good, but for their expiry."""

    def _add(self, row: Row) -> None:
        match row:
            case Organization():
                self.organizations[row.id] = row
            case Project():
                self.projects[row.id] = row
            case User():
                self.users[row.id] = row
            case Member():
                self.members[row.project, row.user] = row
            case ServiceAccount():
                self.accounts[row.id] = row
            case Key(revoked_at=None):
                self.keys[row.id] = row
            case RateLimit():
                self.limits[row.project, row.model] = row
            case Budget():
                self.budgets[row.id] = row
            case SpendAlert():
                self.alerts[row.id] = row

    def rows(self) -> Iterator[Row]:
        """All rows, those first that others hang on."""
        tables: tuple[Iterable[Row], ...] = (
            self.organizations.values(),
            self.projects.values(),
            self.users.values(),
            self.members.values(),
            self.accounts.values(),
            self.keys.values(),
            self.limits.values(),
            self.budgets.values(),
            self.alerts.values(),
        )
        return chain.from_iterable(tables)

    def after(self, change: Change) -> Directory:
        """The directory that a change leads to."""
        gone = set(change.drop)
        rows = {_place(row): row for row in self.rows() if row not in gone}
        rows |= {_place(row): row for row in change.put}
        closed = self.closed or any(isinstance(row, Key) for row in change.put)
        return Directory(rows.values(), revision=self.revision + 1, closed=closed)

    # Looking up: what is foreign is not there

    def project(self, organization: str, project_id: str) -> Project | None:
        """A project of an organization."""
        return _if(self.projects.get(project_id), organization)

    def user(self, organization: str, user_id: str) -> User | None:
        """A user of an organization."""
        return _if(self.users.get(user_id), organization)

    def account(self, project: str, account_id: str) -> ServiceAccount | None:
        """A service account of a project."""
        found = self.accounts.get(account_id)
        return found if found is not None and found.project == project else None

    def key(self, organization: str, project: str | None, key_id: str) -> Key | None:
        """A key of a project, or with None a key to the admin API."""
        found = _if(self.keys.get(key_id), organization)
        return found if found is not None and found.project == project else None

    def keys_of(self, organization: str, project: str | None) -> list[Key]:
        """The keys of a project, or those to the admin API."""
        return [key for key in self.keys.values() if (key.organization, key.project) == (organization, project)]

    def limit(self, project: str, model: str) -> RateLimit | None:
        """The limits of a model in a project: its own, or those of every other."""
        return self.limits.get((project, model)) or self.limits.get((project, EVERY_OTHER))

    def budget(self, scope: Scope, owner: str, window: WindowKind) -> Budget | None:
        """The budget of an owner for a kind of window."""
        place = scope, owner, window
        return next((each for each in self.budgets.values() if (each.scope, each.owner, each.window) == place), None)

    def alerts_of(self, scope: Scope, owner: str) -> list[SpendAlert]:
        """The alerts of an owner, oldest first."""
        return [alert for alert in self.alerts.values() if (alert.scope, alert.owner) == (scope, owner)]

    def operator(self, organization: str) -> User | None:
        """The user who stands for whoever has no user: the first owner."""
        owners = (user for user in self.users.values() if user.organization == organization and user.role == "owner")
        return next(owners, None)

    # What a key is good for

    def role_in(self, project: Project, user: User) -> ProjectRole | None:
        """The role of a user in a project."""
        if user.organization != project.organization:
            return None
        if user.role == "owner":
            return "owner"
        member = self.members.get((project.id, user.id))
        return None if member is None else member.role

    def principal_of(self, key: Key) -> Principal | None:
        """Who somebody with this key is; None if its owner has no access any more, or its project is archived."""
        if key.project is None:
            user = self.user(key.organization, key.owner)
            is_owner = user is not None and user.role == "owner"
            return _principal(key, "admin", "organization.owner") if is_owner else None
        project = self.project(key.organization, key.project)
        if project is None or project.archived_at is not None:
            return None
        if (account := self.account(project.id, key.owner)) is not None:
            if account.role == "none":
                return _principal(key, "service_account", "project.viewer", frozenset())
            return _principal(key, "service_account", _ROLES[account.role])
        user = self.user(key.organization, key.owner)
        role = None if user is None else self.role_in(project, user)
        return None if role is None else _principal(key, "user", _ROLES[role])

    def _holders(self) -> Iterator[tuple[str, Principal]]:
        for key in self.keys.values():
            if (principal := self.principal_of(key)) is not None:
                yield key.hash, principal


def _place(row: Row) -> tuple[str, ...]:
    """What a row is known by."""
    match row:
        case Member():
            return "Member", row.project, row.user
        case RateLimit():
            return "RateLimit", row.project, row.model
        case Organization() | Project() | User() | ServiceAccount() | Key() | Budget() | SpendAlert():
            return type(row).__name__, row.id
    raise TypeError(f"{type(row).__name__} is no row of the directory")


EMPTY: Final = Directory()

_ROLES: Final[dict[ProjectRole, Role]] = {
    "owner": "project.owner",
    "member": "project.member",
    "viewer": "project.viewer",
}

Owned = TypeVar("Owned", Project, User, Key)


def _if(row: Owned | None, organization: str) -> Owned | None:
    return row if row is not None and row.organization == organization else None


def _principal(
    key: Key, kind: Literal["user", "service_account", "admin"], role: Role, scopes: frozenset[Action] | None = None
) -> Principal:
    given = None if key.scopes is None else frozenset(key.scopes)
    return Principal(
        organization=key.organization,
        project=key.project,
        kind=kind,
        role=role,
        scopes=given if scopes is None else scopes,
        key_id=key.id,
        expires_at=key.expires_at,
    )
