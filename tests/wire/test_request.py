from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.wire import content, items, request, response, tools
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.request import CountTokens, CreateResponse, check_depth, decode_count, decode_create
from antiphon.wire.struct import UNSET, Opaque, encode
from tests.wire import samples, strategies

ANY_REQUEST = strategies.structs(
    CreateResponse,
    input=strategies.TEXT | st.lists(strategies.ITEMS, max_size=3),
    tools=st.lists(st.sampled_from(samples.TOOLS), max_size=1),
    tool_choice=st.sampled_from(samples.TOOL_CHOICES),
    **{
        name: st.just(default())
        for name, default in request._DEFAULTS[CreateResponse]
        if name in ("store", "background")
    },
    metadata=st.dictionaries(strategies.TEXT, strategies.TEXT, max_size=3),
    include=st.lists(st.sampled_from(request.INCLUDABLE)),
    parallel_tool_calls=st.booleans(),
    stream=st.booleans(),
    truncation=st.sampled_from(["auto", "disabled"]),
    conversation=st.none(),
    extra=st.just({}),
)


def body(**parameters: Any) -> bytes:
    return json.dumps({"model": "m", "input": "hi"} | parameters).encode()


def refused(sent: bytes) -> tuple[str | None, str | None]:
    with pytest.raises(InvalidRequest) as refusal:
        decode_create(sent)
    assert refusal.value.message
    return refusal.value.param, refusal.value.code


@given(ANY_REQUEST)
def test_any_request_comes_back_as_it_was_sent(sent: CreateResponse) -> None:
    assert decode_create(encode(sent)) == sent


def test_a_small_request_is_read_with_its_defaults() -> None:
    sent = decode_create(b'{"model":"m","input":"hi"}')
    assert sent == CreateResponse(model="m", input="hi")
    assert (sent.store, sent.stream, sent.background, sent.parallel_tool_calls) == (True, False, False, True)
    assert (sent.tools, sent.tool_choice, sent.include, sent.metadata, sent.truncation) == (
        [],
        "auto",
        [],
        {},
        "disabled",
    )
    assert (sent.temperature, sent.top_p, sent.max_output_tokens, sent.text, sent.reasoning) == (None,) * 5


@pytest.mark.parametrize("name", sorted(set(CreateResponse.__struct_fields__) - {"input", "extra"}))
def test_null_is_the_same_as_an_absent_parameter(name: str) -> None:
    assert decode_create(body(**{name: None})) == decode_create(body(**({} if name != "model" else {name: None})))


def test_a_default_that_can_be_changed_belongs_to_one_request_alone() -> None:
    decode_create(body(metadata=None, include=None)).metadata["a"] = "b"
    assert decode_create(body(metadata=None)).metadata == {}


def test_input_and_tools_are_typed_after_decoding() -> None:
    sent = decode_create(
        b'{"input":[{"role":"user","content":"a"},{"type":"x:y","z":1}],"tools":[{"type":"function","name":"f"},'
        b'{"type":"x:t"}],"tool_choice":{"type":"function","name":"f"},"conversation":"conv_1","text":{"format":'
        b'{"type":"json_schema","name":"n","schema":{}}},"reasoning":{"effort":"low"}}'
    )
    assert sent.input == [items.Message(role="user", content="a"), Opaque({"type": "x:y", "z": 1})]
    assert sent.tools == [tools.FunctionTool(name="f"), Opaque({"type": "x:t"})]
    assert sent.tool_choice == tools.FunctionChoice(name="f")
    assert sent.text == tools.TextConfig(format=tools.FormatJsonSchema(name="n", schema_={}))
    assert (sent.reasoning, sent.conversation) == (response.ReasoningConfig(effort="low"), "conv_1")


def test_a_conversation_is_named_by_its_id_or_by_an_object() -> None:
    assert decode_create(body(conversation={"id": "conv_1"})).conversation == response.ConversationRef(id="conv_1")


