"""Capped: a model that says no more than hard budgets pay for.

What they pay for is known when the request was admitted (`Turn.allowance`). It goes upstream as `max_output_tokens`,
and for upstreams that do not keep to it `antiphon.policy.cap` counts. A stream that is full ends as `incomplete` with
`max_output_tokens`, and its upstream is closed. Where nothing is to be counted there is no gate.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec import structs

from antiphon.engine.around import Around
from antiphon.policy.budget import LEAST_OUTPUT
from antiphon.policy.cap import Cap
from antiphon.policy.weight import estimated, read
from antiphon.ports import Model
from antiphon.turn.deltas import Delta, Finished, Usage
from antiphon.turn.input import Allowance, Turn
from antiphon.wire.response import Usage as UsageFigures

__all__ = ["Capped"]


class Capped(Around):
    """A model whose words are counted."""

    def stream(self, turn: Turn) -> AsyncGenerator[list[Delta], None]:
        """Say one turn, as far as it is paid for."""
        return self.inner.stream(turn) if turn.allowance is None else _counted(self.inner, turn, turn.allowance)


async def _counted(model: Model, turn: Turn, allowance: Allowance) -> AsyncGenerator[list[Delta], None]:
    """The turns of a response, one after the other, share its allowance."""
    cap = Cap(max(allowance.reserved - allowance.said, 0))
    left = max(allowance.cap - allowance.said, LEAST_OUTPUT)
    asked = structs.replace(turn, request=structs.replace(turn.request, max_output_tokens=left))
    usage: UsageFigures | None = None
    last: list[Delta] = []
    try:
        async with aclosing(model.stream(asked)) as batches:
            async for batch in batches:
                passing = cap.take(batch)
                usage = next((delta.usage for delta in passing if isinstance(delta, Usage)), usage)
                if cap.is_full:
                    last = passing
                    break
                yield passing
    finally:
        allowance.said += cap.tokens if usage is None else usage.output_tokens
    if cap.is_full:  # the upstream is closed by now
        told = [] if usage is not None else [Usage(estimated(read(turn.items, turn.request), cap.tokens))]
        yield [*last, *told, Finished("max_output_tokens")]
