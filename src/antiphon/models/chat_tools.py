"""The tools of a request as functions of the Chat Completions API, and the calls of those functions back as items.

A chat model can call functions and nothing else. So:

* a function stays one; a custom tool becomes a function of one string, its grammar told in the description;
* the functions of a namespace become functions named `namespace__function`;
* everything else is left out. Where the answer would be an invention without it (what was to be searched, run or asked
  of an MCP server), the request is refused instead; so is a `tool_choice` that asks for what is left out.

A chat function's name has at most 64 characters of `a-z A-Z 0-9 _ -`. A name that does not fit, or is taken, is cut
and ends in a hash of the full name, so that the same tool has the same name in every request.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from antiphon.models.chat_input import wrapped
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.items import AdditionalTools, CustomToolCall, FunctionCall, Item
from antiphon.wire.request import CreateResponse
from antiphon.wire.struct import UNSET, type_of
from antiphon.wire.tools import (
    AllowedTools,
    CustomChoice,
    CustomTool,
    FunctionChoice,
    FunctionTool,
    Grammar,
    NamespaceTool,
    Tool,
    ToolChoice,
    keep_tool,
)

__all__ = ["ChatTools", "Target", "check_tools", "flat_name", "offered"]

Json = dict[str, Any]

MAX_NAME: Final = 64
_HASH: Final = 8
_ODD: Final = re.compile(r"[^a-zA-Z0-9_-]")

NEEDED: Final = frozenset({"file_search", "code_interpreter", "mcp"})
"""Tools without which an answer would be made up."""

_NO_PARAMETERS: Final[Json] = {"type": "object", "properties": {}}
_TEXT_PARAMETERS: Final[Json] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}


class Target(NamedTuple):
    """The tool that a chat function stands for."""

    name: str
    namespace: str | None = None
    custom: bool = False

    def call(self, call_id: str) -> FunctionCall | CustomToolCall:
        """The item of a call of this tool, as it looks at its start."""
        namespace = UNSET if self.namespace is None else self.namespace
        if self.custom:
            return CustomToolCall(call_id=call_id, name=self.name, input="", namespace=namespace, status="in_progress")
        return FunctionCall(call_id=call_id, name=self.name, arguments="", namespace=namespace, status="in_progress")

    @property
    def nothing(self) -> str:
        """The arguments of a call that has none."""
        return wrapped("") if self.custom else "{}"


def flat_name(name: str, namespace: str | None = None) -> str:
    """The name of the chat function, if no other tool has it already."""
    full = name if namespace is None else f"{namespace}__{name}"
    return full if len(full) <= MAX_NAME and not _ODD.search(full) else _hashed(full)


def _hashed(full: str) -> str:
    digest = hashlib.sha256(full.encode("utf-8", "replace")).hexdigest()[:_HASH]
    return f"{_ODD.sub('_', full)[: MAX_NAME - _HASH - 1]}_{digest}"


class ChatTools:
    """The functions that stand for the tools of one request."""

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._targets: dict[str, Target] = {}
        self._names: dict[Target, str] = {}
        self._functions: dict[Target, Json] = {}
        # The tools that have no namespace keep their names, wherever they stand.
        for target, tool, scope in sorted(_callable(tools), key=lambda found: found[0].namespace is not None):
            name = self._free_name(target)
            self._targets[name] = target
            self._names[target] = name
            self._functions[target] = _function(name, tool, scope)

    def _free_name(self, target: Target) -> str:
        name = flat_name(target.name, target.namespace)
        return _hashed(repr(target)) if name in self._targets else name

    def target(self, name: str) -> Target:
        """The tool that is called by this name. A name that the model made up stays what it is."""
        return self._targets.get(name) or Target(name)

    def name(self, target: Target) -> str:
        """The name of a tool's function; also of a tool that the request no longer offers."""
        return self._names.get(target) or flat_name(target.name, target.namespace)

    def body(self, choice: ToolChoice) -> Json:
        """`tools` and `tool_choice` as the Chat Completions API has them; nothing if there is no function."""
        functions = self._functions
        if isinstance(choice, AllowedTools):
            functions = {target: functions[target] for target in functions if _is_allowed(target, choice)}
        if not functions:
            return {}
        body: Json = {"tools": list(functions.values())}
        match choice:
            case "none" | "required":
                body["tool_choice"] = choice
            case AllowedTools(mode="required"):
                body["tool_choice"] = "required"
            case FunctionChoice() | CustomChoice():
                body["tool_choice"] = {"type": "function", "function": {"name": self._chosen(choice)}}
        return body

    def offers(self, choice: ToolChoice) -> bool:
        """Whether a choice that asks for a call can be met."""
        match choice:
            case "required":
                return bool(self._functions)
            case AllowedTools(mode="required"):
                return any(_is_allowed(target, choice) for target in self._functions)
            case FunctionChoice() | CustomChoice():
                return any(_is_chosen(target, choice) for target in self._functions)
        return choice in ("auto", "none") or isinstance(choice, AllowedTools)

    def _chosen(self, choice: FunctionChoice | CustomChoice) -> str:
        return next((self._names[target] for target in self._functions if _is_chosen(target, choice)), choice.name)


