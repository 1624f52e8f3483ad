"""The messages of a Chat Completions request as items of a Responses request.

    developer, system, user    message of the same role
    assistant                  reasoning (`reasoning_content`), message (text and refusal), then its tool calls
    tool, function             the output of the call that it answers

Every call is answered by a later message, and every answer has its call: errors say so in the words of the messages.
A message's `name` has no place in an item and is left out.
"""

from __future__ import annotations

from typing import NamedTuple

from antiphon.wire.chat import (
    AssistantMessage,
    ChatCustomCall,
    ChatFunctionCall,
    ChatMessage,
    DeveloperMessage,
    FilePart,
    FunctionMessage,
    ImagePart,
    InputAudioPart,
    SystemMessage,
    TextPart,
    ToolMessage,
    UserMessage,
)
from antiphon.wire.content import InputFile, InputImage, InputPart, InputText, OutputText, Part, ReasoningText, Refusal
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.images import check_data
from antiphon.wire.invalid import missing
from antiphon.wire.items import (
    CustomToolCall,
    CustomToolCallOutput,
    FunctionCall,
    FunctionCallOutput,
    Item,
    Message,
    Reasoning,
    check_file,
    check_image,
)
from antiphon.wire.struct import UNSET

__all__ = ["Placed", "items_of", "unsupported"]


class Placed(NamedTuple):
    """An item, and the number of the message that it comes from."""

    item: Item
    message: int


def items_of(messages: list[ChatMessage]) -> list[Placed]:
    """The items of a conversation. Raises InvalidRequest, whose `param` names the message at fault."""
    reader = _Reader()
    for number, message in enumerate(messages):
        reader.take(number, message)
    reader.check_answers()
    return reader.placed


class _Reader:
    """Reads messages in their order, and remembers which calls wait for their answer."""

    def __init__(self) -> None:
        self.placed: list[Placed] = []
        self._calls: dict[str, FunctionCall | CustomToolCall] = {}
        self._open: dict[str, int] = {}
        """Calls without an answer: id → number of their message."""

    def take(self, number: int, message: ChatMessage) -> None:
        match message:
            case AssistantMessage():
                self._assistant(number, message)
            case ToolMessage():
                self._answer(number, message.tool_call_id, _output(message.content), "tool", "tool_calls")
            case FunctionMessage():
                self._answer(number, self._called(message.name), message.content or "", "function", "function_call")
            case UserMessage(content=list(parts)):
                self._add(number, Message(role="user", content=_parts(parts, f"messages[{number}].content")))
            case UserMessage(content=str(text)):
                self._add(number, Message(role="user", content=[InputText(text=text)]))
            case SystemMessage():
                self._add(number, Message(role="system", content=_texts(message.content)))
            case DeveloperMessage():
                self._add(number, Message(role="developer", content=_texts(message.content)))

    def check_answers(self) -> None:
        """Every call is answered. Raises InvalidRequest."""
        if not self._open:
            return
        number = next(iter(self._open.values()))
        listed = ", ".join(call_id[:64] for call_id in self._open)
        raise InvalidRequest(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {listed}.",
            param=f"messages[{number}]",
            code="invalid_value",
        )

    def _add(self, number: int, item: Item) -> None:
        self.placed.append(Placed(item, number))

    def _assistant(self, number: int, message: AssistantMessage) -> None:
        place = f"messages[{number}]"
        if message.audio is not None:
            raise unsupported(f"{place}.audio", "Audio is not supported")
        said = _said(message)
        calls = [_call(call) for call in message.tool_calls or ()]
        if message.function_call is not None:
            called = message.function_call
            calls.append(FunctionCall(call_id=f"call_message_{number}", name=called.name, arguments=called.arguments))
        if not said and not calls:
            if message.content is None and message.refusal is None:
                raise missing(f"{place}.content")
            said.append(OutputText(text=""))
        if message.reasoning_content:
            self._add(number, Reasoning(summary=[], content=[ReasoningText(text=message.reasoning_content)]))
        if said:
            self._add(number, Message(role="assistant", content=said))
        for call in calls:
            self._calls[call.call_id] = call
            self._open[call.call_id] = number
            self._add(number, call)

    def _called(self, name: str | None) -> str:
        """The id of the call of this function that waits for its answer; the last, if there are several."""
        waiting = [call_id for call_id in self._open if name in (self._calls[call_id].name, None)]
        return waiting[-1] if waiting else ""

    def _answer(self, number: int, call_id: str, output: str | list[InputPart], role: str, field: str) -> None:
        call = self._calls.get(call_id)
        if call is None:
            message = f"Messages with role '{role}' must be a response to a preceding message with '{field}'."
            raise InvalidRequest(message, param=f"messages[{number}].role", code="invalid_value")
        self._open.pop(call_id, None)
        kind = FunctionCallOutput if isinstance(call, FunctionCall) else CustomToolCallOutput
        self._add(number, kind(call_id=call_id, output=output))


def _call(call: ChatFunctionCall | ChatCustomCall) -> FunctionCall | CustomToolCall:
    match call:
        case ChatFunctionCall(id=call_id, function=function):
            return FunctionCall(call_id=call_id, name=function.name, arguments=function.arguments)
    return CustomToolCall(call_id=call.id, name=call.custom.name, input=call.custom.input)


def _said(message: AssistantMessage) -> list[Part]:
    """What the assistant wrote, without what is empty."""
    content = message.content
    parts = [TextPart(text=content)] if isinstance(content, str) else content or []
    said: list[Part] = []
    for part in parts:
        if isinstance(part, TextPart):
            said += [OutputText(text=part.text)] if part.text else []
        else:
            said.append(Refusal(refusal=part.refusal))
    if message.refusal:
        said.append(Refusal(refusal=message.refusal))
    return said


def _output(content: str | list[TextPart]) -> str | list[InputPart]:
    """What a tool returned."""
    return content if isinstance(content, str) else [_text(part) for part in content]


def _texts(content: str | list[TextPart]) -> list[Part]:
    parts = [TextPart(text=content)] if isinstance(content, str) else content
    return [_text(part) for part in parts]


def _text(part: TextPart) -> InputText:
    return InputText(text=part.text, prompt_cache_breakpoint=part.prompt_cache_breakpoint or UNSET)


def _parts(parts: list[TextPart | ImagePart | InputAudioPart | FilePart], place: str) -> list[Part]:
    return [_part(part, f"{place}[{index}]") for index, part in enumerate(parts)]


def _part(part: TextPart | ImagePart | InputAudioPart | FilePart, place: str) -> InputPart:
    mark = part.prompt_cache_breakpoint or UNSET
    match part:
        case TextPart():
            return _text(part)
        case ImagePart(image_url=image):
            shown = InputImage(image_url=image.url, detail=image.detail or "auto", prompt_cache_breakpoint=mark)
            check_image(shown, f"{place}.image_url.url")
            check_data(shown.image_url or "", f"{place}.image_url.url")
            return shown
        case FilePart(file=file):
            data, file_id, name = file.file_data or UNSET, file.file_id or UNSET, file.filename or UNSET
            sent = InputFile(file_data=data, file_id=file_id, filename=name, prompt_cache_breakpoint=mark)
            check_file(sent, f"{place}.file.file_data")
            return sent
    raise unsupported(f"{place}.input_audio", "Audio is not supported")


def unsupported(param: str, why: str) -> InvalidRequest:
    """What the Responses API has no counterpart for."""
    return InvalidRequest(f"Unsupported parameter: '{param}'. {why}.", param=param, code="unsupported_parameter")
