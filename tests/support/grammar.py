"""The grammar of a Responses stream, checked independently of the server.

`violations` lists what is wrong with a stream, `check` raises with a report that shows the stream around it. The facts
are tables (`tests.support.grammar_tables`); the rest is counting and comparing: numbers and indexes without gaps, ids
that stay, and every `*.done`, part, item and final Response repeating exactly what the events before it told.

Rules that are not in the tables:

- `sequence_number` counts every event of a response, `keepalive` and `error` included.
- `output_index` is given out in the order of `output_item.added`; the events of different items may interleave.
- An item that did not finish (status `incomplete` or `failed`) may be closed before its tool told its own end.
- A response that ends `incomplete` has closed the item that was cut with status `incomplete`, and only
  `response.failed` may leave items open.
- Items of a type that no table has may have any events of their own that name the item.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tests.support.grammar_items import Item, at
from tests.support.grammar_tables import (
    CALLED_ONCE,
    COMPLETED,
    FAILED,
    FREE_EVENTS,
    IN_PROGRESS,
    INCOMPLETE,
    INCOMPLETE_REASONS,
    KNOWN_ITEM_EVENTS,
    NEXT_LIFECYCLE,
    SAID_BY_THE_MODEL,
    SNAPSHOT_KEYS,
    STATUS,
    TERMINAL,
)

Json = dict[str, Any]


def violations(events: Iterable[Json], *, complete: bool = True, start: int = 0) -> list[str]:
    """List what is wrong with the events of one response; an empty list means the stream is valid.

    `complete=False` judges a stream that was cut: everything up to the cut must be right, nothing is expected after it.
    `start` is the number of the first event. A stream that starts above 0 is the rest of one (`starting_after`): items
    and lifecycle events before it are unknown, so only what happens inside it is judged.
    """
    return [text for _, text in _find(events, complete, start)]


def check(events: Sequence[Json], *, complete: bool = True, start: int = 0) -> None:
    """Raise AssertionError with a readable report unless the events are a valid stream; see `violations`."""
    if found := _find(events, complete, start):
        raise AssertionError(_report(events, found))


def _find(events: Iterable[Json], complete: bool, start: int) -> list[tuple[int, str]]:
    """Give each violation with the position of its event in the list."""
    stream = _Stream(start)
    found: list[tuple[int, str]] = []
    position = -1
    for position, event in enumerate(events):
        where = f"event {position} ({event.get('type')}, sequence_number {event.get('sequence_number')})"
        found += ((position, f"{where}: {text}") for text in stream.event(event))
    if complete and stream.terminal is None:
        found.append((position, "the stream ended without a terminal event"))
    return found


def _report(events: Sequence[Json], found: Sequence[tuple[int, str]]) -> str:
    wrong = {position for position, _ in found}
    near = {position + offset for position in wrong for offset in range(-3, 3)}
    lines = [f"{len(found)} violation(s) of the event grammar:", *(f"  - {text}" for _, text in found), "the stream:"]
    for position, event in enumerate(events):
        if position in near:
            lines.append(f"{' >' if position in wrong else '  '} {position}: {str(event)[:160]}")
        elif lines[-1] != "   ...":
            lines.append("   ...")
    return "\n".join(lines)


class _Stream:
    """Reads the events of one response one after the other; each method yields what is wrong, as text."""

    def __init__(self, start: int) -> None:
        self.terminal: str | None = None
        self._is_tail = start > 0
        self._expected_number = start
        self._state: str | None = None
        self._error_pending = False
        self._constants: Json = {}
        self._items: dict[int, Item] = {}
        self._next_index: int | None = None if self._is_tail else 0
        self._closed_last: Item | None = None

    def event(self, event: Json) -> Iterator[str]:
        name = event.get("type")
        if not isinstance(name, str):
            yield "has no type"
            return
        yield from self._number(event.get("sequence_number"))
        if self.terminal is not None:
            yield f"comes after the terminal event {self.terminal}"
            return
        if event.get("error"):
            yield "has a top-level error: the official SDK raises on it and never sees the end of the stream"
        if self._error_pending and name not in (FAILED, "keepalive"):
            yield "comes between error and response.failed"
        self._error_pending = name == "error" or (self._error_pending and name == "keepalive")
        yield from self._dispatch(name, event)

    def _dispatch(self, name: str, event: Json) -> Iterator[str]:
        short = name.removeprefix("response.")
        if name == "keepalive":
            return
        if name == "error":
            if not isinstance(event.get("message"), str):
                yield "carries no message at its top level"
        elif name in STATUS:
            yield from self._lifecycle(name, event.get("response"))
        elif self._state != IN_PROGRESS and not self._unknown_past:
            yield f"comes in state {self._state}, before response.in_progress"
        elif name == "response.output_item.added":
            yield from self._item_added(event)
        elif short not in FREE_EVENTS:
            yield from self._item_event(short, event)

    @property
    def _unknown_past(self) -> bool:
        return self._is_tail and self._state is None

    def _number(self, number: object) -> Iterator[str]:
        if type(number) is not int:
            yield f"sequence_number {number!r} is not an integer"
            return
        if number != self._expected_number:
            yield f"sequence_number {number} instead of {self._expected_number}"
        self._expected_number = number + 1

    # The response

    def _lifecycle(self, name: str, response: object) -> Iterator[str]:
        allowed = NEXT_LIFECYCLE[self._state]
        if name not in allowed and not self._unknown_past:
            yield f"follows {self._state}; only {', '.join(sorted(allowed))} may"
        self._state = name
        self.terminal = name if name in TERMINAL else None
        if not isinstance(response, dict):
            yield "carries no response"
            return
        yield from self._snapshot(name, response)
        yield from self._outcome(name, response)
        yield from self._usage(name, response.get("usage"))
        yield from self._output(name, response.get("output"))

    def _snapshot(self, name: str, response: Json) -> Iterator[str]:
        if missing := SNAPSHOT_KEYS - response.keys():
            yield f"the snapshot lacks {', '.join(sorted(missing))}"
        if response.get("object") != "response":
            yield f"response.object is {response.get('object')!r}"
        if response.get("status") not in STATUS[name]:
            yield f"response.status is {response.get('status')!r}"
        for key in ("id", "created_at", "model"):
            if response.get(key) in (None, ""):
                yield f"response.{key} is empty"
            elif self._constants.setdefault(key, response[key]) != response[key]:
                yield f"response.{key} changed from {self._constants[key]!r} to {response[key]!r}"

    def _outcome(self, name: str, response: Json) -> Iterator[str]:
        """Only a completed response has completed_at, a failed one error, an incomplete one incomplete_details."""
        for key, owner in (("completed_at", COMPLETED), ("error", FAILED), ("incomplete_details", INCOMPLETE)):
            if (response.get(key) is not None) != (name == owner):
                yield f"response.{key} is {response.get(key)!r}"
        if name == FAILED and not all(isinstance(at(response, ("error", key)), str) for key in ("code", "message")):
            yield "response.error lacks code or message"
        if name == INCOMPLETE and at(response, ("incomplete_details", "reason")) not in INCOMPLETE_REASONS:
            yield f"response.incomplete_details is {response.get('incomplete_details')!r}"

    def _usage(self, name: str, usage: object) -> Iterator[str]:
        match usage:
            case None if name in (COMPLETED, INCOMPLETE):
                yield "usage is missing"
            case None:
                return
            case _ if name not in TERMINAL:
                yield "usage is told before the end"
            case {"input_tokens": int(inward), "output_tokens": int(outward), "total_tokens": int(total)}:
                if inward + outward != total:
                    yield f"usage does not add up: {inward} + {outward} is not {total}"
            case _:
                yield f"usage is {usage!r}"

    def _output(self, name: str, output: object) -> Iterator[str]:
        if not isinstance(output, list):
            yield "response.output is not a list"
        elif name == FAILED:
            yield from self._partial_output(output)
        elif name in TERMINAL:
            yield from self._final_output(output)
        elif output:
            yield "a snapshot before the end has output"
        if name == INCOMPLETE:
            yield from self._cut_item()

    def _final_output(self, output: list[Any]) -> Iterator[str]:
        """The final output is the done items, each at its output_index."""
        if not self._is_tail and len(output) != len(self._items):
            yield f"response.output has {len(output)} items, the stream {len(self._items)}"
        for index, item in self._items.items():
            if item.done is None:
                yield f"item {index} ({item.type}) is still open"
            elif index < len(output) and output[index] != item.done:
                yield f"response.output[{index}] is not the done item {item.id}"

    def _partial_output(self, output: list[Any]) -> Iterator[str]:
        """A failed response keeps its done items; items that were open may be there or not, all in their order."""
        ids = [at(item, ("id",)) for item in output]
        told = [item.id for item in self._items.values()]
        if not self._is_tail and ids != [key for key in told if key in ids]:
            yield f"response.output has the items {ids}, the stream {told}"
        for item in self._items.values():
            if item.done is not None and item.done not in output:
                yield f"response.output lacks the done item {item.id}"

    def _cut_item(self) -> Iterator[str]:
        item = self._closed_last
        status = at(item.done, ("status",)) if item is not None else None
        if item is not None and item.type in SAID_BY_THE_MODEL and status not in ("incomplete", None):
            yield f"item {item.index} was closed last, as {status}: it is the one that was cut"

    # Its items

    def _item_added(self, event: Json) -> Iterator[str]:
        index, added = event.get("output_index"), event.get("item")
        if type(index) is not int or not isinstance(added, dict):
            yield "carries no output_index or no item"
            return
        if self._next_index is not None and index != self._next_index:
            yield f"output_index {index} instead of {self._next_index}"
        self._next_index = index + 1
        item = Item(index, added)
        yield from self._twins(item)
        self._items[index] = item
        yield from item.opening()

    def _twins(self, item: Item) -> Iterator[str]:
        """Two items with one id, or two calls with one call_id: the official SDK raises on both."""
        others = self._items.values()
        if item.id in (other.id for other in others):
            yield f"a second item has the id {item.id}"
        call_ids = [other.added.get("call_id") for other in others if other.type == item.type]
        if item.type in CALLED_ONCE and item.added.get("call_id") in call_ids:
            yield f"a second {item.type} has the call_id {item.added.get('call_id')}"

    def _item_event(self, name: str, event: Json) -> Iterator[str]:
        index = event.get("output_index")
        item = self._items.get(index) if type(index) is int else self._opaque_item(name, event)
        if item is not None:
            yield from item.event(name, event)
            if item.done is not None:
                self._closed_last = item
        elif not (self._is_tail and type(index) is int and (self._next_index is None or index < self._next_index)):
            yield f"belongs to no item (output_index {index!r}, item_id {event.get('item_id')!r})"

    def _opaque_item(self, name: str, event: Json) -> Item | None:
        """An event that no table has may name its item by item_id alone."""
        same_id = (item for item in self._items.values() if item.id == event.get("item_id"))
        return next(same_id, None) if name not in KNOWN_ITEM_EVENTS else None
