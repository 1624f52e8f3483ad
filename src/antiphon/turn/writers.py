"""The table of the grammar: item kind → the events that open it, let it grow, move it on and close it.

A new kind of item is a row in `WRITERS`, a new kind of content a row in `PARTS`; `machine` and `fold` read the rows
and know no kind by name. An item kind without a row is added and done, with nothing between.

Source: the public event reference, and recorded streams where it is silent. Read as a regular expression an item is

    output_item.added  opening*  ( parts | growth | commands | steps )*  closing?  output_item.done

with `parts` = ( added delta* done closed )* and `growth` = delta* done.
"""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.wire import content, events
from antiphon.wire.struct import UNSET

EventType = type[Any]

LIFECYCLE: tuple[EventType, ...] = (
    events.ResponseCreated,
    events.ResponseQueued,
    events.ResponseInProgress,
    events.ResponseCompleted,
    events.ResponseFailed,
    events.ResponseIncomplete,
)
"""The events that carry a whole Response."""


class PartRow(msgspec.Struct, frozen=True):
    """How one kind of content part is told. `text` names the field that its deltas fill."""

    place: str
    """The item's list that holds the part: `content` or `summary`."""
    index: str
    """The event field that counts the parts: `content_index` or `summary_index`."""
    text: str
    empty: Any
    added: EventType
    delta: EventType
    done: EventType
    closed: EventType


def _content_part(text: str, empty: Any, delta: EventType, done: EventType) -> PartRow:
    return PartRow(
        "content", "content_index", text, empty, events.ContentPartAdded, delta, done, events.ContentPartDone
    )


PARTS: dict[str, PartRow] = {
    "output_text": _content_part(
        "text",
        content.OutputText(text="", annotations=[], logprobs=[]),
        events.OutputTextDelta,
        events.OutputTextDone,
    ),
    "refusal": _content_part("refusal", content.Refusal(refusal=""), events.RefusalDelta, events.RefusalDone),
    "reasoning_text": _content_part(
        "text", content.ReasoningText(text=""), events.ReasoningTextDelta, events.ReasoningTextDone
    ),
    "summary_text": PartRow(
        "summary",
        "summary_index",
        "text",
        content.SummaryText(text=""),
        events.ReasoningSummaryPartAdded,
        events.ReasoningSummaryTextDelta,
        events.ReasoningSummaryTextDone,
        events.ReasoningSummaryPartDone,
    ),
}


class Growth(msgspec.Struct, frozen=True):
    """How one text of a call is told: `field` is where it stands in the item (a path), `value` in the done event."""

    field: tuple[str, ...]
    value: str
    delta: EventType
    done: EventType
    optional: bool = False
    """Whether an item in which nothing was written goes without the done event."""


class Row(msgspec.Struct, frozen=True):
    """How one kind of item is told."""

    prefix: str
    """What the ids of this kind begin with."""
    opening: tuple[EventType, ...] = ()
    growth: Growth | None = None
    steps: dict[str, EventType] = {}
    closing: dict[str, EventType] = {}
    """Outcome of the item (its status, or `failed` if it has an error) → the event before output_item.done."""
    before_closing: str | None = None
    """The step without which `completed` is not told."""
    unfinished: str | None = "incomplete"
    """The status of an item that was cut; None where the kind has no status to say so."""


WRITERS: dict[str, Row] = {
    "message": Row("msg"),
    "reasoning": Row("rs"),
    "function_call": Row(
        "fc",
        growth=Growth(("arguments",), "arguments", events.FunctionCallArgumentsDelta, events.FunctionCallArgumentsDone),
    ),
    "custom_tool_call": Row(
        "ctc",
        growth=Growth(("input",), "input", events.CustomToolCallInputDelta, events.CustomToolCallInputDone),
        unfinished=None,
    ),
    "file_search_call": Row(
        "fs",
        opening=(events.FileSearchCallInProgress,),
        steps={"searching": events.FileSearchCallSearching},
        closing={"completed": events.FileSearchCallCompleted},
    ),
    "web_search_call": Row(
        "ws",
        opening=(events.WebSearchCallInProgress,),
        steps={"searching": events.WebSearchCallSearching},
        closing={"completed": events.WebSearchCallCompleted},
    ),
    "code_interpreter_call": Row(
        "ci",
        opening=(events.CodeInterpreterCallInProgress,),
        growth=Growth(("code",), "code", events.CodeInterpreterCallCodeDelta, events.CodeInterpreterCallCodeDone),
        steps={"interpreting": events.CodeInterpreterCallInterpreting},
        closing={"completed": events.CodeInterpreterCallCompleted},
        before_closing="interpreting",
    ),
    "image_generation_call": Row(
        "ig",
        opening=(events.ImageGenerationCallInProgress,),
        steps={
            "generating": events.ImageGenerationCallGenerating,
            "partial_image": events.ImageGenerationCallPartialImage,
        },
        closing={"completed": events.ImageGenerationCallCompleted},
        unfinished="failed",
    ),
    "mcp_list_tools": Row(
        "mcpl",
        opening=(events.McpListToolsInProgress,),
        closing={"completed": events.McpListToolsCompleted, "failed": events.McpListToolsFailed},
        unfinished=None,
    ),
    "mcp_call": Row(
        "mcp",
        opening=(events.McpCallInProgress,),
        growth=Growth(("arguments",), "arguments", events.McpCallArgumentsDelta, events.McpCallArgumentsDone),
        closing={"completed": events.McpCallCompleted, "failed": events.McpCallFailed},
    ),
    "shell_call": Row("sh"),
    "shell_call_output": Row("sho"),
    "apply_patch_call": Row(
        "apc",
        growth=Growth(
            ("operation", "diff"),
            "diff",
            events.ApplyPatchCallOperationDiffDelta,
            events.ApplyPatchCallOperationDiffDone,
            optional=True,
        ),
        unfinished=None,
    ),
    "compaction": Row("cmp", steps={"compacting": events.CompactionCompacting}, unfinished=None),
    "mcp_approval_request": Row("mcpr", unfinished=None),
    "computer_call": Row("cu"),
    "local_shell_call": Row("lsh"),
    "tool_search_call": Row("ts"),
    "program": Row("prog", unfinished=None),
}
PLAIN = Row("item", unfinished=None)


def row(kind: str) -> Row:
    """The row of an item kind; kinds without one are added and done with nothing between."""
    return WRITERS.get(kind, PLAIN)


def outcome(item: Any) -> str:
    """How an item that is done ended: its status, or where its kind has none, whether it holds an error."""
    status = getattr(item, "status", UNSET)
    if isinstance(status, str):
        return status
    return "failed" if getattr(item, "error", None) not in (None, UNSET) else "completed"
