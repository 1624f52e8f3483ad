"""A Chat Completions request as a Responses request.

    messages                                   input
    tools, functions; web_search_options       tools
    tool_choice, function_call                 tool_choice
    response_format, verbosity                 text
    max_completion_tokens, max_tokens          max_output_tokens
    reasoning_effort                           reasoning.effort
    logprobs                                   include
    parameters that only Chat Completions has  `extra`, for a backend that speaks it; refused where there is none
    n > 1, audio                               refused

What differs though it has the same name: functions are not strict, and nothing is stored, unless the request says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec

from antiphon.turn.chat.messages import items_of, unsupported
from antiphon.turn.include import LOGPROBS
from antiphon.wire.chat import (
    CHAT_ONLY,
    ChatAllowedTools,
    ChatCustom,
    ChatCustomChoice,
    ChatCustomTool,
    ChatFunctionChoice,
    ChatFunctionTool,
    ChatGrammar,
    ChatJsonSchema,
    CreateChatCompletion,
    FunctionDefinition,
    NamedFunction,
    WebSearchOptions,
)
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.request import CreateResponse, StreamOptions
from antiphon.wire.response import ReasoningConfig
from antiphon.wire.struct import UNSET
from antiphon.wire.tools import (
    AllowedTools,
    CustomChoice,
    CustomTool,
    FormatJsonObject,
    FormatJsonSchema,
    FormatText,
    FunctionChoice,
    FunctionTool,
    Grammar,
    TextConfig,
    Tool,
    ToolChoice,
    WebSearchTool,
)

__all__ = ["param_of", "response_request"]

_SAME: Final = (
    "model",
    "temperature",
    "top_p",
    "top_logprobs",
    "user",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "service_tier",
    "moderation",
)
"""Parameters with the same name and meaning in both APIs."""

_NEUTRAL: Final[dict[str, tuple[Any, ...]]] = {
    "stop": ([],),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
}
"""Values that ask for nothing."""


def response_request(asked: CreateChatCompletion) -> CreateResponse:
    """What to ask a Responses endpoint. Raises InvalidRequest for what it cannot be asked, with the chat's `param`."""
    _refuse(asked)
    choice = _choice(asked)
    return CreateResponse(
        **{name: getattr(asked, name) for name in _SAME},
        input=[placed.item for placed in items_of(asked.messages)],
        tools=_tools(asked),
        tool_choice="auto" if choice is None else choice,
        parallel_tool_calls=asked.parallel_tool_calls is not False and asked.functions is None,
        text=_text(asked),
        max_output_tokens=asked.max_completion_tokens or asked.max_tokens,
        reasoning=ReasoningConfig(effort=asked.reasoning_effort) if asked.reasoning_effort else None,
        include=[LOGPROBS] if asked.logprobs else [],
        metadata=asked.metadata or {},
        store=bool(asked.store),
        stream=bool(asked.stream),
        stream_options=_stream_options(asked),
        extra={**_chat_only(asked), **asked.extra},
    )


def _refuse(asked: CreateChatCompletion) -> None:
    """What nobody behind this API can be asked for."""
    if asked.n not in (None, 1):
        raise unsupported("n", "Only one choice is given; send the request several times instead")
    if asked.audio is not None:
        raise unsupported("audio", "Audio is not supported")
    if asked.modalities is not None and "audio" in asked.modalities:
        raise unsupported("modalities", "Only text is supported")


def _chat_only(asked: CreateChatCompletion) -> dict[str, Any]:
    given = {name: getattr(asked, name) for name in CHAT_ONLY}
    return {name: value for name, value in given.items() if value is not None and value not in _NEUTRAL.get(name, ())}


def _stream_options(asked: CreateChatCompletion) -> StreamOptions | None:
    if asked.stream_options is None or asked.stream_options.include_obfuscation is None:
        return None
    return StreamOptions(include_obfuscation=asked.stream_options.include_obfuscation)


def _text(asked: CreateChatCompletion) -> TextConfig | None:
    if asked.response_format is None and asked.verbosity is None:
        return None
    return TextConfig(format=_format(asked.response_format) or UNSET, verbosity=asked.verbosity or UNSET)


def _format(
    wanted: FormatText | FormatJsonObject | ChatJsonSchema | None,
) -> FormatText | FormatJsonObject | FormatJsonSchema | None:
    if not isinstance(wanted, ChatJsonSchema):
        return wanted
    schema = wanted.json_schema
    return FormatJsonSchema(
        name=schema.name,
        schema_=schema.schema_,
        description=schema.description or UNSET,
        strict=UNSET if schema.strict is None else schema.strict,
    )


# Tools


