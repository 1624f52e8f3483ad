"""Typed dispatch: functions by the SDK's class or by name."""

from __future__ import annotations

import io

import pytest
from openai.types.responses import (
    Response,
    ResponseAudioDeltaEvent,
    ResponseCompletedEvent,
    ResponseCreatedEvent,
    ResponseTextDeltaEvent,
)
from rich.console import Console

from antiphon.client import StreamHandler, on
from antiphon.client.border import names
from antiphon.client.names import ALIASES, wire_name
from antiphon.client.render import Terminal
from antiphon.wire.events import EVENTS
from tests.client.recorded import ID, TEXT, failed, numbered, recording
from tests.support.answers import stream
from tests.support.response_events import function_call, message, reasoning, refusal, responses_stream, sse_of

pytestmark = pytest.mark.anyio

ASKED = {"model": "m", "input": "Hi."}


class Notes(StreamHandler):
    """Notes what it is called for."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    @on(ResponseCreatedEvent)
    def begun(self, event: ResponseCreatedEvent) -> None:
        self.notes.append(f"{event.response.id} begins")

    @on("response.output_text.delta")
    async def text(self, event: ResponseTextDeltaEvent) -> None:
        self.notes.append(event.delta)

    @on(ResponseCompletedEvent)
    def over(self, _: ResponseCompletedEvent) -> None:
        self.notes.append(self.stream.text)

    def default(self, event) -> None:
        self.notes.append(event.type)


async def test_methods_are_called_for_their_events_and_default_for_all_others(async_client, upstream):
    notes = Notes()
    response = await notes.run(async_client(upstream.base_url).stream(**ASKED))
    assert isinstance(response, Response)
    assert response.output_text == TEXT
    assert notes.notes[0] == f"{ID} begins"
    assert notes.notes[1:4] == ["response.in_progress", "response.output_item.added", "response.content_part.added"]
    assert "".join(notes.notes[4:7]) == TEXT
    assert notes.notes[-1] == TEXT


async def test_functions_are_registered_on_a_handler(async_client, in_thread, upstream):
    handler, said = StreamHandler(), []

    @handler.on(ResponseTextDeltaEvent)
    def text(event: ResponseTextDeltaEvent) -> None:
        said.append(event.delta)

    await handler.run(async_client(upstream.base_url).stream(**ASKED))
    await in_thread(upstream.base_url, lambda c: handler.run(c.stream(**ASKED)))
    assert "".join(said) == TEXT * 2


async def test_an_event_of_unknown_type_goes_to_default_only(async_client, upstream):
    recorded = recording()
    upstream.events = numbered([*recorded[:4], {"type": "response.sparkle", "delta": "*"}, *recorded[4:]])
    notes, audio = Notes(), []
    notes.on(ResponseAudioDeltaEvent)(audio.append)
    response = await notes.run(async_client(upstream.base_url).stream(**ASKED))
    assert "response.sparkle" in notes.notes
    assert audio == []
    assert response.output_text == TEXT


async def test_a_handler_stops_its_stream(async_client, upstream):
    class First(StreamHandler):
        @on(ResponseTextDeltaEvent)
        async def text(self, _: ResponseTextDeltaEvent) -> None:
            await self.stream.stop()

    response = await First().run(async_client(upstream.base_url).stream(**ASKED))
    assert response.output_text == TEXT[:4]
    assert response.status == "in_progress"


async def test_what_a_function_raises_ends_the_reading_and_closes_the_stream(async_client, upstream):
    handler = StreamHandler()

    @handler.on(ResponseTextDeltaEvent)
    def text(_: ResponseTextDeltaEvent) -> None:
        raise KeyError("mine")

    reading = async_client(upstream.base_url).stream(**ASKED)
    with pytest.raises(KeyError):
        await handler.run(reading)
    assert reading.is_over
    await upstream.all_closed()


async def test_a_coroutine_needs_the_async_client(in_thread, upstream):
    with pytest.raises(TypeError, match="needs the async client"):
        await in_thread(upstream.base_url, lambda c: Notes().run(c.stream(**ASKED)))


def test_a_subclass_inherits_and_overrides():
    class More(Notes):
        @on("response.in_progress")
        def going(self, _) -> None:
            self.notes.append("going")

    assert {"response.created", "response.in_progress", "response.completed"} <= More._methods.keys()
    assert "response.in_progress" not in Notes._methods


# Names


@pytest.mark.parametrize(("old", "new"), ALIASES.items())
def test_old_spellings_mean_events_of_today(old, new):
    assert old not in EVENTS
    assert new in EVENTS
    assert wire_name(old) == new


def test_every_event_of_the_sdk_has_its_class_and_its_name():
    assert wire_name(ResponseTextDeltaEvent) == "response.output_text.delta"
    assert names() <= EVENTS.keys()
    assert len(names()) > 50


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("response.output_text.delt", "did you mean 'response.output_text.delta'"),
        ("nonsense", "there is no event 'nonsense'"),
        (Response, "Response is no class of event"),
    ],
)
def test_a_kind_that_there_is_not_is_refused_at_once(kind, reason):
    with pytest.raises(ValueError, match=reason):
        on(kind)


# Views and the terminal


async def test_views_of_text_calls_and_reasoning(async_client, upstream):
    call = function_call("weather", '{"city": "Paris"}')
    upstream.handler = lambda _: stream(responses_stream(reasoning("Hm."), message("Hello there"), call))
    async with async_client(upstream.base_url).stream(**ASKED) as reading:
        await reading.until_done()
    assert (reading.text, reading.reasoning, reading.refusal) == ("Hello there", "Hm.", "")
    assert [(each.name, each.arguments) for each in reading.calls] == [("weather", '{"city": "Paris"}')]


async def test_the_response_at_hand_is_the_one_of_the_end(async_client, upstream):
    upstream.handler = lambda _: stream(responses_stream(message("Hello there"), function_call("f", "{}")))
    async with async_client(upstream.base_url).stream(**ASKED) as reading:
        async for event in reading:
            if event.type == "response.completed":
                break
            before = reading.response
    assert [item.to_dict() for item in before.output] == [item.to_dict() for item in reading.response.output]


async def test_a_stream_without_its_scaffolding_still_has_its_text(async_client, upstream):
    recorded = recording()
    upstream.events = numbered([recorded[0], *recorded[4:]])
    async with async_client(upstream.base_url).stream(**ASKED) as reading:
        async for event in reading:
            if event.type == "response.output_text.delta":
                assert reading.text.endswith(event.delta)
    assert reading.response.output_text == TEXT


async def test_the_terminal_shows_what_comes_and_no_control_sequence(async_client, upstream):
    out = io.StringIO()
    call = function_call("weather", "{}")
    items = (reasoning("Hm."), message("He[b]llo\x1b[2J"), call, message(refusal("No.")))
    upstream.handler = lambda _: stream(responses_stream(*items))
    terminal = Terminal(Console(file=out, force_terminal=False, width=80))
    await terminal.run(async_client(upstream.base_url).stream(**ASKED))
    assert out.getvalue() == "Hm.\nHe[b]llo[2J\n→ weather({})\nNo.\n"


async def test_the_terminal_says_how_it_failed(async_client, upstream):
    out = io.StringIO()
    upstream.handler = lambda _: stream(sse_of(failed("invalid_prompt", before=recording()[:6])))
    terminal = Terminal(Console(file=out, force_terminal=False, width=80))
    with pytest.raises(Exception, match="invalid_prompt"):
        await terminal.run(async_client(upstream.base_url).stream(**ASKED))
    assert out.getvalue() == "Größe: 3\ninvalid_prompt: It went wrong.\n"
