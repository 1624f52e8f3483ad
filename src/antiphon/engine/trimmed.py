"""Trimmed: a model that is told its context in fewer tokens. Nothing is changed but what it is told.

Three things are done, each only where it is wanted:

* `truncation: "auto"` of a request, where the model's `context_window` is known: the oldest items are left out until
  the rest fits. What fits by its bytes is not counted; all else is, with a tokenizer, in a thread.
* `deduplicate`: an attachment that is in the context already is named, not sent again.
* `stable_prefix`: tools are sent in one order, so that an upstream which keeps prompts finds the same beginning.

What was done is noted in the turn's trace.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from functools import partial
from typing import Final

import msgspec

from antiphon.engine.around import Around
from antiphon.policy.trim import deduplicate, fit, in_stable_order, may_exceed
from antiphon.ports import Model
from antiphon.tokens import count, encoding_for, estimate
from antiphon.turn.deltas import Delta
from antiphon.turn.input import Turn
from antiphon.turn.trace import Trace
from antiphon.wire.request import CreateResponse
from antiphon.wire.struct import encode

__all__ = ["DEDUPLICATE", "STABLE_PREFIX", "Trimmed"]

DEDUPLICATE: Final = "deduplicate"
STABLE_PREFIX: Final = "stable_prefix"

replace = msgspec.structs.replace


class Trimmed(Around):
    """A model that is told what fits, and what is worth telling."""

    def __init__(self, inner: Model, *, window: int | None, optimise: Collection[str] = (), encoding: str = "") -> None:
        """`window` is the context window in tokens, if it is known; `encoding` the tokenizer. Default: the model's."""
        super().__init__(inner)
        self._window = window
        self._deduplicates = DEDUPLICATE in optimise
        self._orders = STABLE_PREFIX in optimise
        self._encoding = encoding or encoding_for(inner.name)

    def stream(self, turn: Turn) -> AsyncGenerator[list[Delta], None]:
        """Say one turn, told in fewer tokens."""
        turn = self._ordered(turn)
        if self._window is not None and turn.request.truncation == "auto":
            room = _room(turn.request, self._window)
            if may_exceed(turn.items, room):
                return self._fitted(turn, room)
        return self.inner.stream(self._lightened(turn))

    async def count(self, turn: Turn) -> int:
        """The input tokens of a turn. Nothing is truncated for it: who counts wants to know whether that will be."""
        return await self.inner.count(self._lightened(self._ordered(turn)))

    async def _fitted(self, turn: Turn, room: int) -> AsyncGenerator[list[Delta], None]:
        tokenizer = partial(count, encoding=self._encoding)
        fitted = await asyncio.to_thread(fit, turn.items, room, tokenizer, deduplicated=self._deduplicates)
        if fitted.dropped:
            turn = replace(turn, items=fitted.items)
            _note(turn.trace, f"truncation: left out {_items(fitted.dropped)}", fitted.saved)
        async with aclosing(self.inner.stream(self._lightened(turn))) as batches:
            async for batch in batches:
                yield batch

    def _ordered(self, turn: Turn) -> Turn:
        if not self._orders or len(turn.request.tools) < 2:
            return turn
        tools = in_stable_order(turn.request.tools)
        return turn if tools == turn.request.tools else replace(turn, request=replace(turn.request, tools=tools))

    def _lightened(self, turn: Turn) -> Turn:
        if not self._deduplicates:
            return turn
        items, left_out, saved = deduplicate(turn.items)
        if not left_out:
            return turn
        _note(turn.trace, f"deduplicate: {left_out} of the attachments sent before", saved)
        return replace(turn, items=items)


def _room(request: CreateResponse, window: int) -> int:
    """The tokens that are left for the items.

    An eighth of the window is kept free for the answer, or what the request asks for, but never more than half.
    """
    answer = min(request.max_output_tokens or window // 8, window // 2)
    told = len((request.instructions or "").encode()) + (len(encode(request.tools)) if request.tools else 0)
    return max(0, window - answer - estimate(told))


def _items(number: int) -> str:
    return "1 item" if number == 1 else f"{number} items"


def _note(trace: Trace, note: str, saved: int) -> None:
    """Say what was done, and what it saved; once a turn, as each turn sends the context anew."""
    trace.tokens_saved += saved
    trace.notes.append(f"{note} ({saved} tokens)")
