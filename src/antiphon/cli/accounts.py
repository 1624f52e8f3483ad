"""What the commands share that look at accounts and change them: in the database itself, whether a server runs or not.

A running server sees a change within a second.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, TypeVar

import typer

from antiphon.cli.options import ConfigOption, configured
from antiphon.cli.terminal import WRONG, fail, out

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from antiphon.engine.accounts import Accounts
    from antiphon.policy.administration import Edit
    from antiphon.policy.directory import Directory, Project
    from antiphon.stores.sqlite import SQLiteStore

__all__ = [
    "ConfigOption",
    "DataOption",
    "ProjectOption",
    "day",
    "edited",
    "looked_into",
    "looked_up",
    "name_of",
    "print_json",
    "project_named",
    "seconds_of",
    "with_accounts",
    "with_store",
]

T = TypeVar("T")

DataOption: TypeAlias = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="The server's folder. Default: the configured one.")
]
ProjectOption: TypeAlias = Annotated[
    str | None, typer.Option("--project", metavar="PROJECT", help="The id of the project, or its name.")
]


def looked_up(config: Path | None, data: Path | None, work: Callable[[Accounts], Awaitable[T]]) -> T:
    """Do something with the accounts in the server's folder. What goes wrong ends the command."""
    return looked_into(config, data, lambda accounts, _: work(accounts))


def looked_into(config: Path | None, data: Path | None, work: Callable[[Accounts, SQLiteStore], Awaitable[T]]) -> T:
    """Do something with the accounts and the database in the server's folder. What goes wrong ends the command."""
    import asyncio

    from antiphon.wire.errors import APIError

    folder = data or configured(config)[0].server.data
    try:
        return asyncio.run(with_store(folder, work))
    except APIError as error:
        fail(error.message)


async def with_accounts(folder: Path, work: Callable[[Accounts], Awaitable[T]]) -> T:
    """Do something with the accounts in a folder. Raises Unavailable, and what the work raises."""
    return await with_store(folder, lambda accounts, _: work(accounts))


async def with_store(folder: Path, work: Callable[[Accounts, SQLiteStore], Awaitable[T]]) -> T:
    """Do something with the accounts and the database in a folder. Raises Unavailable, and what the work raises."""
    from antiphon.engine.accounts import Accounts
    from antiphon.engine.clock import SystemClock
    from antiphon.stores.accounts import SQLiteAccounts
    from antiphon.stores.sqlite import SQLiteStore

    store = SQLiteStore(folder)
    await store.join()
    try:
        accounts = Accounts(SQLiteAccounts(store), SystemClock(), polls=False)
        await accounts.start()
        return await work(accounts, store)
    finally:
        await store.aclose()


def edited(config: Path | None, data: Path | None, decide: Callable[[Edit], T]) -> T:
    """Change the accounts, as whoever runs the server."""
    from antiphon.engine.accounts import OPEN

    return looked_up(config, data, lambda accounts: accounts.edit(OPEN, decide))


def project_named(directory: Directory, given: str | None) -> Project:
    """The project with an id, or else with a name; without either the default one. Raises NotFound."""
    from antiphon.policy.administration import project_in
    from antiphon.policy.directory import DEFAULT

    named = [each for each in directory.projects.values() if each.name == given and each.archived_at is None]
    if given is not None and given not in directory.projects and len(named) == 1:
        return named[0]
    return project_in(directory, DEFAULT, given or DEFAULT)


# What is read and printed


def name_of(given: str) -> str:
    """A name that the API would take too: one line."""
    import msgspec

    from antiphon.wire.admin.fields import Name

    try:
        return msgspec.convert(given, Name)
    except msgspec.ValidationError:
        fail("a name is one line of at most 255 characters, and not empty", WRONG)


_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN: Final = re.compile(r"([0-9]{1,9})([smhdw]?)")


def seconds_of(text: str | None) -> int | None:
    """A span as it is written at the command line: `90`, `15m`, `12h`, `30d`."""
    if text is None:
        return None
    found = _SPAN.fullmatch(text.strip().lower())
    if found is None:
        fail(f"{text!r} is no span of time. Write one as 90s, 15m, 12h, 30d or 4w", WRONG)
    return int(found[1]) * _UNITS[found[2]]


def day(time: float | None, otherwise: str = "–") -> str:
    """A time, to the minute, in UTC."""
    return otherwise if time is None else datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M")


def print_json(value: Any) -> None:
    """Print JSON for programs and people."""
    import msgspec

    out(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
