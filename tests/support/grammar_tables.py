"""The facts of the event grammar as tables: what `tests.support.grammar` judges a stream by.

They were written from the official reference, the models of the official SDK and recorded streams, and from no line of
the server. Event names stand without their prefix `response.`, save for those of the response itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CREATED, QUEUED, IN_PROGRESS = "response.created", "response.queued", "response.in_progress"
COMPLETED, FAILED, INCOMPLETE = "response.completed", "response.failed", "response.incomplete"
TERMINAL = frozenset({COMPLETED, FAILED, INCOMPLETE})
ADDED, DONE = "output_item.added", "output_item.done"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NEXT_LIFECYCLE: Mapping[str | None, frozenset[str]] = {
    None: frozenset({CREATED}),
    CREATED: frozenset({QUEUED, IN_PROGRESS, FAILED, INCOMPLETE}),
    QUEUED: frozenset({IN_PROGRESS, FAILED, INCOMPLETE}),
    IN_PROGRESS: frozenset({IN_PROGRESS, COMPLETED, FAILED, INCOMPLETE}),
}

STATUS: Mapping[str, frozenset[str]] = {
    CREATED: frozenset({"in_progress", "queued"}),  # a background response is created as queued
    QUEUED: frozenset({"queued"}),
    IN_PROGRESS: frozenset({"in_progress"}),
    COMPLETED: frozenset({"completed"}),
    FAILED: frozenset({"failed"}),
    INCOMPLETE: frozenset({"incomplete"}),
}
INCOMPLETE_REASONS = frozenset({"max_output_tokens", "max_messages", "content_filter", "steered"})

# The keys of every snapshot: what the API echoes on a live response and strict clients demand, null or not.
SNAPSHOT_KEYS = _words("""
    id object created_at completed_at status error incomplete_details model output usage instructions metadata
    previous_response_id background store parallel_tool_calls tool_choice tools max_tool_calls max_output_tokens
    temperature top_p top_logprobs presence_penalty frequency_penalty reasoning text truncation service_tier
    safety_identifier prompt_cache_key
""")


@dataclass(frozen=True, slots=True)
class Kind:
    """The order of the events of one type of item: which may follow which.

    `cut` names the events after which an item with a status of `unfinished` may be closed at once.
    """

    follows: Mapping[str, frozenset[str]]
    cut: frozenset[str]
    unfinished: frozenset[str]


def _kind(table: str) -> Kind:
    """Read rows of the form `event > events that may follow`; the row `cut > ...` fills `Kind.cut`.

    A tool with an event for its failure tells it; of the others only the item's status does.
    """
    rows = (line.split(">") for line in table.strip().splitlines())
    follows = {name.strip(): frozenset(successors.split()) for name, successors in rows}
    cut = follows.pop("cut", frozenset())
    tells_failure = any(name.endswith(".failed") for name in follows)
    return Kind(follows, cut, frozenset({"incomplete"} if tells_failure else {"incomplete", "failed"}))


def _search(name: str) -> Kind:
    return _kind(f"""
        output_item.added   > {name}.in_progress
        {name}.in_progress  > {name}.searching {name}.completed
        {name}.searching    > {name}.searching {name}.completed
        {name}.completed    > output_item.done
        cut                 > output_item.added {name}.in_progress {name}.searching
    """)


def _told_by_deltas(name: str) -> Kind:
    return _kind(f"""
        output_item.added   > {name}.delta {name}.done
        {name}.delta        > {name}.delta {name}.done
        {name}.done         > output_item.done
    """)


_MESSAGE = _kind("""
    output_item.added             > content_part.added output_item.done
    content_part.added            > output_text.delta output_text.annotation.added output_text.done refusal.delta refusal.done
    output_text.delta             > output_text.delta output_text.annotation.added output_text.done
    output_text.annotation.added  > output_text.delta output_text.annotation.added output_text.done
    output_text.done              > content_part.done
    refusal.delta                 > refusal.delta refusal.done
    refusal.done                  > content_part.done
    content_part.done             > content_part.added output_item.done
