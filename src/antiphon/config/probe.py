"""One short HTTP request: what a server says of itself. For discovery, lists of models, and the doctor.

The standard library's client, because aiohttp takes longer to import than all of this takes to run. It blocks: call it
from a thread. No redirect is followed, no proxy used, no more read than is needed.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from antiphon.config.settings import UpstreamSettings

__all__ = ["ListedModel", "NoAnswer", "Reply", "ask", "ask_for_models", "ask_upstream", "list_models"]

_LARGEST: Final = 4 * 2**20


class NoAnswer(Exception):
    """Nobody answered, or not in time, or not in HTTP. The message says which."""


class Reply(msgspec.Struct, frozen=True):
    """What was answered, and after how many seconds."""

    status: int
    body: bytes
    seconds: float

    def json(self) -> Any:
        """The body. Raises NoAnswer if it is no JSON."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NoAnswer("the answer is no JSON") from error


def ask(
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    connect: float = 2.0,
    patience: float = 5.0,
    verify: bool | Path = True,
) -> Reply:
    """GET, or POST a JSON `body`. `connect` and `patience` are the seconds for the connection and for all that follows.

    Raises NoAnswer. An error status is an answer.
    """
    start = time.monotonic()
    connection = _connection(url, connect, verify)
    try:
        connection.connect()
        status, data = _exchange(connection, url, body, headers or {}, time.monotonic() + patience)
    except TimeoutError as error:
        raise NoAnswer("no answer in time") from error
    except ConnectionRefusedError as error:
        raise NoAnswer("nobody listens there") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswer(str(error) or type(error).__name__) from error
    finally:
        connection.close()
    return Reply(status, data, time.monotonic() - start)


def _connection(url: str, connect: float, verify: bool | Path) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, parts.port, timeout=connect)
    context = ssl.create_default_context(cafile=None if isinstance(verify, bool) else verify)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, parts.port, timeout=connect, context=context)


def _exchange(
    connection: http.client.HTTPConnection, url: str, body: bytes | None, headers: Mapping[str, str], until: float
) -> tuple[int, bytes]:
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    own = {"Accept": "application/json", "User-Agent": "antiphon", "Connection": "close"}
    kind = {} if body is None else {"Content-Type": "application/json"}
    connection.sock.settimeout(_left(until))
    connection.request("GET" if body is None else "POST", target or "/", body, {**own, **kind, **headers})
    response = connection.getresponse()
    data = bytearray()
    while len(data) <= _LARGEST and (piece := response.read1(65536)):
        data += piece
        if connection.sock is not None:
            connection.sock.settimeout(_left(until))
    return response.status, bytes(data)


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


class ListedModel(msgspec.Struct, frozen=True):
    """A model in a server's list, with what some servers add."""

    id: str
    created: int | None = None
    owned_by: str | None = None
    max_model_len: int | None = None
    """vLLM's name for the context window, in tokens."""


class _List(msgspec.Struct):
    data: list[ListedModel]


def list_models(reply: Reply) -> list[ListedModel]:
    """The models of an answer to GET /models. Raises NoAnswer if it is none."""
    if reply.status != 200:
        raise NoAnswer(f"the answer has status {reply.status}")
    try:
        listed = msgspec.json.decode(reply.body, type=_List).data
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NoAnswer("the answer is no list of models") from error
    return [model for model in listed if model.id and model.id.isprintable() and len(model.id) <= 256]


def ask_for_models(settings: UpstreamSettings, key: str | None, patience: float) -> list[ListedModel]:
    """The models that a configured upstream lists. Raises NoAnswer."""
    return list_models(ask_upstream(settings, key, "/models", patience))


def ask_upstream(settings: UpstreamSettings, key: str | None, path: str, patience: float) -> Reply:
    """GET a path below a configured upstream's address, with its key and headers. Raises NoAnswer."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    headers |= {name: value.reveal() for name, value in settings.headers.items()}
    url = settings.base_url.rstrip("/") + path
    return ask(url, headers=headers, connect=patience, patience=patience, verify=settings.ca_file or settings.verify)
