"""Tools that the server runs between the turns of one response."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.engine.engine import Engine
from antiphon.testing import ScriptedModel, ScriptedTool, said
from antiphon.turn.deltas import Arguments, Finished, ItemDone, ItemStarted, Text, Usage
from antiphon.turn.input import Turn
from antiphon.wire.items import FunctionCall, FunctionCallOutput
from antiphon.wire.response import Usage as Tokens
from antiphon.wire.tools import FunctionTool
from tests.support import grammar, sdk_oracle
from tests.support.serving import Serving, events, serving
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

TOOL: list[dict[str, Any]] = [{"type": "code_interpreter", "container": {"type": "auto"}}]


def calls(*names: str) -> list[Any]:
    """A turn that says a word and calls functions by name."""
    items = [FunctionCall(call_id=f"call_{n}", name=name, arguments="") for n, name in enumerate(names)]
    started = [ItemStarted(n, item) for n, item in enumerate(items)]
    written = [Arguments(n, f'"a{n}"') for n in range(len(items))]
    done = [ItemDone(n) for n in range(len(items))]
    usage = Usage(Tokens(input_tokens=5, output_tokens=3, total_tokens=8))
    return [[Text("Wait. ")], [*started, *written], [*done, usage, Finished()]]


def calling_once(*names: str) -> ScriptedModel:
    """A model that calls in its first turn and answers in its second."""
    return ScriptedModel(lambda turn: calls(*names) if turn.number == 0 else said("Done."))


def with_tool(s: Serving, tool: ScriptedTool) -> Engine:
    s.engine.tools = {"code_interpreter": tool}
    return s.engine


async def test_a_hosted_call_is_run_and_the_model_is_asked_again_with_its_output():
    model = calling_once("python")
    async with serving(model) as s:
        with_tool(s, ScriptedTool())
        told = events(await s.stream(tools=TOOL, include=["code_interpreter_call.outputs"]))
    grammar.check(told)
    assert not [problem for event in told for problem in sdk_oracle.validate_event(event)]
    final = told[-1]["response"]
    assert [item["type"] for item in final["output"]] == ["message", "code_interpreter_call", "message"]
    assert final["output"][1]["outputs"] == [{"type": "logs", "logs": '"A0"'}]
    assert final["usage"]["input_tokens"] == 12
    assert final["tools"] == TOOL
    first, second = model.turns
    assert [type(tool) for tool in first.request.tools] == [FunctionTool]
    assert [type(item).__name__ for item in second.items] == [
        "Message",
        "Message",
        "FunctionCall",
        "FunctionCallOutput",
    ]
    assert isinstance(second.items[-1], FunctionCallOutput)
    assert second.items[-1].output == '"A0"'


async def test_all_calls_of_a_turn_run_side_by_side():
    gate = asyncio.Event()
    tool = ScriptedTool(gate=gate)
    async with serving(calling_once("python", "python", "python")) as s:
        with_tool(s, tool)
        task = asyncio.create_task(s.stream(tools=TOOL))
        await until(lambda: tool.running == 3)
        gate.set()
        told = events(await task)
    grammar.check(told)
    assert tool.most == 3
    assert len(told[-1]["response"]["output"]) == 5


async def test_calls_beyond_the_limit_are_ignored():
    async with serving(calling_once("python", "python", "python")) as s:
        with_tool(s, ScriptedTool())
        response = await s.create(tools=TOOL, max_tool_calls=2)
    assert [item["type"] for item in response["output"]].count("code_interpreter_call") == 2


async def test_a_call_of_the_client_ends_the_response_after_the_hosted_ones():
    model = calling_once("python", "weather")
    async with serving(model) as s:
        with_tool(s, ScriptedTool())
        weather = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
        told = events(await s.stream(tools=[*TOOL, weather]))
    grammar.check(told)
    assert [item["type"] for item in told[-1]["response"]["output"]] == [
        "message",
        "function_call",
        "code_interpreter_call",
    ]
    assert told[-1]["type"] == "response.completed"
    assert len(model.turns) == 1


async def test_a_client_that_leaves_between_turns_stops_the_tool_and_asks_no_model():
    tool = ScriptedTool(gate=asyncio.Event())
    model = calling_once("python")
    async with serving(model) as s:
        with_tool(s, tool)
        body = {"model": "scripted", "input": "Hi.", "stream": True, "tools": TOOL}
        async with s.http.post(s.url + "/v1/responses", json=body) as answer:
            await answer.content.readuntil(b"interpreting")
            assert tool.running == 1
        await until(lambda: not (tool.running or s.engine.runs))
        assert len(model.turns) == 1
        assert model.open == 0


async def test_a_defect_of_a_tool_fails_the_response_and_stops_the_others(monkeypatch):
    async def broken(call: FunctionCall, tell: Any) -> str:
        raise RuntimeError("a defect")

    tool = ScriptedTool(gate=asyncio.Event())
    monkeypatch.setattr(tool, "run", broken)
    async with serving(calling_once("python")) as s:
        with_tool(s, tool)
        response = await s.create(tools=TOOL)
    assert response["status"] == "failed"
    assert response["error"]["code"] == "server_error"
    assert "a defect" not in str(response)


async def test_a_choice_of_a_hosted_tool_becomes_a_choice_of_its_function():
    model = ScriptedModel()
    async with serving(model) as s:
        with_tool(s, ScriptedTool())
        response = await s.create(tools=TOOL, tool_choice={"type": "code_interpreter"})
    turn: Turn = model.turns[0]
    assert turn.request.tool_choice.name == "python"
    assert response["tool_choice"] == {"type": "code_interpreter"}
