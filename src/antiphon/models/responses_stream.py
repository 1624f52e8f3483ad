"""What a Responses server says, as deltas. Sans-I/O: events of a stream (or one JSON body) in, deltas out.

Our machine tells the response again, with our numbers and ids. Nothing is forwarded, and what an upstream does wrong is
not passed on: items that were not opened, deltas left out of a text that ends with them, events told twice, ids that
change. The key of an item is the upstream's `output_index`. A failure does not throw away what was said before it in
the same read: it is kept in `failure`, for after those deltas.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from antiphon.models import responses_events as heard
from antiphon.models.responses_end import Fields, field, incomplete_reason, refusal, settled, usage_of
from antiphon.models.responses_ids import NO_MARK, ours
from antiphon.models.responses_items import annotation, as_known, begun, received, without_id
from antiphon.models.responses_open import (
    OpenItem,
    OpenPart,
    advances,
    is_answer,
    listed,
    missing,
    renamed,
    texts_of,
    with_bytes,
)
from antiphon.turn import deltas
from antiphon.turn.deltas import (
    Annotated,
    Arguments,
    Command,
    CommandOutput,
    Delta,
    ItemDone,
    ItemStarted,
    Noted,
    PartKind,
    PartStarted,
    Progress,
    Text,
)
from antiphon.turn.fold import text_at
from antiphon.turn.writers import WRITERS, row
from antiphon.wire.errors import APIError, UpstreamMalformed
from antiphon.wire.events import ImageGenerationCallPartialImage
from antiphon.wire.items import ITEMS, Item, Message, Reasoning, ShellOutput
from antiphon.wire.read import OBJECT, RAW_ARRAY, RAW_OBJECT
from antiphon.wire.response import Usage
from antiphon.wire.sse import SSEvent
from antiphon.wire.struct import tag_of, type_of

__all__ = ["ResponseReader"]

Decode: TypeAlias = Callable[[bytes], Any]


class ResponseReader:
    """Reads one answer.

        batch = reader.feed(events)      # for each network read, until `ended` or a `failure`
        batch += reader.finish(usage)    # the last words; `reader.usage` is the upstream's own count, if it gave one

    `asked` are the parameters that the request had, `fault` says what an error object means.
    """

    def __init__(
        self, *, fault: Callable[[Any], APIError], mark: str = NO_MARK, asked: Collection[str] = frozenset()
    ) -> None:
        self.ended = False
        """Whether the terminal event was read. Nothing after it counts."""
        self.failure: APIError | None = None
        self.usage: Usage | None = None
        self.heard = False
        """Whether anything of a response was read."""
        self.is_cut = False
        """Whether it is the connection that failed, and not the answer."""
        self._fault = fault
        self._mark = mark
        self._asked = asked
        self._out: list[Delta] = []
        self._items: dict[int | None, OpenItem] = {}
        self._told: set[int] = set()
        self._count = 0
        self._acted = False
        self._indexes: dict[str, int] = {}
        self._lost: set[int] = set()
        self._words: list[list[str]] = []
        self._thoughts: list[list[str]] = []
        self._noted: dict[str, Any] = {}
        self._settled: dict[str, Any] = {}
        self._incomplete: deltas.IncompleteReason | None = None
        self._next = 0
        self._is_numbered = True
        self._before: Sequence[SSEvent] = ()

    def feed(self, events: Sequence[SSEvent]) -> list[Delta]:
        """The deltas of some events. After a failure there are no more."""
        out = self._out = []
        try:
            for event in events:
                name, data = event
                decode, tell = _ROWS.get(name) or _row_of(name, data)
                told = decode(data)
                number = told.sequence_number
                if number is not None:
                    if number < self._next and self._is_repeated(event, events):
                        continue
                    self._next = number + 1
                tell(self, told)
                if self.ended:
                    break
        except APIError as error:
            self.failure = error
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            self.failure = _malformed(error)
        self._before = events
        return out

    def lose(self, error: APIError) -> None:
        """The connection is lost."""
        self.failure = error
        self.is_cut = True

    def mend(self) -> None:
        """Another connection goes on behind `resume_point`."""
        self.failure = None
        self.is_cut = False
        self._before = ()

    @property
    def resume_point(self) -> tuple[str, int] | None:
        """The upstream's id of the response, and the number of the last event; None before the first, or without."""
        response_id = self._noted.get("upstream_response_id")
        return (response_id, self._next - 1) if response_id and self._is_numbered and self._next else None

    def whole(self, body: bytes) -> list[Delta]:
        """The deltas of a response that came as one JSON body, though a stream was asked for."""
        self._out = []
        try:
            fields = RAW_OBJECT.decode(body)
            if field(fields, "object", str) != "response" and "output" not in fields:
                raise self._no_response(fields)
            self._end(fields, field(fields, "status", str))
        except APIError as error:
            self.failure = error
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            self.failure = _malformed(error)
        return self._out

    def finish(self, usage: Usage) -> list[Delta]:
        """The last words of a response that ended well."""
        facts: list[Delta] = [deltas.Settled(self._settled)] if self._settled else []
        return [deltas.Usage(usage), *facts, deltas.Finished(self._incomplete)]

    @property
    def spoke(self) -> bool:
        """Whether any output was told that is worth keeping: a message that was opened and has no words is not."""
        return self._acted or any(self._words) or any(self._thoughts)

    @property
    def over(self) -> bool:
        """Whether nothing more will be told."""
        return self.ended or self.failure is not None

    @property
    def words(self) -> list[str]:
        """The texts that were said or written, for counting them where the upstream does not."""
        return ["".join(pieces) for pieces in self._words]

    @property
    def thoughts(self) -> list[str]:
        """The same of reasoning."""
        return ["".join(pieces) for pieces in self._thoughts]

    def _is_repeated(self, event: SSEvent, events: Sequence[SSEvent]) -> bool:
        """Whether an event with a number that was there before is the very same event: then it was sent twice.

        If it is another one, this upstream numbers in a way of its own, and numbers are not looked at any more.
        """
        if not self._is_numbered:
            return False
        self._is_numbered = event in self._before or events[events.index(event)] is not event
        return self._is_numbered

    # Items

    def _place(self, event: heard.Heard) -> int:
        """The output_index of an event; for careless upstreams that of its item, else that of the newest."""
        if event.output_index is not None:
            return event.output_index
        newest = max(self._told, default=0)
        return self._indexes.get(ours(event.item_id, self._mark), newest) if event.item_id else newest

    def _start(self, index: int, item: Item) -> OpenItem:
        opened = self._items[index] = OpenItem(index, item, listed(self._words), is_partial=index in self._lost)
        self._told.add(index)
        self._count += 1
        self._acted = self._acted or not isinstance(item, Message)
        if item.id in self._indexes:
            item = without_id(item)  # two items with one id: the machine gives this one another
        elif item.id:
            self._indexes[item.id] = index
        self._out.append(ItemStarted(index, begun(item)))
        return opened

    def _item_added(self, event: heard.Item) -> None:
        item = received(event.item, self._mark)
        if item is None:
            raise UpstreamMalformed("The upstream began an item that cannot be read.")
        index = len(self._told) if event.output_index is None else event.output_index
        if index in self._told:
            if index in self._items if not item.id else self._indexes.get(item.id) == index:
                return
            self._close(index)  # two items with one index: what comes now is the second one's
        if is_answer(item):
            self._start(index, item)
        else:
            self._told.add(index)
            self._count += 1

    def _item_done(self, event: heard.Item) -> None:
        index = self._place(event)
        self._complete(index, received(event.item, self._mark))

    def _complete(self, index: int, item: Item | None) -> None:
        """End an item as its source says that it is, and tell what was not told of it."""
        opened = self._items.get(index)
        if opened is None:
            if item is None or index in self._told or not is_answer(item):
                return
            opened = self._start(index, item)
        if item is None or type_of(item) != opened.kind:
            self._close(index)
            return
        self._catch_up(opened, item)
        del self._items[index]
        self._out.append(ItemDone(index, renamed(item, opened.names)))

    def _close(self, index: int) -> None:
        """End an item as it was said."""
        if self._items.pop(index, None) is not None:
            self._out.append(ItemDone(index))

    def _catch_up(self, opened: OpenItem, item: Any) -> None:
        """Tell what is missing of the part that is open. The machine tells what else the item holds."""
        part = opened.part
        if part is not None:
            parts = item.summary if part.kind == "summary_text" else item.content
            if isinstance(parts, list) and part.index < len(parts):
                final = parts[part.index]
                self._rest(opened, part, text_at(final, ("text",)) or text_at(final, ("refusal",)))
                self._cite_rest(opened, part, getattr(final, "annotations", ()))
        elif opened.kind == "shell_call_output" and opened.printed < len(item.output):
            self._end_printed(opened, [item.output[opened.printed]])
        elif not opened.pieces:
            (self._thoughts if opened.kind == "reasoning" else self._words).append(texts_of(item))

    # Parts

    def _part(self, event: heard.Heard, kind: PartKind, index: int) -> tuple[OpenItem, OpenPart] | None:
        """The part that words belong to, opened if need be; None if it is over, or not to be told."""
        opened = self._items.get(self._place(event)) or self._begin(event, kind)
        if opened is None or opened.kind != _OWNERS[kind]:
            return None
        part = opened.part
        if part is None or part.index != index or part.kind != kind:
            place = (kind == "summary_text", index)
            if place in opened.seen:
                return None
            opened.seen.add(place)
            texts = self._thoughts if opened.kind == "reasoning" else self._words
            part = opened.part = OpenPart(kind, index, listed(texts))
            self._out.append(PartStarted(kind, opened.key))
        return opened, part

    def _begin(self, event: heard.Heard, kind: PartKind) -> OpenItem | None:
        """Start the item that words belong to, if it was not opened and is not over."""
        index = self._place(event)
        if index in self._told:
            return None
        own: dict[str, Any] = {"id": ours(event.item_id, self._mark)} if event.item_id else {}
        if _OWNERS[kind] == "reasoning":
            return self._start(index, Reasoning(**own, summary=[]))
        return self._start(index, Message(**own, role="assistant", status="in_progress", content=[]))

    def _text(self, event: heard.TextDelta) -> None:
        opened = self._items.get(event.output_index)
        part = opened.part if opened is not None else None
        if opened is None or part is None or part.index != event.content_index or part.kind != "output_text":
            found = self._part(event, "output_text", event.content_index)
            if found is None:
                return
            opened, part = found
        part.pieces.append(event.delta)
        self._out.append(Text(event.delta, opened.key, with_bytes(event.logprobs) if event.logprobs else None))

    def _say(self, kind: PartKind, event: heard.Words | heard.WordsDone, text: str | None, *, all_of_it: bool) -> None:
        index = event.summary_index if kind == "summary_text" else event.content_index
        found = self._part(event, kind, index)
        if found is None or text is None:
            return
        opened, part = found
        if all_of_it:
            self._rest(opened, part, text)
        else:
            part.pieces.append(text)
            self._out.append(_WORDS[kind](text, opened.key))

    def _rest(self, opened: OpenItem, part: OpenPart, text: str) -> None:
        """Tell what the whole text has over what was said of it."""
        if rest := missing(part.pieces, text):
            part.pieces.append(rest)
            self._out.append(_WORDS[part.kind](rest, opened.key))

    def _part_added(self, event: heard.Part) -> None:
        kind = _PART_KINDS.get(event.part.type)
        if kind is not None:
            self._part(event, kind, event.content_index)

    def _summary_added(self, event: heard.Part) -> None:
        self._part(event, "summary_text", event.summary_index)

    def _part_done(self, event: heard.Part) -> None:
        sent = event.part
        kind = _PART_KINDS.get(sent.type)
        index = event.summary_index if kind == "summary_text" else event.content_index
        if kind is not None and (found := self._part(event, kind, index)) is not None:
            opened, part = found
            self._rest(opened, part, sent.text or sent.refusal or "")
            self._cite_rest(opened, part, [annotation(each) for each in sent.annotations or ()])

    def _cite(self, event: heard.Citation) -> None:
        found = self._part(event, "output_text", event.content_index)
        if found is not None and event.annotation is not None:
            opened, part = found
            part.cited += 1
            self._out.append(Annotated(annotation(event.annotation), opened.key))

    def _cite_rest(self, opened: OpenItem, part: OpenPart, annotations: Sequence[Any]) -> None:
        self._out += [Annotated(each, opened.key) for each in annotations[part.cited :]]
        part.cited = max(part.cited, len(annotations))

    # Calls and hosted tools

    def _grow(self, event: heard.GrowthDelta) -> None:
        index = self._place(event)
        opened = self._items.get(index)
        if opened is None:
            self._lost.add(index)
        elif row(opened.kind).growth is not None and not opened.is_partial and not opened.is_written:
            opened.pieces.append(event.delta)
            self._out.append(Arguments(index, event.delta))

    def _grown(self, event: heard.GrowthDone) -> None:
        opened = self._items.get(self._place(event))
        if opened is None or row(opened.kind).growth is None or opened.is_written:
            return
        if rest := missing(opened.pieces, event.text):
            opened.pieces.append(rest)
            self._out.append(Arguments(opened.key, rest))
        opened.is_written = True

    def _step(self, step: str, event: heard.Heard, fields: dict[str, Any]) -> None:
        """A hosted tool moves on. As long as its call is not written out, a step would end the writing too early."""
        opened = self._items.get(self._place(event))
        is_free = opened is not None and (opened.is_written or row(opened.kind).growth is None)
        if opened is not None and is_free and advances(opened, step):
            self._out.append(Progress(opened.key, step, fields))

    def _partial_image(self, event: heard.Loose) -> None:
        opened = self._items.get(self._place(event))
        known = {name: text for name, text in event.fields.items() if name in _IMAGE_FIELDS and isinstance(text, str)}
        if opened is not None and "partial_image_b64" in known:
            self._step("partial_image", event, {**known, "partial_image_index": opened.images})
            opened.images += 1

    def _command(self, event: heard.CommandDelta) -> None:
        self._tell_command(event, event.delta)

    def _command_done(self, event: heard.CommandDelta) -> None:
        opened = self._items.get(self._place(event))
        if opened is not None and event.command is not None:
            said = opened.commands[event.command_index] if event.command_index < len(opened.commands) else []
            self._tell_command(event, missing(said, event.command))

    def _tell_command(self, event: heard.CommandDelta, text: str) -> None:
        """Commands are told in their order; one that was left out is told by the machine when the item is done."""
        opened = self._items.get(self._place(event))
        index = event.command_index
        if (
            opened is None
            or opened.kind != "shell_call"
            or index not in (len(opened.commands) - 1, len(opened.commands))
        ):
            return
        if index == len(opened.commands):
            if opened.commands and not opened.commands[-1]:
                self._out.append(Command(opened.key, index - 1, ""))
            opened.commands.append(listed(self._words))
        if text:
            opened.commands[index].append(text)
            self._out.append(Command(opened.key, index, text))

    def _printed(self, event: heard.OutputDelta) -> None:
        opened = self._items.get(self._place(event))
        if opened is None or opened.kind != "shell_call_output":
            return
        if event.command_index != opened.printed:
            return  # out of order: the machine tells it when the item is done
        if event.output is not None:
            self._end_printed(opened, as_known(event.output, list[ShellOutput]))
        elif event.delta is not None:
            self._print(opened, stdout=event.delta.stdout, stderr=event.delta.stderr)

    def _print(self, opened: OpenItem, **pieces: str | None) -> None:
        told = {name: text for name, text in pieces.items() if text}
        for name, text in told.items():
            opened.printing[name].append(text)
        if told:
            self._out.append(CommandOutput(opened.key, opened.printed, told.get("stdout"), told.get("stderr")))

    def _end_printed(self, opened: OpenItem, output: list[Any]) -> None:
        """The whole output of the next command. Where it is not what was said piece by piece, that stays said."""
        if not output or not isinstance(output[-1], ShellOutput):
            return
        whole = {name: "".join(text_at(each, (name,)) for each in output) for name in opened.printing}
        self._print(opened, **{name: missing(opened.printing[name], text) for name, text in whole.items()})
        said = {name: "".join(pieces) for name, pieces in opened.printing.items()}
        if said != whole:
            output = [msgspec.structs.replace(output[-1], **said)]
        self._out.append(CommandOutput(opened.key, opened.printed, output=output))
        opened.printed += 1
        opened.printing = {"stdout": [], "stderr": []}

    def _unknown(self, event: heard.Loose) -> None:
        """An event of an item of unknown kind is told as it is; all others say nothing about the answer."""
        opened = self._items.get(self._place(event))
        if opened is not None and opened.kind not in ITEMS and "type" in event.fields:
            told = {name: value for name, value in event.fields.items() if name not in _REPLACED}
            self._out.append(deltas.Opaque(opened.key, told))

    # The response as a whole

    def _nothing(self, event: heard.Heard) -> None:
        """An event that is for whoever holds the connection."""

    def _started(self, event: heard.Start) -> None:
        self._note(event.response.id, event.response.model)

    def _note(self, response_id: str | None, model: str | None) -> None:
        self.heard = True
        facts = {"upstream_response_id": response_id, "model": model}
        known = {name: value for name, value in facts.items() if value} | {}
        if known and known != self._noted:
            self._noted = known
            self._out.append(Noted(known))

    def _error(self, event: heard.Loose) -> None:
        """Documented is an error in the event itself, sent one that is an object of its own."""
        inner = event.fields.get("error")
        outer = {name: value for name, value in event.fields.items() if name != "error"}
        raise refusal({**outer, **inner} if isinstance(inner, dict) else event.fields, self._fault)

    def _completed(self, event: heard.Ending) -> None:
        self._over(event, "completed")

    def _cut(self, event: heard.Ending) -> None:
        self._over(event, "incomplete")

    def _failed(self, event: heard.Ending) -> None:
        self._over(event, "failed")

    def _over(self, event: heard.Ending, status: str) -> None:
        fields = RAW_OBJECT.decode(event.response)
        said = field(fields, "status", str)
        self._end(fields, said if status == "completed" and said in ("failed", "incomplete") else status)

    def _end(self, fields: Fields, status: str | None) -> None:
        self._note(field(fields, "id", str), field(fields, "model", str))
        self.usage = usage_of(fields)
        if status not in ("completed", "incomplete"):
            raise self._no_response(fields)
        self._tell_output(RAW_ARRAY.decode(fields["output"]) or [] if "output" in fields else [])
        self._settled = settled(fields, self._asked)
        self._incomplete = incomplete_reason(fields) if status == "incomplete" else None
        self.ended = True

    def _tell_output(self, output: Sequence[msgspec.Raw]) -> None:
        """End the items that are still open as the response has them, and tell those that were never told."""
        untold = len(output) > self._count
        for index, raw in enumerate(output):
            if index in self._items or (untold and index not in self._told):
                self._complete(index, received(raw, self._mark))

    def _no_response(self, fields: Fields) -> APIError:
        """The error of what is no response, or of one that failed or never ended."""
        error = field(fields, "error", dict[str, Any])
        if error is not None:
            return refusal(error, self._fault)
        if "error" in fields and (text := field(fields, "error", str)):
            return self._fault(text)
        return UpstreamMalformed("The upstream's answer is no finished response.")


