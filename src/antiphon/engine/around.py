"""A model around another one: what a policy that changes what is asked, or what is said, derives from."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from antiphon.ports import Model
from antiphon.turn.deltas import Delta
from antiphon.turn.input import Turn
from antiphon.wire.request import CreateResponse


class Around:
    """An `antiphon.ports.Model` that does what the one inside does."""

    def __init__(self, inner: Model) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        """The name of the model inside."""
        return self.inner.name

    @property
    def continues(self) -> bool:
        """Whether the model inside goes on within a half-said item."""
        return self.inner.continues

    @property
    def pass_through(self) -> frozenset[str]:
        """Parameters that the model inside lets through."""
        return self.inner.pass_through

    @property
    def chat_parameters(self) -> frozenset[str]:
        """Parameters of Chat Completions that the model inside takes."""
        return self.inner.chat_parameters

    @property
    def relays(self) -> bool:
        """Whether a Responses server is inside."""
        return self.inner.relays

    def accept(self, request: CreateResponse) -> tuple[str, ...]:
        """The tool types that the model inside leaves out. Raises InvalidRequest as it does."""
        return self.inner.accept(request)

    def stream(self, turn: Turn) -> AsyncGenerator[list[Delta], None]:
        """Say one turn."""
        return self.inner.stream(turn)

    async def count(self, turn: Turn) -> int:
        """The input tokens of a turn."""
        return await self.inner.count(turn)

    async def aclose(self) -> None:
        """Release what the model inside holds."""
        await self.inner.aclose()


def taken_by(model: Model) -> frozenset[str]:
    """Parameters beyond the API's own that a model may be given."""
    return model.pass_through | model.chat_parameters
