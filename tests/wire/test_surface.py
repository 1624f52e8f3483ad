"""The nouns are complete: whatever the official SDK has a type for, we have one with the same fields and values."""

from __future__ import annotations

import re
from typing import Any, get_args

import msgspec
import pytest
from openai.types import conversations, responses
from openai.types.responses import response_create_params, response_includable, response_status
from openai.types.responses.input_token_count_params import InputTokenCountParams
from openai.types.responses.response_item import ResponseItem

from antiphon.wire import content, events, items, request, response, tools
from antiphon.wire.struct import Opaque, tag_of
from tests.wire import sdk

EVENTS = sdk.by_type(responses.ResponseStreamEvent)
OUTPUT_ITEMS = sdk.by_type(responses.ResponseOutputItem)
INPUT_ITEMS = sdk.by_type(responses.ResponseInputItemParam)
CONVERSATION_ITEMS = sdk.by_type(conversations.ConversationItem)
LISTED_ITEMS = sdk.by_type(ResponseItem)
TOOLS = sdk.by_type(responses.ToolParam)
CHOICES = sdk.by_type(sdk.fields(response_create_params.ResponseCreateParamsStreaming)["tool_choice"])
FORMATS = sdk.by_type(responses.ResponseFormatTextConfigParam)

ALL_ITEMS = [
    (name, member)
    for group in (OUTPUT_ITEMS, INPUT_ITEMS, CONVERSATION_ITEMS, LISTED_ITEMS)
    for name, members in group.items()
    for member in members
]

# Fields that we have and the SDK does not, each with its reason.
OURS_ALONE = {
    "message": {"id"},  # messages of the user get one when they are listed
    "function_call": {"created_by"},  # the SDK has it where items are listed
    "custom_tool_call": {"created_by", "status"},
    "web_search_call": {"results"},  # `include` asks for it
    "local_shell_call_output": {"call_id"},  # clients send it
}

UNDOCUMENTED = {
    "keepalive",
    "response.apply_patch_call_operation_diff.delta",
    "response.apply_patch_call_operation_diff.done",
}


def check(struct: Any, kind: Any) -> None:
    """Our struct has each field of the SDK's type, and takes each value of its literals."""
    mine, theirs = sdk.ours(struct), sdk.fields(kind)
    assert theirs.keys() - mine.keys() <= {"type", "object"}
    for name in theirs.keys() & mine.keys():
        if sdk.literals(mine[name]) and sdk.is_closed(mine[name]) and name != "type":
            assert sdk.literals(theirs[name]) <= sdk.literals(mine[name]), name


def camel(name: str) -> str:
    return "".join(word.capitalize() for word in re.split(r"[._]", name))


def test_there_is_a_struct_for_each_of_the_59_events_and_for_the_undocumented_ones() -> None:
    assert len(EVENTS) == 59
    assert events.EVENTS.keys() == EVENTS.keys() | UNDOCUMENTED


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_has_exactly_the_fields_that_the_sdk_gives_it(name: str) -> None:
    (kind,) = EVENTS[name]
    assert sdk.ours(events.EVENTS[name]).keys() == sdk.fields(kind).keys() - {"type"}


def test_the_event_union_and_the_table_have_the_same_members() -> None:
    assert set(get_args(events.Event)) == {*events.EVENTS.values(), Opaque}
    assert all(tag_of(struct) == name for name, struct in events.EVENTS.items())


def test_an_event_class_is_named_after_its_wire_type() -> None:
    for name, struct in events.EVENTS.items():
        short = camel(name.removeprefix("response."))
        expected = f"Response{short}" if issubclass(struct, events.SnapshotEvent) else short
        assert struct.__name__ == ("StreamError" if name == "error" else expected)


def test_the_terminal_events_are_those_of_the_three_ends_in_the_api() -> None:
    ends = {"response.completed", "response.failed", "response.incomplete"}
    assert {tag_of(struct) for struct in events.TERMINAL} == ends


