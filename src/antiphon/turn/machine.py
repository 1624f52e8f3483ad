"""Machine: the grammar. Deltas and the progress of tools go in, numbered protocol events come out.

Sans-I/O, in the manner of h11: no clock, no randomness, no sockets; times and ids are arguments. This is the only code
that constructs an event, and `_tell` is the only place through which one leaves. The state of a response is its fold;
what the machine adds is which backend key means which open item.

    machine = Machine(new_id)
    events  = machine.create(response)          # response.created, and response.queued for a background one
    events += machine.begin()                   # response.in_progress
    events += machine.feed(deltas)              # as often as the model speaks
    events += machine.finish(at)                # the terminal event, exactly one

A response is in one of four states, and each method is allowed in some of them:

    state     create   begin    feed, close   finish, fail
    new       → made
    made               → told                 → over
    told                        told          → over
    over

`Machine.resume` rebuilds a machine from the fold of a log that was cut anywhere; what it emits continues the log.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from antiphon.turn import deltas
from antiphon.turn.deltas import Delta, IncompleteReason, Key
from antiphon.turn.fold import Fold, OpenItem, OpenPart, text_at, with_id
from antiphon.turn.writers import PARTS, outcome, row
from antiphon.wire import events
from antiphon.wire.events import Event
from antiphon.wire.items import Message, Reasoning
from antiphon.wire.response import (
    IncompleteDetails,
    InputTokensDetails,
    OutputTokensDetails,
    Response,
    ResponseError,
    Usage,
)
from antiphon.wire.struct import Opaque, type_of

NewId = Callable[[str], str]
"""Makes an id from a prefix: `msg` → `msg_5f…`."""

_MESSAGE: Key = "\0message"
_REASONING: Key = "\0reasoning"
_IMPLIED = (_MESSAGE, _REASONING)
_NO_LOGPROBS: list[Any] = []


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

    def take_up(self, item: OpenItem) -> None:
        """Go on within an open message of the log: the next words without a key are its."""
        self._keys[_MESSAGE] = item

    # The life of a response

    def create(self, response: Response) -> list[Event]:
        """The first events: `created`, and `queued` if that is the response's status."""
        self._emit(events.ResponseCreated, response=response)
        if response.status == "queued":
            self._emit(events.ResponseQueued, response=response)
        return self._take()

    def begin(self) -> list[Event]:
        """`in_progress`; nothing if that was told before the log was cut."""
        if self.fold.snapshot.status == "queued" or self.fold.next == 1:
            response = msgspec.structs.replace(self.fold.snapshot, status="in_progress")
            self._emit(events.ResponseInProgress, response=response)
        return self._take()

    def feed(self, batch: Sequence[Delta]) -> list[Event]:
        """Tell a batch of deltas."""
        for delta in batch:
            _TELL[type(delta)](self, delta)
        return self._take()

    def close(self, incomplete: IncompleteReason | None = None, *, cut: bool = False) -> list[Event]:
        """End a turn: every open item is done, as `incomplete` if the turn was cut."""
        self._end_turn(incomplete, cut=cut)
        return self._take()

    def finish(self, at: int) -> list[Event]:
        """The terminal event: `completed` at a Unix time in seconds, or `incomplete` if the last turn was cut."""
        self._end_turn(self.incomplete)
        if self.incomplete is None:
            response = self._final(status="completed", completed_at=at)
            self._emit(events.ResponseCompleted, response=response)
        else:
            details = IncompleteDetails(reason=self.incomplete)
            response = self._final(status="incomplete", incomplete_details=details)
            self._emit(events.ResponseIncomplete, response=response)
        return self._take()

    def fail(self, error: ResponseError) -> list[Event]:
        """The terminal event `failed`. Open items stay open, so that nobody takes half a call for a whole one."""
        self._emit(events.ResponseFailed, response=self._final(status="failed", error=error))
        return self._take()

    def _final(self, **fields: Any) -> Response:
        return msgspec.structs.replace(self.fold.response(), usage=self.usage, **self._settled, **fields)

    # The one way out

    def _emit(self, kind: type[Any], **fields: Any) -> None:
        self._tell(kind(sequence_number=self.fold.next, **fields))

    def _tell(self, event: Event) -> None:
        self.fold.apply(event)
        self._out.append(event)

    def _take(self) -> list[Event]:
        out, self._out = self._out, []
        return out

    # Items

    def _open(self, key: Key, item: Any) -> OpenItem:
        for implied in _IMPLIED:
            if implied in self._keys and implied != key:
                self._close_item(implied)
        index = len(self.fold.items)
        if not item.id:
            item = with_id(item, self._new_id(row(type_of(item)).prefix))
        self._emit(events.OutputItemAdded, output_index=index, item=item)
        opened = self._keys[key] = self.fold.open[index]
        for event in opened.row.opening:
            self._emit(event, item_id=opened.id, output_index=index)
        return opened

    def _close_item(self, key: Key, final: Any = None) -> None:
        self._finish_item(self._keys.pop(key), final, "completed" if final is None else outcome(final))

    def _finish_item(self, item: OpenItem, final: Any, status: str) -> None:
        """The last events of an item. `final` is its form as its source gave it, else it is what was said."""
        if final is not None:
            self._tell_rest(item, final)
        self._close_part(item)
        self._end_command(item)
        self._close_growth(item)
        if status != "incomplete":
            self._tell_closing(item, status)
        self._emit(events.OutputItemDone, output_index=item.index, item=item.finished(final, status))

    def _tell_rest(self, item: OpenItem, final: Any) -> None:
        """Tell what the final form of an item holds and no delta told."""
        for place in ("content", "summary"):
            told = len(item.parts(place))
            for part in (getattr(final, place, None) or [])[told:]:
                self._tell_whole_part(item, part)
        if (growth := item.row.growth) is not None and not item.written:
            whole = text_at(final, growth.field)
            if whole.startswith(item.text) and len(whole) > len(item.text):
                self._grow(item, whole[len(item.text) :])
        if item.kind == "shell_call":
            for index, command in enumerate(final.action.commands[len(item.commands) :], len(item.commands)):
                self._tell_command_text(item, index, command)
        if item.kind == "shell_call_output":
            for index, output in enumerate(final.output[len(item.outputs) :], len(item.outputs)):
                self._end_output(item, index, [output])

    def _tell_whole_part(self, item: OpenItem, part: Any) -> None:
        kind = part.__struct_config__.tag
        opened = self._open_part(item, kind)
        logprobs = {"logprobs": part.logprobs or _NO_LOGPROBS} if kind == "output_text" else {}
        if text := getattr(part, opened.row.text):
            place = {"item_id": item.id, "output_index": item.index, opened.row.index: opened.index}
            self._emit(opened.row.delta, **place, delta=text, **logprobs)
        for annotation in getattr(part, "annotations", None) or ():
            self._annotate(item, opened, annotation)
        self._close_part(item)

    def _tell_closing(self, item: OpenItem, result: str) -> None:
        event = item.row.closing.get(result)
        if event is None or item.ended:
            return
        needed = item.row.before_closing
        if needed is not None and needed not in item.steps:
            self._emit(item.row.steps[needed], item_id=item.id, output_index=item.index)
        self._emit(event, item_id=item.id, output_index=item.index)

    def _end_turn(self, incomplete: IncompleteReason | None, *, cut: bool = False) -> None:
        self.incomplete = incomplete
        self._keys.clear()
        status = "incomplete" if incomplete or cut else "completed"
        for item in list(self.fold.open.values()):
            self._finish_item(item, None, status)

    # Parts of messages and reasoning

    def _part(self, key: Key | None, kind: str) -> tuple[OpenItem, OpenPart]:
        """The open part that words of `kind` go to; item and part are opened when they are not."""
        item = self._keys.get(key if key is not None else _implied(kind)) or self._open_implied(key, kind)
        part = item.part
        if part is None or part.row is not PARTS[kind]:
            part = self._open_part(item, kind)
        return item, part

    def _open_implied(self, key: Key | None, kind: str) -> OpenItem:
        slot = key if key is not None else _implied(kind)
        if kind in ("reasoning_text", "summary_text"):
            return self._open(slot, Reasoning(id=self._new_id("rs"), summary=[], status="in_progress"))
        message = Message(id=self._new_id("msg"), role="assistant", status="in_progress", content=[])
        return self._open(slot, message)

    def _open_part(self, item: OpenItem, kind: str) -> OpenPart:
        self._close_part(item)
        row = PARTS[kind]
        self._emit(
            row.added,
            item_id=item.id,
            output_index=item.index,
            part=msgspec.structs.replace(row.empty),
            **{row.index: len(getattr(item, row.place))},
        )
        assert item.part is not None
        return item.part

    def _close_part(self, item: OpenItem) -> None:
        part = item.part
        if part is None:
            return
        place = {"item_id": item.id, "output_index": item.index, part.row.index: part.index}
        logprobs = {"logprobs": part.logprobs} if part.row.done is events.OutputTextDone else {}
        done = {part.row.text: part.text} if part.row.text == "refusal" else {"text": part.text}
        self._emit(part.row.done, **place, **done, **logprobs)
        self._emit(part.row.closed, **place, part=part.value())

    def _tell_text(self, delta: deltas.Text) -> None:
        item, part = self._part(delta.key, "output_text")
        self._emit(
            events.OutputTextDelta,
            item_id=item.id,
            output_index=item.index,
            content_index=part.index,
            delta=delta.text,
            logprobs=delta.logprobs or _NO_LOGPROBS,
        )

    def _tell_words(self, kind: str, delta: deltas.Refusal | deltas.Reasoning | deltas.Summary) -> None:
        item, part = self._part(delta.key, kind)
        self._emit(
            part.row.delta, item_id=item.id, output_index=item.index, delta=delta.text, **{part.row.index: part.index}
        )

    def _tell_refusal(self, delta: deltas.Refusal) -> None:
        self._tell_words("refusal", delta)

    def _tell_reasoning(self, delta: deltas.Reasoning) -> None:
        self._tell_words("reasoning_text", delta)

    def _tell_summary(self, delta: deltas.Summary) -> None:
        self._tell_words("summary_text", delta)

    def _tell_part_started(self, delta: deltas.PartStarted) -> None:
        slot = delta.key if delta.key is not None else _implied(delta.kind)
        item = self._keys.get(slot) or self._open_implied(delta.key, delta.kind)
        self._open_part(item, delta.kind)

    def _tell_annotated(self, delta: deltas.Annotated) -> None:
        self._annotate(*self._part(delta.key, "output_text"), delta.annotation)

    def _annotate(self, item: OpenItem, part: OpenPart, annotation: Any) -> None:
        self._emit(
            events.OutputTextAnnotationAdded,
            item_id=item.id,
            output_index=item.index,
            content_index=part.index,
            annotation_index=len(part.annotations),
            annotation=annotation,
        )

    # Calls and hosted tools

    def _tell_item_started(self, delta: deltas.ItemStarted) -> None:
        self._open(delta.key, delta.item)

    def _tell_arguments(self, delta: deltas.Arguments) -> None:
        self._grow(self._keys[delta.key], delta.text)

    def _grow(self, item: OpenItem, text: str) -> None:
        growth = item.row.growth
        assert growth is not None, f"{item.kind} has nothing to write into"
        self._emit(growth.delta, item_id=item.id, output_index=item.index, delta=text)

    def _close_growth(self, item: OpenItem) -> None:
        growth = item.row.growth
        if growth is not None and not item.written and (item.pieces or not growth.optional):
            self._emit(growth.done, item_id=item.id, output_index=item.index, **{growth.value: item.text})

    def _tell_progress(self, delta: deltas.Progress) -> None:
        item = self._keys[delta.key]
        if delta.step in item.row.closing:
            self._close_growth(item)
            self._tell_closing(item, delta.step)
        elif (event := item.row.steps.get(delta.step)) is not None:
            self._close_growth(item)
            self._emit(event, item_id=item.id, output_index=item.index, **delta.fields)

    def _tell_command(self, delta: deltas.Command) -> None:
        self._tell_command_text(self._keys[delta.key], delta.index, delta.text)

    def _tell_command_text(self, item: OpenItem, index: int, text: str) -> None:
        if index == len(item.commands):
            self._end_command(item)
            self._emit(events.ShellCallCommandAdded, output_index=item.index, command_index=index, command="")
        self._emit(events.ShellCallCommandDelta, output_index=item.index, command_index=index, delta=text)

    def _end_command(self, item: OpenItem) -> None:
        if item.commands:
            index = len(item.commands) - 1
            command = "".join(item.commands[index])
            self._emit(events.ShellCallCommandDone, output_index=item.index, command_index=index, command=command)

    def _tell_command_output(self, delta: deltas.CommandOutput) -> None:
        item = self._keys[delta.key]
        if delta.output is not None:
            self._end_output(item, delta.index, delta.output)
            return
        said = {"stdout": delta.stdout, "stderr": delta.stderr}
        self._emit(
            events.ShellCallOutputContentDelta,
            item_id=item.id,
            output_index=item.index,
            command_index=delta.index,
            delta={stream: text for stream, text in said.items() if text is not None},
        )

    def _end_output(self, item: OpenItem, index: int, output: list[Any]) -> None:
        self._emit(
            events.ShellCallOutputContentDone,
            item_id=item.id,
            output_index=item.index,
            command_index=index,
            output=output,
        )

    def _tell_item_done(self, delta: deltas.ItemDone) -> None:
        self._close_item(delta.key, delta.item)

    def _tell_opaque(self, delta: deltas.Opaque) -> None:
        item = self._keys[delta.key]
        place = {"sequence_number": self.fold.next, "item_id": item.id, "output_index": item.index}
        self._tell(Opaque({**delta.event, **place}))

    # The turn as a whole

    def _tell_usage(self, delta: deltas.Usage) -> None:
        self.usage = delta.usage if self.usage is None else added(self.usage, delta.usage)

    def _tell_settled(self, delta: deltas.Settled) -> None:
        self._settled |= delta.fields

    def _tell_nothing(self, delta: deltas.Noted) -> None:
        """A fact: the engine writes it beside the events."""

    def _tell_finished(self, delta: deltas.Finished) -> None:
        self._end_turn(delta.incomplete)


def _implied(kind: str) -> Key:
    return _REASONING if kind in ("reasoning_text", "summary_text") else _MESSAGE


def added(one: Usage, other: Usage) -> Usage:
    """The sum of two turns' tokens."""
    inputs, outputs = one.input_tokens_details, one.output_tokens_details
    return Usage(
        input_tokens=one.input_tokens + other.input_tokens,
        input_tokens_details=InputTokensDetails(
            cached_tokens=inputs.cached_tokens + other.input_tokens_details.cached_tokens,
            cache_write_tokens=inputs.cache_write_tokens + other.input_tokens_details.cache_write_tokens,
        ),
        output_tokens=one.output_tokens + other.output_tokens,
        output_tokens_details=OutputTokensDetails(
            reasoning_tokens=outputs.reasoning_tokens + other.output_tokens_details.reasoning_tokens
        ),
        total_tokens=one.total_tokens + other.total_tokens,
    )


_TELL: dict[type[Any], Callable[[Machine, Any], None]] = {
    deltas.Text: Machine._tell_text,
    deltas.Refusal: Machine._tell_refusal,
    deltas.Reasoning: Machine._tell_reasoning,
    deltas.Summary: Machine._tell_summary,
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
