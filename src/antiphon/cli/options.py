"""The options that several commands have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from antiphon.cli.terminal import INTERRUPTED, WRONG, fail, note

if TYPE_CHECKING:
    from antiphon.cli.api import Api
    from antiphon.config.settings import Config
    from antiphon.plugins import Models

ConfigOption: TypeAlias = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="The configuration file.", show_default=False)
]
BaseUrlOption: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The server, up to /v1. Default: $OPENAI_BASE_URL, else the configured one."),
]
KeyOption: TypeAlias = Annotated[
    str | None, typer.Option(metavar="KEY", help="The key for the server. Default: $ANTIPHON_API_KEY.")
]
JsonOption: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON.")]
EventsOption: TypeAlias = Annotated[bool, typer.Option("--events", help="Show each event on a line of its own.")]


def configured(config: Path | None) -> tuple[Config, dict[str, str]]:
    """The configuration and the environment. A mistake in them ends the command."""
    from antiphon.config.load import environment, load
    from antiphon.config.settings import ConfigError

    try:
        environ = environment()
        return load(file=config, environ=environ), environ
    except ConfigError as error:
        fail(str(error), WRONG)


def composed(config: Path | None) -> tuple[Config, dict[str, str], Models]:
    """The configuration, the environment, and the models that they make. A mistake in them ends the command."""
    from antiphon.config.settings import ConfigError
    from antiphon.plugins import compose

    settings, environ = configured(config)
    try:
        return settings, environ, compose(settings, environ)
    except ConfigError as error:
        fail(str(error), WRONG)


def first(names: Sequence[str]) -> str:
    """The first of a server's models; without any the command ends."""
    if not names:
        fail("the server lists no model. Name one with --model", WRONG)
    return names[0]


def api_of(base_url: str | None, api_key: str | None) -> Api:
    """The server that the options of a command mean."""
    from antiphon.cli.api import Api, address_of
    from antiphon.config.addresses import fault_of
    from antiphon.config.keys import NoKey

    config, environ = configured(None)
    try:
        address = address_of(base_url, api_key, environ, config)
    except NoKey as error:
        fail(error.reason, WRONG)
    if fault := fault_of(address.base_url):
        fail(f"{address.base_url}: {fault}", WRONG)
    return Api(address)


@contextmanager
def reported() -> Iterator[None]:
    """Requests whose failure is told in one line, which ends the command."""
    from antiphon.cli.api import ApiFailure, Cut, NoServer

    try:
        yield
    except ApiFailure as failure:
        fail(str(failure))
    except NoServer as failure:
        fail(f"no server answers at {failure}. Start one with: antiphon serve")
    except Cut as failure:
        fail(f"the answer broke off: {failure}")
    except KeyboardInterrupt:
        note("")
        raise typer.Exit(INTERRUPTED) from None
