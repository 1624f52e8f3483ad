"""Machine: the grammar. Deltas and the progress of tools go in, numbered protocol events come out.

Sans-I/O, in the manner of h11: no clock, no randomness, no sockets; times and ids are arguments. This is the only code
that constructs an event, and each leaves through `_tell`, save that words have a short way of their own. The state of a
response is its fold; what the machine adds is which backend key means which open item.

    machine = Machine(new_id)
    events  = machine.create(response)          # response.created, and response.queued for a background one
    events += machine.begin()                   # response.in_progress
    events += machine.feed(deltas)              # as often as the model speaks
    events += machine.finish(at)                # the terminal event, exactly one

A response is in one of four states. Each method is allowed in some of them, and may lead to another:

    state   create    begin     feed, close, take_up    finish    fail
    new     → made
    made              → told                                      → over
    told              told      told                    → over    → over
    over

All else raises `OutOfOrder`, and so does a delta that no item takes. What was told before it is not lost: it comes
with the events of the next call, which should be `fail`.

`Machine.resume` rebuilds a machine from the fold of a log that was cut anywhere; what it emits continues the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from antiphon.turn import deltas, logprobs
from antiphon.turn.deltas import Delta, IncompleteReason, Key
from antiphon.turn.fold import STREAMS, Fold, OpenItem, OpenPart, State, begun, text_at, value_at, with_id
from antiphon.turn.usage import added
from antiphon.turn.writers import PARTS, outcome, row
from antiphon.wire import events
from antiphon.wire.content import Annotation, OutputText
from antiphon.wire.events import EVENTS, Event
from antiphon.wire.items import Item, Message, Reasoning, ShellOutput
from antiphon.wire.response import IncompleteDetails, Response, ResponseError, Usage
from antiphon.wire.struct import Opaque, type_of

NewId = Callable[[str], str]
"""Makes an id from a prefix: `msg` → `msg_5f…`."""


class OutOfOrder(RuntimeError):
    """A call of the machine, or a delta, that the grammar does not allow here: a defect of whoever made it."""


_ALLOWED: dict[str, tuple[State, ...]] = {
    "create": ("new",),
    "begin": ("made", "told"),
    "feed": ("told",),
    "close": ("told",),
    "take_up": ("told",),
    "finish": ("told",),
    "fail": ("made", "told"),
}
_WHY: dict[State, str] = {
    "new": "was not created",
    "made": "was created, but is not in progress",
    "told": "is in progress",
    "over": "is over",
}

_MESSAGE: Key = "\0message"
_REASONING: Key = "\0reasoning"
_SLOTS: dict[str, Key] = {
    "output_text": _MESSAGE,
    "refusal": _MESSAGE,
    "reasoning_text": _REASONING,
    "summary_text": _REASONING,
}
"""Kind of part → the key of the item that deltas without a key go to."""
_IMPLIED: dict[Key, Callable[[], Item]] = {
    _MESSAGE: lambda: Message(role="assistant", status="in_progress", content=[]),
    _REASONING: lambda: Reasoning(summary=[], status="in_progress"),
}
"""How the items begin that words open by themselves."""
_WORDS: dict[type[Any], str] = {
    deltas.Refusal: "refusal",
    deltas.Reasoning: "reasoning_text",
    deltas.Summary: "summary_text",
}
_TEXT = PARTS["output_text"]
_NO_LOGPROBS: list[Any] = []

_OF_NO_ITEM: dict[str, type[Any]] = {name: kind for name, kind in EVENTS.items() if name.startswith("response.audio.")}
"""Events of the API that the table has no place for: a backend may tell them as they are."""
_SETTLED_BY_US = frozenset(
    {"id", "created_at", "completed_at", "status", "error", "incomplete_details", "model", "output", "usage"}
)
_SETTLEABLE = frozenset(Response.__struct_fields__) - _SETTLED_BY_US


class Machine:
    """One response's grammar."""

    __slots__ = ("_keys", "_new_id", "_out", "_settled", "fold", "incomplete", "usage")

    def __init__(self, new_id: NewId, fold: Fold | None = None) -> None:
        self.fold = fold or Fold()
        self.usage: Usage | None = None
        """The tokens of all turns so far."""
        self.incomplete: IncompleteReason | None = None
        """Why the last turn was cut, if it was."""
        self._new_id = new_id
        self._keys: dict[Key, OpenItem] = {}
        self._settled: dict[str, Any] = {}
        self._out: list[Event] = []

    @classmethod
    def resume(cls, fold: Fold, new_id: NewId) -> Machine:
        """A machine that continues a log which was cut. Items that are open have no key: `close` ends them."""
        return cls(new_id, fold)

    # The life of a response

    def create(self, response: Response) -> list[Event]:
        """The first events: `created`, and `queued` if that is the response's status."""
        self._check("create")
        self._emit(events.ResponseCreated, response=response)
        if response.status == "queued":
            self._emit(events.ResponseQueued, response=response)
        return self._take()

    def begin(self) -> list[Event]:
        """`in_progress`; nothing if that was told before the log was cut."""
        self._check("begin")
        if self.fold.state == "made":
            response = msgspec.structs.replace(self.fold.snapshot, status="in_progress")
            self._emit(events.ResponseInProgress, response=response)
        return self._take()

    def feed(self, batch: Sequence[Delta]) -> list[Event]:
        """Tell a batch of deltas."""
        if self.fold.state != "told":
            self._check("feed")
        for delta in batch:
            _TELL[type(delta)](self, delta)
        return self._take()

    def close(self, incomplete: IncompleteReason | None = None, *, cut: bool = False) -> list[Event]:
        """End a turn: every open item is done, as `incomplete` if the turn was cut."""
        self._check("close")
        self._end_turn(incomplete, cut=cut)
        return self._take()

    def finish(self, at: int) -> list[Event]:
        """The terminal event: `completed` at a Unix time in seconds, or `incomplete` if the last turn was cut."""
        self._check("finish")
        self._end_turn(self.incomplete)
        usage = self.usage or Usage()
        if self.incomplete is None:
            response = self._final(usage, status="completed", completed_at=at)
            self._emit(events.ResponseCompleted, response=response)
        else:
            details = IncompleteDetails(reason=self.incomplete)
            response = self._final(usage, status="incomplete", incomplete_details=details)
            self._emit(events.ResponseIncomplete, response=response)
        return self._take()

    def fail(self, error: ResponseError) -> list[Event]:
        """The terminal event `failed`. Open items stay open, so that nobody takes half a call for a whole one."""
        self._check("fail")
        self._emit(events.ResponseFailed, response=self._final(self.usage, status="failed", error=error))
        return self._take()

    def take_up(self, item: OpenItem) -> None:
        """Go on within an open message of the log: the next words without a key are its."""
        self._check("take_up")
        if item.kind != "message":
            raise OutOfOrder(f"words cannot go on within an item of type {item.kind}")
        if item.part is not None and item.part.written:
            self._close_part(item)
        self._keys[_MESSAGE] = item

    def _check(self, call: str) -> None:
        state = self.fold.state
        if state not in _ALLOWED[call]:
            raise OutOfOrder(f"{call}() out of order: the response {_WHY[state]}")

    def _final(self, usage: Usage | None, **fields: Any) -> Response:
        output = self.fold.output(cut=True)
        return msgspec.structs.replace(self.fold.snapshot, output=output, usage=usage, **self._settled, **fields)

    # The one way out

    def _emit(self, kind: type[Any], /, **fields: Any) -> None:
        self._tell(kind(sequence_number=self.fold.next, **fields))

    def _emit_of(self, item: OpenItem, kind: type[Any], /, **fields: Any) -> None:
        self._emit(kind, item_id=item.id, output_index=item.index, **fields)

    def _emit_in(self, item: OpenItem, part: OpenPart, kind: type[Any], /, **fields: Any) -> None:
        self._emit_of(item, kind, **{part.row.index: part.index}, **fields)

    def _tell(self, event: Event) -> None:
        self.fold.apply(event)
        self._out.append(event)

    def _take(self) -> list[Event]:
        out, self._out = self._out, []
        return out

    # Items

    def _item(self, key: Key) -> OpenItem:
        item = self._keys.get(key)
        if item is None:
            raise OutOfOrder(f"no item is open under the key {key!r}")
        return item

    def _open(self, key: Key, item: Item) -> OpenItem:
        """Begin an item, and tell what it held at its start."""
        self._check_new(key, item)
        for implied in _IMPLIED:
            if implied in self._keys and implied != key:
                self._finish_item(self._keys.pop(implied))
        index = len(self.fold.items)
        if not item.id or self._has(item.id):
            item = with_id(item, self._new_id(row(type_of(item)).prefix))
        self._emit(events.OutputItemAdded, output_index=index, item=begun(item))
        opened = self._keys[key] = self.fold.open[index]
        self._tell_opening(opened)
        self._tell_rest(opened, item)
        return opened

    def _check_new(self, key: Key, item: Item) -> None:
        if key in self._keys:
            raise OutOfOrder(f"another item is open under the key {key!r}")
        if isinstance(item, Opaque) and row(item.type).told:
            raise OutOfOrder(f"the item is not what we know as {item.type}, so its words cannot be told")

    def _has(self, own: str) -> bool:
        """Whether an item of this response has the id already: some upstreams give several the same."""
        opened = (item.id for item in self.fold.open.values())
        return own in opened or any(item is not None and item.id == own for item in self.fold.items)

    def _finish_item(self, item: OpenItem, final: Item | None = None, *, cut: bool = False) -> None:
        """The last events of an item. `final` is its form as its source gave it, else it is what was said."""
        self._tell_opening(item)
        if final is not None:
            self._tell_rest(item, final)
        self._close_part(item)
        self._end_command(item)
        self._close_growth(item)
        if item.printed:
            self._end_output(item, [item.broken_off()])
        done = item.cut() if cut else item.finished(final)
        self._tell_closing(item, outcome(done))
        self._emit(events.OutputItemDone, output_index=item.index, item=done)

    def _tell_opening(self, item: OpenItem) -> None:
        for event in item.row.opening[item.opened :]:
            self._emit_of(item, event)

    def _tell_closing(self, item: OpenItem, result: str) -> None:
        event = item.row.closing.get(result)
        if event is None or item.ended:
            return
        if item.row.before_closing is not None:
            self._tell_step(item, item.row.before_closing, {})
        self._emit_of(item, event)

    def _end_turn(self, incomplete: IncompleteReason | None, *, cut: bool = False) -> None:
        self.incomplete = incomplete
        self._keys.clear()
        for item in list(self.fold.open.values()):
            self._finish_item(item, cut=cut or incomplete is not None)

    def _tell_item_started(self, delta: deltas.ItemStarted) -> None:
        self._open(delta.key, delta.item)

    def _tell_item_done(self, delta: deltas.ItemDone) -> None:
        item, final = self._item(delta.key), delta.item
        if final is not None and type_of(final) != item.kind:
            raise OutOfOrder(f"an item of type {item.kind} cannot end as {type_of(final)}")
        if isinstance(final, Opaque) and item.row.told:
            final = None  # not what we know under its type: what was said counts
        del self._keys[delta.key]
        self._finish_item(item, final)

    # What the whole form of an item holds and no event told yet

    def _tell_rest(self, item: OpenItem, whole: Any) -> None:
        if item.part is not None:
            self._tell_rest_of_part(item, item.part, _parts_at(whole, item.part.row.place)[item.part.index :])
        for place in item.row.places:
            for part in _parts_at(whole, place)[len(item.parts(place)) :]:
                opened = self._open_part(item, type_of(part))
                self._tell_rest_of_part(item, opened, [part])
                self._close_part(item)
        if item.row.growth is not None and item.is_writable:
            rest = _rest(item.text, text_at(whole, item.row.growth.field))
            if rest:
                self._grow(item, rest)
        self._tell_rest_of_shell(item, whole)

    def _tell_rest_of_part(self, item: OpenItem, part: OpenPart, whole: Sequence[Any]) -> None:
        """`whole` begins with the part in its whole form, if that is known."""
        if not whole or part.written or part.row is not PARTS.get(type_of(whole[0])):
            return
        final = whole[0]
        if rest := _rest(part.text, text_at(final, (part.row.text,))):
            tokens = (getattr(final, "logprobs", None) or _NO_LOGPROBS)[len(part.logprobs) :]
            self._say(item, part, rest, tokens)
        for annotation in getattr(final, "annotations", _NO_LOGPROBS)[len(part.annotations) :]:
            self._annotate(item, part, annotation)

    def _tell_rest_of_shell(self, item: OpenItem, whole: Any) -> None:
        if item.row.commands:
            commands = value_at(whole, item.row.commands)
            for index in range(item.commands_done, len(commands)):
                told = "".join(item.commands[index]) if index < len(item.commands) else ""
                self._write_command(item, index, _rest(told, commands[index]))
        if item.row.outputs:
            for output in value_at(whole, item.row.outputs)[len(item.outputs) :]:
                self._end_output(item, [output])

    # Parts of messages and reasoning

    def _part(self, key: Key | None, kind: str) -> tuple[OpenItem, OpenPart]:
        """The open part that words of `kind` go to; item and part are opened when they are not."""
        item = self._holder(key, kind)
        part = item.part
        if part is None or part.row is not PARTS[kind]:
            part = self._open_part(item, kind)
        return item, part

    def _holder(self, key: Key | None, kind: str) -> OpenItem:
        """The item that a part of `kind` goes to."""
        slot = _SLOTS[kind] if key is None else key
        return self._keys.get(slot) or self._open(slot, _IMPLIED[_SLOTS[kind]]())

    def _open_part(self, item: OpenItem, kind: str) -> OpenPart:
        if kind not in item.row.parts:
            raise OutOfOrder(f"an item of type {item.kind} holds no part of type {kind}")
        self._close_part(item)
        row = PARTS[kind]
        place = {row.index: len(getattr(item, row.place))}
        self._emit_of(item, row.added, part=msgspec.structs.replace(row.empty), **place)
        assert item.part is not None
        return item.part

    def _close_part(self, item: OpenItem) -> None:
        part = item.part
        if part is None:
            return
        if not part.written:
            tokens = {"logprobs": part.logprobs} if part.row is _TEXT else {}
            self._emit_in(item, part, part.row.done, **{part.row.text: part.text}, **tokens)
        self._emit_in(item, part, part.row.closed, part=part.value())

    def _tell_text(self, delta: deltas.Text) -> None:
        """The hot one: it says what `_say` says, without looking anything up twice."""
        key = delta.key
        item = self._keys.get(_MESSAGE if key is None else key)
        part = None if item is None else item.part
        if item is None or part is None or part.row is not _TEXT:
            item, part = self._part(key, "output_text")
        if delta.logprobs:
            self._say(item, part, delta.text, delta.logprobs)
            return
        fold = self.fold
        self._out.append(
            events.OutputTextDelta(
                sequence_number=fold.next,
                item_id=item.id,
                output_index=item.index,
                content_index=part.index,
                delta=delta.text,
                logprobs=_NO_LOGPROBS,
            )
        )
        fold.say(part, delta.text)

    def _tell_words(self, delta: deltas.Refusal | deltas.Reasoning | deltas.Summary) -> None:
        item, part = self._part(delta.key, _WORDS[type(delta)])
        fold, row = self.fold, part.row
        place = {row.index: part.index}
        self._out.append(
            row.delta(sequence_number=fold.next, item_id=item.id, output_index=item.index, delta=delta.text, **place)
        )
        fold.say(part, delta.text)

    def _say(self, item: OpenItem, part: OpenPart, text: str, tokens: Sequence[Any] = ()) -> None:
        fields = {"logprobs": logprobs.of_an_event(tokens)} if part.row is _TEXT else {}
        self._emit_in(item, part, part.row.delta, delta=text, **fields)

    def _tell_part_started(self, delta: deltas.PartStarted) -> None:
        self._open_part(self._holder(delta.key, delta.kind), delta.kind)

    def _tell_annotated(self, delta: deltas.Annotated) -> None:
        self._annotate(*self._part(delta.key, "output_text"), delta.annotation)

    def _annotate(self, item: OpenItem, part: OpenPart, annotation: Any) -> None:
        """Tell an annotation, if it is of a kind that we know: nobody could read another back from the log."""
        known = _known(annotation, Annotation)
        if known is not None:
            place = {"annotation_index": len(part.annotations)}
            self._emit_in(item, part, events.OutputTextAnnotationAdded, annotation=known, **place)

    # Calls and hosted tools

    def _tell_arguments(self, delta: deltas.Arguments) -> None:
        item = self._item(delta.key)
        if item.written or (not item.pieces and not item.is_writable):
            raise OutOfOrder(f"nothing more can be written into this item of type {item.kind}")
        self._grow(item, delta.text)

    def _grow(self, item: OpenItem, text: str) -> None:
        growth = item.row.growth
        assert growth is not None
        place = {"item_id": item.id, "output_index": item.index}
        self._tell(growth.delta(sequence_number=self.fold.next, delta=text, **place))

    def _close_growth(self, item: OpenItem) -> None:
        growth = item.row.growth
        if growth is not None and not item.written and (item.pieces or not growth.optional):
            self._emit_of(item, growth.done, **{growth.value: item.text})

    def _tell_progress(self, delta: deltas.Progress) -> None:
        item = self._item(delta.key)
        if delta.step in item.row.closing:
            self._close_growth(item)
            self._tell_closing(item, delta.step)
        elif delta.step in item.row.steps:
            self._tell_step(item, delta.step, delta.fields)

    def _tell_step(self, item: OpenItem, step: str, fields: dict[str, Any]) -> None:
        """Tell a step, unless it comes too late, or again with nothing to say."""
        words = list(item.row.steps)
        later = words[words.index(step) + 1 :]
        if item.ended or any(word in item.steps for word in later) or (step in item.steps and not fields):
            return
        self._close_growth(item)
        kind = item.row.steps[step]
        counted = {f"{step}_index": item.steps.get(step, 0)} if f"{step}_index" in kind.__struct_fields__ else {}
        self._tell(self._event(item, {**fields, **counted, "type": kind.__struct_config__.tag}, kind))

    def _event(self, item: OpenItem, fields: dict[str, Any], kind: type[Any]) -> Event:
        """An event of an item with fields that its source gave."""
        place = {"sequence_number": self.fold.next, "item_id": item.id, "output_index": item.index}
        event: Event | None = _known({**fields, **place}, kind)
        if event is None:
            raise OutOfOrder(f"the event {fields['type']} lacks what it must have")
        return event

    def _tell_command(self, delta: deltas.Command) -> None:
        self._write_command(self._item(delta.key), delta.index, delta.text)

    def _write_command(self, item: OpenItem, index: int, text: str) -> None:
        if not item.row.commands or not item.commands_done <= index <= len(item.commands):
            raise OutOfOrder(f"an item of type {item.kind} is not at command {index}")
        if index == len(item.commands):
            self._end_command(item)
            self._emit(events.ShellCallCommandAdded, output_index=item.index, command_index=index, command="")
        if text:
            self._emit(events.ShellCallCommandDelta, output_index=item.index, command_index=index, delta=text)

    def _end_command(self, item: OpenItem) -> None:
        index = item.commands_done
        if index < len(item.commands):
            command = "".join(item.commands[index])
            self._emit(events.ShellCallCommandDone, output_index=item.index, command_index=index, command=command)

    def _tell_command_output(self, delta: deltas.CommandOutput) -> None:
        item = self._item(delta.key)
        if not item.row.outputs or delta.index != item.outputs_done:
            raise OutOfOrder(f"an item of type {item.kind} is not at the output of command {delta.index}")
        if delta.output is not None:
            self._end_output(item, delta.output)
        else:
            self._print(item, {"stdout": delta.stdout, "stderr": delta.stderr})

    def _print(self, item: OpenItem, texts: dict[str, str | None]) -> None:
        if said := {stream: text for stream, text in texts.items() if text}:
            delta = events.ShellDelta(**said)
            self._emit_of(item, events.ShellCallOutputContentDelta, command_index=item.outputs_done, delta=delta)

    def _end_output(self, item: OpenItem, output: Sequence[Any]) -> None:
        """End the output of a command, whose last form may hold more than was told of it."""
        known = [entry for entry in (_known(each, ShellOutput) for each in output) if entry is not None]
        whole = {stream: "".join(getattr(entry, stream) for entry in known) for stream in STREAMS}
        told = {stream: "".join(item.printed.get(stream, ())) for stream in STREAMS}
        self._print(item, {stream: _rest(told[stream], whole[stream]) for stream in STREAMS})
        self._emit_of(item, events.ShellCallOutputContentDone, command_index=item.outputs_done, output=known)

    def _tell_opaque(self, delta: deltas.Opaque) -> None:
        """Tell an event as it is. A top-level `error` is left out: the official SDK would end the stream there."""
        item = self._item(delta.key)
        name = delta.event.get("type")
        if not isinstance(name, str) or (name in EVENTS and name not in _OF_NO_ITEM):
            raise OutOfOrder(f"an event of type {name!r} is not told as it is")
        fields = {key: value for key, value in delta.event.items() if key != "error"}
        place = {"sequence_number": self.fold.next, "item_id": item.id, "output_index": item.index}
        self._tell(self._event(item, fields, _OF_NO_ITEM[name]) if name in _OF_NO_ITEM else Opaque({**fields, **place}))

    # The turn as a whole

    def _tell_usage(self, delta: deltas.Usage) -> None:
        self.usage = delta.usage if self.usage is None else added(self.usage, delta.usage)

    def _tell_settled(self, delta: deltas.Settled) -> None:
        if ours := delta.fields.keys() - _SETTLEABLE:
            raise OutOfOrder(f"not settings of a response that a model settles: {', '.join(sorted(ours))}")
        self._settled |= delta.fields

    def _tell_nothing(self, delta: deltas.Noted) -> None:
        """A fact: the engine writes it beside the events."""

    def _tell_finished(self, delta: deltas.Finished) -> None:
        self._end_turn(delta.incomplete)


