"""Moderation: what a model says is judged before the caller sees it, by the same gate as in the server.

    rules = RuleList(words={"house": ["project bluebird"]})
    client = AsyncClient(AsyncOpenAI(), moderation=Moderation(rules))
    client = AsyncClient(AsyncOpenAI(), moderation=Moderation(Moderations(), output="replace", input="stop"))

What happens on a hit:

* `stop`: nothing of it is shown. The connection is closed, which ends the answer and its cost; a response in the
  background is cancelled. The stream ends as `response.incomplete` with `content_filter`; what came before stays.
* `replace`: the same, and `replacement` is said in the place of what was withheld.
* `report`: all passes, at once; what was found is told at the end.
* `off`: nobody judges.

Events keep the numbers that the server gave them. The end of a text that goes on is held back (`overlap`), so that a
hit is not half said. Each hit is told to observers as `Flagged`. An input that is stopped is a ContentFlagged, and the
server is not asked. A moderator that fails lets nothing pass, unless `fails_open`.
"""

from __future__ import annotations

import secrets
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
import openai

from antiphon import tokens
from antiphon.client import options
from antiphon.client.asked import plain
from antiphon.client.border import BAD_GRAMMAR, TERMINAL, fields_of, response_in, sdk_event, usage_of, wire_event
from antiphon.client.call import Ask, Call, Flow
from antiphon.client.errors import ClientError, ContentFlagged, ModerationFailed, OptionError
from antiphon.client.judged import Judged, shown
from antiphon.client.moderators import Moderator
from antiphon.client.records import Flagged
from antiphon.policy.gate import Gate
from antiphon.policy.strings import strings_of
from antiphon.policy.verdict import CLEAN, Passage, Verdict, merged
from antiphon.turn.deltas import Text
from antiphon.turn.fold import Fold
from antiphon.turn.machine import Machine, OutOfOrder
from antiphon.wire.response import Usage
from antiphon.wire.struct import encode

if TYPE_CHECKING:
    from openai.types.responses import ResponseStreamEvent

__all__ = ["Action", "InputAction", "Moderation"]

Action: TypeAlias = Literal["stop", "replace", "report", "off"]
InputAction: TypeAlias = Literal["stop", "report", "off"]

REPLACEMENT: Final = "[This was withheld.]"
_ALL: Final = 2**62
"""A window that is never full."""
_ASKED: Final = ("instructions", "input", "prompt")


