"""The response cache of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon.config.settings import Config
from antiphon.engine.cached import Answers, CacheOptions
from antiphon.engine.clock import SystemClock

if TYPE_CHECKING:
    from antiphon.stores.sqlite import SQLiteStore

__all__ = ["answers_of"]


def answers_of(config: Config, store: SQLiteStore) -> Answers | None:
    """The response cache in the server's database, if it is switched on."""
    from antiphon.stores.cache import SQLiteCache

    settings, clock = config.cache, SystemClock()
    if not settings.enabled:
        return None
    options = CacheOptions(
        ttl=settings.ttl,
        max_entry_bytes=settings.max_entry_bytes,
        models=frozenset(settings.models),
        projects=frozenset(settings.projects),
    )
    return Answers(SQLiteCache(store, max_bytes=settings.max_bytes, now=clock.now), clock, options)