def _parts_at(item: Any, place: str) -> list[Any]:
    """The parts in a list of an item; a string is one of text."""
    value = value_at(item, (place,))
    if isinstance(value, str):
        return [OutputText(text=value)] if value else []
    return value or []


def _rest(told: str, whole: str) -> str:
    """What is missing of a whole after what was told; nothing if that is not its beginning."""
    return whole[len(told) :] if whole.startswith(told) else ""


def _known(value: Any, kind: Any) -> Any:
    """A value as one of a type; None if it is not."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None


_TELL: dict[type[Any], Callable[[Machine, Any], None]] = {
    deltas.Text: Machine._tell_text,
    deltas.Refusal: Machine._tell_words,
    deltas.Reasoning: Machine._tell_words,
    deltas.Summary: Machine._tell_words,
    deltas.PartStarted: Machine._tell_part_started,
    deltas.ItemStarted: Machine._tell_item_started,
    deltas.Arguments: Machine._tell_arguments,
    deltas.Command: Machine._tell_command,
    deltas.CommandOutput: Machine._tell_command_output,
    deltas.Progress: Machine._tell_progress,
    deltas.Annotated: Machine._tell_annotated,
    deltas.ItemDone: Machine._tell_item_done,
    deltas.Opaque: Machine._tell_opaque,
    deltas.Usage: Machine._tell_usage,
    deltas.Settled: Machine._tell_settled,
    deltas.Noted: Machine._tell_nothing,
    deltas.Finished: Machine._tell_finished,
}
