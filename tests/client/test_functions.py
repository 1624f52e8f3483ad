"""Python functions as strict tools, and the loop that calls them."""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import json
import threading
from typing import Annotated, Any, Literal

import pytest
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from antiphon.client import OptionError, StreamHandler, ToolError, ToolsFailed
from antiphon.client.functions import Function, output_of
from tests.client.recorded import bodies
from tests.support.answers import stream
from tests.support.response_events import function_call, message, reasoning, responses_stream

pytestmark = pytest.mark.anyio


class Unit(enum.Enum):
    CELSIUS = "C"
    FAHRENHEIT = "F"


class Place(TypedDict):
    city: str
    country: str


@dataclasses.dataclass
class Range:
    low: int
    high: int


class Sky(BaseModel):
    clouds: int
    names: list[str]


def weather(city: str, unit: Literal["C", "F"] = "C") -> str:
    """The weather in a city.

    Today's only.

    Args:
        city: the name, in English
        unit (str): of the temperature
    """
    return f"sunny in {city}, 21 {unit}"


# Schemas


def test_a_function_becomes_a_strict_tool():
    tool = Function(weather).tool
    assert (tool["type"], tool["name"], tool["strict"]) == ("function", "weather", True)
    assert tool["description"] == "The weather in a city.\n\nToday's only."
    parameters = tool["parameters"]
    assert parameters["required"] == ["city", "unit"]
    assert parameters["additionalProperties"] is False
    assert parameters["properties"]["city"]["description"] == "the name, in English"
    assert {"type": "null"} in parameters["properties"]["unit"]["anyOf"]


def test_a_default_stands_for_null_and_may_be_given():
    function = Function(weather)
    assert function.arguments('{"city": "Paris", "unit": null}') == {"city": "Paris", "unit": "C"}
    assert function.arguments('{"city": "Paris", "unit": "F"}') == {"city": "Paris", "unit": "F"}


def test_arguments_are_the_functions_own_types():
    def look(place: Place, unit: Unit, within: Range, sky: Sky, also: list[int] | None = None) -> None: ...

    sent = {
        "place": {"city": "Paris", "country": "FR"},
        "unit": "C",
        "within": {"low": 1, "high": 2},
        "sky": {"clouds": 1, "names": ["a"]},
        "also": None,
    }
    function = Function(look)
    assert function.arguments(json.dumps(sent)) == {
        "place": {"city": "Paris", "country": "FR"},
        "unit": Unit.CELSIUS,
        "within": Range(1, 2),
        "sky": Sky(clouds=1, names=["a"]),
        "also": None,
    }


def test_a_function_without_arguments_and_one_with_notes():
    def now() -> str:
        """The time."""

    assert Function(now).tool["parameters"]["properties"] == {}
    assert Function(now).arguments("") == {}

    def add(a: Annotated[int, Field(description="the first", ge=0)]) -> int: ...

    assert Function(add).tool["parameters"]["properties"]["a"]["description"] == "the first"
    with pytest.raises(ToolError, match="a: Input should be greater"):
        Function(add).arguments('{"a": -1}')


def untyped(city): ...


def several(*cities: str): ...


def open_keys(values: dict[str, int]): ...


def anything(value: Any): ...


def some(values: list[Any]): ...


def unreadable(value: threading.Lock): ...


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (untyped, r"functions\.untyped\.city: has no type hint"),
        (several, r"functions\.several\.cities: a tool's arguments have names"),
        (open_keys, r"functions\.open_keys\.values: a strict tool has to say"),
        (anything, r"functions\.anything\.value: a strict tool has to say"),
        (some, r"functions\.some\.values"),
        (unreadable, r"functions\.unreadable"),
        (lambda: None, "a tool's name has"),
        ("weather", "functions: takes functions, not str"),
    ],
)
def test_what_cannot_be_a_strict_tool_is_refused_by_name(function, reason):
    with pytest.raises(OptionError, match=reason):
        Function(function)


