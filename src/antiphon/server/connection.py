"""One connection, as far as uvicorn leaves it open: what is no request, what does not come, and who has left.

* What is no HTTP is refused in the API's envelope, and never in the midst of another answer.
* A head has a deadline and a size. So has what a client goes on to send after its request was answered early.
* An offer to speak another protocol (`Upgrade: h2c`, which every Java client makes) is overlooked, and the request
  served: RFC 9110, section 7.8. uvicorn serves it without its body.
* When a client leaves, each of its requests is told, also if it had sent several at once.
* Trailers are not headers.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from typing import Any, ClassVar, cast

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from antiphon.server.call import JSON, ServerOptions, marks
from antiphon.wire.errors import APIError, InvalidRequest, RequestTimeout
from antiphon.wire.struct import encode

MOST_WAITING = 32
"""Requests that may wait for the answers before theirs."""

LINGER = 2.0
"""Seconds in which a refused client may read the refusal: to close at once would take it from its hands."""

_OFFER = frozenset((b"upgrade", b"connection", b"http2-settings"))
"""The headers that offer another protocol."""


class Connection(HttpToolsProtocol):
    """One client's connection."""

    options: ClassVar[ServerOptions] = ServerOptions()

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._unanswered: deque[RequestResponseCycle] = deque()
        """Requests whose head is here, oldest first."""
        self._in_head = True
        """Whether the next byte belongs to a head, or to nothing yet."""
        self._size = 0
        """Bytes of the request that is being read."""
        self._deadline: asyncio.TimerHandle | None = None
        self._deaf = False
        """Whether all that still comes is dropped."""

    # Coming and leaving

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        super().connection_made(cast(asyncio.Transport, transport))  # uvloop's is one without deriving from it
        self._expect(self.options.head_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left, or was left."""
        self._expect_nothing()
        for cycle in self._unanswered:
            cycle.disconnected = not cycle.response_complete
            cycle.message_event.set()
        super().connection_lost(exc)

    # What it sends

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request, or of several."""
        self._unset_keepalive_if_required()
        if self._deaf:
            return
        self._size += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._overlook(data[offer.args[0] :])
        except httptools.HttpParserError as error:
            reason = error.__context__  # what a callback raised
            self._refuse(reason if isinstance(reason, APIError) else _no_http())
        else:
            self._measure()

    def _measure(self) -> None:
        """Bound what is not yet a whole request."""
        options = self.options
        if self._in_head and self._size > options.max_headers:
            self._refuse(_too_large())
        elif self._size > options.max_headers + 2 * options.max_body:  # the framing of chunks may be as long as they
            self._hang_up()
        elif self._in_head and self._size and self._deadline is None:
            self._expect(options.head_timeout)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; a trailer is none."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head is whole. Raises InvalidRequest for one that is larger than it may be."""
        most = self.options.max_headers
        if not 0 < self._size <= most and self._head() > most:  # of a request behind another `_size` says nothing
            raise _too_large()
        self._expect_nothing()
        self._in_head = False
        if self.parser.should_upgrade():
            return  # `data_received` has it told once more, without the offer
        super().on_headers_complete()
        while self._unanswered and self._unanswered[0].response_complete:
            self._unanswered.popleft()
        self._unanswered.append(self.cycle)
        if self.pipeline:
            self.flow.resume_reading()  # who is not read is not seen to leave
        if len(self.pipeline) > MOST_WAITING:
            self._hang_up()

    def _head(self) -> int:
        """Bytes of the head that was read."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """A piece of a body."""
        super().on_body(body)
        if self.pipeline and len(self.cycle.body) > HIGH_WATER_LIMIT:
            self._hang_up()  # nobody reads it yet, and to stop reading would be not to see its sender leave

    def on_message_complete(self) -> None:
        """A request is whole."""
        if self.parser.should_upgrade():
            return
        self._in_head, self._size = True, 0
        self._expect_nothing()
        super().on_message_complete()
        if self.cycle.response_complete:  # it was answered early, so uvicorn's own deadline is spent
            self._expect(self.timeout_keep_alive)

    def on_response_complete(self) -> None:
        """An answer is whole; its request perhaps not."""
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body:
            self._expect(self.options.body_timeout)

    def _overlook(self, rest: bytes) -> None:
        """Read a head once more, without the offer to speak another protocol."""
        self._in_head, self._size = True, 0
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refuse(_no_http())
            return
        lines = [b"%s %s HTTP/%s" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%s: %s" % header for header in self.headers if header[0] not in _OFFER]
        if any(b"close" in value.lower() for name, value in self.headers if name == b"connection"):
            lines.append(b"connection: close")
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([*lines, b"", rest]))

    # Deadlines

    def _expect(self, seconds: float) -> None:
        """What is under way must be here in so many seconds."""
        self._expect_nothing()
        self._deadline = self.loop.call_later(seconds, self._is_late)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_late(self) -> None:
        self._deadline = None
        if self._in_head and self._size:
            self._refuse(RequestTimeout("The head of the request did not come in time."))
        else:
            self._hang_up()

    # Ends

    def _refuse(self, error: APIError) -> None:
        """Say that what comes is no request, after the answers that are under way; then close."""
        self._deaf = True
        waiting = [cycle for cycle in self._unanswered if not cycle.response_complete]
        if not self._in_head:  # the fault is in the body of the last one
            if waiting != [self.cycle] or self.cycle.response_started:
                self._hang_up()
                return
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif waiting:
            waiting[-1].keep_alive = False
            return
        self._tell(error)

    def _tell(self, error: APIError) -> None:
        if self.transport.is_closing():
            return
        body = encode(error.body())
        headers = [
            *self.server_state.default_headers,
            (b"content-type", JSON),
            *marks(f"req_{secrets.token_hex(16)}", time.perf_counter()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        self.transport.write(STATUS_LINE[error.status] + b"".join(b"%s: %s\r\n" % header for header in headers))
        self.transport.write(b"\r\n" + body)
        self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)

    def _hang_up(self) -> None:
        self._deaf = True
        self.transport.close()


def _no_http() -> InvalidRequest:
    return InvalidRequest("This is not a valid HTTP request.", code="invalid_http")


def _too_large() -> InvalidRequest:
    return InvalidRequest("The headers of the request are too large.", code="headers_too_large")


def connection_class(limits: ServerOptions) -> type[Connection]:
    """Connections with these limits, as uvicorn takes them."""

    class Limited(Connection):
        options = limits

    return Limited
