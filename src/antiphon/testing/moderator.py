"""A moderator whose verdicts, and whose moments, a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from antiphon.policy.verdict import CLEAN, Account, Passage, Verdict
from antiphon.wire.errors import APIError


class ScriptedModerator:
    """A `ports.Moderator` that flags texts with a word, in its own time, and remembers what it was asked."""

    def __init__(self, word: str = "flagged", *, window: int = 10, overlap: int = 8) -> None:
        self.word = word
        self.window = window
        self.overlap = overlap
        self.model_name: str | None = None
        self.asked: list[list[str]] = []
        """The passages of each question."""
        self.images: list[str] = []
        self.failure: APIError | None = None
        """What it fails with, if it does."""
        self.accounts: list[Account | None] = []
        """On whose account each question was asked."""
        self.gate: asyncio.Event | None = None
        """What it waits for before it answers."""
        self.open = 0
        """Questions that are being answered now."""

    async def judge(
        self, passages: Sequence[Passage], images: Sequence[str] = (), account: Account | None = None
    ) -> Verdict:
        """Judge by the word."""
        self.accounts.append(account)
        texts = [passage.text for passage in passages]
        self.asked.append(texts)
        self.images += images
        self.open += 1
        try:
            await (self.gate.wait() if self.gate is not None else asyncio.sleep(0))
        finally:
            self.open -= 1
        if self.failure is not None:
            raise self.failure
        if any(self.word in text for text in texts):
            return Verdict(frozenset({"hate"}), {"hate": 0.9, "violence": 0.1})
        return Verdict(scores={"hate": 0.05}) if texts else CLEAN

    async def aclose(self) -> None:
        """Nothing to release."""
