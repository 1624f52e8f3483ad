"""Judged: what an event of the SDK says, in the words of the gate (`antiphon.policy.gate`).

Each event is one delta, so that as many events may pass as the gate lets deltas through. What an event repeats of what
was said before (the `*.done` events, whole items, the last Response) is judged only where it is not the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from antiphon.client.border import LIFECYCLE, TERMINAL, fields_of, sdk_event
from antiphon.policy.strings import strings_of
from antiphon.turn import deltas
from antiphon.turn.deltas import Delta, PartKind
from antiphon.wire.errors import APIError
from antiphon.wire.events import decode_event
from antiphon.wire.items import Item

if TYPE_CHECKING:
    from openai.types.responses import ResponseStreamEvent

__all__ = ["Judged", "shown"]

_WORDS: Final[Mapping[str, tuple[type[Any], str]]] = {
    "response.output_text": (deltas.Text, "content_index"),
    "response.refusal": (deltas.Refusal, "content_index"),
    "response.reasoning_text": (deltas.Reasoning, "content_index"),
    "response.reasoning_summary_text": (deltas.Summary, "summary_index"),
}
"""What the names of the events of words begin with, and what tells their part."""

_CALLS: Final = (
    "response.function_call_arguments",
    "response.custom_tool_call_input",
    "response.mcp_call_arguments",
    "response.code_interpreter_call_code",
)
"""The same of what is written into a call."""

_PARTS: Final[frozenset[PartKind]] = frozenset({"output_text", "refusal", "reasoning_text", "summary_text"})

_SILENT: Final = frozenset({"error", "keepalive"})


class Judged:
    """Makes deltas of the events of one answer."""

    def __init__(self) -> None:
        self._said: dict[tuple[Any, ...], list[str]] = {}
        """The words of each part and each call so far."""
        self._known: set[str] = set()
        """Texts that were judged whole, or are the words of a part."""

    def delta(self, event: ResponseStreamEvent) -> Delta:
        """What an event says."""
        told: Any = event
        stem, _, end = event.type.rpartition(".")
        if end == "delta" and (stem in _WORDS or stem in _CALLS):
            return self._words(told, stem)
        if end == "done" and (stem in _WORDS or stem in _CALLS):
            return self._rest(told, stem)
        make = _MAKE.get(event.type)
        return make(self, told) if make is not None else self._other(told)

    def _words(self, told: Any, stem: str) -> Delta:
        self._said.setdefault(_place(told, stem), []).append(told.delta)
        if stem in _CALLS:
            return deltas.Arguments(told.output_index, told.delta)
        kind, _ = _WORDS[stem]
        made: Delta = kind(told.delta, told.output_index)
        return made

    def _rest(self, told: Any, stem: str) -> Delta:
        """The whole text of a part or a call: the same that was said, or it is judged as well."""
        self._known.add("".join(self._said.pop(_place(told, stem), ())))
        return self._unknown(told.output_index, _text_of(told))

    def _unknown(self, key: Any, value: Any) -> Delta:
        """Those of the strings in a value that were not judged."""
        rest = [each for each in strings_of(value) if each not in self._known]
        self._known.update(rest)
        return deltas.Annotated(rest, key) if rest else deltas.Noted({})

    def _item_added(self, told: Any) -> Delta:
        item = self._item(told)
        return self._other(told) if item is None else deltas.ItemStarted(told.output_index, item)

    def _item_done(self, told: Any) -> Delta:
        item = self._item(told)
        return self._other(told) if item is None else deltas.ItemDone(told.output_index, item)

    def _item(self, told: Any) -> Item | None:
        """The item of an event, of which the gate judges what was not said; None if it is not of this API."""
        try:
            event: Any = decode_event(msgspec.json.encode(_text_of(told)))
        except (APIError, ValueError):
            return None
        self._known.update(strings_of(event.item))
        item: Item = event.item
        return item

    def _part_added(self, told: Any) -> Delta:
        kind = told.part.type
        if kind not in _PARTS or getattr(told.part, "text", None) or getattr(told.part, "refusal", None):
            return self._other(told)
        return deltas.PartStarted(kind, told.output_index)

    def _part_done(self, told: Any) -> Delta:
        return self._unknown(told.output_index, _text_of(told.part))

    def _annotation(self, told: Any) -> Delta:
        return deltas.Annotated(fields_of(told).get("annotation"), told.output_index)

    def _whole(self, told: Any) -> Delta:
        return self._unknown(None, _text_of(told.response).get("output"))

    def _other(self, told: Any) -> Delta:
        return deltas.Opaque(getattr(told, "output_index", -1), fields_of(told))

    def _nothing(self, told: Any) -> Delta:  # noqa: ARG002 - one row of the table
        return deltas.Noted({})


_MAKE: Final[Mapping[str, Callable[[Judged, Any], Delta]]] = {
    "response.output_item.added": Judged._item_added,
    "response.output_item.done": Judged._item_done,
    "response.content_part.added": Judged._part_added,
    "response.content_part.done": Judged._part_done,
    "response.reasoning_summary_part.added": Judged._part_added,
    "response.reasoning_summary_part.done": Judged._part_done,
    "response.output_text.annotation.added": Judged._annotation,
    **dict.fromkeys(LIFECYCLE | TERMINAL, Judged._whole),
    **dict.fromkeys(_SILENT, Judged._nothing),
}


def _place(told: Any, stem: str) -> tuple[Any, ...]:
    """The part, or the call, that words belong to."""
    _, index = _WORDS.get(stem, (None, ""))
    return stem, told.output_index, getattr(told, index, None)


# Log probabilities


def shown(event: ResponseStreamEvent) -> ResponseStreamEvent:
    """An event without the alternatives that were not said (`top_logprobs`): nobody judges them."""
    told: Any = event
    if event.type.endswith(".delta") and not getattr(told, "logprobs", None):
        return event
    fields = fields_of(event)
    bare = _bare(fields)
    return event if bare == fields else sdk_event(bare)


def _bare(value: Any) -> Any:
    return _with_empty(value, "top_logprobs")


def _text_of(value: Any) -> Any:
    """An object of the SDK as JSON, without log probabilities: their words are those of the text."""
    return _with_empty(fields_of(value), "logprobs")


def _with_empty(value: Any, name: str) -> Any:
    """JSON in which the lists of a name are empty."""
    match value:
        case list():
            return [_with_empty(each, name) for each in value]
        case dict():
            is_empty = {key: key == name and isinstance(each, list) for key, each in value.items()}
            return {key: [] if is_empty[key] else _with_empty(each, name) for key, each in value.items()}
    return value
