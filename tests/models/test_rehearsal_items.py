"""Canned items, and the grammar of all that rehearsal says, judged by the SDK's types and an independent check."""

from __future__ import annotations

from typing import Any

import pytest

from antiphon.models.rehearsal.canned import KINDS
from antiphon.wire.items import OUTPUT_ITEM_TYPES
from tests.models.rehearsal_stage import WEATHER, Json, output, told, with_format
from tests.support import grammar, sdk_oracle

pytestmark = pytest.mark.anyio

NO_ITEM = {"response.audio.delta", "response.audio.done", "response.audio.transcript.delta"}
NO_ITEM |= {"response.audio.transcript.done"}
"""Events that have no item in the SDK; the machine tells to which one they belong."""


def lean(event: Json) -> Json:
    """An event without what our machine adds to those of the SDK: the place of a sound, the bytes of a token."""
    if event["type"] in NO_ITEM:
        return {key: value for key, value in event.items() if key not in ("item_id", "output_index")}
    if event["type"].startswith("response.output_text."):
        return {**event, "logprobs": [_without_bytes(entry) for entry in event.get("logprobs", [])]}
    return event


def _without_bytes(entry: Any) -> Any:
    likely = [{"token": top["token"], "logprob": top["logprob"]} for top in entry["top_logprobs"]]
    return {"token": entry["token"], "logprob": entry["logprob"], "top_logprobs": likely}


def judge(events: list[Json]) -> None:
    grammar.check(events)
    sdk_oracle.check_events(
        [event if "annotation" in event["type"] else lean(event) for event in events],
    )


@pytest.mark.parametrize("kind", KINDS)
async def test_a_canned_item_is_told_with_all_its_events(kind: str) -> None:
    events = await told(f"#item {kind}")
    judge(events)
    last = events[-1]["response"]["output"][-1]
    assert last["type"] == ("message" if kind == "audio" else kind.removesuffix(".failed"))
    assert last.get("status", "completed") == ("failed" if kind == "mcp_call.failed" else "completed")
    assert "canned" in str(events).lower()


def test_every_kind_of_output_item_can_be_played() -> None:
    assert KINDS.keys() >= OUTPUT_ITEM_TYPES


async def test_all_events_that_can_end_well_are_played() -> None:
    played = {event["type"] for kind in KINDS for event in await told(f"#item {kind}")}
    played |= {event["type"] for asked in ("#refuse", "#cite") for event in await told(asked)}
    assert sdk_oracle.event_models().keys() - played == {
        "error",
        "response.failed",
        "response.incomplete",
        "response.queued",
    }


async def test_several_items_are_played_in_order_and_words_are_answered_after_them() -> None:
    items = await output("How was it?\n#item web_search_call\n#item message\n#item compaction")
    assert [item["type"] for item in items] == ["web_search_call", "message", "compaction", "message"]


async def test_nothing_is_said_after_a_call_that_the_client_answers() -> None:
    assert [item["type"] for item in await output("How was it?\n#item shell_call")] == ["shell_call"]


async def test_an_item_that_answers_a_call_comes_with_the_call() -> None:
    for kind in ("function_call_output", "custom_tool_call_output", "shell_call_output", "computer_call_output"):
        call, answer = await output(f"#item {kind}")
        assert call["type"] == kind.removesuffix("_output")
        assert call["call_id"] == answer["call_id"]


@pytest.mark.parametrize(
    "asked",
    [
        "Hello",
        "",
        "#refuse",
        "#tokens 40",
        "#say A.\n#cite file_path\n#cite url_citation\n#cite file_citation\n#cite container_file_citation",
        "#fault incomplete",
        "#fault content_filter after=0",
        {"input": "Think.", "reasoning": {"effort": "high", "summary": "auto"}},
        {"input": "Weather in Paris, Rome and Oslo?", "tools": [WEATHER]},
        {"input": "Run `ls` and `pwd`", "tools": [{"type": "shell"}]},
        {"input": "Run `ls` and `pwd`", "tools": [{"type": "local_shell"}]},
        {"input": "*** Update File: a\n@@\n-x\n+y\n*** Delete File: b", "tools": [{"type": "apply_patch"}]},
        {"input": "code_exec: 1", "tools": [{"type": "custom", "name": "code_exec"}]},
        {"input": "```\n1\n```", "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]},
        {"input": "Hi.", "include": ["message.output_text.logprobs"], "top_logprobs": 2},
        {"input": "Think long.", "reasoning": {"effort": "max", "summary": "auto"}, "max_output_tokens": 16},
        with_format({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}),
    ],
)
async def test_whatever_it_says_keeps_the_grammar(asked: str | Json) -> None:
    judge(await told(asked))
