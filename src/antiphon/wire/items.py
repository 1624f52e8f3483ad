"""The items of input, output and conversations: one struct a wire type, shared by all three.

Clients leave out ids, statuses and other keys that the server wrote, when they send items back: these are `Maybe`.
Values that this server only carries from one side to the other are plain JSON (`dict[str, Any]`).
"""

from __future__ import annotations

from binascii import a2b_base64
from typing import Any, Final, Literal

import msgspec
from msgspec import field

from antiphon.wire.content import (
    INPUT_PARTS,
    OUTPUT_PARTS,
    PARTS,
    ComputerScreenshot,
    InputFile,
    InputImage,
    InputPart,
    Part,
    ReasoningText,
    SummaryText,
)
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.invalid import missing, wrong_value
from antiphon.wire.read import OBJECT, Sent, decoder, read
from antiphon.wire.struct import UNSET, Defaulted, Maybe, Opaque, Typed, Wire, as_sent

ItemStatus = Literal["in_progress", "completed", "incomplete"]
SearchStatus = Literal["in_progress", "searching", "completed", "incomplete", "failed"]
Role = Literal["user", "assistant", "system", "developer"]
Execution = Literal["server", "client"]
Json = dict[str, Any]


class Identified(Typed, kw_only=True):
    """What every item has: an id, absent as long as nobody gave it one."""

    id: Defaulted[Maybe[str]] = UNSET


class Message(Identified, tag="message", kw_only=True):
    """What somebody said. `content` is a list in everything that we send; clients may send a string."""

    status: Maybe[ItemStatus | None] = UNSET
    role: Role
    content: str | list[Part]
    phase: Maybe[str | None] = UNSET


class Reasoning(Identified, tag="reasoning", kw_only=True):
    """What the model thought. `summary` is always there; `encrypted_content` lets a client hand it back."""

    status: Maybe[ItemStatus | None] = UNSET
    summary: list[SummaryText]
    content: Maybe[list[ReasoningText] | None] = UNSET
    encrypted_content: Maybe[str | None] = UNSET


class FunctionCall(Identified, tag="function_call", kw_only=True):
    """A call that the client answers with a `FunctionCallOutput` of the same `call_id`. `arguments` is JSON text."""

    status: Maybe[ItemStatus | None] = UNSET
    call_id: str
    name: str
    arguments: str
    namespace: Maybe[str | None] = UNSET
    async_: Maybe[bool | None] = field(name="async", default=UNSET)
    caller: Maybe[Json | None] = UNSET
    created_by: Maybe[str | None] = UNSET


class FunctionCallOutput(Identified, tag="function_call_output", kw_only=True):
    """What a client's function returned."""

    status: Maybe[ItemStatus | None] = UNSET
    call_id: Maybe[str | None] = UNSET
    output: str | list[InputPart]
    name: Maybe[str | None] = UNSET
    namespace: Maybe[str | None] = UNSET
    caller: Maybe[Json | None] = UNSET
    created_by: Maybe[str | None] = UNSET


class CustomToolCall(Identified, tag="custom_tool_call", kw_only=True):
    """A call with free text instead of JSON."""

    status: Maybe[ItemStatus | None] = UNSET
    call_id: str
    name: str
    input: str
    namespace: Maybe[str | None] = UNSET
    async_: Maybe[bool | None] = field(name="async", default=UNSET)
    caller: Maybe[Json | None] = UNSET
    created_by: Maybe[str | None] = UNSET


class CustomToolCallOutput(Identified, tag="custom_tool_call_output", kw_only=True):
    """What a client's custom tool returned."""

    status: Maybe[ItemStatus | None] = UNSET
    call_id: str
    output: str | list[InputPart]
    caller: Maybe[Json | None] = UNSET
    created_by: Maybe[str | None] = UNSET


class FileSearchResult(Wire, kw_only=True):
    """A passage that was found; `score` is between 0 and 1."""

    file_id: Maybe[str | None] = UNSET
    filename: Maybe[str | None] = UNSET
    score: Maybe[float | None] = UNSET
    text: Maybe[str | None] = UNSET
    attributes: Maybe[dict[str, str | float | bool] | None] = UNSET