def test_outputs_are_text_or_json():
    assert output_of("as it is") == "as it is"
    assert json.loads(output_of({"a": [1, None]})) == {"a": [1, None]}
    assert json.loads(output_of(Sky(clouds=1, names=[]))) == {"clouds": 1, "names": []}
    assert json.loads(output_of(Range(1, 2))) == {"low": 1, "high": 2}
    assert output_of(None) == "null"


# The loop


def turns(*answers):
    """A handler that gives one streamed answer a request."""
    rest = list(answers)
    return lambda _: stream(responses_stream(*rest.pop(0)))


ASKED = {"model": "m", "input": "Is it warm?"}


async def test_calls_are_made_and_fed_back_until_there_is_an_answer(async_client, in_thread, upstream):
    call = function_call("weather", '{"city": "Paris", "unit": null}')
    for ask in (
        lambda: async_client(upstream.base_url).run([weather], **ASKED),
        lambda: in_thread(upstream.base_url, lambda c: c.run([weather], **ASKED)),
    ):
        upstream.requests.clear()
        upstream.handler = turns([reasoning("Hm."), call], [message("Yes.")])
        run = await ask()
        assert run.output_text == "Yes."
        assert [(made.name, made.output, made.is_error) for made in run.calls] == [
            ("weather", "sunny in Paris, 21 C", False)
        ]
        assert run.total_tokens == 80
        first, second = bodies(upstream.requests)
        assert [tool["name"] for tool in first["tools"]] == ["weather"]
        assert second["input"][0] == {"role": "user", "content": "Is it warm?"}
        assert [item.get("type") for item in second["input"][1:]] == [
            "reasoning",
            "function_call",
            "function_call_output",
        ]
        assert second["input"][-1]["output"] == "sunny in Paris, 21 C"


async def test_the_loop_works_with_our_server_too(async_client):
    from tests.support.sdk_models import TEXT, catalog
    from tests.support.serving import serving

    def lookup(city: str) -> dict[str, str]:
        return {"weather": f"sunny in {city}"}

    lookup.__name__ = "weather"
    async with serving(catalog()) as served:
        client = async_client(f"{served.url}/v1")
        with pytest.raises(ToolsFailed) as caught:
            await client.run([lookup], max_turns=1, model="calls", input="Weather in Paris?")
        assert caught.value.partial.output[0].name == "weather"
        answered = await client.run([lookup], model="rehearsed", input="Weather in Paris?")
        assert answered.output_text == TEXT


