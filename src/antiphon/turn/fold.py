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
from typing import Any

import msgspec

from antiphon.turn.writers import LIFECYCLE, PARTS, WRITERS, PartRow, Row, row
from antiphon.wire import events
from antiphon.wire.events import Event
from antiphon.wire.items import Item
from antiphon.wire.response import Response
from antiphon.wire.struct import Opaque, type_of


class OpenPart:
    """A content part: what was said of it so far."""

    __slots__ = ("annotations", "index", "logprobs", "pieces", "row", "start")

    def __init__(self, kind: str, index: int, start: Any) -> None:
        self.row: PartRow = PARTS[kind]
        self.index = index
        self.start = start
        self.pieces: list[str] = []
        self.logprobs: list[Any] = []
        self.annotations: list[Any] = []

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def value(self) -> Any:
        """The part as it stands."""
        fields: dict[str, Any] = {self.row.text: self.text}
        if self.annotations:
            fields["annotations"] = self.annotations
        if self.logprobs:
            fields["logprobs"] = self.logprobs
        return msgspec.structs.replace(self.start, **fields)


class OpenItem:
    """An item that was added and is not done: how it began, and what was said since."""

    __slots__ = (
        "commands",
        "content",
        "ended",
        "index",
        "item",
        "kind",
        "outputs",
        "part",
        "pieces",
        "row",
        "steps",
        "summary",
        "written",
    )

    def __init__(self, index: int, item: Item) -> None:
        self.index = index
        self.item: Any = item
        self.kind = type_of(item)
        self.row: Row = row(self.kind)
        self.content: list[Any] = []
        self.summary: list[Any] = []
        self.part: OpenPart | None = None
        self.pieces: list[str] = []
        self.written = False
        self.steps: set[str] = set()
        self.ended = False
        self.commands: list[list[str]] = []
        self.outputs: list[Any] = []

    @property
    def id(self) -> str:
        return str(self.item.id)

    @property
    def text(self) -> str:
        """What was written into the call so far."""
        return "".join(self.pieces)

    def parts(self, place: str) -> list[Any]:
        """The parts of `content` or `summary`, the unfinished one included."""
        finished: list[Any] = getattr(self, place)
        if self.part is None or self.part.row.place != place:
            return list(finished)
        return [*finished, self.part.value()]

    def finished(self, final: Item | None, status: str) -> Item:
        """The item as it is done: its source's final form, save that what was told stays as it was told."""
        if final is None:
            return self.snapshot(self.row.unfinished if status == "incomplete" else status)
        told = self._told()
        if told and not isinstance(final, Opaque):
            final = msgspec.structs.replace(final, **told)
        return final if final.id == self.id else with_id(final, self.id)

    def snapshot(self, status: str | None) -> Item:
        """The item as it stands, with a status where its kind has one."""
        told = self._told()
        if status is not None and hasattr(self.item, "status"):
            told["status"] = status
        changed: Item = msgspec.structs.replace(self.item, **told) if told else self.item
        return changed

    def _told(self) -> dict[str, Any]:
        """The fields of the item that deltas filled."""
        fields: dict[str, Any] = {}
        if (content := self.parts("content")) or self.kind == "message":
            fields["content"] = content
        if summary := self.parts("summary"):
            fields["summary"] = summary
        if self.pieces and self.row.growth is not None:
            fields |= with_text(self.item, self.row.growth.field, self.text)
        if self.commands:
            commands = ["".join(pieces) for pieces in self.commands]
            fields["action"] = msgspec.structs.replace(self.item.action, commands=commands)
        if self.outputs:
            fields["output"] = list(self.outputs)
        return fields


def text_at(item: Any, path: tuple[str, ...]) -> str:
    """The text at a path of an item, "" where it is absent."""
    value = item
    for name in path:
        value = getattr(value, name, None)
    return value if isinstance(value, str) else ""


