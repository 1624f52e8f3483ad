"""The server's catalog: which model a name stands for. A name is looked up in this order:

1. the models that are configured, or were found, by their exact name
2. `rehearsal`, which is always there
3. `*`, if it is configured: its backend gets the name that was asked for
4. on loopback, where there is nothing but rehearsal, rehearsal; the Response then says so
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

from antiphon.config.identity import identity
from antiphon.config.settings import ModelSettings, RehearsalSettings, RouteSettings, UpstreamSettings
from antiphon.engine.cached import Answers
from antiphon.engine.clock import SystemClock
from antiphon.engine.moderation import Moderation
from antiphon.engine.upstreams import Upstreams
from antiphon.plugins.composer import Composer, Identity
from antiphon.plugins.listing import Listing
from antiphon.policy.prices import Prices
from antiphon.ports import Choice, UnknownModel
from antiphon.wire.response import ModelObject

__all__ = ["EVERY_OTHER", "REHEARSAL", "REMEMBERED", "Models"]

_log = logging.getLogger(__name__)

REHEARSAL: Final = "rehearsal"
EVERY_OTHER: Final = "*"

REMEMBERED: Final = 256
"""Models of `*` that are kept, with what they have learned of their upstream."""


class Models:
    """The models that requests may name. Implements `antiphon.ports.Catalog`."""

    def __init__(
        self,
        settings: Mapping[str, ModelSettings],
        *,
        answer_all: bool = False,
        created: int = 0,
        monotonic: Callable[[], float] = time.monotonic,
        upstreams: Upstreams | None = None,
        prices: Prices | None = None,
        moderation: Moderation | None = None,
        answers: Answers | None = None,
        identity: Identity = identity,
    ) -> None:
        """`settings` by name; `answer_all`: rehearsal answers every name; `created`: what the list of models says.

        `moderation` judges the words of all models, `answers` is their cache, and `identity` makes the keys of that.
        """
        self.settings = dict(settings)
        self.settings.setdefault(REHEARSAL, RehearsalSettings(backend=REHEARSAL))
        self.upstreams = upstreams or Upstreams(SystemClock())
        """What is known of who is asked; also where their breakers and queues can be read."""
        self.prices = prices or Prices()
        self.moderation = moderation
        self.answers = answers
        self._composer = Composer(
            self.settings,
            upstreams=self.upstreams,
            prices=self.prices,
            moderation=moderation,
            answers=answers,
            identity=identity,
        )
        self._warn_of_prices()
        self._answer_all = answer_all
        self._created = created
        self._choices: dict[str, Choice] = {}
        self._others = lru_cache(REMEMBERED)(self._other)
        other = self.settings.get(EVERY_OTHER)
        self._listing = Listing(other, monotonic) if isinstance(other, UpstreamSettings) and not other.model else None
        self._pass_through = frozenset[str]().union(
            *(model.pass_through for model in settings.values() if isinstance(model, UpstreamSettings))
        )

    def _warn_of_prices(self) -> None:
        for name, settings in self.settings.items():
            if isinstance(settings, RouteSettings) and settings.order == "cheapest":
                for target in self._composer.unpriced(settings):
                    _log.warning("%s asks the cheapest first, and %r last: its price is not known", name, target)

    # Choosing

    def choose(self, name: str | None) -> Choice:
        """The model for a name. Raises UnknownModel with the names there are."""
        if not name:
            raise self._not_found("You must provide a model parameter.")
        if (choice := self._choices.get(name)) is not None:
            return choice
        if name in self.settings and name != EVERY_OTHER:
            choice = self._choices[name] = self._choice(name, name)
            return choice
        if EVERY_OTHER in self.settings:
            return self._others(name)
        if self._answer_all:
            return self.choose(REHEARSAL)
        raise self._not_found(f"The model '{name[:200]}' does not exist.")

    def _other(self, name: str) -> Choice:
        return self._choice(EVERY_OTHER, name)

    def _choice(self, entry: str, name: str) -> Choice:
        """The model of an entry. Rehearsal says that it is rehearsal, under whatever name it was asked for."""
        settings = self.settings[entry]
        told = REHEARSAL if isinstance(settings, RehearsalSettings) else name
        model = self._composer.model(entry, name)
        return Choice(
            told,
            model,
            settings.total_timeout,
            settings.background_timeout,
            billed=self._composer.billed(entry, name),
            output=settings.default_output_tokens,
        )

    def _not_found(self, reason: str) -> UnknownModel:
        return UnknownModel(reason, self.names(), others=EVERY_OTHER in self.settings)

    # Listing

    def names(self) -> list[str]:
        """The names that are known without asking anybody, in the order of the configuration."""
        return [name for name in self.settings if name != EVERY_OTHER]

    @property
    def other(self) -> str | None:
        """Where names go that nothing else answers: to the address of an upstream, a backend, or nowhere."""
        match self.settings.get(EVERY_OTHER):
            case UpstreamSettings(base_url=base_url):
                return base_url
            case ModelSettings(backend=backend):
                return backend
        return REHEARSAL if self._answer_all else None

    @property
    def pass_through(self) -> frozenset[str]:
        """Parameters that at least one model lets through."""
        return self._pass_through

    async def models(self) -> list[ModelObject]:
        """What requests may name; with the list of the upstream of `*`, if it gives one within a second."""
        known = [ModelObject(id=name, created=self._created, owned_by=self._owner(name)) for name in self.names()]
        names = set(self.names())
        others = [
            ModelObject(id=model.id, created=model.created or self._created, owned_by=model.owned_by or "upstream")
            for model in (await self._listing.models() if self._listing is not None else ())
            if model.id not in names
        ]
        return [*known, *others]

    def _owner(self, name: str) -> str:
        backend = self.settings[name].backend
        return "antiphon" if backend == REHEARSAL else backend

    # End

    async def aclose(self) -> None:
        """Close all models."""
        await self._composer.aclose()
