"""The tools that a request offers, those that rehearsal serves, and those that `tool_choice` leaves.

Rehearsal calls what the client runs (functions, custom tools, shells, patches) and, with code from the message, the
code interpreter. It finds nothing and asks no server, so a file search or an MCP server that it is offered is refused:
an answer without them would be an invention. Other hosted tools are left out, and named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from antiphon.wire.errors import InvalidRequest
from antiphon.wire.request import TurnRequest
from antiphon.wire.struct import type_of
from antiphon.wire.tools import (
    AllowedTools,
    ApplyPatchTool,
    CodeInterpreterTool,
    CustomChoice,
    CustomTool,
    FileSearchTool,
    FunctionChoice,
    FunctionTool,
    LocalShellTool,
    McpTool,
    NamespaceTool,
    ShellTool,
    Tool,
)

Called = FunctionTool | CustomTool | ShellTool | LocalShellTool | ApplyPatchTool | CodeInterpreterTool
"""The tools that rehearsal calls."""

_REFUSED: Final = (FileSearchTool, McpTool)


class Offer(msgspec.Struct, frozen=True):
    """One tool that may be called."""

    tool: Called
    namespace: str | None = None

    @property
    def name(self) -> str:
        """The tool's name; its type where it has none."""
        return self.tool.name if isinstance(self.tool, FunctionTool | CustomTool) else type_of(self.tool)

    def answers_to(self, name: str) -> bool:
        """Whether this is what `name` or `namespace.name` means."""
        return name in (self.name, f"{self.namespace}.{self.name}")


def offers(tools: Sequence[Tool]) -> list[Offer]:
    """All tools of a request that rehearsal can call, those within namespaces too."""
    return [offer for tool in tools for offer in _of(tool)]


def _of(tool: Tool) -> Iterator[Offer]:
    match tool:
        case NamespaceTool():
            yield from (Offer(inner, tool.name) for inner in tool.tools)
        case FunctionTool() | CustomTool() | ShellTool() | LocalShellTool() | ApplyPatchTool() | CodeInterpreterTool():
            yield Offer(tool)


def left_out(request: TurnRequest) -> tuple[str, ...]:
    """The types of tools that are left out. Raises InvalidRequest where that would make the answer an invention."""
    for index, tool in enumerate(request.tools):
        if isinstance(tool, _REFUSED):
            raise _unsupported(type_of(tool), f"tools[{index}]")
    if must_call(request) and not allowed(request):
        _refuse_choice(request)
    unserved = (tool for tool in request.tools if not isinstance(tool, Called | NamespaceTool))
    return tuple(dict.fromkeys(type_of(tool) for tool in unserved))


def _refuse_choice(request: TurnRequest) -> None:
    """Raises InvalidRequest for a call that is asked for, of a tool that is not offered or not served."""
    choice: Any = request.tool_choice
    offered = {type_of(tool) for tool in request.tools}
    if isinstance(choice, FunctionChoice | CustomChoice):
        message = f"Tool choice '{choice.name}' not found in 'tools' parameter."
        raise InvalidRequest(message, param="tool_choice", code="invalid_value")
    kinds = ", ".join(sorted(offered)) if isinstance(choice, str | AllowedTools) else type_of(choice)
    if offered:
        raise _unsupported(kinds, "tool_choice")
    message = "Tool choice must be 'none' or 'auto' when no tools are specified."
    raise InvalidRequest(message, param="tool_choice", code="invalid_value")


def _unsupported(kind: str, param: str) -> InvalidRequest:
    message = f"The model 'rehearsal' does not support the tool '{kind}': it would have to invent what the tool found."
    return InvalidRequest(message, param=param, code="unsupported_tool")


def allowed(request: TurnRequest) -> list[Offer]:
    """The offers that `tool_choice` leaves."""
    every = offers(request.tools)
    choice: Any = request.tool_choice
    if isinstance(choice, str):
        return [] if choice == "none" else every
    if isinstance(choice, AllowedTools):
        return [offer for offer in every if any(_is_meant(offer, entry) for entry in choice.tools)]
    named = {"type": type_of(choice), "name": getattr(choice, "name", None)}
    return [offer for offer in every if _is_meant(offer, named)]


def _is_meant(offer: Offer, named: Mapping[str, Any]) -> bool:
    """Whether an entry of `tool_choice` means an offer: by its type, and by its name where it has one."""
    if named.get("type") == "namespace":
        return offer.namespace == named.get("name")
    return named.get("type") == type_of(offer.tool) and named.get("name") in (None, offer.name)


def must_call(request: TurnRequest) -> bool:
    """Whether `tool_choice` asks for a call."""
    choice: Any = request.tool_choice
    if isinstance(choice, str):
        return choice == "required"
    return choice.mode == "required" if isinstance(choice, AllowedTools) else True