def with_text(item: Any, path: tuple[str, ...], text: str) -> dict[str, Any]:
    """The field of an item that holds a text at `path`, with the text put in."""
    field, *inner = path
    if not inner:
        return {field: text}
    return {field: msgspec.structs.replace(getattr(item, field), **{inner[0]: text})}


def with_id(item: Item, own: str) -> Item:
    """The item under an id."""
    if isinstance(item, Opaque):
        return Opaque({**item.fields, "id": own})
    return msgspec.structs.replace(item, id=own)


class Fold:
    """The state of one response after the events applied so far."""

    __slots__ = ("_base", "_cancelled", "items", "next", "open")

    def __init__(self) -> None:
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
        """Take one event in. Events come in order; their number must be `next`."""
        self.next += 1
        handler = _APPLY.get(type(event))
        if handler is not None:
            handler(self, event)

    def cancel(self) -> None:
        """Take the fact `cancelled` in: the only end of a response that no event tells."""
        self._cancelled = True

    @property
    def snapshot(self) -> Response:
        """The Response of the last lifecycle event."""
        if self._base is None:
            raise ValueError("a log begins with response.created")
        return self._base

    @property
    def ended(self) -> bool:
        """Whether a terminal event, or the fact of a cancel, was taken in."""
        return self._cancelled or self.snapshot.status in ("completed", "failed", "incomplete")

    def output(self) -> list[Item]:
        """All items by output_index; open ones as far as they got, as `incomplete` where their kind can say so."""
        return [
            item if item is not None else self.open[index].snapshot(self.open[index].row.unfinished)
            for index, item in enumerate(self.items)
        ]

    def response(self) -> Response:
        """The Response as it stands."""
        if self.snapshot.status in ("completed", "failed", "incomplete"):
            return self.snapshot
        current = msgspec.structs.replace(self.snapshot, output=self.output())
        return msgspec.structs.replace(current, status="cancelled") if self._cancelled else current

    def _lifecycle(self, event: Any) -> None:
        self._base = event.response

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

    def _part_closed(self, event: Any) -> None:
        item = self.open[event.output_index]
        assert item.part is not None, "a part ends that was not open"
        getattr(item, item.part.row.place).append(event.part)
        item.part = None

    def _grow(self, event: Any) -> None:
        self.open[event.output_index].pieces.append(event.delta)

    def _written(self, event: Any) -> None:
        item = self.open[event.output_index]
        assert item.row.growth is not None
        item.pieces = [getattr(event, item.row.growth.value)]
        item.written = True

    def _step(self, event: Any) -> None:
        self.open[event.output_index].steps.add(event.__struct_config__.tag.rpartition(".")[2])

    def _closing(self, event: Any) -> None:
        self.open[event.output_index].ended = True

    def _command_added(self, event: events.ShellCallCommandAdded) -> None:
        self.open[event.output_index].commands.append([event.command])

    def _command_delta(self, event: events.ShellCallCommandDelta) -> None:
        self.open[event.output_index].commands[event.command_index].append(event.delta)

    def _command_done(self, event: events.ShellCallCommandDone) -> None:
        self.open[event.output_index].commands[event.command_index] = [event.command]

    def _output_done(self, event: events.ShellCallOutputContentDone) -> None:
        self.open[event.output_index].outputs.extend(event.output)


def _handlers() -> dict[type[Any], Callable[[Fold, Any], None]]:
    """What each event does to a fold, read off the grammar's table. Events that change nothing have no row."""
    table: dict[type[Any], Callable[[Fold, Any], None]] = dict.fromkeys(LIFECYCLE, Fold._lifecycle)
    for part in PARTS.values():
        table |= {part.added: Fold._part_added, part.delta: Fold._part_delta, part.closed: Fold._part_closed}
    for writer in WRITERS.values():
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
        events.ShellCallOutputContentDone: Fold._output_done,
    }


_APPLY = _handlers()