class FileSearchCall(Identified, tag="file_search_call", kw_only=True):
    """A search in vector stores. `results` is null unless `include` asked for them."""

    status: Maybe[SearchStatus | None] = UNSET
    queries: list[str]
    results: Maybe[list[FileSearchResult] | None] = UNSET


class Search(Typed, tag="search", kw_only=True):
    """Queries put to a web search engine."""

    query: Maybe[str | None] = UNSET
    queries: Maybe[list[str] | None] = UNSET
    sources: Maybe[list[Json] | None] = UNSET


class OpenPage(Typed, tag="open_page", kw_only=True):
    """A web page that was read."""

    url: Maybe[str | None] = UNSET


class FindInPage(Typed, tag="find_in_page", kw_only=True):
    """A pattern looked for in a web page."""

    pattern: str
    url: str


class WebSearchCall(Identified, tag="web_search_call", kw_only=True):
    """A search in the web. The action is known when the call is done, not when it begins."""

    status: Maybe[SearchStatus | None] = UNSET
    action: Maybe[Search | OpenPage | FindInPage | None] = UNSET
    results: Maybe[list[Json] | None] = UNSET


class ComputerCall(Identified, tag="computer_call", kw_only=True):
    """Actions for a client's computer: `actions` by today's tool, `action` by its preview."""

    status: Maybe[ItemStatus | None] = UNSET
    call_id: str
    action: Maybe[Json | None] = UNSET
    actions: Maybe[list[Json] | None] = UNSET
    pending_safety_checks: list[Json] = []


class ComputerCallOutput(Identified, tag="computer_call_output", kw_only=True):
    """The screen after the actions."""

    status: Maybe[Literal["in_progress", "completed", "incomplete", "failed"] | None] = UNSET
    call_id: str
    output: ComputerScreenshot
    acknowledged_safety_checks: Maybe[list[Json] | None] = UNSET
    created_by: Maybe[str | None] = UNSET


class Program(Identified, tag="program", kw_only=True):
    """Code that calls tools (programmatic tool calling)."""

    call_id: str
    code: str
    fingerprint: str


class ProgramOutput(Identified, tag="program_output", kw_only=True):
    """What a program returned."""

    status: Maybe[Literal["completed", "incomplete"] | None] = UNSET
    call_id: str
    result: str


class ToolSearchCall(Identified, tag="tool_search_call", kw_only=True):
    """A search among deferred tools."""

    status: Maybe[ItemStatus | None] = UNSET
    call_id: Maybe[str | None] = UNSET
    execution: Maybe[Execution] = UNSET
    arguments: Any
    created_by: Maybe[str | None] = UNSET


class ToolSearchOutput(Identified, tag="tool_search_output", kw_only=True):
    """The tools that a search found, as they were declared."""

    status: Maybe[ItemStatus | None] = UNSET
    call_id: Maybe[str | None] = UNSET
    execution: Maybe[Execution] = UNSET
    tools: list[Json]
    created_by: Maybe[str | None] = UNSET


class AdditionalTools(Identified, tag="additional_tools", kw_only=True):
    """Tools that are declared in the course of a conversation."""

    role: str
    tools: list[Json]


class ConfigurationUpdate(Identified, tag="configuration_update", kw_only=True):
    """Settings that change in the course of a conversation."""

    reasoning: Maybe[Json | None] = UNSET
    text: Maybe[Json | None] = UNSET


class Compaction(Identified, tag="compaction", kw_only=True):
    """A conversation in short, readable only by the server that made it."""

    encrypted_content: str
    created_by: Maybe[str | None] = UNSET


class CompactionTrigger(Identified, tag="compaction_trigger", kw_only=True):
    """Asks for a compaction at this place of the input."""


