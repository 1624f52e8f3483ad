"""The list of models that an upstream gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from antiphon.config.keys import key_now
from antiphon.config.probe import ListedModel, NoAnswer, ask_for_models
from antiphon.config.settings import UpstreamSettings
from antiphon.wire.errors import APIError

__all__ = ["KEPT", "Listing"]

PATIENCE: Final = 1.0
"""Seconds that an upstream has to list its models."""

KEPT: Final = 60.0
"""Seconds that its list, or that it had none, is remembered."""


class Listing:
    """What an upstream lists, asked for at most once a minute."""

    def __init__(self, settings: UpstreamSettings, monotonic: Callable[[], float]) -> None:
        self._settings = settings
        self._monotonic = monotonic
        self._listed: Sequence[ListedModel] = ()
        self._until = float("-inf")
        self._asking = asyncio.Lock()

    async def models(self) -> Sequence[ListedModel]:
        """Its models; those of before where it gives none within a second."""
        async with self._asking:
            if self._monotonic() >= self._until:
                self._listed = await self._ask() or self._listed
                self._until = self._monotonic() + KEPT
        return self._listed

    async def _ask(self) -> list[ListedModel]:
        try:
            key = await key_now(self._settings)
            return await asyncio.wait_for(asyncio.to_thread(ask_for_models, self._settings, key, PATIENCE), PATIENCE)
        except (NoAnswer, APIError, TimeoutError):
            return []
