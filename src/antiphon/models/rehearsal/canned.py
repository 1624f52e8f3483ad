"""Canned items: every kind of output item with all its events, for whoever builds a display of them.

`#item KIND` plays one. Nothing here is run, searched or drawn: each value says that it is canned. A kind that answers
a call comes with that call, so that the conversation can go on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from antiphon.models.rehearsal import acts
from antiphon.models.rehearsal.acts import Act, Ids
from antiphon.models.rehearsal.dice import pieces
from antiphon.turn.deltas import (
    Arguments,
    CommandOutput,
    ItemDone,
    ItemStarted,
    Opaque,
    Progress,
    Reasoning,
    Summary,
    Text,
)
from antiphon.wire import items
from antiphon.wire.content import ComputerScreenshot

_CANNED = "Canned by rehearsal"
_URL = "https://example.com/canned"
_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
"""A PNG of one pixel."""
_TOOL: dict[str, Any] = {
    "type": "function",
    "name": "canned",
    "description": f"{_CANNED}.",
    "parameters": {"type": "object", "properties": {}, "required": [], "additionalProperties": False},
    "strict": True,
}
_ARGUMENTS = '{"text": "canned"}'


def play(kind: str, ids: Ids) -> list[Act]:
    """The acts of a canned kind, one of `KINDS`."""
    return KINDS[kind](ids)


def _message(ids: Ids) -> list[Act]:
    key = ids.key()
    start = items.Message(role="assistant", status="in_progress", content=[])
    said = (Text(piece, key) for piece in pieces(f"{_CANNED}: a message."))
    return [Act("message", [ItemStarted(key, start), *said, ItemDone(key)])]


def _reasoning(ids: Ids) -> list[Act]:
    key = ids.key()
    start = items.Reasoning(summary=[], status="in_progress")
    words = (Reasoning(piece, key) for piece in pieces(f"{_CANNED}: reasoning in its own words."))
    summary = (Summary(piece, key) for piece in pieces(f"**{_CANNED}**: a summary."))
    return [Act("reasoning", [ItemStarted(key, start), *words, *summary, ItemDone(key)])]


def _function_call(ids: Ids) -> list[Act]:
    call = items.FunctionCall(call_id=ids.call_id(), name="canned", arguments="", status="in_progress")
    return [acts.written("function_call", ids.key(), call, _ARGUMENTS)]


def _function_call_output(ids: Ids) -> list[Act]:
    call = items.FunctionCall(call_id=ids.call_id(), name="canned", arguments="", status="in_progress")
    output = items.FunctionCallOutput(call_id=call.call_id, output=f"{_CANNED}.", status="completed")
    asked = acts.written("function_call", ids.key(), call, _ARGUMENTS)
    return [asked, acts.whole("function_call_output", ids.key(), output)]


def _custom_tool_call(ids: Ids) -> list[Act]:
    call = items.CustomToolCall(call_id=ids.call_id(), name="canned", input="")
    return [acts.written("custom_tool_call", ids.key(), call, f"{_CANNED}: free text.")]


def _custom_tool_call_output(ids: Ids) -> list[Act]:
    call = items.CustomToolCall(call_id=ids.call_id(), name="canned", input="")
    output = items.CustomToolCallOutput(call_id=call.call_id, output=f"{_CANNED}.", status="completed")
    asked = acts.written("custom_tool_call", ids.key(), call, f"{_CANNED}: free text.")
    return [asked, acts.whole("custom_tool_call_output", ids.key(), output)]


def _file_search_call(ids: Ids) -> list[Act]:
    key = ids.key()
    result = items.FileSearchResult(
        file_id="file_canned", filename="canned.txt", score=0.5, text=f"{_CANNED}: a passage.", attributes={}
    )
    done = items.FileSearchCall(status="completed", queries=["canned"], results=[result])
    start = items.FileSearchCall(status="in_progress", queries=[], results=None)
    return [acts.whole("file_search_call", key, done, Progress(key, "searching"), start=start)]


def _web_search_call(ids: Ids) -> list[Act]:
    key = ids.key()
    action = items.Search(query="canned", queries=["canned"], sources=[{"type": "url", "url": _URL}])
    done = items.WebSearchCall(status="completed", action=action)
    start = items.WebSearchCall(status="in_progress")
    return [acts.whole("web_search_call", key, done, Progress(key, "searching"), start=start)]


def _code_interpreter_call(ids: Ids) -> list[Act]:
    outputs: list[Any] = [items.OutputLogs(logs=f"{_CANNED}: nothing was run.\n")]
    return [acts.interpreted(ids.key(), 'print("canned")', "cntr_canned", outputs)]


def _image_generation_call(ids: Ids) -> list[Act]:
    key = ids.key()
    partial = {"partial_image_b64": _PIXEL, "partial_image_index": 0}
    done = items.ImageGenerationCall(
        status="completed", result=_PIXEL, revised_prompt=f"{_CANNED}: one pixel.", output_format="png", size="1x1"
    )
    steps = (Progress(key, "generating"), Progress(key, "partial_image", partial))
    start = items.ImageGenerationCall(status="in_progress")
    return [acts.whole("image_generation_call", key, done, *steps, start=start)]


def _mcp_list_tools(ids: Ids) -> list[Act]:
    tool = items.McpListedTool(name="canned", input_schema=_TOOL["parameters"], description=f"{_CANNED}.")
    done = items.McpListTools(server_label="canned", tools=[tool])
    start = items.McpListTools(server_label="canned", tools=[])
    return [acts.whole("mcp_list_tools", ids.key(), done, start=start)]


def _mcp_list_tools_failed(ids: Ids) -> list[Act]:
    start = items.McpListTools(server_label="canned", tools=[])
    done = items.McpListTools(server_label="canned", tools=[], error=f"{_CANNED}: no such server.")
    return [acts.whole("mcp_list_tools", ids.key(), done, start=start)]


def _mcp(ids: Ids, **ending: Any) -> list[Act]:
    key = ids.key()
    called: dict[str, Any] = {"server_label": "canned", "name": "canned"}
    start = items.McpCall(status="in_progress", arguments="", **called)
    done = items.McpCall(arguments=_ARGUMENTS, **called, **ending)
    words = (Arguments(key, piece) for piece in pieces(_ARGUMENTS))
    return [acts.whole("mcp_call", key, done, *words, start=start)]


def _mcp_call(ids: Ids) -> list[Act]:
    return _mcp(ids, status="completed", output=f"{_CANNED}: what the server returned.", error=None)


def _mcp_call_failed(ids: Ids) -> list[Act]:
    error = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": f"{_CANNED}: a failure."}]}
    return _mcp(ids, status="failed", output=None, error=error)


def _mcp_approval_request(ids: Ids) -> list[Act]:
    request = items.McpApprovalRequest(server_label="canned", name="canned", arguments=_ARGUMENTS)
    return [acts.whole("mcp_approval_request", ids.key(), request)]


def _mcp_approval_response(ids: Ids) -> list[Act]:
    response = items.McpApprovalResponse(approval_request_id="mcpr_canned", approve=True, reason=f"{_CANNED}.")
    return [acts.whole("mcp_approval_response", ids.key(), response)]


def _shell(ids: Ids, call_id: str) -> Act:
    start = items.ShellCall(call_id=call_id, action=items.ShellAction(commands=[]), status="in_progress")
    return acts.shell(ids.key(), start, ("echo canned", "false"))


def _shell_call(ids: Ids) -> list[Act]:
    return [_shell(ids, ids.call_id())]


def _shell_call_output(ids: Ids) -> list[Act]:
    call_id = ids.call_id()
    asked, key = _shell(ids, call_id), ids.key()
    start = items.ShellCallOutput(call_id=call_id, output=[], status="in_progress")
    ends = [
        items.ShellOutput(stdout="canned\n", stderr="", outcome=items.Exit(exit_code=0)),
        items.ShellOutput(stdout="", stderr=f"{_CANNED}.\n", outcome=items.Exit(exit_code=1)),
    ]
    said = [
        CommandOutput(key, 0, stdout="canned\n"),
        CommandOutput(key, 0, output=[ends[0]]),
        CommandOutput(key, 1, stderr=f"{_CANNED}.\n"),
        CommandOutput(key, 1, output=[ends[1]]),
    ]
    return [asked, Act("shell_call_output", [ItemStarted(key, start), *said, ItemDone(key)])]


def _local_shell(call_id: str) -> items.LocalShellCall:
    return items.LocalShellCall(
        call_id=call_id, action=items.LocalShellAction(command=["echo", "canned"]), status="completed"
    )


def _local_shell_call(ids: Ids) -> list[Act]:
    return [acts.whole("local_shell_call", ids.key(), _local_shell(ids.call_id()))]


def _local_shell_call_output(ids: Ids) -> list[Act]:
    call_id = ids.call_id()
    output = items.LocalShellCallOutput(id=call_id, output="canned\n", status="completed")
    return [
        acts.whole("local_shell_call", ids.key(), _local_shell(call_id)),
        acts.whole("local_shell_call_output", ids.key(), output),
    ]


def _patch(ids: Ids, call_id: str) -> Act:
    operation = items.UpdateFile(path="canned.txt", diff="")
    call = items.ApplyPatchCall(call_id=call_id, operation=operation, status="in_progress")
    return acts.written("apply_patch_call", ids.key(), call, "@@\n-old\n+canned\n")


def _apply_patch_call(ids: Ids) -> list[Act]:
    return [_patch(ids, ids.call_id())]


def _apply_patch_call_output(ids: Ids) -> list[Act]:
    call_id = ids.call_id()
    output = items.ApplyPatchCallOutput(call_id=call_id, status="completed", output=f"{_CANNED}.")
    return [_patch(ids, call_id), acts.whole("apply_patch_call_output", ids.key(), output)]


def _computer(call_id: str) -> items.ComputerCall:
    action = {"type": "type", "text": f"{_CANNED}."}
    return items.ComputerCall(call_id=call_id, actions=[action], pending_safety_checks=[], status="completed")


def _computer_call(ids: Ids) -> list[Act]:
    return [acts.whole("computer_call", ids.key(), _computer(ids.call_id()))]


def _computer_call_output(ids: Ids) -> list[Act]:
    call_id = ids.call_id()
    screen = ComputerScreenshot(image_url=f"data:image/png;base64,{_PIXEL}")
    output = items.ComputerCallOutput(call_id=call_id, output=screen, status="completed")
    return [
        acts.whole("computer_call", ids.key(), _computer(call_id)),
        acts.whole("computer_call_output", ids.key(), output),
    ]


def _program(ids: Ids) -> list[Act]:
    program = items.Program(call_id=ids.call_id(), code='print("canned")', fingerprint="canned")
    return [acts.whole("program", ids.key(), program)]


def _program_output(ids: Ids) -> list[Act]:
    output = items.ProgramOutput(call_id=ids.call_id(), result=f"{_CANNED}.", status="completed")
    return [acts.whole("program_output", ids.key(), output)]


def _tool_search_call(ids: Ids) -> list[Act]:
    call = items.ToolSearchCall(
        call_id=ids.call_id(), execution="server", arguments={"query": "canned"}, status="completed"
    )
    return [acts.whole("tool_search_call", ids.key(), call)]


def _tool_search_output(ids: Ids) -> list[Act]:
    output = items.ToolSearchOutput(call_id=ids.call_id(), execution="server", tools=[_TOOL], status="completed")
    return [acts.whole("tool_search_output", ids.key(), output)]


def _additional_tools(ids: Ids) -> list[Act]:
    return [acts.whole("additional_tools", ids.key(), items.AdditionalTools(role="developer", tools=[_TOOL]))]


def _compaction(ids: Ids) -> list[Act]:
    key = ids.key()
    item = items.Compaction(encrypted_content="canned_by_rehearsal")
    return [acts.whole("compaction", key, item, Progress(key, "compacting"))]


def _audio(ids: Ids) -> list[Act]:
    """The events of speech, which belong to no item: a message is said beside them."""
    key = ids.key()
    spoken = [
        Opaque(key, {"type": "response.audio.delta", "delta": "AAAA"}),
        Opaque(key, {"type": "response.audio.done"}),
        Opaque(key, {"type": "response.audio.transcript.delta", "delta": _CANNED}),
        Opaque(key, {"type": "response.audio.transcript.done"}),
    ]
    start = items.Message(role="assistant", status="in_progress", content=[])
    return [Act("message", [ItemStarted(key, start), *spoken, Text(f"{_CANNED}: sound.", key), ItemDone(key)])]


KINDS: Final[dict[str, Callable[[Ids], list[Act]]]] = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "function_call_output": _function_call_output,
    "custom_tool_call": _custom_tool_call,
    "custom_tool_call_output": _custom_tool_call_output,
    "file_search_call": _file_search_call,
    "web_search_call": _web_search_call,
    "code_interpreter_call": _code_interpreter_call,
    "image_generation_call": _image_generation_call,
    "mcp_list_tools": _mcp_list_tools,
    "mcp_list_tools.failed": _mcp_list_tools_failed,
    "mcp_call": _mcp_call,
    "mcp_call.failed": _mcp_call_failed,
    "mcp_approval_request": _mcp_approval_request,
    "mcp_approval_response": _mcp_approval_response,
    "shell_call": _shell_call,
    "shell_call_output": _shell_call_output,
    "local_shell_call": _local_shell_call,
    "local_shell_call_output": _local_shell_call_output,
    "apply_patch_call": _apply_patch_call,
    "apply_patch_call_output": _apply_patch_call_output,
    "computer_call": _computer_call,
    "computer_call_output": _computer_call_output,
    "program": _program,
    "program_output": _program_output,
    "tool_search_call": _tool_search_call,
    "tool_search_output": _tool_search_output,
    "additional_tools": _additional_tools,
    "compaction": _compaction,
    "audio": _audio,
}
"""What can be played: the kinds of output items, two that fail, and the events of speech."""
