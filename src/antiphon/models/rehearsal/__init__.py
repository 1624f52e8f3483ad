"""Rehearsal: the built-in model. No weights, no key, no network, no clock; the same turn gets the same words.

A newcomer tries the server with it, a test suite runs on it, and an application rehearses what a production client must
survive: each fault can be asked for. It is a counterpart rather than an echo, and says what it is. docs/rehearsal.md
lists what it can do; the modules are

    reading      what a turn says                directives, faults, units   what it asks to rehearse
    plan         what is to be said              speech                      saying it
    talk, skills, arithmetic, words              the ordinary answer
    offers, calls, patches, grammar              tools
    schema, merge, scalars, pattern, values      JSON that satisfies a schema
    acts, canned                                 items, and canned ones of every kind
    dice                                         repeatable choices, and tokens

A token of rehearsal is a word with the space before it, or a few signs; each delta is one, and usage counts them. They
are its own, since a real vocabulary would cost 0.3 s and 70 MB at the first answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

from antiphon.models.rehearsal.acts import WORDS
from antiphon.models.rehearsal.directives import Script, script_of
from antiphon.models.rehearsal.faults import ERRORS, Fault
from antiphon.models.rehearsal.offers import left_out
from antiphon.models.rehearsal.plan import plan
from antiphon.models.rehearsal.reading import Reading, input_tokens, read
from antiphon.models.rehearsal.speech import Before, Said, Speech, Stalled
from antiphon.turn.deltas import Delta
from antiphon.turn.input import Turn
from antiphon.wire.errors import APIError
from antiphon.wire.request import CreateResponse

__all__ = ["Rehearsal"]

_TOKENS_A_BATCH = 32
"""When it is not paced, so many tokens are said at once."""
_MOST_REMEMBERED = 1_024
"""Turns whose `#fault first N` is remembered."""


class Rehearsal:
    """The built-in model.

    `tokens_per_second` is its usual pace, None: as fast as it can; `fault` goes wrong where a request asks for no other
    one; `sleep` waits, in seconds.
    """

    def __init__(
        self,
        name: str = "rehearsal",
        *,
        tokens_per_second: float | None = None,
        fault: Fault | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = name
        self._pace = 1 / tokens_per_second if tokens_per_second else 0.0
        self._fault = fault
        self._sleep = sleep
        self._struck: dict[str, int] = {}

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._name

    @property
    def continues(self) -> bool:
        """Rehearsal goes on within a half-said message, and says exactly the rest."""
        return True

    @property
    def pass_through(self) -> frozenset[str]:
        """No parameters beyond the API's own."""
        return frozenset()

    @property
    def chat_parameters(self) -> frozenset[str]:
        """None of them would change what it says."""
        return frozenset()

    @property
    def relays(self) -> bool:
        """There is no upstream."""
        return False

    def accept(self, request: CreateResponse) -> tuple[str, ...]:
        """The tool types that are left out. Raises InvalidRequest for file_search and mcp, and for what is forced."""
        return left_out(request)

    async def stream(self, turn: Turn) -> AsyncGenerator[list[Delta], None]:
        """Say one turn. Raises the APIError that it was asked to rehearse, InvalidRequest for a malformed directive."""
        reading = read(turn)
        script = script_of(reading.message, reading.lines, turn.request.metadata, fresh=reading.fresh)
        fault = self._striking(reading, script)
        if fault is not None and fault.delay:
            await self._sleep(fault.delay)
        if fault is not None and fault.after is None and fault.kind in ERRORS:
            raise fault.error()
        yield []
        before = Before(reading.said, reading.half, reading.half_notes)
        speech = Speech(plan(reading, script), before, fault, turn.request.max_output_tokens)
        pace = self._pace if script.pace is None else script.pace
        async for batch in self._paced(speech.deltas(input_tokens(turn)), pace):
            yield batch

    def _striking(self, reading: Reading, script: Script) -> Fault | None:
        """The fault of this turn, None if it has struck as often as it was asked to."""
        fault = script.fault or self._fault
        if fault is None or not fault.times:
            return fault
        key = f"{reading.dice.seed} {fault}"
        struck = self._struck.pop(key, 0)
        self._struck[key] = struck + 1
        if len(self._struck) > _MOST_REMEMBERED:
            del self._struck[next(iter(self._struck))]
        return fault if struck < fault.times else None

    async def _paced(self, said: Iterator[Said], pace: float) -> AsyncGenerator[list[Delta], None]:
        """Batches of what is said: a token each if it is paced, with a pause before; else many, without one."""
        size = 1 if pace else _TOKENS_A_BATCH
        batch: list[Delta] = []
        tokens = 0
        for delta in said:
            if isinstance(delta, Stalled | APIError):
                if batch:
                    yield batch
                await _interrupt(delta)
                return
            batch.append(delta)
            tokens += isinstance(delta, WORDS)
            if tokens == size:
                await (self._sleep(pace) if pace else asyncio.sleep(0))
                yield batch
                batch, tokens = [], 0
        if batch:
            yield batch

    async def count(self, turn: Turn) -> int:
        """The input tokens of a turn, exactly."""
        return input_tokens(turn)

    async def aclose(self) -> None:
        """There is nothing to release."""


async def _interrupt(said: Stalled | APIError) -> None:
    """Raise an error, or be silent until the reader cancels."""
    if isinstance(said, APIError):
        raise said
    await asyncio.Event().wait()
