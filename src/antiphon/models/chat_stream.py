"""What a Chat Completions server says, as deltas. Sans-I/O: events of a stream, or one JSON body, in; deltas out.

Servers differ in what they send and how it is cut, so little is taken for granted: reasoning comes under four names
or as `<think>` text; ids and names of calls come in pieces, late or never; arguments come before them; calls are
interleaved, or several have one index. Only choice 0 is read. A failure does not throw away what was said before it
in the same read: it is kept in `failure`, for after those deltas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from antiphon.models.chat_chunks import (
    CallDelta,
    Choice,
    Chunk,
    FunctionDelta,
    Head,
    MessageDelta,
    Part,
    decode_chunk,
    decode_head,
    decode_repaired,
)
from antiphon.models.chat_input import CustomInput
from antiphon.models.chat_tools import ChatTools
from antiphon.turn.deltas import (
    Arguments,
    Delta,
    IncompleteReason,
    ItemDone,
    ItemStarted,
    Key,
    Reasoning,
    Refusal,
    Summary,
    Text,
)
from antiphon.turn.think import Piece, ThinkSplitter
from antiphon.wire.content import Logprob
from antiphon.wire.errors import APIError, Unavailable, UpstreamMalformed
from antiphon.wire.response import Usage
from antiphon.wire.sse import SSEvent

__all__ = ["ChatReader"]

_INCOMPLETE: Final[dict[str | None, IncompleteReason]] = {
    "length": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "model_length": "max_output_tokens",
    "content_filter": "content_filter",
}
"""Finish reasons of an answer that was cut: OpenAI's, and what others say for `length`. All others are complete."""

_LEGACY: Final = -1
"""The index of the one call that the old `function_call` can make."""


class _Call:
    """A tool call that comes in pieces. It is told when its name is known and its arguments have begun."""

    __slots__ = ("custom", "held", "id", "key", "name", "started")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.id = ""
        self.name = ""
        self.held: list[str] = []  # arguments that came before the name
        self.started = False
        self.custom: CustomInput | None = None

    def is_over(self, piece: CallDelta) -> bool:
        """Whether the piece begins another call: some servers give each of several calls the index 0."""
        names = bool(piece.function and piece.function.name and piece.id and self.id)
        return names and piece.id != self.id and bool(self.started or self.held)

    def take(self, piece: CallDelta) -> None:
        """Add to id and name. Once the call is told, and where a server repeats the whole, that is no news."""
        if self.started:
            return
        name = piece.function.name if piece.function else None
        if piece.id and piece.id != self.id:
            self.id += piece.id
        if name and name != self.name:
            self.name += name