@pytest.mark.parametrize("instead", [{"prompt": {"id": "p"}}, {"previous_response_id": "r"}, {"conversation": "c"}])
def test_there_may_be_something_else_to_answer_than_input(instead: dict[str, Any]) -> None:
    assert decode_create(json.dumps(instead).encode()).input is None


def test_what_codex_sends_about_itself_is_overlooked() -> None:
    assert decode_create(body(client_metadata={"a": [1]})) == decode_create(body())
    assert decode_count(body(client_metadata={"a": [1]})) == CountTokens(model="m", input="hi")


def test_a_parameter_that_is_let_through_is_kept_apart() -> None:
    allowed = frozenset({"top_k", "extra_body", "extra", "temperature"})
    sent = decode_create(body(top_k=40, extra_body={"a": [1]}, extra=None, temperature=1), pass_through=allowed)
    assert sent.extra == {"top_k": 40, "extra_body": {"a": [1]}, "extra": None}
    assert sent.temperature == 1


def test_a_request_without_what_was_not_sent_is_short() -> None:
    assert encode(decode_create(b'{"model":"m","input":"hi","store":null}')) == b'{"model":"m","input":"hi"}'


CASES: list[tuple[dict[str, Any], str, str]] = [
    ({"foo": 1}, "foo", "unknown_parameter"),
    ({"extra": {}}, "extra", "unknown_parameter"),
    ({"extra": None}, "extra", "unknown_parameter"),
    ({"extra_body": {}}, "extra_body", "unknown_parameter"),
    ({"messages": []}, "messages", "unknown_parameter"),
    ({"max_tokens": 16}, "max_tokens", "unknown_parameter"),
    ({"client_metadata": {}, "foo": 1}, "foo", "unknown_parameter"),
    ({"moderation": {"model": "m", "polcy": {}}}, "moderation.polcy", "unknown_parameter"),
    ({"moderation": {"model": "m", "policy": {"ouput": {}}}}, "moderation.policy.ouput", "unknown_parameter"),
    (
        {"moderation": {"model": "m", "policy": {"output": {"mode": "block", "x": 1}}}},
        "moderation.policy.output.x",
        "unknown_parameter",
    ),
    ({"model": 3}, "model", "invalid_type"),
    ({"input": 3}, "input", "invalid_type"),
    ({"input": {}}, "input", "invalid_type"),
    ({"input": None}, "input", "missing_required_parameter"),
    ({"input": ["hi"]}, "input[0]", "invalid_type"),
    ({"input": [{"role": "user", "content": "a"}, {"role": "user"}]}, "input[1].content", "missing_required_parameter"),
    ({"input": [{"role": "tool", "content": "a"}]}, "input[0].role", "invalid_value"),
    ({"input": [{"role": "user", "content": [{"type": "text", "text": "a"}]}]}, "input[0].content[0]", "invalid_value"),
    ({"instructions": []}, "instructions", "invalid_type"),
    ({"previous_response_id": 1}, "previous_response_id", "invalid_type"),
    ({"conversation": 1}, "conversation", "invalid_type"),
    ({"conversation": {}}, "conversation.id", "missing_required_parameter"),
    ({"conversation": "c", "previous_response_id": "r"}, "previous_response_id", "mutually_exclusive_parameters"),
    ({"store": "yes"}, "store", "invalid_type"),
    ({"stream": 1}, "stream", "invalid_type"),
    ({"background": "no"}, "background", "invalid_type"),
    ({"background": True, "store": False}, "background", "invalid_value"),
    ({"stream_options": []}, "stream_options", "invalid_type"),
    ({"stream_options": {"include_obfuscation": 1}}, "stream_options.include_obfuscation", "invalid_type"),
    ({"parallel_tool_calls": 0}, "parallel_tool_calls", "invalid_type"),
    ({"temperature": "warm"}, "temperature", "invalid_type"),
    ({"temperature": True}, "temperature", "invalid_type"),
    ({"temperature": 2.1}, "temperature", "decimal_above_max_value"),
    ({"temperature": -1}, "temperature", "decimal_below_min_value"),
    ({"top_p": 1.5}, "top_p", "decimal_above_max_value"),
    ({"top_p": -0.1}, "top_p", "decimal_below_min_value"),
    ({"top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
    ({"top_logprobs": -1}, "top_logprobs", "integer_below_min_value"),
    ({"top_logprobs": 1.5}, "top_logprobs", "invalid_type"),
    ({"max_output_tokens": 15}, "max_output_tokens", "integer_below_min_value"),
    ({"max_output_tokens": "16"}, "max_output_tokens", "invalid_type"),
    ({"max_tool_calls": -1}, "max_tool_calls", "integer_below_min_value"),
    ({"truncation": "middle"}, "truncation", "invalid_value"),
    ({"service_tier": "gold"}, "service_tier", "invalid_value"),
    ({"include": "all"}, "include", "invalid_type"),
    ({"include": ["reasoning.encrypted_content", "all"]}, "include[1]", "invalid_value"),
    ({"metadata": []}, "metadata", "invalid_type"),
    ({"metadata": {"a": "b", "c": 1}}, "metadata.c", "invalid_type"),
    ({"metadata": {"a" * 65: "b"}}, "metadata", "string_above_max_length"),
    ({"metadata": {"a": "b", "c": "d" * 513}}, "metadata.c", "string_above_max_length"),
    ({"metadata": {str(n): "" for n in range(17)}}, "metadata", "object_above_max_properties"),
    ({"safety_identifier": "a" * 129}, "safety_identifier", "string_above_max_length"),
    ({"user": 3}, "user", "invalid_type"),
    ({"prompt": "p"}, "prompt", "invalid_type"),
    ({"prompt": {}}, "prompt.id", "missing_required_parameter"),
    ({"prompt": {"id": "p", "variables": {"a": 1}}}, "prompt.variables.a", "invalid_type"),
    ({"prompt_cache_options": {"ttl": "1y"}}, "prompt_cache_options.ttl", "invalid_value"),
    ({"prompt_cache_retention": "1y"}, "prompt_cache_retention", "invalid_value"),
    ({"context_management": []}, "context_management", "empty_array"),
    ({"context_management": [{}]}, "context_management[0].type", "missing_required_parameter"),
    ({"context_management": [{"type": "forget"}]}, "context_management[0].type", "invalid_value"),
    ({"moderation": {}}, "moderation.model", "missing_required_parameter"),
    (
        {"moderation": {"model": "m", "policy": {"input": {"mode": "x"}}}},
        "moderation.policy.input.mode",
        "invalid_value",
    ),
    ({"image": {"context_compression": "x"}}, "image.context_compression", "invalid_value"),
    ({"access_programs": {"cyber": "x"}}, "access_programs.cyber", "invalid_value"),
    ({"reasoning": "high"}, "reasoning", "invalid_type"),
    ({"reasoning": {"effort": "huge"}}, "reasoning.effort", "invalid_value"),
    ({"reasoning": {"summary": True}}, "reasoning.summary", "invalid_type"),
    ({"text": "json"}, "text", "invalid_type"),
    ({"text": {"verbosity": "loud"}}, "text.verbosity", "invalid_value"),
    ({"text": {"format": {}}}, "text.format.type", "missing_required_parameter"),
    ({"text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
    ({"text": {"format": {"type": "json_schema", "schema": {}}}}, "text.format.name", "missing_required_parameter"),
    ({"text": {"format": {"type": "json_schema", "name": "n"}}}, "text.format.schema", "missing_required_parameter"),
    ({"text": {"format": {"type": "json_schema", "name": "a b", "schema": {}}}}, "text.format.name", "invalid_value"),
    ({"tools": {}}, "tools", "invalid_type"),
    ({"tools": ["f"]}, "tools[0]", "invalid_type"),
    ({"tools": [{"type": "function", "name": "a b"}]}, "tools[0].name", "invalid_value"),
    ({"tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "f"}]}, "tools[1].name", "invalid_value"),
    ({"tool_choice": "any"}, "tool_choice", "invalid_value"),
    ({"tool_choice": {"type": "function"}}, "tool_choice.name", "missing_required_parameter"),
]


@pytest.mark.parametrize(("parameters", "param", "code"), CASES)
def test_a_request_that_is_wrong_is_refused_by_the_name_of_the_place(
    parameters: dict[str, Any], param: str, code: str
) -> None:
    assert refused(body(**parameters)) == (param, code)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"input":"hi"}}', "invalid_json"),
        (b'{"input":"hi",}', "invalid_json"),
        (b'{"input":"hi","temperature":NaN}', "invalid_json"),
        (b'{"input":"hi","temperature":-Infinity}', "invalid_json"),
        (b'{"input":"\\ud800"}', "invalid_json"),
        (b'{"input":"\\ud800 and more than six characters"}', "invalid_json"),
        (b'{"input":"\\udc00"}', "invalid_json"),
        (b'{"input":"\xff"}', "invalid_json"),
        (b'{"input":[{"role":"user","content":"\xed\xa0\x80"}]}', "invalid_json"),
        (b'{"input":"hi","metadata":{"\xff":"a"}}', "invalid_json"),
        (b'{"input":"hi","\xff":"a"}', "invalid_json"),
        (b"[]", "invalid_type"),
        (b"null", "invalid_type"),
        (b'"hi"', "invalid_type"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(sent: bytes, code: str) -> None:
    assert refused(sent) == (None, code)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"temperature": "1"},
            "Invalid type for 'temperature': expected a number between 0 and 2, but got a string instead.",
        ),
        (
            {"temperature": 3},
            "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3 instead.",
        ),
        (
            {"max_output_tokens": 1},
            "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead.",
        ),
        ({"foo": 1}, "Unknown parameter: 'foo'."),
        ({"truncation": "x"}, "Invalid value: 'x'. Supported values are: 'auto' and 'disabled'."),
        (
            {"reasoning": {"summary": "x"}},
            "Invalid value: 'x'. Supported values are: 'auto', 'concise', and 'detailed'.",
        ),
        ({"input": 3}, "Invalid type for 'input': expected a string or an array, but got an integer instead."),
        ({"prompt": {}}, "Missing required parameter: 'prompt.id'."),
        (
            {"safety_identifier": "a" * 129},
            (
                "Invalid 'safety_identifier': string too long. "
                "Expected a string with maximum length 128, but got a string with length 129 instead."
            ),
        ),
        (
            {"context_management": []},
            (
                "Invalid 'context_management': empty array. "
                "Expected an array with minimum length 1, but got an array with length 0 instead."
            ),
        ),
        (
            {"context_management": [{"type": 3}]},
            "Invalid type for 'context_management[0].type': expected one of 'compaction', but got an integer instead.",
        ),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "detail": "huge"}]}]},
            "Invalid value: 'huge'. Supported values are: 'low', 'high', 'auto', and 'original'.",
        ),
        ({"metadata": {"a" * 65: ""}}, "Invalid 'metadata': key too long. Expected keys with maximum length 64."),
        (
            {"metadata": dict.fromkeys("abcdefghijklmnopq", "")},
            (
                "Invalid 'metadata': too many properties. "
                "Expected an object with at most 16 properties, but got an object with 17 properties instead."
            ),
        ),
        (
            {"tools": [{"type": "function", "name": ""}]},
            (
                "Invalid 'tools[0].name': string does not match pattern. "
                "Expected a string that matches the pattern '^[a-zA-Z0-9_-]{1,128}$'."
            ),
        ),
    ],
)
def test_a_refusal_says_what_was_expected_and_what_came(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        decode_create(body(**parameters))
    assert refusal.value.message == message


def test_a_number_that_no_double_holds_is_refused() -> None:
    assert refused(b'{"input":"hi","temperature":1e999}') == ("temperature", "invalid_value")


def test_a_refusal_does_not_repeat_a_name_or_a_value_of_any_length() -> None:
    for parameters in (
        {"x" * 100_000: 1},
        {"truncation": "x" * 100_000},
        {"prompt": {"id": "p", "variables": {"x" * 100_000: 1}}},
    ):
        with pytest.raises(InvalidRequest) as refusal:
            decode_create(body(**parameters))
        assert len(refusal.value.message) < 1000


def test_text_as_input_may_be_as_long_as_the_api_allows_and_no_longer() -> None:
    assert decode_create(body(input="x" * content.MAX_TEXT)).input == "x" * content.MAX_TEXT
    assert refused(body(input="x" * (content.MAX_TEXT + 1))) == ("input", "string_above_max_length")


def nested(depth: int) -> bytes:
    """A request that is as deep as asked: the body itself is the first level, the format and its schema are three."""
    inside = depth - 4
    return b'{"input":"hi","text":{"format":{"type":"json_schema","name":"n","schema":{"a":%s%s}}}}' % (
        b"[" * inside,
        b"]" * inside,
    )


def test_a_body_may_be_64_levels_deep_and_no_deeper() -> None:
    decode_create(nested(64))
    with pytest.raises(InvalidRequest, match="deeper than 64 levels"):
        decode_create(nested(65))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"[" * 1_000_000, "deeper than 64 levels"),
        (b"[" * 1_000_000 + b"]" * 1_000_000, "deeper than 64 levels"),
        (b'{"a":' * 100_000, "deeper than 64 levels"),
        (b"[" * 100_000 + b"[]", "deeper than 64 levels"),
        (b"[]" * 100_000 + b"[" * 65, "deeper than 64 levels"),
        (b"]" * 200_000 + b"[" * 200_000, "malformed"),
    ],
    ids=["open", "deep", "objects", "one closed", "late", "turned round"],
)
def test_a_body_of_brackets_is_refused_without_recursion(sent: bytes, reason: str) -> None:
    with pytest.raises(InvalidRequest, match=reason) as refusal:
        decode_create(sent)
    assert (refusal.value.param, refusal.value.code) == (None, "invalid_json")


