"""Every route of the server, on one screen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.engine.engine import Engine
from antiphon.policy.access import Action
from antiphon.server.call import Call, Endpoint, Guard, Handler, ServerOptions
from antiphon.server.guard import local, needs
from antiphon.server.routes import embeddings, meta, metrics, models, moderations
from antiphon.server.routes.admin import audit, keys, limits, people, projects, spend, usage
from antiphon.server.routes.chat import ChatCompletions
from antiphon.server.routes.responses import Responses
from antiphon.server.sse import Streams
from antiphon.wire.admin.usage import REPORTS
from antiphon.wire.errors import MethodNotAllowed, NotFound

OPEN: tuple[Guard, ...] = (local,)

Row: TypeAlias = tuple[tuple[Guard, ...], Handler]


def to(action: Action) -> tuple[Guard, ...]:
    """The guards of a route that does something for which a right is needed."""
    return (local, needs(action))


_P = "/v1/organization/projects/{project_id}"
_ACCOUNT = f"{_P}/service_accounts/{{service_account_id}}"

_SPEND: dict[str, dict[str, tuple[Action, Handler]]] = {
    "/spend_limit": {
        "GET": ("admin.read", spend.retrieve_limit),
        "POST": ("admin.write", spend.update_limit),
        "DELETE": ("admin.write", spend.delete_limit),
    },
    "/spend_alerts": {"GET": ("admin.read", spend.list_alerts), "POST": ("admin.write", spend.create_alert)},
    "/spend_alerts/{alert_id}": {
        "GET": ("admin.read", spend.retrieve_alert),
        "POST": ("admin.write", spend.update_alert),
        "DELETE": ("admin.write", spend.delete_alert),
    },
}
"""The organization has these, and each project."""

ADMIN: dict[str, dict[str, tuple[Action, Handler]]] = {
    "/v1/organization/projects": {
        "GET": ("admin.read", projects.list_projects),
        "POST": ("admin.write", projects.create),
    },
    _P: {"GET": ("admin.read", projects.retrieve), "POST": ("admin.write", projects.update)},
    f"{_P}/archive": {"POST": ("admin.write", projects.archive)},
    f"{_P}/model_permissions": {
        "GET": ("admin.read", projects.retrieve_models),
        "POST": ("admin.write", projects.update_models),
        "DELETE": ("admin.write", projects.delete_models),
    },
    f"{_P}/hosted_tool_permissions": {
        "GET": ("admin.read", projects.retrieve_tools),
        "POST": ("admin.write", projects.update_tools),
    },
    f"{_P}/api_keys": {"GET": ("admin.read", keys.list_keys), "POST": ("admin.write", keys.create)},
    f"{_P}/api_keys/{{api_key_id}}": {
        "GET": ("admin.read", keys.retrieve),
        "POST": ("admin.write", keys.update),
        "DELETE": ("admin.write", keys.delete),
    },
    f"{_P}/service_accounts": {
        "GET": ("admin.read", people.list_accounts),
        "POST": ("admin.write", people.create_account),
    },
    _ACCOUNT: {
        "GET": ("admin.read", people.retrieve_account),
        "POST": ("admin.write", people.update_account),
        "DELETE": ("admin.write", people.delete_account),
    },
    f"{_ACCOUNT}/api_keys": {"POST": ("admin.write", keys.create_for_account)},
    f"{_P}/users": {"GET": ("admin.read", people.list_members), "POST": ("admin.write", people.add_member)},
    f"{_P}/users/{{user_id}}": {
        "GET": ("admin.read", people.retrieve_member),
        "POST": ("admin.write", people.update_member),
        "DELETE": ("admin.write", people.remove_member),
    },
    "/v1/organization/users": {"GET": ("admin.read", people.list_users)},
    "/v1/organization/users/{user_id}": {
        "GET": ("admin.read", people.retrieve_user),
        "POST": ("admin.write", people.update_user),
        "DELETE": ("admin.write", people.delete_user),
    },
    "/v1/organization/admin_api_keys": {
        "GET": ("admin.read", keys.list_admin),
        "POST": ("admin.write", keys.create_admin),
    },
    "/v1/organization/admin_api_keys/{key_id}": {
        "GET": ("admin.read", keys.retrieve_admin),
        "DELETE": ("admin.write", keys.delete_admin),
    },
    f"{_P}/rate_limits": {"GET": ("admin.read", limits.list_limits)},
    f"{_P}/rate_limits/{{rate_limit_id:path}}": {"POST": ("admin.write", limits.update)},
    **{f"{owner}{path}": rows for owner in ("/v1/organization", _P) for path, rows in _SPEND.items()},
    "/v1/organization/audit_logs": {"GET": ("audit.read", audit.list_logs)},
    "/v1/organization/costs": {"GET": ("usage.read", usage.costs)},
    **{f"/v1/organization/usage/{name}": {"GET": ("usage.read", usage.report(name))} for name in REPORTS},
}
"""The admin API: for each path and method the right that it needs."""


def create_app(engine: Engine, options: ServerOptions) -> ASGIApp:
    """The server as an ASGI app. The engine is started and closed by whoever calls this."""
    streams = Streams()
    responses = Responses(streams)
    chats = ChatCompletions(streams)
    if options.metrics is not None:
        options.metrics.watch(engine)
        options.metrics.read("antiphon_streams_open", lambda: {(): float(streams.open)})
    table: dict[str, dict[str, Row]] = {
        "/v1/responses": {"POST": (to("responses.write"), responses.create)},
        "/v1/responses/input_tokens": {"POST": (to("responses.write"), responses.input_tokens)},
        "/v1/responses/compact": {"POST": (to("responses.write"), _no_compaction)},
        "/v1/responses/{response_id}": {
            "GET": (to("responses.read"), responses.retrieve),
            "DELETE": (to("responses.write"), responses.delete),
        },
        "/v1/responses/{response_id}/cancel": {"POST": (to("responses.write"), responses.cancel)},
        "/v1/responses/{response_id}/input_items": {"GET": (to("responses.read"), responses.input_items)},
        "/v1/chat/completions": {
            "POST": (to("responses.write"), chats.create),
            "GET": (to("responses.read"), chats.list_completions),
        },
        "/v1/chat/completions/{completion_id}": {
            "GET": (to("responses.read"), chats.retrieve),
            "POST": (to("responses.write"), chats.update),
            "DELETE": (to("responses.write"), chats.delete),
        },
        "/v1/chat/completions/{completion_id}/messages": {"GET": (to("responses.read"), chats.messages)},
        "/v1/embeddings": {"POST": (to("embeddings.write"), embeddings.create)},
        "/v1/moderations": {"POST": (to("moderations.write"), moderations.create)},
        "/v1/models": {"GET": (to("models.read"), models.list_models)},
        "/v1/models/{model:path}": {"GET": (to("models.read"), models.retrieve_model)},
        "/health": {"GET": (OPEN, meta.health)},
        "/ready": {"GET": (OPEN, meta.ready)},
        "/metrics": {"GET": (OPEN, metrics.metrics)},
        "/openapi.json": {"GET": (OPEN, meta.openapi)},
    }

    for path, rows in ADMIN.items():
        table[path] = {method: (to(action), handler) for method, (action, handler) in rows.items()}

    def endpoint(guards: tuple[Guard, ...], handler: Handler, route: str = "unknown") -> Endpoint:
        return Endpoint(handler, engine, options, guards, route)

    def methods(path: str, rows: dict[str, Row]) -> Methods:
        extra = Extra([*rows, "HEAD", "OPTIONS"] if "GET" in rows else [*rows, "OPTIONS"])
        own = {name: endpoint(*row, path) for name, row in rows.items()}
        if "GET" in own:
            own["HEAD"] = own["GET"]  # whose body the server leaves out
        options_of = endpoint(OPEN, extra.options, path)
        return Methods({**own, "OPTIONS": options_of}, endpoint(OPEN, extra.wrong_method, path))

    routes = [Route(path, methods(path, rows)) for path, rows in table.items()]
    return Router(routes, redirect_slashes=False, default=endpoint(OPEN, _unknown))


class Methods:
    """The methods of one path."""

    def __init__(self, methods: dict[str, Endpoint], otherwise: Endpoint) -> None:
        self.methods = methods
        self.otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.methods.get(scope["method"], self.otherwise)(scope, receive, send)


class Extra:
    """What every path answers beside its own methods."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = ", ".join(allowed).encode()

    async def options(self, call: Call) -> None:
        """OPTIONS: the methods, and to the page of a configured origin what it may send."""
        call.extra.append((b"allow", self._allowed))
        if b"access-control-request-method" in call.headers:
            call.extra += [
                (b"access-control-allow-methods", self._allowed),
                (b"access-control-allow-headers", b"*, authorization"),  # `*` does not stand for this one
                (b"access-control-max-age", b"600"),
            ]
        await call.nothing()

    async def wrong_method(self, call: Call) -> None:
        """Refuse a method that the path does not have."""
        call.extra.append((b"allow", self._allowed))
        raise MethodNotAllowed(f"Not allowed to {_asked(call)}.")


async def _no_compaction(_: Call) -> None:
    raise NotFound("Conversations are not compacted here.", code="not_served")


ABSENT = {
    "/v1/conversations": "Conversations are not served here; use 'previous_response_id'.",
    "/v1/files": "Files are not stored here; send their data in the input.",
    "/v1/uploads": "Files are not stored here; send their data in the input.",
    "/v1/vector_stores": "Vector stores are not served here.",
    "/v1/batches": "Batches are not served here.",
}
"""Parts of OpenAI's API that clients ask for and this server does not have."""


async def _unknown(call: Call) -> None:
    for path, message in ABSENT.items():
        if call.scope["path"] == path or call.scope["path"].startswith(f"{path}/"):
            raise NotFound(message, code="not_served")
    raise NotFound(f"Unknown request URL: {_asked(call)}. Please check the URL for typos.", code="unknown_url")


def _asked(call: Call) -> str:
    return f"{call.scope['method']} {call.scope['path']}"[:200]
