"""Fold: events and facts → Response.

The only code that knows what a stream of events amounts to. The machine asks it for the Response of a terminal event,
GET asks it for that of a stored log, and a worker that takes over a dead one's response rebuilds the machine from it:
all three see the same.

    fold = Fold()
    for event in log:
        fold.apply(event)
    fold.response()          # at any moment; also of a log that was cut anywhere
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias

import msgspec

from antiphon.turn import logprobs
from antiphon.turn.writers import LIFECYCLE, PARTS, PLAIN, WRITERS, PartRow, Path, Row, row
from antiphon.wire import events
from antiphon.wire.events import Event
from antiphon.wire.items import Item, ShellOutput, Timeout
from antiphon.wire.response import Response
from antiphon.wire.struct import UNSET, Opaque, type_of

State: TypeAlias = Literal["new", "made", "told", "over"]
"""Where a response is in its life: `new` before its first event, `made` until it is `in_progress`, then `told`."""

_STATES: dict[type[Any], State] = {
    events.ResponseCreated: "made",
    events.ResponseQueued: "made",
    events.ResponseInProgress: "told",
}
STREAMS = ("stdout", "stderr")
"""Where a command prints."""

_CLOSED = ("completed", "failed", "incomplete")
"""What an item that is done may be."""


class OpenPart:
    """A content part: what was said of it so far."""

    __slots__ = ("annotations", "index", "logprobs", "pieces", "row", "start", "written")

    def __init__(self, kind: str, index: int, start: Any) -> None:
        self.row: PartRow = PARTS[kind]
        self.index = index
        self.start = start
        self.pieces: list[str] = []
        self.logprobs: list[Any] = []
        self.annotations: list[Any] = []
        self.written = False
        """Whether its whole text was told, and only its end is missing."""

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def value(self) -> Any:
        """The part as it stands."""
        fields: dict[str, Any] = {self.row.text: self.text}
        if self.annotations:
            fields["annotations"] = list(self.annotations)
        if self.logprobs:
            fields["logprobs"] = logprobs.of_a_part(self.logprobs)
        return msgspec.structs.replace(self.start, **fields)


class OpenItem:
    """An item that was added and is not done: how it began, and what was said since."""

    __slots__ = (
        "commands",
        "commands_done",
        "content",
        "ended",
        "id",
        "index",
        "item",
        "kind",
        "opened",
        "outputs",
        "outputs_done",
        "part",
        "pieces",
        "printed",
        "row",
        "steps",
        "summary",
        "written",
    )

    def __init__(self, index: int, item: Item) -> None:
        self.index = index
        self.item: Any = item
        self.id = str(item.id)
        self.kind = type_of(item)
        self.row: Row = row(self.kind)
        self.opened = 0
        """How many of the opening events were told."""
        self.content: list[Any] = []
        self.summary: list[Any] = []
        self.part: OpenPart | None = None
        self.pieces: list[str] = []
        self.written = False
        """Whether the whole text of a call was told."""
        self.steps: dict[str, int] = {}
        """Word of a step → how often it was told."""
        self.ended = False
        """Whether the closing event was told."""
        self.commands: list[list[str]] = []
        self.commands_done = 0
        self.outputs: list[Any] = []
        self.outputs_done = 0
        """How many commands have ended; each may have left any number of outputs."""
        self.printed: dict[str, list[str]] = {}
        """What the command that has not ended wrote to `stdout` and `stderr`, in pieces."""

    @property
    def text(self) -> str:
        """What was written into the call so far."""
        return "".join(self.pieces)

    @property
    def is_writable(self) -> bool:
        """Whether more may be written into it. A patch that deletes a file has no text at all."""
        growth = self.row.growth
        return growth is not None and not self.written and value_at(self.item, growth.field) is not None

    def parts(self, place: str) -> list[Any]:
        """The parts of `content` or `summary`, the unfinished one included."""
        finished: list[Any] = getattr(self, place)
        if self.part is None or self.part.row.place != place:
            return list(finished)
        return [*finished, self.part.value()]

    def snapshot(self, status: str | None = None) -> Item:
        """The item as far as it is told. A status is for those kinds that have one; None leaves it as it was."""
        return changed(self.item, self._told(self.item) | ({} if status is None else {"status": status}))

    def cut(self) -> Item:
        """The item as far as it got, and that it was cut. One that was told whole at its start is whole."""
        if value_at(self.item, ("status",)) in _CLOSED:
            return self.snapshot()
        fields = self._missing(self.item) | self.row.cut | self._told(self.item)
        if self.printed:
            fields |= with_value(self.item, self.row.outputs, [*self.outputs, self.broken_off()])
        return changed(self.item, fields)

    def broken_off(self) -> ShellOutput:
        """What a command printed whose end nobody told. `timeout` is the API's word for one that did not end."""
        stdout, stderr = ("".join(self.printed.get(stream, ())) for stream in STREAMS)
        return ShellOutput(stdout=stdout, stderr=stderr, outcome=Timeout())

    def finished(self, final: Item | None = None) -> Item:
        """The item as it is done: its source's final form, save that what was told stays as it was told."""
        item = self.item if final is None else final
        fields = self._missing(item) | self._end_of(item) | self._told(item)
        return with_id(changed(item, fields), self.id)

    def _end_of(self, item: Item) -> dict[str, Any]:
        """The status of an item that its source ended: what the source says, if that is an end, or that it was cut."""
        said, began = value_at(item, ("status",)), value_at(self.item, ("status",))
        is_cut = item is not self.item and said is not None and said == self.row.cut.get("status")
        if said in _CLOSED or is_cut or (said is None and began is None and self.row.stateless):
            return {}
        return {"status": "failed" if value_at(item, ("error",)) else "completed"}

    def _missing(self, item: Item) -> dict[str, Any]:
        """What an item that is done must have, and this one has not."""
        return {name: value for name, value in self.row.required.items() if value_at(item, (name,)) is None}

    def _told(self, item: Item) -> dict[str, Any]:
        """The fields of `item` that events filled."""
        fields: dict[str, Any] = {}
        for place in self.row.places:
            if parts := self.parts(place):
                fields[place] = parts
        if self.row.growth is not None and (self.pieces or self.written):
            fields |= self._put(item, self.row.growth.field, self.text)
        if self.commands:
            fields |= self._put(item, self.row.commands, ["".join(pieces) for pieces in self.commands])
        if self.outputs:
            fields |= self._put(item, self.row.outputs, list(self.outputs))
        return fields

    def _put(self, item: Item, path: Path, value: Any) -> dict[str, Any]:
        """A field of `item` with what was told in it; of the item as it began, where `item` has no place for that."""
        return with_value(item if has(item, path) else self.item, path, value)


