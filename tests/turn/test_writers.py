"""The table of the grammar agrees with the official SDK: which events there are, and what an item may be in the end."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.turn import frames
from antiphon.turn.machine import Machine
from antiphon.turn.writers import LIFECYCLE, PARTS, PLAIN, WRITERS, outcome, row
from antiphon.wire import events, items
from antiphon.wire.items import ITEMS, OUTPUT_ITEM_TYPES
from antiphon.wire.struct import Opaque, tag_of
from tests.support import sdk_oracle
from tests.support.grammar_tables import KINDS
from tests.turn import golden
from tests.turn.telling import names, opened
from tests.wire import sdk

NOT_TOLD = {
    "error": "a failure is told by response.failed: the official SDK reads nothing after a nested error",
}
"""Events of the official union that we never send, and why."""
UNDOCUMENTED = {"response.apply_patch_call_operation_diff.delta", "response.apply_patch_call_operation_diff.done"}
"""Events that the API sends, and so do we, though the union has not got them. (Its `keepalive` is a comment here.)"""


def rows() -> set[str]:
    """The types of all events that stand in the table."""
    told: set[Any] = {*LIFECYCLE, events.OutputItemAdded, events.OutputItemDone, events.OutputTextAnnotationAdded}
    for part in PARTS.values():
        told |= {part.added, part.delta, part.done, part.closed}
    for writer in WRITERS.values():
        told |= {*writer.opening, *writer.steps.values(), *writer.closing.values()}
        told |= {writer.growth.delta, writer.growth.done} if writer.growth else set()
    return {tag_of(event) for event in told}


def told() -> set[str]:
    """The types of all events that some recorded stream has."""
    heard = {f"response.{name}" for _, data in golden.streams() for name in names(list(frames.events(data)))}
    return heard - {"response.x:dance.step"}


def test_every_event_of_the_official_union_is_told_by_some_stream_or_explained() -> None:
    assert told() - UNDOCUMENTED == sdk_oracle.event_models().keys() - NOT_TOLD.keys()


def test_every_event_of_the_table_is_told_by_some_stream() -> None:
    assert rows() <= told()


def test_every_kind_of_the_table_is_an_output_item() -> None:
    assert WRITERS.keys() <= OUTPUT_ITEM_TYPES


def test_a_kind_without_a_row_is_added_and_done_with_nothing_between() -> None:
    silent = OUTPUT_ITEM_TYPES - WRITERS.keys()
    assert {kind for kind in silent if KINDS[kind].follows.keys() != {"output_item.added"}} == set()
    assert row("x:dance") is PLAIN


def test_no_two_kinds_share_the_beginning_of_their_ids() -> None:
    prefixes = [writer.prefix for writer in (*WRITERS.values(), PLAIN)]
    assert len(set(prefixes)) == len(prefixes)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_cut_item_says_so_in_words_that_the_official_sdk_knows(kind: str) -> None:
    fields = sdk.fields(sdk_oracle.item_models()[kind])
    for name, value in WRITERS[kind].cut.items():
        if (kind, name) == ("custom_tool_call", "status"):
            continue  # the API has it as on a function call, the types have not
        allowed = sdk.literals(fields[name])
        assert value in allowed or (not allowed and isinstance(value, str))


@pytest.mark.parametrize("kind", WRITERS)
def test_a_row_names_fields_that_its_kind_has(kind: str) -> None:
    writer, fields = WRITERS[kind], set(ITEMS[kind].__struct_fields__)
    paths = {path[0] for path in writer.told} | writer.cut.keys() | writer.required.keys()
    assert paths - fields == set()


@pytest.mark.parametrize(
    ("item", "ended"),
    [
        (items.McpCall(server_label="zoo", name="f", arguments="", status="failed"), "failed"),
        (items.McpListTools(server_label="zoo", tools=[]), "completed"),
        (items.McpListTools(server_label="zoo", tools=[], error="no route"), "failed"),
        (items.McpListTools(server_label="zoo", tools=[], error=None), "completed"),
        (Opaque({"type": "web_search_call", "status": "failed"}), "failed"),
        (Opaque({"type": "x:dance"}), "completed"),
    ],
)
def test_an_item_ended_as_its_status_or_its_error_says(item: Any, ended: str) -> None:
    assert outcome(item) == ended


def test_an_id_begins_as_the_ids_of_its_kind_do() -> None:
    asked: list[str] = []

    def new_id(prefix: str) -> str:
        asked.append(prefix)
        return f"{prefix}_{len(asked)}"

    machine = Machine(new_id)
    machine.create(opened())
    machine.begin()
    machine.feed(golden.ITEMS["web_search_call"] + golden.ITEMS["unknown"])
    assert asked == ["ws", "item"]
