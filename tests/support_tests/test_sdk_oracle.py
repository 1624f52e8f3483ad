"""The official SDK's types, made strict: what they accept, what they refuse, and how shortly they say so."""

import copy
from typing import Any

import pytest
from openai.types.responses import ResponseOutputItem, ResponseStreamEvent

from tests.support.response_events import message, opaque, response_events, responses_json
from tests.support.samples import SAMPLES
from tests.support.sdk_oracle import (
    EXTRA_FIELDS,
    UNDOCUMENTED_EVENTS,
    check_events,
    event_models,
    item_models,
    validate_event,
    validate_item,
    validate_response,
)

every_kind = pytest.mark.parametrize("kind", SAMPLES)


def text_delta(**changes: Any) -> dict[str, Any]:
    event = {
        "type": "response.output_text.delta",
        "sequence_number": 4,
        "item_id": "msg_1",
        "output_index": 0,
        "content_index": 0,
        "delta": "Hi",
        "logprobs": [],
    }
    return {**event, **changes}


def test_all_members_of_the_sdk_unions_are_known() -> None:
    assert len(event_models()) == 59
    assert len(item_models()) == 28
    assert {model.__name__ for model in event_models().values()} <= {
        name.__name__ for name in union(ResponseStreamEvent)
    }
    assert set(item_models().values()) == set(union(ResponseOutputItem))


def union(annotated: Any) -> tuple[type, ...]:
    members: tuple[type, ...] = annotated.__origin__.__args__
    return members


def test_the_samples_have_every_item_type() -> None:
    assert {item.done["type"] for item in SAMPLES.values()} == item_models().keys()


@every_kind
def test_a_valid_stream_of_every_kind_is_accepted(kind: str) -> None:
    check_events(response_events(SAMPLES[kind], background=True))


@every_kind
def test_a_valid_item_of_every_kind_is_accepted(kind: str) -> None:
    assert validate_item({"id": "item_1", **SAMPLES[kind].done}) == []


@pytest.mark.parametrize("end", ["completed", "failed", "incomplete"])
def test_a_valid_response_is_accepted(end: str) -> None:
    assert validate_response(responses_json(message("Hi"), end=end)) == []


@every_kind
def test_every_field_that_is_missing_is_named(kind: str) -> None:
    item = {"id": "item_1", **SAMPLES[kind].done}
    model = item_models()[item["type"]]
    required = [name for name, field in model.model_fields.items() if field.is_required() and name != "type"]
    for name in required:
        cut = {key: value for key, value in item.items() if key != name}
        assert validate_item(cut) == [f"{name}: Field required"]


@every_kind
def test_a_field_that_is_not_the_sdks_is_named_and_nothing_else(kind: str) -> None:
    item = {"id": "item_1", **SAMPLES[kind].done, "sparkle": 1}
    assert validate_item(item) == ["sparkle: Extra inputs are not permitted"]
    for event in response_events(SAMPLES[kind]):
        assert validate_event({**event, "sparkle": 1}) == (
            ["sparkle: not a field of this event"]
            if event["type"] in UNDOCUMENTED_EVENTS
            else ["sparkle: Extra inputs are not permitted"]
        )


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"delta": None}, "delta: Input should be a valid string"),
        ({"sequence_number": "4"}, "sequence_number: Input should be a valid integer"),
        ({"sequence_number": 4.5}, "sequence_number: Input should be a valid integer"),
        ({"sequence_number": True}, "sequence_number: Input should be a valid integer"),
        ({"logprobs": None}, "logprobs: Input should be a valid array"),
        ({"logprobs": [{"token": "Hi"}]}, "logprobs[0].logprob: Field required"),
        ({"type": "response.output_text.dalta"}, "type: unknown event type 'response.output_text.dalta'"),
    ],
)
def test_a_wrong_event_gets_one_short_complaint(changes: dict[str, Any], complaint: str) -> None:
    assert validate_event(text_delta()) == []
    assert validate_event(text_delta(**changes)) == [complaint]