def test_an_event_begins_with_its_type_and_number_and_then_says_what_it_is_about() -> None:
    about = ["item_id", "output_index", "content_index", "summary_index", "command_index"]
    for struct in events.EVENTS.values():
        number, *rest = sdk.ours(struct)
        places = [about.index(name) for name in rest if name in about]
        assert number == "sequence_number"
        assert places == sorted(places)
        assert [name for name in rest if name in about] == rest[: len(places)]


def test_there_is_a_struct_for_each_item_of_input_output_and_conversations() -> None:
    assert OUTPUT_ITEMS.keys() == items.OUTPUT_ITEM_TYPES
    assert INPUT_ITEMS.keys() == items.INPUT_ITEM_TYPES
    assert CONVERSATION_ITEMS.keys() == items.CONVERSATION_ITEM_TYPES
    assert items.ITEMS.keys() >= LISTED_ITEMS.keys()
    assert (len(OUTPUT_ITEMS), len(INPUT_ITEMS), len(CONVERSATION_ITEMS)) == (28, 31, 29)


@pytest.mark.parametrize(("name", "kind"), ALL_ITEMS)
def test_an_item_has_the_fields_and_values_that_the_sdk_gives_it(name: str, kind: type) -> None:
    if kind is conversations.Message:  # roles and parts that only OpenAI's own items of a conversation have
        assert sdk.fields(kind).keys() - {"type"} <= sdk.ours(items.Message).keys()
    else:
        check(items.ITEMS[name], kind)


@pytest.mark.parametrize("name", items.ITEMS)
def test_an_item_has_no_field_of_its_own_but_those_that_are_explained(name: str) -> None:
    known = {field for other, kind in ALL_ITEMS if other == name for field in sdk.fields(kind)}
    assert sdk.ours(items.ITEMS[name]).keys() - known <= OURS_ALONE.get(name, set())


@pytest.mark.parametrize("name", items.ITEMS)
def test_an_item_can_be_sent_with_only_what_the_sdk_requires_of_a_client(name: str) -> None:
    needed = {field.encode_name for field in msgspec.structs.fields(items.ITEMS[name]) if field.required}
    assert all(needed <= sdk.required(kind) for kind in INPUT_ITEMS[name])


@pytest.mark.parametrize("name", items.ITEMS)
def test_an_item_class_is_named_after_its_wire_type(name: str) -> None:
    assert items.ITEMS[name].__name__ == camel(name)
    assert tag_of(items.ITEMS[name]) == name


def test_the_item_union_and_the_table_have_the_same_members() -> None:
    assert set(get_args(items.Item)) == {*items.ITEMS.values(), Opaque}


def test_there_is_a_struct_for_each_part_of_a_message() -> None:
    (parts,) = {get_args(member)[0] for member in sdk.members(sdk.fields(conversations.Message)["content"])}
    assert content.PARTS.keys() == sdk.by_type(parts).keys()
    for name, (kind, *_) in sdk.by_type(parts).items():
        check(content.PARTS[name], kind)
    assert set(get_args(content.Part)) == set(content.PARTS.values())


def test_there_is_a_struct_for_each_annotation() -> None:
    (annotations,) = get_args(sdk.fields(responses.ResponseOutputText)["annotations"])
    theirs = sdk.by_type(annotations)
    assert content.ANNOTATIONS.keys() == theirs.keys()
    for name, (kind,) in theirs.items():
        check(content.ANNOTATIONS[name], kind)


def test_messages_take_the_parts_that_the_sdk_lets_a_client_and_a_model_write() -> None:
    (given,) = get_args(responses.ResponseInputMessageContentListParam)
    (written,) = get_args(sdk.fields(responses.ResponseOutputMessage)["content"])
    assert set(content.INPUT_PARTS) == sdk.by_type(given).keys()
    assert set(content.OUTPUT_PARTS) == sdk.by_type(written).keys()


