"""Access: who may do what. Decisions only; who somebody is, is looked up elsewhere.

    denied = why_not(principal, "responses.write", now)
    if denied: ...                                       # 401, 403 or 404, by `STATUS[denied.reason]`

* An *action* is what a route asks for. A *scope* of a key is an action that the key is good for. There is one list of
  both: `ACTIONS`. What may be done is what the role allows *and* the key is good for.
* A project's keys work in their project only. To them all others do not exist: what is foreign is answered like what is
  unknown, with 404.
* Admin keys administer. They call no model and read nothing that a project keeps.
* Keys are `sk-antiphon-` or `sk-antiphon-admin-`, and 256 random bits. Only their hash is kept, and what `redacted`
  shows of them. Chance is an argument.

Source: the API's reference of the roles of organizations and projects, of model and of hosted tool permissions.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, get_args

import msgspec

__all__ = [
    "ACTIONS",
    "ALL",
    "RIGHTS",
    "STATUS",
    "Action",
    "Denied",
    "HostedToolPermissions",
    "KeyKind",
    "ModelPermissions",
    "Principal",
    "Reason",
    "Role",
    "format_key",
    "hashed",
    "redact",
    "redacted",
    "why_foreign",
    "why_not",
]

# Actions and roles

Action: TypeAlias = Literal[
    "models.read",
    "responses.read",
    "responses.write",
    "embeddings.write",
    "moderations.write",
    "images.write",
    "files.read",
    "files.write",
    "vector_stores.read",
    "vector_stores.write",
    "containers.read",
    "containers.write",
    "batches.read",
    "batches.write",
    "webhooks.read",
    "webhooks.write",
    "usage.read",
    "audit.read",
    "admin.read",
    "admin.write",
]

ACTIONS: Final[dict[Action, str]] = {
    "models.read": "list the models",
    "responses.read": "read responses, conversations and stored chat completions",
    "responses.write": "create, change, cancel and delete responses, conversations and chat completions; count tokens",
    "embeddings.write": "create embeddings",
    "moderations.write": "have content moderated",
    "images.write": "create and edit images",
    "files.read": "read files and uploads",
    "files.write": "add and delete files and uploads",
    "vector_stores.read": "read and search vector stores",
    "vector_stores.write": "create, change and delete vector stores",
    "containers.read": "read containers and skills, and the files in them",
    "containers.write": "create, change and delete containers and skills",
    "batches.read": "read batches",
    "batches.write": "create and cancel batches",
    "webhooks.read": "read webhook endpoints",
    "webhooks.write": "create, change, test and delete webhook endpoints",
    "usage.read": "read usage and costs",
    "audit.read": "read the audit log",
    "admin.read": "read projects, keys, users, limits and budgets",
    "admin.write": "create, change and delete projects, keys, users, limits and budgets",
}
"""What routes ask for and keys can be good for: `write` does not include `read`."""

ALL: Final[frozenset[Action]] = frozenset(get_args(Action))

_ORGANIZATION: Final[frozenset[Action]] = frozenset({"usage.read", "audit.read", "admin.read", "admin.write"})
_MEMBER: Final[frozenset[Action]] = ALL - _ORGANIZATION
_PROJECT_ADMIN: Final[frozenset[Action]] = frozenset({"usage.read", "admin.read", "admin.write"})
_WEBHOOKS: Final[frozenset[Action]] = frozenset({"webhooks.read", "webhooks.write"})

_VIEWER: Final[frozenset[Action]] = frozenset(action for action in _MEMBER - _WEBHOOKS if action.endswith(".read"))

Role: TypeAlias = Literal[
    "organization.owner", "organization.reader", "project.owner", "project.member", "project.viewer", "open"
]

RIGHTS: Final = MappingProxyType[Role, frozenset[Action]](
    {
        "organization.owner": _ORGANIZATION,
        "organization.reader": frozenset({"usage.read", "admin.read"}),
        "project.owner": _MEMBER | _PROJECT_ADMIN,
        "project.member": _MEMBER - _WEBHOOKS,
        "project.viewer": _VIEWER,
        "open": ALL,
    }
)
"""What each role allows. A project's owner administers that project; `open` is anybody, on a server without keys."""


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: the holder of a key."""

    organization: str
    project: str | None
    """The project that the key belongs to. None: an admin key, or an open server's."""
    kind: Literal["user", "service_account", "admin", "open"]
    role: Role
    scopes: frozenset[Action] | None = None
    """What the key is good for. None: all that the role allows; an empty set: nothing."""
    key_id: str | None = None
    """None on an open server."""
    expires_at: float | None = None
    """Unix time from which on the key is none. None: never."""


Reason: TypeAlias = Literal["expired", "organization", "project", "foreign", "role", "scope"]

STATUS: Final[dict[Reason, int]] = {
    "expired": 401,
    "organization": 401,
    "project": 401,
    "foreign": 404,
    "role": 403,
    "scope": 403,
}
"""The HTTP status of each reason. An expired key must be answered as an unknown one, a foreign id as an unknown one."""


class Denied(msgspec.Struct, frozen=True):
    """Something that may not be done."""

    reason: Reason
    message: str
    """For people; names what the key lacks, and nothing of others."""