def _tools(asked: CreateChatCompletion) -> list[Tool]:
    tools: list[Tool] = [_tool(tool) for tool in asked.tools or ()]
    tools += [_function(function) for function in asked.functions or ()]
    _check_names(tools, "functions" if asked.functions is not None else "tools")
    if asked.web_search_options is not None:
        tools.append(_web_search(asked.web_search_options))
    return tools


def _tool(tool: ChatFunctionTool | ChatCustomTool) -> FunctionTool | CustomTool:
    match tool:
        case ChatFunctionTool(function=function):
            return _function(function)
    return _custom(tool.custom)


def _function(function: FunctionDefinition) -> FunctionTool:
    """A function. Without a word it is not strict in Chat Completions, and strict in Responses."""
    return FunctionTool(
        name=function.name,
        description=function.description or UNSET,
        parameters=function.parameters,
        strict=bool(function.strict),
    )


def _custom(tool: ChatCustom) -> CustomTool:
    format_ = tool.format
    if isinstance(format_, ChatGrammar):
        grammar = format_.grammar
        return CustomTool(
            name=tool.name,
            description=tool.description or UNSET,
            format=Grammar(syntax=grammar.syntax, definition=grammar.definition),
        )
    return CustomTool(name=tool.name, description=tool.description or UNSET)


def _check_names(tools: list[Tool], field: str) -> None:
    """Two functions of one name could not be told apart in a call."""
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        assert isinstance(tool, FunctionTool | CustomTool)
        if tool.name in seen:
            inner = "" if field == "functions" else "function." if isinstance(tool, FunctionTool) else "custom."
            param = f"{field}[{index}].{inner}name"
            message = f"Invalid '{param}': the name '{tool.name}' is used by more than one tool."
            raise InvalidRequest(message, param=param, code="invalid_value")
        seen.add(tool.name)


def _web_search(options: WebSearchOptions) -> WebSearchTool:
    place = options.user_location
    near = {} if place is None else msgspec.to_builtins(place.approximate)
    return WebSearchTool(
        search_context_size=options.search_context_size or UNSET,
        user_location=UNSET if place is None else {"type": "approximate", **_given(near)},
    )


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _choice(asked: CreateChatCompletion) -> ToolChoice | None:
    match asked.tool_choice or asked.function_call:
        case NamedFunction(name=name) | ChatFunctionChoice(function=NamedFunction(name=name)):
            return FunctionChoice(name=name)
        case ChatCustomChoice(custom=named):
            return CustomChoice(name=named.name)
        case ChatAllowedTools(allowed_tools=allowed):
            return AllowedTools(mode=allowed.mode, tools=[_flat(tool) for tool in allowed.tools])
        case "none" | "auto" | "required" as word:
            return word
    return None


def _flat(tool: dict[str, Any]) -> dict[str, Any]:
    """An allowed tool as Responses names it: what stands below its type moves up."""
    inner = tool.get(str(tool.get("type")))
    return {"type": tool.get("type"), **inner} if isinstance(inner, dict) else tool


# Errors


def param_of(asked: CreateChatCompletion, param: str | None) -> str | None:
    """The parameter of the chat request that a parameter of the Responses request was made of."""
    if param is None:
        return None
    for pattern, chat in _PARAMS:
        if found := pattern.match(param):
            return chat(asked, found) + param[found.end() :]
    return param


def _message(asked: CreateChatCompletion, found: re.Match[str]) -> str:
    placed = items_of(asked.messages)
    index = int(found[1])
    return f"messages[{placed[index].message}]" if index < len(placed) else "messages"


def _named_tool(asked: CreateChatCompletion, found: re.Match[str]) -> str:
    index = int(found[1])
    if asked.functions is not None:
        return f"functions[{index}]" if index < len(asked.functions) else "web_search_options"
    return f"tools[{index}]" if index < len(asked.tools or ()) else "web_search_options"


def _named_choice(asked: CreateChatCompletion, _: re.Match[str]) -> str:
    return "function_call" if asked.function_call is not None else "tool_choice"


def _named_limit(asked: CreateChatCompletion, _: re.Match[str]) -> str:
    return "max_tokens" if asked.max_tokens is not None else "max_completion_tokens"


_PARAMS: Final[tuple[tuple[re.Pattern[str], Callable[[CreateChatCompletion, re.Match[str]], str]], ...]] = (
    (re.compile(r"input\[(\d+)\]"), _message),
    (re.compile(r"input\b"), lambda *_: "messages"),
    (re.compile(r"tools\[(\d+)\]"), _named_tool),
    (re.compile(r"tool_choice\b"), _named_choice),
    (re.compile(r"max_output_tokens\b"), _named_limit),
    (re.compile(r"text\.format\b"), lambda *_: "response_format"),
    (re.compile(r"text\.verbosity\b"), lambda *_: "verbosity"),
    (re.compile(r"reasoning\.effort\b"), lambda *_: "reasoning_effort"),
    (re.compile(r"include\b.*"), lambda *_: "logprobs"),
)