# Items by the names of their fields, whether we know their kind or not


def value_at(item: Any, path: Path) -> Any:
    """The value at a path of an item, None where it is absent."""
    value = item
    for name in path:
        value = value.fields.get(name) if isinstance(value, Opaque) else getattr(value, name, None)
    return None if value is UNSET else value


def has(item: Any, path: Path) -> bool:
    """Whether an item has a field at a path, be it null."""
    return getattr(value_at(item, path[:-1]), path[-1], UNSET) is not UNSET


def text_at(item: Any, path: Path) -> str:
    """The text at a path of an item, "" where it is absent."""
    value = value_at(item, path)
    return value if isinstance(value, str) else ""


def with_value(item: Any, path: Path, value: Any) -> dict[str, Any]:
    """The field of an item that holds what is at `path`, with another value put there."""
    field, *inner = path
    if not inner:
        return {field: value}
    return {field: msgspec.structs.replace(getattr(item, field), **{inner[0]: value})}


def changed(item: Item, fields: dict[str, Any]) -> Item:
    """The item with other values in those of the fields that its kind has."""
    if isinstance(item, Opaque):
        return Opaque(item.fields | {name: value for name, value in fields.items() if name in item.fields})
    known = {name: value for name, value in fields.items() if name in item.__struct_fields__}
    return msgspec.structs.replace(item, **known)


