"""Every route of the server, on one screen."""

from __future__ import annotations

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.engine.engine import Engine
from antiphon.server.call import Call, Endpoint, Guard, Handler, ServerOptions
from antiphon.server.guard import keyed, local
from antiphon.server.routes import meta, models
from antiphon.server.routes.responses import Responses
from antiphon.server.sse import Streams
from antiphon.wire.errors import MethodNotAllowed, NotFound

OPEN: tuple[Guard, ...] = (local,)
KEYED: tuple[Guard, ...] = (local, keyed)


def create_app(engine: Engine, options: ServerOptions) -> ASGIApp:
    """The server as an ASGI app. The engine is started and closed by whoever calls this."""
    responses = Responses(Streams())
    table: dict[str, dict[str, tuple[tuple[Guard, ...], Handler]]] = {
        "/v1/responses": {"POST": (KEYED, responses.create)},
        "/v1/responses/input_tokens": {"POST": (KEYED, responses.input_tokens)},
        "/v1/responses/{response_id}": {"GET": (KEYED, responses.retrieve), "DELETE": (KEYED, responses.delete)},
        "/v1/responses/{response_id}/cancel": {"POST": (KEYED, responses.cancel)},
        "/v1/responses/{response_id}/input_items": {"GET": (KEYED, responses.input_items)},
        "/v1/models": {"GET": (KEYED, models.list_models)},
        "/v1/models/{model:path}": {"GET": (KEYED, models.retrieve_model)},
        "/health": {"GET": (OPEN, meta.health)},
        "/openapi.json": {"GET": (OPEN, meta.openapi)},
    }

    def endpoint(guards: tuple[Guard, ...], handler: Handler) -> Endpoint:
        return Endpoint(handler, engine, options, guards)

    routes = [
        Route(path, Methods({name: endpoint(*row) for name, row in rows.items()}, endpoint(OPEN, _wrong_method)))
        for path, rows in table.items()
    ]
    return Router(routes, redirect_slashes=False, default=endpoint(OPEN, _unknown))


class Methods:
    """The methods of one path."""

    def __init__(self, methods: dict[str, Endpoint], otherwise: Endpoint) -> None:
        self.methods = methods
        self.otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.methods.get(scope["method"], self.otherwise)(scope, receive, send)


async def _wrong_method(call: Call) -> None:
    raise MethodNotAllowed(f"Not allowed to {_asked(call)}.")


async def _unknown(call: Call) -> None:
    raise NotFound(f"Unknown request URL: {_asked(call)}. Please check the URL for typos.", code="unknown_url")


def _asked(call: Call) -> str:
    return f"{call.scope['method']} {call.scope['path']}"[:200]
