"""What the tests of rehearsal share: how to ask it, and how to read what it said."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

from antiphon.models.rehearsal import Rehearsal
from antiphon.turn import deltas
from antiphon.turn.deltas import Delta
from antiphon.turn.input import Turn, assemble, effective
from antiphon.turn.machine import Machine
from antiphon.turn.settings import opened
from antiphon.wire.items import Item
from antiphon.wire.request import decode_create
from antiphon.wire.struct import encode

Json = dict[str, Any]

WEATHER: Json = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather in a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
}


def turn_of(asked: str | Json, *, said: Sequence[Item] = (), prefix: Item | None = None, number: int = 0) -> Turn:
    """The turn of a request; `said`, `prefix` and `number` are those of a run that is taken over."""
    body = {"input": asked} if isinstance(asked, str) else asked
    request = decode_create(json.dumps(body).encode())
    numbers = itertools.count()
    items = assemble([], effective(request.input or [], lambda kind: f"{kind}_{next(numbers)}"))
    return Turn(request=request, items=[*items, *said], prefix=prefix, number=number)


async def say(asked: str | Json | Turn, model: Rehearsal | None = None) -> list[Delta]:
    """All that rehearsal says, in one list."""
    turn = asked if isinstance(asked, Turn) else turn_of(asked)
    return [delta async for batch in (model or Rehearsal()).stream(turn) for delta in batch]


async def text(asked: str | Json | Turn) -> str:
    """The text of the answer."""
    return text_of(await say(asked))


def text_of(said: Iterable[Delta]) -> str:
    return "".join(delta.text for delta in said if isinstance(delta, deltas.Text))


def refusal_of(said: Iterable[Delta]) -> str:
    return "".join(delta.text for delta in said if isinstance(delta, deltas.Refusal))


def usage_of(said: Iterable[Delta]) -> Any:
    return next(delta.usage for delta in said if isinstance(delta, deltas.Usage))


def reason_of(said: Sequence[Delta]) -> str | None:
    """Why the answer ended early, if it did."""
    assert isinstance(said[-1], deltas.Finished)
    return said[-1].incomplete


def tokens_of(said: Iterable[Delta]) -> list[str]:
    """The deltas of the text."""
    return [delta.text for delta in said if isinstance(delta, deltas.Text)]


async def told(asked: str | Json | Turn, model: Rehearsal | None = None) -> list[Json]:
    """The events that a client gets, as our machine tells them."""
    turn = asked if isinstance(asked, Turn) else turn_of(asked)
    numbers = itertools.count()
    machine = Machine(lambda kind: f"{kind}_{next(numbers)}")
    events = machine.create(opened(turn.request, response_id="resp_1", model="rehearsal", created_at=1))
    events += machine.begin() + machine.feed(await say(turn, model)) + machine.finish(2)
    return [json.loads(encode(event)) for event in events]


async def output(asked: str | Json) -> list[Json]:
    """The items of the finished Response."""
    items: list[Json] = (await told(asked))[-1]["response"]["output"]
    return items


async def calls(asked: str | Json) -> list[tuple[str, Any]]:
    """Name and arguments of each function that was called."""
    items = await output(asked)
    return [(item["name"], json.loads(item["arguments"])) for item in items if item["type"] == "function_call"]


def with_format(schema: Json, message: str = "Tell me about Paris and Rome.") -> Json:
    """A request for JSON that satisfies a schema."""
    return {"input": message, "text": {"format": {"type": "json_schema", "name": "answer", "schema": schema}}}


def answered(message: str, *outputs: str, **settings: Any) -> Json:
    """A request in which functions that a message called have answered."""
    items: list[Json] = [{"role": "user", "content": message}]
    for number, output in enumerate(outputs):
        call_id = f"call_{number}"
        items.append(
            {"type": "function_call", "call_id": call_id, "name": "get_weather", "arguments": '{"city":"Paris"}'}
        )
        items.append({"type": "function_call_output", "call_id": call_id, "output": output})
    return {"input": items, **settings}
