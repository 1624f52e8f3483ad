"""The server in the caller's own process: an SDK client whose transport is our app. No port, no other process.

    client = antiphon.local_async()                        # openai.AsyncOpenAI; `antiphon.local()` gives openai.OpenAI
    response = await client.responses.create(model="rehearsal", input="Hi.")
    await client.close()

The app starts with the first request and ends when the client is closed. The async client's app runs in the caller's
event loop, that of the sync client in a loop of its own, in a thread. Streams are streams: a chunk is there as soon as
the app has sent it, and an app whose client does not read waits.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import httpx2

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI

    from antiphon.config.settings import Config
    from antiphon.engine.engine import Engine
    from antiphon.ports import Catalog

__all__ = ["AppTransport", "ThreadedTransport", "async_client", "client"]

T = TypeVar("T")
App: TypeAlias = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

URL: Final = "http://localhost/v1"
AHEAD: Final = 16
"""Chunks that an app may be ahead of its reader."""


def client(
    config: str | Path | None = None, *, data: str | Path | None = None, catalog: Catalog | None = None
) -> OpenAI:
    """A sync client. See `antiphon.local`."""
    import openai

    transport = ThreadedTransport(_Server(config, data, catalog))
    return openai.OpenAI(base_url=URL, api_key="local", http_client=httpx2.Client(transport=transport, timeout=None))


def async_client(
    config: str | Path | None = None, *, data: str | Path | None = None, catalog: Catalog | None = None
) -> AsyncOpenAI:
    """An async client. See `antiphon.local_async`."""
    import openai

    transport = AppTransport(_Server(config, data, catalog))
    http = httpx2.AsyncClient(transport=transport, timeout=None)
    return openai.AsyncOpenAI(base_url=URL, api_key="local", http_client=http)


# The app


class _Server:
    """The app, from its first request to its end. Raises ConfigError when it is made, for a configuration that is
    wrong."""

    def __init__(self, config: str | Path | None, data: str | Path | None, catalog: Catalog | None) -> None:
        from antiphon.config.load import environment, load
        from antiphon.plugins import answers_of, compose
        from antiphon.stores.sqlite import SQLiteStore

        environ: Mapping[str, str] = {} if config is None else environment()
        self._settings = _built_in() if config is None else load(file=Path(config), environ=environ)
        self._own_catalog = catalog
        self._resources = AsyncExitStack()
        folder = self._own_folder() if data is None else Path(data)
        self._store = SQLiteStore(folder, owner="a client with a server in its own process")
        self._models = compose(self._settings, environ, answers=answers_of(self._settings, self._store))
        self._app: App | None = None
        self._starting = asyncio.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def app(self) -> App:
        """The app, running. Raises RuntimeError in another event loop than that of the first request."""
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            raise RuntimeError("This server runs in the event loop of its first request; make a client for each loop.")
        async with self._starting:
            if self._app is None:
                self._loop = loop
                self._app = await self._start()
        return self._app

    async def _start(self) -> App:
        from antiphon.server.app import create_app
        from antiphon.server.call import ServerOptions

        engine = self._engine()
        await engine.start()
        self._resources.push_async_callback(engine.aclose)
        return create_app(engine, ServerOptions())

    def _own_folder(self) -> Path:
        """A folder that goes with the client, whether it is closed or dropped."""
        folder = Path(tempfile.mkdtemp(prefix="antiphon-"))
        remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._resources.callback(remove)
        return folder

    def _engine(self) -> Engine:
        from antiphon.engine.clock import SystemClock
        from antiphon.engine.engine import Engine, EngineSettings
        from antiphon.plugins.engine import engine_of
        from antiphon.stores.chat import SQLiteChats

        if self._own_catalog is None:
            return engine_of(self._settings, self._models, self._store)
        chats = SQLiteChats(self._store)
        return Engine(self._own_catalog, self._store, SystemClock(), EngineSettings(), chats=chats)

    async def aclose(self) -> None:
        """End the app. What it had in a folder of its own is gone."""
        self._app = None
        await self._resources.aclose()


def _built_in() -> Config:
    """The settings that nothing around this process has a part in."""
    from antiphon.config.load import load

    with tempfile.TemporaryDirectory() as empty:
        return load({"discovery": False}, environ={"HOME": empty}, folder=Path(empty))


# Async


class AppTransport(httpx2.AsyncBaseTransport):
    """Sends requests to an app. A stream that is closed early is a client that left."""

    def __init__(self, server: _Server) -> None:
        self._server = server

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Ask the app; the answer's body comes as the app sends it."""
        exchange = _Exchange(await request.aread())
        status, headers = await exchange.begin(await self._server.app(), _scope(request))
        return httpx2.Response(status, headers=headers, stream=_Body(exchange), request=request)

    async def aclose(self) -> None:
        """End the app."""
        await self._server.aclose()


