"""A model whose words, and whose moments, a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from typing import TypeAlias

from antiphon.ports import Choice, UnknownModel
from antiphon.turn.deltas import Delta, Finished, Text, Usage
from antiphon.turn.input import Turn
from antiphon.wire.errors import APIError
from antiphon.wire.request import CreateResponse
from antiphon.wire.response import ModelObject
from antiphon.wire.response import Usage as UsageFigures

Step: TypeAlias = Sequence[Delta] | APIError | asyncio.Event | asyncio.Future[None]
"""A batch to say, an error to raise, or something to wait for."""
Script: TypeAlias = Callable[[Turn], Iterable[Step]]


def said(text: str = "Hello there.", *, size: int = 5) -> list[Step]:
    """The script of an ordinary answer, in pieces of `size` characters, one a batch."""
    words: list[Step] = [[Text(text[at : at + size])] for at in range(0, len(text), size)]
    tokens = max(1, len(words))
    usage = UsageFigures(input_tokens=7, output_tokens=tokens, total_tokens=7 + tokens)
    return [[], *words, [Usage(usage), Finished()]]


class ScriptedModel:
    """A `ports.Model` that plays a script for each turn and remembers what it was asked."""

    def __init__(
        self,
        script: Script | Iterable[Step] | None = None,
        *,
        name: str = "scripted",
        continues: bool = False,
        pass_through: frozenset[str] = frozenset(),
        chat_parameters: frozenset[str] = frozenset(),
    ) -> None:
        steps = said() if script is None else script
        self._script: Script = steps if callable(steps) else lambda _: steps
        self._name = name
        self._continues = continues
        self._pass_through = pass_through
        self._chat_parameters = chat_parameters
        self.turns: list[Turn] = []
        """Every turn that was asked for."""
        self.open = 0
        """Streams that are being read now."""

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def continues(self) -> bool:
        """Whether the script may go on within a half-said item."""
        return self._continues

    @property
    def pass_through(self) -> frozenset[str]:
        """Parameters that it lets through."""
        return self._pass_through

    @property
    def chat_parameters(self) -> frozenset[str]:
        """Parameters of Chat Completions that it takes."""
        return self._chat_parameters

    @property
    def relays(self) -> bool:
        """Nothing stands behind it."""
        return False

    def accept(self, request: CreateResponse) -> tuple[str, ...]:  # noqa: ARG002 - the port's signature
        """Serves every tool."""
        return ()

    async def stream(self, turn: Turn) -> AsyncGenerator[list[Delta], None]:
        """Play the script."""
        self.turns.append(turn)
        self.open += 1
        try:
            async for batch in _play(self._script(turn)):
                yield batch
        finally:
            self.open -= 1

    async def count(self, turn: Turn) -> int:
        """One token an item."""
        return len(turn.items)

    async def aclose(self) -> None:
        """Nothing to release."""


async def _play(steps: Iterable[Step]) -> AsyncIterator[list[Delta]]:
    for step in steps:
        if isinstance(step, APIError):
            raise step
        if isinstance(step, asyncio.Event):
            await step.wait()
        elif isinstance(step, asyncio.Future):
            await step
        else:
            yield list(step)
            await asyncio.sleep(0)


class Only:
    """A `ports.Catalog` of one model, or of some by name."""

    def __init__(self, model: ScriptedModel, **others: ScriptedModel) -> None:
        self._models = {model.name: model} | others

    @property
    def pass_through(self) -> frozenset[str]:
        """What any of the models lets through."""
        return frozenset().union(*(model.pass_through for model in self._models.values()))

    def choose(self, name: str | None) -> Choice:
        """The model of that name. Raises UnknownModel."""
        if name not in self._models:
            raise UnknownModel(f"The model '{name}' does not exist.", [*self._models])
        return Choice(name, self._models[name])

    async def models(self) -> Sequence[ModelObject]:
        """All of them."""
        return [ModelObject(id=name, created=0, owned_by="antiphon") for name in self._models]

    async def aclose(self) -> None:
        """Nothing to release."""
