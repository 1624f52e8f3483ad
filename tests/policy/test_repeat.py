"""Only what is whole, and depends on nothing but the request, is said again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given

from antiphon.policy.repeat import Recording, has_answer_for_others
from antiphon.turn.deltas import (
    Arguments,
    Delta,
    Finished,
    ItemDone,
    ItemStarted,
    Noted,
    Opaque,
    Progress,
    Reasoning,
    Settled,
    Text,
    Usage,
)
from antiphon.turn.input import Turn
from antiphon.wire import items, response
from antiphon.wire.items import FunctionCall, Message, WebSearchCall
from antiphon.wire.moderation import ModerationError, ResponseModeration
from antiphon.wire.request import decode_create
from tests.turn.strategies import stories

CALL = FunctionCall(id="fc_theirs", call_id="call_1", name="f", arguments="")
ENDED = Finished()


def recorded(*said: Delta) -> list[Delta] | None:
    """What is kept of an answer that comes a delta at a time."""
    recording = Recording()
    for delta in said:
        recording.hear([delta])
    return recording.answer


def turn(**body: Any) -> Turn:
    return Turn(decode_create(json.dumps({"model": "m", "input": "Hi.", **body}).encode()), [])


# Requests


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "name": "f", "parameters": {}},
        {"type": "custom", "name": "c"},
        {"type": "local_shell"},
        {"type": "apply_patch"},
    ],
    ids=lambda tool: tool["type"],
)
def test_tools_that_the_client_runs_are_in_the_request(tool):
    assert has_answer_for_others(turn(tools=[tool]))


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "web_search"},
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "mcp", "server_label": "s", "server_url": "https://example.com"},
        {"type": "image_generation"},
        {"type": "shell"},
        {"type": "x:new"},
    ],
    ids=lambda tool: tool["type"],
)
def test_what_a_tool_of_the_upstream_finds_is_not(tool):
    assert not has_answer_for_others(turn(tools=[tool]))


def test_a_stored_prompt_is_known_only_with_its_version():
    assert has_answer_for_others(turn(prompt={"id": "p", "version": "1"}))
    assert not has_answer_for_others(turn(prompt={"id": "p"}))


def test_a_half_said_item_is_gone_on_with_by_its_own_response():
    asked = turn()
    asked.prefix = Message(role="assistant", content=[])
    assert not has_answer_for_others(asked)


def test_what_a_moderator_hears_has_passed_no_gate():
    asked = turn()
    asked.judges = True
    assert not has_answer_for_others(asked)


# Answers


def test_words_and_calls_that_are_whole_are_said_again_with_ids_of_their_own():
    said: list[Delta] = [
        Reasoning("Hm."),
        Text("Hi."),
        ItemStarted(0, CALL),
        Arguments(0, "{}"),
        ItemDone(0, CALL),
        Usage(response.Usage(input_tokens=1)),
        ENDED,
    ]
    kept = recorded(*said)
    assert kept is not None
    assert [type(delta) for delta in kept] == [type(delta) for delta in said]
    started, done = kept[2], kept[4]
    assert isinstance(started, ItemStarted)
    assert isinstance(done, ItemDone)
    assert not started.item.id
    assert done.item is not None
    assert not done.item.id
    assert started.item.call_id == "call_1"
    assert CALL.id == "fc_theirs"


def test_an_answer_that_is_not_over_is_not_kept():
    assert recorded(Text("Hi.")) is None


@pytest.mark.parametrize("reason", ["max_output_tokens", "content_filter", "max_messages", "steered"])
def test_an_answer_that_was_cut_is_not_kept(reason):
    assert recorded(Text("Hi."), Finished(reason)) is None


@pytest.mark.parametrize(
    "delta",
    [
        ItemStarted(0, WebSearchCall(status="in_progress")),
        ItemStarted(0, items.Reasoning(summary=[], encrypted_content="c2VhbGVk")),
        ItemDone(0, items.Reasoning(summary=[], encrypted_content="c2VhbGVk")),
        ItemStarted(0, items.McpApprovalRequest(server_label="s", name="n", arguments="{}")),
        ItemStarted(0, items.Compaction(encrypted_content="c2VhbGVk")),
        Opaque(0, {"type": "response.x"}),
        Progress(0, "searching"),
    ],
    ids=str,
)
def test_what_only_its_upstream_can_take_up_again_is_not_kept(delta):
    assert recorded(Text("Hi."), delta, ENDED) is None


def test_what_was_true_of_one_call_of_the_upstream_is_left_out():
    settled = Settled({"service_tier": "flex", "prompt_cache_retention": "24h", "tool_usage": {}})
    assert recorded(Noted({"id": "theirs"}), settled, Settled({"tool_usage": {}}), ENDED) == [
        Settled({"service_tier": "flex"}),
        ENDED,
    ]


@pytest.mark.parametrize("code", ["moderation_unavailable", "not_kept"])
def test_what_its_moderator_could_not_judge_is_not_kept(code):
    failed = ModerationError(code=code, message="")
    assert recorded(Settled({"moderation": ResponseModeration(output=failed)}), ENDED) is None
    assert recorded(Settled({"moderation": {"output": {"type": "error", "code": code}}}), ENDED) is None


def test_a_side_that_nobody_wanted_judged_does_no_harm():
    unasked = ResponseModeration(input=ModerationError(code="not_moderated", message=""))
    settled = Settled({"moderation": unasked})
    assert recorded(settled, ENDED) == [settled, ENDED]


def test_an_answer_can_be_given_up():
    recording = Recording()
    recording.hear([Text("Hi.")])
    recording.spoil()
    recording.hear([Text("Hi."), ENDED])
    assert recording.answer is None


@given(stories())
def test_whatever_is_said_nothing_is_kept_that_was_cut_or_that_has_the_id_of_another(story):
    said = story.turns[-1]
    kept = recorded(*said)
    if kept is not None:
        assert kept[-1] == Finished()
        assert not [delta for delta in kept if isinstance(delta, ItemStarted) and delta.item.id]