def begun(item: Item) -> Item:
    """The item as it is added: under way, and without what events are going to tell of it."""
    writer = row(type_of(item))
    fields: dict[str, Any] = {}
    for path, empty in writer.told.items():
        if has(item, path):
            fields |= with_value(item, path, empty)
    if value_at(item, ("status",)) is None:
        is_under_way = writer is not PLAIN and not writer.stateless
    else:
        is_under_way = bool(writer.told or writer.opening)
    return changed(item, fields | {"status": "in_progress"} if is_under_way else fields)


def with_id(item: Item, own: str) -> Item:
    """The item under an id."""
    if isinstance(item, Opaque):
        return Opaque({**item.fields, "id": own})
    return msgspec.structs.replace(item, id=own)


class Fold:
    """The state of one response after the events applied so far."""

    __slots__ = ("_base", "_cancelled", "items", "next", "open", "state")

    def __init__(self) -> None:
        self.state: State = "new"
        self.next = 0
        """The sequence number that the next event has."""
        self.items: list[Item | None] = []
        """Finished items by output_index; None where one is still open."""
        self.open: dict[int, OpenItem] = {}
        self._base: Response | None = None
        self._cancelled = False

    @classmethod
    def of(cls, log: Iterable[Event]) -> Fold:
        """The fold of a whole log."""
        fold = cls()
        for event in log:
            fold.apply(event)
        return fold

    def apply(self, event: Event) -> None:
        """Take one event in. Events come in the order of their numbers, without gaps."""
        self.next += 1
        handler = _APPLY.get(type(event))
        if handler is not None:
            handler(self, event)

    def say(self, part: OpenPart, text: str) -> None:
        """Take in a text delta of a part that is known, which is all that `apply` would do: the short way for words."""
        self.next += 1
        part.pieces.append(text)

    def cancel(self) -> None:
        """Take the fact `cancelled` in: the only end of a response that no event tells."""
        if self.state != "over":
            self._cancelled = True
            self.state = "over"

    @property
    def snapshot(self) -> Response:
        """The Response of the last lifecycle event."""
        if self._base is None:
            raise ValueError("a log begins with response.created")
        return self._base

    @property
    def ended(self) -> bool:
        """Whether a terminal event, or the fact of a cancel, was taken in."""
        return self.state == "over"

    def output(self, *, cut: bool = False) -> list[Item]:
        """All items by output_index. Open ones as far as they got; if this is all there will be, as cut."""
        return [item if item is not None else self._unfinished(index, cut) for index, item in enumerate(self.items)]

    def _unfinished(self, index: int, cut: bool) -> Item:
        return self.open[index].cut() if cut else self.open[index].snapshot()

    def response(self) -> Response:
        """The Response as it stands."""
        if self._cancelled:
            return msgspec.structs.replace(self.snapshot, output=self.output(cut=True), status="cancelled")
        if self.state == "over":
            return self.snapshot
        return msgspec.structs.replace(self.snapshot, output=self.output())

    def _lifecycle(self, event: Any) -> None:
        self._base = event.response
        self.state = _STATES.get(type(event), "over")

    def _item_added(self, event: events.OutputItemAdded) -> None:
        self.items.append(None)
        self.open[event.output_index] = OpenItem(event.output_index, event.item)

    def _item_done(self, event: events.OutputItemDone) -> None:
        self.items[event.output_index] = event.item
        del self.open[event.output_index]

    def _part_added(self, event: Any) -> None:
        kind = event.part.__struct_config__.tag
        item = self.open[event.output_index]
        item.part = OpenPart(kind, getattr(event, PARTS[kind].index), event.part)

    def _part_delta(self, event: Any) -> None:
        part = self.open[event.output_index].part
        assert part is not None, "a delta outside a part"
        part.pieces.append(event.delta)

    def _text_delta(self, event: events.OutputTextDelta) -> None:
        part = self.open[event.output_index].part
        assert part is not None, "a delta outside a part"
        part.pieces.append(event.delta)
        if event.logprobs:
            part.logprobs.extend(event.logprobs)

    def _annotated(self, event: events.OutputTextAnnotationAdded) -> None:
        part = self.open[event.output_index].part
        assert part is not None, "an annotation outside a part"
        part.annotations.append(event.annotation)

    def _part_written(self, event: Any) -> None:
        part = self.open[event.output_index].part
        assert part is not None, "a text ends outside a part"
        part.written = True

    def _part_closed(self, event: Any) -> None:
        item = self.open[event.output_index]
        assert item.part is not None, "a part ends that was not open"
        getattr(item, item.part.row.place).append(event.part)
        item.part = None

    def _opening(self, event: Any) -> None:
        self.open[event.output_index].opened += 1

    def _grow(self, event: Any) -> None:
        self.open[event.output_index].pieces.append(event.delta)

    def _written(self, event: Any) -> None:
        self.open[event.output_index].written = True

    def _step(self, event: Any) -> None:
        steps = self.open[event.output_index].steps
        word = event.__struct_config__.tag.rpartition(".")[2]
        steps[word] = steps.get(word, 0) + 1

    def _closing(self, event: Any) -> None:
        self.open[event.output_index].ended = True

    def _command_added(self, event: events.ShellCallCommandAdded) -> None:
        self.open[event.output_index].commands.append([event.command])

    def _command_delta(self, event: events.ShellCallCommandDelta) -> None:
        self.open[event.output_index].commands[event.command_index].append(event.delta)

    def _command_done(self, event: events.ShellCallCommandDone) -> None:
        self.open[event.output_index].commands_done += 1

    def _printed(self, event: events.ShellCallOutputContentDelta) -> None:
        printed = self.open[event.output_index].printed
        for stream in STREAMS:
            if text := getattr(event.delta, stream):
                printed.setdefault(stream, []).append(text)

    def _output_done(self, event: events.ShellCallOutputContentDone) -> None:
        item = self.open[event.output_index]
        item.outputs.extend(event.output)
        item.outputs_done += 1
        item.printed = {}


