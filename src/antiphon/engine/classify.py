"""Classify: POST /moderations, reported as every other work is."""

from __future__ import annotations

import secrets

from antiphon.engine.moderation import Moderation
from antiphon.engine.report import Observers
from antiphon.engine.work import Work
from antiphon.policy.verdict import Account, verdict_of
from antiphon.ports import Clock
from antiphon.turn.trace import Trace
from antiphon.wire.moderations import CreateModeration, ModerationCreated

__all__ = ["Moderations"]


class Moderations:
    """What the moderators of this server find in anything."""

    def __init__(self, moderation: Moderation, clock: Clock, observers: Observers) -> None:
        self._moderation = moderation
        self._clock = clock
        self._observers = observers

    async def create(self, project: str, request: CreateModeration, trace: Trace) -> ModerationCreated:
        """Judge what was sent. Raises InvalidRequest for a moderator nobody knows, or what the moderator fails with."""
        model = self._moderation.named(request.model)
        name = f"modr-{secrets.token_hex(16)}"
        work = Work("moderation", name, model=model, project=project, trace=trace, clock=self._clock)
        with work.told(self._observers):
            verdicts = await self._moderation.classify(model, request.groups, Account(project, trace=trace))
        return ModerationCreated(id=name, model=model, results=[verdict_of(verdict) for verdict in verdicts])
