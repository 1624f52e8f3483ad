"""The events of a stream: 59 that the API documents, and three that it sends without saying so.

Every event has a `sequence_number`: from 0, without gaps, over all events of a response. A class is named after its
wire type without `response.` (`response.output_text.delta` is `OutputTextDelta`); only the six that carry a whole
response keep it (`ResponseCompleted`). `StreamError` is the event `error`, a word that Python gives another meaning.

The classes they derive from say what an event is about: a `SnapshotEvent`, an item's (`ItemEvent`), a part's of an
item (`PartEvent`, `SummaryEvent`), a shell command's (`CommandEvent`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from antiphon.wire.content import Annotation, Logprob, Part, SummaryText
from antiphon.wire.errors import InvalidRequest, UpstreamMalformed
from antiphon.wire.items import Item, ShellOutput, keep_item
from antiphon.wire.response import Response, decode_response
from antiphon.wire.struct import UNSET, Deferred, Maybe, Opaque, Typed, Wire, as_sent, encode

Json = dict[str, Any]


class NumberedEvent(Typed, kw_only=True, gc=False):
    """What every event has: its number within the response.

    The garbage collector need not look at events: what they hold never refers back to them.
    """

    sequence_number: int


class SnapshotEvent(NumberedEvent, kw_only=True):
    """An event that carries the whole response as it is at this point."""

    response: Deferred[Response]


class ItemEvent(NumberedEvent, kw_only=True):
    """An event about the item `item_id`, which is number `output_index` of the response."""

    item_id: str
    output_index: int


class PartEvent(ItemEvent, kw_only=True):
    """An event about part number `content_index` of an item."""

    content_index: int


class SummaryEvent(ItemEvent, kw_only=True):
    """An event about part number `summary_index` of the summary of a reasoning item."""

    summary_index: int


class CommandEvent(NumberedEvent, kw_only=True):
    """An event about command number `command_index` of a shell call. The API gives it no `item_id`."""

    output_index: int
    command_index: int


# The response as a whole


class ResponseCreated(SnapshotEvent, tag="response.created", kw_only=True):
    """The response exists. The first event of a stream."""


class ResponseQueued(SnapshotEvent, tag="response.queued", kw_only=True):
    """It waits for its turn (background)."""


class ResponseInProgress(SnapshotEvent, tag="response.in_progress", kw_only=True):
    """It has begun."""


class ResponseCompleted(SnapshotEvent, tag="response.completed", kw_only=True):
    """It is complete."""


class ResponseFailed(SnapshotEvent, tag="response.failed", kw_only=True):
    """It failed; `response.error` says why."""


class ResponseIncomplete(SnapshotEvent, tag="response.incomplete", kw_only=True):
    """It ended early; `response.incomplete_details` says why."""


class StreamError(NumberedEvent, tag="error", kw_only=True):
    """An error of the stream, told flat. What it means for the response comes in `response.failed`."""

    message: str
    code: str | None = None
    param: str | None = None


class Keepalive(NumberedEvent, tag="keepalive", kw_only=True):
    """Says that the connection lives. Not in the API's documents; counts as an event."""


# Items and parts


class OutputItemAdded(NumberedEvent, tag="response.output_item.added", kw_only=True):
    """An item begins: it is shown as far as it is known."""

    output_index: int
    item: Deferred[Item]


class OutputItemDone(NumberedEvent, tag="response.output_item.done", kw_only=True):
    """An item is done: it is shown in full."""

    output_index: int
    item: Deferred[Item]


class ContentPartAdded(PartEvent, tag="response.content_part.added", kw_only=True):
    """A part begins."""

    part: Part


class ContentPartDone(PartEvent, tag="response.content_part.done", kw_only=True):
    """A part is done."""

    part: Part


# Text and refusal


class OutputTextDelta(PartEvent, tag="response.output_text.delta", kw_only=True):
    """More text."""

    delta: str
    logprobs: list[Logprob] = []


class OutputTextDone(PartEvent, tag="response.output_text.done", kw_only=True):
    """The whole text of the part."""

    text: str
    logprobs: list[Logprob] = []