def test_a_fault_deep_in_an_item_is_told_by_its_path_and_for_its_own_type_only() -> None:
    response = responses_json(message("Hi", "there"))
    response["output"][0]["content"][1]["annotations"] = [{"type": "url_citation", "url": "x"}]
    response["output"][0]["status"] = "done"
    complaints = validate_response(response)
    assert "output[0].status: Input should be 'in_progress', 'completed' or 'incomplete'" in complaints
    assert "output[0].content[1].annotations[0].start_index: Field required" in complaints
    assert len(complaints) == 4


def test_a_member_of_no_known_type_is_one_complaint_unless_opaque_types_are_allowed() -> None:
    events = response_events(opaque("sparkle_call", "twinkling"), tools=[{"type": "sparkle"}])
    complaints = [complaint for event in events for complaint in validate_event(event)]
    assert complaints.count("response.tools[0].type: no member of the union has this type") == 3
    assert "item.type: no member of the union has this type" in complaints
    assert "type: unknown event type 'response.sparkle_call.twinkling'" in complaints
    check_events(events, opaque=True)
    assert validate_item({"type": "sparkle_call", "id": "x"}, opaque=True) == []
    assert validate_item({"type": "sparkle_call", "id": "x"}) == ["type: unknown item type 'sparkle_call'"]


def test_opaque_types_do_not_excuse_faults_of_known_ones() -> None:
    events = response_events(opaque("sparkle_call"), message("Hi"))
    events[-1]["response"]["output"][1]["role"] = "robot"
    assert validate_event(events[-1], opaque=True) == ["response.output[1].role: Input should be 'assistant'"]


def test_obfuscation_is_allowed_on_deltas_alone() -> None:
    assert validate_event(text_delta(obfuscation="x8f")) == []
    done = {**text_delta(obfuscation="x8f", type="response.output_text.done"), "text": "Hi"}
    del done["delta"]
    assert validate_event(done) == ["obfuscation: Extra inputs are not permitted"]


def test_the_undocumented_events_are_known_with_their_fields() -> None:
    keepalive = {"type": "keepalive", "sequence_number": 3}
    diff = {"sequence_number": 3, "item_id": "apc_1", "output_index": 0}
    assert validate_event(keepalive) == []
    assert validate_event({**diff, "type": "response.apply_patch_call_operation_diff.delta", "delta": "+fox"}) == []
    assert validate_event({**diff, "type": "response.apply_patch_call_operation_diff.done", "diff": "+fox"}) == []
    assert validate_event({"type": "keepalive"}) == ["sequence_number: not of type int"]
    assert validate_event({**keepalive, "item": 1}) == ["item: not a field of this event"]


def test_the_echoed_settings_that_the_models_lack_are_allowed_in_a_response_alone() -> None:
    response = responses_json(message("Hi"))
    assert {"store", "presence_penalty", "frequency_penalty"} <= response.keys() & EXTRA_FIELDS["response"]
    assert validate_response({**response, "sparkle": 1}) == ["sparkle: Extra inputs are not permitted"]
    assert validate_item({"id": "msg_1", **message("Hi").done, "store": True})


def test_a_search_may_open_without_its_action_but_not_be_done_without_it() -> None:
    added, *_, done = response_events(SAMPLES["web_search_call"])[2:-1]
    assert "action" not in added["item"]
    assert validate_event(added) == []
    cut = copy.deepcopy(done)
    del cut["item"]["action"]
    assert validate_event(cut) == ["item.action: Field required"]


def test_the_error_code_of_a_response_may_be_one_that_clients_read_but_not_any() -> None:
    response = responses_json(end="failed")
    for code in ("insufficient_quota", "context_length_exceeded", "server_error"):
        response["error"]["code"] = code
        assert validate_response(response) == []
    response["error"]["code"] = "sparkle"
    assert [complaint[:10] for complaint in validate_response(response)] == ["error.code"]


def test_check_events_names_each_event_that_is_refused() -> None:
    events = response_events(message("Hi"))
    events[4]["delta"] = 7
    with pytest.raises(
        AssertionError, match=r"event 4 \(response.output_text.delta\): delta: Input should be a valid str"
    ):
        check_events(events)
