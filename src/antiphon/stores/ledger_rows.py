"""Rows of the ledger, to the database and from it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

import msgspec

from antiphon.policy.ledger import Charge, Row, Tokens
from antiphon.stores import ledger_sql as sql

__all__ = ["put_row", "rows_of"]

_TOKENS: Final = len(Tokens.__struct_fields__)
_MONEY: Final = ("cost", "saved")


def put_row(connection: sqlite3.Connection, row: Row) -> None:
    """Write a row with its charges, in the transaction of what else becomes true with it."""
    found = connection.execute(sql.PUT, _values(row)).fetchone()
    if found is None:  # it is over, and this is how it began
        return
    (number,) = found
    connection.execute(sql.DROP_CHARGES, (number,))
    for place, charge in enumerate(row.charges):
        connection.execute(sql.ADD_CHARGE, (number, place, *_values(charge)))


def _values(row: Row | Charge) -> tuple[Any, ...]:
    return tuple(_flat(msgspec.structs.astuple(row)))


def _flat(values: Iterable[Any]) -> Iterable[Any]:
    """Values as columns have them. Charges are rows of their own."""
    for value in values:
        match value:
            case Tokens():
                yield from msgspec.structs.astuple(value)
            case Decimal():
                yield format(value, "f")
            case tuple():
                pass
            case _:
                yield value


def rows_of(connection: sqlite3.Connection, found: Iterable[Sequence[Any]]) -> list[Row]:
    """Rows as they were found, with their charges."""
    return [
        _made(Row, values, charges=tuple(_made(Charge, each) for each in connection.execute(sql.CHARGES, (number,))))
        for number, *values in found
    ]


def _made(kind: type[Any], values: Sequence[Any], **more: Any) -> Any:
    """A row of a table as what it stands for: tokens are five columns, money is text, and a flag is 0 or 1."""
    left, fields = list(values), dict(more)
    for field in msgspec.structs.fields(kind):
        if field.name in more:
            continue
        if field.type is Tokens:
            figures, left = left[:_TOKENS], left[_TOKENS:]
            fields[field.name] = Tokens(**dict(zip(Tokens.__struct_fields__, figures, strict=True)))
            continue
        value = left.pop(0)
        if field.name in _MONEY:
            value = None if value is None else Decimal(value)
        fields[field.name] = bool(value) if field.type is bool else value
    return kind(**fields)
