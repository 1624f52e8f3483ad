"""`antiphon audit`: who changed what, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from antiphon.cli.accounts import ConfigOption, DataOption, ProjectOption, day, looked_up, print_json, project_named
from antiphon.cli.options import JsonOption
from antiphon.cli.terminal import out, plain, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from antiphon.engine.accounts import Accounts
    from antiphon.policy.directory import Logged


def audit(
    *,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many lines.")] = 20,
    type_: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Only such, as 'api_key.created'.")
    ] = None,
    project: ProjectOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Show the audit log: what was done to projects, keys, people and limits. The newest line comes first.

    \b
    antiphon audit
    antiphon audit --type api_key.created --type api_key.deleted
    antiphon audit --project search --limit 100 --json
    """
    import msgspec

    from antiphon.policy.directory import DEFAULT
    from antiphon.ports import AuditQuery

    async def look(accounts: Accounts) -> Sequence[Logged]:
        projects = [project_named(accounts.directory, project).id] if project is not None else []
        query = AuditQuery(organization=DEFAULT, types=type_ or (), projects=projects, limit=limit)
        return await accounts.store.audit(query) or []

    found = looked_up(config, data, look)
    if json:
        print_json([msgspec.Raw(line.entry) for line in found])
        return
    rows = [(day(line.at), line.type, _who(line), line.project or "–", line.resource) for line in found]
    out(plain(table([("TIME (UTC)", "WHAT", "WHO", "PROJECT", "OBJECT"), *rows])))


def _who(line: Any) -> str:
    who = line.email or line.actor or "–"
    return f"{who} ({line.key})" if line.key else who
