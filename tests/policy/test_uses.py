"""What an upstream bills beside tokens is read from what it says."""

from __future__ import annotations

import pytest

from antiphon.policy.uses import Uses
from antiphon.turn.deltas import Finished, ItemDone, ItemStarted, Settled
from antiphon.wire.items import CodeInterpreterCall, FunctionCall, WebSearchCall


def heard(*deltas, asked=None):
    uses = Uses(asked)
    for delta in deltas:
        uses.hear(delta)
    return uses


def search(key):
    return ItemStarted(key, WebSearchCall(id=f"ws_{key}", status="in_progress"))


def code(key, container):
    item = CodeInterpreterCall(id=f"ci_{key}", status="completed", container_id=container)
    return [ItemStarted(key, item), ItemDone(key, item)]


def test_the_tools_that_an_upstream_ran_are_counted():
    assert heard(search(0), search(1), Finished()).tools == {"web_search_calls": 2}


def test_what_the_upstream_counts_itself_holds():
    usage = {"web_search": {"num_requests": 1}, "image_gen": {"total_tokens": 0}}
    assert heard(search(0), search(1), Settled({"tool_usage": usage})).tools == {"web_search_calls": 1}


def test_a_container_is_one_session_however_often_code_ran_in_it():
    found = heard(*code(0, "cntr_1"), *code(1, "cntr_1"), *code(2, "cntr_2")).tools
    assert found == {"code_interpreter_calls": 3, "code_interpreter_sessions": 2}


def test_a_call_for_the_client_costs_nothing_beside_its_tokens():
    call = FunctionCall(id="fc_1", call_id="call_1", name="look", arguments="")
    assert heard(ItemStarted(0, call), ItemDone(0)).tools == {}


@pytest.mark.parametrize(
    "usage", [None, 3, {"web_search": 1}, {"web_search": {"num_requests": "two"}}, {"a": {"num_requests": -1}}]
)
def test_counts_that_make_no_sense_are_none(usage):
    assert heard(Settled({"tool_usage": usage})).tools == {}


def test_the_tier_is_the_one_that_was_asked_for_until_the_upstream_tells_another():
    assert heard(asked="priority").service_tier == "priority"
    assert heard(Settled({"service_tier": None}), asked="priority").service_tier == "priority"
    assert heard(Settled({"service_tier": "default"}), asked="priority").service_tier == "default"
