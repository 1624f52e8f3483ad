"""`antiphon connect`: what a client's configuration must say to talk to this server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from antiphon.cli.options import BaseUrlOption, KeyOption, api_of, composed, first, reported
from antiphon.cli.terminal import WRONG, dim, fail, note, out, table

if TYPE_CHECKING:
    from antiphon.cli.api import Api


def connect(
    client: Annotated[str | None, typer.Argument(help="The client. Without one: a list of those there are.")] = None,
    *,
    base_url: BaseUrlOption = None,
    api_key: KeyOption = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="The model. Default: the first that the server lists.")
    ] = None,
) -> None:
    """Print a client's configuration for this server.

    \b
    antiphon connect
    antiphon connect codex --model qwen3
    antiphon connect openai --base-url http://127.0.0.1:9000/v1
    """
    from antiphon.cli.clients import CLIENTS, Server, configuration
    from antiphon.config.convert import nearest

    if client is None:
        out(table([("CLIENT", "WHAT IT IS"), *((name, known.title) for name, known in CLIENTS.items())]))
        out(dim("\nantiphon connect CLIENT prints its configuration for this server."))
        return
    if client not in CLIENTS:
        fail(f"there is no client {client!r}{nearest(client, CLIENTS)}. See: antiphon connect", WRONG)
    api = api_of(base_url, api_key)
    known = CLIENTS[client]
    server = Server(api.address.base_url, model or _first_model(api), keyed=api.address.api_key is not None)
    note(f"{known.title}: {known.place}")
    out(configuration(known, server).rstrip())


def _first_model(api: Api) -> str:
    """The first model of the running server; where none runs, of the configuration."""
    from antiphon.cli.api import NoServer

    with reported():
        try:
            return first([model.id for model in api.models()])
        except NoServer:
            _, _, catalog = composed(None)
            return first(catalog.names())
