"""`antiphon limits`: how many requests and tokens a project may use of a model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias
from urllib.parse import quote

import typer

from antiphon.cli.accounts import ConfigOption, DataOption, ProjectOption, edited, looked_up, print_json, project_named
from antiphon.cli.options import JsonOption, configured
from antiphon.cli.terminal import WRONG, fail, note, out, plain, table

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon.cli.api import Api
    from antiphon.engine.accounts import Accounts
    from antiphon.policy.administration import Edit
    from antiphon.policy.directory import RateLimit

limits = typer.Typer(no_args_is_help=True, help="Set, list and remove rate limits.")

ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help="The name of the model; '*' for every other.", show_default=False)
]
_LONGEST = 256

Remaining: TypeAlias = dict[str, int]
"""What is left of the limits of a model, by their names."""

_ADDRESS: Final = re.compile(r"http://\S+")
"""In what a server says of itself in its folder."""


def _rate(what: str) -> Any:
    return typer.Option(metavar="NUMBER", help=f"{what}; `none` lifts the limit.", show_default=False)


@limits.command("set")
def set_limits(
    model: ModelArgument,
    *,
    rpm: Annotated[str | None, _rate("Requests a minute")] = None,
    tpm: Annotated[str | None, _rate("Tokens a minute")] = None,
    rpd: Annotated[str | None, _rate("Requests a day")] = None,
    tpd: Annotated[str | None, _rate("Tokens a day")] = None,
    project: ProjectOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Limit a model in a project. What is not named stays as it is.

    \b
    antiphon limits set gpt-5 --rpm 60 --tpm 100000
    antiphon limits set '*' --project search --rpd 10000
    antiphon limits set gpt-5 --tpm none
    """
    from antiphon.policy.spending import LIMITS, set_limit

    if not 0 < len(model) <= _LONGEST or not model.isprintable():
        fail("a model's name is one line of at most 256 characters, and not empty", WRONG)
    options = zip(LIMITS, (rpm, tpm, rpd, tpd), strict=True)
    given = {name: _number(text) for name, text in options if text is not None}
    if not given:
        fail("name a limit with --rpm, --tpm, --rpd or --tpd", WRONG)

    def decide(edit: Edit) -> RateLimit:
        return set_limit(edit, project_named(edit.directory, project).id, model, given)

    row = edited(config, data, decide)
    if json:
        print_json(_told(row))
    else:
        note(f"{row.model} in {row.project}: {_words(row)}")


@limits.command("list")
def list_limits(
    *,
    project: ProjectOption = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """List the limits, and what is left of them by the server that runs on the folder: 59/60.

    A server that is not open is asked with the admin key of the configuration.

    \b
    antiphon limits list
    antiphon limits list --project search --json
    """

    async def found(accounts: Accounts) -> list[RateLimit]:
        own = None if project is None else project_named(accounts.directory, project).id
        return [row for row in accounts.directory.limits.values() if own in (None, row.project)]

    rows = looked_up(config, data, found)
    standings = _standings(config, data, rows)
    if json:
        print_json([{**_told(row), "remaining": standings.get((row.project, row.model))} for row in rows])
        return
    lines = [_line(row, standings.get((row.project, row.model)) or {}) for row in rows]
    out(plain(table([("PROJECT", "MODEL", "RPM", "TPM", "RPD", "TPD"), *lines])))


def _line(row: RateLimit, remaining: Remaining) -> tuple[str, ...]:
    """A limit with what is left of it, where that is known."""
    told = _told(row)
    cells = [f"{remaining[name]}/{told[name]}" if name in remaining else _shown(told[name]) for name in _names()]
    return (row.project, row.model, *cells)


def _standings(config: Path | None, data: Path | None, rows: list[RateLimit]) -> dict[tuple[str, str], Remaining]:
    """What the server that runs on the folder says is left, by project and model. Why it says nothing is told."""
    from antiphon.cli.api import Address, Api, ApiFailure, Cut, NoServer
    from antiphon.stores.sqlite import holder_of

    server = configured(config)[0].server
    address = _ADDRESS.search(holder_of(data or server.data) or "")
    if address is None:
        if rows:
            note("No server runs on this folder: these are the settings, and where they stand is not known")
        return {}
    key = server.admin_key.reveal() if server.admin_key is not None else None
    api = Api(Address(address[0], key))
    found: dict[tuple[str, str], Remaining] = {}
    try:
        for project in dict.fromkeys(row.project for row in rows):
            found |= _remaining(api, project)
    except (ApiFailure, Cut, NoServer) as failure:
        note(f"Where they stand the server did not tell, these are the settings: {failure}")
    return found


def _remaining(api: Api, project: str) -> dict[tuple[str, str], Remaining]:
    """What is left of the limits of a project. Raises ApiFailure, NoServer or Cut."""
    import msgspec

    from antiphon.cli.api import Cut
    from antiphon.wire.admin.limits import ProjectRateLimit
    from antiphon.wire.admin.paging import ObjectList

    found: dict[tuple[str, str], Remaining] = {}
    path, after = f"/organization/projects/{quote(project, safe='')}/rate_limits?limit=1000", ""
    while True:
        try:
            page = msgspec.json.decode(api.get(path + after), type=ObjectList[ProjectRateLimit])
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Cut("it sent something that is no list of rate limits") from error
        for row in page.data:
            found[project, row.model] = {each.limit: each.remaining for each in row.standings or ()}
        if not page.has_more or not page.last_id:
            return found
        after = f"&after={quote(page.last_id, safe='')}"


@limits.command()
def remove(
    model: ModelArgument, *, project: ProjectOption = None, config: ConfigOption = None, data: DataOption = None
) -> None:
    """Lift all limits of a model in a project.

    \b
    antiphon limits remove gpt-5 --project search
    """
    from antiphon.policy.spending import remove_limit

    def decide(edit: Edit) -> RateLimit:
        return remove_limit(edit, project_named(edit.directory, project).id, model)

    row = edited(config, data, decide)
    note(f"{row.model} in {row.project} has no limits of its own any more")


def _number(text: str) -> int:
    from antiphon.wire.admin.limits import UNLIMITED

    if text == "none":
        return UNLIMITED
    if not text.isascii() or not text.isdigit() or int(text) >= UNLIMITED:
        fail(f"{text!r} is no limit. Write a number, or none", WRONG)
    return int(text)


def _names() -> tuple[str, ...]:
    from antiphon.policy.spending import LIMITS

    return tuple(LIMITS)


def _limits(row: RateLimit) -> list[int | None]:
    return [getattr(row, name) for name in _names()]


def _told(row: RateLimit) -> dict[str, Any]:
    return {"project": row.project, "model": row.model, **{name: getattr(row, name) for name in _names()}}


def _shown(limit: int | None) -> str:
    return "–" if limit is None else str(limit)


def _words(row: RateLimit) -> str:
    names = ("requests a minute", "tokens a minute", "requests a day", "tokens a day")
    told = [f"{limit} {name}" for name, limit in zip(names, _limits(row), strict=True) if limit is not None]
    return ", ".join(told) or "no limits"
