"""The events of a stream as the chunks of a completion.

The first chunk has the role, and comes with the first words: a content that is empty before text, null before all else.
Then content, refusal, reasoning and calls as they come; then the citations of the text; a chunk with the finish reason;
and, if it was asked for, one with the usage. Put together as the SDKs do it, they are the completion that
`completion_of` makes of the same response.

Another server may leave out deltas, and tell a text or a call only when it is done: then its chunk comes then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from antiphon.turn.chat.completion import (
    PARAGRAPH,
    annotations_of,
    chat_logprobs,
    completion_id,
    failure_of,
    finish_reason_of,
    moderation_of,
    usage_of,
)
from antiphon.wire import events
from antiphon.wire.chat_completion import (
    CallDelta,
    ChatCompletionChunk,
    ChatLogprobs,
    ChunkChoice,
    CustomDelta,
    FinishReason,
    FunctionDelta,
    MessageDelta,
)
from antiphon.wire.errors import APIError
from antiphon.wire.events import Event
from antiphon.wire.items import CustomToolCall, FunctionCall
from antiphon.wire.response import Response, ResponseError
from antiphon.wire.struct import UNSET

__all__ = ["Chunks"]


class Chunks:
    """Writes the chunks of one completion.

    chunks = writer.feed(events)        # as often as there are some
    writer.failure                      # why there will be no more, if the response failed
    """

    def __init__(self, *, include_usage: bool = False, legacy: bool = False) -> None:
        """`legacy`: calls are told as the `function_call` that the parameter `functions` asks for."""
        self.failure: APIError | None = None
        self.ended = False
        """Whether the last chunk was written."""
        self._usage = include_usage
        self._legacy = legacy
        self._id = ""
        self._created = 0
        self._model = ""
        self._tier: str | None = None
        self._has_role = False
        self._has_content = False
        self._told: set[tuple[Any, ...]] = set()
        """What was told in deltas, by its place: its end has nothing new."""
        self._calls: dict[int, int] = {}
        """Which call of the message an item is."""
        self._thoughts = 0
        """How many parts of reasoning were begun."""
        self._out: list[ChatCompletionChunk] = []

    def feed(self, told: Iterable[Event]) -> list[ChatCompletionChunk]:
        """The chunks of some events."""
        for event in told:
            handler = _HANDLERS.get(type(event))
            if handler is not None:
                handler(self, event)
        out, self._out = self._out, []
        return out

    # Chunks

    def _say(
        self, delta: MessageDelta, *, logprobs: ChatLogprobs | None = None, reason: FinishReason | None = None
    ) -> None:
        if not self._has_role:
            self._has_role = True
            first = MessageDelta(role="assistant", content="" if delta.content else None, refusal=None)
            self._out.append(self._chunk([ChunkChoice(delta=first)]))
        self._out.append(self._chunk([ChunkChoice(delta=delta, logprobs=logprobs, finish_reason=reason)]))

    def _chunk(self, choices: list[ChunkChoice]) -> ChatCompletionChunk:
        return ChatCompletionChunk(
            id=self._id,
            created=self._created,
            model=self._model,
            service_tier=self._tier,
            choices=choices,
            usage=None if self._usage else UNSET,
        )

    # Events

    def _begin(self, event: events.SnapshotEvent) -> None:
        self._head(event.response)

    def _head(self, response: Response) -> None:
        self._id = completion_id(response.id)
        self._created = int(response.created_at)
        self._model = response.model
        self._tier = response.service_tier

    def _text(self, event: events.OutputTextDelta) -> None:
        self._told.add((event.output_index, event.content_index))
        self._content(event.delta, chat_logprobs(event.logprobs))

    def _text_done(self, event: events.OutputTextDone) -> None:
        if (event.output_index, event.content_index) not in self._told:
            self._content(event.text, chat_logprobs(event.logprobs))

    def _content(self, text: str, logprobs: ChatLogprobs | None) -> None:
        if text or logprobs is not None:
            self._has_content = True
            self._say(MessageDelta(content=text), logprobs=logprobs)

    def _refusal(self, event: events.RefusalDelta) -> None:
        self._told.add((event.output_index, event.content_index))
        self._refuse(event.delta)

    def _refusal_done(self, event: events.RefusalDone) -> None:
        if (event.output_index, event.content_index) not in self._told:
            self._refuse(event.refusal)

    def _refuse(self, text: str) -> None:
        if text:
            self._has_content = True
            self._say(MessageDelta(refusal=text))

    def _thought(self, event: events.ReasoningTextDelta) -> None:
        self._ponder((event.output_index, "text", event.content_index), event.delta)

    def _summary(self, event: events.ReasoningSummaryTextDelta) -> None:
        self._ponder((event.output_index, "summary", event.summary_index), event.delta)

    def _thought_done(self, event: events.ReasoningTextDone) -> None:
        place = (event.output_index, "text", event.content_index)
        if place not in self._told:
            self._ponder(place, event.text)

    def _summary_done(self, event: events.ReasoningSummaryTextDone) -> None:
        place = (event.output_index, "summary", event.summary_index)
        if place not in self._told:
            self._ponder(place, event.text)

    def _ponder(self, place: tuple[Any, ...], text: str) -> None:
        if not text:
            return
        if place not in self._told:
            self._told.add(place)
            text = PARAGRAPH + text if self._thoughts else text
            self._thoughts += 1
        self._say(MessageDelta(reasoning_content=text))

    # Calls

    def _item(self, event: events.OutputItemAdded) -> None:
        item = event.item
        if isinstance(item, FunctionCall | CustomToolCall):
            self._call(event.output_index, item)

    def _call(self, output_index: int, item: FunctionCall | CustomToolCall) -> None:
        index = self._calls[output_index] = len(self._calls)
        self._has_content = True
        match item:
            case FunctionCall() if self._legacy:
                if index == 0:
                    self._say(MessageDelta(function_call=FunctionDelta(name=item.name, arguments="")))
            case FunctionCall():
                function = FunctionDelta(name=item.name, arguments="")
                self._say_call(CallDelta(index=index, id=item.call_id, type="function", function=function))
            case CustomToolCall():
                custom = CustomDelta(name=item.name, input="")
                self._say_call(CallDelta(index=index, id=item.call_id, type="custom", custom=custom))

    def _item_done(self, event: events.OutputItemDone) -> None:
        """A call that no delta told."""
        item, at = event.item, event.output_index
        if not isinstance(item, FunctionCall | CustomToolCall):
            return
        if at not in self._calls:
            self._call(at, item)
        if (at,) not in self._told:
            if isinstance(item, FunctionCall):
                self._argue(at, item.arguments)
            else:
                self._put_in(at, item.input)

    def _arguments(self, event: events.FunctionCallArgumentsDelta) -> None:
        self._argue(event.output_index, event.delta)

    def _argue(self, at: int, text: str) -> None:
        self._told.add((at,))
        index = self._calls.get(at)
        if index is None or not text:
            return
        if not self._legacy:
            self._say_call(CallDelta(index=index, function=FunctionDelta(arguments=text)))
        elif index == 0:
            self._say(MessageDelta(function_call=FunctionDelta(arguments=text)))

    def _input(self, event: events.CustomToolCallInputDelta) -> None:
        self._put_in(event.output_index, event.delta)

    def _put_in(self, at: int, text: str) -> None:
        self._told.add((at,))
        index = self._calls.get(at)
        if index is not None and text:
            self._say_call(CallDelta(index=index, custom=CustomDelta(input=text)))

    def _say_call(self, delta: CallDelta) -> None:
        self._say(MessageDelta(tool_calls=[delta]))

    # Ends

    def _finish(self, event: events.SnapshotEvent) -> None:
        response = event.response
        self._head(response)
        if not self._has_content:
            self._say(MessageDelta(content=""))
        if found := annotations_of(response.output):
            for index, annotation in enumerate(found):
                annotation.index = index
            self._say(MessageDelta(annotations=found))
        self._say(MessageDelta(), reason=finish_reason_of(response, legacy=self._legacy))
        self._out[-1].moderation = moderation_of(response)
        if self._usage:
            last = self._chunk([])
            last.usage = usage_of(response.usage)
            self._out.append(last)
        self.ended = True

    def _fail(self, event: events.SnapshotEvent) -> None:
        self.failure = self.failure or failure_of(event.response.error)

    def _error(self, event: events.StreamError) -> None:
        self.failure = failure_of(
            ResponseError(code=event.code or "server_error", message=event.message, param=event.param)
        )


_HANDLERS: Final[dict[type[Any], Callable[[Chunks, Any], None]]] = {
    events.ResponseCreated: Chunks._begin,
    events.OutputTextDelta: Chunks._text,
    events.OutputTextDone: Chunks._text_done,
    events.RefusalDelta: Chunks._refusal,
    events.RefusalDone: Chunks._refusal_done,
    events.ReasoningTextDelta: Chunks._thought,
    events.ReasoningTextDone: Chunks._thought_done,
    events.ReasoningSummaryTextDelta: Chunks._summary,
    events.ReasoningSummaryTextDone: Chunks._summary_done,
    events.OutputItemAdded: Chunks._item,
    events.OutputItemDone: Chunks._item_done,
    events.FunctionCallArgumentsDelta: Chunks._arguments,
    events.CustomToolCallInputDelta: Chunks._input,
    events.ResponseCompleted: Chunks._finish,
    events.ResponseIncomplete: Chunks._finish,
    events.ResponseFailed: Chunks._fail,
    events.StreamError: Chunks._error,
}
"""What each event adds. All others say nothing that a completion has a place for."""
