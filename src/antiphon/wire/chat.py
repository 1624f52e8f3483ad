"""The request of POST /chat/completions: messages, tools, settings, and the one place where they are validated.

Names are those of the Chat Completions API; where the Responses API has another thing of the same name, `Chat` stands
before it. `null` is the same as an absent key throughout.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from antiphon.wire.content import MAX_FILE_DATA, MAX_IMAGE_URL, MAX_TEXT, Detail
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.request import Metadata, Moderation, PromptCacheOptions, decode_known
from antiphon.wire.response import Effort
from antiphon.wire.struct import Typed, Unsent, Wire
from antiphon.wire.tools import FormatJsonObject, FormatText, Name

__all__ = [
    "CHAT_ONLY",
    "AssistantMessage",
    "ChatAllowedTools",
    "ChatCustom",
    "ChatCustomCall",
    "ChatCustomChoice",
    "ChatCustomTool",
    "ChatFile",
    "ChatFunctionCall",
    "ChatFunctionChoice",
    "ChatFunctionTool",
    "ChatGrammar",
    "ChatJsonSchema",
    "ChatMessage",
    "ChatRefusal",
    "ChatStreamOptions",
    "ChatText",
    "CreateChatCompletion",
    "DeveloperMessage",
    "FilePart",
    "FunctionDefinition",
    "FunctionMessage",
    "ImagePart",
    "InputAudioPart",
    "NamedFunction",
    "SystemMessage",
    "TextPart",
    "ToolMessage",
    "UpdateChatCompletion",
    "UserMessage",
    "WebSearchOptions",
    "decode_chat",
    "decode_chat_update",
]

Json = dict[str, Any]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]

CHAT_ONLY: Final = frozenset({"seed", "stop", "logit_bias", "presence_penalty", "frequency_penalty", "prediction"})
"""Parameters that the Responses API does not have. Whoever speaks Chat Completions behind us may be given them."""


# What messages are made of


class TextPart(Typed, tag="text", kw_only=True):
    """Text."""

    text: Text
    prompt_cache_breakpoint: Json | None = None


class ChatImage(Wire, kw_only=True):
    """Where an image is: a URL, also `data:`."""

    url: Annotated[str, Meta(max_length=MAX_IMAGE_URL)]
    detail: Detail | None = None


class ImagePart(Typed, tag="image_url", kw_only=True):
    """An image."""

    image_url: ChatImage
    prompt_cache_breakpoint: Json | None = None


class ChatAudio(Wire, kw_only=True):
    """Audio in base64."""

    data: str
    format: str


class InputAudioPart(Typed, tag="input_audio", kw_only=True):
    """Something said to the model."""

    input_audio: ChatAudio
    prompt_cache_breakpoint: Json | None = None


class ChatFile(Wire, kw_only=True):
    """A file: its bytes in base64, or the id of one that was uploaded."""

    file_data: Annotated[str, Meta(max_length=MAX_FILE_DATA)] | None = None
    file_id: str | None = None
    filename: str | None = None


class FilePart(Typed, tag="file", kw_only=True):
    """A file."""

    file: ChatFile
    prompt_cache_breakpoint: Json | None = None


class ChatRefusal(Typed, tag="refusal", kw_only=True):
    """What the model said instead of an answer."""

    refusal: str


ChatText = Text | list[TextPart]
"""What all messages may hold."""


# Calls


class NamedFunction(Wire, kw_only=True):
    """A function by its name."""

    name: str


class CalledFunction(Wire, kw_only=True):
    """A function that is called; `arguments` is JSON text."""

    name: str
    arguments: str


class ChatFunctionCall(Typed, tag="function", kw_only=True):
    """A call of a function, which a message of the role `tool` answers."""

    id: str
    function: CalledFunction


class CalledCustom(Wire, kw_only=True):
    """A custom tool that is called, and the text that it is given."""

    name: str
    input: str


class ChatCustomCall(Typed, tag="custom", kw_only=True):
    """A call of a custom tool."""

    id: str
    custom: CalledCustom


# Messages


class Spoken(Wire, tag_field="role", kw_only=True):
    """What every message has: its role. The name of the speaker has no place in the Responses API."""

    name: str | None = None


class DeveloperMessage(Spoken, tag="developer", kw_only=True):
    """What the model is to do."""

    content: ChatText


class SystemMessage(Spoken, tag="system", kw_only=True):
    """The same, in an older word."""

    content: ChatText


class UserMessage(Spoken, tag="user", kw_only=True):
    """What somebody says to the model."""

    content: Text | list[TextPart | ImagePart | InputAudioPart | FilePart]


class AssistantMessage(Spoken, tag="assistant", kw_only=True):
    """What the model said. `reasoning_content` is not OpenAI's: models that think between calls need it back."""

    content: Text | list[TextPart | ChatRefusal] | None = None
    refusal: str | None = None
    tool_calls: list[ChatFunctionCall | ChatCustomCall] | None = None
    function_call: CalledFunction | None = None
    audio: Json | None = None
    reasoning_content: str | None = None


class ToolMessage(Spoken, tag="tool", kw_only=True):
    """What a tool returned."""

    content: ChatText
    tool_call_id: str


class FunctionMessage(Spoken, tag="function", kw_only=True):
    """What a function returned, before there were tools: `name` says which."""

    content: str | None = None


ChatMessage = DeveloperMessage | SystemMessage | UserMessage | AssistantMessage | ToolMessage | FunctionMessage


