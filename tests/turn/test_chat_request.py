"""A Chat Completions request as a Responses request: every message, every setting, and what cannot be asked."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from antiphon.turn.chat import param_of, response_request
from antiphon.wire.chat import CreateChatCompletion, decode_chat
from antiphon.wire.errors import InvalidRequest, Unprocessable
from antiphon.wire.request import CreateResponse, decode_create
from antiphon.wire.struct import encode

Json = dict[str, Any]
USER = {"role": "user", "content": "Hi."}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def asked(*messages: Json, **fields: Any) -> CreateChatCompletion:
    return decode_chat(encode({"model": "m", "messages": list(messages) or [USER], **fields}))


def translated(*messages: Json, **fields: Any) -> Json:
    """The request as JSON, without what is the same in each."""
    request = response_request(asked(*messages, **fields))
    request.extra = {}
    sent = encode(request)
    decode_create(sent)
    told: Json = msgspec.json.decode(sent)
    assert told.pop("model") == "m"
    assert fields.get("store") or told.pop("store") is False
    return told


def items(*messages: Json) -> list[Json]:
    told: list[Json] = translated(*messages)["input"]
    return told


def settings(**fields: Any) -> Json:
    told = translated(**fields)
    del told["input"]
    return told


def refused(*messages: Json, **fields: Any) -> tuple[str | None, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        response_request(asked(*messages, **fields))
    return caught.value.param, caught.value.code


def text(words: str) -> Json:
    return {"type": "input_text", "text": words}


def call(number: int, name: str = "look_up", arguments: str = "{}") -> Json:
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


# Messages


@pytest.mark.parametrize("role", ["user", "system", "developer"])
def test_what_is_said_to_the_model_keeps_its_role_and_its_place(role: str):
    told = items(
        USER, {"role": role, "content": "Be brief."}, {"role": role, "content": [{"type": "text", "text": "!"}]}
    )
    assert [(item["role"], item["content"]) for item in told] == [
        ("user", [text("Hi.")]),
        (role, [text("Be brief.")]),
        (role, [text("!")]),
    ]


def test_images_and_files_become_parts_of_the_same_message():
    parts = [
        {"type": "text", "text": "What is this?", "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,aGk=", "filename": "hi.txt"}},
        {"type": "file", "file": {"file_id": "file_1"}},
    ]
    (message,) = items({"role": "user", "content": parts})
    assert message["content"] == [
        {**text("What is this?"), "prompt_cache_breakpoint": {"mode": "explicit"}},
        {"type": "input_image", "image_url": PIXEL, "detail": "low"},
        {"type": "input_file", "file_data": "data:text/plain;base64,aGk=", "filename": "hi.txt"},
        {"type": "input_file", "file_id": "file_1"},
    ]


def test_what_is_no_image_cannot_be_processed():
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    with pytest.raises(Unprocessable) as refused:
        translated({"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]})
    assert refused.value.param == "messages[0].content[1].image_url.url"


def test_an_answer_with_calls_is_a_message_and_a_call_for_each_and_outputs_answer_them():
    said = {"role": "assistant", "content": "Let me see.", "tool_calls": [call(1), call(2, arguments='{"a": 1}')]}
    told = items(
        USER,
        said,
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "two"}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "one"},
    )
    assert told[1:] == [
        {"type": "message", "role": "assistant", "content": [_said("Let me see.")]},
        {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": "{}"},
        {"type": "function_call", "call_id": "call_2", "name": "look_up", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "call_2", "output": [text("two")]},
        {"type": "function_call_output", "call_id": "call_1", "output": "one"},
    ]


def _said(words: str) -> Json:
    return {"type": "output_text", "text": words, "annotations": [], "logprobs": []}


def test_a_call_of_a_custom_tool_has_the_output_of_a_custom_tool():
    sql = {"id": "call_1", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    told = items(
        USER,
        {"role": "assistant", "tool_calls": [sql]},
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
    )
    assert told[1:] == [
        {"type": "custom_tool_call", "call_id": "call_1", "name": "sql", "input": "select 1"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "1"},
    ]


def test_refusals_reasoning_and_empty_answers_are_kept():
    told = items(
        USER,
        {"role": "assistant", "content": None, "refusal": "No.", "reasoning_content": "Hm."},
        {"role": "assistant", "content": [{"type": "text", "text": "Or"}, {"type": "refusal", "refusal": "not."}]},
        {"role": "assistant", "content": ""},
    )
    assert told[1:] == [
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
        {"type": "message", "role": "assistant", "content": [_said("Or"), {"type": "refusal", "refusal": "not."}]},
        {"type": "message", "role": "assistant", "content": [_said("")]},
    ]


def test_the_old_function_calls_are_answered_by_name():
    told = items(
        USER,
        {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}},
        {"role": "function", "name": "add", "content": "3"},
    )
    assert [item["type"] for item in told] == ["message", "function_call", "function_call_output"]
    assert told[1]["call_id"] == told[2]["call_id"]
    assert told[2]["output"] == "3"


def test_an_id_that_a_later_call_uses_again_is_answered_again():
    again = [{"role": "assistant", "tool_calls": [call(1)]}, {"role": "tool", "tool_call_id": "call_1", "content": "x"}]
    assert [item["type"] for item in items(USER, *again, *again)[1:]] == ["function_call", "function_call_output"] * 2


@pytest.mark.parametrize(
    ("messages", "param", "code"),
    [
        ([{"role": "assistant", "content": None}], "messages[0].content", "missing_required_parameter"),
        ([{"role": "tool", "tool_call_id": "x", "content": ""}], "messages[0].role", "invalid_value"),
        ([{"role": "function", "name": "add", "content": ""}], "messages[0].role", "invalid_value"),
        ([USER, {"role": "assistant", "tool_calls": [call(1)]}, USER], "messages[1]", "invalid_value"),
        ([{"role": "assistant", "audio": {"id": "a"}}], "messages[0].audio", "unsupported_parameter"),
        (
            [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}]}],
            "messages[0].content[0].input_audio",
            "unsupported_parameter",
        ),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "ftp://x"}}]}],
            "messages[0].content[0].image_url.url",
            "invalid_value",
        ),
        (
            [{"role": "user", "content": [{"type": "file", "file": {"file_data": "data:;base64,!"}}]}],
            "messages[0].content[0].file.file_data",
            "invalid_value",
        ),
        (
            [{"role": "user", "content": [{"type": "file", "file": {}}]}],
            "messages[0].content[0].file.file_data",
            "missing_required_parameter",
        ),
    ],
)
def test_messages_that_make_no_conversation_are_refused_in_their_own_words(messages: list[Json], param: str, code: str):
    assert refused(*messages) == (param, code)


# Settings


def test_what_is_not_set_is_not_asked_for():
    assert settings() == {}


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ({"max_tokens": 99}, {"max_output_tokens": 99}),
        ({"max_completion_tokens": 99}, {"max_output_tokens": 99}),
        ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low", "summary": None}}),
        ({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        ({"response_format": {"type": "text"}}, {"text": {"format": {"type": "text"}}}),
        ({"response_format": {"type": "json_object"}}, {"text": {"format": {"type": "json_object"}}}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {}, "strict": True}}},
            {"text": {"format": {"type": "json_schema", "name": "a", "schema": {}, "strict": True}}},
        ),
        ({"logprobs": True}, {"include": ["message.output_text.logprobs"]}),
        (
            {"logprobs": True, "top_logprobs": 2},
            {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
        ),
        ({"store": True, "metadata": {"a": "b"}}, {"metadata": {"a": "b"}}),
        ({"stream": True, "stream_options": {"include_usage": True}}, {"stream": True}),
        (
            {"stream": True, "stream_options": {"include_obfuscation": False}},
            {"stream": True, "stream_options": {"include_obfuscation": False}},
        ),
        ({"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
        (
            {"temperature": 0.5, "top_p": 0.5, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k"},
            {"temperature": 0.5, "top_p": 0.5, "user": "u", "safety_identifier": "s", "prompt_cache_key": "k"},
        ),
        ({"service_tier": "flex"}, {"service_tier": "flex"}),
        ({"web_search_options": {}}, {"tools": [{"type": "web_search"}]}),
        (
            {
                "web_search_options": {
                    "search_context_size": "low",
                    "user_location": {"type": "approximate", "approximate": {"city": "Ulm"}},
                }
            },
            {
                "tools": [
                    {
                        "type": "web_search",
                        "search_context_size": "low",
                        "user_location": {"type": "approximate", "city": "Ulm"},
                    }
                ]
            },
        ),
    ],
)
def test_a_setting_has_its_place(sent: Json, told: Json):
    assert settings(**sent) == told


def test_functions_are_not_strict_unless_they_say_so():
    parameters = {"type": "object", "properties": {}}
    tools = [
        {"type": "function", "function": {"name": "loose", "description": "A.", "parameters": parameters}},
        {"type": "function", "function": {"name": "strict", "parameters": parameters, "strict": True}},
    ]
    assert settings(tools=tools)["tools"] == [
        {"type": "function", "name": "loose", "description": "A.", "parameters": parameters, "strict": False},
        {"type": "function", "name": "strict", "parameters": parameters, "strict": True},
    ]


def test_custom_tools_keep_their_grammar():
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: /x/"}}
    tools = [
        {"type": "custom", "custom": {"name": "sql", "description": "SQL.", "format": grammar}},
        {"type": "custom", "custom": {"name": "shout", "format": {"type": "text"}}},
    ]
    assert settings(tools=tools)["tools"] == [
        {
            "type": "custom",
            "name": "sql",
            "description": "SQL.",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /x/"},
        },
        {"type": "custom", "name": "shout"},
    ]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("required", "required"),
        ("none", "none"),
        ({"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "f"}),
        ({"type": "custom", "custom": {"name": "f"}}, {"type": "custom", "name": "f"}),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
        ),
    ],
)
def test_a_choice_among_tools_is_the_same_choice(sent: Any, told: Any):
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert settings(tools=tools, tool_choice=sent)["tool_choice"] == told


def test_the_old_functions_are_tools_of_which_one_is_called_at_a_time():
    told = settings(functions=[{"name": "f"}], function_call={"name": "f"})
    assert told["tools"] == [{"type": "function", "name": "f", "parameters": None, "strict": False}]
    assert told["tool_choice"] == {"type": "function", "name": "f"}
    assert told["parallel_tool_calls"] is False


def test_two_tools_of_one_name_are_refused():
    one = {"type": "function", "function": {"name": "f"}}
    other = {"type": "custom", "custom": {"name": "f"}}
    assert refused(tools=[one, one]) == ("tools[1].function.name", "invalid_value")
    assert refused(tools=[one, other]) == ("tools[1].custom.name", "invalid_value")
    assert refused(functions=[{"name": "f"}, {"name": "f"}]) == ("functions[1].name", "invalid_value")


# What has no counterpart


CHAT_ONLY: Json = {
    "seed": 1,
    "stop": ["."],
    "logit_bias": {"50256": -100},
    "presence_penalty": 0.5,
    "frequency_penalty": 0.5,
    "prediction": {"type": "content", "content": "Hi."},
}


def test_what_only_this_api_has_is_kept_for_a_backend_that_speaks_it():
    assert response_request(asked(**CHAT_ONLY)).extra == CHAT_ONLY


def test_values_that_ask_for_nothing_are_not_told():
    neutral = {
        "stop": [],
        "logit_bias": {},
        "presence_penalty": 0,
        "frequency_penalty": 0.0,
        "n": 1,
        "modalities": ["text"],
    }
    assert response_request(asked(**neutral)) == response_request(asked())


@pytest.mark.parametrize(
    ("param", "value"),
    [("n", 2), ("audio", {"voice": "alloy", "format": "wav"}), ("modalities", ["text", "audio"])],
)
def test_several_choices_and_audio_are_refused_by_name(param: str, value: Any):
    assert refused(**{param: value}) == (param, "unsupported_parameter")


# Errors


@pytest.mark.parametrize(
    ("param", "told"),
    [
        ("input[0].content[1].file_id", "messages[0].content[1].file_id"),
        ("input[2]", "messages[1]"),
        ("input[99]", "messages"),
        ("input", "messages"),
        ("tools[0].name", "tools[0].name"),
        ("tools[1]", "web_search_options"),
        ("tool_choice.name", "tool_choice.name"),
        ("max_output_tokens", "max_tokens"),
        ("text.format.schema", "response_format.schema"),
        ("text.verbosity", "verbosity"),
        ("reasoning.effort", "reasoning_effort"),
        ("include[0]", "logprobs"),
        ("temperature", "temperature"),
        (None, None),
    ],
)
def test_a_parameter_at_fault_is_named_as_it_was_sent(param: str | None, told: str | None):
    chat = asked(
        USER,
        {"role": "assistant", "content": "Hm.", "tool_calls": [call(1)]},
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
        tools=[{"type": "function", "function": {"name": "look_up"}}],
        web_search_options={},
        max_tokens=5,
    )
    assert param_of(chat, param) == told


def test_the_old_names_of_parameters_are_told_to_who_sent_them():
    chat = asked(functions=[{"name": "f"}], function_call="auto", max_completion_tokens=5)
    assert param_of(chat, "tools[0].name") == "functions[0].name"
    assert param_of(chat, "tool_choice") == "function_call"
    assert param_of(chat, "max_output_tokens") == "max_completion_tokens"


def test_a_request_with_few_tokens_is_asked_as_it_is():
    request = response_request(asked(max_tokens=1))
    assert isinstance(request, CreateResponse)
    assert request.max_output_tokens == 1