def why_not(principal: Principal, action: Action, now: float, project: str | None = None) -> Denied | None:
    """Why a principal may not do something; None: it may.

    `project` is the one that it is done to, where that is told by the route; None: the principal's own, or, for what
    only organizations do, the organization. That it is a project of the principal's organization, its look-up tells.
    """
    if principal.expires_at is not None and now >= principal.expires_at:
        return Denied("expired", "Incorrect API key provided.")
    if action not in RIGHTS[principal.role]:
        return Denied("role", f"The role '{principal.role}' does not allow to {ACTIONS[action]} ({action}).")
    if principal.scopes is not None and action not in principal.scopes:
        return Denied("scope", f"The key lacks the scope {action}, so it may not {ACTIONS[action]}.")
    return _why_foreign_project(principal, action, project)


def _why_foreign_project(principal: Principal, action: Action, project: str | None) -> Denied | None:
    """A project's key acts on its project; on the organization as a whole it does not."""
    if principal.project is None or project == principal.project:
        return None
    if project is not None:
        return Denied("foreign", "No such project.")
    if action in _ORGANIZATION:
        return Denied("role", f"A project's key does not {ACTIONS[action]} of an organization ({action}).")
    return None


def why_foreign(principal: Principal, organization: str | None, project: str | None) -> Denied | None:
    """Why the headers OpenAI-Organization and OpenAI-Project do not fit the key; None: they do, or are absent.

    A project in the header of an admin key, and of an open server's caller, is for the route to look up.
    """
    if organization and organization != principal.organization:
        return Denied("organization", "OpenAI-Organization header should match organization for API key.")
    if project and principal.project is not None and project != principal.project:
        return Denied("project", "OpenAI-Project header should match project for API key.")
    return None


# Models and hosted tools


class ModelPermissions(msgspec.Struct, frozen=True):
    """The models that a project may name. `*` in an id stands for any characters, also for none.

    What is checked is the name in the request: what a route or a fallback makes of it is the server's configuration.
    """

    mode: Literal["allow_list", "deny_list"] = "deny_list"
    model_ids: tuple[str, ...] = ()

    def allows(self, model: str) -> bool:
        """Whether a request may name a model."""
        listed = any(_fits(pattern, model) for pattern in self.model_ids)
        return listed if self.mode == "allow_list" else not listed


def _fits(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern with `*`. Each piece is looked for once, so that no pattern takes long."""
    first, *pieces = pattern.split("*")
    if not pieces:
        return name == first
    last = pieces.pop()
    if len(name) < len(first) + len(last) or not name.startswith(first) or not name.endswith(last):
        return False
    place, end = len(first), len(name) - len(last)
    for piece in pieces:
        found = name.find(piece, place, end)
        if found < 0:
            return False
        place = found + len(piece)
    return True


class HostedToolPermissions(msgspec.Struct, frozen=True, kw_only=True):
    """The hosted tools that a project may use, as the API's `hosted_tool_permissions` names them."""

    code_interpreter: bool = True
    file_search: bool = True
    image_generation: bool = True
    mcp: bool = True
    web_search: bool = True

    def allows(self, tool_type: str) -> bool:
        """Whether a request may bring a tool of a type; `web_search_preview_2025_03_11` is a web search too.

        Tools that clients run themselves need no permission.
        """
        names = (name for name in self.__struct_fields__ if f"{tool_type}_".startswith(f"{name}_"))
        return all(getattr(self, name) for name in names)


# Keys

KeyKind: TypeAlias = Literal["project", "admin"]

_PREFIXES: Final[dict[KeyKind, str]] = {"project": "sk-antiphon-", "admin": "sk-antiphon-admin-"}
_SECRET_BYTES: Final = 32
_ANY_KEY: Final = re.compile(r"(?<![A-Za-z0-9_-])sk-[A-Za-z0-9_-]{20,}", re.ASCII)
_SHOWN: Final = 6, 4
"""Characters of a key that are shown, of its beginning and of its end."""
_SHORTEST_SHOWN: Final = 32
"""A shorter key, which somebody has made up, is not shown in part."""


def format_key(secret: bytes, kind: KeyKind = "project") -> str:
    """A new key out of 32 random bytes. Raises ValueError for another number of them."""
    if len(secret) != _SECRET_BYTES:
        raise ValueError(f"A key is made of {_SECRET_BYTES} bytes, not of {len(secret)}.")
    return _PREFIXES[kind] + urlsafe_b64encode(secret).rstrip(b"=").decode()


def hashed(key: bytes) -> str:
    """What is kept of a key, as 64 hexadecimal digits: SHA-256. 256 random bits need no salt and no slow hash."""
    return sha256(key).hexdigest()


def redacted(key: str) -> str:
    """A key as it may be shown: `sk-ant...abcd`."""
    head, tail = _SHOWN
    return f"{key[:head]}...{key[-tail:]}" if len(key) >= _SHORTEST_SHOWN else "..."


def redact(text: str) -> str:
    """A text in which no key stands, ours or another vendor's of the same form."""
    return _ANY_KEY.sub(lambda found: redacted(found[0]), text)