""")  # noqa: E501 - a row of the table stays one line

_REASONING = _kind("""
    output_item.added             > reasoning_summary_part.added content_part.added output_item.done
    reasoning_summary_part.added  > reasoning_summary_text.delta reasoning_summary_text.done
    reasoning_summary_text.delta  > reasoning_summary_text.delta reasoning_summary_text.done
    reasoning_summary_text.done   > reasoning_summary_part.done
    reasoning_summary_part.done   > reasoning_summary_part.added content_part.added output_item.done
    content_part.added            > reasoning_text.delta reasoning_text.done
    reasoning_text.delta          > reasoning_text.delta reasoning_text.done
    reasoning_text.done           > content_part.done
    content_part.done             > reasoning_summary_part.added content_part.added output_item.done
""")

_CODE_INTERPRETER = _kind("""
    output_item.added                   > code_interpreter_call.in_progress
    code_interpreter_call.in_progress   > code_interpreter_call_code.delta code_interpreter_call_code.done
    code_interpreter_call_code.delta    > code_interpreter_call_code.delta code_interpreter_call_code.done
    code_interpreter_call_code.done     > code_interpreter_call.interpreting output_item.done
    code_interpreter_call.interpreting  > code_interpreter_call.completed
    code_interpreter_call.completed     > output_item.done
    cut                                 > output_item.added code_interpreter_call.in_progress code_interpreter_call.interpreting
""")  # noqa: E501 - a row of the table stays one line

_IMAGE_GENERATION = _kind("""
    output_item.added                    > image_generation_call.in_progress
    image_generation_call.in_progress    > image_generation_call.generating image_generation_call.partial_image image_generation_call.completed
    image_generation_call.generating     > image_generation_call.partial_image image_generation_call.completed
    image_generation_call.partial_image  > image_generation_call.partial_image image_generation_call.completed
    image_generation_call.completed      > output_item.done
    cut                                  > output_item.added image_generation_call.in_progress image_generation_call.generating image_generation_call.partial_image
""")  # noqa: E501 - a row of the table stays one line

_MCP_LIST_TOOLS = _kind("""
    output_item.added           > mcp_list_tools.in_progress
    mcp_list_tools.in_progress  > mcp_list_tools.completed mcp_list_tools.failed
    mcp_list_tools.completed    > output_item.done
    mcp_list_tools.failed       > output_item.done
""")

_MCP_CALL = _kind("""
    output_item.added         > mcp_call.in_progress
    mcp_call.in_progress      > mcp_call_arguments.delta mcp_call_arguments.done
    mcp_call_arguments.delta  > mcp_call_arguments.delta mcp_call_arguments.done
    mcp_call_arguments.done   > mcp_call.completed mcp_call.failed
    mcp_call.completed        > output_item.done
    mcp_call.failed           > output_item.done
    cut                       > output_item.added mcp_call.in_progress mcp_call_arguments.done
""")

_SHELL_CALL = _kind("""
    output_item.added         > shell_call_command.added output_item.done
    shell_call_command.added  > shell_call_command.delta shell_call_command.done
    shell_call_command.delta  > shell_call_command.delta shell_call_command.done
    shell_call_command.done   > shell_call_command.added output_item.done
""")

_SHELL_CALL_OUTPUT = _kind("""
    output_item.added                > shell_call_output_content.delta shell_call_output_content.done output_item.done
    shell_call_output_content.delta  > shell_call_output_content.delta shell_call_output_content.done
    shell_call_output_content.done   > shell_call_output_content.delta shell_call_output_content.done output_item.done
""")

_APPLY_PATCH = _kind("""
    output_item.added                      > apply_patch_call_operation_diff.delta apply_patch_call_operation_diff.done output_item.done
    apply_patch_call_operation_diff.delta  > apply_patch_call_operation_diff.delta apply_patch_call_operation_diff.done
    apply_patch_call_operation_diff.done   > output_item.done
""")  # noqa: E501 - a row of the table stays one line

_COMPACTION = _kind("""
    output_item.added      > compaction.compacting output_item.done
    compaction.compacting  > compaction.compacting output_item.done
