"""Every route of the server, on one screen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.engine.engine import Engine
from antiphon.server.call import Call, Endpoint, Guard, Handler, ServerOptions
from antiphon.server.guard import keyed, local
from antiphon.server.routes import embeddings, meta, metrics, models, moderations
from antiphon.server.routes.responses import Responses
from antiphon.server.sse import Streams
from antiphon.wire.errors import MethodNotAllowed, NotFound

OPEN: tuple[Guard, ...] = (local,)
KEYED: tuple[Guard, ...] = (local, keyed)

Row: TypeAlias = tuple[tuple[Guard, ...], Handler]


def create_app(engine: Engine, options: ServerOptions) -> ASGIApp:
    """The server as an ASGI app. The engine is started and closed by whoever calls this."""
    streams = Streams()
    responses = Responses(streams)
    if options.metrics is not None:
        options.metrics.watch(engine)
        options.metrics.read("antiphon_streams_open", lambda: {(): float(streams.open)})
    table: dict[str, dict[str, Row]] = {
        "/v1/responses": {"POST": (KEYED, responses.create)},
        "/v1/responses/input_tokens": {"POST": (KEYED, responses.input_tokens)},
        "/v1/responses/compact": {"POST": (KEYED, _no_compaction)},
        "/v1/responses/{response_id}": {"GET": (KEYED, responses.retrieve), "DELETE": (KEYED, responses.delete)},
        "/v1/responses/{response_id}/cancel": {"POST": (KEYED, responses.cancel)},
        "/v1/responses/{response_id}/input_items": {"GET": (KEYED, responses.input_items)},
        "/v1/embeddings": {"POST": (KEYED, embeddings.create)},
        "/v1/moderations": {"POST": (KEYED, moderations.create)},
        "/v1/models": {"GET": (KEYED, models.list_models)},
        "/v1/models/{model:path}": {"GET": (KEYED, models.retrieve_model)},
        "/health": {"GET": (OPEN, meta.health)},
        "/ready": {"GET": (OPEN, meta.ready)},
        "/metrics": {"GET": (OPEN, metrics.metrics)},
        "/openapi.json": {"GET": (OPEN, meta.openapi)},
    }

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
    "/v1/chat/completions": "Chat Completions are not served here; use POST /v1/responses.",
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
