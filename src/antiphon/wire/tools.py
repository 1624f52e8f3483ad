"""The tools a request may offer, how it may choose among them, and the formats of text it may ask for.

A tool of a type that we do not know is kept as `Opaque` and echoed as it came. Settings that this server only carries
(rankings, shell environments, SVG…) are plain JSON.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, field

from antiphon.wire.errors import InvalidRequest
from antiphon.wire.invalid import wrong_value
from antiphon.wire.read import OBJECT, Sent, decoder, read
from antiphon.wire.struct import UNSET, Maybe, Opaque, Typed, Wire

__all__ = [
    "TEXT_FORMATS",
    "TOOLS",
    "TOOL_CHOICES",
    "AllowedTools",
    "ApplyPatchChoice",
    "ApplyPatchTool",
    "CodeInterpreterTool",
    "ComputerTool",
    "ComputerUsePreviewTool",
    "CustomChoice",
    "CustomFormat",
    "CustomTool",
    "FileSearchTool",
    "FormatJsonObject",
    "FormatJsonSchema",
    "FormatText",
    "FunctionChoice",
    "FunctionTool",
    "Grammar",
    "HostedChoice",
    "ImageGenerationTool",
    "LocalShellTool",
    "McpChoice",
    "McpTool",
    "NamespaceTool",
    "PlainText",
    "ProgrammaticToolCallingChoice",
    "ProgrammaticToolCallingTool",
    "ShellChoice",
    "ShellTool",
    "TextConfig",
    "TextFormat",
    "Tool",
    "ToolChoice",
    "ToolSearchTool",
    "WebSearchPreviewTool",
    "WebSearchTool",
    "decode_tool",
    "decode_tool_choice",
    "keep_tool",
]

Json = dict[str, Any]
# Python's `$` also matches before a last newline, JSON Schema's does not: `(?!\n)` makes them the same.
Name = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,128}(?!\n)$")]
Callers = list[Literal["direct", "programmatic"]]


class FunctionTool(Typed, tag="function", kw_only=True):
    """A function of the client. `parameters` is a JSON schema; `parameters` and `strict` are echoed as sent."""

    name: Name
    description: Maybe[str | None] = UNSET
    parameters: Maybe[Json | None] = UNSET
    strict: Maybe[bool | None] = UNSET
    output_schema: Maybe[Json | None] = UNSET
    async_: Maybe[bool | None] = field(name="async", default=UNSET)
    allowed_callers: Maybe[Callers | None] = UNSET
    defer_loading: Maybe[bool | None] = UNSET


class PlainText(Typed, tag="text", kw_only=True):
    """Any text."""


class Grammar(Typed, tag="grammar", kw_only=True):
    """Text of a grammar."""

    syntax: Literal["lark", "regex"]
    definition: str


CustomFormat = PlainText | Grammar


class CustomTool(Typed, tag="custom", kw_only=True):
    """A tool of the client that takes text instead of JSON."""

    name: Name
    description: Maybe[str | None] = UNSET
    format: Maybe[CustomFormat | None] = UNSET
    async_: Maybe[bool | None] = field(name="async", default=UNSET)
    allowed_callers: Maybe[Callers | None] = UNSET
    defer_loading: Maybe[bool | None] = UNSET


class NamespaceTool(Typed, tag="namespace", kw_only=True):
    """Functions under a common name."""

    name: str
    description: str
    tools: list[FunctionTool | CustomTool]


class ToolSearchTool(Typed, tag="tool_search", kw_only=True):
    """Lets the model look for deferred tools."""

    execution: Maybe[Literal["server", "client"] | None] = UNSET
    description: Maybe[str | None] = UNSET
    parameters: Maybe[Any] = UNSET


class ProgrammaticToolCallingTool(Typed, tag="programmatic_tool_calling", kw_only=True):
    """Lets the model write programs that call tools."""


class FileSearchTool(Typed, tag="file_search", kw_only=True):
    """Search in vector stores. `filters` is a comparison, or several joined by `and` and `or`."""

    vector_store_ids: list[str]
    filters: Maybe[Json | None] = UNSET
    max_num_results: Maybe[Annotated[int, Meta(ge=1, le=50)] | None] = UNSET
    ranking_options: Maybe[Json | None] = UNSET


class WebSearchTool(Wire, kw_only=True):
    """Search in the web."""

    type: Literal["web_search", "web_search_2025_08_26"] = "web_search"
    filters: Maybe[Json | None] = UNSET
    search_context_size: Maybe[Literal["low", "medium", "high"] | None] = UNSET
    user_location: Maybe[Json | None] = UNSET
    external_web_access: Maybe[bool | None] = UNSET


class WebSearchPreviewTool(Wire, kw_only=True):
    """Search in the web, as it was first offered."""

    type: Literal["web_search_preview", "web_search_preview_2025_03_11"] = "web_search_preview"
    search_context_size: Maybe[Literal["low", "medium", "high"] | None] = UNSET
    search_content_types: Maybe[list[Literal["text", "image"]] | None] = UNSET
    user_location: Maybe[Json | None] = UNSET


class ComputerTool(Typed, tag="computer", kw_only=True):
    """A computer of the client."""


class ComputerUsePreviewTool(Typed, tag="computer_use_preview", kw_only=True):
    """A computer of the client, as it was first offered. Sizes are in pixels."""

    display_width: int
    display_height: int
    environment: Literal["windows", "mac", "linux", "ubuntu", "browser"]


class McpTool(Typed, tag="mcp", kw_only=True):
    """The tools of an MCP server, named by a URL, a connector or a tunnel."""

    server_label: str
    server_url: Maybe[str | None] = UNSET
    connector_id: Maybe[str | None] = UNSET
    tunnel_id: Maybe[str | None] = UNSET
    server_description: Maybe[str | None] = UNSET
    authorization: Maybe[str | None] = UNSET
    headers: Maybe[dict[str, str] | None] = UNSET
    allowed_tools: Maybe[list[str] | Json | None] = UNSET
    require_approval: Maybe[Literal["always", "never"] | Json | None] = UNSET
    allowed_callers: Maybe[Callers | None] = UNSET
    defer_loading: Maybe[bool | None] = UNSET


class CodeInterpreterTool(Typed, tag="code_interpreter", kw_only=True):
    """A container that runs code: the id of one, or what a new one needs."""

    container: str | Json
    allowed_callers: Maybe[Callers | None] = UNSET


class ImageGenerationTool(Typed, tag="image_generation", kw_only=True):
    """Makes images."""

    model: Maybe[str | None] = UNSET
    action: Maybe[Literal["generate", "edit", "auto"] | None] = UNSET
    background: Maybe[Literal["transparent", "opaque", "auto"] | None] = UNSET
    complexity: Maybe[Literal["low", "medium", "high"] | None] = UNSET
    frame_count: Maybe[int | None] = UNSET
    frame_duration_ms: Maybe[int | None] = UNSET
    input_fidelity: Maybe[Literal["high", "low"] | None] = UNSET
    input_image_mask: Maybe[Json | None] = UNSET
    moderation: Maybe[Literal["auto", "low"] | None] = UNSET
    output_compression: Maybe[Annotated[int, Meta(ge=0, le=100)] | None] = UNSET
    output_format: Maybe[Literal["png", "webp", "jpeg", "gif", "svg"] | None] = UNSET
    partial_images: Maybe[Annotated[int, Meta(ge=0, le=3)] | None] = UNSET
    quality: Maybe[Literal["low", "medium", "high", "xhigh", "max", "auto"] | None] = UNSET
    size: Maybe[str | None] = UNSET
    svg: Maybe[Json | None] = UNSET


class LocalShellTool(Typed, tag="local_shell", kw_only=True):
    """A shell of the client, one command at a time."""


class ShellTool(Typed, tag="shell", kw_only=True):
    """A shell, hosted or the client's."""

    environment: Maybe[Json | None] = UNSET
    allowed_callers: Maybe[Callers | None] = UNSET