""")

_SILENT = _kind("output_item.added > output_item.done")

KINDS: Mapping[str, Kind] = {
    "message": _MESSAGE,
    "reasoning": _REASONING,
    "function_call": _told_by_deltas("function_call_arguments"),
    "custom_tool_call": _told_by_deltas("custom_tool_call_input"),
    "file_search_call": _search("file_search_call"),
    "web_search_call": _search("web_search_call"),
    "code_interpreter_call": _CODE_INTERPRETER,
    "image_generation_call": _IMAGE_GENERATION,
    "mcp_list_tools": _MCP_LIST_TOOLS,
    "mcp_call": _MCP_CALL,
    "shell_call": _SHELL_CALL,
    "shell_call_output": _SHELL_CALL_OUTPUT,
    "apply_patch_call": _APPLY_PATCH,
    "compaction": _COMPACTION,
    **dict.fromkeys(
        _words("""
            mcp_approval_request mcp_approval_response apply_patch_call_output computer_call computer_call_output
            local_shell_call local_shell_call_output tool_search_call tool_search_output program program_output
            additional_tools function_call_output custom_tool_call_output
        """),
        _SILENT,
    ),
}
KNOWN_ITEM_EVENTS = frozenset(name for kind in KINDS.values() for name in kind.follows) - {ADDED}

# Legacy events that belong to no item.
FREE_EVENTS = frozenset({"audio.delta", "audio.done", "audio.transcript.delta", "audio.transcript.done"})

# These carry output_index but no item_id.
WITHOUT_ITEM_ID = frozenset({"shell_call_command.added", "shell_call_command.delta", "shell_call_command.done"})

# The field of a `*.done` event that repeats its deltas.
FULL_TEXT: Mapping[str, str] = {
    "output_text.done": "text",
    "refusal.done": "refusal",
    "reasoning_text.done": "text",
    "reasoning_summary_text.done": "text",
    "function_call_arguments.done": "arguments",
    "custom_tool_call_input.done": "input",
    "mcp_call_arguments.done": "arguments",
    "code_interpreter_call_code.done": "code",
    "shell_call_command.done": "command",
    "apply_patch_call_operation_diff.done": "diff",
}

# Which index an event carries, by the family (the name without its last word).
INDEX: Mapping[str, str] = {
    "content_part": "content_index",
    "output_text": "content_index",
    "output_text.annotation": "content_index",
    "refusal": "content_index",
    "reasoning_text": "content_index",
    "reasoning_summary_part": "summary_index",
    "reasoning_summary_text": "summary_index",
    "shell_call_command": "command_index",
    "shell_call_output_content": "command_index",
}
OPENS_INDEX = frozenset({"content_part.added", "reasoning_summary_part.added", "shell_call_command.added"})
COUNTED_BY_DONE = frozenset({"shell_call_output_content"})  # no event opens it, so its done moves the index on

# The type of a part, the field that holds its words, and the family of the events that tell them.
PARTS: Mapping[str, tuple[str, str]] = {
    "output_text": ("text", "output_text"),
    "refusal": ("refusal", "refusal"),
    "reasoning_text": ("text", "reasoning_text"),
    "summary_text": ("text", "reasoning_summary_text"),
}
PART_FAMILIES = frozenset(family for _, family in PARTS.values())

# What the events of an item told, and where its done item repeats it.
REPEATED: Mapping[str, tuple[str, ...]] = {
    "content": ("content",),
    "summary": ("summary",),
    "function_call_arguments": ("arguments",),
    "custom_tool_call_input": ("input",),
    "mcp_call_arguments": ("arguments",),
    "code_interpreter_call_code": ("code",),
    "shell_call_command": ("action", "commands"),
    "shell_call_output_content": ("output",),
    "apply_patch_call_operation_diff": ("operation", "diff"),
}
# An item opens without what its events are going to tell.
OPENS_EMPTY: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "message": (("content",),),
    "reasoning": (("summary",), ("content",)),
    "function_call": (("arguments",),),
    "custom_tool_call": (("input",),),
    "mcp_call": (("arguments",), ("output",), ("error",)),
    "code_interpreter_call": (("code",), ("outputs",)),
    "image_generation_call": (("result",),),
    "shell_call": (("action", "commands"),),
    "shell_call_output": (("output",),),
}
# These lists must be told in the done item even when no part was.
LISTS: Mapping[str, tuple[str, ...]] = {"message": ("content",), "reasoning": ("summary",)}

KEPT = ("call_id", "name", "namespace", "role", "server_label")  # the same in added and done
CALLED_ONCE = frozenset({"function_call", "custom_tool_call", "shell_call", "shell_call_output"})  # no call_id twice
CLOSED_STATUSES = frozenset({"completed", "incomplete", "failed", None})
# What the model itself says. A response that ends incomplete has cut one of these, unless a hosted tool came last.
SAID_BY_THE_MODEL = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})
