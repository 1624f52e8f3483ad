"""The command line: `antiphon serve | ask | models | replay | doctor | connect`. One module a command.

* Answers go to stdout, everything about them to stderr: `antiphon ask "..." > answer.md` does what one expects.
* Exit codes: 0 it went well; 1 it did not; 2 the command or the configuration is wrong; 130 Ctrl-C.
* Colours only for a terminal, and not if `NO_COLOR` is set.
* Modules of commands import what is heavy inside their functions: `--help` and `serve` start at once.
"""

from __future__ import annotations

import io
import sys

__all__ = ["main"]


def main() -> None:
    """What the script `antiphon` runs."""
    from antiphon.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a letter is no reason to fail
    app()
