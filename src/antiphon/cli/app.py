"""The command `antiphon` and its commands."""

from __future__ import annotations

from typing import Annotated

import typer

from antiphon import __version__
from antiphon.cli.ask import ask
from antiphon.cli.audit import audit
from antiphon.cli.budgets import budgets
from antiphon.cli.connect import connect
from antiphon.cli.doctor import doctor
from antiphon.cli.keys import keys
from antiphon.cli.limits import limits
from antiphon.cli.migrate import migrate
from antiphon.cli.models import models
from antiphon.cli.projects import projects
from antiphon.cli.replay import replay
from antiphon.cli.serve import serve
from antiphon.cli.status import status
from antiphon.cli.usage import usage

__all__ = ["app"]

app = typer.Typer(
    name="antiphon",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in (serve, ask, models, replay, status, doctor, connect, audit, usage, migrate):
    app.command()(_command)
for _name, _commands in {"keys": keys, "projects": projects, "limits": limits, "budgets": budgets}.items():
    app.add_typer(_commands, name=_name)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"antiphon {__version__}")
        raise typer.Exit


@app.callback()
def antiphon(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """The Responses API on your own terms: a self-hosted, stored and resumable server in front of any model.

    Start with: antiphon serve
    """
