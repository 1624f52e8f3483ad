"""Prices of the models that tests talk to, budgets for them, and who hears of alerts."""

from __future__ import annotations

import asyncio
import email
import email.policy
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiohttp import web

from antiphon.policy.alert import Alert
from antiphon.policy.prices import Prices
from antiphon.policy.prices.file import OwnPrices, read
from antiphon.wire.errors import APIError


def prices(folder: Path, **dollars: tuple[float, float]) -> Prices:
    """What models cost: US dollars for a million tokens of input, and of output."""
    file = folder / "prices.toml"
    rows = [f'[[price]]\nmodel = "{name}"\ninput = {i}\noutput = {o}\n' for name, (i, o) in dollars.items()]
    file.write_text("\n".join(rows))
    return Prices(read(file))


def free(model: str) -> Prices:
    """A model that costs nothing."""

    class Free(OwnPrices, frozen=True):
        def price_of(self, name: str, *_: Any) -> Any:
            return Prices().price_of("rehearsal", at=0.0) if name == model else None

    return Prices(Free())


class Heard:
    """An `AlertSink` that remembers, and may fail first."""

    def __init__(self, name: str = "heard", *errors: APIError) -> None:
        self.name = name
        self.alerts: list[Alert] = []
        self.tried = 0
        self._errors = list(errors)

    def takes(self, alert: Alert) -> bool:
        return True

    async def send(self, alert: Alert) -> None:
        self.tried += 1
        if self._errors:
            raise self._errors.pop(0)
        self.alerts.append(alert)


class PostOffice:
    """A small SMTP server."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.logins: list[str] = []
        self.port = 0
        self.arrived = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One session, as RFC 5321 has it, as far as a client needs it that only sends."""

        def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())

        say("220 post office")
        to: list[str] = []
        while line := (await reader.readline()).decode().strip():
            verb = line.upper()
            if verb.startswith("EHLO"):
                say("250-post office")
                say("250 AUTH PLAIN")
            elif verb.startswith("AUTH"):
                self.logins.append(line.split()[-1])
                say("235 welcome")
            elif verb.startswith("RCPT"):
                to.append(line.partition(":")[2].strip("<> "))
                say("250 ok")
            elif verb == "DATA":
                say("354 go on")
                data = await reader.readuntil(b"\r\n.\r\n")
                self._take(data[:-5].replace(b"\r\n..", b"\r\n."), to)
                to = []
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                break
            else:
                say("250 ok")
        writer.close()

    def _take(self, data: bytes, to: list[str]) -> None:
        message = email.message_from_bytes(data, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append(message)
        self.recipients.append(to)
        self.arrived.set()


@asynccontextmanager
async def post_office() -> AsyncIterator[PostOffice]:
    """A mail server on loopback."""
    office = PostOffice()
    server = await asyncio.start_server(office.serve, "127.0.0.1", 0)
    office.port = server.sockets[0].getsockname()[1]
    try:
        yield office
    finally:
        server.close()
        await server.wait_closed()


class Hook:
    """A webhook that remembers what came."""

    def __init__(self, *statuses: int) -> None:
        self.came: list[tuple[bytes, dict[str, str]]] = []
        self.url = ""
        self.arrived = asyncio.Event()
        self._statuses = list(statuses)

    async def take(self, request: web.Request) -> web.Response:
        self.came.append((await request.read(), dict(request.headers)))
        status = self._statuses.pop(0) if self._statuses else 204
        if status < 300:
            self.arrived.set()
        return web.Response(status=status)


@asynccontextmanager
async def hook(*statuses: int) -> AsyncIterator[Hook]:
    """A webhook on loopback that answers with these statuses, then with 204."""
    found = Hook(*statuses)
    app = web.Application()
    app.router.add_post("/", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        yield found
    finally:
        await runner.cleanup()


CENT = Decimal("0.01")
