"""The objects that the server answers with: Response, its usage and errors, and the small ones around it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Raw

from antiphon.wire.items import Item, keep_item
from antiphon.wire.moderation import ResponseModeration
from antiphon.wire.read import RAW_ARRAY, decoder, read
from antiphon.wire.struct import UNSET, Deferred, Maybe, Wire, as_sent
from antiphon.wire.tools import FormatText, TextConfig, Tool, ToolChoice, decode_tool_choice, keep_tool

__all__ = [
    "ConversationRef",
    "IncompleteDetails",
    "InputTokens",
    "InputTokensDetails",
    "ItemList",
    "ModelList",
    "ModelObject",
    "OutputTokensDetails",
    "Prompt",
    "ReasoningConfig",
    "Response",
    "ResponseDeleted",
    "ResponseError",
    "Status",
    "Usage",
    "decode_response",
]

Json = dict[str, Any]
Status = Literal["queued", "in_progress", "completed", "failed", "cancelled", "incomplete"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Summary = Literal["auto", "concise", "detailed"]


class InputTokensDetails(Wire, kw_only=True):
    """How much of the input was read from a cache, and written to it."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_tokens_details: Maybe[Json | None] = UNSET


class OutputTokensDetails(Wire, kw_only=True):
    """How much of the output was reasoning."""

    reasoning_tokens: int = 0


class Usage(Wire, kw_only=True):
    """Tokens, over all turns of a response. The details are parts of the sums, not beside them."""

    input_tokens: int = 0
    input_tokens_details: InputTokensDetails = msgspec.field(default_factory=InputTokensDetails)
    output_tokens: int = 0
    output_tokens_details: OutputTokensDetails = msgspec.field(default_factory=OutputTokensDetails)
    total_tokens: int = 0


class ResponseError(Wire, kw_only=True):
    """Why a response failed. `code` is open: OpenAI sends codes that its SDK does not list."""

    code: str
    message: str
    type: Maybe[str | None] = UNSET
    param: Maybe[str | None] = UNSET
    misalignment: Maybe[Json | None] = UNSET


class IncompleteDetails(Wire, kw_only=True):
    """Why a response is incomplete: `max_output_tokens`, `max_messages`, `content_filter` or `steered`."""

    reason: str | None = None


class ReasoningConfig(Wire, kw_only=True):
    """How much the model should think, and what is told of it."""

    effort: Effort | None = None
    summary: Summary | None = None
    generate_summary: Maybe[Summary | None] = UNSET
    context: Maybe[Literal["auto", "current_turn", "all_turns"] | None] = UNSET
    mode: Maybe[str | None] = UNSET


class ConversationRef(Wire, kw_only=True):
    """The conversation that a response belongs to."""

    id: str


class Prompt(Wire, kw_only=True):
    """A stored prompt and the values of its variables: text, or an input part."""

    id: str
    version: Maybe[str | None] = UNSET
    variables: Maybe[dict[str, str | Json] | None] = UNSET


class Response(Wire, tag_field="object", tag="response", kw_only=True):
    """A response. All keys that a live response of OpenAI has are there, with the effective settings of the request.

    Times are seconds since 1970. `completed_at` is set only when the status is `completed`.
    The last fields are there only if the request used what they tell of.
    """

    id: str
    created_at: int | float
    status: Status = "in_progress"
    background: bool | None = False
    completed_at: int | float | None = None
    error: ResponseError | None = None
    frequency_penalty: float | None = 0.0
    incomplete_details: IncompleteDetails | None = None
    instructions: Deferred[str | list[Item] | None] = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    model: str
    output: Deferred[list[Item]] = []
    parallel_tool_calls: bool = True
    presence_penalty: float | None = 0.0
    previous_response_id: str | None = None
    prompt: Prompt | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    reasoning: ReasoningConfig | None = msgspec.field(default_factory=ReasoningConfig)
    safety_identifier: str | None = None
    service_tier: str | None = "default"
    store: bool | None = True
    temperature: float | None = 1.0
    text: TextConfig | None = msgspec.field(default_factory=lambda: TextConfig(format=FormatText(), verbosity="medium"))
    tool_choice: Deferred[ToolChoice] = "auto"
    tools: Deferred[list[Tool]] = []
    top_logprobs: int | None = 0
    top_p: float | None = 1.0
    truncation: str | None = "disabled"
    usage: Usage | None = None
    user: str | None = None
    metadata: dict[str, str] | None = {}
    conversation: Maybe[ConversationRef | None] = UNSET
    moderation: Maybe[ResponseModeration | None] = UNSET
    tool_usage: Maybe[Json | None] = UNSET
    image: Maybe[Json | None] = UNSET
    access_programs: Maybe[Json | None] = UNSET
    input_transformations: Maybe[list[Json] | None] = UNSET
    prompt_cache_options: Maybe[Json | None] = UNSET
    prompt_cache_diagnostics: Maybe[Json | None] = UNSET


class ResponseDeleted(Wire, tag_field="object", tag="response", kw_only=True):
    """The answer to DELETE /responses/{id}."""

    id: str
    deleted: bool = True


class InputTokens(Wire, tag_field="object", tag="response.input_tokens", kw_only=True):
    """The answer to POST /responses/input_tokens."""

    input_tokens: Annotated[int, Meta(ge=0)]


class ItemList(Wire, tag_field="object", tag="list", kw_only=True):
    """One page of items. `first_id` and `last_id` are null when it is empty."""

    data: Deferred[list[Item]]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class ModelObject(Wire, tag_field="object", tag="model", kw_only=True):
    """A model that requests may name."""

    id: str
    created: int
    owned_by: str


class ModelList(Wire, tag_field="object", tag="list", kw_only=True):
    """All of them: this list has no pages."""

    data: list[ModelObject]


_INSTRUCTIONS: msgspec.json.Decoder[str | list[Raw] | None] = msgspec.json.Decoder(str | list[Raw] | None)


def decode_response(raw: bytes | Raw) -> Response:
    """Decode a response that we stored or another server sent.

    Items and tools that are not what we know under their type are kept as `Opaque`. Raises InvalidRequest.
    """
    response: Response = read(raw, decoder(Response), "response")
    response.output = [keep_item(item) for item in _raws(response.output)]
    response.tools = [keep_tool(tool) for tool in _raws(response.tools)]
    if isinstance(choice := as_sent(response.tool_choice), Raw):
        response.tool_choice = decode_tool_choice(choice)
    if isinstance(instructions := as_sent(response.instructions), Raw):
        sent = read(instructions, _INSTRUCTIONS, "instructions")
        response.instructions = [keep_item(item) for item in sent] if isinstance(sent, list) else sent
    return response


def _raws(value: Any) -> list[Raw]:
    """The elements of an array in its first stage; a null of a careless server is an empty array."""
    elements = read(value, RAW_ARRAY, "response") if isinstance(value, Raw) else None
    return elements or []
