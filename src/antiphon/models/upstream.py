"""The HTTP that backends speak to their upstreams: one session, one answer at a time being read, no time-out objects.

* `Upstream.open` sends a request and gives an `Answer`, or raises the APIError that a refusal means
  (`upstream_errors` has the table). `with` around the answer closes its connection at once, however it is left.
* `Answer.events` gives the server-sent events of one network read; `Answer.body` reads all of an answer that is none.
* Nothing is retried, save one thing: a kept-alive connection that turns out to be closed before any byte of the answer
  came is replaced once by a new one. The upstream has closed it for being idle, not in answer to the request.
* A redirect is an error, cookies are not kept, proxy variables of the environment are not read: a request goes to the
  configured address and to no other.
* Waiting is bounded by stamps, not by a time-out object for each read: an answer notes until when it waits, and one
  timer an upstream looks at all of them (`_Watch`).
"""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, cast

import msgspec

from antiphon.models.upstream_errors import error_in_stream, error_of_answer
from antiphon.wire.errors import APIError, ServerError, Unavailable, UpstreamMalformed, UpstreamTimeout
from antiphon.wire.sse import SSESplitter, SSEvent

if TYPE_CHECKING:
    from types import TracebackType

    import aiohttp

__all__ = ["Answer", "KeySource", "Upstream", "UpstreamOptions"]

KeySource: TypeAlias = str | Callable[[], str | Awaitable[str | None] | None] | None
"""A key, or what gives one. A callable is asked for each request, so that a key can be replaced while we run."""

LINGER: Final = 1.0
"""Seconds that an upstream has to end an answer whose last word was read, so that its connection can be used again."""

KEEP_ALIVE: Final = 30.0
"""Seconds that an idle connection is kept."""

_LARGE: Final = 2**20
_NEVER: Final = float("inf")


class UpstreamOptions(msgspec.Struct, kw_only=True):
    """What is configured about an upstream. Times are in seconds, sizes in bytes."""

    base_url: str
    """Up to and including `/v1`, with or without a slash at the end."""

    model: str = ""
    """The upstream's name for the model."""

    api_key: KeySource = None
    """Sent as `Authorization: Bearer`; other schemes go into `headers`."""

    headers: dict[str, str] = {}
    """Sent with each request, over ours of the same name."""

    pass_through: frozenset[str] = frozenset()
    """Parameters unknown to the Responses API that a client may send and the upstream understands."""

    extra_body: dict[str, Any] = {}
    """Sent with each request."""

    connect_timeout: float = 5.0
    """For address look-up, connection and TLS handshake together."""

    first_token_timeout: float = 600.0
    """From the request to the first output. Long, because local models load and prefill slowly."""

    idle_timeout: float = 300.0
    """The longest silence after the first output."""

    max_line: int = 16 * 2**20
    """The longest line of an event stream."""

    max_body: int = 64 * 2**20
    """The largest body that is no stream, after decompression."""

    max_error_body: int = 64 * 2**10
    """How much of a refusal is read, after decompression."""

    verify: bool | str = True
    """Whether to check the certificate; or the path of the authorities to check it against."""


