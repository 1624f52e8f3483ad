"""Classify: POST /moderations, reported as every other work is."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from antiphon.engine.accounts import OPEN
from antiphon.engine.moderation import Moderation
from antiphon.engine.report import Observers
from antiphon.engine.till import Asking, Till
from antiphon.engine.work import Work
from antiphon.policy.access import Principal
from antiphon.policy.budget import ZERO
from antiphon.policy.verdict import Account, verdict_of
from antiphon.ports import Choice, Clock, UnknownModel
from antiphon.tokens import estimate
from antiphon.turn.trace import Trace
from antiphon.wire.errors import Unavailable
from antiphon.wire.moderations import CreateModeration, ModerationCreated
from antiphon.wire.struct import encode

__all__ = ["LEAST", "Moderations"]

LEAST: Final = Decimal("0.000001")
"""US dollars that a budget must have left where an upstream moderates: what that costs is only known afterwards."""


class Moderations:
    """What the moderators of this server find in anything."""

    def __init__(
        self, moderation: Moderation, choose: Callable[[str], Choice], clock: Clock, observers: Observers, till: Till
    ) -> None:
        """`choose` gives the models that judge, by their names."""
        self._moderation = moderation
        self._choose = choose
        self._clock = clock
        self._observers = observers
        self._till = till

    async def create(
        self, project: str, request: CreateModeration, trace: Trace, *, principal: Principal = OPEN
    ) -> ModerationCreated:
        """Judge what was sent. Raises InvalidRequest for a moderator nobody knows, or what the moderator fails with.

        Raises RateLimited or QuotaExceeded if limits or budgets have no room for it.
        """
        model = self._moderation.named(request.model)
        name = f"modr-{secrets.token_hex(16)}"
        work = Work(
            "moderation",
            name,
            model=model,
            project=project,
            principal=principal,
            trace=trace,
            clock=self._clock,
            input_tokens=estimate(len(encode(request.input))),
        )
        with work.told(self._observers):
            self._till.admit(self._asking(work, model, len(request.groups)))
            verdicts = await self._moderation.classify(model, request.groups, Account(project, trace=trace))
        return ModerationCreated(id=name, model=model, results=[verdict_of(verdict) for verdict in verdicts])

    def _asking(self, work: Work, name: str, groups: int) -> Asking:
        """What is held for it. A model that judges is asked once for each group. Raises Unavailable if it is gone."""
        moderator = self._moderation.moderators[name]
        if moderator.model_name is None:
            return work.asking(LEAST if moderator.window else ZERO)
        try:
            return work.asking(judge=self._choose(moderator.model_name), times=groups)
        except UnknownModel as error:
            raise Unavailable(f"The moderator '{name}' cannot judge: {error.message}") from error
