"""The process: a socket, an event loop, and an end that loses nothing.

SIGTERM or Ctrl-C: no new connections, running streams may end for `grace` seconds, then foreground responses end as
`failed` and followers of background ones get a hint to resume; background responses stay in the store for the next
start. The exit code is 0.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from antiphon.engine.engine import Engine
from antiphon.observe.logs import one_line_each
from antiphon.server.app import create_app
from antiphon.server.call import ServerOptions
from antiphon.server.connection import connection_class

BACKLOG = 2048
"""Connections that may wait: hundreds of clients connect at once after a restart."""

LAST_WORDS = 2.0
"""Seconds that clients have, when all is said, to take it from their sockets. Some never do."""


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises OSError if the address is in use or not ours."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def serve(
    build: Callable[[], Engine], options: ServerOptions, listener: socket.socket, on_ready: Callable[[Engine], Any]
) -> None:
    """Serve until a signal. `build` is called in the event loop; `on_ready` when the first request may come.

    Raises what `Engine.start` raises, before anything is served.
    """
    one_line_each()
    with asyncio.Runner(loop_factory=_new_loop()) as runner:
        runner.run(_serve(build, options, listener, on_ready))


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it exists; everywhere else the loop of the standard library."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(
    build: Callable[[], Engine], options: ServerOptions, listener: socket.socket, on_ready: Callable[[Engine], Any]
) -> None:
    engine = build()
    await engine.start()
    server = Server(create_app(engine, options), engine, options, lambda: on_ready(engine))
    _tune()
    await server.serve(sockets=[listener])


def _tune() -> None:
    """Settings of the interpreter for a process that only serves.

    What is loaded stays, so the collector need not look at it again, and it looks less often at what comes. The thread
    that writes waits at most a millisecond for its turn when the loop is busy (5 by default).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    sys.setswitchinterval(0.001)


class Server(uvicorn.Server):
    """uvicorn, with our start and our end."""

    def __init__(
        self, app: ASGIApp, engine: Engine, options: ServerOptions, on_ready: Callable[[], Any], *, signals: bool = True
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=connection_class(options),
                ws="none",
                lifespan="off",
                backlog=BACKLOG,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_keep_alive=75,
            )
        )
        self._engine = engine
        self._grace = options.grace
        self._on_ready = on_ready
        self._signals = signals

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals end the server; the process then ends as it does when nothing is wrong."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM) if self._signals else ():
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        ending = asyncio.create_task(super().shutdown(sockets))
        await self._engine.aclose(self._grace)
        _, late = await asyncio.wait((ending,), timeout=LAST_WORDS)
        if late:
            for connection in list(self.server_state.connections):
                connection.transport.abort()
        await ending