# Tools


class FunctionDefinition(Wire, kw_only=True):
    """A function of the client."""

    name: Name
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


class ChatFunctionTool(Typed, tag="function", kw_only=True):
    """A function of the client, as a tool."""

    function: FunctionDefinition


class GrammarDefinition(Wire, kw_only=True):
    """A grammar, and the language that it is written in."""

    definition: str
    syntax: Literal["lark", "regex"]


class ChatGrammar(Typed, tag="grammar", kw_only=True):
    """Text of a grammar."""

    grammar: GrammarDefinition


class ChatCustom(Wire, kw_only=True):
    """A tool that takes text."""

    name: Name
    description: str | None = None
    format: FormatText | ChatGrammar | None = None


class ChatCustomTool(Typed, tag="custom", kw_only=True):
    """A tool of the client that takes text instead of JSON."""

    custom: ChatCustom


class ChatFunctionChoice(Typed, tag="function", kw_only=True):
    """This function."""

    function: NamedFunction


class ChatCustomChoice(Typed, tag="custom", kw_only=True):
    """This custom tool."""

    custom: NamedFunction


class AllowedSet(Wire, kw_only=True):
    """Some of the tools, each as `{"type": …, "function": {"name": …}}`."""

    mode: Literal["auto", "required"]
    tools: list[Json]


class ChatAllowedTools(Typed, tag="allowed_tools", kw_only=True):
    """Only some of the tools."""

    allowed_tools: AllowedSet


ChatToolChoice = Literal["none", "auto", "required"] | ChatFunctionChoice | ChatCustomChoice | ChatAllowedTools


# Settings


class ChatJsonSchema(Typed, tag="json_schema", kw_only=True):
    """JSON that satisfies a schema."""

    json_schema: NamedSchema


class NamedSchema(Wire, kw_only=True):
    """A schema and its name."""

    name: Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}(?!\n)$")]
    schema_: Json = msgspec.field(name="schema", default_factory=dict)
    description: str | None = None
    strict: bool | None = None


class ChatStreamOptions(Wire, kw_only=True):
    """How a completion is streamed."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Approximate(Wire, kw_only=True):
    """About where the user is."""

    city: str | None = None
    country: str | None = None
    region: str | None = None
    timezone: str | None = None


class UserLocation(Typed, tag="approximate", kw_only=True):
    """Where the user is."""

    approximate: Approximate


class WebSearchOptions(Wire, kw_only=True):
    """Lets the model search the web."""

    search_context_size: Literal["low", "medium", "high"] | None = None
    user_location: UserLocation | None = None


class CreateChatCompletion(Wire, kw_only=True, forbid_unknown_fields=True):
    """POST /chat/completions. `extra` is no parameter: it holds what `decode_chat` was told to let through."""

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    model: str
    store: bool | None = None
    stream: bool | None = None
    stream_options: ChatStreamOptions | None = None
    tools: list[ChatFunctionTool | ChatCustomTool] | None = None
    tool_choice: ChatToolChoice | None = None
    parallel_tool_calls: bool | None = None
    functions: list[FunctionDefinition] | None = None
    function_call: Literal["none", "auto"] | NamedFunction | None = None
    response_format: FormatText | FormatJsonObject | ChatJsonSchema | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    reasoning_effort: Effort | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    metadata: Metadata | None = None
    user: str | None = None
    safety_identifier: Annotated[str, Meta(max_length=128)] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    prompt_cache_retention: Literal["in_memory", "in-memory", "24h"] | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority", "fast"] | None = None
    moderation: Moderation | None = None
    web_search_options: WebSearchOptions | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    seed: int | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    prediction: Json | None = None
    modalities: list[Literal["text", "audio"]] | None = None
    audio: Json | None = None
    extra: Unsent[Json] = {}


class UpdateChatCompletion(Wire, kw_only=True, forbid_unknown_fields=True):
    """POST /chat/completions/{completion_id}."""

    metadata: Metadata | None


def decode_chat(body: bytes, *, pass_through: frozenset[str] = frozenset()) -> CreateChatCompletion:
    """Decode and validate the body of POST /chat/completions.

    Unknown parameters are refused, unless their names are in `pass_through`: those are kept in `extra`.
    Raises InvalidRequest.
    """
    request, extra = decode_known(body, CreateChatCompletion, pass_through)
    request.extra.update(extra)
    for one, other in _EXCLUSIVE:
        if getattr(request, one) is not None and getattr(request, other) is not None:
            message = f"Mutually exclusive parameters: '{one}' and '{other}'. Provide only one of them."
            raise InvalidRequest(message, param=one, code="mutually_exclusive_parameters")
    for one, other in _NEEDS:
        if getattr(request, one) is not None and not getattr(request, other):
            message = f"The parameter '{one}' is only allowed together with '{other}'."
            raise InvalidRequest(message, param=one, code="invalid_value")
    return request


def decode_chat_update(body: bytes) -> UpdateChatCompletion:
    """Decode and validate the body of POST /chat/completions/{completion_id}. Raises InvalidRequest."""
    request, _ = decode_known(body, UpdateChatCompletion, frozenset())
    return request


_EXCLUSIVE: Final = (("max_tokens", "max_completion_tokens"), ("functions", "tools"), ("function_call", "tool_choice"))
_NEEDS: Final = (
    ("stream_options", "stream"),
    ("top_logprobs", "logprobs"),
    ("function_call", "functions"),
)
