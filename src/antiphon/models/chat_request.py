"""A turn as the body of a Chat Completions request: its settings. `chat_messages` and `chat_tools` do the rest.

Servers differ in what they take, so a parameter is sent only if the client set it, and what only OpenAI knows only to
OpenAI's hosts. The rest is configured: `ChatOptions`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from antiphon.models.chat_messages import MessageOptions, messages_of
from antiphon.models.chat_tools import ChatTools
from antiphon.models.upstream import UpstreamOptions
from antiphon.turn.input import Turn
from antiphon.wire.request import CreateResponse
from antiphon.wire.tools import FormatJsonObject, FormatJsonSchema, TextConfig

__all__ = ["ChatOptions", "chat_body"]

Json = dict[str, Any]
SendReasoning = Literal["calls", "all", "none"]


class ChatOptions(UpstreamOptions, kw_only=True):
    """What is configured about a Chat Completions upstream. `None` means: as fits the host of `base_url`."""

    instructions_role: Literal["system", "developer"] = "system"
    """The role of the message that the instructions become."""

    developer_role: Literal["system", "developer"] = "system"
    """The role of developer messages. Few servers but OpenAI's know `developer`."""

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    """OpenAI's reasoning models refuse `max_tokens`, many local servers know nothing else. Default: by host."""

    send_reasoning: SendReasoning | None = None
    """Which assistant messages get the reasoning before them back, as `reasoning_content`.

    `calls`, the default: those that have tool calls. DeepSeek demands that, and the templates that vLLM serves for
    gpt-oss, Kimi, GLM and MiniMax need it to think on between calls; reasoning before a plain answer is not read
    again by most, and was once refused by DeepSeek. `all` is for models that keep all of it, `none` for servers that
    refuse the field, and the default for OpenAI's hosts.
    """

    reasoning_field: str = "reasoning_content"
    """The name of that field. vLLM also reads `reasoning`, OpenRouter nothing else."""

    think_tags: bool = True
    """Whether `<think>` at the very start of an answer begins reasoning."""

    include_usage: bool = True
    """Whether to ask for usage in the stream (`stream_options`). Off for servers that refuse the parameter."""

    encoding: str = ""
    """The tokenizer to count with where the upstream does not count. Default: by the model's name."""

    @property
    def is_openai(self) -> bool:
        """Whether the upstream is OpenAI, or Azure's copy of it."""
        return _is_openai(self.base_url)


_OPENAI: Final = ("api.openai.com", "openai.azure.com")


@cache
def _is_openai(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    return host in _OPENAI or host.endswith(tuple("." + name for name in _OPENAI))


_PLAIN: Final = ("temperature", "top_p", "user")
"""Parameters with the same name and meaning in both APIs, which any server takes."""

_OPENAI_ONLY: Final = ("prompt_cache_key", "safety_identifier", "service_tier")
"""The same, but some servers refuse them. They get those that are in `pass_through`."""

_OURS: Final = frozenset({"messages", "model", "stream", "stream_options"})
"""What a client's `extra_body` cannot change: which model answers, to what, and how we read it."""


def chat_body(turn: Turn, options: ChatOptions, tools: ChatTools) -> Json:
    """The JSON body. It always asks for a stream. Raises InvalidRequest for what the API cannot carry."""
    request = turn.request
    reasoning = options.send_reasoning or ("none" if options.is_openai else "calls")
    body: Json = {
        "model": options.model,
        "messages": messages_of(
            turn,
            tools,
            MessageOptions(
                instructions_role=options.instructions_role,
                developer_role=options.developer_role,
                send_reasoning=reasoning,
                reasoning_field=options.reasoning_field,
            ),
        ),
        "stream": True,
        **({"stream_options": {"include_usage": True}} if options.include_usage else {}),
        **tools.body(request.tool_choice),
        **_settings(request, options),
    }
    if "tools" in body and not request.parallel_tool_calls:
        body["parallel_tool_calls"] = False
    return {**body, **options.extra_body, **_extra(request)}


def _settings(request: CreateResponse, options: ChatOptions) -> Json:
    named = (*_PLAIN, *(name for name in _OPENAI_ONLY if options.is_openai or name in options.pass_through))
    settings = {name: value for name in named if (value := getattr(request, name)) is not None}
    if request.max_output_tokens is not None:
        by_host = "max_completion_tokens" if options.is_openai else "max_tokens"
        settings[options.max_tokens_field or by_host] = request.max_output_tokens
    if request.top_logprobs or "message.output_text.logprobs" in request.include:
        settings["logprobs"] = True
        if request.top_logprobs is not None:
            settings["top_logprobs"] = request.top_logprobs
    if request.reasoning is not None and request.reasoning.effort is not None:
        settings["reasoning_effort"] = request.reasoning.effort
    return {**settings, **(_text(request.text) if request.text is not None else {})}


def _text(text: TextConfig) -> Json:
    settings: Json = {}
    match text.format:
        case FormatJsonSchema() as format_:
            fields = msgspec.to_builtins(format_)
            settings["response_format"] = {
                "type": "json_schema",
                "json_schema": {name: value for name, value in fields.items() if name != "type" and value is not None},
            }
        case FormatJsonObject():
            settings["response_format"] = {"type": "json_object"}
    if text.verbosity:
        settings["verbosity"] = text.verbosity
    return settings


def _extra(request: CreateResponse) -> Json:
    """What the client sent beyond the API; the engine has seen to it that the configuration lets it through."""
    extra = dict(request.extra)
    inner = extra.pop("extra_body", None)
    if isinstance(inner, dict):
        extra = {**inner, **extra}
    return {name: value for name, value in extra.items() if name not in _OURS}
