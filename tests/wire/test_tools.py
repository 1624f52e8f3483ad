from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.wire import tools
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.struct import UNSET, Opaque, encode
from antiphon.wire.tools import decode_tool, decode_tool_choice, keep_tool
from tests.wire import samples, strategies

ANY_TOOL = st.one_of(
    [strategies.OPAQUE, *(strategies.structs(kind) for kind in set(tools.TOOLS.values()) - {tools.McpTool})]
)
ANY_CHOICE = st.sampled_from(["none", "auto", "required"]) | st.one_of(
    [strategies.structs(kind) for kind in set(tools.TOOL_CHOICES.values())]
)


@given(ANY_TOOL)
def test_any_tool_comes_back_as_it_was_sent(tool: Any) -> None:
    assert decode_tool(encode(tool)) == tool
    assert encode(decode_tool(encode(tool))) == encode(tool)


@given(ANY_CHOICE)
def test_any_tool_choice_comes_back_as_it_was_sent(choice: Any) -> None:
    assert decode_tool_choice(encode(choice)) == choice


@pytest.mark.parametrize("tool", samples.TOOLS, ids=lambda tool: type(tool).__name__)
def test_a_tool_is_read_from_bytes_and_objects_alike(tool: Any) -> None:
    assert decode_tool(encode(tool)) == decode_tool(msgspec.json.decode(encode(tool))) == tool


@pytest.mark.parametrize("alias", [name for name in tools.TOOLS if name.startswith("web_search")])
def test_an_alias_of_a_tool_is_echoed_in_its_own_spelling(alias: str) -> None:
    sent = b'{"type":"%s","search_context_size":"low"}' % alias.encode()
    assert encode(decode_tool(sent)) == sent


@pytest.mark.parametrize(
    "sent",
    [
        b'{"type":"function","name":"f"}',
        b'{"type":"function","name":"f","parameters":null,"strict":null}',
        b'{"type":"function","name":"f","parameters":{"type":"object","x":[1]},"strict":false}',
    ],
)
def test_a_function_is_echoed_as_it_was_sent(sent: bytes) -> None:
    assert encode(decode_tool(sent)) == sent


def test_a_tool_of_unknown_type_is_kept_whole() -> None:
    sent = b'{"type":"x:lamp","name":"l","on":true}'
    assert isinstance(decode_tool(sent), Opaque)
    assert encode(decode_tool(sent)) == sent


def test_python_words_are_spelled_otherwise_here_than_on_the_wire() -> None:
    tool = tools.FunctionTool(name="f", async_=True)
    format_ = tools.FormatJsonSchema(name="n", schema_={"type": "object"})
    assert encode(tool) == b'{"type":"function","name":"f","async":true}'
    assert encode(format_) == b'{"type":"json_schema","name":"n","schema":{"type":"object"}}'
    assert tools.FunctionTool(name="f").parameters is UNSET


@pytest.mark.parametrize(
    ("sent", "param", "code"),
    [
        (b"[]", "tools[2]", "invalid_type"),
        (b"{}", "tools[2].type", "missing_required_parameter"),
        (b'{"type":null}', "tools[2].type", "invalid_type"),
        (b'{"type":"function"}', "tools[2].name", "missing_required_parameter"),
        (b'{"type":"function","name":""}', "tools[2].name", "invalid_value"),
        (b'{"type":"function","name":"a b"}', "tools[2].name", "invalid_value"),
        (b'{"type":"function","name":"a\\n"}', "tools[2].name", "invalid_value"),
        (b'{"type":"function","name":"%s"}' % (b"a" * 129), "tools[2].name", "invalid_value"),
        (b'{"type":"function","name":3}', "tools[2].name", "invalid_type"),
        (b'{"type":"function","name":"f","parameters":[]}', "tools[2].parameters", "invalid_type"),
        (b'{"type":"function","name":"f","strict":"yes"}', "tools[2].strict", "invalid_type"),
        (b'{"type":"function","name":"f","allowed_callers":["me"]}', "tools[2].allowed_callers[0]", "invalid_value"),
        (b'{"type":"function","function":{"name":"f"}}', "tools[2].name", "missing_required_parameter"),
        (b'{"type":"file_search"}', "tools[2].vector_store_ids", "missing_required_parameter"),
        (
            b'{"type":"file_search","vector_store_ids":[],"max_num_results":51}',
            "tools[2].max_num_results",
            "integer_above_max_value",
        ),
        (b'{"type":"web_search","search_context_size":"huge"}', "tools[2].search_context_size", "invalid_value"),
        (b'{"type":"mcp"}', "tools[2].server_label", "missing_required_parameter"),
        (b'{"type":"mcp","server_label":"s"}', "tools[2].server_url", "missing_required_parameter"),
        (
            b'{"type":"mcp","server_label":"s","server_url":"u","headers":{"a":"b","c":1}}',
            "tools[2].headers.c",
            "invalid_type",
        ),
        (
            b'{"type":"mcp","server_label":"s","server_url":"u","require_approval":"maybe"}',
            "tools[2].require_approval",
            "invalid_value",
        ),
        (b'{"type":"code_interpreter"}', "tools[2].container", "missing_required_parameter"),
        (
            b'{"type":"custom","name":"c","format":{"type":"grammar","syntax":"ebnf","definition":""}}',
            "tools[2].format.syntax",
            "invalid_value",
        ),
        (b'{"type":"custom","name":"c","format":{"type":"xml"}}', "tools[2].format.type", "invalid_value"),
        (
            b'{"type":"namespace","name":"n","description":"","tools":[{"type":"function"}]}',
            "tools[2].tools[0].name",
            "missing_required_parameter",
        ),
        (
            b'{"type":"image_generation","output_compression":-1}',
            "tools[2].output_compression",
            "integer_below_min_value",
        ),
        (b'{"type":"image_generation","partial_images":4}', "tools[2].partial_images", "integer_above_max_value"),
    ],
)
def test_a_tool_that_is_wrong_is_refused_by_the_name_of_the_place(sent: bytes, param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        decode_tool(sent, "tools[2]")
    assert (refusal.value.param, refusal.value.code) == (param, code)


@pytest.mark.parametrize(
    ("sent", "param", "code"),
    [
        (b"3", "tool_choice", "invalid_type"),
        (b'"any"', "tool_choice", "invalid_value"),
        (b"{}", "tool_choice.type", "missing_required_parameter"),
        (b'{"type":"any"}', "tool_choice.type", "invalid_value"),
        (b'{"type":"function"}', "tool_choice.name", "missing_required_parameter"),
        (b'{"type":"allowed_tools","mode":"none","tools":[]}', "tool_choice.mode", "invalid_value"),
        (b'{"type":"allowed_tools","mode":"auto","tools":["f"]}', "tool_choice.tools[0]", "invalid_type"),
    ],
)
def test_a_tool_choice_that_is_wrong_is_refused_by_the_name_of_the_place(sent: bytes, param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        decode_tool_choice(sent)
    assert (refusal.value.param, refusal.value.code) == (param, code)


def test_a_word_that_is_no_tool_choice_is_refused_with_those_that_would_do() -> None:
    with pytest.raises(InvalidRequest, match="Supported values are: 'none', 'auto', and 'required'"):
        decode_tool_choice(b'"any"')


def test_a_tool_of_another_server_that_is_not_what_we_know_is_kept_whole() -> None:
    sent = b'{"type":"function","name":"not a name"}'
    assert encode(keep_tool(sent)) == sent
    assert keep_tool(b'{"type":"function","name":"f"}') == tools.FunctionTool(name="f")
