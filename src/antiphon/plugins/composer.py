"""The composer: puts around a model whatever stands between it and a request.

    Trimmed( Cached( Gated( Capped( Attempts( line, line, … ) ) ) ) )

Each of them only where it could have something to do. Lines to one address share its places, whichever model of
the address says how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import TypeAlias

from antiphon.config.settings import ModelSettings, RehearsalSettings, RouteSettings, UpstreamSettings
from antiphon.engine.attempts import Attempts
from antiphon.engine.cached import Answers, Cached
from antiphon.engine.capped import Capped
from antiphon.engine.gated import Gated
from antiphon.engine.lines import Line
from antiphon.engine.moderation import Moderation
from antiphon.engine.trimmed import Trimmed
from antiphon.engine.upstreams import Upstreams
from antiphon.plugins.backends import Backend, backend_of
from antiphon.policy.admission import AdmissionSettings
from antiphon.policy.prices import Prices
from antiphon.policy.route import Order
from antiphon.ports import Model

__all__ = ["Composer", "Identity"]

Identity: TypeAlias = Callable[..., bytes]
"""What is configured, for the keys of the cache: `antiphon.config.identity`."""


class Composer:
    """Makes the model of each name, once."""

    def __init__(
        self,
        settings: Mapping[str, ModelSettings],
        *,
        upstreams: Upstreams,
        prices: Prices,
        moderation: Moderation | None,
        answers: Answers | None,
        identity: Identity,
    ) -> None:
        self._settings = settings
        self._upstreams = upstreams
        self._prices = prices
        self._moderation = moderation
        self._answers = answers
        self._identity = identity
        self._backends: dict[str, Backend] = {}
        self._places = {
            address_of(name, model): AdmissionSettings(
                limit=model.max_concurrency, queue=model.max_queue, adaptive=model.adaptive_concurrency
            )
            for name, model in settings.items()
            if model.max_concurrency
        }

    def model(self, entry: str, name: str) -> Model:
        """The model of an entry of the settings, asked for under a name."""
        settings = self._settings[entry]
        model = self._route(settings) if isinstance(settings, RouteSettings) else self._single(entry, name)
        model = Capped(model)
        if self._moderation is not None:
            model = Gated(model, self._moderation)
        if self._answers is not None and self._answers.options.keeps(name):
            model = Cached(model, self._answers, self._identity(name, settings, self._below(settings)))
        return self._trimmed(model, settings)

    def billed(self, entry: str, name: str) -> tuple[tuple[str, str | None], ...]:
        """What each model that may answer is called where it is, and its address."""
        settings = self._settings[entry]
        if isinstance(settings, RouteSettings):
            return tuple(each for target in settings.models for each in self.billed(target, target))
        return ((self._named(entry, name).name, settings.address if isinstance(settings, UpstreamSettings) else None),)

    async def aclose(self) -> None:
        """Close all backends that were made."""
        for backend in self._backends.values():
            await backend.aclose()

    # What is told

    def _trimmed(self, model: Model, settings: ModelSettings) -> Model:
        """The model, told less where that is wanted. A route has the smallest window of its models."""
        windows = [each.context_window for each in (settings, *self._below(settings).values())]
        window = settings.context_window or min((each for each in windows if each is not None), default=None)
        if window is None and not settings.optimise:
            return model
        encoding = settings.encoding if isinstance(settings, UpstreamSettings) else ""
        return Trimmed(model, window=window, optimise=settings.optimise, encoding=encoding)

    def _below(self, settings: ModelSettings) -> dict[str, ModelSettings]:
        """The models that a route leads to."""
        return {name: self._settings[name] for name in settings.models} if isinstance(settings, RouteSettings) else {}

    def unpriced(self, settings: RouteSettings) -> list[str]:
        """The models of a route whose price is not known now, the built-in one left aside."""
        below = [(name, each) for name, each in self._below(settings).items() if isinstance(each, UpstreamSettings)]
        return [name for name, each in below if self._usual_price(each.model or name, each.address) is None]

    # Who is asked

    def _route(self, settings: RouteSettings) -> Model:
        """The models of a route as one."""
        lines = [self._line(name, self._named(name, name)) for name in settings.models]
        for name, line in zip(settings.models, lines, strict=True):
            line.weight = settings.weights.get(name, 1.0)
        return self._attempts(lines, settings.order)

    def _single(self, entry: str, name: str) -> Model:
        """One model. What rehearsal rehearses is for the client to see, so that nothing is done about it."""
        model, settings = self._named(entry, name), self._settings[entry]
        if _is_bare(settings):
            return model
        return self._attempts([self._line(entry, model, is_configured=entry == name)], "first")

    def _named(self, entry: str, name: str) -> Model:
        settings = self._settings[entry]
        upstream_name = settings.model if isinstance(settings, UpstreamSettings) else ""
        return self._backend(entry).model(upstream_name or name)

    def _attempts(self, lines: list[Line], order: Order) -> Model:
        upstreams = self._upstreams
        return Attempts(lines, upstreams.clock, upstreams.retry, order=order, random=upstreams.chance)

    def _line(self, entry: str, model: Model, *, is_configured: bool = True) -> Line:
        settings = self._settings[entry]
        address = address_of(entry, settings)
        priced_at = address if isinstance(settings, UpstreamSettings) else None
        return self._upstreams.line(
            model,
            address,
            places=self._places.get(address),
            hedges=settings.hedging,
            breaker=settings.breaker,
            price=lambda: self._usual_price(model.name, priced_at),
            is_configured=is_configured,
        )

    def _usual_price(self, model: str, upstream: str | None) -> Decimal | None:
        """What a usual request costs now: three tokens in for each one out."""
        cost = self._prices.estimate(model, 3_000, 1_000, at=self._upstreams.clock.now(), upstream=upstream)
        return None if cost is None else cost.total

    def _backend(self, entry: str) -> Backend:
        backend = self._backends.get(entry)
        if backend is None:
            backend = self._backends[entry] = backend_of(self._settings[entry])
        return backend


def _is_bare(settings: ModelSettings) -> bool:
    """Whether a model is asked without attempts: what is rehearsed is for the client to see."""
    return isinstance(settings, RehearsalSettings) and not settings.max_concurrency


def address_of(name: str, settings: ModelSettings) -> str:
    """Where a model is: at the address of its upstream, or, of a backend that has none, by itself."""
    return settings.address if isinstance(settings, UpstreamSettings) else f"{settings.backend}:{name}"
