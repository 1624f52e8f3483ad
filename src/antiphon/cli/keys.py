"""`antiphon keys`: make keys, list, rotate and revoke them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from antiphon.cli.accounts import (
    ConfigOption,
    DataOption,
    ProjectOption,
    day,
    edited,
    looked_up,
    name_of,
    print_json,
    project_named,
    seconds_of,
)
from antiphon.cli.options import JsonOption
from antiphon.cli.terminal import WRONG, fail, note, out, plain, table

if TYPE_CHECKING:
    from antiphon.engine.accounts import Accounts
    from antiphon.policy.administration import Edit, NewKey
    from antiphon.policy.directory import Directory, Key

keys = typer.Typer(no_args_is_help=True, help="Make keys, list, rotate and revoke them.")

KeyArgument = Annotated[str, typer.Argument(metavar="KEY", help="The id of the key, or its name.", show_default=False)]


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What it is for.", show_default=False)],
    *,
    project: ProjectOption = None,
    admin: Annotated[bool, typer.Option("--admin", help="A key to the admin API, which calls no model.")] = False,
    role: Annotated[
        Literal["member", "owner"], typer.Option(help="What a new service account may do in the project.")
    ] = "member",
    expires: Annotated[str | None, typer.Option(metavar="SPAN", help="How long it is good: 12h, 30d.")] = None,
    scopes: Annotated[
        str | None, typer.Option(metavar="LIST", help="What it is good for, with commas. Default: all of its role.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Make a key. It is printed this once.

    A project's key belongs to the service account with its name, which is made if there is none. Once there is a key,
    the server answers nobody without one.

    \b
    antiphon keys create laptop
    antiphon keys create ci --project search --expires 30d --scopes models.read,responses.write
    antiphon keys create ops --admin
    """
    from antiphon.policy import administration as act

    if admin and project is not None:
        fail("an admin key belongs to no project: leave out --project or --admin", WRONG)
    wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()] if scopes is not None else None
    lifetime, called = seconds_of(expires), name_of(name)

    def make(edit: Edit) -> NewKey:
        if admin:
            return act.create_admin_key(edit, called, scopes=wanted, lifetime=lifetime)
        own = project_named(edit.directory, project)
        account = act.account_named(edit.directory, own, called)
        account = account or act.create_account(edit, own.id, called, role)
        return act.create_key(edit, own.id, account, called, scopes=wanted, lifetime=lifetime)

    _print_new(edited(config, data, make), json=json)


@keys.command("list")
def list_keys(
    *,
    project: ProjectOption = None,
    admin: Annotated[bool, typer.Option("--admin", help="Only keys to the admin API.")] = False,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """List the keys that are not revoked.

    \b
    antiphon keys list
    antiphon keys list --project search --json
    """
    found = looked_up(config, data, _all)
    if project is not None:
        found = [key for key in found if project in (key["project"], key["project_name"])]
    if admin:
        found = [key for key in found if key["project"] is None]
    if json:
        print_json(found)
        return
    rows = [(*_cells(key), day(key["created_at"]), day(key["expires_at"]), day(key["last_used_at"])) for key in found]
    out(plain(table([("ID", "NAME", "KEY", "PROJECT", "ACCESS", "CREATED", "EXPIRES", "LAST USED"), *rows])))


@keys.command()
def show(key: KeyArgument, *, config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """Show what is known of a key. Its value is not.

    \b
    antiphon keys show laptop
    """
    found = looked_up(config, data, _all)
    named = [each for each in found if key in (each["id"], each["name"])]
    one = next((each for each in named if each["id"] == key), None) or _single(named, key)
    if json:
        print_json(one)
        return
    scopes = ", ".join(one["scopes"]) or "all that the role allows"
    shown = {**one, "scopes": scopes, **{name: day(one[name]) for name in one if name.endswith("_at")}}
    out(plain("\n".join(f"{name.ljust(14)}{value if value is not None else '–'}" for name, value in shown.items())))


@keys.command()
def revoke(key: KeyArgument, *, config: ConfigOption = None, data: DataOption = None) -> None:
    """End a key. A running server refuses it within a second.

    \b
    antiphon keys revoke laptop
    """
    from antiphon.policy import administration as act

    def end(edit: Edit) -> Key:
        found = _named(edit.directory, key)
        return act.revoke_key(edit, found.project, found.id)

    ended = edited(config, data, end)
    note(f"{ended.id} ({ended.name}) is revoked")


@keys.command()
def rotate(
    key: KeyArgument,
    *,
    overlap: Annotated[str, typer.Option(metavar="SPAN", help="How long the old one is good still.")] = "24h",
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Make a new key in place of another, with the same owner and scopes. The old one stays good for a while.

    \b
    antiphon keys rotate laptop
    antiphon keys rotate laptop --overlap 0
    """
    from antiphon.policy import administration as act

    span = seconds_of(overlap) or 0

    def replace(edit: Edit) -> NewKey:
        found = _named(edit.directory, key)
        return act.rotate_key(edit, found.project, found.id, span)

    _print_new(edited(config, data, replace), json=json)


def _print_new(new: NewKey, *, json: bool) -> None:
    made = new.key
    if json:
        print_json(
            {
                "id": made.id,
                "name": made.name,
                "project": made.project,
                "expires_at": made.expires_at,
                "value": new.value,
            }
        )
        return
    where = "the admin API" if made.project is None else f"project {made.project}"
    until = "" if made.expires_at is None else f", good until {day(made.expires_at)} UTC"
    note(f"{made.id}, for {where}{until}. This is the only time that it is shown:")
    out(new.value)


async def _all(accounts: Accounts) -> list[dict[str, Any]]:
    return [_told(accounts.directory, key) for key in accounts.directory.keys.values()]


def _told(directory: Directory, key: Key) -> dict[str, Any]:
    own = None if key.project is None else directory.projects[key.project]
    principal = directory.principal_of(key)
    account, user = directory.accounts.get(key.owner), directory.users.get(key.owner)
    return {
        "id": key.id,
        "name": key.name,
        "redacted_value": key.redacted,
        "project": key.project,
        "project_name": None if own is None else own.name,
        "owner": key.owner,
        "owner_name": account.name if account is not None else user.email if user is not None else None,
        "role": None if principal is None else principal.role,
        "scopes": list(key.scopes or ()),
        "created_at": int(key.created_at),
        "expires_at": None if key.expires_at is None else int(key.expires_at),
        "last_used_at": None if key.used_at is None else int(key.used_at),
    }


def _cells(key: dict[str, Any]) -> tuple[str, str, str, str, str]:
    project = key["project"] or "–"
    access = key["role"] or "none"
    return key["id"], key["name"], key["redacted_value"], project, f"{access}, restricted" if key["scopes"] else access


def _single(named: list[dict[str, Any]], given: str) -> dict[str, Any]:
    if len(named) > 1:
        fail(f"{len(named)} keys have the name {given!r}: give the id of one. antiphon keys list shows them", WRONG)
    if not named:
        fail(f"there is no key {given!r}. antiphon keys list shows which there are")
    return named[0]


def _named(directory: Directory, given: str) -> Key:
    """The key with an id, or else the only one with a name."""
    if (found := directory.keys.get(given)) is not None:
        return found
    named = [_told(directory, key) for key in directory.keys.values() if key.name == given]
    return directory.keys[_single(named, given)["id"]]