def _malformed(error: Exception) -> UpstreamMalformed:
    malformed = UpstreamMalformed("The upstream sent an event that cannot be read.")
    malformed.__cause__ = error
    return malformed


# --- The table of events

_OWNERS: Final[dict[PartKind, str]] = {
    "output_text": "message",
    "refusal": "message",
    "reasoning_text": "reasoning",
    "summary_text": "reasoning",
}
"""Kind of part → kind of item that it stands in."""

_PART_KINDS: Final[dict[str | None, PartKind]] = {kind: kind for kind in _OWNERS}

_WORDS: Final[dict[PartKind, Callable[[str, int], Delta]]] = {
    "output_text": Text,
    "refusal": deltas.Refusal,
    "reasoning_text": deltas.Reasoning,
    "summary_text": deltas.Summary,
}

_IMAGE_FIELDS: Final = frozenset(ImageGenerationCallPartialImage.__struct_fields__) - {
    "sequence_number",
    "output_index",
    "item_id",
}
_REPLACED: Final = frozenset({"sequence_number", "output_index", "item_id", "obfuscation"})
"""What the machine says itself, and padding."""


Row: TypeAlias = tuple[Decode, Callable[[ResponseReader, Any], None]]


def _reading(kind: type[Any]) -> Decode:
    return msgspec.json.Decoder(kind).decode


