"""`antiphon usage`: what was used, and what it cost."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from antiphon.cli.accounts import (
    ConfigOption,
    DataOption,
    ProjectOption,
    looked_into,
    print_json,
    project_named,
    seconds_of,
)
from antiphon.cli.options import JsonOption
from antiphon.cli.terminal import out, plain, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from antiphon.engine.accounts import Accounts
    from antiphon.policy.directory import Directory
    from antiphon.policy.ledger import Group, Usage
    from antiphon.stores.sqlite import SQLiteStore

DAY: Final = 86_400


class By(StrEnum):
    """What usage can be grouped by."""

    MODEL = "model"
    PROJECT = "project"
    KEY = "key"
    DAY = "day"


def usage(
    *,
    by: Annotated[
        list[By] | None, typer.Option("--by", help="What a line stands for. As often as needed. Default: model.")
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="WHEN", help="From when on: a day, as 2026-11-01, or how long ago, as 12h or 30d.")
    ] = "30d",
    project: ProjectOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Show what was used and what it cost, from the ledger in the server's folder. Days are those of UTC.

    \b
    antiphon usage
    antiphon usage --by day --by model --since 7d
    antiphon usage --by key --project search --since 2026-11-01 --json
    """
    groups = list(dict.fromkeys(by or [By.MODEL]))
    found, directory = _look(groups, since, project, (config, data))
    if json:
        print_json([_plain(each, groups) for each in found])
    else:
        out(plain(_view(found, groups, directory)))


def _look(
    groups: Sequence[By], since: str, project: str | None, where: tuple[Path | None, Path | None]
) -> tuple[Sequence[Usage], Directory]:
    """What is in the ledger: by days the oldest first, within a day what cost most."""
    from antiphon.policy.directory import DEFAULT
    from antiphon.policy.ledger import ALL_TIME, UsageQuery
    from antiphon.stores.ledger import SQLiteLedger

    now = time.time()
    begin = _time(since, now)

    async def look(accounts: Accounts, store: SQLiteStore) -> tuple[Sequence[Usage], Directory]:
        query = UsageQuery(
            organization=DEFAULT,
            since=begin,
            until=now + 1,
            width=DAY if By.DAY in groups else ALL_TIME,
            groups=tuple(_GROUPS[group] for group in groups if group in _GROUPS),
            projects=[] if project is None else [project_named(accounts.directory, project).id],
        )
        found = await SQLiteLedger(store).usage(query)
        return sorted(found, key=lambda used: (used.start, -used.cost)), accounts.directory

    return looked_into(*where, look)


def _time(given: str, now: float) -> float:
    """A day, or a span before now, in Unix seconds."""
    try:
        return datetime.strptime(given, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return now - (seconds_of(given) or 0)


_GROUPS: Final[Mapping[By, Group]] = {By.MODEL: "model", By.PROJECT: "project", By.KEY: "key_id"}


# What is printed


def _plain(used: Usage, groups: Sequence[By]) -> dict[str, Any]:
    """A line for programs. Money is text, because it is exact."""
    own: dict[str, Any] = {group.value: getattr(used, _GROUPS[group]) for group in groups if group in _GROUPS}
    if By.DAY in groups:
        own["day"] = _day(used)
    return own | {
        "requests": used.works,
        "failed": used.failed,
        "input_tokens": used.tokens.input,
        "cached_tokens": used.tokens.cached,
        "cache_write_tokens": used.tokens.cache_write,
        "output_tokens": used.tokens.output,
        "reasoning_tokens": used.tokens.reasoning,
        "cost_usd": format(used.cost, "f"),
        "unpriced_requests": used.unpriced,
        "saved_usd": format(used.saved, "f"),
        "saved_tokens": used.saved_tokens,
    }


_HEAD: Final = ("REQUESTS", "FAILED", "INPUT", "CACHED", "OUTPUT", "USD", "SAVED TOKENS", "SAVED USD")


def _view(found: Sequence[Usage], groups: Sequence[By], directory: Directory) -> str:
    rows = [(*(_name(used, group, directory) for group in groups), *_figures(used)) for used in found]
    lines = [table([(*(group.value.upper() for group in groups), *_HEAD), *rows])]
    if unpriced := sum(used.unpriced for used in found):
        lines.append(f"The price of {unpriced:,} requests (+?) is not known: docs/prices.md tells how to give it.")
    return "\n\n".join(lines)


def _name(used: Usage, group: By, directory: Directory) -> str:
    """What a line stands for: projects and keys by their names, as long as they are known."""
    match group:
        case By.DAY:
            return _day(used)
        case By.PROJECT:
            project = directory.projects.get(used.project or "")
            return (used.project or "–") if project is None else project.name
        case By.KEY:
            key = directory.keys.get(used.key_id or "")
            return (used.key_id or "–") if key is None else f"{key.name} ({key.id})"
    return used.model or "–"


def _day(used: Usage) -> str:
    return datetime.fromtimestamp(used.start, UTC).strftime("%Y-%m-%d")


def _figures(used: Usage) -> tuple[str, ...]:
    counts = (used.works, used.failed, used.tokens.input, used.tokens.cached, used.tokens.output)
    cost = f"{used.cost:,.6f}{' +?' if used.unpriced else ''}"
    return (*(f"{count:,}" for count in counts), cost, f"{used.saved_tokens:,}", f"{used.saved:,.6f}")
