"""Tools as chat functions: which there are, what they are named, and which are left out or refused."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.models.chat_tools import ChatTools, Target, check_tools, flat_name, offered
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.items import AdditionalTools, CustomToolCall, FunctionCall
from antiphon.wire.request import CreateResponse, decode_create
from antiphon.wire.struct import encode
from antiphon.wire.tools import CustomTool, FunctionTool, NamespaceTool

Json = dict[str, Any]

LOOK_UP: Json = {"type": "function", "name": "look_up", "parameters": {"type": "object"}, "strict": True}
PATCH: Json = {"type": "custom", "name": "patch", "description": "Changes files."}
CRM: Json = {
    "type": "namespace",
    "name": "crm",
    "description": "Customers.",
    "tools": [{"type": "function", "name": "find", "description": "Finds one."}, {"type": "custom", "name": "note"}],
}
WEB: Json = {"type": "web_search"}


def request(*tools: Json, **fields: Any) -> CreateResponse:
    return decode_create(encode({"model": "m", "input": "Hi", "tools": list(tools), **fields}))


def body(*tools: Json, **fields: Any) -> Json:
    asked = request(*tools, **fields)
    return ChatTools(asked.tools).body(asked.tool_choice)


def names(sent: Json) -> list[str]:
    return [tool["function"]["name"] for tool in sent.get("tools", [])]


def test_a_function_stays_a_function_with_its_schema_and_strictness() -> None:
    (tool,) = body(LOOK_UP)["tools"]
    assert tool == {
        "type": "function",
        "function": {"name": "look_up", "description": "", "parameters": {"type": "object"}, "strict": True},
    }


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    (tool,) = body({"type": "function", "name": "now", "parameters": None, "strict": None})["tools"]
    assert tool["function"]["parameters"] == {"type": "object", "properties": {}}
    assert "strict" not in tool["function"]


def test_a_custom_tool_becomes_a_function_of_one_string() -> None:
    (tool,) = body(PATCH)["tools"]
    parameters = tool["function"]["parameters"]
    assert list(parameters["properties"]) == parameters["required"] == ["input"]
    assert parameters["properties"]["input"]["type"] == "string"
    assert tool["function"]["description"] == "Changes files."


@pytest.mark.parametrize(("syntax", "words"), [("lark", "Lark grammar"), ("regex", "regular expression")])
def test_the_grammar_of_a_custom_tool_is_told_in_its_description(syntax: str, words: str) -> None:
    grammar = {"type": "grammar", "syntax": syntax, "definition": 'start: "a"'}
    (tool,) = body({**PATCH, "format": grammar})["tools"]
    description = tool["function"]["description"]
    assert description.startswith("Changes files.")
    assert words in description
    assert 'start: "a"' in description


def test_the_tools_of_a_namespace_carry_its_name_and_description() -> None:
    sent = body(CRM)
    assert names(sent) == ["crm__find", "crm__note"]
    assert sent["tools"][0]["function"]["description"] == "Finds one.\n\nPart of crm: Customers."


def test_a_call_of_a_flattened_function_is_mapped_back() -> None:
    tools = ChatTools(request(CRM, LOOK_UP).tools)
    assert tools.target("crm__find") == Target("find", "crm")
    assert tools.target("crm__note") == Target("note", "crm", custom=True)
    assert tools.target("look_up") == Target("look_up")
    call = tools.target("crm__find").call("call_1")
    assert isinstance(call, FunctionCall)
    assert (call.name, call.namespace, call.call_id) == ("find", "crm", "call_1")
    assert isinstance(tools.target("crm__note").call("call_2"), CustomToolCall)


def test_a_name_that_the_model_made_up_stays_what_it_is() -> None:
    assert ChatTools([]).target("invented") == Target("invented")


def test_a_plain_name_wins_over_a_flattened_one_wherever_it_stands() -> None:
    clash = {"type": "function", "name": "crm__find"}
    for tools in ([CRM, clash], [clash, CRM]):
        chat = ChatTools(request(*tools).tools)
        assert chat.name(Target("crm__find")) == "crm__find"
        flattened = chat.name(Target("find", "crm"))
        assert flattened != "crm__find"
        assert chat.target(flattened) == Target("find", "crm")


name = st.from_regex(r"[a-zA-Z0-9_-]{1,128}", fullmatch=True)
tools_of_any_name = st.lists(
    st.one_of(
        st.builds(FunctionTool, name=name),
        st.builds(CustomTool, name=name),
        st.builds(
            NamespaceTool,
            name=st.text(min_size=1, max_size=70),
            description=st.just(""),
            tools=st.lists(st.builds(FunctionTool, name=name), max_size=3),
        ),
    ),
    max_size=6,
)


@given(tools=tools_of_any_name)
def test_every_function_has_a_name_of_its_own_that_chat_servers_take(
    tools: list[FunctionTool | CustomTool | NamespaceTool],
) -> None:
    chat = ChatTools(tools)
    sent = names(chat.body("auto"))
    assert len(set(sent)) == len(sent)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in sent)
    assert all(chat.name(chat.target(name)) == name for name in sent)


def test_a_long_name_is_cut_the_same_way_in_every_request() -> None:
    long = "x" * 128
    assert flat_name(long) == flat_name(long) != flat_name(long[:-1])
    assert flat_name(long).startswith("x" * 50)


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", None),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "look_up"}, {"type": "function", "function": {"name": "look_up"}}),
        ({"type": "function", "name": "find"}, {"type": "function", "function": {"name": "crm__find"}}),
        ({"type": "custom", "name": "patch"}, {"type": "function", "function": {"name": "patch"}}),
    ],
)
def test_a_choice_is_sent_in_the_words_of_the_api(choice: Any, sent: Any) -> None:
    assert body(LOOK_UP, PATCH, CRM, tool_choice=choice).get("tool_choice") == sent


@pytest.mark.parametrize(
    ("allowed", "mode", "left"),
    [
        ([{"type": "function", "name": "look_up"}], "required", ["look_up"]),
        ([{"type": "custom", "name": "patch"}], "auto", ["patch"]),
        ([{"type": "namespace", "name": "crm"}], "auto", ["crm__find", "crm__note"]),
        ([{"type": "function", "name": "find"}], "auto", ["crm__find"]),
        ([{"type": "function", "name": "find", "namespace": "crm"}], "auto", ["crm__find"]),
        ([{"type": "function", "name": "find", "namespace": "other"}], "auto", []),
        ([{"type": "function", "name": "patch"}], "auto", []),
    ],
)
def test_only_allowed_tools_are_offered(allowed: list[Json], mode: str, left: list[str]) -> None:
    sent = body(LOOK_UP, PATCH, CRM, tool_choice={"type": "allowed_tools", "mode": mode, "tools": allowed})
    assert names(sent) == left
    assert sent.get("tool_choice") == ("required" if mode == "required" else None)


def test_tools_that_are_no_functions_are_left_out_and_named_once() -> None:
    shell = {"type": "shell"}
    unknown = {"type": "teleport", "to": "Mars"}
    asked = request(WEB, LOOK_UP, WEB, shell, {"type": "local_shell"}, {"type": "apply_patch"}, unknown)
    assert check_tools(asked) == ("web_search", "shell", "local_shell", "apply_patch", "teleport")
    assert names(ChatTools(asked.tools).body("auto")) == ["look_up"]


def test_a_request_with_nothing_to_leave_out_leaves_nothing_out() -> None:
    assert check_tools(request(LOOK_UP, PATCH, CRM)) == ()
    assert check_tools(request()) == ()
    assert check_tools(request(input=None, previous_response_id="resp_1")) == ()


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "file_search", "vector_store_ids": ["vs_1"]},
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "mcp", "server_label": "docs", "server_url": "https://example.com"},
    ],
)
def test_a_tool_without_which_the_answer_is_made_up_is_refused(tool: Json) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_tools(request(LOOK_UP, tool))
    assert (caught.value.code, caught.value.param) == ("unsupported_tool", "tools[1]")
    assert tool["type"] in caught.value.message


@pytest.mark.parametrize(
    ("tools", "choice"),
    [
        ([WEB], {"type": "web_search"}),
        ([WEB], "required"),
        ([{"type": "apply_patch"}], {"type": "apply_patch"}),
        ([{"type": "shell"}, LOOK_UP], {"type": "shell"}),
        ([LOOK_UP], {"type": "mcp", "server_label": "docs"}),
        ([WEB, LOOK_UP], {"type": "allowed_tools", "mode": "required", "tools": [WEB]}),
    ],
)
def test_a_choice_that_asks_for_what_is_left_out_is_refused(tools: list[Json], choice: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_tools(request(*tools, tool_choice=choice))
    assert (caught.value.code, caught.value.param) == ("unsupported_tool", "tool_choice")


@pytest.mark.parametrize("kind", ["function", "custom"])
def test_a_choice_of_a_tool_that_is_not_there_is_refused(kind: str) -> None:
    with pytest.raises(InvalidRequest, match="'nothing' not found") as caught:
        check_tools(request(LOOK_UP, PATCH, tool_choice={"type": kind, "name": "nothing"}))
    assert caught.value.param == "tool_choice"


def test_tools_that_the_input_declares_are_offered_too() -> None:
    declared = AdditionalTools(role="developer", tools=[LOOK_UP, WEB])
    tools = offered(request(PATCH).tools, [declared])
    assert names(ChatTools(tools).body("auto")) == ["patch", "look_up"]
    asked = request(PATCH, tool_choice={"type": "function", "name": "look_up"})
    asked.input = [declared]
    assert check_tools(asked) == ("web_search",)