class OutputTextAnnotationAdded(PartEvent, tag="response.output_text.annotation.added", kw_only=True):
    """An annotation of the text so far."""

    annotation_index: int
    annotation: Annotation | None


class RefusalDelta(PartEvent, tag="response.refusal.delta", kw_only=True):
    """More of a refusal."""

    delta: str


class RefusalDone(PartEvent, tag="response.refusal.done", kw_only=True):
    """The whole refusal."""

    refusal: str


# Reasoning


class ReasoningTextDelta(PartEvent, tag="response.reasoning_text.delta", kw_only=True):
    """More reasoning."""

    delta: str


class ReasoningTextDone(PartEvent, tag="response.reasoning_text.done", kw_only=True):
    """The whole reasoning of the part."""

    text: str


class ReasoningSummaryPartAdded(SummaryEvent, tag="response.reasoning_summary_part.added", kw_only=True):
    """A part of the summary begins."""

    part: SummaryText


class ReasoningSummaryPartDone(SummaryEvent, tag="response.reasoning_summary_part.done", kw_only=True):
    """A part of the summary is done, or was cut (`status`)."""

    part: SummaryText
    status: Maybe[Literal["incomplete"] | None] = UNSET


class ReasoningSummaryTextDelta(SummaryEvent, tag="response.reasoning_summary_text.delta", kw_only=True):
    """More of the summary."""

    delta: str


class ReasoningSummaryTextDone(SummaryEvent, tag="response.reasoning_summary_text.done", kw_only=True):
    """The whole text of this part of the summary."""

    text: str


# Calls of the client's tools


class FunctionCallArgumentsDelta(ItemEvent, tag="response.function_call_arguments.delta", kw_only=True):
    """More of the JSON of the arguments."""

    delta: str


class FunctionCallArgumentsDone(ItemEvent, tag="response.function_call_arguments.done", kw_only=True):
    """The whole JSON of the arguments."""

    arguments: str


class CustomToolCallInputDelta(ItemEvent, tag="response.custom_tool_call_input.delta", kw_only=True):
    """More of the text given to a custom tool."""

    delta: str


class CustomToolCallInputDone(ItemEvent, tag="response.custom_tool_call_input.done", kw_only=True):
    """The whole text."""

    input: str


class ApplyPatchCallOperationDiffDelta(ItemEvent, tag="response.apply_patch_call_operation_diff.delta", kw_only=True):
    """More of a patch. Not in the API's documents."""

    delta: str


class ApplyPatchCallOperationDiffDone(ItemEvent, tag="response.apply_patch_call_operation_diff.done", kw_only=True):
    """The whole patch. Not in the API's documents."""

    diff: str


# Searches


class FileSearchCallInProgress(ItemEvent, tag="response.file_search_call.in_progress", kw_only=True):
    """A file search was called."""


class FileSearchCallSearching(ItemEvent, tag="response.file_search_call.searching", kw_only=True):
    """A file search is under way."""


class FileSearchCallCompleted(ItemEvent, tag="response.file_search_call.completed", kw_only=True):
    """A file search is over."""


class WebSearchCallInProgress(ItemEvent, tag="response.web_search_call.in_progress", kw_only=True):
    """A web search was called."""


class WebSearchCallSearching(ItemEvent, tag="response.web_search_call.searching", kw_only=True):
    """A web search is under way."""


class WebSearchCallCompleted(ItemEvent, tag="response.web_search_call.completed", kw_only=True):
    """A web search is over."""


# Code interpreter and images


class CodeInterpreterCallInProgress(ItemEvent, tag="response.code_interpreter_call.in_progress", kw_only=True):
    """The model begins to write code."""


class CodeInterpreterCallCodeDelta(ItemEvent, tag="response.code_interpreter_call_code.delta", kw_only=True):
    """More code."""

    delta: str


class CodeInterpreterCallCodeDone(ItemEvent, tag="response.code_interpreter_call_code.done", kw_only=True):
    """The whole code."""

    code: str


class CodeInterpreterCallInterpreting(ItemEvent, tag="response.code_interpreter_call.interpreting", kw_only=True):
    """The code runs."""


