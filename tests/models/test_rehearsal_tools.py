"""Which tools rehearsal calls, with what, and which it does not serve."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import llguidance
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.models.rehearsal import Rehearsal
from antiphon.models.rehearsal.patches import commands, operations
from antiphon.models.rehearsal.values import Values
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.items import CreateFile, DeleteFile, UpdateFile
from tests.models.rehearsal_stage import WEATHER, Json, answered, calls, output, refusal_of, say, text, turn_of

pytestmark = pytest.mark.anyio


def function(name: str, required: list[str] | None = None, description: str = "", **properties: Any) -> Json:
    names = list(properties) if required is None else required
    schema = {"type": "object", "properties": properties, "required": names, "additionalProperties": False}
    return {"type": "function", "name": name, "description": description, "parameters": schema}


STRING = {"type": "string"}
FLIGHTS = function(
    "search_flights",
    ["origin", "destination"],
    "Find flights",
    origin=STRING,
    destination=STRING,
    date=STRING,
    passengers={"type": "integer", "minimum": 1},
)
HOTELS = function("search_hotels", None, "Find hotels in a city", city=STRING, nights={"type": "integer", "minimum": 1})
MAIL = function("send_email", None, "Send a mail", to={"type": "string", "format": "email"}, body=STRING)
TOOLS = [WEATHER, FLIGHTS, HOTELS, MAIL]


# Choosing


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("What's the weather in Paris?", [("get_weather", {"city": "Paris"})]),
        ("what is the weather in oslo today", [("get_weather", {"city": "oslo"})]),
        ("Weather in New York in fahrenheit", [("get_weather", {"city": "New York", "unit": "fahrenheit"})]),
        (
            "Search flights from Paris to New York tomorrow for 2 passengers",
            [("search_flights", {"origin": "Paris", "destination": "New York", "date": "tomorrow", "passengers": 2})],
        ),
        ("A hotel in Rome for 3 nights", [("search_hotels", {"city": "Rome", "nights": 3})]),
        (
            'Send an email to ana@example.com saying "see you at noon"',
            [("send_email", {"to": "ana@example.com", "body": "see you at noon"})],
        ),
        ("Tell me a joke", []),
        ("Please call `search_hotels`, city: Bern, nights: 2", [("search_hotels", {"city": "Bern", "nights": 2})]),
    ],
)
async def test_it_calls_what_fits_with_values_of_the_message(message: str, expected: list[Any]) -> None:
    assert await calls({"input": message, "tools": TOOLS}) == expected


async def test_it_calls_several_functions_when_several_fit() -> None:
    made = await calls({"input": "Flights from Paris to Rome, and the weather in Rome", "tools": TOOLS})
    assert {name for name, _ in made} == {"search_flights", "get_weather"}


async def test_it_calls_a_function_once_for_each_thing_that_is_listed() -> None:
    made = await calls({"input": "Weather in Paris, Rome and Oslo?", "tools": TOOLS})
    assert made == [("get_weather", {"city": city}) for city in ("Paris", "Rome", "Oslo")]


async def test_it_makes_one_call_where_parallel_calls_are_off() -> None:
    for message in ("Weather in Paris, Rome and Oslo?", "Flights from Paris to Rome, and the weather in Rome"):
        assert len(await calls({"input": message, "tools": TOOLS, "parallel_tool_calls": False})) == 1


async def test_it_does_not_call_again_when_the_tools_have_answered() -> None:
    for choice in ("auto", "required"):
        asked = answered("Weather in Paris?", "sunny", tools=[WEATHER], tool_choice=choice)
        assert await calls(asked) == []
        assert "sunny" in await text(asked)


async def test_it_calls_again_for_a_new_message() -> None:
    asked = answered("Weather in Paris?", "sunny", tools=[WEATHER])
    asked["input"].append({"role": "user", "content": "And the weather in Rome?"})
    assert await calls(asked) == [("get_weather", {"city": "Rome"})]


async def test_words_of_a_description_are_enough_if_the_message_holds_the_values() -> None:
    ticket = function("reserve", None, "Buy train tickets", origin=STRING, destination=STRING)
    assert await calls({"input": "A train from Bern to Lugano", "tools": [ticket, WEATHER]}) == [
        ("reserve", {"origin": "Bern", "destination": "Lugano"})
    ]
    assert await calls({"input": "Do trains run on time?", "tools": [ticket, WEATHER]}) == []


# tool_choice


async def test_none_calls_nothing() -> None:
    assert await calls({"input": "Weather in Paris?", "tools": TOOLS, "tool_choice": "none"}) == []


async def test_required_calls_something_even_if_nothing_fits() -> None:
    assert len(await calls({"input": "Tell me a joke", "tools": TOOLS, "tool_choice": "required"})) == 1


async def test_a_named_function_is_called_and_no_other() -> None:
    choice = {"type": "function", "name": "search_hotels"}
    made = await calls({"input": "Weather in Paris?", "tools": TOOLS, "tool_choice": choice})
    assert [name for name, _ in made] == ["search_hotels"]


@pytest.mark.parametrize(("mode", "names"), [("auto", []), ("required", ["search_hotels"])])
async def test_only_allowed_tools_are_called(mode: str, names: list[str]) -> None:
    choice = {"type": "allowed_tools", "mode": mode, "tools": [{"type": "function", "name": "search_hotels"}]}
    made = await calls({"input": "Weather in Paris?", "tools": [WEATHER, HOTELS], "tool_choice": choice})
    assert [name for name, _ in made] == names


async def test_a_namespace_can_be_allowed_as_a_whole() -> None:
    space = {"type": "namespace", "name": "meteo", "description": "Weather.", "tools": [WEATHER]}
    choice = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "namespace", "name": "meteo"}]}
    asked = {"input": "Weather and a hotel in Paris for 2 nights", "tools": [space, HOTELS], "tool_choice": choice}
    assert [name for name, _ in await calls(asked)] == ["get_weather"]


# What is not served


def accept(**body: Any) -> tuple[str, ...]:
    return Rehearsal().accept(turn_of({"input": "Hi.", **body}).request)


def test_hosted_tools_that_it_does_not_serve_are_left_out_and_named_once() -> None:
    tools = [WEATHER, {"type": "web_search"}, {"type": "web_search"}, {"type": "image_generation"}, {"type": "novel"}]
    assert accept(tools=tools) == ("web_search", "image_generation", "novel")


def test_tools_that_it_serves_are_not_left_out() -> None:
    space = {"type": "namespace", "name": "crm", "description": "Customers.", "tools": [WEATHER]}
    kinds = [{"type": kind} for kind in ("shell", "local_shell", "apply_patch")]
    code = {"type": "code_interpreter", "container": {"type": "auto"}}
    assert accept(tools=[WEATHER, space, code, {"type": "custom", "name": "c"}, *kinds]) == ()


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"tools": [WEATHER, {"type": "file_search", "vector_store_ids": ["vs_1"]}]}, "tools[1]", "unsupported_tool"),
        ({"tools": [{"type": "mcp", "server_label": "a", "server_url": "https://a"}]}, "tools[0]", "unsupported_tool"),
        ({"tools": [{"type": "web_search"}], "tool_choice": "required"}, "tool_choice", "unsupported_tool"),
        (
            {"tools": [WEATHER, {"type": "web_search"}], "tool_choice": {"type": "web_search_preview"}},
            "tool_choice",
            "unsupported_tool",
        ),
        (
            {
                "tools": [WEATHER, {"type": "image_generation"}],
                "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "image_generation"}]},
            },
            "tool_choice",
            "unsupported_tool",
        ),
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "name": "f"}}, "tool_choice", "invalid_value"),
        ({"tools": [], "tool_choice": "required"}, "tool_choice", "invalid_value"),
    ],
)
def test_what_would_make_the_answer_an_invention_is_refused(body: Json, param: str, code: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        accept(**body)
    assert (caught.value.param, caught.value.code) == (param, code)


# Arguments


async def test_arguments_that_no_schema_allows_are_a_refusal_when_a_call_is_required() -> None:
    odd = function("odd", None, "", number={"type": "integer", "minimum": 2, "maximum": 1})
    said = await say({"input": "odd", "tools": [odd], "tool_choice": "required"})
    assert refusal_of(said) == "I found no arguments for `odd` that satisfy its schema."
    assert await calls({"input": "odd", "tools": [odd]}) == []


async def test_a_function_without_parameters_is_called_with_none() -> None:
    assert await calls({"input": "ping", "tools": [{"type": "function", "name": "ping"}]}) == [("ping", {})]


@given(
    properties=st.dictionaries(
        st.text("abcdefgh_", min_size=1, max_size=8),
        st.sampled_from(
            [
                STRING,
                {"type": "integer", "minimum": 3, "maximum": 9},
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                {"type": "boolean"},
                {"type": ["string", "null"], "enum": ["x", "y", None]},
                {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{2}-\\d+$"}, "minItems": 1},
                {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]},
            ]
        ),
        max_size=5,
    ),
    message=st.sampled_from(["Go", "Take 3 of 12 from Paris to Rome on 2026-02-03", 'Say "x" and `y`']),
)
async def test_arguments_satisfy_the_schema(properties: Json, message: str) -> None:
    tool = function("act", None, "", **properties)
    [(name, arguments)] = await calls({"input": message, "tools": [tool], "tool_choice": "required"})
    assert name == "act"
    assert jsonschema_rs.is_valid(tool["parameters"], arguments, validate_formats=True)


@pytest.mark.parametrize(
    ("message", "name", "value"),
    [
        ("from Paris to Rome", "origin", "Paris"),
        ("from Paris to Rome", "toCity", "Rome"),
        ("I live in Berlin", "home_city", "Berlin"),
        ("city = 'Bern'", "city", "Bern"),
        ("the city is Lima.", "city", "Lima"),
        ("My name is Ada Byron and I am 36", "name", "Ada Byron"),
        ("Meet me tomorrow at 10:30", "date", "tomorrow"),
        ("see https://example.com/a.", "url", "https://example.com/a"),
        ("Search for cheap hotels near the sea", "query", "cheap hotels near the sea"),
        ("Translate this: good morning", "text", "good morning"),
        ("Look:\n```python\nprint(1)\n```\n```\n2\n```", "code", "print(1)\n"),
        ("Nothing here", "unit", None),
    ],
)
def test_values_are_found_by_the_words_before_them(message: str, name: str, value: str | None) -> None:
    assert Values(message, {"nothing"}).string(name) == value


def test_each_value_is_given_once() -> None:
    values = Values("Compare Paris and Rome for 3 days and 4 nights")
    assert {values.string("city"), values.string("other_city")} == {"Paris", "Rome"}
    assert values.string("third_city") is None
    assert [values.number(name, lambda _: True) for name in ("nights", "days", "hours")] == [4.0, 3.0, None]


# Tools that are no functions


async def test_functions_of_a_namespace_are_called_in_it() -> None:
    space = {"type": "namespace", "name": "meteo", "description": "Weather.", "tools": [WEATHER]}
    [item] = await output({"input": "Weather in Paris?", "tools": [space]})
    assert (item["namespace"], item["name"]) == ("meteo", "get_weather")


async def test_a_custom_tool_gets_what_is_meant_as_its_input() -> None:
    tool = {"type": "custom", "name": "code_exec", "description": "Runs code"}
    [item] = await output({"input": "code_exec this:\n```python\nprint(1)\n```", "tools": [tool]})
    assert (item["type"], item["input"]) == ("custom_tool_call", "print(1)\n")


SUMS = """start: expr
expr: term (SP ADD SP term)*
term: factor (SP MUL SP factor)*
factor: INT
SP: " "
ADD: "+"
MUL: "*"
%import common.INT"""


@pytest.mark.parametrize(
    ("message", "syntax", "definition", "expected"),
    [
        ("math_exp: 4 + 4 * 2", "lark", SUMS, "4 + 4 * 2"),
        ("math_exp for four and four", "lark", SUMS, None),
        ("math_exp at 10:30 sharp", "regex", r"\d\d:\d\d", "10:30"),
        ("math_exp please", "regex", r"(Jan|Feb) \d{1,2} at \d{1,2}(AM|PM)", None),
    ],
)
async def test_a_grammar_accepts_what_its_tool_gets(
    message: str, syntax: str, definition: str, expected: str | None
) -> None:
    form = {"type": "grammar", "syntax": syntax, "definition": definition}
    tool = {"type": "custom", "name": "math_exp", "format": form}
    [item] = await output({"input": message, "tools": [tool]})
    grammar = {
        "lark": llguidance.LLMatcher.grammar_from_lark,
        "regex": llguidance.LLMatcher.grammar_from_regex,
    }[syntax](definition)
    matcher = llguidance.LLMatcher(llguidance.LLTokenizer("byte"), grammar)
    assert matcher.consume_tokens(list(item["input"].encode()))
    assert matcher.is_accepting()
    assert expected in (None, item["input"])


@pytest.mark.parametrize("definition", ["start: undefined_rule", "start: ("])
async def test_a_grammar_for_which_nothing_is_found_is_a_refusal_when_a_call_is_required(definition: str) -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": definition}
    tool = {"type": "custom", "name": "math_exp", "format": form}
    said = await say({"input": "math_exp", "tools": [tool], "tool_choice": "required"})
    assert refusal_of(said) == "I found no input for `math_exp` that its grammar accepts."


async def test_a_shell_is_given_the_commands_of_the_message() -> None:
    [item] = await output({"input": "Please run `ls -la` and then `pwd`.", "tools": [{"type": "shell"}]})
    assert (item["type"], item["action"]["commands"]) == ("shell_call", ["ls -la", "pwd"])


async def test_a_local_shell_is_given_one_command_a_call() -> None:
    items = await output({"input": "Run `ls` and `pwd`", "tools": [{"type": "local_shell"}]})
    assert [item["action"]["command"] for item in items] == [["bash", "-lc", "ls"], ["bash", "-lc", "pwd"]]


@pytest.mark.parametrize(
    ("message", "found"),
    [
        ("What does `map` do?", []),
        ("Execute `make`", ["make"]),
        ("```bash\n$ cd /tmp\nls\n```", ["cd /tmp", "ls"]),
        ("Try this:\n$ npm test", ["npm test"]),
    ],
)
def test_commands_are_what_a_message_asks_to_run(message: str, found: list[str]) -> None:
    assert commands(message) == found


async def test_a_patch_is_applied_as_the_message_gives_it() -> None:
    patch = "*** Begin Patch\n*** Update File: a.py\n@@\n-x\n+y\n*** Delete File: b.py\n*** End Patch"
    items = await output({"input": f"Apply this:\n```\n{patch}\n```", "tools": [{"type": "apply_patch"}]})
    assert [item["operation"] for item in items] == [
        {"type": "update_file", "path": "a.py", "diff": "@@\n-x\n+y\n"},
        {"type": "delete_file", "path": "b.py"},
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("nothing", []),
        ("--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n", [UpdateFile(path="x.py", diff="@@ -1 +1 @@\n-a\n+b\n")]),
        ("--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+a\n", [CreateFile(path="new.py", diff="+a\n")]),
        ("--- a/old.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", [DeleteFile(path="old.py")]),
        ("*** Add File: n.txt\n+hello\n", [CreateFile(path="n.txt", diff="+hello\n")]),
    ],
)
def test_patches_are_read_in_both_forms(text: str, found: list[Any]) -> None:
    assert operations(text) == found


@pytest.mark.parametrize("kind", ["shell", "apply_patch"])
async def test_a_tool_that_is_forced_is_called_even_if_the_message_gives_nothing(kind: str) -> None:
    [item] = await output({"input": "Hi.", "tools": [{"type": kind}], "tool_choice": {"type": kind}})
    assert item["type"] == f"{kind}_call"


CODE = {"type": "code_interpreter", "container": {"type": "auto"}}


async def test_the_code_interpreter_gets_the_code_and_is_not_said_to_have_run_it() -> None:
    asked = {"input": "What does this print?\n```python\nprint(1 + 1)\n```", "tools": [CODE]}
    call, message = await output(asked)
    assert (call["type"], call["status"], call["code"]) == ("code_interpreter_call", "completed", "print(1 + 1)\n")
    assert call["outputs"] == [{"type": "logs", "logs": "rehearsal does not run code: there is no output.\n"}]
    assert "I do not run code" in message["content"][0]["text"]


async def test_without_code_the_code_interpreter_is_not_called() -> None:
    assert [item["type"] for item in await output({"input": "Plot a sine.", "tools": [CODE]})] == ["message"]


async def test_a_call_of_the_client_comes_after_the_code_interpreter_and_ends_the_turn() -> None:
    asked = {"input": "Weather in Paris?\n```python\n1\n```", "tools": [WEATHER, CODE]}
    assert [item["type"] for item in await output(asked)] == ["code_interpreter_call", "function_call"]


async def test_call_uses_the_tool_that_is_offered_by_that_name() -> None:
    tools = [WEATHER, {"type": "custom", "name": "note"}, {"type": "shell"}, CODE]
    message = (
        "Weather in Paris?\n#call note buy milk\n#call shell ls\n#call get_weather\n#call code_interpreter print(1)"
    )
    code, note, shell, weather = await output({"input": message, "tools": tools})
    assert code["code"] == "print(1)"
    assert note["input"] == "buy milk"
    assert shell["action"]["commands"] == ["ls"]
    assert json.loads(weather["arguments"]) == {"city": "Paris"}