class ChatReader:
    """Reads one answer.

        deltas = reader.feed(events)      # for each network read, until `over`
        reader.end()                      # if there is no more to read
        deltas = reader.close()           # what was held, and the ends of the calls; then look at `failure`

    `new_id` makes the `call_id` of a call that has none of its own; `taken` are those that the conversation has used.
    `fault` says what an error object means.
    """

    def __init__(
        self,
        tools: ChatTools,
        *,
        new_id: Callable[[], str],
        fault: Callable[[Any], APIError],
        taken: Iterable[str] = (),
        think_tags: bool = True,
    ) -> None:
        self.ended = False
        """Whether the upstream said that this is all. Nothing after it counts."""
        self.failure: APIError | None = None
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        """The upstream's figures, if it gives any."""
        self.head: Head | None = None
        """What the stream says of itself; None as long as no chunk was read."""
        self.words: list[str] = []
        """All that was written, for counting it where the upstream does not."""
        self.thoughts: list[str] = []
        self._tools = tools
        self._new_id = new_id
        self._taken = set(taken)
        self._fault = fault
        self._think = ThinkSplitter() if think_tags else None
        self._logprobs: list[Logprob] = []  # of text that is not told yet
        self._by_index: dict[int, _Call] = {}
        self._calls: list[_Call] = []
        self._last_call: _Call | None = None

    def feed(self, events: Sequence[SSEvent]) -> list[Delta]:
        """The deltas of some events."""
        deltas: list[Delta] = []
        try:
            for name, data in events:
                if not self.ended:
                    self._event(name, data, deltas)
        except APIError as error:
            self.failure = error
        return deltas

    def whole(self, body: bytes) -> list[Delta]:
        """The deltas of a completion that came as one JSON body, though a stream was asked for."""
        deltas = self.feed([(None, body)])
        self.ended = True
        return deltas

    def end(self, error: APIError | None = None) -> None:
        """The connection has nothing more: an end if one was told, else a cut. `error` says how it was cut."""
        if self.finish_reason is not None:
            self.ended = True
        elif not self.ended:
            cut = Unavailable("The upstream closed the connection before its answer was complete.", code="upstream_cut")
            self.failure = error or (_nothing() if self.head is None else cut)

    def close(self) -> list[Delta]:
        """What was held, and that all calls are done, save the one that was cut. After a failure none are."""
        deltas: list[Delta] = []
        if self.ended and self.head is None and self.failure is None:
            self.failure = _nothing()
        if self._think is not None:
            self._tell(self._think.close(), deltas)
        if self.failure is None:
            self._end_calls(deltas)
        return deltas

    @property
    def over(self) -> bool:
        """Whether there is nothing more to read."""
        return self.ended or self.failure is not None

    @property
    def spoke(self) -> bool:
        """Whether anything was said."""
        return bool(self.words or self.thoughts)

    @property
    def incomplete(self) -> IncompleteReason | None:
        """Why the answer was cut, if it was."""
        return _INCOMPLETE.get(self.finish_reason)

    # One event

    def _event(self, name: str | None, data: bytes, deltas: list[Delta]) -> None:
        try:
            chunk = decode_chunk(data)
        except (msgspec.DecodeError, RecursionError) as error:
            odd = self._odd(data, error)
            if odd is None:
                return
            chunk = odd
        if not chunk.choices or chunk.error is not None or self.head is None or name == "error":
            self._aside(name, chunk, data)
        if chunk.choices is not None:
            for choice in chunk.choices:
                if not choice.index:
                    self._choice(choice, deltas)
        if chunk.usage is not None:
            self.usage = chunk.usage.told() or self.usage

    def _odd(self, data: bytes, error: Exception) -> Chunk | None:
        """A chunk that can be repaired, the end of the stream, or nothing at all. All else is malformed."""
        match data.strip():
            case b"[DONE]":
                self.ended = True
                return None
            case b"":
                return None
        try:
            return decode_repaired(data)
        except (msgspec.DecodeError, RecursionError):
            raise UpstreamMalformed("The upstream sent a chunk that is not what it should be.") from error

    def _aside(self, name: str | None, chunk: Chunk, data: bytes) -> None:
        """A chunk that is the first, or says no words: it may be an error, or tell of the stream."""
        if chunk.error is not None:
            raise self._fault(chunk.error)
        if name == "error" or chunk.choices is None:
            told = _object(data)
            if name == "error" or told.get("object") == "error" or "message" in told or "detail" in told:
                raise self._fault(told)
        else:
            self.head = decode_head(data)

    # One choice

    def _choice(self, choice: Choice, deltas: list[Delta]) -> None:
        if choice.logprobs is not None:
            self._logprobs += choice.logprobs.content or ()
        delta = choice.delta or choice.message
        if delta is not None:
            self._message(delta, deltas)
        if choice.finish_reason is not None:
            self.finish_reason = choice.finish_reason
            if choice.finish_reason == "error":
                raise Unavailable("The upstream ended its answer with an error.")

    def _message(self, delta: MessageDelta, deltas: list[Delta]) -> None:
        if thought := delta.reasoning_content or delta.reasoning:
            self._ponder(thought, deltas)
        elif delta.reasoning_details:
            for detail in delta.reasoning_details:
                if detail.text:
                    self._ponder(detail.text, deltas)
                if detail.summary:
                    self.thoughts.append(detail.summary)
                    deltas.append(Summary(detail.summary))
        if content := delta.content:
            if isinstance(content, str):
                self._say(content, deltas)
            else:
                self._parts(content, deltas)
        if delta.refusal:
            self.words.append(delta.refusal)
            deltas.append(Refusal(delta.refusal))
        if delta.tool_calls:
            for place, piece in enumerate(delta.tool_calls):
                self._call(place if piece.index is None else piece.index, piece, deltas)
        if delta.function_call is not None:
            self._call(_LEGACY, CallDelta(function=delta.function_call), deltas)

    def _say(self, text: str, deltas: list[Delta]) -> None:
        """Text of the answer, as long as it cannot be thoughts between tags."""
        if self._think is not None:
            self._tell(self._think.feed(text), deltas)
            if self._think.said:
                self._think = None
            return
        self.words.append(text)
        if self._logprobs:
            deltas.append(Text(text, logprobs=self._logprobs))
            self._logprobs = []
        else:
            deltas.append(Text(text))

    def _tell(self, pieces: list[Piece], deltas: list[Delta]) -> None:
        for piece in pieces:
            if piece.thought:
                self._ponder(piece.text, deltas)
            else:
                self.words.append(piece.text)
                deltas.append(Text(piece.text, logprobs=self._logprobs or None))
            self._logprobs = []

    def _ponder(self, text: str, deltas: list[Delta]) -> None:
        self.thoughts.append(text)
        deltas.append(Reasoning(text))

    def _parts(self, parts: list[Part], deltas: list[Delta]) -> None:
        for part in parts:
            if thought := _text(part.thinking):
                self._ponder(thought, deltas)
            if part.text:
                self._say(part.text, deltas)

    # Calls

    def _call(self, index: int, piece: CallDelta, deltas: list[Delta]) -> None:
        call = self._by_index.get(index)
        if call is None or call.is_over(piece):
            key: Key = index if call is None else f"{index}.{len(self._calls)}"
            call = self._by_index[index] = _Call(key)
            self._calls.append(call)
        call.take(piece)
        self._last_call = call
        if arguments := _arguments(piece.function):
            call.held.append(arguments)
            if call.name:
                self._grow(call, deltas)

    def _grow(self, call: _Call, deltas: list[Delta]) -> None:
        """Tell what is held of a call whose name is known, and before it that it begins."""
        if not call.started:
            target = self._tools.target(call.name)
            call.started = True
            call.custom = CustomInput() if target.custom else None
            self.words.append(call.name)
            deltas.append(ItemStarted(call.key, target.call(self._call_id(call.id))))
        arguments = "".join(call.held)
        call.held.clear()
        text = arguments if call.custom is None else call.custom.feed(arguments)
        if text:
            self.words.append(text)
            deltas.append(Arguments(call.key, text))

    def _end_calls(self, deltas: list[Delta]) -> None:
        for call in self._calls:
            self._end_call(call, deltas)
        cut = self._last_call if self.incomplete else None
        deltas += [ItemDone(call.key) for call in self._calls if call.started and call is not cut]

    def _end_call(self, call: _Call, deltas: list[Delta]) -> None:
        """Tell what the call still holds. One that was cut before its arguments began is no call yet."""
        if not call.started:
            if self.incomplete:
                return
            if not call.name:
                self.failure = UpstreamMalformed("The upstream made a tool call without a name.")
                return
            call.held = call.held or [self._tools.target(call.name).nothing]
            self._grow(call, deltas)
        if call.custom is not None and (text := call.custom.close()):
            deltas.append(Arguments(call.key, text))

    def _call_id(self, given: str) -> str:
        """The upstream's id, if it can tell this call from all others."""
        call_id = self._new_id() if not given or given in self._taken else given
        self._taken.add(call_id)
        return call_id


def _nothing() -> UpstreamMalformed:
    return UpstreamMalformed("The upstream's answer holds no completion.")


def _object(data: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(data, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}


def _text(thinking: str | list[Part] | None) -> str:
    if isinstance(thinking, list):
        return "".join(part.text or "" for part in thinking)
    return thinking or ""


def _arguments(function: FunctionDelta | None) -> str:
    arguments = function.arguments if function is not None else None
    return msgspec.json.encode(arguments).decode() if isinstance(arguments, dict) else arguments or ""
