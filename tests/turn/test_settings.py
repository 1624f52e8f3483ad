"""The Response at its start: every setting of the request is echoed, with the default that is in effect."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from antiphon.turn.settings import opened
from antiphon.wire.request import CreateResponse, decode_create
from antiphon.wire.response import Response
from antiphon.wire.struct import encode
from tests.support import sdk_oracle
from tests.support.grammar_tables import SNAPSHOT_KEYS

FUNCTION = {"type": "function", "name": "feed", "parameters": {"type": "object"}, "strict": True, "description": None}
SCHEMA = {"type": "json_schema", "name": "fox", "schema": {"type": "object"}, "strict": True}


def echo(**asked: Any) -> dict[str, Any]:
    """The Response of a request, after the official SDK's types have found nothing wrong with it."""
    request = decode_create(encode({"input": "Hi", "model": "asked", **asked}))
    response = opened(request, response_id="resp_1", model="m", created_at=7)
    echoed: dict[str, Any] = msgspec.json.decode(encode(response))
    assert sdk_oracle.validate_response(echoed) == []
    return echoed


def test_a_request_that_sets_nothing_gets_every_key_with_its_default() -> None:
    echoed = echo()
    assert echoed.keys() >= SNAPSHOT_KEYS
    assert echoed["text"] == {"format": {"type": "text"}, "verbosity": "medium"}
    assert [echoed[name] for name in ("temperature", "top_p", "truncation", "store")] == [1.0, 1.0, "disabled", True]
    assert (echoed["output"], echoed["usage"], echoed["status"]) == ([], None, "in_progress")


def test_the_response_is_named_by_its_maker() -> None:
    echoed = echo()
    assert [echoed[name] for name in ("id", "model", "created_at")] == ["resp_1", "m", 7]


ECHOED: dict[str, Any] = {
    "background": True,
    "instructions": "Be a fox.",
    "max_output_tokens": 100,
    "max_tool_calls": 2,
    "metadata": {"k": "v"},
    "parallel_tool_calls": False,
    "previous_response_id": "resp_0",
    "prompt": {"id": "pmpt_1", "version": "2", "variables": {"animal": "fox"}},
    "prompt_cache_key": "key",
    "prompt_cache_retention": "24h",
    "prompt_cache_options": {"mode": "explicit", "ttl": "12h"},
    "reasoning": {"effort": "low", "summary": "auto"},
    "safety_identifier": "who",
    "service_tier": "flex",
    "store": False,
    "temperature": 0.5,
    "text": {"format": SCHEMA, "verbosity": "low"},
    "tool_choice": {"type": "function", "name": "feed"},
    "tools": [FUNCTION],
    "top_logprobs": 3,
    "top_p": 0.25,
    "truncation": "auto",
    "user": "me",
    "image": {"context_compression": "enabled"},
    "access_programs": {"cyber": "standard"},
}
NOT_ECHOED = {
    "model": "the Response names who answers",
    "conversation": "the engine makes it",
    "moderation": "that of a Response is its result",
}


def test_every_setting_that_request_and_response_share_is_tested() -> None:
    shared = set(CreateResponse.__struct_fields__) & set(Response.__struct_fields__)
    assert shared == ECHOED.keys() | NOT_ECHOED.keys()


@pytest.mark.parametrize("name", ECHOED)
def test_a_setting_is_echoed_as_it_was_sent(name: str) -> None:
    needed = {"tools": [FUNCTION]} if name == "tool_choice" else {}
    sent = {name: ECHOED[name], **needed, **({"store": True} if name == "background" else {})}
    assert echo(**sent)[name] == ECHOED[name]


@pytest.mark.parametrize(
    ("name", "asked", "effective"),
    [
        ("service_tier", "auto", "default"),
        ("service_tier", "fast", "priority"),
        ("prompt_cache_retention", "in-memory", "in_memory"),
        ("text", {"verbosity": "low"}, {"format": {"type": "text"}, "verbosity": "low"}),
        ("text", {"format": SCHEMA}, {"format": SCHEMA, "verbosity": "medium"}),
        ("text", {"format": None, "verbosity": None}, {"format": {"type": "text"}, "verbosity": "medium"}),
        ("prompt_cache_options", {"prewarm": True}, {"mode": "implicit", "ttl": "30m"}),
        (
            "prompt_cache_options",
            {"ttl": "12h", "comparison_response_id": "resp_0"},
            {"mode": "implicit", "ttl": "12h", "comparison_response_id": "resp_0"},
        ),
    ],
)
def test_what_was_left_open_is_echoed_as_it_takes_effect(name: str, asked: Any, effective: Any) -> None:
    assert echo(**{name: asked})[name] == effective


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("image", {"context_compression": "auto"}),
        ("image", {}),
        ("access_programs", {}),
        ("moderation", {"model": "m"}),
    ],
)
def test_what_cannot_be_known_at_the_start_is_not_there(name: str, asked: Any) -> None:
    assert name not in echo(**{name: asked})


def test_a_background_response_is_queued() -> None:
    assert echo(background=True)["status"] == "queued"