class CodeInterpreterCallCompleted(ItemEvent, tag="response.code_interpreter_call.completed", kw_only=True):
    """The code has run."""


class ImageGenerationCallInProgress(ItemEvent, tag="response.image_generation_call.in_progress", kw_only=True):
    """An image was asked for."""


class ImageGenerationCallGenerating(ItemEvent, tag="response.image_generation_call.generating", kw_only=True):
    """The image is being made."""


class ImageGenerationCallPartialImage(ItemEvent, tag="response.image_generation_call.partial_image", kw_only=True):
    """The image as far as it is made, in base64."""

    partial_image_index: int
    partial_image_b64: str
    background: Maybe[str | None] = UNSET
    output_format: Maybe[str | None] = UNSET
    quality: Maybe[str | None] = UNSET
    size: Maybe[str | None] = UNSET


class ImageGenerationCallCompleted(ItemEvent, tag="response.image_generation_call.completed", kw_only=True):
    """The image is made."""


# MCP


class McpListToolsInProgress(ItemEvent, tag="response.mcp_list_tools.in_progress", kw_only=True):
    """A server is asked for its tools."""


class McpListToolsCompleted(ItemEvent, tag="response.mcp_list_tools.completed", kw_only=True):
    """It answered."""


class McpListToolsFailed(ItemEvent, tag="response.mcp_list_tools.failed", kw_only=True):
    """It did not."""


class McpCallInProgress(ItemEvent, tag="response.mcp_call.in_progress", kw_only=True):
    """A tool of a server is called."""


class McpCallArgumentsDelta(ItemEvent, tag="response.mcp_call_arguments.delta", kw_only=True):
    """More of the JSON of its arguments."""

    delta: str


class McpCallArgumentsDone(ItemEvent, tag="response.mcp_call_arguments.done", kw_only=True):
    """The whole JSON of its arguments."""

    arguments: str


class McpCallCompleted(ItemEvent, tag="response.mcp_call.completed", kw_only=True):
    """The tool answered."""


class McpCallFailed(ItemEvent, tag="response.mcp_call.failed", kw_only=True):
    """The tool failed."""


# Shell


class ShellCallCommandAdded(CommandEvent, tag="response.shell_call_command.added", kw_only=True):
    """A command begins."""

    command: str


class ShellCallCommandDelta(CommandEvent, tag="response.shell_call_command.delta", kw_only=True):
    """More of the command."""

    delta: str
    obfuscation: Maybe[str | None] = UNSET


class ShellCallCommandDone(CommandEvent, tag="response.shell_call_command.done", kw_only=True):
    """The whole command."""

    command: str


class ShellDelta(Wire, kw_only=True):
    """What was printed: to one of the two, or both."""

    stdout: Maybe[str | None] = UNSET
    stderr: Maybe[str | None] = UNSET


class ShellCallOutputContentDelta(ItemEvent, tag="response.shell_call_output_content.delta", kw_only=True):
    """The command printed more."""

    command_index: int
    delta: ShellDelta


class ShellCallOutputContentDone(ItemEvent, tag="response.shell_call_output_content.done", kw_only=True):
    """All that the command printed."""

    command_index: int
    output: list[ShellOutput]


# Compaction and audio


class CompactionCompacting(ItemEvent, tag="response.compaction.compacting", kw_only=True):
    """The conversation is being shortened."""


class AudioDelta(NumberedEvent, tag="response.audio.delta", kw_only=True):
    """More audio, in base64."""

    delta: str


class AudioDone(NumberedEvent, tag="response.audio.done", kw_only=True):
    """The audio is over."""


class AudioTranscriptDelta(NumberedEvent, tag="response.audio.transcript.delta", kw_only=True):
    """More of what the audio says."""

    delta: str


class AudioTranscriptDone(NumberedEvent, tag="response.audio.transcript.done", kw_only=True):
    """The transcript is over."""