class _Watch:
    """One timer for all answers of an upstream. It is set for the earliest stamp, and looks again when it fires.

    Stamps move on with each read and the timer does not: re-arming it is left to when it fires, once in a time-out.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time
        self.due = _NEVER
        self._loop = loop
        self._answers: set[Answer] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, answer: Answer) -> None:
        self._answers.add(answer)

    def discard(self, answer: Answer) -> None:
        self._answers.discard(answer)

    def arm(self, due: float) -> None:
        """Look at the stamps at this time, or earlier if it was so arranged."""
        if due < self.due:
            self._stop()
            self.due = due
            self._timer = self._loop.call_at(due, self._look)

    def close(self) -> None:
        """End all answers."""
        for answer in list(self._answers):
            answer.expire()
        self._stop()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        self.due = _NEVER

    def _look(self) -> None:
        self._timer = None
        self.due = _NEVER
        now = self.now()
        for answer in [answer for answer in self._answers if answer.deadline <= now]:
            answer.expire()
        self.arm(min((answer.deadline for answer in self._answers), default=_NEVER))


class Answer:
    """An accepted request, being read. `with` it: leaving closes the connection at once, unless `finish` was called.

    Set `begun` when the first output has come: from then on the silence between reads is bounded, before it the whole
    wait. The time that the reader takes between reads does not count.
    """

    __slots__ = (
        "_broken",
        "_content",
        "_expired",
        "_finished",
        "_first_due",
        "_head",
        "_idle",
        "_limit",
        "_lost",
        "_response",
        "_secret",
        "_splitter",
        "_watch",
        "begun",
        "deadline",
    )

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        watch: _Watch,
        options: UpstreamOptions,
        *,
        since: float,
        secret: str | None,
    ) -> None:
        self.begun = False
        self.deadline = _NEVER
        self._response = response
        self._content = response.content
        self._watch = watch
        self._idle = options.idle_timeout
        self._first_due = since + options.first_token_timeout
        self._limit = options.max_body
        self._secret = secret
        self._splitter = SSESplitter(options.max_line)
        self._head = b""
        self._broken: APIError | None = None
        self._expired = False
        self._finished = False
        self._lost = _loss_of(response)
        if self._lost is not None:
            self._lost.add_done_callback(self._wake)
        watch.add(self)

    @property
    def status(self) -> int:
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    async def read(self) -> bytes:
        """The bytes of one network read; empty at the end. Raises Unavailable when cut, UpstreamTimeout when silent."""
        if self._head:
            head, self._head = self._head, b""
            return head
        if self._broken is not None:
            raise self._broken
        deadline = self._watch.now() + self._idle if self.begun else self._first_due
        self.deadline = deadline
        if deadline < self._watch.due:
            self._watch.arm(deadline)
        try:
            chunk = await self._content.readany()
        except (OSError, RuntimeError, _client_error()) as error:  # RuntimeError: closed between head and body
            chunk = self._salvaged(error)
        self.deadline = _NEVER
        return chunk

    def _salvaged(self, error: BaseException) -> bytes:
        """What had arrived before the answer broke off, which aiohttp would throw away; if nothing had, the error."""
        self._broken = self._expiry() if self._expired else _transport_error(error)
        self._broken.__cause__ = error
        self._content.set_exception(cast(BaseException, None))
        if rest := self._content.read_nowait():
            return rest
        raise self._broken

    async def events(self) -> list[SSEvent]:
        """The server-sent events of the next read that completes any; an empty list is the end."""
        while chunk := await self.read():
            if events := self._splitter.feed(chunk):
                return events
        return self._splitter.close()

    async def body(self, limit: int | None = None) -> bytes:
        """The whole answer. Raises UpstreamMalformed if it is larger than `limit` (`max_body`), decompressed."""
        most = self._limit if limit is None else limit
        parts: list[bytes] = []
        size = 0
        while chunk := await self.read():
            size += len(chunk)
            if size > most:
                raise UpstreamMalformed(f"The upstream's answer is larger than {most} bytes.")
            parts.append(chunk)
        return b"".join(parts)

    async def is_stream(self) -> bool:
        """Whether these are events: by their media type, else by their first bytes, which are not lost."""
        if self._response.content_type == "text/event-stream":
            return True
        self._head = await self.read()
        return not self._head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[", b"<"))

    def error(self, error: Any) -> APIError:
        """The APIError that an error object in this answer means."""
        return error_in_stream(error, secret=self._secret)

    def finish(self) -> None:
        """All that matters was read: the connection is kept for the next request, if the upstream ends the answer."""
        self._finished = True

    def close(self) -> None:
        """Close the connection, or hand it back. Never waits."""
        if self._lost is not None:
            self._lost.remove_done_callback(self._wake)
        if self._response.closed:  # the answer ended: aiohttp has taken the connection back already
            self._watch.discard(self)
        elif self._finished and not self._expired:
            self.deadline = self._watch.now() + LINGER
            self._watch.arm(self.deadline)
        else:
            self._drop()

    def expire(self) -> None:
        """What the watch calls when a stamp is overdue: the read that waits ends at once."""
        self._expired = True
        self._drop()

    def _drop(self) -> None:
        """Abort, which does not wait for what is still to be sent, nor for the peer's part in ending TLS."""
        self._watch.discard(self)
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
        self._response.close()

    def _wake(self, _lost: object) -> None:
        """The connection is gone: end the read that waits. aiohttp forgets to after a broken HTTP chunk."""
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(ConnectionResetError())

    def _expiry(self) -> APIError:
        if self.begun:
            return UpstreamTimeout(f"The upstream fell silent for {self._idle:g} s.", code="upstream_stalled")
        return _no_first_token()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Upstream:
    """One upstream server. Belongs to the event loop in which it is first used. `aclose` it at the end.

    `wall` gives Unix time: a Retry-After may be a date.
    """

    def __init__(self, options: UpstreamOptions, *, wall: Callable[[], float] = time.time) -> None:
        self.options = options
        self._wall = wall
        self._base = options.base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._replacement: aiohttp.ClientSession | None = None
        self._watch: _Watch | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, path: str, body: bytes | None, headers: Mapping[str, str] | None = None) -> Answer:
        """POST JSON to `path` (below the base URL), or GET it. Returns when the upstream has accepted: status 2xx.

        Raises the APIError of a refusal, Unavailable if nobody answers, UpstreamTimeout if not in time, and
        UpstreamMalformed for what is no HTTP.
        """
        watch = self._watch = self._watch or _Watch(asyncio.get_running_loop())
        since = watch.now()
        secret = await self._key()
        options = self.options
        waiting = asyncio.timeout_at(since + options.first_token_timeout)
        try:
            async with waiting:
                response = await self._send(path, body, self._headers(secret, headers))
        except (OSError, _client_error()) as error:
            raise (_no_first_token() if waiting.expired() else _transport_error(error)) from error
        answer = Answer(response, watch, options, since=since, secret=secret)
        if response.status == 200 and response.content_type == "text/html":
            with answer:
                raise UpstreamMalformed(
                    "The upstream answered with a web page (text/html). Is base_url the address of its API, up to /v1?"
                )
        if 200 <= response.status < 300 and response.status != 204:
            return answer
        with answer:
            raise await self._refusal(answer, secret)

    async def post_json(self, path: str, body: bytes) -> bytes:
        """POST JSON and read the whole answer. Raises as `open` does, and UpstreamMalformed if it is too large."""
        with await self.open(path, body, {"Accept": "application/json"}) as answer:
            return await answer.body()

    def afterwards(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that is left to do when an answer is no longer read."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        """Close all connections; answers that are being read end as if they had fallen silent."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=LINGER)
        if self._watch is not None:
            self._watch.close()
        for session in (self._session, self._replacement):
            if session is not None:
                await session.close()
        self._session = self._replacement = None

    async def _key(self) -> str | None:
        source = self.options.api_key
        given = source() if callable(source) else source
        key = given if given is None or isinstance(given, str) else await given
        return key.strip() if key else None  # a file ends with a line end

    def _headers(self, key: str | None, more: Mapping[str, str] | None) -> dict[str, str]:
        """Compression is declined: it would hold deltas back, and saves nothing worth it."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",
            "User-Agent": "antiphon",
        }
        if key:
            headers["Authorization"] = f"Bearer {key}"
        return {**headers, **(more or {}), **self.options.headers}

    async def _send(self, path: str, body: bytes | None, headers: dict[str, str]) -> aiohttp.ClientResponse:
        """Send, and send again on a new connection if a kept one was closed before any byte of an answer."""
        import aiohttp

        attempt = _Attempt()
        if self._session is None:
            self._session = self._connect(keep=True)
        try:
            return await self._request(self._session, path, body, headers, attempt)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
            half_a_head = isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)
            if half_a_head or not attempt.reused:
                raise
        if self._replacement is None:
            self._replacement = self._connect(keep=False)
        return await self._request(self._replacement, path, body, headers, attempt)

    async def _request(
        self, session: aiohttp.ClientSession, path: str, body: bytes | None, headers: dict[str, str], attempt: _Attempt
    ) -> aiohttp.ClientResponse:
        is_large = body is not None and len(body) > _LARGE
        data = io.BytesIO(body) if body is not None and is_large else body  # in pieces, so that the loop is not held
        ask = session.get if body is None else session.post
        return await ask(
            self._base + path, data=data, headers=headers, allow_redirects=False, trace_request_ctx=attempt
        )

    def _connect(self, *, keep: bool) -> aiohttp.ClientSession:
        """A session; without `keep` each of its requests has a new connection."""
        import aiohttp

        keeping: dict[str, Any] = {"keepalive_timeout": KEEP_ALIVE} if keep else {"force_close": True}
        connector = aiohttp.TCPConnector(limit=0, ssl=_tls(self.options.verify), **keeping)
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_note_reuse)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(connect=self.options.connect_timeout),
            trust_env=False,
            trace_configs=[tracing],
        )

    async def _refusal(self, answer: Answer, secret: str | None) -> APIError:
        """The error of an answer that is no acceptance. A body that is too large or cut says nothing."""
        try:
            body = await answer.body(self.options.max_error_body)
        except ServerError:
            body = b""
        return error_of_answer(answer.status, answer.headers, body, now=self._wall(), secret=secret)


class _Attempt:
    """What is noted of a request while it is sent: whether its connection had served others before."""

    __slots__ = ("reused",)

    def __init__(self) -> None:
        self.reused = False


async def _note_reuse(_session: object, context: Any, _parameters: object) -> None:
    context.trace_request_ctx.reused = True


def _loss_of(response: aiohttp.ClientResponse) -> asyncio.Future[None] | None:
    """What is done when the connection of an answer is lost; None if the answer has come whole."""
    connection = response.connection
    lost = connection.protocol.closed if connection is not None and connection.protocol is not None else None
    if lost is not None:  # it lives as long as the connection: its error is looked at once, by one callback
        lost.remove_done_callback(_overlook)
        lost.add_done_callback(_overlook)
    return lost


def _overlook(lost: asyncio.Future[None]) -> None:
    """Look at the error of a lost connection. Nobody waits for it while the connection is idle."""
    if not lost.cancelled():
        lost.exception()


def _client_error() -> type[Exception]:
    """aiohttp's own error, without importing aiohttp at the start."""
    import aiohttp

    return aiohttp.ClientError


def _tls(verify: bool | str) -> Any:
    if isinstance(verify, bool):
        return verify
    import ssl

    return ssl.create_default_context(cafile=verify)


def _no_first_token() -> UpstreamTimeout:
    return UpstreamTimeout("The upstream did not begin to answer in time.")


def _transport_error(error: BaseException) -> APIError:
    """What a failure below HTTP means. The address is not named: it is no business of the client's."""
    import aiohttp
    from aiohttp.http_exceptions import ContentEncodingError

    match error:
        case aiohttp.ClientResponseError() | aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return UpstreamMalformed("The upstream does not speak HTTP.")
        case aiohttp.ClientPayloadError(__cause__=ContentEncodingError()):
            return UpstreamMalformed("The upstream's answer is not compressed as it says.")
        case aiohttp.ConnectionTimeoutError():
            return Unavailable("The upstream could not be reached in time.", code="upstream_unreachable")
        case aiohttp.ClientSSLError():
            return Unavailable("No secure connection to the upstream could be made.", code="upstream_unreachable")
        case aiohttp.ClientConnectorError():
            return Unavailable("The upstream could not be reached.", code="upstream_unreachable")
    return Unavailable("The upstream closed the connection before its answer was complete.", code="upstream_cut")