class Moderation:
    """Judges answers, and what is asked. Implements `antiphon.client.call.Layer`; several clients may share one.

    `moderator`: one, or several that judge together. `output`, `input`: what a hit does. `replacement`: what is said
    with "replace". `fails_open`: whether what could not be judged may pass. Raises OptionError.
    """

    def __init__(
        self,
        moderator: Moderator | Iterable[Moderator],
        *,
        output: Action = "stop",
        input: InputAction = "off",  # noqa: A002 - the side's name in the API
        replacement: str = REPLACEMENT,
        fails_open: bool = False,
    ) -> None:
        self._moderators = _moderators(moderator)
        self._output: Action = options.one_of("moderation.output", output, ("stop", "replace", "report", "off"))
        self._input: InputAction = options.one_of("moderation.input", input, ("stop", "report", "off"))
        self._fails_open = options.flag("moderation.fails_open", fails_open)
        self._replacement = options.text("moderation.replacement", replacement)
        self._overlap = max(each.overlap for each in self._moderators)
        self._window = max(each.window for each in self._moderators)

    def __call__(self, call: Call, ask: Ask) -> Flow:
        """Answer a call, as far as it may be answered."""
        return self._answer(call, ask) if self._input == "off" else self._admitted(call, ask)

    def _answer(self, call: Call, ask: Ask) -> Flow:
        match self._output:
            case "off":
                return ask(call)
            case "report":
                return self._reported(call, ask)
        return self._held(call, ask)

    # Input

    async def _admitted(self, call: Call, ask: Ask) -> Flow:
        passages = [Passage(text) for text in _read(call) if text.strip()]
        verdict = await self.judge(passages, call) if passages else CLEAN
        if verdict.is_flagged:
            self._tell(call, "input", verdict, self._input)
            if self._input == "stop":
                raise ContentFlagged(f"The input was flagged: {_names(verdict)}.", verdict)
        async with aclosing(self._answer(call, ask)) as flow:
            async for event in flow:
                yield event

    # Output

    async def _held(self, call: Call, ask: Ask) -> Flow:
        gate = Gate(overlap=self._overlap, window=self._window)
        passing = _Passing(gate)
        failure: ClientError | None = None
        async with aclosing(ask(call)) as flow:
            is_over = False
            while not (is_over or gate.is_cut):
                try:
                    event = await anext(flow, None)
                except ClientError as error:
                    failure, event = error, None
                is_over = event is None
                passing.take(event)
                await self._ask(gate, call)
                for released in passing.released():
                    yield released
        if gate.is_cut:
            await _cancel(call)
            for last in passing.ending(call, self._replacement if self._output == "replace" else ""):
                yield last
        elif failure is not None:
            raise failure

    async def _ask(self, gate: Gate, call: Call) -> None:
        """Have the moderators judge what waits for it."""
        while passages := gate.ask():
            verdict = await self.judge(passages, call)
            gate.settle(verdict)
            if verdict.is_flagged:
                self._tell(call, "output", verdict, self._output)

    async def _reported(self, call: Call, ask: Ask) -> Flow:
        """Let all pass, and say at the end what was in it; also of an answer that breaks off."""
        heard, judged = Gate(overlap=0, window=_ALL), Judged()
        try:
            async with aclosing(ask(call)) as flow:
                async for event in flow:
                    heard.feed([judged.delta(event)])
                    if event.type in TERMINAL:
                        await self._report(heard, call)
                    yield event
        except ClientError:
            await self._report(heard, call)
            raise

    async def _report(self, heard: Gate, call: Call) -> None:
        heard.finish()
        with suppress(ModerationFailed):  # nothing depends on it
            await self._ask(heard, call)

    def _tell(self, call: Call, side: Literal["input", "output"], verdict: Verdict, action: Any) -> None:
        call.tell(Flagged(number=call.number, model=call.model, side=side, verdict=verdict, action=action))

    # Judging

    async def judge(self, passages: Sequence[Passage], call: Call) -> Verdict:
        """What the moderators find. Those that answer at once are asked first: a hit of theirs spares the others."""
        found = CLEAN
        for moderator in sorted(self._moderators, key=lambda each: each.window):
            try:
                verdict = await moderator.judge(passages, call)
            except ModerationFailed:
                if not self._fails_open:
                    raise
                continue
            if verdict.is_flagged:
                return verdict
            found = merged([found, verdict])
        return found


