"""A small client of a Responses server, on the standard library: `antiphon ask` needs no SDK and starts at once.

Where a server is, and with which key, in this order:

    --base-url                        --api-key, else $ANTIPHON_API_KEY, else $OPENAI_API_KEY
    $OPENAI_BASE_URL                  --api-key, else $OPENAI_API_KEY, else $ANTIPHON_API_KEY
    host and port of the              --api-key, else the configured key of the server
    configuration (127.0.0.1:8484)

A key of OpenAI's is never sent to an address that nobody has named.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import msgspec

from antiphon.wire.sse import SSESplitter

if TYPE_CHECKING:
    from antiphon.config.settings import Config

__all__ = ["Address", "Api", "ApiFailure", "Cut", "Named", "NoServer", "address_of"]

Event = dict[str, Any]

CONNECT: Final = 10.0
"""Seconds to connect."""

SILENCE: Final = 600.0
"""Seconds without a byte after which a stream counts as broken. Antiphon sends a comment every 15."""

FINAL: Final = ("response.completed", "response.failed", "response.incomplete")

OVER: Final = ("completed", "failed", "cancelled", "incomplete")

PATIENCE: Final = 10
"""How often in a row a broken stream is taken up again without anything coming of it."""


class ApiFailure(Exception):
    """The server refused; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NoServer(Exception):
    """Nobody could be reached."""


class Cut(Exception):
    """A stream, or an answer, broke off."""


class Address(NamedTuple):
    """Where a server is, and the key for it."""

    base_url: str
    api_key: str | None


def address_of(base_url: str | None, api_key: str | None, environ: Mapping[str, str], config: Config) -> Address:
    """The address and key of a command's options. Raises NoKey."""
    ours, theirs = environ.get("ANTIPHON_API_KEY"), environ.get("OPENAI_API_KEY")
    if base_url:
        return Address(base_url.rstrip("/"), api_key or ours or theirs)
    if environ.get("OPENAI_BASE_URL"):
        return Address(environ["OPENAI_BASE_URL"].rstrip("/"), api_key or theirs or ours)
    from antiphon.config.addresses import base_url_of
    from antiphon.config.keys import key_at_hand

    return Address(base_url_of(config.server.host, config.server.port), api_key or key_at_hand(config.server)())


class Named(msgspec.Struct):
    """A model in the server's list."""

    id: str
    owned_by: str = ""


class _Listed(msgspec.Struct):
    data: list[Named]


class Api:
    """The requests of the commands. `sleep` waits between two tries to take a stream up again."""

    def __init__(self, address: Address, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.address = address
        self._sleep = sleep

    def get(self, path: str) -> bytes:
        """GET a whole answer. Raises ApiFailure, NoServer or Cut."""
        connection, response = self._open("GET", path, None)
        try:
            return response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Cut(_words(error)) from error
        finally:
            connection.close()

    def stream(self, method: str, path: str, body: Any = None) -> Iterator[Event]:
        """The events of a streamed answer. Raises ApiFailure, NoServer or Cut."""
        connection, response = self._open(method, path, body)
        splitter = SSESplitter()
        try:
            while chunk := response.read1(65536):
                yield from _events(splitter.feed(chunk))
            yield from _events(splitter.close())
        except (OSError, http.client.HTTPException) as error:
            raise Cut(_words(error)) from error
        finally:
            connection.close()

    def create(self, body: Mapping[str, Any]) -> Iterator[Event]:
        """The events of a new response. One in the background is followed for as long as it takes."""
        response_id, last = "", -1
        try:
            for event in self.stream("POST", "/responses", {**body, "stream": True}):
                response_id = _id_of(event) or response_id
                last = event.get("sequence_number", last)
                yield event
                if event.get("type") in FINAL:
                    return
        except Cut:
            if not (body.get("background") and response_id):
                raise
        if body.get("background") and response_id:
            yield from self.follow(response_id, last)

    def follow(self, response_id: str, after: int = -1) -> Iterator[Event]:
        """The events of a stored response after number `after`; taken up again as often as the stream breaks."""
        idle = 0
        while idle < PATIENCE:
            if idle:
                self._sleep(min(5.0, 0.25 * 2**idle))
            idle += 1
            try:
                for event in self.stream("GET", f"{path_of(response_id)}?stream=true&starting_after={after}"):
                    after, idle = event.get("sequence_number", after), 0
                    yield event
                    if event.get("type") in FINAL:
                        return
                if self.response(response_id).get("status") in OVER:
                    return
            except (Cut, NoServer):
                continue
            except ApiFailure as failure:
                if failure.status < 500:
                    raise
        raise Cut(f"the stream of {response_id} cannot be taken up again")

    def models(self) -> list[Named]:
        """What requests may name. Raises ApiFailure, NoServer or Cut."""
        try:
            return msgspec.json.decode(self.get("/models"), type=_Listed).data
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Cut("the server sent something that is no list of models") from error

    def response(self, response_id: str) -> dict[str, Any]:
        """A stored Response. Raises ApiFailure, NoServer or Cut."""
        return _object(self.get(path_of(response_id)))

    def _open(self, method: str, path: str, body: Any) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = _connection(self.address.base_url)
        prefix = urlsplit(self.address.base_url).path
        headers = {"Accept": "text/event-stream, application/json", "User-Agent": "antiphon"}
        if self.address.api_key:
            headers["Authorization"] = f"Bearer {self.address.api_key}"
        data = None
        if body is not None:
            data, headers["Content-Type"] = msgspec.json.encode(body), "application/json"
        try:
            connection.connect()
            connection.sock.settimeout(SILENCE)
            connection.request(method, prefix + path, data, headers)
            response = connection.getresponse()
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            raise NoServer(f"{self.address.base_url} ({_words(error)})") from error
        if response.status >= 400:
            raise _failure(connection, response)
        return connection, response


def _id_of(event: Event) -> str | None:
    response = event.get("response")
    return response.get("id") if isinstance(response, dict) else None


def path_of(response_id: str) -> str:
    """The path of a stored response."""
    return f"/responses/{quote(response_id, safe='')}"


def _connection(base_url: str) -> http.client.HTTPConnection:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=CONNECT, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, parts.port, timeout=CONNECT)


def _words(error: Exception) -> str:
    """What an error says, without its number."""
    return (error.strerror if isinstance(error, OSError) else "") or str(error) or type(error).__name__


def _events(frames: list[tuple[str | None, bytes]]) -> Iterator[Event]:
    for _, data in frames:
        if data != b"[DONE]":
            yield _object(data)


def _object(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Cut("the server sent something that is no JSON object") from error


class _Problem(msgspec.Struct):
    message: str | None = None


class _Envelope(msgspec.Struct):
    error: _Problem


def _failure(connection: http.client.HTTPConnection, response: http.client.HTTPResponse) -> ApiFailure:
    """The error of a refusal, with the words that the server found for it."""
    try:
        body = response.read(65536)
    except (OSError, http.client.HTTPException):
        body = b""
    finally:
        connection.close()
    try:
        message = msgspec.json.decode(body, type=_Envelope).error.message
    except (msgspec.DecodeError, UnicodeDecodeError):
        message = None
    return ApiFailure(response.status, message or f"the server answered with status {response.status}")
