"""One request and its answer, on plain ASGI: this is the path of every token, so nothing is wrapped twice."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from antiphon.engine.engine import Engine
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

JSON = b"application/json"
Header = tuple[bytes, bytes]


class ServerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the HTTP side behaves. Times are in seconds, sizes in bytes."""

    api_key: Callable[[], str | None] = lambda: None
    """The one static key; None leaves the server open."""
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
    body_timeout: float = 30.0
    grace: float = 5.0
    """How long running streams may go on when the server is told to stop."""


class Call:
    """A request, and how to answer it."""

    __slots__ = (
        "_headers",
        "_query",
        "_receive",
        "_send",
        "_started",
        "engine",
        "extra",
        "options",
        "request_id",
        "scope",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, engine: Engine, options: ServerOptions) -> None:
        self.scope = scope
        self.engine = engine
        self.options = options
        self.request_id = f"req_{secrets.token_hex(16)}"
        self.extra: list[Header] = []
        """Headers that the answer has beside its own."""
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

    def query(self, name: str) -> str | None:
        """The last value of a query parameter."""
        return next(reversed(self.query_list(name)), None)

    def query_list(self, name: str) -> list[str]:
        """All values of a query parameter, written as `name` or `name[]`."""
        if self._query is None:
            text = self.scope["query_string"].decode("latin-1")
            self._query = parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=100)
        return [value for key, value in self._query if key in (name, f"{name}[]")]

    async def json(self) -> bytes:
        """The body. Raises an APIError if it is no JSON by its header, too large, or too slow to come."""
        kind = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != JSON:
            given = kind.decode("latin-1")[:100] or "none"
            raise UnsupportedMediaType(f"The request must have the Content-Type 'application/json', but has {given!r}.")
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.options.max_body:
            raise self._too_large()
        message = await self._receive()
        body: bytes = message.get("body", b"")
        if message.get("more_body"):
            body = await self._rest(body)
        if len(body) > self.options.max_body:
            raise self._too_large()
        return body

    async def _rest(self, first: bytes) -> bytes:
        body, more = bytearray(first), True
        try:
            async with asyncio.timeout(self.options.body_timeout):
                while more and len(body) <= self.options.max_body:
                    message = await self._receive()
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
        except TimeoutError:
            raise RequestTimeout("The body of the request did not come in time.") from None
        return bytes(body)

    def _too_large(self) -> APIError:
        return PayloadTooLarge(f"The request is larger than {self.options.max_body} bytes.")

    async def left(self) -> None:
        """Return when the client has gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    # The answer

    async def answer(self, body: bytes, *, status: int = 200, kind: bytes = JSON) -> None:
        """Send a whole answer."""
        headers = [*self._own_headers(kind), (b"content-length", b"%d" % len(body))]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def begin(self, kind: bytes, headers: Iterable[Header] = ()) -> None:
        """Send the head of an answer that comes in pieces."""
        all_headers = [*self._own_headers(kind), *headers]
        await self._send({"type": "http.response.start", "status": 200, "headers": all_headers})

    async def piece(self, data: bytes, *, more: bool = True) -> None:
        """Send a piece of the body; waits while the client is slow."""
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def refuse(self, error: APIError) -> None:
        """Send an error in the API's envelope, with the hints that clients obey."""
        if error.retry_after is not None:
            self.extra.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
            self.extra.append((b"retry-after-ms", b"%d" % round(error.retry_after * 1000)))
        if error.should_retry is not None:
            self.extra.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
        await self.answer(encode(error.body()), status=error.status)

    def _own_headers(self, kind: bytes) -> list[Header]:
        took = int((time.perf_counter() - self._started) * 1000)
        return [
            (b"content-type", kind),
            (b"x-request-id", self.request_id.encode()),
            (b"openai-processing-ms", b"%d" % took),
            (b"openai-version", b"2020-10-01"),
            *self.extra,
        ]


Handler = Callable[[Call], Awaitable[None]]
Guard = Callable[[Call], None]


class Endpoint:
    """A handler as an ASGI app: guards before it, and the one boundary where an error becomes an answer."""

    def __init__(self, handler: Handler, engine: Engine, options: ServerOptions, guards: Iterable[Guard] = ()) -> None:
        self.handler = handler
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
        except Exception:  # noqa: BLE001 - the boundary: a defect is an answer too
            _log.exception("%s failed", call.request_id)
            message = f"The server had an error while processing your request. Its id is {call.request_id}."
            await call.refuse(ServerError(message))


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
