"""`antiphon serve`: the server, from settings to sockets."""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from antiphon import __version__
from antiphon.cli.options import ConfigOption
from antiphon.cli.terminal import WRONG, dim, fail, out, strong

if TYPE_CHECKING:
    from collections.abc import Callable

    from antiphon.config.settings import Config
    from antiphon.observe.metrics import Metrics
    from antiphon.plugins import Models
    from antiphon.server.call import ServerOptions


def serve(
    *,
    host: Annotated[str | None, typer.Option(help="The address to listen on. Default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port; 0 takes any. Default: 8484.")] = None,
    data: Annotated[Path | None, typer.Option(metavar="DIR", help="The folder for what is stored.")] = None,
    config: ConfigOption = None,
    api_key: Annotated[
        str | None, typer.Option(metavar="KEY", help="The key that clients must send. Better: $ANTIPHON_API_KEY.")
    ] = None,
    discovery: Annotated[
        bool | None,
        typer.Option("--discovery/--no-discovery", help="Look for models on this machine. Default: if none are set."),
    ] = None,
) -> None:
    """Serve the Responses API.

    Without any configuration: on 127.0.0.1:8484, with the models of the servers that run on this machine, of OpenAI
    if $OPENAI_API_KEY is set, and a built-in one.

    \b
    antiphon serve
    antiphon serve --port 9000 --data ./data
    antiphon serve --config antiphon.toml
    ANTIPHON_API_KEY=secret antiphon serve --host 0.0.0.0
    """
    flags = {
        "server.host": host,
        "server.port": port,
        "server.data": data,
        "server.api_key": api_key,
        "discovery": discovery,
    }
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    settings, environ, key = _settings(flags, config)
    _run(settings, environ, key)


def _settings(flags: dict[str, Any], config: Path | None) -> tuple[Config, dict[str, str], Callable[[], str | None]]:
    """All settings, and what gives the key that clients must send."""
    from antiphon.config.keys import NoKey, key_at_hand
    from antiphon.config.load import environment, load
    from antiphon.config.settings import ConfigError

    try:
        environ = environment()
        settings = load(flags, file=config, environ=environ)
        key = key_at_hand(settings.server)
    except ConfigError as error:
        fail(str(error), WRONG)
    except NoKey as error:
        fail(error.reason, WRONG)
    admin_key = settings.server.admin_key
    if admin_key is not None and admin_key.reveal() == key():
        fail("the admin key and the key that clients send are the same: clients could do everything", WRONG)
    return settings, environ, key


def _run(settings: Config, environ: dict[str, str], key: Callable[[], str | None]) -> None:
    from antiphon.config.addresses import base_url_of
    from antiphon.config.settings import ConfigError
    from antiphon.engine.accounts import NoKeys
    from antiphon.observe.logs import set_level
    from antiphon.plugins import answers_of, compose, monitoring
    from antiphon.plugins.engine import engine_of
    from antiphon.server.run import listen
    from antiphon.server.run import serve as run
    from antiphon.stores.sqlite import DataFolderInUse, SQLiteStore
    from antiphon.wire.errors import Unavailable

    server = settings.server
    listener = _listen(listen, server.host, server.port)
    port = listener.getsockname()[1]
    address = base_url_of(server.host, port)
    set_level(settings.logging.level)
    owner = f"process {os.getpid()}, which serves {address}"
    store = SQLiteStore(server.data, synchronous=settings.store.synchronous, owner=owner)
    answers = answers_of(settings, store)
    try:
        catalog = compose(settings, environ, own_port=port, created=int(time.time()), answers=answers)
        monitored = monitoring(settings, environ, catalog.names(), catalog.upstreams)
        run(
            lambda: engine_of(settings, catalog, store, monitored.observers, key),
            options_of(settings, monitored.metrics),
            listener,
            lambda engine: _greet(settings, catalog, address, is_open=engine.accounts.is_open),
        )
        monitored.close()
    except ConfigError as error:
        fail(str(error), WRONG)
    except NoKeys:
        fail(
            f"{server.host} can be reached from other machines, and there is no key: anybody could use your models. "
            "Make one with antiphon keys create, set ANTIPHON_API_KEY or ANTIPHON_ADMIN_KEY, or serve on 127.0.0.1",
            WRONG,
        )
    except (DataFolderInUse, Unavailable) as error:
        fail(str(error))
    finally:
        listener.close()


