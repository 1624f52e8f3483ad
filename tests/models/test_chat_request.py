"""A turn as a Chat Completions request: messages, settings, and what it costs in tokens."""

from collections.abc import Sequence
from typing import Any

import pytest

from antiphon.models.chat_messages import left_out
from antiphon.models.chat_request import ChatOptions, chat_body
from antiphon.models.chat_tokens import count_prompt, count_usage
from antiphon.models.chat_tools import ChatTools
from antiphon.tokens import count
from antiphon.turn.input import Turn
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.items import Item, decode_item
from antiphon.wire.request import decode_create
from antiphon.wire.struct import encode

Json = dict[str, Any]
LOCAL = ChatOptions(base_url="http://127.0.0.1:11434/v1", model="qwen3")
OPENAI = ChatOptions(base_url="https://api.openai.com/v1/", model="gpt-5")
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def turn_of(*given: Json, history: Sequence[Json] = (), pass_through: Sequence[str] = (), **fields: Any) -> Turn:
    sent = {"model": "m", "input": list(given), **fields}
    request = decode_create(encode(sent), pass_through=frozenset(pass_through))
    assert isinstance(request.input, list)
    before: list[Item] = [decode_item(encode(item), "history") for item in history]
    return Turn(request=request, items=[*before, *request.input])


def body_of(turn: Turn, options: ChatOptions = LOCAL) -> Json:
    return chat_body(turn, options, ChatTools(turn.request.tools))


def messages(*given: Json, options: ChatOptions = LOCAL, **fields: Any) -> list[Json]:
    sent: list[Json] = body_of(turn_of(*given, **fields), options)["messages"]
    return sent


def user(*content: Any) -> Json:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}


def said(text: str) -> Json:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "content": [part], "status": "completed", "id": "msg_1"}


def thought(text: str) -> Json:
    return {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}


def call(number: int, name: str = "look_up", **fields: Any) -> Json:
    return {"type": "function_call", "call_id": f"call_{number}", "name": name, "arguments": "{}", **fields}


def output(number: int, content: Any = "found") -> Json:
    return {"type": "function_call_output", "call_id": f"call_{number}", "output": content}


def chat_call(number: int, name: str = "look_up", arguments: str = "{}") -> Json:
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


def tool(number: int, content: str = "found") -> Json:
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": content}