async def test_calls_of_one_turn_run_side_by_side_with_a_bound(async_client, upstream):
    running, most, both = 0, 0, asyncio.Event()

    async def slow(at: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 2:
            both.set()
        await both.wait()
        running -= 1
        return at

    calls = [function_call("slow", json.dumps({"at": at}), call_id=f"call_{at}") for at in range(5)]
    upstream.handler = turns(calls, [message("Done.")])
    run = await async_client(upstream.base_url).run([slow], concurrency=2, **ASKED)
    assert [made.output for made in run.calls] == ["0", "1", "2", "3", "4"]
    assert most == 2


async def test_plain_functions_run_in_threads_so_that_the_loop_goes_on(async_client, upstream):
    meeting = threading.Barrier(2, timeout=10)

    def meet(at: int) -> str:
        meeting.wait()
        return threading.current_thread().name

    calls = [function_call("meet", json.dumps({"at": at}), call_id=f"call_{at}") for at in range(2)]
    upstream.handler = turns(calls, [message("Done.")])
    run = await async_client(upstream.base_url).run([meet], **ASKED)
    assert threading.main_thread().name not in {made.output for made in run.calls}


async def test_what_goes_wrong_in_a_call_is_told_to_the_model(async_client, upstream):
    def divide(by: int) -> float:
        if by == 0:
            raise ToolError("by must not be 0")
        return 1 / by

    calls = [
        function_call("divide", '{"by": 0}', call_id="call_1"),
        function_call("divide", '{"by": "x"}', call_id="call_2"),
        function_call("divide", "{", call_id="call_3"),
        function_call("multiply", "{}", call_id="call_4"),
    ]
    upstream.handler = turns(calls, [message("Sorry.")])
    run = await async_client(upstream.base_url).run([divide], **ASKED)
    assert [made.is_error for made in run.calls] == [True] * 4
    first, second, third, fourth = [made.output for made in run.calls]
    assert first == "Error: by must not be 0"
    assert "by: Input should be a valid integer" in second
    assert "Invalid JSON" in third
    assert fourth == "There is no function 'multiply'; there are divide."


async def test_a_defect_of_a_function_ends_the_run_and_the_calls_beside_it(async_client, upstream):
    ended = asyncio.Event()

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def breaks() -> None:
        raise ZeroDivisionError

    calls = [function_call("waits", "{}", call_id="call_1"), function_call("breaks", "{}", call_id="call_2")]
    upstream.handler = turns(calls)
    with pytest.raises(ZeroDivisionError):
        await async_client(upstream.base_url).run([waits, breaks], **ASKED)
    assert ended.is_set()


async def test_a_call_of_a_tool_that_is_not_ours_is_left_to_the_caller(async_client, upstream):
    upstream.handler = turns([function_call("theirs", "{}")])
    theirs = {"type": "function", "name": "theirs", "parameters": {}, "strict": False}
    run = await async_client(upstream.base_url).run([weather], tools=[theirs], **ASKED)
    assert run.response.output[0].name == "theirs"
    assert run.calls == []
    assert [tool["name"] for tool in bodies(upstream.requests)[0]["tools"]] == ["theirs", "weather"]


async def test_a_model_that_only_calls_comes_to_the_limit(async_client, upstream):
    call = function_call("weather", '{"city": "Paris", "unit": "C"}')
    upstream.handler = lambda _: stream(responses_stream(call))
    with pytest.raises(ToolsFailed, match="After 3 turns the model still calls functions"):
        await async_client(upstream.base_url).run([weather], max_turns=3, **ASKED)
    assert len(upstream.requests) == 3


async def test_a_choice_that_was_forced_is_not_forced_again(async_client, upstream):
    upstream.handler = turns([function_call("weather", '{"city": "Paris", "unit": "C"}')], [message("Yes.")])
    await async_client(upstream.base_url).run([weather], tool_choice="required", **ASKED)
    assert [body["tool_choice"] for body in bodies(upstream.requests)] == ["required", "auto"]


async def test_a_conversation_gets_only_what_it_does_not_have(async_client, upstream):
    upstream.handler = turns([function_call("weather", '{"city": "Paris", "unit": "C"}')], [message("Yes.")])
    await async_client(upstream.base_url).run([weather], conversation="conv_1", **ASKED)
    assert [item["type"] for item in bodies(upstream.requests)[1]["input"]] == ["function_call_output"]


async def test_a_handler_sees_the_events_of_all_turns(async_client, in_thread, upstream):
    handler, said = StreamHandler(), []

    @handler.on(ResponseTextDeltaEvent)
    def text(event: ResponseTextDeltaEvent) -> None:
        said.append(event.delta)

    call = function_call("weather", '{"city": "Paris", "unit": "C"}')
    upstream.handler = turns([message("One. "), call], [message("Two. ")])
    await async_client(upstream.base_url).run([weather], handler=handler, **ASKED)
    upstream.handler = turns([message("Three. "), call], [message("Four.")])
    await in_thread(upstream.base_url, lambda c: c.run([weather], handler=handler, **ASKED))
    assert "".join(said) == "One. Two. Three. Four."


async def test_options_of_a_run_are_checked_first(async_client, in_thread, upstream):
    async def soon(city: str) -> str: ...

    client = async_client(upstream.base_url)
    with pytest.raises(OptionError, match="concurrency"):
        await client.run([weather], concurrency=0, **ASKED)
    with pytest.raises(OptionError, match="max_turns"):
        await client.run([weather], max_turns=0, **ASKED)
    with pytest.raises(OptionError, match="there are two named weather"):
        await client.run([weather, weather], **ASKED)
    with pytest.raises(OptionError, match=r"functions\.soon: is a coroutine"):
        await in_thread(upstream.base_url, lambda c: c.run([soon], **ASKED))
    assert upstream.requests == []