class ApplyPatchTool(Typed, tag="apply_patch", kw_only=True):
    """Lets the model change files of the client."""

    allowed_callers: Maybe[Callers | None] = UNSET


Tool = (
    FunctionTool
    | FileSearchTool
    | WebSearchTool
    | WebSearchPreviewTool
    | ComputerTool
    | ComputerUsePreviewTool
    | McpTool
    | CodeInterpreterTool
    | ImageGenerationTool
    | ShellTool
    | LocalShellTool
    | ApplyPatchTool
    | CustomTool
    | NamespaceTool
    | ToolSearchTool
    | ProgrammaticToolCallingTool
    | Opaque
)

TOOLS: Final[dict[str, type[Wire]]] = {
    "function": FunctionTool,
    "file_search": FileSearchTool,
    "web_search": WebSearchTool,
    "web_search_2025_08_26": WebSearchTool,
    "web_search_preview": WebSearchPreviewTool,
    "web_search_preview_2025_03_11": WebSearchPreviewTool,
    "computer": ComputerTool,
    "computer_use_preview": ComputerUsePreviewTool,
    "mcp": McpTool,
    "code_interpreter": CodeInterpreterTool,
    "image_generation": ImageGenerationTool,
    "shell": ShellTool,
    "local_shell": LocalShellTool,
    "apply_patch": ApplyPatchTool,
    "custom": CustomTool,
    "namespace": NamespaceTool,
    "tool_search": ToolSearchTool,
    "programmatic_tool_calling": ProgrammaticToolCallingTool,
}


class AllowedTools(Typed, tag="allowed_tools", kw_only=True):
    """Only some of the tools. Their order and number do not matter: the model sees all."""

    mode: Literal["auto", "required"]
    tools: list[Json]


class FunctionChoice(Typed, tag="function", kw_only=True):
    """This function."""

    name: str


