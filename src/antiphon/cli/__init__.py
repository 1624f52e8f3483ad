"""The command line: `antiphon serve | ask | models | replay | doctor | connect`. One module a command.

* Answers go to stdout, everything about them to stderr: `antiphon ask "..." > answer.md` does what one expects.
* Exit codes: 0 it went well; 1 it did not; 2 the command or the configuration is wrong; 130 Ctrl-C.
* Colours only for a terminal, and not if `NO_COLOR` is set.
* Modules of commands import what is heavy inside their functions: `--help` and `serve` start at once.
"""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

from antiphon import __version__
from antiphon.cli.ask import ask
from antiphon.cli.connect import connect
from antiphon.cli.doctor import doctor
from antiphon.cli.models import models
from antiphon.cli.replay import replay
from antiphon.cli.serve import serve

__all__ = ["app", "main"]

app = typer.Typer(
    name="antiphon",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in (serve, ask, models, replay, doctor, connect):
    app.command()(_command)


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


def main() -> None:
    """What the script `antiphon` runs."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter is no reason to fail
    app()
