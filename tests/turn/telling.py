"""Telling a response in tests: a machine that has begun, its events as JSON, and all judges in one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from antiphon.turn import frames, settings
from antiphon.turn.deltas import Delta
from antiphon.turn.fold import Fold
from antiphon.turn.machine import Machine
from antiphon.wire.events import Event
from antiphon.wire.request import CreateResponse
from antiphon.wire.response import Response, ResponseError
from antiphon.wire.sse import frames as encoded
from antiphon.wire.struct import encode
from tests.support import grammar, sdk_oracle
from tests.turn.strategies import Story

Json = dict[str, Any]
AT = 1_790_000_000
ERROR = ResponseError(code="server_error", message="The model failed.")


class Ids:
    """Ids that count: `msg_1`, `fc_2`."""

    def __init__(self, start: int = 0) -> None:
        self.count = start

    def __call__(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count}"


def opened(**asked: Any) -> Response:
    """The Response that a request begins with."""
    request = CreateResponse(**{"input": "Hi", "model": "m", **asked})
    return settings.opened(request, response_id="resp_1", model="m", created_at=AT)


def begun(**asked: Any) -> tuple[Machine, list[Event]]:
    """A machine whose response is in progress, and what it told so far."""
    machine = Machine(Ids())
    return machine, machine.create(opened(**asked)) + machine.begin()


def spoken(*deltas: Delta) -> list[Json]:
    """What is told of deltas, between the beginning of a response and its end."""
    machine, _ = begun()
    return as_json(machine.feed(deltas))


def finished(*deltas: Delta) -> list[Json]:
    """All events of a response of one turn; the judges have seen them."""
    return as_json(judged(whole(Story([list(deltas)]))))


def output(*deltas: Delta) -> list[Json]:
    """The output of a response of one turn."""
    items: list[Json] = finished(*deltas)[-1]["response"]["output"]
    return items


def whole(story: Story) -> list[Event]:
    """All events of a story that comes to its end."""
    machine, told = begun(background=story.background)
    for turn in story.turns:
        told += machine.feed(turn)
    return told + machine.finish(AT + 9)


def as_json(events: Iterable[Event]) -> list[Json]:
    return [msgspec.json.decode(encode(event)) for event in events]


def names(events: Sequence[Json | Event]) -> list[str]:
    """The types of events, without `response.`."""
    told = [event if isinstance(event, dict) else as_json([event])[0] for event in events]
    return [event["type"].removeprefix("response.") for event in told]


def judged(events: list[Event], *, complete: bool = True, cut: bool = False) -> list[Event]:
    """The events, after the grammar and the official SDK's types have found nothing wrong with them.

    `cut` says that a turn was broken off though the response ends well.
    """
    told = as_json(events)
    is_cut = cut or told[-1]["type"] in ("response.incomplete", "response.failed")
    grammar.check([_with_a_word_for_cut(event) if is_cut else event for event in told], complete=complete)
    sdk_oracle.check_events(told, opaque=True)
    return events


def _with_a_word_for_cut(event: Json) -> Json:
    """An event in which a half patch is `incomplete`, for the grammar: the API's word for it is `in_progress`."""
    match event:
        case {"type": "response.output_item.done", "item": {"type": "apply_patch_call"}}:
            return {**event, "item": _with_word(event["item"])}
        case {"response": {"output": list(output)}}:
            return {**event, "response": {**event["response"], "output": [_with_word(item) for item in output]}}
    return event


def _with_word(item: Json) -> Json:
    is_cut = item["type"] == "apply_patch_call" and item["status"] == "in_progress"
    return {**item, "status": "incomplete"} if is_cut else item


def as_bytes(events: Iterable[Event]) -> bytes:
    """The events as a log keeps them."""
    return encoded(events)


def read_back(events: Iterable[Event]) -> list[Event]:
    """The events as somebody finds them in the log."""
    return list(frames.events(encoded(events)))


def fold_of(events: Iterable[Event]) -> Fold:
    """The state that a log tells to whoever reads it."""
    return Fold.of(read_back(events))
