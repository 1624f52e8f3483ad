"""Who may ask. Guards belong to routes, not to paths: a route without one is open by its own row in `app`.

A route names the action that it does (`antiphon.policy.access.ACTIONS`). Its guard finds out who has the key, and
whether that one may do it; what the route finds then, it looks up in `call.project` only.

Loopback is no wall: web pages reach it. So the Host must be one of ours (a page that rebinds its name to 127.0.0.1
sends its own), a foreign Origin is refused, and bodies are taken as `application/json` only, which no page can send
without asking first.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from antiphon.engine.accounts import UNKNOWN
from antiphon.policy.access import STATUS, Action, Denied, Reason, why_not
from antiphon.policy.administration import unknown
from antiphon.server.call import Call, Guard
from antiphon.wire.errors import APIError, AuthenticationFailed, InvalidRequest, PermissionDenied

LOCAL_HOSTS = frozenset(("localhost", "127.0.0.1", "[::1]", "host.docker.internal"))
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")


def local(call: Call) -> None:
    """Refuse a Host that is not ours, and a foreign Origin."""
    hosts = [value for name, value in call.scope["headers"] if name == b"host"]
    found = _HOST.fullmatch(hosts[0].decode("latin-1")) if len(hosts) == 1 else None
    if found is None:
        raise InvalidRequest("The request needs one valid Host header.", code="invalid_host")
    if call.options.hosts is not None and found["name"].lower() not in call.options.hosts:
        raise InvalidRequest("The Host header names a host that this server does not answer for.", code="invalid_host")
    origin = call.headers.get(b"origin")
    if origin is not None and not _is_allowed(origin.decode("latin-1"), call):
        raise PermissionDenied("Web pages of this origin may not use this server.", code="origin_not_allowed")


def _is_allowed(origin: str, call: Call) -> bool:
    if origin in call.options.origins:
        return True
    try:
        name = urlsplit(origin).hostname or ""
    except ValueError:
        return False
    return call.options.hosts is not None and name in {"localhost", "127.0.0.1", "::1"} and _same_port(origin, call)


def _same_port(origin: str, call: Call) -> bool:
    return urlsplit(origin).netloc.lower() == call.headers[b"host"].decode("latin-1").lower()


def identified(call: Call) -> None:
    """Find out who asks. Every key that is none takes the same path to the same answer, whatever was sent.

    Raises AuthenticationFailed.
    """
    scheme, _, given = call.headers.get(b"authorization", b"").partition(b" ")
    key = given.strip() if scheme.lower() == b"bearer" else b""
    organization, project = _named(call, b"openai-organization"), _named(call, b"openai-project")
    found = call.accounts.authenticate(key, organization, project)
    if isinstance(found, Denied):
        raise _refusal(call, found)
    call.principal = found
    call.project = call.accounts.project_of(found, project)


def _named(call: Call, header: bytes) -> str | None:
    return call.headers.get(header, b"").decode("latin-1") or None


def needs(action: Action) -> Guard:
    """A guard that lets pass who may do something, to the project in the path if there is one."""

    def guard(call: Call) -> None:
        identified(call)
        authorized(call, action)

    return guard


def authorized(call: Call, action: Action) -> None:
    """Refuse who may not do something. Raises PermissionDenied, or NotFound for a foreign project."""
    denied = why_not(call.principal, action, call.accounts.clock.now(), call.path.get("project_id"))
    if denied is not None:
        raise _refusal(call, denied)


_CODES: Final[dict[Reason, str]] = {"organization": "mismatched_organization", "project": "mismatched_project"}


def _refusal(call: Call, denied: Denied) -> APIError:
    match STATUS[denied.reason]:
        case 401:
            call.extra.append((b"www-authenticate", b"Bearer"))
            message = UNKNOWN.message if denied.reason == "expired" else denied.message
            return AuthenticationFailed(message, code=_CODES.get(denied.reason))
        case 404:
            return unknown("project", call.path["project_id"])
    return PermissionDenied(denied.message, code="insufficient_permissions")