class _Passing:
    """The events of one answer on their way through the gate."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._judged = Judged()
        self._waiting: deque[ResponseStreamEvent] = deque()
        self._shown: Fold | None = Fold()
        self._text: list[str] = []
        self._response: Any = None
        self._number = -1

    def take(self, event: ResponseStreamEvent | None) -> None:
        """An event came; None is the end."""
        if event is None:
            self._gate.finish()
            return
        event = shown(event)
        self._waiting.append(event)
        self._gate.feed([self._judged.delta(event)])
        if event.type in TERMINAL:
            self._gate.finish()

    def released(self) -> Iterator[ResponseStreamEvent]:
        """The events that may be shown. The last one before a hit may be a part of one."""
        for delta in self._gate.release():
            event: Any = self._waiting.popleft()
            text = getattr(delta, "text", None)
            if self._gate.is_cut and text is not None and text != event.delta:
                event = event.model_copy(update={"delta": text})
            self._note(event)
            yield event

    def _note(self, event: Any) -> None:
        """Keep what is needed to end the answer: what was shown of it."""
        self._number = getattr(event, "sequence_number", self._number)
        self._response = response_in(event) or self._response
        if event.type == "response.output_text.delta":
            self._text.append(event.delta)
        if self._shown is not None:
            try:
                self._shown.apply(wire_event(event))
            except BAD_GRAMMAR:
                self._shown = None

    # After a hit

    def ending(self, call: Call, replacement: str) -> list[ResponseStreamEvent]:
        """The events that end the answer: what is open is closed, as incomplete."""
        usage = self._usage(call)
        if replacement and self._text and not self._text[-1][-1:].isspace():
            replacement = f" {replacement}"
        if self._shown is not None and self._shown.state in ("made", "told"):
            with suppress(OutOfOrder):
                return self._by_grammar(self._shown, replacement, usage)
        return [self._by_hand(replacement, usage)]

    def _usage(self, call: Call) -> Usage:
        """The tokens of an answer that was cut: as the server told them, else counted."""
        told = next((response for event in self._waiting if (response := response_in(event))), None)
        if told is not None and (usage := usage_of(told)) is not None:
            return usage
        inward, outward = (tokens.estimate(size) for size in (len(encode(plain(call.params))), self._gate.taken))
        return Usage(input_tokens=inward, output_tokens=outward, total_tokens=inward + outward)

    def _by_grammar(self, fold: Fold, replacement: str, usage: Usage) -> list[ResponseStreamEvent]:
        fold.next = self._number + 1
        machine = Machine.resume(fold, lambda prefix: f"{prefix}_{secrets.token_hex(24)}")
        machine.usage = usage
        events = machine.begin() if fold.state == "made" else []
        for item in [item for item in fold.open.values() if item.kind == "message" and replacement][-1:]:
            machine.take_up(item)
        events += machine.feed([Text(replacement)] if replacement else [])
        events += machine.close("content_filter")
        events += machine.finish(int(time.time()))
        return [sdk_event(msgspec.json.decode(encode(event))) for event in events]

    def _by_hand(self, replacement: str, usage: Usage) -> ResponseStreamEvent:
        """The last event of a stream whose events do not follow from each other: it has what was shown of the text."""
        part = {"type": "output_text", "text": "".join((*self._text, replacement)), "annotations": []}
        message = {"type": "message", "id": "", "role": "assistant", "status": "incomplete", "content": [part]}
        known = {} if self._response is None else fields_of(self._response)
        response = {
            **known,
            "status": "incomplete",
            "incomplete_details": {"reason": "content_filter"},
            "output": [message],
            "usage": msgspec.to_builtins(usage),
        }
        fields = {"type": "response.incomplete", "sequence_number": self._number + 1, "response": response}
        return sdk_event(fields)


async def _cancel(call: Call) -> None:
    """End an answer that would go on at the server without us."""
    if call.is_background and (response_id := call.response_id) is not None:
        with suppress(openai.APIError):
            await call.io.call(lambda: call.openai.responses.cancel(response_id), None)


def _read(call: Call) -> list[str]:
    """What the model is going to read, of what this request has; a message's parts also joined."""
    asked = {name: value for name, value in plain(call.params).items() if name in _ASKED}
    texts = strings_of([asked.get("instructions"), (asked.get("prompt") or {}).get("variables"), asked.get("input")])
    given = asked.get("input")
    for item in given if isinstance(given, list) else []:
        parts = item.get("content") if isinstance(item, dict) else None
        if isinstance(parts, list) and len(parts) > 1:
            texts.append("".join(part.get("text") or "" for part in parts if isinstance(part, dict)))
    return list(dict.fromkeys(texts))


def _names(verdict: Verdict) -> str:
    return ", ".join(sorted(verdict.flagged))


def _moderators(given: Moderator | Iterable[Moderator]) -> tuple[Moderator, ...]:
    several = tuple(given) if isinstance(given, Iterable) else (given,)
    for each in several:
        if not all(hasattr(each, name) for name in ("window", "overlap", "judge")):
            raise OptionError("moderation.moderator", f"takes a RuleList, Moderations or the like, not {each!r}")
    if not several:
        raise OptionError("moderation.moderator", "takes at least one")
    return several