TypedEvent = (
    ResponseCreated
    | ResponseQueued
    | ResponseInProgress
    | ResponseCompleted
    | ResponseFailed
    | ResponseIncomplete
    | StreamError
    | Keepalive
    | OutputItemAdded
    | OutputItemDone
    | ContentPartAdded
    | ContentPartDone
    | OutputTextDelta
    | OutputTextDone
    | OutputTextAnnotationAdded
    | RefusalDelta
    | RefusalDone
    | ReasoningTextDelta
    | ReasoningTextDone
    | ReasoningSummaryPartAdded
    | ReasoningSummaryPartDone
    | ReasoningSummaryTextDelta
    | ReasoningSummaryTextDone
    | FunctionCallArgumentsDelta
    | FunctionCallArgumentsDone
    | CustomToolCallInputDelta
    | CustomToolCallInputDone
    | ApplyPatchCallOperationDiffDelta
    | ApplyPatchCallOperationDiffDone
    | FileSearchCallInProgress
    | FileSearchCallSearching
    | FileSearchCallCompleted
    | WebSearchCallInProgress
    | WebSearchCallSearching
    | WebSearchCallCompleted
    | CodeInterpreterCallInProgress
    | CodeInterpreterCallCodeDelta
    | CodeInterpreterCallCodeDone
    | CodeInterpreterCallInterpreting
    | CodeInterpreterCallCompleted
    | ImageGenerationCallInProgress
    | ImageGenerationCallGenerating
    | ImageGenerationCallPartialImage
    | ImageGenerationCallCompleted
    | McpListToolsInProgress
    | McpListToolsCompleted
    | McpListToolsFailed
    | McpCallInProgress
    | McpCallArgumentsDelta
    | McpCallArgumentsDone
    | McpCallCompleted
    | McpCallFailed
    | ShellCallCommandAdded
    | ShellCallCommandDelta
    | ShellCallCommandDone
    | ShellCallOutputContentDelta
    | ShellCallOutputContentDone
    | CompactionCompacting
    | AudioDelta
    | AudioDone
    | AudioTranscriptDelta
    | AudioTranscriptDone
)

Event = TypedEvent | Opaque
"""Any event, also one of a type that we do not know."""

EVENTS: Final[dict[str, type[TypedEvent]]] = {
    "response.created": ResponseCreated,
    "response.queued": ResponseQueued,
    "response.in_progress": ResponseInProgress,
    "response.completed": ResponseCompleted,
    "response.failed": ResponseFailed,
    "response.incomplete": ResponseIncomplete,
    "error": StreamError,
    "keepalive": Keepalive,
    "response.output_item.added": OutputItemAdded,
    "response.output_item.done": OutputItemDone,
    "response.content_part.added": ContentPartAdded,
    "response.content_part.done": ContentPartDone,
    "response.output_text.delta": OutputTextDelta,
    "response.output_text.done": OutputTextDone,
    "response.output_text.annotation.added": OutputTextAnnotationAdded,
    "response.refusal.delta": RefusalDelta,
    "response.refusal.done": RefusalDone,
    "response.reasoning_text.delta": ReasoningTextDelta,
    "response.reasoning_text.done": ReasoningTextDone,
    "response.reasoning_summary_part.added": ReasoningSummaryPartAdded,
    "response.reasoning_summary_part.done": ReasoningSummaryPartDone,
    "response.reasoning_summary_text.delta": ReasoningSummaryTextDelta,
    "response.reasoning_summary_text.done": ReasoningSummaryTextDone,
    "response.function_call_arguments.delta": FunctionCallArgumentsDelta,
    "response.function_call_arguments.done": FunctionCallArgumentsDone,
    "response.custom_tool_call_input.delta": CustomToolCallInputDelta,
    "response.custom_tool_call_input.done": CustomToolCallInputDone,
    "response.apply_patch_call_operation_diff.delta": ApplyPatchCallOperationDiffDelta,
    "response.apply_patch_call_operation_diff.done": ApplyPatchCallOperationDiffDone,
    "response.file_search_call.in_progress": FileSearchCallInProgress,
    "response.file_search_call.searching": FileSearchCallSearching,
    "response.file_search_call.completed": FileSearchCallCompleted,
    "response.web_search_call.in_progress": WebSearchCallInProgress,
    "response.web_search_call.searching": WebSearchCallSearching,
    "response.web_search_call.completed": WebSearchCallCompleted,
    "response.code_interpreter_call.in_progress": CodeInterpreterCallInProgress,
    "response.code_interpreter_call_code.delta": CodeInterpreterCallCodeDelta,
    "response.code_interpreter_call_code.done": CodeInterpreterCallCodeDone,
    "response.code_interpreter_call.interpreting": CodeInterpreterCallInterpreting,
    "response.code_interpreter_call.completed": CodeInterpreterCallCompleted,
    "response.image_generation_call.in_progress": ImageGenerationCallInProgress,
    "response.image_generation_call.generating": ImageGenerationCallGenerating,
    "response.image_generation_call.partial_image": ImageGenerationCallPartialImage,
    "response.image_generation_call.completed": ImageGenerationCallCompleted,
    "response.mcp_list_tools.in_progress": McpListToolsInProgress,
    "response.mcp_list_tools.completed": McpListToolsCompleted,
    "response.mcp_list_tools.failed": McpListToolsFailed,
    "response.mcp_call.in_progress": McpCallInProgress,
    "response.mcp_call_arguments.delta": McpCallArgumentsDelta,
    "response.mcp_call_arguments.done": McpCallArgumentsDone,
    "response.mcp_call.completed": McpCallCompleted,
    "response.mcp_call.failed": McpCallFailed,
    "response.shell_call_command.added": ShellCallCommandAdded,
    "response.shell_call_command.delta": ShellCallCommandDelta,
    "response.shell_call_command.done": ShellCallCommandDone,
    "response.shell_call_output_content.delta": ShellCallOutputContentDelta,
    "response.shell_call_output_content.done": ShellCallOutputContentDone,
    "response.compaction.compacting": CompactionCompacting,
    "response.audio.delta": AudioDelta,
    "response.audio.done": AudioDone,
    "response.audio.transcript.delta": AudioTranscriptDelta,
    "response.audio.transcript.done": AudioTranscriptDone,
}