class ImageGenerationCall(Identified, tag="image_generation_call", kw_only=True):
    """An image that was made. `result` is base64."""

    status: Maybe[Literal["in_progress", "completed", "generating", "failed"] | None] = UNSET
    result: str | None = None
    action: Maybe[str | None] = UNSET
    background: Maybe[str | None] = UNSET
    output_format: Maybe[str | None] = UNSET
    quality: Maybe[str | None] = UNSET
    size: Maybe[str | None] = UNSET
    revised_prompt: Maybe[str | None] = UNSET
    error: Maybe[Json | None] = UNSET
    svg_usage: Maybe[Json | None] = UNSET


class OutputLogs(Typed, tag="logs", kw_only=True):
    """What the code printed."""

    logs: str


class OutputImage(Typed, tag="image", kw_only=True):
    """An image that the code made."""

    url: str


class CodeInterpreterCall(Identified, tag="code_interpreter_call", kw_only=True):
    """Code that ran in a container. `outputs` is null unless `include` asked for them."""

    status: Maybe[Literal["in_progress", "completed", "incomplete", "interpreting", "failed"] | None] = UNSET
    container_id: str
    code: str | None = None
    outputs: list[OutputLogs | OutputImage] | None = None


class LocalShellAction(Typed, tag="exec", kw_only=True):
    """One command, as a list of arguments."""

    command: list[str]
    env: dict[str, str] = {}
    timeout_ms: Maybe[int | None] = UNSET
    user: Maybe[str | None] = UNSET
    working_directory: Maybe[str | None] = UNSET


class LocalShellCall(Identified, tag="local_shell_call", kw_only=True):
    """A command for the client's shell."""

    status: Maybe[ItemStatus | None] = UNSET
    call_id: str
    action: LocalShellAction


class LocalShellCallOutput(Identified, tag="local_shell_call_output", kw_only=True):
    """What the command printed. `call_id` is not in the API's schema, and clients send it."""

    status: Maybe[ItemStatus | None] = UNSET
    call_id: Maybe[str | None] = UNSET
    output: str


class ShellAction(Wire, kw_only=True):
    """Commands to run one after the other."""

    commands: list[str] = []
    timeout_ms: Maybe[int | None] = UNSET
    max_output_length: Maybe[int | None] = UNSET


class ShellCall(Identified, tag="shell_call", kw_only=True):
    """Commands for a shell, hosted or the client's (`environment`)."""

    status: Maybe[ItemStatus | None] = UNSET
    call_id: str
    action: ShellAction
    environment: Maybe[Json | None] = UNSET
    caller: Maybe[Json | None] = UNSET
    created_by: Maybe[str | None] = UNSET


class Timeout(Typed, tag="timeout", kw_only=True):
    """The command did not end in time."""


class Exit(Typed, tag="exit", kw_only=True):
    """The command ended by itself."""

    exit_code: int


class ShellOutput(Wire, kw_only=True):
    """What one command printed, and how it ended."""

    stdout: str
    stderr: str
    outcome: Timeout | Exit
    created_by: Maybe[str | None] = UNSET


class ShellCallOutput(Identified, tag="shell_call_output", kw_only=True):
    """What the commands printed, one entry a command."""

    status: Maybe[ItemStatus | None] = UNSET
    call_id: str
    max_output_length: Maybe[int | None] = UNSET
    output: list[ShellOutput]
    caller: Maybe[Json | None] = UNSET
    created_by: Maybe[str | None] = UNSET


class CreateFile(Typed, tag="create_file", kw_only=True):
    """A file to write."""

    path: str
    diff: str


class UpdateFile(Typed, tag="update_file", kw_only=True):
    """A file to change."""

    path: str
    diff: str


class DeleteFile(Typed, tag="delete_file", kw_only=True):
    """A file to remove."""

    path: str


class ApplyPatchCall(Identified, tag="apply_patch_call", kw_only=True):
    """A change to the client's files."""

    status: Maybe[Literal["in_progress", "completed"] | None] = UNSET
    call_id: str
    operation: CreateFile | UpdateFile | DeleteFile
    caller: Maybe[Json | None] = UNSET
    created_by: Maybe[str | None] = UNSET