def _scope(request: httpx2.Request) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port or 80),
        "client": ("127.0.0.1", 0),
    }


class _Exchange:
    """One request and its answer, between an app and its client."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._chunks: deque[bytes] = deque()
        self._changed = asyncio.Condition()
        self._start: dict[str, Any] | None = None
        self._has_left = False
        self._is_done = False
        self._task: asyncio.Task[None] | None = None

    async def begin(self, app: App, scope: dict[str, Any]) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Ask, and wait for status and headers. Raises what the app raises."""
        self._task = asyncio.create_task(self._serve(app, scope))
        try:
            async with self._changed:
                await self._changed.wait_for(lambda: self._start is not None or self._is_done)
        except asyncio.CancelledError:
            await self.leave()
            raise
        if self._start is None:
            await self._task
            raise httpx2.RemoteProtocolError("The app ended without an answer.")
        return self._start["status"], list(self._start["headers"])

    async def _serve(self, app: App, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
        finally:
            self._is_done = True
            async with self._changed:
                self._changed.notify_all()

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        async with self._changed:
            await self._changed.wait_for(lambda: self._has_left)
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        async with self._changed:
            if message["type"] == "http.response.start":
                self._start = message
            elif not self._has_left and message.get("body"):
                self._chunks.append(message["body"])
            self._changed.notify_all()
            await self._changed.wait_for(lambda: len(self._chunks) < AHEAD or self._has_left)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, chunk by chunk. Raises what the app raises."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._chunks or self._is_done)
                chunk = self._chunks.popleft() if self._chunks else None
                self._changed.notify_all()
            if chunk is None:
                break
            yield chunk
        if self._task is not None:
            await self._task

    async def leave(self) -> None:
        """The client goes: the app is told, and comes to its end."""
        async with self._changed:
            self._has_left = True
            self._chunks.clear()
            self._changed.notify_all()
        if self._task is not None:
            await asyncio.wait((self._task,))


class _Body(httpx2.AsyncByteStream):
    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._exchange.chunks():
            yield chunk

    async def aclose(self) -> None:
        await self._exchange.leave()


# Sync


class ThreadedTransport(httpx2.BaseTransport):
    """The same for a sync client: the app has a loop in a thread of its own."""

    def __init__(self, server: _Server) -> None:
        self._inner = AppTransport(server)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Ask the app; the answer's body comes as the app sends it."""
        request.read()
        again = httpx2.Request(request.method, request.url, headers=request.headers, content=request.content)
        answer = self.run(self._inner.handle_async_request(again))
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=_SyncBody(self, answer))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What some work in the app's loop gives."""
        return asyncio.run_coroutine_threadsafe(work, self._started()).result()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="antiphon-local", daemon=True)
                self._thread.start()
            return self._loop

    def close(self) -> None:
        """End the app and its thread."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    async def _end(self) -> None:
        """End the app, and what it left behind."""
        await self._inner.aclose()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)


class _SyncBody(httpx2.SyncByteStream):
    def __init__(self, transport: ThreadedTransport, answer: httpx2.Response) -> None:
        self._transport = transport
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        chunks = self._answer.aiter_raw()

        async def step() -> bytes | None:
            return await anext(chunks, None)

        while (chunk := self._transport.run(step())) is not None:
            yield chunk

    def close(self) -> None:
        self._transport.run(self._answer.aclose())
