"""What we send is what the official SDK's types say: no field missing, none too many, none of another type."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openai.types import responses
from openai.types.conversations import ConversationItem
from pydantic import TypeAdapter

from antiphon.wire import events, items, response, tools
from antiphon.wire.struct import encode
from tests.support import sdk_oracle
from tests.wire import samples, sdk


def sent(value: Any) -> Any:
    return msgspec.json.decode(encode(value))


def name(value: Any) -> str:
    return type(value).__name__


def test_there_is_a_sample_of_every_noun() -> None:
    shown = [*samples.OUTPUT_ITEMS, *samples.INPUT_ITEMS]
    assert {type(item) for item in shown} == set(items.ITEMS.values())
    assert {type(tool) for tool in samples.TOOLS} == set(tools.TOOLS.values())
    assert {type(choice) for choice in samples.TOOL_CHOICES} == {str, *tools.TOOL_CHOICES.values()}
    assert {type(event) for event in samples.EVENTS} == set(events.EVENTS.values())


@pytest.mark.parametrize("item", samples.OUTPUT_ITEMS, ids=name)
def test_an_output_item_is_what_the_sdk_expects(item: Any) -> None:
    assert sdk_oracle.validate_item(sent(item)) == []


@pytest.mark.parametrize("event", samples.EVENTS, ids=name)
def test_an_event_is_what_the_sdk_expects(event: Any) -> None:
    assert sdk_oracle.validate_event(sent(event)) == []


@pytest.mark.parametrize("struct", events.EVENTS.values(), ids=lambda struct: struct.__name__)
def test_an_event_with_nothing_but_what_it_needs_is_what_the_sdk_expects(struct: Any) -> None:
    full = samples.event(struct)
    needed = {field.name: getattr(full, field.name) for field in msgspec.structs.fields(struct) if field.required}
    assert sdk_oracle.validate_event(sent(struct(**needed))) == []


@pytest.mark.parametrize(
    "answer", [samples.RESPONSE, samples.FAILED, samples.INCOMPLETE], ids=["full", "failed", "cut"]
)
def test_a_response_is_what_the_sdk_expects(answer: response.Response) -> None:
    assert sdk_oracle.validate_response(sent(answer)) == []


@pytest.mark.parametrize("status", ["queued", "in_progress", "cancelled"])
def test_a_response_that_has_only_begun_is_what_the_sdk_expects(status: Any) -> None:
    begun = response.Response(id="resp_1", created_at=1, model="m", status=status)
    assert sdk_oracle.validate_response(sent(begun)) == []


@pytest.mark.parametrize("choice", samples.TOOL_CHOICES, ids=name)
def test_a_response_echoes_each_tool_choice_as_the_sdk_expects(choice: Any) -> None:
    answer = response.Response(id="resp_1", created_at=1, model="m", tool_choice=choice)
    assert sdk_oracle.validate_response(sent(answer)) == []


@pytest.mark.parametrize("item", [*samples.OUTPUT_ITEMS, *samples.INPUT_ITEMS], ids=name)
def test_an_input_item_is_what_the_sdk_lets_a_client_send(item: Any) -> None:
    json = sent(item)
    allowed = {
        field for kind in sdk.by_type(responses.ResponseInputItemParam)[json["type"]] for field in sdk.fields(kind)
    }
    TypeAdapter(responses.ResponseInputItemParam).validate_python(json)
    assert json.keys() - allowed <= {"id", "status"}


@pytest.mark.parametrize("item", samples.OUTPUT_ITEMS, ids=name)
def test_a_conversation_item_is_what_the_sdk_expects(item: Any) -> None:
    TypeAdapter(ConversationItem).validate_python(sent(item), strict=True)


@pytest.mark.parametrize("tool", samples.TOOLS, ids=name)
def test_a_tool_is_what_the_sdk_lets_a_client_send(tool: Any) -> None:
    json = sent(tool)
    (kind,) = sdk.by_type(responses.ToolParam)[json["type"]]
    assert json.keys() <= sdk.fields(kind).keys()
    TypeAdapter(kind).validate_python(json)
