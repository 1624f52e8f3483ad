"""The table of the grammar: item kind → the events that open it, let it grow, move it on and close it.

A new kind of item is a row in `WRITERS`, a new kind of content a row in `PARTS`; `machine` and `fold` read the rows
and know no kind by name. An item kind without a row is added and done, with nothing between.

Source: the public event reference, and recorded streams where it is silent. Read as a regular expression an item is

    output_item.added  opening*  ( parts | growth | commands | outputs | steps )*  closing?  output_item.done

with `parts` = ( added delta* done closed )*, `growth` = delta* done, `commands` = ( added delta* done )* and
`outputs` = ( delta* done )*.
"""

from __future__ import annotations

from typing import Any

import msgspec

from antiphon.wire import content, events, items
from antiphon.wire.struct import UNSET, Opaque

EventType = type[Any]
Path = tuple[str, ...]
"""Where a value stands in an item: `("operation", "diff")`."""

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
    """How one text of a call is told: `field` is where it stands in the item, `value` in the done event."""

    field: Path
    value: str
    delta: EventType
    done: EventType
    optional: bool = False
    """Whether an item in which nothing was written goes without the done event."""


class Row(msgspec.Struct, frozen=True):
    """How one kind of item is told."""

    prefix: str
    """What the ids of this kind begin with."""
    parts: tuple[str, ...] = ()
    """The kinds of parts that it may hold."""
    opening: tuple[EventType, ...] = ()
    growth: Growth | None = None
    commands: Path = ()
    """The list of texts that the events of shell commands tell."""
    outputs: Path = ()
    """The list that the events of shell outputs tell."""
    steps: dict[str, EventType] = {}
    """Word of a step → its event, in the order in which they come."""
    closing: dict[str, EventType] = {}
    """Outcome of the item (its status, or `failed` if it has an error) → the event before output_item.done."""
    before_closing: str | None = None
    """The step without which the closing event is not told."""
    cut: dict[str, Any] = msgspec.field(default_factory=lambda: {"status": "incomplete"})
    """What says of an item that it was cut; nothing where the kind has no word for it."""
    stateless: bool = False
    """Whether an item goes without a status where its source gave it none."""
    required: dict[str, Any] = {}
    """What stands in an item that is done, if nobody said better."""

    @property
    def places(self) -> tuple[str, ...]:
        """The lists that hold its parts."""
        return tuple(dict.fromkeys(PARTS[kind].place for kind in self.parts))

    @property
    def told(self) -> dict[Path, str | list[Any]]:
        """Where stands what events tell, and what stands there before they do."""
        paths: dict[Path, str | list[Any]] = {(place,): [] for place in self.places}
        if self.growth is not None:
            paths[self.growth.field] = ""
        return paths | {path: [] for path in (self.commands, self.outputs) if path}


WRITERS: dict[str, Row] = {
    "message": Row("msg", parts=("output_text", "refusal")),
    "reasoning": Row("rs", parts=("summary_text", "reasoning_text"), stateless=True),
    "function_call": Row(
        "fc",
        growth=Growth(("arguments",), "arguments", events.FunctionCallArgumentsDelta, events.FunctionCallArgumentsDone),
    ),
    "custom_tool_call": Row(
        "ctc",
        growth=Growth(("input",), "input", events.CustomToolCallInputDelta, events.CustomToolCallInputDone),
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
        required={"action": items.Search()},
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
        cut={"status": "failed"},
    ),
    "mcp_list_tools": Row(
        "mcpl",
        opening=(events.McpListToolsInProgress,),
        closing={"completed": events.McpListToolsCompleted, "failed": events.McpListToolsFailed},
        cut={"error": "The list was interrupted."},
    ),
    "mcp_call": Row(
        "mcp",
        opening=(events.McpCallInProgress,),
        growth=Growth(("arguments",), "arguments", events.McpCallArgumentsDelta, events.McpCallArgumentsDone),
        closing={"completed": events.McpCallCompleted, "failed": events.McpCallFailed},
    ),
    "shell_call": Row("sh", commands=("action", "commands")),
    "shell_call_output": Row("sho", outputs=("output",)),
    "apply_patch_call": Row(
        "apc",
        growth=Growth(
            ("operation", "diff"),
            "diff",
            events.ApplyPatchCallOperationDiffDelta,
            events.ApplyPatchCallOperationDiffDone,
            optional=True,
        ),
        cut={"status": "in_progress"},  # the API has no other word for it, and `completed` would apply half a patch
    ),
    "compaction": Row("cmp", steps={"compacting": events.CompactionCompacting}, cut={}),
    "mcp_approval_request": Row("mcpr", cut={}),
    "computer_call": Row("cu"),
    "local_shell_call": Row("lsh"),
    "tool_search_call": Row("ts"),
    "program": Row("prog", cut={}),
}
PLAIN = Row("item")
"""The row of kinds that have none."""


def row(kind: str) -> Row:
    """The row of an item kind; kinds without one are added and done with nothing between."""
    return WRITERS.get(kind, PLAIN)


def outcome(item: Any) -> str:
    """How an item that is done ended: its status, or where its kind has none, whether it holds an error."""
    status = item.fields.get("status") if isinstance(item, Opaque) else getattr(item, "status", UNSET)
    if isinstance(status, str):
        return status
    return "failed" if getattr(item, "error", None) not in (None, UNSET) else "completed"
