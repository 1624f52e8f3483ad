"""The requests that start a response, and the one place where they are validated.

`decode_create` takes bytes and gives a `CreateResponse` that needs no further check, or raises an InvalidRequest that
names the `param`; for an image that is none, Unprocessable. `null` is the same as an absent key throughout, as it is
for OpenAI.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Annotated, Any, Final, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta, Raw

from antiphon.wire.content import MAX_TEXT
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.images import check_images
from antiphon.wire.invalid import malformed, refuse
from antiphon.wire.items import Item, decode_item
from antiphon.wire.read import ANYTHING, RAW_ARRAY, RAW_OBJECT, decoder, read
from antiphon.wire.response import ConversationRef, Prompt, ReasoningConfig
from antiphon.wire.struct import Defaulted, Deferred, Unsent, Wire, as_sent, encode
from antiphon.wire.tools import (
    CustomTool,
    FunctionTool,
    TextConfig,
    Tool,
    ToolChoice,
    decode_tool,
    decode_tool_choice,
)

__all__ = [
    "INCLUDABLE",
    "MAX_DEPTH",
    "ContextManagement",
    "CountTokens",
    "CreateResponse",
    "Include",
    "Metadata",
    "Moderation",
    "ModerationPolicy",
    "PromptCacheOptions",
    "StreamOptions",
    "TurnRequest",
    "check_depth",
    "decode_count",
    "decode_create",
    "decode_known",
]

MAX_DEPTH: Final = 64
"""How deep a body may be nested."""

Json = dict[str, Any]
Include = Literal[
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
]
Metadata = Annotated[
    dict[Annotated[str, Meta(max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
Mode = Literal["score", "block"]


class StreamOptions(Wire, kw_only=True):
    """How a response is streamed."""

    include_obfuscation: bool | None = None


class ContextManagement(Wire, kw_only=True):
    """When the context is shortened by itself: beyond `compact_threshold` tokens."""

    type: Literal["compaction"]
    compact_threshold: Annotated[int, Meta(ge=1)] | None = None


class ModerationMode(Wire, kw_only=True, forbid_unknown_fields=True):
    """Whether moderation only tells its scores, or blocks."""

    mode: Mode


class ModerationPolicy(Wire, kw_only=True, forbid_unknown_fields=True):
    """What moderation does with input and output."""

    input: ModerationMode | None = None
    output: ModerationMode | None = None


class Moderation(Wire, kw_only=True, forbid_unknown_fields=True):
    """Asks for moderation by a model. A key that was misspelt would leave unguarded what was to be: it is refused."""

    model: str
    policy: ModerationPolicy | None = None


class PromptCacheOptions(Wire, kw_only=True):
    """How the prompt is cached."""

    mode: Literal["implicit", "explicit"] | None = None
    ttl: Literal["30m", "12h"] | None = None
    comparison_response_id: str | None = None
    prewarm: bool | None = None


class Image(Wire, kw_only=True):
    """Options for all images of a request."""

    context_compression: Literal["auto", "enabled", "disabled"] | None = None


class AccessPrograms(Wire, kw_only=True):
    """Programs of access to special models."""

    cyber: Literal["standard", "daybreak_blue", "daybreak_red"] | None = None


class TurnRequest(Wire, kw_only=True, omit_defaults=True):
    """What a model is asked, in both requests. `None` means not sent, where there is no other default."""

    model: str | None = None
    input: Deferred[str | list[Item] | None] = None
    instructions: str | None = None
    previous_response_id: str | None = None
    conversation: str | ConversationRef | None = None
    tools: Deferred[list[Tool]] = []
    tool_choice: Deferred[ToolChoice] = "auto"
    parallel_tool_calls: Defaulted[bool] = True
    reasoning: ReasoningConfig | None = None
    text: TextConfig | None = None
    truncation: Defaulted[Literal["auto", "disabled"]] = "disabled"


class CountTokens(TurnRequest, kw_only=True, forbid_unknown_fields=True):
    """POST /responses/input_tokens."""

    personality: str | None = None


class CreateResponse(TurnRequest, kw_only=True, forbid_unknown_fields=True):
    """POST /responses. `extra` is no parameter: it holds what `decode_create` was told to let through."""

    store: Defaulted[bool] = True
    stream: Defaulted[bool] = False
    stream_options: StreamOptions | None = None
    background: Defaulted[bool] = False
    include: Defaulted[list[Include]] = []
    max_output_tokens: Annotated[int, Meta(ge=16)] | None = None
    max_tool_calls: Annotated[int, Meta(ge=0)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    metadata: Defaulted[Metadata] = {}
    prompt: Prompt | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    safety_identifier: Annotated[str, Meta(max_length=128)] | None = None
    user: str | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"] | None = None
    context_management: Annotated[list[ContextManagement], Meta(min_length=1)] | None = None
    moderation: Moderation | None = None
    image: Image | None = None
    access_programs: AccessPrograms | None = None
    extra: Unsent[Json] = {}


AnyRequest = TypeVar("AnyRequest", bound=Wire)

_TOLERATED: Final = frozenset({"client_metadata"})
"""Codex sends it with every request; it means nothing to the model."""


def decode_create(body: bytes, *, pass_through: frozenset[str] = frozenset()) -> CreateResponse:
    """Decode and validate the body of POST /responses.

    Unknown parameters are refused, unless their names are in `pass_through`: those are kept in `extra`.
    Raises InvalidRequest.
    """
    request, extra = decode_known(body, CreateResponse, pass_through)
    request.extra.update(extra)
    _second_stage(request)
    for check in _CREATE_CHECKS:
        check(request)
    return request


def decode_count(body: bytes) -> CountTokens:
    """Decode and validate the body of POST /responses/input_tokens. Raises InvalidRequest."""
    request, _ = decode_known(body, CountTokens, frozenset())
    _second_stage(request)
    _check_history(request)
    _check_names(request)
    return request


def check_depth(body: bytes, limit: int = MAX_DEPTH) -> None:
    """Refuse JSON that is nested deeper than `limit`, without recursion and without parsing it.

    Of what is outside of strings only the brackets are kept, as steps up and down, and summed. Brackets that do not
    match are the decoder's to find: up to that place the sums are right. The time is proportionate to the length,
    whatever the body holds: some 40 ns a bracket.
    """
    if body.count(b"[") + body.count(b"{") <= limit:
        return
    marks = body.replace(rb"\\", b"").replace(rb"\"", b"").translate(_STEPS, _NO_MARKS).replace(b'""', b"")
    steps = memoryview(b"".join(marks.split(b'"')[::2])).cast("b")
    depth = 0
    for at in range(0, len(steps), _STRETCH):
        stretch = steps[at : at + _STRETCH]
        if depth + max(accumulate(stretch)) > limit:
            message = f"The JSON body of your request is nested deeper than {limit} levels."
            raise InvalidRequest(message, code="invalid_json")
        depth += sum(stretch)


_STRETCH: Final = 64 * 1024
_NO_MARKS: Final = bytes(set(range(256)) - set(b'"[]{}'))
_STEPS: Final = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")


# First stage: everything whose type is closed


def decode_known(
    body: bytes, kind: type[AnyRequest], pass_through: frozenset[str]
) -> tuple[AnyRequest, dict[str, Any]]:
    """Decode a body, and beside it the parameters of it that are to be let through. Raises InvalidRequest."""
    check_depth(body)
    try:
        return decoder(kind).decode(body), {}
    except msgspec.ValidationError as error:
        return _without_extra(body, kind, pass_through, error)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(error) from error


def _without_extra(
    body: bytes, kind: type[AnyRequest], pass_through: frozenset[str], error: msgspec.ValidationError
) -> tuple[AnyRequest, dict[str, Any]]:
    """Try again without the parameters that are to be let through or overlooked, if the body has any."""
    names = (pass_through | _TOLERATED) - set(kind.__struct_encode_fields__) | (pass_through & {"extra"})
    sent = read(body, RAW_OBJECT)
    if names.isdisjoint(sent):
        raise refuse(error, kind, body) from error
    known = {name: raw for name, raw in sent.items() if name not in names}
    extra = {name: read(raw, ANYTHING, name) for name, raw in sent.items() if name in names & pass_through}
    return read(encode(known), decoder(kind)), extra


# Second stage: input, tools and tool_choice, whose types are open; and null for a default


def _second_stage(request: TurnRequest) -> None:
    for field, default in _DEFAULTS[type(request)]:
        if getattr(request, field) is None:
            setattr(request, field, default())
    if isinstance(raw := as_sent(request.input), Raw):
        request.input = _decode_input(raw)
    if isinstance(raw := as_sent(request.tools), Raw):
        tools = read(raw, RAW_ARRAY, "tools") or []
        request.tools = [decode_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]
    if isinstance(raw := as_sent(request.tool_choice), Raw):
        request.tool_choice = "auto" if bytes(raw) == b"null" else decode_tool_choice(raw)


_Text = Annotated[str, Meta(max_length=MAX_TEXT)]
_INPUT: Final[msgspec.json.Decoder[str | list[Raw] | None]] = msgspec.json.Decoder(_Text | list[Raw] | None)


def _decode_input(raw: Raw) -> str | list[Item] | None:
    sent = read(raw, _INPUT, "input")
    if isinstance(sent, list):
        items = [decode_item(item, f"input[{index}]") for index, item in enumerate(sent)]
        check_images(items, "input")
        return items
    return sent


_Defaults = list[tuple[str, Callable[[], Any]]]


def _defaults(kind: type[TurnRequest]) -> _Defaults:
    """The fields that are never None, and how their default is made."""
    fields = msgspec.structs.fields(kind)
    made = [(f.name, f.default_factory) for f in fields if f.default_factory is not msgspec.NODEFAULT]
    given = [(f.name, lambda default=f.default: default) for f in fields if f.default not in (msgspec.NODEFAULT, None)]
    return [*made, *given]


_REQUESTS: Final[tuple[type[TurnRequest], ...]] = (CreateResponse, CountTokens)
_DEFAULTS: Final[Mapping[type[TurnRequest], _Defaults]] = {kind: _defaults(kind) for kind in _REQUESTS}


# What no single field can tell


def _check_history(request: TurnRequest) -> None:
    if request.conversation is not None and request.previous_response_id is not None:
        raise InvalidRequest(
            "Mutually exclusive parameters: 'conversation' and 'previous_response_id'. Provide only one of them.",
            param="previous_response_id",
            code="mutually_exclusive_parameters",
        )


def _check_names(request: TurnRequest) -> None:
    """Two functions of one name could not be told apart in a call."""
    seen: set[str] = set()
    for index, tool in enumerate(request.tools):
        match tool:
            case FunctionTool(name=name) | CustomTool(name=name):
                if name in seen:
                    message = f"Invalid 'tools[{index}].name': the name '{name}' is used by more than one tool."
                    raise InvalidRequest(message, param=f"tools[{index}].name", code="invalid_value")
                seen.add(name)


def _check_input(request: CreateResponse) -> None:
    """There must be something to answer."""
    if request.input is None and not (request.prompt or request.previous_response_id or request.conversation):
        raise InvalidRequest(
            "One of 'input', 'prompt', 'previous_response_id' or 'conversation' must be provided.",
            param="input",
            code="missing_required_parameter",
        )


def _check_background(request: CreateResponse) -> None:
    """A background response is read from the store."""
    if request.background and not request.store:
        message = "Invalid 'background': a background response must be stored, but 'store' is false."
        raise InvalidRequest(message, param="background", code="invalid_value")


_CREATE_CHECKS: Final[tuple[Callable[[CreateResponse], None], ...]] = (
    _check_history,
    _check_input,
    _check_background,
    _check_names,
)

INCLUDABLE: Final[tuple[str, ...]] = get_args(Include)