def _loose(data: bytes) -> heard.Loose:
    event = _heard(data)
    return heard.Loose(
        sequence_number=event.sequence_number,
        output_index=event.output_index,
        item_id=event.item_id,
        fields=OBJECT.decode(data),
    )


def _no_event(_: bytes) -> heard.Heard:
    return heard.Heard()


_head: Final = msgspec.json.Decoder(heard.Head).decode
_heard: Final = msgspec.json.Decoder(heard.Heard).decode
_UNKNOWN: Final[Row] = (_loose, ResponseReader._unknown)
_ERROR: Final[Row] = (_loose, ResponseReader._error)
_MARKER: Final[Row] = (_no_event, ResponseReader._nothing)


def _row_of(name: str | None, data: bytes) -> Row:
    """The row of an event that is not named by an `event` line, or by a name that we do not know."""
    if data.strip() in (b"", b"[DONE]"):
        return _MARKER
    head = _head(data)
    kind = head.type or name
    if kind is None and head.error is None:
        raise UpstreamMalformed("The upstream sent something that is no event of the Responses API.")
    return _ROWS.get(kind or "error", _UNKNOWN)


def _saying(kind: PartKind) -> tuple[Row, Row]:
    """The rows of the deltas of a kind of part, and of their end."""

    def tell(reader: ResponseReader, event: heard.Words) -> None:
        reader._say(kind, event, event.delta, all_of_it=False)

    def end(reader: ResponseReader, event: heard.WordsDone) -> None:
        reader._say(kind, event, event.text if event.text is not None else event.refusal, all_of_it=True)

    return (_reading(heard.Words), tell), (_reading(heard.WordsDone), end)