def test_the_request_asks_for_a_stream_with_usage_of_the_upstreams_model() -> None:
    body = body_of(turn_of(user("Hi")))
    assert body == {
        "model": "qwen3",
        "messages": [{"role": "user", "content": "Hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_usage_is_not_asked_for_where_the_upstream_does_not_take_it() -> None:
    options = ChatOptions(base_url=LOCAL.base_url, include_usage=False)
    assert "stream_options" not in body_of(turn_of(user("Hi")), options)


# Messages


def test_instructions_come_first_and_developers_speak_as_the_system() -> None:
    sent = messages(user("Hi"), {"role": "developer", "content": "Be brief."}, instructions="You are kind.")
    assert [(message["role"], message["content"]) for message in sent] == [
        ("system", "You are kind."),
        ("user", "Hi"),
        ("system", "Be brief."),
    ]


def test_the_roles_of_instructions_and_developers_can_be_chosen() -> None:
    options = ChatOptions(base_url=OPENAI.base_url, instructions_role="developer", developer_role="developer")
    sent = messages({"role": "developer", "content": "Be brief."}, instructions="Be kind.", options=options)
    assert [message["role"] for message in sent] == ["developer", "developer"]


def test_parts_of_text_alone_are_one_string() -> None:
    parts = [{"type": "input_text", "text": "One."}, {"type": "input_text", "text": "Two."}]
    assert messages({"role": "user", "content": parts}) == [{"role": "user", "content": "One.\nTwo."}]


def test_images_and_files_are_parts() -> None:
    (message,) = messages(
        user(
            {"type": "input_text", "text": "Look."},
            {"type": "input_image", "image_url": PIXEL, "detail": "low"},
            {"type": "input_image", "image_url": "https://example.com/a.png"},
            {"type": "input_image", "image_url": PIXEL, "detail": "original"},
            {"type": "input_file", "file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"},
        )
    )
    assert message["content"] == [
        {"type": "text", "text": "Look."},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "high"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk=", "filename": "a.pdf"}},
    ]


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ({"type": "input_file", "file_url": "https://example.com/a.pdf"}, "file_url"),
        ({"type": "input_file", "file_id": "file_1"}, "file_id"),
        ({"type": "input_image", "file_id": "file_1"}, "file_id"),
    ],
)
def test_what_the_api_cannot_carry_is_refused_by_its_place_in_the_input(part: Json, field: str) -> None:
    text = {"type": "input_text", "text": "Look."}
    with pytest.raises(InvalidRequest) as caught:
        body_of(turn_of(user("Hi"), user(text, part), history=[user("Before")]))
    assert caught.value.param == f"input[1].content[1].{field}"
    with pytest.raises(InvalidRequest) as caught:
        body_of(turn_of(call(1), output(1, [part])))
    assert caught.value.param == f"input[1].output[0].{field}"
    with pytest.raises(InvalidRequest) as caught:
        body_of(turn_of(user("Hi"), history=[user(text, part)]))
    assert caught.value.param == f"input.content[1].{field}"


def test_words_and_calls_of_the_assistant_are_one_message() -> None:
    sent = messages(user("Hi"), said("Let me see."), call(1), call(2), output(2, "two"), output(1, "one"))
    assert sent[1:] == [
        {"role": "assistant", "content": "Let me see.", "tool_calls": [chat_call(1), chat_call(2)]},
        tool(1, "one"),
        tool(2, "two"),
    ]


def test_words_after_a_call_belong_to_the_same_message() -> None:
    sent = messages(call(1), said("Wait."), output(1))
    assert sent == [{"role": "assistant", "content": "Wait.", "tool_calls": [chat_call(1)]}, tool(1)]


def test_calls_without_words_have_no_content() -> None:
    assert messages(call(1), output(1))[0] == {"role": "assistant", "content": None, "tool_calls": [chat_call(1)]}


def test_each_round_of_calls_is_a_message_of_its_own() -> None:
    sent = messages(call(1), output(1), call(2), output(2), said("Done."))
    assert [message["role"] for message in sent] == ["assistant", "tool", "assistant", "tool", "assistant"]


def test_a_call_is_answered_before_anything_else_is_said() -> None:
    sent = messages(call(1), user("Are you there?"), output(1))
    assert [message["role"] for message in sent] == ["assistant", "tool", "user"]


def test_an_id_that_was_used_twice_keeps_its_outputs_apart() -> None:
    sent = messages(call(1), output(1, "first"), user("Again"), call(1), output(1, "second"))
    assert [message["content"] for message in sent if message["role"] == "tool"] == ["first", "second"]


def test_messages_of_the_assistant_in_a_row_stay_apart() -> None:
    assert [message["content"] for message in messages(said("One."), said("Two."))] == ["One.", "Two."]


def test_a_refusal_is_told_as_text() -> None:
    refusal = {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}
    assert messages(refusal) == [{"role": "assistant", "content": "No."}]


def test_parts_of_an_output_are_text_and_images_follow_in_a_message_of_the_user() -> None:
    parts = [{"type": "input_text", "text": "Seen:"}, {"type": "input_image", "image_url": PIXEL}]
    sent = messages(call(1), call(2), output(1, parts), output(2, "two"))
    assert sent[1:] == [
        tool(1, "Seen:"),
        tool(2, "two"),
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Output of the call call_1:"},
                {"type": "image_url", "image_url": {"url": PIXEL}},
            ],
        },
    ]


def test_an_output_that_is_an_image_alone_points_to_it() -> None:
    sent = messages(call(1), output(1, [{"type": "input_image", "image_url": PIXEL}]))
    assert sent[1]["content"] == "(see the next message)"
    assert sent[2]["content"][1]["type"] == "image_url"


