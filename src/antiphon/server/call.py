"""One request and its answer, on plain ASGI: this is the path of every token, so nothing is wrapped twice."""

from __future__ import annotations

import asyncio
import logging
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Message, Receive, Scope, Send

from antiphon.engine.accounts import Accounts
from antiphon.engine.engine import Engine
from antiphon.engine.till import payer_of
from antiphon.observe.metrics import Metrics
from antiphon.policy.access import Principal
from antiphon.turn.report import Answered
from antiphon.turn.trace import Trace
from antiphon.wire.errors import (
    APIError,
    InvalidRequest,
    PayloadTooLarge,
    RequestTimeout,
    ServerError,
    UnsupportedMediaType,
)
from antiphon.wire.struct import encode

_log = logging.getLogger(__name__)

T = TypeVar("T")

JSON = b"application/json"
Header = tuple[bytes, bytes]

_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
"""A header of W3C Trace Context, section 3.2."""

MOST_FIELDS = 100
"""Parameters that a query may have."""


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the HTTP side behaves. Times are in seconds, sizes in bytes."""

    hosts: frozenset[str] | None = None
    """The names in `Host` that are answered, without port; None answers all."""
    origins: frozenset[str] = frozenset()
    """Foreign origins whose web pages may ask."""
    keepalive: float = 15.0
    """After so much silence a stream gets a comment."""
    obfuscation: bool = False
    """Whether deltas are padded when a request does not say."""
    done_marker: bool = False
    """Whether a stream ends with `data: [DONE]`, which OpenAI does not send."""
    max_body: int = 32 * 1024 * 1024
    max_headers: int = 32 * 1024
    """For the path and the query too."""
    head_timeout: float = 30.0
    """How long the head of a request may take to come."""
    body_timeout: float = 30.0
    """How long its body may take."""
    grace: float = 5.0
    """How long running streams may go on when the server is told to stop."""
    metrics: Metrics | None = None
    """What GET /metrics tells; None: nothing."""
    metrics_open: bool = False
    """Whether it tells without a key."""


class ClientLeft(Exception):
    """The client has gone before its request was whole: there is nobody to answer."""


def marks(request_id: str, started: float) -> list[Header]:
    """The headers that every answer has. `started` is when the request came, by `time.perf_counter`."""
    took = int((time.perf_counter() - started) * 1000)
    return [
        (b"x-request-id", request_id.encode()),
        (b"openai-processing-ms", b"%d" % took),
        (b"openai-version", b"2020-10-01"),
    ]


class Call:
    """A request, and how to answer it."""

    __slots__ = (
        "_headers",
        "_query",
        "_receive",
        "_send",
        "_started",
        "background",
        "begun",
        "engine",
        "error",
        "extra",
        "options",
        "principal",
        "project",
        "request_id",
        "scope",
        "status",
        "work",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, engine: Engine, options: ServerOptions) -> None:
        self.scope = scope
        self.engine = engine
        self.options = options
        self.request_id = f"req_{secrets.token_hex(16)}"
        self.principal: Principal
        """Who asks. Set by the guard of the route; a route without one has none."""
        self.project: str
        """The project that the request is for. Set with `principal`."""
        self.extra: list[Header] = []
        """Headers that the answer has beside its own."""
        self.begun = False
        """Whether the head of the answer was sent."""
        self.status: int | None = None
        self.error: APIError | None = None
        """Why it was refused."""
        self.work: str | None = None
        """The id of the response, or other work, that it asked for."""
        self.background = False
        """Whether that goes on when this request is answered."""
        self._receive = receive
        self._send = send
        self._started = time.perf_counter()
        self._headers: dict[bytes, bytes] | None = None
        self._query: list[tuple[str, str]] | None = None

    # The request

    @property
    def headers(self) -> dict[bytes, bytes]:
        """The headers by lower-case name; of several with one name the last."""
        if self._headers is None:
            self._headers = dict(self.scope["headers"])
        return self._headers

    @property
    def path(self) -> dict[str, str]:
        """The parameters of the path."""
        params: dict[str, str] = self.scope.get("path_params", {})
        return params

    @property
    def accounts(self) -> Accounts:
        """Who may do what."""
        return self.engine.accounts

    @property
    def fields(self) -> list[tuple[str, str]]:
        """All parameters of the query. Raises InvalidRequest for a query beyond all measure."""
        if self._query is None:
            self._query = self._fields()
        return self._query

    def query(self, name: str) -> str | None:
        """The last value of a query parameter. Raises InvalidRequest for a query beyond all measure."""
        return next(reversed(self.query_list(name)), None)

    def query_list(self, name: str) -> list[str]:
        """All values of a query parameter, written as `name` or `name[]`. Raises InvalidRequest as `query` does."""
        return [value for key, value in self.fields if key in (name, f"{name}[]")]

    def query_map(self, name: str) -> dict[str, str]:
        """The values of a query parameter that is an object, written as `name[key]`.

        Raises InvalidRequest for what is written otherwise, and as `query` does.
        """
        pairs: dict[str, str] = {}
        if self.query_list(name):
            raise InvalidRequest(f"Invalid '{name}': expected {name}[key]=value.", param=name, code="invalid_type")
        for field, value in self._query or ():
            if field.startswith(f"{name}["):
                key = field[len(name) + 1 : -1]
                if field[-1] != "]" or "[" in key or "]" in key:
                    message = f"Invalid '{name}': expected {name}[key]=value, with text as the value."
                    raise InvalidRequest(message, param=name, code="invalid_type")
                pairs[key] = value
        return pairs

    def _fields(self) -> list[tuple[str, str]]:
        text = self.scope["query_string"].decode("latin-1")
        if text.count("&") >= MOST_FIELDS:
            raise InvalidRequest(f"The query has more than {MOST_FIELDS} parameters.", code="too_many_parameters")
        return parse_qsl(text, keep_blank_values=True, errors="replace")

    async def json(self) -> bytes:
        """The body. Raises an APIError if it is no plain JSON by its headers, too large, or too slow to come.

        Raises ClientLeft if the client goes before all of it is here: half a request may look like a whole one.
        """
        self._check_kind()
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.options.max_body:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.options.body_timeout):
                return await self._body()
        except TimeoutError:
            self.extra.append((b"connection", b"close"))  # the rest of the body is no request
            raise RequestTimeout("The body of the request did not come in time.") from None

    def _check_kind(self) -> None:
        kind = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != JSON:
            given = kind.decode("latin-1")[:100] or "none"
            raise UnsupportedMediaType(f"The request must have the Content-Type 'application/json', but has {given!r}.")
        for name, plain in (b"content-encoding", b"identity"), (b"transfer-encoding", b"chunked"):
            if self.headers.get(name, plain).strip().lower() != plain:
                self.extra.append((b"accept-encoding", b"identity"))
                raise UnsupportedMediaType("The body of the request must not be compressed.")

    async def _body(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            body: bytes = message.get("body", b"")  # nearly all requests come in one piece
        else:
            body = await self._rest(message)
        if len(body) > self.options.max_body:
            raise self._too_large()
        return body

    async def _rest(self, message: Message) -> bytes:
        body = bytearray()
        while len(body) <= self.options.max_body:
            if message["type"] == "http.disconnect":
                raise ClientLeft
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
            message = await self._receive()
        return bytes(body)

    def _too_large(self) -> APIError:
        return PayloadTooLarge(f"The request is larger than {self.options.max_body} bytes.")

    def limited(self, model: str | None) -> None:
        """Tell in the answer where limits and budgets stand for a model that was asked for, or refused."""
        who = payer_of(self.principal.organization, self.project, self.principal.key_id or "")
        found = self.engine.till.headers(who, self.project, model or "")
        self.extra += [(name.encode(), value.encode()) for name, value in found.items()]

    def trace(self) -> Trace:
        """A trace for the work that this request asks for; it goes on with the client's own, if there is one."""
        given = self.headers.get(b"traceparent", b"").decode("latin-1")
        return Trace(request_id=self.request_id, traceparent=given if _TRACEPARENT.fullmatch(given) else "")

    async def left(self) -> None:
        """Return when the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def while_there(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of work that only this client wants: when it leaves, the work ends. Raises ClientLeft then.

        What observers are told of the work comes before what they are told of the request.
        """
        working, watcher = asyncio.create_task(work), asyncio.create_task(self.left())
        try:
            await asyncio.wait((working, watcher), return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientLeft
            return working.result()
        finally:
            watcher.cancel()
            working.cancel()
            await asyncio.wait((working,))

    # The answer

    async def answer(self, body: bytes, *, status: int = 200, kind: bytes = JSON) -> None:
        """Send a whole answer."""
        await self._start(status, (b"content-type", kind), (b"content-length", b"%d" % len(body)))
        await self.piece(body, more=False)

    async def nothing(self) -> None:
        """Send an answer without a body."""
        await self._start(204)
        await self.piece(b"", more=False)

    async def begin(self, kind: bytes, headers: Iterable[Header] = ()) -> None:
        """Send the head of an answer that comes in pieces."""
        await self._start(200, (b"content-type", kind), *headers)

    async def _start(self, status: int, *headers: Header) -> None:
        self.begun = True
        self.status = status
        every = [*headers, *marks(self.request_id, self._started), *self._granted(), *self.extra]
        await self._send({"type": "http.response.start", "status": status, "headers": every})

    async def piece(self, data: bytes, *, more: bool = True) -> None:
        """Send a piece of the body; waits while the client is slow."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def refuse(self, error: APIError) -> None:
        """Send an error in the API's envelope, with the hints that clients obey.

        An answer that has begun stays without its end, and the server closes its connection.
        """
        self.error = error
        if self.begun:
            return
        if error.retry_after is not None:
            # Rounded up: who comes back early is refused again. And 0 would mean no hint to the SDKs.
            self.extra.append((b"retry-after", b"%d" % max(1, math.ceil(error.retry_after))))
            self.extra.append((b"retry-after-ms", b"%d" % max(1, math.ceil(error.retry_after * 1000))))
        if error.should_retry is not None:
            self.extra.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
        await self.answer(encode(error.body()), status=error.status)

    def answered(self, route: str) -> Answered:
        """What is told of it when all is said."""
        error = self.error
        return Answered(
            request_id=self.request_id,
            method=self.scope["method"],
            route=route,
            status=self.status,
            took=time.perf_counter() - self._started,
            work=self.work,
            background=self.background,
            error=error.code if error is not None else None,
            error_class=type(error).__name__ if error is not None else None,
        )

    def _granted(self) -> list[Header]:
        """What a browser must be told before it shows an answer to the page of a configured origin."""
        if not self.options.origins:
            return []
        origin = self.headers.get(b"origin", b"")
        if origin.decode("latin-1") not in self.options.origins:
            return [(b"vary", b"origin")]
        return [
            (b"vary", b"origin"),
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", b"*"),
        ]


Handler = Callable[[Call], Awaitable[None]]
Guard = Callable[[Call], None]


class Endpoint:
    """A handler as an ASGI app: guards before it, and the one boundary where an error becomes an answer."""

    def __init__(
        self,
        handler: Handler,
        engine: Engine,
        options: ServerOptions,
        guards: Iterable[Guard] = (),
        route: str = "unknown",
    ) -> None:
        self.handler = handler
        self.route = route
        self.engine = engine
        self.options = options
        self.guards = tuple(guards)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope, receive, send, self.engine, self.options)
        try:
            for guard in self.guards:
                guard(call)
            await self.handler(call)
        except APIError as error:
            await call.refuse(error)
        except ClientLeft:
            pass
        except Exception:  # noqa: BLE001 - the boundary: a defect is an answer too
            _log.exception("%s failed", call.request_id)
            message = f"The server had an error while processing your request. Its id is {call.request_id}."
            await call.refuse(ServerError(message))
        finally:
            self.engine.observers.answered(call.answered(self.route))


def whole_number(call: Call, name: str, *, low: int, high: int, default: int) -> int:
    """A query parameter that is a number between `low` and `high`. Raises InvalidRequest."""
    text = call.query(name)
    if text is None:
        return default
    if not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit() or len(text) > 18:
        raise InvalidRequest(f"Invalid '{name}': expected an integer.", param=name, code="invalid_type")
    number = int(text)
    if number < low:
        code, expected = "integer_below_min_value", f">= {low}"
    elif number > high:
        code, expected = "integer_above_max_value", f"<= {high}"
    else:
        return number
    raise InvalidRequest(f"Invalid '{name}': expected a value {expected}, but got {number}.", param=name, code=code)


def one_of(call: Call, name: str, supported: tuple[str, ...], default: str) -> str:
    """A query parameter that is one of a few words. Raises InvalidRequest."""
    text = call.query(name)
    if text is None:
        return default
    if text not in supported:
        listed = " and ".join(repr(word) for word in supported)
        message = f"Invalid value: {text[:100]!r}. Supported values are: {listed}."
        raise InvalidRequest(message, param=name, code="invalid_value")
    return text


def flag(call: Call, name: str, *, default: bool = False) -> bool:
    """A query parameter that is true or false. Raises InvalidRequest."""
    return one_of(call, name, ("true", "false"), "true" if default else "false") == "true"
