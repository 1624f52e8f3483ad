"""docs/monitoring.md is true: each metric and each field of the log has its row, and no row tells of another."""

from __future__ import annotations

import re
from pathlib import Path

from antiphon.observe.logs import PROBES, REQUEST_FIELDS, WORK_FIELDS
from antiphon.observe.metrics import METRICS, MOST_SERIES

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()


def section(title: str) -> str:
    found = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def rows(title: str) -> list[list[str]]:
    lines = [line for line in section(title).splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_metric_has_a_row_with_its_labels():
    told = {names(row[0])[0]: tuple(names(row[1])) for row in rows("Metrics")}
    assert told == {name: metric.labels for name, metric in METRICS.items()}


def test_every_field_of_a_line_has_a_row():
    told = [name for row in rows("Logs") for name in names(row[0])]
    assert sorted(told) == sorted({*REQUEST_FIELDS, *WORK_FIELDS})


def test_the_numbers_and_the_silent_routes_are_as_told():
    assert f"at most {MOST_SERIES} combinations" in section("Metrics").replace("\n", " ")
    assert all(f"`{route}`" in section("Logs") for route in PROBES)


def test_every_query_asks_for_metrics_that_there_are():
    asked = set(re.findall(r"antiphon_\w+", " ".join(re.findall(r"^\| .* \| `(.*)` \|$", PAGE, re.MULTILINE))))
    known = {*METRICS, *(f"{name}_bucket" for name, metric in METRICS.items() if metric.kind == "histogram")}
    assert asked
    assert asked <= known
