"""A turn as the body of a Responses request: every parameter of the client's, but for those that are ours.

Ours are which model answers, that it streams, and where the context comes from: `input` is always the whole of it, so
that the upstream need not keep anything, and `previous_response_id` and `conversation` stay with us.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from antiphon.models.responses_items import Reach, sendable
from antiphon.models.upstream import UpstreamOptions
from antiphon.turn.input import Turn
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.request import (
    CreateResponse,
    Moderation,
    ModerationPolicy,
    PromptCacheOptions,
    StreamOptions,
    TurnRequest,
)
from antiphon.wire.response import Prompt, ReasoningConfig
from antiphon.wire.struct import UNSET, type_of
from antiphon.wire.tools import AllowedTools, ToolChoice

__all__ = ["ResponsesOptions", "asked_for", "count_body", "left_out", "lesson", "response_body"]

Json = dict[str, Any]


class ResponsesOptions(UpstreamOptions, kw_only=True):
    """What is configured about a Responses upstream."""

    store: bool = False
    """Whether the upstream stores its responses. It need not: it is sent the whole context each time."""

    resume: bool = False
    """Whether background responses are stored by the upstream, so that one whose connection broke is continued."""

    tools_left_out: frozenset[str] = frozenset()
    """Types of tools that the upstream refuses. They are not sent, and named to the client."""

    encrypted_reasoning: bool = True
    """Whether to ask an upstream that stores nothing for its reasoning in encrypted form, to hand it back.

    An upstream that refuses it for this model (OpenAI: models that do not reason) is not asked again.
    """

    plain_reasoning: bool = True
    """Whether to hand reasoning back that is not encrypted. An upstream that refuses it is not sent it again."""

    encoding: str = ""
    """The tokenizer to count with where the upstream does not count. Default: by the model's name."""


ENCRYPTED: Final = "reasoning.encrypted_content"

_NOT_SENT: Final = frozenset(
    {"model", "input", "previous_response_id", "conversation", "store", "stream", "background", "extra"}
)
"""Parameters whose values are ours."""

_NOT_CHANGED: Final = frozenset({"model", "input", "store", "stream", "background"})
"""What a client's `extra_body` cannot change: which model answers, to what, and how we read it."""

_COUNTED: Final = frozenset(TurnRequest.__struct_fields__)
"""What the request that counts has of one that creates."""

NEEDED: Final = frozenset({"file_search", "code_interpreter", "mcp"})
"""Tools without which an answer would be an invention."""


def asked_for(request: CreateResponse) -> Json:
    """The parameters that the client set, by name."""
    values = {name: getattr(request, name) for name in request.__struct_fields__}
    return {name: value for name, value in values.items() if value != getattr(_UNASKED, name)}


_UNASKED: Final = CreateResponse()


def response_body(turn: Turn, options: ResponsesOptions, reach: Reach) -> Json:
    """The JSON body of POST /responses. It always asks for a stream."""
    request = turn.request
    body = _settings(request, options)
    if include := _include(request, reach):
        body["include"] = include
    kept = is_kept(request, options)
    if request.background:
        body["background"] = kept
    return {
        "model": options.model,
        "input": sendable(turn.items, reach),
        **body,
        **options.extra_body,
        **_extra(request),
        "store": options.store or kept,
        "stream": True,
    }


def is_kept(request: CreateResponse, options: ResponsesOptions) -> bool:
    """Whether the upstream keeps what it says, and says it also when nobody listens."""
    return request.background and options.resume


def count_body(turn: Turn, options: ResponsesOptions, reach: Reach) -> Json:
    """The JSON body of POST /responses/input_tokens."""
    settings = {name: value for name, value in _settings(turn.request, options).items() if name in _COUNTED}
    return {"model": options.model, "input": sendable(turn.items, reach), **settings}


def _settings(request: CreateResponse, options: ResponsesOptions) -> Json:
    settings = {name: _without_nulls(value) for name, value in asked_for(request).items() if name not in _NOT_SENT}
    if options.tools_left_out and request.tools:
        settings["tools"] = [tool for tool in request.tools if type_of(tool) not in options.tools_left_out]
        settings["tool_choice"] = _choice(request.tool_choice, options)
        if not settings["tools"]:
            del settings["tools"], settings["tool_choice"]
    return settings


