"""Models behind the gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from antiphon.engine.gated import Gated
from antiphon.engine.moderation import Moderation, ModerationPolicy
from antiphon.models.moderators import RuleList
from antiphon.policy.rules import Rules
from antiphon.ports import Choice, Model
from antiphon.wire.response import ModelObject

PHRASE = "forbidden phrase"


def house(**policy: Any) -> Moderation:
    """One moderator, `house`, which flags the phrase; and a policy."""
    return Moderation({"house": RuleList(lambda: Rules({"house-rules": [PHRASE]}))}, ModerationPolicy(**policy))


class Behind:
    """A `ports.Catalog` of one model behind the gate, under every name."""

    def __init__(self, model: Model, moderation: Moderation) -> None:
        self.model = model
        self.moderation = moderation
        self.pass_through: frozenset[str] = frozenset()

    def choose(self, name: str | None) -> Choice:
        """The model."""
        return Choice(name or "", Gated(self.model, self.moderation))

    async def models(self) -> Sequence[ModelObject]:
        """It has no list."""
        return []

    async def aclose(self) -> None:
        """Close the model."""
        await self.model.aclose()