def _greet(settings: Config, catalog: Models, address: str, *, is_open: bool) -> None:
    out(welcome(settings, catalog, address, is_open=is_open))
    read_ahead(settings, catalog)


def read_ahead(settings: Config, catalog: Models) -> Thread:
    """Read the prices of what is asked, in a thread, so that the first answer does not wait for them."""
    from antiphon.config.settings import UpstreamSettings

    models = [model.base_url for model in catalog.settings.values() if isinstance(model, UpstreamSettings)]
    embedders = [embedder.base_url for embedder in settings.embeddings.values()]
    reading = Thread(target=catalog.prices.preload, args=([*models, *embedders],), daemon=True)
    reading.start()
    return reading


def _listen(listen: Callable[[str, int], socket.socket], host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        _cannot_listen(error, host, port)


def _cannot_listen(error: OSError, host: str, port: int) -> NoReturn:
    match error.errno:
        case errno.EADDRINUSE:
            fail(f"port {port} on {host} is in use. Choose another with --port, or see who has it: antiphon doctor")
        case errno.EACCES:
            fail(f"port {port} may not be used by this user. Choose one above 1023 with --port")
    fail(f"cannot listen on {host} port {port}: {error.strerror or error}")


# Composition


def options_of(settings: Config, metrics: Metrics | None = None) -> ServerOptions:
    """How the HTTP side behaves. On loopback only local names are answered, and those that are allowed besides."""
    from antiphon.config.addresses import is_loopback
    from antiphon.server.call import ServerOptions
    from antiphon.server.guard import LOCAL_HOSTS

    server = settings.server
    allowed = frozenset(host.lower() for host in server.allowed_hosts)
    hosts = LOCAL_HOSTS | allowed if is_loopback(server.host) else allowed or None
    return ServerOptions(
        hosts=hosts,
        origins=frozenset(server.allowed_origins),
        keepalive=server.keepalive,
        obfuscation=server.obfuscation,
        done_marker=server.done_marker,
        max_body=server.max_body,
        grace=server.shutdown_grace,
        metrics=metrics,
        metrics_open=settings.metrics.open,
    )


# What is printed


_OPEN = "open: everybody on this machine, without a key. Make the first with: antiphon keys create"
_CLOSED = "with a key: antiphon keys list"


def welcome(settings: Config, catalog: Models, address: str, *, is_open: bool) -> str:
    """The address, the models, who may ask, and a request to try."""
    name = catalog.names()[0]
    bearer = "" if is_open else ' -H "Authorization: Bearer $ANTIPHON_API_KEY"'
    python_key = '"none"' if is_open else 'os.environ["ANTIPHON_API_KEY"]'
    source = settings.source or "none: built-in settings"
    return f"""\
{strong(f"Antiphon {__version__} serves the Responses API at {address}")}

  models   {", ".join(catalog.names())}{_others(catalog)}
  data     {settings.server.data}
  config   {source}
  access   {_OPEN if is_open else _CLOSED}

{dim("Try it:")}
  curl {address}/responses -H "Content-Type: application/json"{bearer} \\
    -d '{{"model": "{name}", "input": "Who are you?"}}'

{dim("or in Python:")}
  client = openai.OpenAI(base_url="{address}", api_key={python_key})
  print(client.responses.create(model="{name}", input="Who are you?").output_text)
"""


def _others(catalog: Models) -> str:
    """What becomes of all other names."""
    match catalog.other:
        case None:
            return ""
        case "rehearsal":
            return "  (it also answers to every other name)" if len(catalog.names()) == 1 else "; others: rehearsal"
        case upstream:
            return f"; every other name goes to {upstream}"
