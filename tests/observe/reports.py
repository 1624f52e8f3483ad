"""Reports as they come from a run, for the tests of observers."""

from __future__ import annotations

from typing import Any

from antiphon.turn.report import Answered, Began, Report
from antiphon.turn.trace import Attempt, Trace
from antiphon.wire.response import InputTokensDetails, OutputTokensDetails, Usage

USAGE = Usage(
    input_tokens=100,
    input_tokens_details=InputTokensDetails(cached_tokens=40),
    output_tokens=21,
    output_tokens_details=OutputTokensDetails(reasoning_tokens=5),
    total_tokens=121,
)
UPSTREAM = "http://10.0.0.1:8000/v1"


def began(**fields: Any) -> Began:
    """A response that begins."""
    given = {"id": "resp_1", "model": "gpt", "project": "default", "streamed": True, "background": False, "at": 1000.0}
    return Began(**{**given, "trace": Trace(request_id="req_1"), **fields})


def report(**fields: Any) -> Report:
    """A response that was over after 2.5 seconds, the first of them before its first token."""
    given = {
        "id": "resp_1",
        "request_id": "req_1",
        "asked": "gpt",
        "model": "gpt",
        "upstream": UPSTREAM,
        "upstream_model": "qwen3",
        "streamed": True,
        "stored": True,
        "at": 1000.0,
        "took": 2.5,
        "first_token": 0.5,
        "usage": USAGE,
        "outcome": "completed",
    }
    return Report(**{**given, **fields})


def attempt(**fields: Any) -> Attempt:
    """An attempt that went well."""
    given = {"upstream": UPSTREAM, "model": "qwen3", "began": 0.0, "took": 2.5, "outcome": "completed"}
    return Attempt(**{**given, **fields})


def answered(**fields: Any) -> Answered:
    """A request that was answered."""
    given = {"request_id": "req_1", "method": "POST", "route": "/v1/responses", "status": 200, "took": 2.6}
    return Answered(**{**given, "work": "resp_1", **fields})