def test_a_custom_tools_call_is_sent_as_the_function_that_stands_for_it() -> None:
    given = {"type": "custom_tool_call", "call_id": "call_1", "name": "patch", "input": 'a "b"\n'}
    answer = {"type": "custom_tool_call_output", "call_id": "call_1", "output": "ok"}
    sent = messages(given, answer)
    assert sent == [
        {"role": "assistant", "content": None, "tool_calls": [chat_call(1, "patch", '{"input":"a \\"b\\"\\n"}')]},
        tool(1, "ok"),
    ]


def test_a_call_in_a_namespace_is_sent_by_its_flat_name_also_when_it_is_offered_no_more() -> None:
    sent = messages(call(1, "find", namespace="crm"), output(1))
    assert sent[0]["tool_calls"] == [chat_call(1, "crm__find")]


def test_a_call_without_arguments_is_sent_with_an_empty_object() -> None:
    sent = messages(call(1, arguments=""), output(1))
    assert sent[0]["tool_calls"] == [chat_call(1)]


def test_reasoning_goes_back_with_the_calls_that_it_led_to() -> None:
    sent = messages(thought("Hmm."), call(1), output(1), thought("Aha."), said("Done."))
    assert [message.get("reasoning_content") for message in sent] == ["Hmm.", None, None]


def test_reasoning_comes_before_the_words_of_its_message() -> None:
    options = ChatOptions(base_url=LOCAL.base_url, send_reasoning="all", reasoning_field="reasoning")
    sent = messages(thought("Hmm."), said("Wait."), call(1), output(1), thought("Aha."), said("Done."), options=options)
    assert [(message["role"], message.get("reasoning")) for message in sent] == [
        ("assistant", "Hmm."),
        ("tool", None),
        ("assistant", "Aha."),
    ]


def test_reasoning_begins_a_new_message() -> None:
    sent = messages(said("One."), thought("Hmm."), call(1), output(1))
    assert [(message["content"], message.get("reasoning_content")) for message in sent[:2]] == [
        ("One.", None),
        (None, "Hmm."),
    ]


def test_reasoning_that_led_to_nothing_is_left_out() -> None:
    assert messages(thought("Hmm."), user("Hi")) == [{"role": "user", "content": "Hi"}]


def test_openai_gets_no_reasoning() -> None:
    assert "reasoning_content" not in messages(thought("Hmm."), call(1), output(1), options=OPENAI)[0]


def test_items_that_a_chat_model_cannot_be_shown_are_left_out_and_counted() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    unknown = {"type": "sparkle", "id": "sp_1"}
    turn = turn_of(search, unknown, search, user("Hi"), thought("Hmm."))
    assert body_of(turn)["messages"] == [{"role": "user", "content": "Hi"}]
    assert left_out(turn.items) == {"web_search_call": 2, "sparkle": 1}


# Settings