JSON_TEXT = st.recursive(
    st.none() | st.integers() | st.text(st.sampled_from('[]{}"\\ab\n'), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.sampled_from('[]{}"\\'), max_size=4), inner, max_size=3)
    ),
    max_leaves=20,
)


def depth_of(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth_of, inside), default=0)


@given(JSON_TEXT, st.integers(1, 4))
def test_the_depth_of_a_body_is_that_of_its_brackets_outside_of_strings(value: Any, limit: int) -> None:
    sent = json.dumps(value).encode()
    if depth_of(value) <= limit:
        check_depth(sent, limit)
    else:
        with pytest.raises(InvalidRequest):
            check_depth(sent, limit)


@given(
    st.binary(max_size=40) | st.text(st.sampled_from('{}[]":,\\ud800einput"tools1.-NaN'), max_size=40).map(str.encode)
)
def test_no_body_does_more_harm_than_to_be_refused(sent: bytes) -> None:
    try:
        encode(decode_create(sent))
    except InvalidRequest as refusal:
        encode(refusal.body())


@given(strategies.JSON, st.sampled_from(sorted(CreateResponse.__struct_fields__)))
def test_no_value_of_a_parameter_does_more_harm_than_to_be_refused(value: Any, name: str) -> None:
    try:
        encode(decode_create(msgspec.json.encode({"input": "hi"} | {name: value})))
        param = name
    except InvalidRequest as refusal:
        param = refusal.param or ""
    assert param.startswith(name)


def test_a_count_takes_what_bears_on_the_number_of_tokens_and_nothing_else() -> None:
    sent = decode_count(body(personality="friendly", tools=[{"type": "function", "name": "f"}], instructions="x"))
    assert (sent.personality, sent.tools) == ("friendly", [tools.FunctionTool(name="f")])
    for wrong in ({"stream": True}, {"input": [3]}, {"conversation": "c", "previous_response_id": "r"}):
        with pytest.raises(InvalidRequest):
            decode_count(body(**wrong))


def test_a_function_that_was_sent_without_a_schema_has_none() -> None:
    (tool,) = decode_create(body(tools=[{"type": "function", "name": "f"}])).tools
    assert isinstance(tool, tools.FunctionTool)
    assert tool.parameters is UNSET
