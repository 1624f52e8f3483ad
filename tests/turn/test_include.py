"""What `include` decides: what is hidden where nobody asked for it, and what stands there then."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from antiphon.turn.deltas import Finished, ItemDone, ItemStarted, Text
from antiphon.turn.include import gates, visible, visible_frames, visible_items
from antiphon.wire import items
from antiphon.wire.content import ComputerScreenshot, InputImage, InputText, Logprob, OutputText
from antiphon.wire.items import Message, Reasoning
from antiphon.wire.request import INCLUDABLE
from antiphon.wire.struct import Opaque, encode
from tests.turn.strategies import Story
from tests.turn.telling import as_bytes, read_back, whole

TOKEN = Logprob(token="Hi", logprob=-0.5, bytes=[72, 105], top_logprobs=[])
IMAGE = InputImage(image_url="data:image/png;base64,aGk=")
SCREEN = ComputerScreenshot(image_url="data:image/png;base64,aGk=")

GATED: dict[str, tuple[Any, Any]] = {
    "reasoning.encrypted_content": (Reasoning(summary=[], encrypted_content="c2VjcmV0"), Reasoning(summary=[])),
    "file_search_call.results": (
        items.FileSearchCall(queries=["fox"], results=[items.FileSearchResult(text="A fox.")]),
        items.FileSearchCall(queries=["fox"], results=None),
    ),
    "web_search_call.results": (items.WebSearchCall(results=[{"url": "x"}]), items.WebSearchCall()),
    "web_search_call.action.sources": (
        items.WebSearchCall(action=items.Search(query="fox", sources=[{"url": "x"}])),
        items.WebSearchCall(action=items.Search(query="fox")),
    ),
    "code_interpreter_call.outputs": (
        items.CodeInterpreterCall(container_id="c", outputs=[items.OutputLogs(logs="2")]),
        items.CodeInterpreterCall(container_id="c", outputs=None),
    ),
    "computer_call_output.output.image_url": (
        items.ComputerCallOutput(call_id="c", output=SCREEN),
        items.ComputerCallOutput(call_id="c", output=ComputerScreenshot(image_url=None)),
    ),
    "message.input_image.image_url": (
        Message(role="user", content=[InputText(text="Look"), IMAGE]),
        Message(role="user", content=[InputText(text="Look"), InputImage(image_url=None)]),
    ),
    "message.output_text.logprobs": (
        Message(role="assistant", content=[OutputText(text="Hi", logprobs=[TOKEN])]),
        Message(role="assistant", content=[OutputText(text="Hi", logprobs=[])]),
    ),
}


def test_every_value_of_include_has_a_row() -> None:
    assert GATED.keys() == set(INCLUDABLE)


@pytest.mark.parametrize("include", GATED)
def test_what_nobody_asked_for_is_hidden_and_what_was_asked_for_is_not(include: str) -> None:
    full, hidden = GATED[include]
    assert gates(full) == {include}
    assert gates(hidden) == frozenset()
    assert visible(full, set(INCLUDABLE) - {include}) == hidden
    assert visible(full, [include]) is full


@pytest.mark.parametrize("include", GATED)
def test_what_has_nothing_to_hide_is_the_same_object(include: str) -> None:
    hidden = GATED[include][1]
    assert visible(hidden, ()) is hidden


def test_a_list_of_items_is_shown_item_by_item() -> None:
    full, hidden = zip(*GATED.values(), strict=True)
    assert visible_items(full, ()) == list(hidden)
    assert visible_items(full, INCLUDABLE) == list(full)


def test_items_that_we_do_not_know_pass() -> None:
    dance = Opaque({"type": "x:dance", "encrypted_content": "c2VjcmV0"})
    assert visible_items([dance], ()) == [dance]


def test_a_log_is_hidden_in_each_place_that_repeats_it() -> None:
    story = Story([[ItemStarted("a", Reasoning(summary=[])), ItemDone("a", GATED["reasoning.encrypted_content"][0]),
                    Text("Hi", logprobs=[TOKEN]), Finished()]])  # fmt: skip
    data = as_bytes(whole(story))
    assert data.count(b"c2VjcmV0") == 2  # when the item is done, and in the last event
    assert data.count(b'"logprob":-0.5') == 5  # delta, text, part, item, and in the last event
    assert visible_frames(data, ()).count(b"c2VjcmV0") == 0
    assert visible_frames(data, ()).count(b'"logprob":-0.5') == 0
    assert visible_frames(data, ["message.output_text.logprobs"]).count(b'"logprob":-0.5') == 5


def test_the_gates_of_a_log_are_those_of_its_events() -> None:
    events = read_back(whole(Story([[Text("Hi", logprobs=[TOKEN]), Finished()]])))
    assert [sorted(gates(event)) for event in events if gates(event)] == [["message.output_text.logprobs"]] * 5
    assert msgspec.json.decode(encode(visible(events[-1], ())))["response"]["output"][0]["content"][0]["logprobs"] == []