def _handlers() -> dict[type[Any], Callable[[Fold, Any], None]]:
    """What each event does to a fold, read off the grammar's table. Events that change nothing have no row."""
    table: dict[type[Any], Callable[[Fold, Any], None]] = dict.fromkeys(LIFECYCLE, Fold._lifecycle)
    for part in PARTS.values():
        table |= {part.added: Fold._part_added, part.delta: Fold._part_delta}
        table |= {part.done: Fold._part_written, part.closed: Fold._part_closed}
    for writer in WRITERS.values():
        table |= dict.fromkeys(writer.opening, Fold._opening)
        if writer.growth is not None:
            table |= {writer.growth.delta: Fold._grow, writer.growth.done: Fold._written}
        table |= dict.fromkeys(writer.steps.values(), Fold._step)
        table |= dict.fromkeys(writer.closing.values(), Fold._closing)
    return table | {
        events.OutputItemAdded: Fold._item_added,
        events.OutputItemDone: Fold._item_done,
        events.OutputTextDelta: Fold._text_delta,
        events.OutputTextAnnotationAdded: Fold._annotated,
        events.ShellCallCommandAdded: Fold._command_added,
        events.ShellCallCommandDelta: Fold._command_delta,
        events.ShellCallCommandDone: Fold._command_done,
        events.ShellCallOutputContentDelta: Fold._printed,
        events.ShellCallOutputContentDone: Fold._output_done,
    }


_APPLY = _handlers()
