"""What is read of an upstream's events: only these fields are decoded, and all but a delta's text may be missing."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from antiphon.wire.content import Logprob

__all__ = [
    "Citation",
    "CommandDelta",
    "Ending",
    "GrowthDelta",
    "GrowthDone",
    "Head",
    "Heard",
    "Item",
    "Loose",
    "Named",
    "OutputDelta",
    "Part",
    "Start",
    "TextDelta",
    "Words",
    "WordsDone",
]

Json = dict[str, Any]
Raw = msgspec.Raw
Index = Annotated[int, msgspec.Meta(ge=0)]


class Head(msgspec.Struct, gc=False):
    """What tells the events apart, where the stream has no `event` line, and errors from events."""

    type: str | None = None
    error: Any = None


class Heard(msgspec.Struct, kw_only=True, gc=False):
    """What every event may have. Shell commands have no `item_id`."""

    sequence_number: int | None = None
    output_index: Index | None = None
    item_id: str | None = None


class TextDelta(Heard, kw_only=True, gc=False):
    """The hot one."""

    content_index: Index = 0
    delta: str
    logprobs: list[Logprob] | None = None


class Words(Heard, kw_only=True, gc=False):
    """A delta of a refusal, of reasoning, or of a summary; the latter counts by `summary_index`."""

    content_index: Index = 0
    summary_index: Index = 0
    delta: str


class WordsDone(Heard, kw_only=True, gc=False):
    """All words of a part."""

    content_index: Index = 0
    summary_index: Index = 0
    text: str | None = None
    refusal: str | None = None


class SentPart(msgspec.Struct, gc=False):
    """A content part as it is opened or done."""

    type: str | None = None
    text: str | None = None
    refusal: str | None = None
    annotations: list[Json] | None = None


class Part(Heard, kw_only=True, gc=False):
    """A part opens or is done."""

    content_index: Index = 0
    summary_index: Index = 0
    part: SentPart


class Citation(Heard, kw_only=True, gc=False):
    """An annotation of a text part."""

    content_index: Index = 0
    annotation: Json | None = None


class GrowthDelta(Heard, kw_only=True, gc=False):
    """What is written into a call."""

    delta: str


class GrowthDone(Heard, kw_only=True, gc=False):
    """All that was written into a call, under the name that its kind has for it."""

    arguments: str | None = None
    input: str | None = None
    code: str | None = None
    diff: str | None = None

    @property
    def text(self) -> str:
        return self.arguments or self.input or self.code or self.diff or ""


class CommandDelta(Heard, kw_only=True, gc=False):
    """A piece of a shell command, or all of it."""

    command_index: Index = 0
    delta: str = ""
    command: str | None = None


class Printed(msgspec.Struct, gc=False):
    stdout: str | None = None
    stderr: str | None = None


class OutputDelta(Heard, kw_only=True, gc=False):
    """A piece of what a command printed, or all of it."""

    command_index: Index = 0
    delta: Printed | None = None
    output: list[Any] | None = None


class Item(Heard, kw_only=True, gc=False):
    """An item opens or is done."""

    item: Raw


class Named(msgspec.Struct, gc=False):
    """What the upstream calls its response and its model."""

    id: str | None = None
    model: str | None = None


class Start(Heard, kw_only=True, gc=False):
    """The response exists."""

    response: Named


class Ending(Heard, kw_only=True, gc=False):
    """The response is over."""

    response: Raw


class Loose(Heard, kw_only=True, gc=False):
    """Any other event, with all that it holds."""

    fields: Json = {}
