"""What schemathesis must be told of this API: how a made-up request may succeed, and what every answer must hold.

It is given to `schemathesis run` as its hooks, and imported by the test that runs a part of it.
"""

from __future__ import annotations

import json
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

from tests.support import grammar
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


@schemathesis.hook
def map_case(context: HookContext, case: Case) -> Case:  # noqa: ARG001 - schemathesis looks at the names
    """Give most valid requests a chance: at random nearly all contradict themselves, and end in one and the same 400."""
    is_valid = case.meta is not None and case.meta.generation.mode.is_positive
    if is_valid and case.operation.path.startswith("/v1/responses") and isinstance(case.body, dict):
        size = len(json.dumps(case.body, default=str))
        if size % 8:
            case.body = plausible(case.body, WISHES[size % len(WISHES)])
    return case


def plausible(body: Json, wish: str) -> Json:
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


def _messages(sent: Any) -> Any:
    """Of the input what stands for itself: no references, no half of a pair."""
    if not isinstance(sent, list):
        return sent
    return [item for item in sent if item.get("type") in ("message", "reasoning", None) and "role" in item]


@schemathesis.check
def answers_as_the_api(ctx: CheckContext, response: Response, case: Case) -> None:  # noqa: ARG001 - as above
    """Every answer has its marks; every error the envelope; every stream follows the grammar."""
    assert response.headers["x-request-id"][0].startswith("req_")
    assert response.headers["openai-version"] == ["2020-10-01"]
    if response.status_code == 204 or case.method == "HEAD":
        return
    kind = response.headers["content-type"][0]
    if response.status_code >= 400:
        assert kind == "application/json"
        check_envelope(response.json())
    elif kind.startswith("text/event-stream"):
        check_stream(response.content, whole="starting_after" not in (case.query or {}))
    else:
        assert kind == "application/json"
        assert response.json()


def check_envelope(body: Json) -> None:
    """An error has its four keys."""
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert isinstance(body["error"]["message"], str)
    assert body["error"]["message"]


def check_stream(data: bytes, *, whole: bool) -> None:
    """A stream that was read from its beginning to its end is one response."""
    told = events(data)
    if whole:
        grammar.check(told)