def test_there_is_a_struct_for_each_of_the_18_tool_types() -> None:
    assert len(TOOLS) == 18
    assert tools.TOOLS.keys() == TOOLS.keys()
    assert set(get_args(tools.Tool)) == {*tools.TOOLS.values(), Opaque}


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_has_the_fields_and_values_that_the_sdk_gives_it(name: str) -> None:
    (kind,) = TOOLS[name]
    check(tools.TOOLS[name], kind)
    assert sdk.ours(tools.TOOLS[name]).keys() <= sdk.fields(kind).keys()


def test_there_is_a_struct_for_each_object_of_tool_choice() -> None:
    assert tools.TOOL_CHOICES.keys() >= CHOICES.keys()
    assert tools.TOOL_CHOICES.keys() - CHOICES.keys() == {"web_search", "web_search_2025_08_26"}
    for name, (kind,) in CHOICES.items():
        check(tools.TOOL_CHOICES[name], kind)


def test_the_words_of_tool_choice_are_those_of_the_sdk() -> None:
    theirs = sdk.fields(response_create_params.ResponseCreateParamsStreaming)["tool_choice"]
    assert sdk.literals(tools.ToolChoice) == sdk.literals(theirs) == {"none", "auto", "required"}


def test_there_is_a_struct_for_each_text_format() -> None:
    assert tools.TEXT_FORMATS.keys() == FORMATS.keys()
    for name, (kind,) in FORMATS.items():
        check(tools.TEXT_FORMATS[name], kind)
    check(tools.TextConfig, responses.ResponseTextConfigParam)


def test_a_create_request_has_all_33_parameters() -> None:
    theirs = sdk.fields(response_create_params.ResponseCreateParamsStreaming)
    mine = sdk.ours(request.CreateResponse)
    assert len(theirs) == 33
    assert mine.keys() == theirs.keys() | {"extra"}
    check(request.CreateResponse, response_create_params.ResponseCreateParamsStreaming)


@pytest.mark.parametrize(
    ("struct", "kind"),
    [
        (request.StreamOptions, response_create_params.StreamOptions),
        (request.ContextManagement, response_create_params.ContextManagement),
        (request.Moderation, response_create_params.Moderation),
        (request.ModerationPolicy, response_create_params.ModerationPolicy),
        (request.ModerationMode, response_create_params.ModerationPolicyInput),
        (request.PromptCacheOptions, response_create_params.PromptCacheOptions),
        (request.Image, response_create_params.Image),
        (request.AccessPrograms, response_create_params.AccessPrograms),
        (response.ReasoningConfig, response_create_params.Reasoning),
        (response.Prompt, responses.ResponsePromptParam),
        (response.ConversationRef, responses.ResponseConversationParamParam),
        (request.CountTokens, InputTokenCountParams),
    ],
)
def test_a_nested_parameter_has_the_fields_and_values_that_the_sdk_gives_it(struct: Any, kind: Any) -> None:
    check(struct, kind)
    assert sdk.ours(struct).keys() == sdk.fields(kind).keys()


def test_include_and_status_take_the_values_of_the_sdk() -> None:
    assert set(request.INCLUDABLE) == set(get_args(response_includable.ResponseIncludable))
    assert set(get_args(response.Status)) == set(get_args(response_status.ResponseStatus))


def test_a_response_has_all_fields_of_the_sdk_and_the_echoed_ones_that_it_lacks() -> None:
    mine = sdk.ours(response.Response)
    assert mine.keys() - sdk.fields(responses.Response).keys() == {"store", "presence_penalty", "frequency_penalty"}
    check(response.Response, responses.Response)


def test_usage_and_errors_have_the_fields_of_the_sdk() -> None:
    usage = sdk.fields(responses.ResponseUsage)
    check(response.Usage, responses.ResponseUsage)
    check(response.InputTokensDetails, usage["input_tokens_details"])
    check(response.OutputTokensDetails, usage["output_tokens_details"])
    check(response.ResponseError, responses.ResponseError)
    check(response.IncompleteDetails, sdk.objects(sdk.fields(responses.Response)["incomplete_details"])[0])
