"""A catalog whose every name is one Chat Completions upstream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from antiphon.models.chat_completions import ChatCompletions, ChatOptions
from antiphon.ports import Choice
from antiphon.wire.response import ModelObject


class ChatCatalog:
    """A `ports.Catalog`."""

    pass_through: frozenset[str] = frozenset()

    def __init__(self, base_url: str, **options: Any) -> None:
        self.model = ChatCompletions(ChatOptions(base_url=base_url, model="local", **options))

    def choose(self, name: str | None) -> Choice:
        return Choice(name or "local", self.model)

    async def models(self) -> Sequence[ModelObject]:
        return [ModelObject(id="local", created=0, owned_by="tests")]

    async def aclose(self) -> None:
        await self.model.aclose()