class ApplyPatchCallOutput(Identified, tag="apply_patch_call_output", kw_only=True):
    """Whether the change could be made."""

    status: Literal["completed", "failed"]
    call_id: str
    output: Maybe[str | None] = UNSET
    caller: Maybe[Json | None] = UNSET
    created_by: Maybe[str | None] = UNSET


class McpListedTool(Wire, kw_only=True):
    """A tool of an MCP server."""

    name: str
    input_schema: Any
    description: Maybe[str | None] = UNSET
    annotations: Maybe[Json | None] = UNSET


class McpListTools(Identified, tag="mcp_list_tools", kw_only=True):
    """The tools that an MCP server offers."""

    server_label: str
    tools: list[McpListedTool]
    error: Maybe[str | None] = UNSET


class McpCall(Identified, tag="mcp_call", kw_only=True):
    """A call of a tool of an MCP server. `error` is an object of three kinds today, was a string before."""

    status: Maybe[Literal["in_progress", "completed", "incomplete", "calling", "failed"] | None] = UNSET
    server_label: str
    name: str
    arguments: str
    approval_request_id: Maybe[str | None] = UNSET
    output: Maybe[str | None] = UNSET
    error: Maybe[Json | str | None] = UNSET


class McpApprovalRequest(Identified, tag="mcp_approval_request", kw_only=True):
    """Asks the client whether a tool may be called."""

    server_label: str
    name: str
    arguments: str


class McpApprovalResponse(Identified, tag="mcp_approval_response", kw_only=True):
    """The client's answer."""

    approval_request_id: str
    approve: bool
    reason: Maybe[str | None] = UNSET


class ItemReference(Typed, tag="item_reference", kw_only=True):
    """Stands for a stored item."""

    id: str


Item = (
    Message
    | Reasoning
    | FunctionCall
    | FunctionCallOutput
    | CustomToolCall
    | CustomToolCallOutput
    | FileSearchCall
    | WebSearchCall
    | ComputerCall
    | ComputerCallOutput
    | Program
    | ProgramOutput
    | ToolSearchCall
    | ToolSearchOutput
    | AdditionalTools
    | ConfigurationUpdate
    | Compaction
    | CompactionTrigger
    | ImageGenerationCall
    | CodeInterpreterCall
    | LocalShellCall
    | LocalShellCallOutput
    | ShellCall
    | ShellCallOutput
    | ApplyPatchCall
    | ApplyPatchCallOutput
    | McpListTools
    | McpCall
    | McpApprovalRequest
    | McpApprovalResponse
    | ItemReference
    | Opaque
)

ITEMS: Final[dict[str, type[Wire]]] = {
    "message": Message,
    "reasoning": Reasoning,
    "function_call": FunctionCall,
    "function_call_output": FunctionCallOutput,
    "custom_tool_call": CustomToolCall,
    "custom_tool_call_output": CustomToolCallOutput,
    "file_search_call": FileSearchCall,
    "web_search_call": WebSearchCall,
    "computer_call": ComputerCall,
    "computer_call_output": ComputerCallOutput,
    "program": Program,
    "program_output": ProgramOutput,
    "tool_search_call": ToolSearchCall,
    "tool_search_output": ToolSearchOutput,
    "additional_tools": AdditionalTools,
    "configuration_update": ConfigurationUpdate,
    "compaction": Compaction,
    "compaction_trigger": CompactionTrigger,
    "image_generation_call": ImageGenerationCall,
    "code_interpreter_call": CodeInterpreterCall,
    "local_shell_call": LocalShellCall,
    "local_shell_call_output": LocalShellCallOutput,
    "shell_call": ShellCall,
    "shell_call_output": ShellCallOutput,
    "apply_patch_call": ApplyPatchCall,
    "apply_patch_call_output": ApplyPatchCallOutput,
    "mcp_list_tools": McpListTools,
    "mcp_call": McpCall,
    "mcp_approval_request": McpApprovalRequest,
    "mcp_approval_response": McpApprovalResponse,
    "item_reference": ItemReference,
}

