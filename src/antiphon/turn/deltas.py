"""Delta: what a model says. A closed set, and the only thing that a model backend produces.

A backend yields *batches*: the deltas born of one read of its upstream. A batch may be empty; the first batch, empty
or not, says that the upstream has accepted the request.

**Keys.** A key names one output item within a response; any hashable that the backend finds handy (the index of a
tool call, the upstream's output_index). Deltas without a key go to the message, or the reasoning item, that is being
said: the machine opens it when needed, and closes it as soon as something else begins. An item that was started with
a key stays open until its `ItemDone` or the end of the turn, so several may be open at a time.

**Order.** Within an item deltas are in order; between items they may interleave. After `Finished` a backend says
nothing more. A failure is not a delta: the backend raises an `antiphon.wire.errors.APIError`. A delta that no item
takes (arguments for a call that nobody started, text for a call) is a defect of the backend: the machine refuses it.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

import msgspec

from antiphon.wire.content import Logprob
from antiphon.wire.items import Item
from antiphon.wire.response import Usage as UsageFigures

Key: TypeAlias = int | str
PartKind: TypeAlias = Literal["output_text", "refusal", "reasoning_text", "summary_text"]
IncompleteReason: TypeAlias = Literal["max_output_tokens", "max_messages", "content_filter", "steered"]


class Text(msgspec.Struct):
    """Words of the answer, with the log probabilities of their tokens if they were asked for."""

    text: str
    key: Key | None = None
    logprobs: list[Logprob] | None = None


class Refusal(msgspec.Struct):
    """Words of a refusal; they go to a `refusal` part, never into the text."""

    text: str
    key: Key | None = None


class Reasoning(msgspec.Struct):
    """Raw reasoning: the `reasoning_text` content of a reasoning item."""

    text: str
    key: Key | None = None


class Summary(msgspec.Struct):
    """A summary of reasoning: the `summary_text` of a reasoning item."""

    text: str
    key: Key | None = None


class PartStarted(msgspec.Struct):
    """The words that follow belong to a new part of the item; the part before it is finished."""

    kind: PartKind
    key: Key | None = None


class ItemStarted(msgspec.Struct):
    """An item begins: a call, a hosted tool's item, or a kind that only its source understands.

    `item` is the item as it looks at its start; what it says already is told by events at once. An empty or absent
    `id` is given by the machine; an id that is there is kept, unless another item of the response has it.
    """

    key: Key
    item: Item


class Arguments(msgspec.Struct):
    """What the model writes into a call: JSON arguments, a custom tool's input, code, a patch."""

    key: Key
    text: str


class Command(msgspec.Struct):
    """A piece of one command of a shell call; `index` counts the commands from 0."""

    key: Key
    index: int
    text: str


class CommandOutput(msgspec.Struct):
    """A piece of what one command of a shell call printed; `None` for both and an `outcome` ends the command."""

    key: Key
    index: int
    stdout: str | None = None
    stderr: str | None = None
    output: list[Any] | None = None


class Progress(msgspec.Struct):
    """A hosted tool moves on: `step` is the last word of the event (`searching`, `interpreting`, `partial_image`…).

    Steps that come again, or too late, are left out; `partial_image_index` is counted by the machine.
    """

    key: Key
    step: str
    fields: dict[str, Any] = {}


class Annotated(msgspec.Struct):
    """A citation in the text part that is being said, as an annotation or its JSON. Unknown kinds are left out."""

    annotation: Any
    key: Key | None = None


class ItemDone(msgspec.Struct):
    """An item is finished. `item`, if given, is its final form (results, status); else it is what was said.

    What the final form says over what was said is told by events; where the two disagree, what was said stays.
    """

    key: Key
    item: Item | None = None


class Opaque(msgspec.Struct):
    """An event of an item that only its source understands; re-told as it is, with our numbers and ids.

    Events of the API are told by the machine alone, save those of speech, which belong to no item.
    """

    key: Key
    event: dict[str, Any]


class Usage(msgspec.Struct):
    """The tokens of this turn, as reported, or counted where the upstream reports none."""

    usage: UsageFigures


class Settled(msgspec.Struct):
    """Settings of the response that the upstream decided (service_tier, tool_usage…), by their names in Response.

    They stand in the last event. What the machine itself says of a response (status, output, usage…) is none of them.
    """

    fields: dict[str, Any]


class Noted(msgspec.Struct):
    """A fact to remember that the protocol does not say: the upstream's own response id, its model."""

    fact: dict[str, Any]


class Finished(msgspec.Struct):
    """The turn is over: completely, or cut for a reason."""

    incomplete: IncompleteReason | None = None


Delta: TypeAlias = (
    Text
    | Refusal
    | Reasoning
    | Summary
    | PartStarted
    | ItemStarted
    | Arguments
    | Command
    | CommandOutput
    | Progress
    | Annotated
    | ItemDone
    | Opaque
    | Usage
    | Settled
    | Noted
    | Finished
)

SILENT: Final[frozenset[type[Any]]] = frozenset((Usage, Settled, Noted, Finished))
"""Deltas that are no output: they say something about the answer."""
