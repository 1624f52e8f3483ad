"""`antiphon budgets`: what a key, a project or the organization may spend, and what they have spent."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from antiphon.cli.accounts import (
    ConfigOption,
    DataOption,
    ProjectOption,
    day,
    edited,
    looked_into,
    print_json,
    project_named,
)
from antiphon.cli.options import JsonOption
from antiphon.cli.terminal import WRONG, fail, note, out, plain, table

if TYPE_CHECKING:
    from antiphon.engine.accounts import Accounts
    from antiphon.policy.administration import Edit
    from antiphon.policy.budget import Scope, WindowKind
    from antiphon.policy.directory import Budget, Directory
    from antiphon.stores.sqlite import SQLiteStore

budgets = typer.Typer(no_args_is_help=True, help="Set, list and remove budgets, and see what is spent.")

KeyOption = Annotated[str | None, typer.Option("--key", metavar="KEY", help="The id of the key, or its name.")]
OrganizationOption = Annotated[bool, typer.Option("--organization", help="The whole organization.")]
WindowOption = Annotated[Literal["hourly", "daily", "monthly"], typer.Option("--window", help="When it begins anew.")]

_LARGEST = Decimal(10) ** 12
_DECIMALS = 12


@budgets.command("set")
def set_budgets(
    amount: Annotated[str, typer.Argument(metavar="USD", help="US dollars, like 50 or 0.25.", show_default=False)],
    *,
    project: ProjectOption = None,
    key: KeyOption = None,
    organization: OrganizationOption = False,
    window: WindowOption = "monthly",
    soft: Annotated[bool, typer.Option("--soft", help="Refuse nothing, only send alerts.")] = False,
    alert: Annotated[
        list[str] | None,
        typer.Option("--alert", metavar="PERCENT", help="When to send an alert. As often as needed. Default: 80, 100."),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    json: JsonOption = False,
) -> None:
    """Give a key, a project or the organization a budget. Each has one for each window; it is replaced.

    \b
    antiphon budgets set 50
    antiphon budgets set 5 --project search --window daily --alert 50 --alert 80
    antiphon budgets set 0.25 --key ci --window hourly
    antiphon budgets set 1000 --organization --soft
    """
    from antiphon.policy.spending import THRESHOLDS, set_budget

    dollars = _dollars(amount)
    thresholds = THRESHOLDS if alert is None else tuple(_percent(each) for each in alert)

    def decide(edit: Edit) -> Budget:
        scope, owner = _owner(edit.directory, project, key, organization=organization)
        return set_budget(edit, scope, owner, window, dollars, hard=not soft, thresholds=thresholds)

    row = edited(config, data, decide)
    if json:
        print_json(_plain(row))
    else:
        note(f"{row.scope} {row.owner}: {_money(row.amount)} {row.window}{'' if row.hard else ', only alerts'}")


@budgets.command("list")
def list_budgets(*, config: ConfigOption = None, data: DataOption = None, json: JsonOption = False) -> None:
    """List the budgets with what is spent and what is left. What running requests hold is not counted.

    \b
    antiphon budgets list
    antiphon budgets list --json
    """
    found = looked_into(config, data, _standing)
    if json:
        print_json([{**_plain(row), "spent": f"{spent:f}", "ends": ends} for row, spent, ends in found])
        return
    lines = [
        (
            row.scope,
            row.owner,
            row.window,
            _money(row.amount),
            _money(spent),
            _money(max(row.amount - spent, Decimal(0))),
            "hard" if row.hard else "soft",
            ", ".join(f"{(threshold * 100).normalize():f} %" for threshold in row.thresholds),
            day(ends),
        )
        for row, spent, ends in found
    ]
    out(plain(table([("OF", "ID", "WINDOW", "BUDGET", "SPENT", "LEFT", "KIND", "ALERTS", "ENDS"), *lines])))


@budgets.command()
def remove(
    *,
    project: ProjectOption = None,
    key: KeyOption = None,
    organization: OrganizationOption = False,
    window: WindowOption = "monthly",
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Take a budget away.

    \b
    antiphon budgets remove --project search --window daily
    """
    from antiphon.policy.spending import remove_budget

    def decide(edit: Edit) -> Budget:
        return remove_budget(edit, *_owner(edit.directory, project, key, organization=organization), window)

    row = edited(config, data, decide)
    note(f"{row.scope} {row.owner} has no {row.window} budget any more")


async def _standing(accounts: Accounts, store: SQLiteStore) -> list[tuple[Budget, Decimal, int]]:
    """Each budget, what the ledger has for its window, and when that ends."""
    from antiphon.policy.budget import window_of
    from antiphon.policy.spent import Sums
    from antiphon.stores.ledger import SQLiteLedger

    now, sums = accounts.clock.now(), Sums()
    rows = list(accounts.directory.budgets.values())
    windows: set[WindowKind] = {row.window for row in rows}
    for window in windows:
        sums.read(window, now, await SQLiteLedger(store).spent(window_of(window, now).start))
    return [(row, sums.of(row.window, row.scope, row.owner, now), window_of(row.window, now).end) for row in rows]


def _owner(directory: Directory, project: str | None, key: str | None, *, organization: bool) -> tuple[Scope, str]:
    """Whose budget is meant. Raises NotFound."""
    from antiphon.policy.directory import DEFAULT

    if sum((project is not None, key is not None, organization)) > 1:
        fail("a budget has one owner: name a project, a key or the organization", WRONG)
    if organization:
        return "organization", DEFAULT
    if key is None:
        return "project", project_named(directory, project).id
    found = [each for each in directory.keys.values() if key in (each.id, each.name) and each.project is not None]
    if len(found) != 1:
        fail(f"{'no key has' if not found else 'several keys have'} the name or id {key!r}", WRONG)
    return "key", found[0].id


def _dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    exponent = amount.as_tuple().exponent
    if not amount.is_finite() or not 0 <= amount <= _LARGEST or (isinstance(exponent, int) and exponent < -_DECIMALS):
        fail(f"{text!r} is no amount. Write US dollars, like 50 or 0.25", WRONG)
    return amount


def _percent(text: str) -> Decimal:
    try:
        part = Decimal(text.removesuffix("%").strip()) / 100
    except InvalidOperation:
        part = Decimal("NaN")
    if not part.is_finite() or not 0 < part <= 100:
        fail(f"{text!r} is no part of a budget. Write percents above 0, like 80", WRONG)
    return part


def _money(amount: Decimal) -> str:
    from antiphon.policy.budget import dollars

    return dollars(amount)


def _plain(row: Budget) -> dict[str, Any]:
    return {
        "id": row.id,
        "scope": row.scope,
        "owner": row.owner,
        "window": row.window,
        "amount": f"{row.amount:f}",
        "hard": row.hard,
        "thresholds": [f"{threshold:f}" for threshold in row.thresholds],
    }