INPUT_ITEM_TYPES: Final = frozenset(ITEMS)
OUTPUT_ITEM_TYPES: Final = INPUT_ITEM_TYPES - {"configuration_update", "compaction_trigger", "item_reference"}
CONVERSATION_ITEM_TYPES: Final = INPUT_ITEM_TYPES - {"compaction_trigger", "item_reference"}


class _Head(msgspec.Struct):
    """The keys that tell an item's type."""

    type: Maybe[str | None] = UNSET
    role: Any = None
    id: Any = None


_HEAD: Final = msgspec.json.Decoder(_Head)


def decode_item(raw: Sent, path: str = "item") -> Item:
    """Decode an item of input or output; `path` is where it stands in the request, as in `input[3]`.

    A message needs no `type`, nor does a reference. An item of a type that we do not know is kept as `Opaque`.
    Raises InvalidRequest, whose `param` names the place inside the item.
    """
    head = read(raw, _HEAD, path)
    kind = head.type if isinstance(head.type, str) else _untyped(head, path)
    if head.type is None:
        raw = read(raw, OBJECT, path) | {"type": kind}
    struct = ITEMS.get(kind)
    if struct is None:
        return Opaque(read(raw, OBJECT, path))
    item: Item = read(raw, decoder(struct), path)
    match item:
        case Message():
            _check_parts(item, path)
        case ItemReference() | Opaque():
            return item
    if as_sent(item.id) is None:
        item.id = UNSET
    return item


decode_output_item = decode_item
"""Output is decoded as input is: an item may lack its id."""


def keep_item(raw: Sent) -> Item:
    """Decode an item that somebody else wrote, and keep it as `Opaque` where it is not what we know under its type."""
    try:
        return decode_item(raw)
    except InvalidRequest:
        return Opaque(read(raw, OBJECT, "item"))


def _untyped(head: _Head, path: str) -> str:
    """The type of an item that names none: a message may, and so may a reference."""
    if head.role is not None:
        return "message"
    if head.id is not None:
        return "item_reference"
    raise missing(f"{path}.type")


_PART_TYPES: Final = {struct: kind for kind, struct in PARTS.items()}


def _check_parts(message: Message, path: str) -> None:
    """The model writes output parts, all others write input parts."""
    if isinstance(message.content, str):
        return
    allowed = OUTPUT_PARTS if message.role == "assistant" else INPUT_PARTS
    for index, part in enumerate(message.content):
        kind = _PART_TYPES[type(part)]
        if kind not in allowed:
            raise wrong_value(f"{path}.content[{index}]", kind, allowed)
        match part:
            case InputImage():
                check_image(part, f"{path}.content[{index}].image_url")
            case InputFile():
                check_file(part, f"{path}.content[{index}].file_data")


def check_image(image: InputImage, param: str) -> None:
    """An image has an address, its bytes, or an id. `param` is where the address stands. Raises InvalidRequest.

    Whether the bytes are an image is for `antiphon.wire.images`.
    """
    if not image.image_url:
        if not image.file_id:
            raise missing(param)
    elif not image.image_url.startswith(("http://", "https://", "data:")):
        message = f"Invalid '{param}': expected a URL that begins with https://, http:// or data:."
        raise InvalidRequest(message, param=param, code="invalid_value")


def check_file(file: InputFile, param: str) -> None:
    """A file has its bytes, an address, or an id. `param` is where the bytes stand. Raises InvalidRequest."""
    if file.file_data:
        _check_data(file.file_data, param)
    elif not (file.file_url or file.file_id):
        raise missing(param)


def _check_data(data: str, param: str) -> None:
    """Bytes are base64, in a `data:` URL or bare."""
    head, comma, encoded = data.partition(",")
    if not comma:
        head, encoded = "", data
    try:
        if not head or head.endswith(";base64"):
            a2b_base64(encoded.encode(), strict_mode=True)
    except ValueError:
        raise InvalidRequest(f"Invalid '{param}': it is not base64.", param=param, code="invalid_value") from None
