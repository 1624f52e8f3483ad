"""What schemathesis must be told of this API: how a made-up request may succeed, and what every answer must hold.

It is given to `schemathesis run` as its hooks, and imported by the test that runs a part of it.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import JsonSchemaError

from tests.support import chat_oracle, grammar, sdk_oracle
from tests.support.serving import events

Json = dict[str, Any]

NOT_SERVED = ("conversation", "prompt", "context_management", "moderation", "previous_response_id")
"""Parameters that the built-in model refuses, or that must name what was made before."""

REFUSED_TOOLS = ("file_search", "mcp")

WISHES = (
    "Who are you?",
    "Call every tool that you have.",
    "Think, then answer.",
    "Say something long.",
    "Refuse this.",
    "Run this:\n```python\nprint(1)\n```",
)


MADE: deque[str] = deque(maxlen=64)
"""Ids of responses that were made of late."""

CHATS: deque[str] = deque(maxlen=64)
"""Ids of chat completions that were stored of late."""

CHAT_REFUSED = ("n", "audio", "modalities", "moderation", "seed", "stop", "logit_bias", "prediction")
CHAT_REFUSED += ("presence_penalty", "frequency_penalty", "functions", "function_call", "tool_choice", "max_tokens")
"""Parameters that the built-in model refuses, or that refuse each other."""


@schemathesis.hook
def map_case(context: HookContext, case: Case) -> Case:
    """Give most valid requests a chance: at random nearly all contradict themselves, or name what there is not."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return case
    size = len(json.dumps([case.body, case.path_parameters, case.query], default=str))
    if size % 8 == 0:
        return case
    if isinstance(case.body, dict):
        case.body = _plausible(case.operation.path, case.body, WISHES[size % len(WISHES)])
    if CHATS and "completion_id" in case.path_parameters:
        case.path_parameters["completion_id"] = CHATS[size % len(CHATS)]
    if MADE and "response_id" in case.path_parameters:
        case.path_parameters["response_id"] = MADE[size % len(MADE)]
    return case


def _plausible(path: str, body: Json, wish: str) -> Json:
    if path.startswith("/v1/responses"):
        return _response(body, wish)
    if path == "/v1/chat/completions":
        return _chat(body, wish)
    if path == "/v1/moderations":
        parts = body.get("input")
        are_texts = isinstance(parts, list) and any(isinstance(part, str) for part in parts)
        texts = [part for part in parts if isinstance(part, str)] if are_texts else parts
        return {**body, "model": None, "input": texts or wish}
    return body


def _response(body: Json, wish: str) -> Json:
    """A request without what cannot be served."""
    kept = {name: value for name, value in body.items() if name not in NOT_SERVED}
    kept["model"] = kept.get("model") or "rehearsal"
    kept["input"] = _messages(kept.get("input")) or wish
    kept["tools"] = [tool for tool in kept.get("tools") or [] if tool.get("type") not in REFUSED_TOOLS]
    if not isinstance(kept.get("tool_choice"), str) or not kept["tools"]:
        kept.pop("tool_choice", None)
    if kept.get("store") is False:
        kept.pop("background", None)
    return kept


def _chat(body: Json, wish: str) -> Json:
    """A chat request without what cannot be served: what somebody says, and none of the calls."""
    kept = {name: value for name, value in body.items() if name not in CHAT_REFUSED}
    kept["model"] = kept.get("model") or "rehearsal"
    said = [message for message in kept.get("messages", ()) if message.get("role") in ("user", "system", "developer")]
    kept["messages"] = [*said, {"role": "user", "content": wish}]
    if not kept.get("stream"):
        kept.pop("stream_options", None)
    if not kept.get("logprobs"):
        kept.pop("top_logprobs", None)
    return kept


def _messages(sent: Any) -> Any:
    """Of the input what stands for itself: no references, no half of a pair."""
    if not isinstance(sent, list):
        return sent
    return [item for item in sent if item.get("type") in ("message", "reasoning", None) and "role" in item]


@schemathesis.check
def answers_as_the_api(ctx: CheckContext, response: Response, case: Case) -> None:
    """Every answer has its marks; every error the envelope; every stream follows the grammar."""
    assert response.headers["x-request-id"][0].startswith("req_")
    assert response.headers["openai-version"] == ["2020-10-01"]
    if response.status_code == 204 or case.method == "HEAD":
        return
    kind = response.headers["content-type"][0]
    if response.status_code >= 400:
        assert kind == "application/json"
        check_envelope(response.json())
    elif case.operation.path == "/metrics":
        assert kind.startswith("text/plain")
    elif kind.startswith("text/event-stream") and case.operation.path == "/v1/chat/completions":
        for chunk in chat_oracle.chunks_of(response.content):
            chat_oracle.check(chunk)
    elif kind.startswith("text/event-stream"):
        check_stream(response.content, whole="starting_after" not in (case.query or {}))
    else:
        assert kind == "application/json"
        body = response.json()
        if case.operation.path == "/v1/responses" and body["store"]:
            MADE.append(body["id"])
        if body.get("object") == "chat.completion":
            chat_oracle.check(body)
            if body.get("metadata") is not None:
                CHATS.append(body["id"])


def check_envelope(body: Json) -> None:
    """An error has its four keys."""
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert isinstance(body["error"]["message"], str)
    assert body["error"]["message"]


def check_stream(data: bytes, *, whole: bool) -> None:
    """A stream is what the grammar says, as far as it was read, and each event what the SDK says."""
    told = events(data[: data.rindex(b"\n\n") + 2] if b"\n\n" in data else b"")
    if whole:
        grammar.check(told, complete=False)
    own = [event for event in told if "response" not in event]  # the others echo what was sent, down to plain JSON
    problems = [f"{event['type']}: {each}" for event in own for each in sdk_oracle.validate_event(event, opaque=True)]
    assert not problems, problems


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    """Our document gives the type of an event's data, as OpenAI's does; schemathesis takes it for that of the frame."""
    return not (isinstance(failure, JsonSchemaError) and "event-stream" in response.headers["content-type"][0])