TERMINAL: Final = (ResponseCompleted, ResponseFailed, ResponseIncomplete)
"""The events after which none may follow: `isinstance(event, TERMINAL)`."""


_decoder: Final = msgspec.json.Decoder(TypedEvent)


def decode_event(data: bytes) -> Event:
    """Decode the data of one server-sent event, of our own journal or of another server.

    What others are known to send is put right: a missing number is 0, a null `logprobs` is empty, a nested `error` is
    flat. An event of unknown type is kept as `Opaque`. Raises UpstreamMalformed for all else that is no event.
    """
    try:
        return _whole(_decoder.decode(data))
    except msgspec.ValidationError as error:
        return _mended(data, error)
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidRequest) as error:
        raise _malformed(error) from error


def _whole(event: TypedEvent) -> TypedEvent:
    """Decode what the first stage left as it was: the response of a snapshot, the item of an item event."""
    match event:
        case SnapshotEvent(response=raw):
            event.response = decode_response(as_sent(raw))
        case OutputItemAdded(item=raw) | OutputItemDone(item=raw):
            event.item = keep_item(as_sent(raw))
    return event


def _mended(data: bytes, complaint: msgspec.ValidationError) -> Event:
    """Decode an event that is not quite what it should be."""
    try:
        fields = msgspec.json.decode(data)
        match fields:
            case {"type": str(name)} if name in EVENTS:
                return _whole(msgspec.json.decode(encode(_mend(fields)), type=EVENTS[name]))
            case {"type": str()}:
                return Opaque(fields)
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidRequest) as error:
        raise _malformed(error) from error
    raise _malformed(complaint)


def _malformed(error: Exception) -> UpstreamMalformed:
    return UpstreamMalformed(f"An event is malformed: {error}")


def _mend(fields: Json) -> Json:
    """Put right what is known to be sent wrong."""
    nested = fields.get("error") if fields["type"] == "error" else None
    cause = nested if isinstance(nested, Mapping) else {}
    told = {key: cause[key] for key in ("message", "code", "param") if key in cause}
    mended = {"sequence_number": 0, **fields, **told}
    if mended.get("logprobs", ()) is None:
        mended["logprobs"] = []
    return mended
