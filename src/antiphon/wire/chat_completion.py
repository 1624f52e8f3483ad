"""What POST /chat/completions answers with: a completion, or its chunks; and the lists of stored completions.

`reasoning_content` is not in OpenAI's API. Most servers of thinking models have it, and clients read it there.
"""

from __future__ import annotations

from typing import Any, Literal

from antiphon.wire.moderation import ModerationError, ModerationResult
from antiphon.wire.struct import UNSET, Maybe, Typed, Wire

__all__ = [
    "CallDelta",
    "CalledCustomTool",
    "CalledTool",
    "ChatChoice",
    "ChatCompletion",
    "ChatCompletionChunk",
    "ChatCompletionDeleted",
    "ChatCompletionList",
    "ChatCompletionMessage",
    "ChatLogprobs",
    "ChatModeration",
    "ChatModerationResults",
    "ChatTokenLogprob",
    "ChatTopLogprob",
    "ChatUsage",
    "ChunkChoice",
    "CitedURL",
    "CompletionTokensDetails",
    "CustomDelta",
    "FinishReason",
    "FunctionDelta",
    "MessageDelta",
    "PromptTokensDetails",
    "StoredMessage",
    "StoredMessageList",
    "ToolCall",
    "URLAnnotation",
]

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
Json = dict[str, Any]


# The message


class FunctionDelta(Wire, kw_only=True):
    """A function that is called, or a piece of that."""

    name: Maybe[str] = UNSET
    arguments: Maybe[str] = UNSET


class CustomDelta(Wire, kw_only=True):
    """A custom tool that is called, or a piece of that."""

    name: Maybe[str] = UNSET
    input: Maybe[str] = UNSET


class CalledTool(Typed, tag="function", kw_only=True):
    """A call of a function."""

    id: str
    function: FunctionDelta


class CalledCustomTool(Typed, tag="custom", kw_only=True):
    """A call of a custom tool."""

    id: str
    custom: CustomDelta


ToolCall = CalledTool | CalledCustomTool


class CitedURL(Wire, kw_only=True):
    """A web page behind some characters of the text."""

    start_index: int
    end_index: int
    title: str
    url: str


class URLAnnotation(Typed, tag="url_citation", kw_only=True):
    """A citation. `index` is its place among them, in streams only: the SDKs put lists together by it."""

    url_citation: CitedURL
    index: Maybe[int] = UNSET


class ChatCompletionMessage(Wire, kw_only=True):
    """What the model said."""

    role: Literal["assistant"] = "assistant"
    content: str | None = None
    refusal: str | None = None
    annotations: list[URLAnnotation] = []
    reasoning_content: Maybe[str] = UNSET
    tool_calls: Maybe[list[ToolCall]] = UNSET
    function_call: Maybe[FunctionDelta] = UNSET


class ChatTopLogprob(Wire, kw_only=True):
    """One of the likeliest tokens at a place."""

    token: str
    logprob: float
    bytes: list[int] | None = None


class ChatTokenLogprob(Wire, kw_only=True):
    """A token that was written, and those that might have been."""

    token: str
    logprob: float
    bytes: list[int] | None = None
    top_logprobs: list[ChatTopLogprob] = []


class ChatLogprobs(Wire, kw_only=True):
    """The log probabilities of the content."""

    content: list[ChatTokenLogprob] | None = None
    refusal: list[ChatTokenLogprob] | None = None


class ChatChoice(Wire, kw_only=True):
    """The answer: there is one."""

    index: int = 0
    message: ChatCompletionMessage
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason


# Usage and moderation


class PromptTokensDetails(Wire, kw_only=True):
    """Parts of the prompt's tokens."""

    cached_tokens: int = 0
    cache_write_tokens: int = 0
    audio_tokens: int = 0


class CompletionTokensDetails(Wire, kw_only=True):
    """Parts of the completion's tokens."""

    reasoning_tokens: int = 0
    audio_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class ChatUsage(Wire, kw_only=True):
    """Tokens."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails


class ChatModerationResults(Typed, tag="moderation_results", kw_only=True):
    """What was found in the input, or in the output."""

    model: str
    results: list[ModerationResult]


class ChatModeration(Wire, kw_only=True):
    """What moderation found. A side that nobody judged is null."""

    input: ChatModerationResults | ModerationError | None = None
    output: ChatModerationResults | ModerationError | None = None


# The completion and its chunks


class _Head(Wire, tag_field="object", kw_only=True):
    """What a completion and each of its chunks have. `created` is Unix time in seconds."""

    id: str
    created: int
    model: str
    service_tier: str | None = None
    system_fingerprint: str | None = None


class ChatCompletion(_Head, tag="chat.completion", kw_only=True):
    """A completion. `metadata` is there if it is stored."""

    choices: list[ChatChoice]
    usage: ChatUsage | None = None
    metadata: Maybe[dict[str, str]] = UNSET
    moderation: Maybe[ChatModeration] = UNSET


class CallDelta(Wire, kw_only=True):
    """A piece of a tool call. Pieces of one call have one index."""

    index: int
    id: Maybe[str] = UNSET
    type: Maybe[Literal["function", "custom"]] = UNSET
    function: Maybe[FunctionDelta] = UNSET
    custom: Maybe[CustomDelta] = UNSET


class MessageDelta(Wire, kw_only=True):
    """What is added to the message."""

    role: Maybe[Literal["assistant"]] = UNSET
    content: Maybe[str | None] = UNSET
    refusal: Maybe[str | None] = UNSET
    reasoning_content: Maybe[str] = UNSET
    tool_calls: Maybe[list[CallDelta]] = UNSET
    function_call: Maybe[FunctionDelta] = UNSET
    annotations: Maybe[list[URLAnnotation]] = UNSET


class ChunkChoice(Wire, kw_only=True):
    """What a chunk adds."""

    index: int = 0
    delta: MessageDelta
    logprobs: ChatLogprobs | None = None
    finish_reason: FinishReason | None = None


class ChatCompletionChunk(_Head, tag="chat.completion.chunk", kw_only=True):
    """A chunk. `usage` is there if it was asked for: null, and in the last chunk, which has no choice, the figures."""

    choices: list[ChunkChoice]
    usage: Maybe[ChatUsage | None] = UNSET
    moderation: Maybe[ChatModeration] = UNSET
    obfuscation: Maybe[str] = UNSET


# What is stored


class ChatCompletionDeleted(Wire, tag_field="object", tag="chat.completion.deleted", kw_only=True):
    """The answer to DELETE /chat/completions/{completion_id}."""

    id: str
    deleted: bool = True


class ChatCompletionList(Wire, tag_field="object", tag="list", kw_only=True):
    """One page of stored completions."""

    data: list[ChatCompletion]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


class StoredMessage(Wire, kw_only=True):
    """A message of a stored request. `content_parts` is there where the content was a list."""

    id: str
    role: str
    content: str | None = None
    name: str | None = None
    content_parts: list[Json] | None = None
    refusal: str | None = None
    tool_calls: Maybe[list[Json]] = UNSET
    tool_call_id: Maybe[str] = UNSET
    function_call: Maybe[Json] = UNSET


class StoredMessageList(Wire, tag_field="object", tag="list", kw_only=True):
    """One page of the messages of a stored request."""

    data: list[StoredMessage]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False
