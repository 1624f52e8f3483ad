"""Requests for chat completions are validated in one place, and each refusal names the parameter at fault."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from openai.types.chat import completion_create_params

from antiphon.wire.chat import CHAT_ONLY, CreateChatCompletion, decode_chat, decode_chat_update
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.struct import encode

Json = dict[str, Any]
USER = {"role": "user", "content": "Hi."}
TOOL = {"type": "function", "function": {"name": "look_up"}}


def decoded(**fields: Any) -> CreateChatCompletion:
    return decode_chat(encode({"model": "m", "messages": [USER], **fields}))


def refused(**fields: Any) -> tuple[str | None, str | None]:
    with pytest.raises(InvalidRequest) as caught:
        decoded(**fields)
    return caught.value.param, caught.value.code


def test_every_parameter_of_the_sdk_is_known_and_there_is_no_other():
    params = completion_create_params.CompletionCreateParamsStreaming.__annotations__
    base = completion_create_params.CompletionCreateParamsBase.__annotations__
    assert {*params, *base} == set(CreateChatCompletion.__struct_fields__) - {"extra"}
    assert set(base) >= CHAT_ONLY


def test_null_is_the_same_as_an_absent_key():
    names = [name for name in CreateChatCompletion.__struct_fields__ if name not in ("model", "messages", "extra")]
    assert decoded(**dict.fromkeys(names)) == decoded()


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"messages": []}, "messages", "empty_array"),
        ({"messages": "Hi."}, "messages", "invalid_type"),
        ({"messages": [{"role": "robot", "content": "Hi."}]}, "messages[0].role", "invalid_value"),
        ({"messages": [{"content": "Hi."}]}, "messages[0].role", "missing_required_parameter"),
        ({"messages": [USER, {"role": "user"}]}, "messages[1].content", "missing_required_parameter"),
        ({"messages": [{"role": "tool", "content": ""}]}, "messages[0].tool_call_id", "missing_required_parameter"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": 3}}]}]},
            "messages[0].content[0].image_url.url",
            "invalid_type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "smell"}]}]},
            "messages[0].content[0].type",
            "invalid_value",
        ),
        ({"temprature": 1}, "temprature", "unknown_parameter"),
        ({"extra": {}}, "extra", "unknown_parameter"),
        ({"temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"max_tokens": 0}, "max_tokens", "integer_below_min_value"),
        ({"n": 0}, "n", "integer_below_min_value"),
        ({"top_logprobs": 2}, "top_logprobs", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"function_call": "auto"}, "function_call", "invalid_value"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop", "array_above_max_length"),
        ({"logit_bias": {"50256": 101}}, "logit_bias.50256", "decimal_above_max_value"),
        ({"tool_choice": "any"}, "tool_choice", "invalid_value"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function", "missing_required_parameter"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools[0].function.name", "invalid_value"),
        ({"tools": [{"type": "web_search"}]}, "tools[0].type", "invalid_value"),
        ({"response_format": {"type": "xml"}}, "response_format.type", "invalid_value"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a b"}}},
            "response_format.json_schema.name",
            "invalid_value",
        ),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "max_tokens", "mutually_exclusive_parameters"),
        ({"functions": [{"name": "f"}], "tools": [TOOL]}, "functions", "mutually_exclusive_parameters"),
        ({"metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        ({"user": None, "store": "yes"}, "store", "invalid_type"),
    ],
)
def test_a_mistake_is_refused_with_its_place(fields: Json, param: str, code: str):
    assert refused(**fields) == (param, code)


def test_what_is_not_json_and_what_is_nested_too_deep_is_refused():
    for body in (b"", b"{", b"[]", b"\xff", b'{"model": "m", "messages": ' + b"[" * 100 + b"]" * 100 + b"}"):
        with pytest.raises(InvalidRequest):
            decode_chat(body)


def test_parameters_that_a_model_lets_through_are_kept_beside_the_others():
    asked = decode_chat(
        encode({"model": "m", "messages": [USER], "top_k": 3, "seed": 1}), pass_through=frozenset({"top_k", "seed"})
    )
    assert (asked.extra, asked.seed) == ({"top_k": 3}, 1)


def test_an_update_has_metadata_and_nothing_else():
    assert decode_chat_update(b'{"metadata": {"a": "b"}}').metadata == {"a": "b"}
    assert decode_chat_update(b'{"metadata": null}').metadata is None
    for body in (b"{}", b'{"metadata": {}, "model": "m"}', b'{"metadata": {"a": 1}}'):
        with pytest.raises(InvalidRequest):
            decode_chat_update(body)


def test_a_request_survives_its_own_encoding():
    asked = decoded(
        messages=[
            {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
            USER,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "sql", "input": "x"}}],
            },
            {"role": "tool", "tool_call_id": "c", "content": "1"},
        ],
        tools=[TOOL, {"type": "custom", "custom": {"name": "sql"}}],
    )
    sent = msgspec.to_builtins(asked)
    del sent["extra"]
    assert decode_chat(encode(sent)) == asked