def _stepping(step: str) -> Row:
    return _reading(heard.Heard), lambda reader, event: reader._step(step, event, {})


def _rows() -> dict[str | None, Row]:
    """What is read of each event, and who tells it. Names of steps and of writings are read off the grammar's table."""
    rows: dict[str | None, Row] = {}
    for family, part in _FAMILIES.items():
        rows[f"response.{family}.delta"], rows[f"response.{family}.done"] = _saying(part)
    for kind, writer in WRITERS.items():
        rows |= {f"response.{kind}.{step}": _stepping(step) for step in (*writer.steps, *writer.closing)}
        rows |= {f"response.{kind}.in_progress": (_reading(heard.Heard), ResponseReader._nothing)}
        if writer.growth is not None:
            rows[tag_of(writer.growth.delta)] = (_reading(heard.GrowthDelta), ResponseReader._grow)
            rows[tag_of(writer.growth.done)] = (_reading(heard.GrowthDone), ResponseReader._grown)
    rows |= {name: (_reading(kind), tell) for name, (kind, tell) in _BY_NAME.items()}
    return {**rows, **_LOOSE}


_FAMILIES: Final[dict[str, PartKind]] = {
    "output_text": "output_text",
    "refusal": "refusal",
    "reasoning_text": "reasoning_text",
    "reasoning_summary_text": "summary_text",
}