class CustomChoice(Typed, tag="custom", kw_only=True):
    """This custom tool."""

    name: str


class McpChoice(Typed, tag="mcp", kw_only=True):
    """This MCP server, or one tool of it."""

    server_label: str
    name: Maybe[str | None] = UNSET


class HostedChoice(Wire, kw_only=True):
    """This tool that has no name of its own."""

    type: Literal[
        "file_search",
        "web_search_preview",
        "web_search_preview_2025_03_11",
        "web_search",
        "web_search_2025_08_26",
        "computer",
        "computer_use_preview",
        "computer_use",
        "image_generation",
        "code_interpreter",
    ]


class ApplyPatchChoice(Typed, tag="apply_patch", kw_only=True):
    """A patch."""


class ShellChoice(Typed, tag="shell", kw_only=True):
    """The shell."""


class ProgrammaticToolCallingChoice(Typed, tag="programmatic_tool_calling", kw_only=True):
    """A program."""


ToolChoice = (
    Literal["none", "auto", "required"]
    | AllowedTools
    | FunctionChoice
    | CustomChoice
    | McpChoice
    | HostedChoice
    | ApplyPatchChoice
    | ShellChoice
    | ProgrammaticToolCallingChoice
)

TOOL_CHOICES: Final[dict[str, type[Wire]]] = {
    "allowed_tools": AllowedTools,
    "function": FunctionChoice,
    "custom": CustomChoice,
    "mcp": McpChoice,
    "file_search": HostedChoice,
    "web_search_preview": HostedChoice,
    "web_search_preview_2025_03_11": HostedChoice,
    "web_search": HostedChoice,
    "web_search_2025_08_26": HostedChoice,
    "computer": HostedChoice,
    "computer_use_preview": HostedChoice,
    "computer_use": HostedChoice,
    "image_generation": HostedChoice,
    "code_interpreter": HostedChoice,
    "apply_patch": ApplyPatchChoice,
    "shell": ShellChoice,
    "programmatic_tool_calling": ProgrammaticToolCallingChoice,
}


class FormatText(Typed, tag="text", kw_only=True):
    """Any text."""


class FormatJsonSchema(Typed, tag="json_schema", kw_only=True):
    """JSON that satisfies `schema_` (on the wire: `schema`)."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}(?!\n)$")]
    schema_: Json = field(name="schema")
    description: Maybe[str | None] = UNSET
    strict: Maybe[bool | None] = UNSET


class FormatJsonObject(Typed, tag="json_object", kw_only=True):
    """Any JSON object."""


TextFormat = FormatText | FormatJsonSchema | FormatJsonObject

TEXT_FORMATS: Final[dict[str, type[Wire]]] = {
    "text": FormatText,
    "json_schema": FormatJsonSchema,
    "json_object": FormatJsonObject,
}


class TextConfig(Wire, kw_only=True):
    """The form of the answer's text."""

    format: Maybe[TextFormat | None] = UNSET
    verbosity: Maybe[Literal["low", "medium", "high"] | None] = UNSET


class _Head(msgspec.Struct):
    type: str


_HEAD: Final = msgspec.json.Decoder(_Head)
_CHOICE: Final[msgspec.json.Decoder[Literal["none", "auto", "required"] | _Head]] = msgspec.json.Decoder(
    Literal["none", "auto", "required"] | _Head
)


def decode_tool(raw: Sent, path: str = "tool") -> Tool:
    """Decode a tool; `path` is where it stands in the request, as in `tools[2]`. Raises InvalidRequest."""
    head = read(raw, _HEAD, path)
    struct = TOOLS.get(head.type)
    if struct is None:
        return Opaque(read(raw, OBJECT, path))
    tool: Tool = read(raw, decoder(struct), path)
    if isinstance(tool, McpTool) and not (tool.server_url or tool.connector_id or tool.tunnel_id):
        message = "One of 'server_url', 'connector_id' or 'tunnel_id' must be provided."
        raise InvalidRequest(message, param=f"{path}.server_url", code="missing_required_parameter")
    return tool


def keep_tool(raw: Sent) -> Tool:
    """Decode a tool that somebody else wrote, and keep it as `Opaque` where it is not what we know under its type."""
    try:
        return decode_tool(raw)
    except InvalidRequest:
        return Opaque(read(raw, OBJECT, "tool"))


def decode_tool_choice(raw: bytes | msgspec.Raw, path: str = "tool_choice") -> ToolChoice:
    """Decode a choice: one of three words, or an object of a known type. Raises InvalidRequest."""
    sent = read(raw, _CHOICE, path)
    if not isinstance(sent, _Head):
        return sent
    struct = TOOL_CHOICES.get(sent.type)
    if struct is None:
        raise wrong_value(f"{path}.type", sent.type, tuple(TOOL_CHOICES))
    choice: ToolChoice = read(raw, decoder(struct), path)
    return choice