def offered(tools: Sequence[Tool], items: str | Sequence[Item] | None) -> list[Tool]:
    """The tools of a request, and those that its input declares on the way."""
    declared = (item.tools for item in items or () if isinstance(item, AdditionalTools))
    return [*tools, *(keep_tool(tool) for tools in declared for tool in tools)]


def check_tools(request: CreateResponse) -> tuple[str, ...]:
    """The types of tools that are left out, each once. Raises InvalidRequest where that would falsify the answer."""
    for index, tool in enumerate(request.tools):
        if (kind := type_of(tool)) in NEEDED:
            raise _unsupported(kind, f"tools[{index}]")
    tools = offered(request.tools, request.input)
    choice = request.tool_choice
    if not ChatTools(tools).offers(choice):
        raise _not_found(choice) if isinstance(choice, FunctionChoice | CustomChoice) else _not_offered(choice)
    return tuple(dict.fromkeys(type_of(tool) for tool in tools if not isinstance(tool, _SERVED)))


_SERVED: Final = (FunctionTool, CustomTool, NamespaceTool)


def _not_found(choice: FunctionChoice | CustomChoice) -> InvalidRequest:
    return InvalidRequest(
        f"Tool choice '{choice.name}' not found in 'tools' parameter.", param="tool_choice", code="invalid_value"
    )


def _not_offered(choice: ToolChoice) -> InvalidRequest:
    return _unsupported(choice if isinstance(choice, str) else type_of(choice), "tool_choice")


def _unsupported(kind: str, param: str) -> InvalidRequest:
    message = f"The model behind this name cannot serve '{kind}': it only calls functions and custom tools."
    return InvalidRequest(message, param=param, code="unsupported_tool")


def _callable(tools: Sequence[Tool]) -> Iterator[tuple[Target, FunctionTool | CustomTool, NamespaceTool | None]]:
    """Every tool that can be a function, with its namespace."""
    for tool in tools:
        match tool:
            case FunctionTool() | CustomTool():
                yield Target(tool.name, None, isinstance(tool, CustomTool)), tool, None
            case NamespaceTool():
                for inner in tool.tools:
                    yield Target(inner.name, tool.name, isinstance(inner, CustomTool)), inner, tool


def _function(name: str, tool: FunctionTool | CustomTool, scope: NamespaceTool | None) -> Json:
    texts = [tool.description or ""]
    if isinstance(tool, CustomTool):
        parameters = _TEXT_PARAMETERS
        texts.append(_grammar(tool))
    else:
        parameters = tool.parameters or _NO_PARAMETERS
    if scope is not None:
        texts.append(f"Part of {scope.name}: {scope.description}")
    function: Json = {"name": name, "description": "\n\n".join(filter(None, texts)), "parameters": parameters}
    if isinstance(tool, FunctionTool) and isinstance(tool.strict, bool):
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _grammar(tool: CustomTool) -> str:
    """The grammar of a custom tool in words: a model that nothing constrains can still follow it."""
    if not isinstance(tool.format, Grammar):
        return ""
    kind = "Lark grammar" if tool.format.syntax == "lark" else "regular expression"
    return f"The input must match this {kind}:\n```\n{tool.format.definition}\n```"


def _is_allowed(target: Target, choice: AllowedTools) -> bool:
    return any(_is_meant(target, tool) for tool in choice.tools)


def _is_meant(target: Target, tool: Json) -> bool:
    """Whether an entry of `allowed_tools` means this tool: by its own name, or by that of its namespace."""
    name = tool.get("name")
    if tool.get("type") == "namespace":
        return name == target.namespace
    kind = "custom" if target.custom else "function"
    return (
        tool.get("type") == kind and name == target.name and tool.get("namespace", target.namespace) == target.namespace
    )


def _is_chosen(target: Target, choice: FunctionChoice | CustomChoice) -> bool:
    return target.name == choice.name and target.custom is isinstance(choice, CustomChoice)