_BY_NAME: Final[dict[str, tuple[type[Any], Callable[[ResponseReader, Any], None]]]] = {
    "response.created": (heard.Start, ResponseReader._started),
    "response.queued": (heard.Heard, ResponseReader._nothing),
    "response.in_progress": (heard.Heard, ResponseReader._nothing),
    "response.completed": (heard.Ending, ResponseReader._completed),
    "response.incomplete": (heard.Ending, ResponseReader._cut),
    "response.failed": (heard.Ending, ResponseReader._failed),
    "response.cancelled": (heard.Ending, ResponseReader._failed),
    "response.output_item.added": (heard.Item, ResponseReader._item_added),
    "response.output_item.done": (heard.Item, ResponseReader._item_done),
    "response.content_part.added": (heard.Part, ResponseReader._part_added),
    "response.content_part.done": (heard.Part, ResponseReader._part_done),
    "response.reasoning_summary_part.added": (heard.Part, ResponseReader._summary_added),
    "response.reasoning_summary_part.done": (heard.Part, ResponseReader._part_done),
    "response.output_text.delta": (heard.TextDelta, ResponseReader._text),
    "response.output_text.annotation.added": (heard.Citation, ResponseReader._cite),
    "response.shell_call_command.added": (heard.CommandDelta, ResponseReader._command),
    "response.shell_call_command.delta": (heard.CommandDelta, ResponseReader._command),
    "response.shell_call_command.done": (heard.CommandDelta, ResponseReader._command_done),
    "response.shell_call_output_content.delta": (heard.OutputDelta, ResponseReader._printed),
    "response.shell_call_output_content.done": (heard.OutputDelta, ResponseReader._printed),
    "keepalive": (heard.Heard, ResponseReader._nothing),
}

_LOOSE: Final[dict[str | None, Row]] = {
    "error": _ERROR,
    "response.image_generation_call.partial_image": (_loose, ResponseReader._partial_image),
}

_ROWS: Final = _rows()
