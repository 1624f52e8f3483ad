"""docs/errors.md is true: every code and class of error has its row, with the right status and type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from antiphon.wire import errors

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "errors.md").read_text()
ROWS = [line.split("|")[1:-1] for line in PAGE.splitlines() if line.startswith("| ")]
CODE = re.compile(r"""\bcode="([a-z_]+)\"""")


def classes(kind: type[errors.APIError] = errors.APIError) -> Iterator[type[errors.APIError]]:
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield below
            yield from classes(below)


@pytest.mark.parametrize("kind", list(classes()), ids=lambda kind: kind.__name__)
def test_each_class_of_errors_has_its_row(kind: type[errors.APIError]):
    assert any(str(kind.status) in row[0] and f"`{kind.type}`" in row[1] for row in ROWS)
    if kind.default_code is not None:
        assert any(str(kind.status) in row[0] and f"`{kind.default_code}`" in row[1] for row in ROWS)


def test_each_code_has_its_row():
    told = set(re.findall(r"`([a-z_]+)`", PAGE))
    raised = {code for path in (ROOT / "src").rglob("*.py") for code in CODE.findall(path.read_text())}
    assert raised
    assert raised <= told


def test_no_row_tells_of_a_code_that_nobody_raises():
    source = "\n".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    cells = (row[0] if len(row) == 2 else row[1] for row in ROWS)
    told = {code for cell in cells for code in re.findall(r"`([a-z]+(?:_[a-z]+)+)`", cell)}
    put_together = re.compile(r"(integer|decimal|string|array|object)_(above|below)_\w+|empty_(string|array)")
    assert {code for code in told if f'"{code}"' not in source and not put_together.fullmatch(code)} == set()
