"""One small conversation for every kind of item, and the streams that were recorded of them.

python -m tests.turn.golden      # record them anew; read the difference before you keep it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from antiphon.turn.deltas import (
    Annotated,
    Arguments,
    Command,
    CommandOutput,
    Delta,
    Finished,
    ItemDone,
    ItemStarted,
    Opaque,
    Progress,
    Reasoning,
    Refusal,
    Summary,
    Text,
    Usage,
)
from antiphon.wire import content, items, response
from antiphon.wire.struct import Opaque as OpaqueItem
from antiphon.wire.struct import tag_of
from tests.turn.strategies import SILENT
from tests.turn.telling import AT, ERROR, as_bytes, begun

RECORDED = Path(__file__).parents[1] / "golden"
KEY = "a"
PAGE = content.UrlCitation(start_index=0, end_index=5, title="Foxes", url="https://example.com/foxes")
TOKEN = content.Logprob(token="Foxes", logprob=-0.25, bytes=[70, 111, 120, 101, 115], top_logprobs=[])
FIGURES = response.Usage(input_tokens=12, output_tokens=5, total_tokens=17)


def _item(start: Any, *deltas: Delta, whole: Any = None) -> list[Delta]:
    return [ItemStarted(KEY, start), *deltas, ItemDone(KEY, whole)]


def _written(start: Any, *pieces: str) -> list[Delta]:
    return _item(start, *(Arguments(KEY, piece) for piece in pieces))


_CALL: dict[str, Any] = {"call_id": "call_1", "status": "in_progress"}
_MCP: dict[str, Any] = {"server_label": "zoo", "name": "feed"}
CLOSED = {"type": "http_error", "code": 502, "message": "The zoo is closed."}
_PRINTED = items.ShellOutput(stdout="one fox\n", stderr="", outcome=items.Exit(exit_code=0))

ITEMS: dict[str, list[Delta]] = {
    "message": [
        Text("Foxes", logprobs=[TOKEN]),
        Text(" are quick."),
        Annotated(PAGE),
        Refusal("I cannot say more."),
        Finished(),
    ],
    "reasoning": [Summary("In short: "), Summary("foxes."), Reasoning("Are foxes quick?"), Finished()],
    "function_call": _written(items.FunctionCall(**_CALL, name="feed", arguments=""), '{"fox"', ": true}"),
    "custom_tool_call": _written(items.CustomToolCall(**_CALL, name="sql", input=""), "select ", "fox"),
    "file_search_call": _item(
        items.FileSearchCall(status="in_progress", queries=[], results=None),
        Progress(KEY, "searching"),
        whole=items.FileSearchCall(status="completed", queries=["fox"], results=None),
    ),
    "web_search_call": _item(
        items.WebSearchCall(status="in_progress"),
        Progress(KEY, "searching"),
        whole=items.WebSearchCall(status="completed", action=items.Search(query="fox")),
    ),
    "code_interpreter_call": _item(
        items.CodeInterpreterCall(status="in_progress", container_id="cntr_1", code=""),
        Arguments(KEY, "print("),
        Arguments(KEY, "1)"),
        Progress(KEY, "interpreting"),
        whole=items.CodeInterpreterCall(
            status="completed", container_id="cntr_1", code="print(1)", outputs=[items.OutputLogs(logs="1\n")]
        ),
    ),
    "image_generation_call": _item(
        items.ImageGenerationCall(status="in_progress"),
        Progress(KEY, "generating"),
        Progress(KEY, "partial_image", {"partial_image_b64": "Zg==", "size": "1x1"}),
        whole=items.ImageGenerationCall(status="completed", result="Zm94", size="1x1"),
    ),
    "image_generation_call.failed": _item(
        items.ImageGenerationCall(status="in_progress"), whole=items.ImageGenerationCall(status="failed")
    ),
    "mcp_list_tools": _item(
        items.McpListTools(server_label="zoo", tools=[]),
        whole=items.McpListTools(
            server_label="zoo", tools=[items.McpListedTool(name="feed", input_schema={"type": "object"})]
        ),
    ),
    "mcp_list_tools.failed": _item(
        items.McpListTools(server_label="zoo", tools=[]),
        whole=items.McpListTools(server_label="zoo", tools=[], error="no route to the zoo"),
    ),
    "mcp_call": _item(
        items.McpCall(**_MCP, status="in_progress", arguments="", output=None, error=None),
        Arguments(KEY, "{}"),
        whole=items.McpCall(**_MCP, status="completed", arguments="{}", output="fed", error=None),
    ),
    "mcp_call.failed": _item(
        items.McpCall(**_MCP, status="in_progress", arguments="", output=None, error=None),
        Arguments(KEY, "{}"),
        whole=items.McpCall(**_MCP, status="failed", arguments="{}", output=None, error=CLOSED),
    ),
    "shell_call": _item(
        items.ShellCall(**_CALL, action=items.ShellAction(commands=[]), environment=None),
        Command(KEY, 0, "ls"),
        Command(KEY, 0, " -l"),
        Command(KEY, 1, "pwd"),
    ),
    "shell_call_output": _item(
        items.ShellCallOutput(**_CALL, output=[]),
        CommandOutput(KEY, 0, stdout="one "),
        CommandOutput(KEY, 0, stdout="fox\n"),
        CommandOutput(KEY, 0, output=[_PRINTED]),
    ),
    "apply_patch_call": _written(
        items.ApplyPatchCall(**_CALL, operation=items.UpdateFile(path="fox.txt", diff="")), "@@\n", "-cat\n+fox\n"
    ),
    "compaction": _item(
        items.Compaction(encrypted_content="c2Vj"),
        Progress(KEY, "compacting"),
        whole=items.Compaction(encrypted_content="c2VjcmV0"),
    ),
    "audio": _item(
        items.Message(role="assistant", status="in_progress", content=[]),
        *(
            Opaque(KEY, {"type": f"response.audio.{name}", **fields})
            for name, fields in {
                "delta": {"delta": "AAAA"},
                "done": {},
                "transcript.delta": {"delta": "Fox"},
                "transcript.done": {},
            }.items()
        ),
    ),
    "unknown": _item(
        OpaqueItem({"type": "x:dance", "status": "in_progress"}), Opaque(KEY, {"type": "x:dance.step", "foot": "left"})
    ),
    **{tag_of(type(item)): _item(item, whole=item) for item in SILENT},
}
"""Kind of item → what a model says of one."""


def _of_item(deltas: list[Delta]) -> bytes:
    return as_bytes(begun()[0].feed(deltas))


def _completed() -> bytes:
    machine, told = begun()
    told += machine.feed([Reasoning("Hm."), Text("Hello"), Usage(FIGURES), Finished()])
    return as_bytes(told + machine.finish(AT + 2))


def _incomplete() -> bytes:
    machine, told = begun()
    told += machine.feed([Text("Hel"), Usage(FIGURES), Finished("max_output_tokens")])
    return as_bytes(told + machine.finish(AT + 2))


def _failed() -> bytes:
    machine, told = begun(background=True)
    return as_bytes(told + machine.feed([Text("Hel")]) + machine.fail(ERROR))


RESPONSES: Mapping[str, Callable[[], bytes]] = {
    "response.completed": _completed,
    "response.incomplete": _incomplete,
    "response.failed": _failed,
}
"""Whole streams, with the Response at their beginning and end."""


def streams() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every stream."""
    for kind, deltas in ITEMS.items():
        yield kind, _of_item(deltas)
    for name, told in RESPONSES.items():
        yield name, told()


def record() -> None:
    """Write all streams down, and take away what is no longer told."""
    RECORDED.mkdir(exist_ok=True)
    for old in RECORDED.glob("*.sse"):
        old.unlink()
    for name, data in streams():
        (RECORDED / f"{name}.sse").write_bytes(data)


if __name__ == "__main__":
    record()
