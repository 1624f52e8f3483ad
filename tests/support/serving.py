"""A real server in the test's own event loop: our app on uvicorn, on a free port of loopback."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from antiphon.engine.accounts import Accounts
from antiphon.engine.alerts import Alerts
from antiphon.engine.clock import SystemClock
from antiphon.engine.costs import Costs
from antiphon.engine.engine import Engine, EngineSettings
from antiphon.engine.moderation import Moderation
from antiphon.engine.report import Cost
from antiphon.engine.till import Till
from antiphon.policy.prices import Prices
from antiphon.ports import AlertSink, Catalog, Clock, Embedder, Observer
from antiphon.server.app import create_app
from antiphon.server.call import ServerOptions
from antiphon.server.run import Server, listen
from antiphon.stores.accounts import SQLiteAccounts
from antiphon.stores.chat import SQLiteChats
from antiphon.stores.ledger import SQLiteLedger
from antiphon.stores.sqlite import SQLiteStore
from antiphon.stores.till import SQLiteAlerts
from antiphon.testing import Only, ScriptedModel


@dataclass
class Serving:
    """A running server and a client for it."""

    engine: Engine
    port: int
    http: aiohttp.ClientSession
    server: Server

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any, Any]:
        """Status, JSON body and headers of an answer."""
        if body is not None:
            options["json"] = body
        async with self.http.request(method, self.url + path, **options) as answer:
            data = await answer.read()
            return answer.status, json.loads(data), answer.headers

    async def create(self, **body: Any) -> dict[str, Any]:
        """A Response that is expected to be made."""
        status, response, _ = await self.ask("POST", "/v1/responses", {"model": "scripted", "input": "Hi.", **body})
        assert status == 200, response
        return response

    async def stream(self, **body: Any) -> bytes:
        """All bytes of a streamed answer."""
        sent = {"model": "scripted", "input": "Hi.", "stream": True, **body}
        async with self.http.post(self.url + "/v1/responses", json=sent) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()


def events(data: bytes) -> list[dict[str, Any]]:
    """The events of an SSE stream, comments left out."""
    return list(_events(data))


def _events(data: bytes) -> Iterable[dict[str, Any]]:
    for frame in data.decode().split("\n\n"):
        lines = [line for line in frame.split("\n") if line and not line.startswith(":")]
        if lines:
            name, text = lines
            event = json.loads(text.removeprefix("data: "))
            assert name == f"event: {event['type']}"
            yield event


@asynccontextmanager
async def serving(
    model: ScriptedModel | Catalog | None = None,
    *,
    folder: Path | None = None,
    store: SQLiteStore | None = None,
    clock: Clock | None = None,
    settings: EngineSettings | None = None,
    moderation: Moderation | None = None,
    observers: Sequence[Observer] = (),
    cost: Cost | None = None,
    embedders: Mapping[str, Embedder] | None = None,
    api_key: Callable[[], str | None] = lambda: None,
    admin_key: str | None = None,
    prices: Prices | None = None,
    sinks: Sequence[AlertSink] = (),
    **options: Any,
) -> AsyncIterator[Serving]:
    """Serve a scripted model, or a whole catalog, until the end of the block."""
    catalog = Only(model or ScriptedModel()) if model is None or isinstance(model, ScriptedModel) else model
    with tempfile.TemporaryDirectory() as made:
        store = store or SQLiteStore(folder or Path(made))
        clock = clock or SystemClock()
        accounts = Accounts(SQLiteAccounts(store), clock, configured=api_key, admin_key=admin_key)
        alerts = Alerts(SQLiteAlerts(store), clock, sinks)
        engine = Engine(
            catalog,
            store,
            clock,
            settings or EngineSettings(),
            observers=observers,
            cost=cost if prices is None else Costs(prices),
            embedders=embedders,
            moderation=moderation,
            chats=SQLiteChats(store),
            accounts=accounts,
            till=Till(accounts, clock, prices=prices, ledger=SQLiteLedger(store), alerts=alerts),
            ledger=SQLiteLedger(store),
        )
        await engine.start()
        listener = listen("127.0.0.1", 0)
        ready = asyncio.Event()
        limits = ServerOptions(**{"grace": 0.0, **options})
        server = Server(create_app(engine, limits), engine, limits, ready.set, signals=False)
        task = asyncio.create_task(server.serve(sockets=[listener]))
        await ready.wait()
        try:
            async with aiohttp.ClientSession() as http:
                yield Serving(engine, listener.getsockname()[1], http, server)
        finally:
            server.should_exit = True
            await task
