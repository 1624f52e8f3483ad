"""A Chat Completions upstream that does what the SDK suites ask for: greets, calls a function, answers in JSON."""

from __future__ import annotations

import json
from typing import Any

from antiphon.config.settings import ChatSettings
from antiphon.plugins import Models
from tests.support.answers import Answer, stream
from tests.support.chat_chunks import ToolCall, chat_stream
from tests.support.upstream import FakeUpstream, Request


def answer(request: Request) -> Answer:
    """What is said to a request."""
    body: dict[str, Any] = request.json()
    if body["messages"][-1]["role"] == "tool":
        return stream(chat_stream("It is sunny."))
    if "tools" in body:
        return stream(chat_stream(tool_calls=[ToolCall("weather", '{"city":"Paris"}')]))
    if body.get("response_format", {}).get("type") == "json_schema":
        return stream(chat_stream(json.dumps({"city": "Paris"})))
    return stream(chat_stream("Hello from the upstream.", logprobs=bool(body.get("logprobs"))))


def models_over(upstream: FakeUpstream) -> Models:
    """The built-in model, and `chat` over the upstream."""
    upstream.handler = answer
    chat = ChatSettings(backend="chat_completions", base_url=upstream.base_url, model="upstream")
    return Models({"chat": chat}, answer_all=True)
