"""Items as the messages of the Chat Completions API.

    instructions                          system message, first
    message                               the same role; developer → system; text alone → a string
    reasoning                             `reasoning_content` of the assistant message that follows
    function_call, custom_tool_call       `tool_calls` of the assistant message that they follow, or of one without text
    their outputs                         tool messages, right after that message, in the order of the calls
    images and files in an output         a user message after them: tool messages hold text only
    anything else                         left out

An assistant message goes on until something else comes. Every call is answered before anything else is said, wherever
its output stands in the input: servers refuse a conversation in which it is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, NamedTuple

from antiphon.models.chat_input import wrapped
from antiphon.models.chat_tools import ChatTools, Target
from antiphon.turn.input import Turn
from antiphon.wire.content import InputFile, InputImage, InputText, Part, Refusal
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.items import (
    AdditionalTools,
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    Item,
    Message,
    Reasoning,
)
from antiphon.wire.struct import type_of

__all__ = ["MessageOptions", "left_out", "messages_of"]

Json = dict[str, Any]
Call = FunctionCall | CustomToolCall
CallOutput = FunctionCallOutput | CustomToolCallOutput

_CARRIED = (Message, Reasoning, FunctionCall, CustomToolCall, FunctionCallOutput, CustomToolCallOutput, AdditionalTools)


class MessageOptions(NamedTuple):
    """How this upstream wants its messages; `ChatOptions` says what each means."""

    instructions_role: str = "system"
    developer_role: str = "system"
    send_reasoning: Literal["calls", "all", "none"] = "calls"
    reasoning_field: str = "reasoning_content"


def messages_of(turn: Turn, tools: ChatTools, options: MessageOptions) -> list[Json]:
    """The conversation. Raises InvalidRequest, with `param`, for a part that the API cannot carry."""
    writer = _Writer(turn, tools, options)
    if turn.request.instructions:
        writer.messages.append({"role": options.instructions_role, "content": turn.request.instructions})
    for item in turn.items:
        writer.take(item)
    writer.flush()
    return writer.messages


def left_out(items: Iterable[Item]) -> dict[str, int]:
    """How many items of each type a chat model is not shown."""
    return dict(Counter(type_of(item) for item in items if not isinstance(item, _CARRIED)))


class _Writer:
    """Writes messages, and keeps the assistant's for as long as more may belong to it."""

    def __init__(self, turn: Turn, tools: ChatTools, options: MessageOptions) -> None:
        self.messages: list[Json] = []
        self._turn = turn
        self._tools = tools
        self._options = options
        self._outputs: dict[str, list[CallOutput]] = {}
        for item in turn.items:
            if isinstance(item, CallOutput) and item.call_id:
                self._outputs.setdefault(item.call_id, []).append(item)
        self._thoughts: list[str] = []
        self._words: str | None = None
        self._calls: list[Call] = []

    def take(self, item: Item) -> None:
        match item:
            case Message(role="assistant"):
                if self._words is not None:
                    self.flush()
                self._words = "".join(_said(part) for part in _parts(item.content))
            case Reasoning():
                if self._words is not None or self._calls:
                    self.flush()
                self._thoughts += [part.text for part in item.content or ()]
            case FunctionCall() | CustomToolCall():
                self._calls.append(item)
            case Message():
                self.flush()
                self.messages.append(self._message(item))
            case FunctionCallOutput() | CustomToolCallOutput():
                self.flush()

    def flush(self) -> None:
        """The assistant has said what it had to say: write it, and the outputs of its calls."""
        words, calls, thoughts = self._words, self._calls, self._thoughts
        self._words, self._calls, self._thoughts = None, [], []
        if words is None and not calls:
            return
        message: Json = {"role": "assistant", "content": words}
        if calls:
            message["tool_calls"] = [self._call(call) for call in calls]
        wanted = self._options.send_reasoning
        if thoughts and (wanted == "all" or (wanted == "calls" and calls)):
            message[self._options.reasoning_field] = "".join(thoughts)
        self.messages.append(message)
        self._answer(calls)

    def _answer(self, calls: Sequence[Call]) -> None:
        shown: list[Json] = []
        for call in calls:
            waiting = self._outputs.get(call.call_id)
            if not waiting:
                continue
            text, more = self._output(waiting.pop(0))
            self.messages.append({"role": "tool", "tool_call_id": call.call_id, "content": text})
            if more:
                shown += [{"type": "text", "text": f"Output of the call {call.call_id}:"}, *more]
        if shown:
            self.messages.append({"role": "user", "content": shown})

    def _call(self, call: Call) -> Json:
        custom = isinstance(call, CustomToolCall)
        target = Target(call.name, call.namespace or None, custom)
        arguments = wrapped(call.input) if isinstance(call, CustomToolCall) else call.arguments or "{}"
        function = {"name": self._tools.name(target), "arguments": arguments}
        return {"id": call.call_id, "type": "function", "function": function}

    def _output(self, item: CallOutput) -> tuple[str, list[Json]]:
        """What the tool message says, and the parts that it cannot hold."""
        if isinstance(item.output, str):
            return item.output, []
        parts = self._content(item, item.output, "output")
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        more = [part for part in parts if part["type"] != "text"]
        return text or ("(see the next message)" if more else ""), more

    def _message(self, item: Message) -> Json:
        role = self._options.developer_role if item.role == "developer" else item.role
        parts = self._content(item, _parts(item.content), "content")
        if all(part["type"] == "text" for part in parts):
            return {"role": role, "content": "\n".join(part["text"] for part in parts)}
        return {"role": role, "content": parts}

    def _content(self, item: Item, parts: Sequence[Part], field: str) -> list[Json]:
        return [_part(part, f"{self._place(item)}.{field}[{index}]") for index, part in enumerate(parts)]

    def _place(self, item: Item) -> str:
        """Where the item stands in the request's input: the context ends with it. History has no place of its own."""
        given = self._turn.request.input
        own = len(given) if isinstance(given, list) else 0
        index = next(index for index, other in enumerate(self._turn.items) if other is item)
        index -= len(self._turn.items) - own
        return f"input[{index}]" if index >= 0 else "input"


def _parts(content: str | list[Part]) -> list[Part]:
    return [InputText(text=content)] if isinstance(content, str) else content


def _said(part: Part) -> str:
    """What the assistant said. A refusal is told as text, because few templates have a place for it."""
    return part.refusal if isinstance(part, Refusal) else getattr(part, "text", "")


def _part(part: Part, place: str) -> Json:
    match part:
        case InputImage(image_url=str(url)):
            return {"type": "image_url", "image_url": {"url": url, **_DETAIL.get(part.detail, {})}}
        case InputFile(file_data=str(data)):
            return {"type": "file", "file": {"file_data": data, "filename": part.filename or "file"}}
        case InputFile(file_url=str()):
            raise _unsupported(f"{place}.file_url", "a file by URL: send its data instead")
        case InputImage() | InputFile():
            raise _unsupported(f"{place}.file_id", "an uploaded file: send its data instead")
    return {"type": "text", "text": getattr(part, "text", "")}


_DETAIL: Final[dict[str | None, Json]] = {
    "low": {"detail": "low"},
    "high": {"detail": "high"},
    "original": {"detail": "high"},
}
"""`auto` is the default of both APIs; Chat Completions does not know `original`."""


def _unsupported(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"The model behind this name cannot be given {what}.", param=param, code="unsupported_file")
