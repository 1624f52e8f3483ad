"""`antiphon doctor`: what is configured, what can be reached, what is missing."""

from __future__ import annotations

from typing import Annotated

import typer

from antiphon.cli.options import ConfigOption, JsonOption
from antiphon.cli.terminal import BROKEN, out, plain, status


def doctor(
    *,
    config: ConfigOption = None,
    json: JsonOption = False,
    window: Annotated[
        int | None, typer.Option(min=1, metavar="TOKENS", help="Warn below this context window. Default: 32000.")
    ] = None,
) -> None:
    """Check this machine, the configuration, and every model behind it. Exit code 1 if something is broken.

    \b
    antiphon doctor
    antiphon doctor --config antiphon.toml --json
    """
    import msgspec

    from antiphon.cli.checks import examine

    checks = []
    for check in examine(config, window):
        checks.append(check)
        if not json:
            out(f"{status(check.state)}{' ' * (8 - len(check.state))}{check.name:<26} {plain(check.detail)}")
    healthy = all(check.state != "broken" for check in checks)
    if json:
        out(msgspec.json.format(msgspec.json.encode({"ok": healthy, "checks": checks}), indent=2).decode())
    raise typer.Exit(0 if healthy else BROKEN)
