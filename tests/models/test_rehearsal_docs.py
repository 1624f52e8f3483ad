"""docs/rehearsal.md: nothing that the code has is missing there, and every example in it does what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from antiphon.models.rehearsal import Rehearsal
from antiphon.models.rehearsal.canned import KINDS as CANNED
from antiphon.models.rehearsal.directives import DIRECTIVES, script_of, separate
from antiphon.models.rehearsal.faults import FIRST, KINDS, SLOW_START, STALL
from antiphon.turn.deltas import Finished
from antiphon.wire.content import ANNOTATIONS
from antiphon.wire.errors import APIError
from tests.models.rehearsal_stage import Json, turn_of

pytestmark = pytest.mark.anyio

PAGE = (Path(__file__).parents[2] / "docs" / "rehearsal.md").read_text()
ROWS = [line for line in PAGE.splitlines() if line.startswith("| ") and "ask '" in line]
EXAMPLES = [json.loads(found) for found in re.findall(r"`ask '(.+?)'``? \|$", PAGE, re.MULTILINE)]


def test_every_row_has_an_example() -> None:
    headers = [line for line in PAGE.splitlines() if line.startswith("| ") and line.endswith("| try |")]
    assert len(ROWS) == len(EXAMPLES)
    assert len(ROWS) + len(headers) == sum(line.startswith("| ") for line in PAGE.splitlines())


@pytest.mark.parametrize("name", DIRECTIVES)
def test_every_directive_has_a_row_with_its_form(name: str) -> None:
    form = f"`#{name} {DIRECTIVES[name].form}`"
    [row] = [row for row in ROWS if row.startswith(f"| {form} |")]
    assert f"#{name}" in row.rpartition("ask '")[2]


@pytest.mark.parametrize("kind", [*KINDS, SLOW_START, FIRST])
def test_every_fault_has_a_row(kind: str) -> None:
    assert [row for row in ROWS if re.search(rf"`{kind}[ `]", row.split("|")[1])]


def test_every_canned_item_and_annotation_is_named() -> None:
    listed = re.search(r"^Kinds: (.+?)\. A kind", PAGE, re.MULTILINE | re.DOTALL)
    assert listed
    assert re.findall(r"`(.+?)`", listed[1]) == list(CANNED)
    assert all(f"`{kind}`" in PAGE for kind in ANNOTATIONS)


def test_what_the_page_says_of_plain_words_is_understood() -> None:
    listed = re.search(r"^In plain words: (.+?)\.$", PAGE, re.MULTILINE | re.DOTALL)
    assert listed
    for phrase in re.findall(r"`(.+?)`", listed[1]):
        words = phrase if phrase.startswith(("rehearse", "think", "stream")) else f"rehearse {phrase}"
        assert script_of(words, [], {}, fresh=True) != script_of("Hello", [], {}, fresh=True), words


async def no_wait(seconds: float) -> None:
    """Time that does not pass."""


@pytest.mark.parametrize("body", EXAMPLES, ids=lambda body: str(body["input"])[:40])
async def test_every_example_runs_and_does_what_its_row_is_about(body: Json) -> None:
    turn = turn_of(body)
    asked = str(body["input"])
    model = Rehearsal(sleep=no_wait)
    assert model.accept(turn.request) == ()
    fault = script_of(*separate(asked), {}, fresh=True).fault
    if fault is None or fault.kind in ("slow_start", "content_filter", "incomplete"):
        assert isinstance([delta async for batch in model.stream(turn) for delta in batch][-1], Finished)
    elif fault.kind != STALL:
        with pytest.raises(APIError):
            [batch async for batch in model.stream(turn)]