def _without_nulls(setting: Any) -> Any:
    """A setting as few servers can refuse it: one that is an object without the fields that were not set.

    Nor does the upstream know the id of a response of ours.
    """
    if not isinstance(setting, _OBJECTS):
        return setting
    names = (name for name in setting.__struct_fields__ if name != "comparison_response_id")
    fields = {name: _without_nulls(getattr(setting, name)) for name in names}
    return {name: value for name, value in fields.items() if value is not None and value is not UNSET}


_OBJECTS: Final = (ReasoningConfig, StreamOptions, PromptCacheOptions, Moderation, ModerationPolicy, Prompt)


def _choice(choice: ToolChoice, options: ResponsesOptions) -> ToolChoice:
    """The choice, without the tools that are left out."""
    if not isinstance(choice, AllowedTools):
        return choice
    kept = [tool for tool in choice.tools if tool.get("type") not in options.tools_left_out]
    return msgspec.structs.replace(choice, tools=kept) if kept else "none"


def _include(request: CreateResponse, reach: Reach) -> list[str]:
    wanted = ENCRYPTED if reach.seals and not reach.stores else None
    return [*request.include, *([wanted] if wanted is not None and wanted not in request.include else [])]


def _extra(request: CreateResponse) -> Json:
    """What the client sent beyond the API, as far as the configuration lets it through."""
    extra = dict(request.extra)
    inner = extra.pop("extra_body", None)
    if isinstance(inner, dict):
        extra = {**inner, **extra}
    return {name: value for name, value in extra.items() if name not in _NOT_CHANGED}


# --- Tools that the upstream does not have


def left_out(request: CreateResponse, options: ResponsesOptions) -> tuple[str, ...]:
    """The types of tools that are left out, each once. Raises InvalidRequest where that would falsify the answer."""
    missing = options.tools_left_out
    if not missing:
        return ()
    for index, tool in enumerate(request.tools):
        if type_of(tool) in missing & NEEDED:
            raise _unsupported(type_of(tool), f"tools[{index}]")
    kinds = [type_of(tool) for tool in request.tools]
    if _is_forced(request.tool_choice, kinds, missing):
        choice = request.tool_choice
        raise _unsupported(choice if isinstance(choice, str) else type_of(choice), "tool_choice")
    return tuple(dict.fromkeys(kind for kind in kinds if kind in missing))


def _is_forced(choice: ToolChoice, kinds: list[str], missing: frozenset[str]) -> bool:
    """Whether the choice leaves the model nothing but tools that are left out."""
    if choice == "required":
        return bool(kinds) and missing.issuperset(kinds)
    if isinstance(choice, AllowedTools):
        return choice.mode == "required" and all(tool.get("type") in missing for tool in choice.tools)
    return not isinstance(choice, str) and type_of(choice) in missing


def _unsupported(kind: str, param: str) -> InvalidRequest:
    return InvalidRequest(f"The model behind this name cannot serve '{kind}'.", param=param, code="unsupported_tool")


# --- What a refusal teaches

_REASONING_CONTENT: Final = re.compile(r"input\[\d+\]\.content")


def lesson(refusal: InvalidRequest, request: CreateResponse, reach: Reach) -> Reach | None:
    """What to do without, and then ask again, when the upstream refused what we added or handed back by ourselves.

    None if it refused what the client asked for. Such requests were refused as a whole: nothing was said.
    """
    param = refusal.param or ""
    if refusal.code == "invalid_encrypted_content":
        return msgspec.structs.replace(reach, unseals=False) if reach.unseals else None
    if reach.reads_reasoning and refusal.code == "array_above_max_length" and _REASONING_CONTENT.match(param):
        return msgspec.structs.replace(reach, reads_reasoning=False)
    is_ours = reach.seals and not reach.stores and ENCRYPTED not in request.include
    if is_ours and ("include" in param or "encrypted" in refusal.message.lower()):
        return msgspec.structs.replace(reach, seals=False)
    return None