@pytest.mark.parametrize(
    ("field", "value", "sent"),
    [
        ("temperature", 0.0, {"temperature": 0.0}),
        ("top_p", 0.5, {"top_p": 0.5}),
        ("user", "me", {"user": "me"}),
        ("max_output_tokens", 64, {"max_tokens": 64}),
        ("top_logprobs", 3, {"logprobs": True, "top_logprobs": 3}),
        ("include", ["message.output_text.logprobs"], {"logprobs": True}),
        ("reasoning", {"effort": "low"}, {"reasoning_effort": "low"}),
        ("reasoning", {"summary": "auto"}, {}),
        ("text", {"verbosity": "low"}, {"verbosity": "low"}),
        ("text", {"format": {"type": "text"}}, {}),
        ("text", {"format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        ("prompt_cache_key", "k", {}),
        ("safety_identifier", "s", {}),
        ("service_tier", "flex", {}),
        ("parallel_tool_calls", False, {}),
        ("metadata", {"a": "b"}, {}),
    ],
)
def test_a_setting_is_sent_as_the_api_has_it(field: str, value: Any, sent: Json) -> None:
    plain = body_of(turn_of(user("Hi")))
    body = body_of(turn_of(user("Hi"), **{field: value}))
    assert {name: body[name] for name in body if name not in plain} == sent


def test_a_schema_is_sent_with_its_name_and_strictness() -> None:
    schema = {"type": "object", "properties": {}}
    text = {"format": {"type": "json_schema", "name": "answer", "schema": schema, "strict": True}}
    assert body_of(turn_of(user("Hi"), text=text))["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }


@pytest.mark.parametrize(
    "base_url", ["https://api.openai.com/v1", "https://eu.api.openai.com/v1", "https://me.openai.azure.com/openai/v1"]
)
def test_openai_gets_what_only_it_knows(base_url: str) -> None:
    options = ChatOptions(base_url=base_url)
    fields = {"prompt_cache_key": "k", "safety_identifier": "s", "service_tier": "flex"}
    body = body_of(turn_of(user("Hi"), **fields, max_output_tokens=64), options)
    assert body.items() >= {**fields, "max_completion_tokens": 64}.items()


def test_others_get_it_if_it_is_configured() -> None:
    options = ChatOptions(
        base_url=LOCAL.base_url, pass_through=frozenset({"prompt_cache_key"}), max_tokens_field="max_completion_tokens"
    )
    body = body_of(turn_of(user("Hi"), prompt_cache_key="k", safety_identifier="s", max_output_tokens=64), options)
    assert (body["prompt_cache_key"], body["max_completion_tokens"]) == ("k", 64)
    assert "safety_identifier" not in body


@pytest.mark.parametrize(("given", "sent"), [(False, False), (True, None)])
def test_parallel_calls_are_forbidden_only_where_there_are_calls(given: bool, sent: Any) -> None:
    tools = [{"type": "function", "name": "look_up"}]
    assert body_of(turn_of(user("Hi"), tools=tools, parallel_tool_calls=given)).get("parallel_tool_calls") == sent


def test_what_is_let_through_goes_over_what_is_configured_and_that_over_ours() -> None:
    options = ChatOptions(
        base_url=LOCAL.base_url, model="qwen3", extra_body={"temperature": 0.1, "top_k": 1, "min_p": 0}
    )
    turn = turn_of(
        user("Hi"),
        temperature=1,
        top_k=5,
        extra_body={"seed": 7, "top_k": 6, "model": "other", "stream": False, "messages": []},
        pass_through=["top_k", "extra_body"],
    )
    body = body_of(turn, options)
    assert (body["temperature"], body["top_k"], body["min_p"], body["seed"]) == (0.1, 5, 0, 7)
    assert (body["model"], body["stream"], len(body["messages"])) == ("qwen3", True, 1)


# Tokens


def test_a_prompt_costs_its_words_and_three_tokens_a_message() -> None:
    plain = body_of(turn_of(user("The quick brown fox.")))
    assert count_prompt(plain, "o200k_base") == count("The quick brown fox.") + count("user") + 3 + 3


def test_tools_calls_and_images_cost_too() -> None:
    image = {"type": "input_image", "image_url": PIXEL}
    small = {"type": "input_image", "image_url": PIXEL, "detail": "low"}
    file = {"type": "input_file", "file_data": "data:application/pdf;base64," + "aGk" * 1000}
    text = {"type": "input_text", "text": "Hi"}
    tools = [{"type": "function", "name": "look_up"}]

    def cost(*given: Json, **fields: Any) -> int:
        return count_prompt(body_of(turn_of(*given, **fields)), "o200k_base")

    base = cost(user(text))
    assert cost(user(text, image)) == base + 765
    assert cost(user(text, small)) == base + 85
    assert cost(user(text, file)) > base + 500
    assert cost(user(text), tools=tools) > base + 10
    assert cost(user(text), call(1), output(1)) > base + 10


def test_usage_is_counted_from_what_was_said_and_thought() -> None:
    body = body_of(turn_of(user("Hi")))
    usage = count_usage(body, ["The quick", " brown fox."], ["H", "mm."], "o200k_base")
    assert usage.input_tokens == count_prompt(body, "o200k_base")
    assert usage.output_tokens_details.reasoning_tokens == count("Hmm.")
    assert usage.output_tokens == count("The quick brown fox.") + count("Hmm.")
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
