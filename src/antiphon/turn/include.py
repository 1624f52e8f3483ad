"""What `include` decides: content that is always stored, and on the wire only for those who ask for it.

A field that nobody asked for stays where it is, as null, or as an empty list where strict clients need one. Ten rows
of a table say which; what holds nothing of the kind passes through untouched.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec

from antiphon.turn import frames
from antiphon.turn.writers import LIFECYCLE
from antiphon.wire import content, events, items, sse
from antiphon.wire.items import Item
from antiphon.wire.request import Include
from antiphon.wire.response import Response
from antiphon.wire.struct import UNSET

LOGPROBS: Final[Include] = "message.output_text.logprobs"
ENCRYPTED = "reasoning.encrypted_content"
IMAGE = "message.input_image.image_url"
SOURCES = "web_search_call.action.sources"
SCREEN = "computer_call_output.output.image_url"

_FIELDS: dict[type[Any], tuple[tuple[str, str, Any], ...]] = {
    items.Reasoning: ((ENCRYPTED, "encrypted_content", UNSET),),
    items.FileSearchCall: (("file_search_call.results", "results", None),),
    items.WebSearchCall: (("web_search_call.results", "results", UNSET),),
    items.CodeInterpreterCall: (("code_interpreter_call.outputs", "outputs", None),),
    items.Search: ((SOURCES, "sources", UNSET),),
    items.ComputerCallOutput: (),
    content.ComputerScreenshot: ((SCREEN, "image_url", None),),
    content.OutputText: ((LOGPROBS, "logprobs", []),),
    content.InputImage: ((IMAGE, "image_url", None),),
    events.OutputTextDelta: ((LOGPROBS, "logprobs", []),),
    events.OutputTextDone: ((LOGPROBS, "logprobs", []),),
}
"""Type → (the value of `include`, the field that it opens, what stands there otherwise)."""

_INSIDE: dict[type[Any], tuple[str, ...]] = {
    items.Message: ("content",),
    items.WebSearchCall: ("action",),
    items.ComputerCallOutput: ("output",),
    events.OutputItemAdded: ("item",),
    events.OutputItemDone: ("item",),
    events.ContentPartDone: ("part",),
    Response: ("output",),
    **dict.fromkeys(LIFECYCLE, ("response",)),
}
"""Type → the fields in which more of these types stand."""

NONE: frozenset[str] = frozenset()


def gates(value: Any) -> frozenset[str]:
    """The values of `include` that `value` (an item, a part, an event, a Response) holds something for."""
    kind = type(value)
    if kind is list:
        return NONE.union(*map(gates, value))
    found = NONE
    for include, field, _ in _FIELDS.get(kind, ()):
        if getattr(value, field):
            found |= {include}
    for field in _INSIDE.get(kind, ()):
        found |= gates(getattr(value, field))
    return found


def visible(value: Any, include: Collection[str]) -> Any:
    """`value` as those see it who asked for `include`: itself, if it holds nothing to hide from them."""
    kind = type(value)
    if kind is list:
        shown = [visible(element, include) for element in value]
        return value if all(map(operator.is_, shown, value)) else shown
    fields = _FIELDS.get(kind, ())
    hidden = {field: empty for opened, field, empty in fields if opened not in include and getattr(value, field)}
    inside = {field: visible(getattr(value, field), include) for field in _INSIDE.get(kind, ())}
    changed = {name: new for name, new in (hidden | inside).items() if getattr(value, name) is not new}
    return msgspec.structs.replace(value, **changed) if changed else value


def visible_frames(data: bytes, include: Collection[str]) -> bytes:
    """A stretch of a log as those see it who asked for `include`: the same events with the same numbers."""
    return sse.frames([visible(event, include) for event in frames.events(data)])


def visible_items(stored: Sequence[Item], include: Collection[str]) -> list[Item]:
    """A list of items as those see it who asked for `include`."""
    return [visible(item, include) for item in stored]
