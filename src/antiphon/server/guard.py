"""Who may ask. Guards belong to routes, not to paths: a route without one is open by its own row in `app`.

Loopback is no wall: web pages reach it. So the Host must be one of ours (a page that rebinds its name to 127.0.0.1
sends its own), a foreign Origin is refused, and bodies are taken as `application/json` only, which no page can send
without asking first.
"""

from __future__ import annotations

import hmac
import re
from urllib.parse import urlsplit

from antiphon.server.call import Call
from antiphon.wire.errors import AuthenticationFailed, InvalidRequest, PermissionDenied

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


def keyed(call: Call) -> None:
    """Refuse a request without the key, if there is one. Every wrong key takes the same path to the same answer."""
    key = call.options.api_key()
    if key is None:
        return
    scheme, _, given = call.headers.get(b"authorization", b"").partition(b" ")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), key.encode()):
        call.extra.append((b"www-authenticate", b"Bearer"))
        raise AuthenticationFailed("Incorrect API key provided. Send the server's key as 'Authorization: Bearer KEY'.")
