"""Makes models of settings: the one place that knows both the configuration and the backends.

`Models` is the server's `antiphon.ports.Catalog`. A name is looked up in this order:

1. the models that are configured, or were found, by their exact name
2. `rehearsal`, which is always there
3. `*`, if it is configured: its backend gets the name that was asked for
4. on loopback, where there is nothing but rehearsal, rehearsal; the Response then says so

Backends of others are entry points of the group `antiphon.backends`: `name = "module:function"`, where the function
takes the `PluginSettings` of one model and gives an `antiphon.ports.Model`. A backend is loaded when its first model is
asked for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from antiphon.config.addresses import is_loopback
from antiphon.config.check import BUILT_IN_MODERATOR
from antiphon.config.convert import nearest
from antiphon.config.discovery import LOCAL, LocalServer, discover
from antiphon.config.identity import identity
from antiphon.config.keys import key_now, key_source
from antiphon.config.probe import ListedModel, NoAnswer, ask_for_models
from antiphon.config.rules import rules_of
from antiphon.config.settings import (
    BACKENDS,
    ChatSettings,
    Config,
    ConfigError,
    EmbeddingsSettings,
    JudgeSettings,
    ModelSettings,
    ModeratorSettings,
    PluginSettings,
    RehearsalSettings,
    ResponsesSettings,
    RouteSettings,
    RulesSettings,
    Secret,
    UpstreamModeratorSettings,
    UpstreamSettings,
)
from antiphon.engine.attempts import Attempts
from antiphon.engine.cached import Answers, Cached, CacheOptions
from antiphon.engine.clock import SystemClock
from antiphon.engine.gated import Gated
from antiphon.engine.lines import Line
from antiphon.engine.moderation import Moderation, ModerationPolicy
from antiphon.engine.trimmed import Trimmed
from antiphon.engine.upstreams import Upstreams
from antiphon.policy.admission import AdmissionSettings
from antiphon.policy.prices import Prices
from antiphon.policy.route import Order
from antiphon.ports import Choice, Embedder, Model, Moderator, Observer
from antiphon.wire.errors import APIError, InvalidRequest
from antiphon.wire.response import ModelObject

if TYPE_CHECKING:
    from antiphon.observe.metrics import Metrics
    from antiphon.observe.otel import Tracing
    from antiphon.stores.sqlite import SQLiteStore

__all__ = ["GROUP", "Backend", "Models", "Monitoring", "answers_of", "compose", "embedders", "monitoring"]

_log = logging.getLogger(__name__)

GROUP: Final = "antiphon.backends"
"""The group of entry points of backends."""

REHEARSAL: Final = "rehearsal"
EVERY_OTHER: Final = "*"

PATIENCE: Final = 1.0
"""Seconds that an upstream has to list its models."""

KEPT: Final = 60.0
"""Seconds that its list, or that it had none, is remembered."""

REMEMBERED: Final = 256
"""Models of `*` that are kept, with what they have learned of their upstream."""

O = TypeVar("O", bound=msgspec.Struct)  # noqa: E741


class Backend(NamedTuple):
    """What one table of `[models]` becomes: its models by their upstream's name, and how to close them all."""

    model: Callable[[str], Model]
    aclose: Callable[[], Awaitable[None]]


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
    ) -> None:
        """`settings` by name; `answer_all`: rehearsal answers every name; `created`: what the list of models says."""
        self.settings = dict(settings)
        self.settings.setdefault(REHEARSAL, RehearsalSettings(backend=REHEARSAL))
        self.moderation: Moderation | None = None
        """What judges the words of all models. It may ask one of them, so it comes later."""
        self.answers: Answers | None = None
        """The response cache. It needs the server's store, so it comes later."""
        self.identity: Callable[..., bytes] = identity
        """What is configured, for the keys of the cache; with the policies on the way of all models."""
        self.upstreams = upstreams or Upstreams(SystemClock())
        """What is known of who is asked; also where their breakers and queues can be read."""
        self.prices = prices or Prices()
        self._answer_all = answer_all
        self._created = created
        self._backends: dict[str, Backend] = {}
        self._choices: dict[str, Choice] = {}
        self._others = lru_cache(REMEMBERED)(self._other)
        self._monotonic = monotonic
        self._listed: Sequence[ListedModel] = ()
        self._listed_until = float("-inf")
        self._listing = asyncio.Lock()
        self._pass_through = frozenset[str]().union(
            *(model.pass_through for model in settings.values() if isinstance(model, UpstreamSettings))
        )

    # Choosing

    def choose(self, name: str | None) -> Choice:
        """The model for a name. Raises InvalidRequest (400 `model_not_found`) with the names there are."""
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
        model = self._route(settings) if isinstance(settings, RouteSettings) else self._single(entry, name)
        if self.moderation is not None:
            model = Gated(model, self.moderation)
        if self.answers is not None and self.answers.options.keeps(name):
            model = Cached(model, self.answers, self.identity(name, settings, self._below(settings)))
        model = self._trimmed(model, settings)
        told = REHEARSAL if isinstance(settings, RehearsalSettings) else name
        return Choice(told, model, settings.total_timeout, settings.background_timeout)

    def _below(self, settings: ModelSettings) -> dict[str, ModelSettings]:
        """The models that a route leads to."""
        return {name: self.settings[name] for name in settings.models} if isinstance(settings, RouteSettings) else {}

    def _trimmed(self, model: Model, settings: ModelSettings) -> Model:
        """The model, told less where that is wanted. A route has the smallest window of its models."""
        windows = [each.context_window for each in (settings, *self._below(settings).values())]
        window = settings.context_window or min((each for each in windows if each is not None), default=None)
        if window is None and not settings.optimise:
            return model
        encoding = settings.encoding if isinstance(settings, UpstreamSettings) else ""
        return Trimmed(model, window=window, optimise=settings.optimise, encoding=encoding)

    def _route(self, settings: RouteSettings) -> Model:
        """The models of a route as one."""
        lines = [self._line(name, self._named(name, name)) for name in settings.models]
        for name, line in zip(settings.models, lines, strict=True):
            line.weight = settings.weights.get(name, 1.0)
        return self._attempts(lines, settings.order)

    def _single(self, entry: str, name: str) -> Model:
        """One model. What rehearsal rehearses is for the client to see, so that nothing is done about it."""
        model, settings = self._named(entry, name), self.settings[entry]
        if isinstance(settings, RehearsalSettings) and not settings.max_concurrency:
            return model
        return self._attempts([self._line(entry, model)], "first")

    def _named(self, entry: str, name: str) -> Model:
        settings = self.settings[entry]
        upstream_name = settings.model if isinstance(settings, UpstreamSettings) else ""
        return self._backend(entry).model(upstream_name or name)

    def _attempts(self, lines: list[Line], order: Order) -> Model:
        upstreams = self.upstreams
        return Attempts(lines, upstreams.clock, upstreams.retry, order=order, random=upstreams.chance)

    def _line(self, entry: str, model: Model) -> Line:
        settings = self.settings[entry]
        address = settings.base_url.rstrip("/") if isinstance(settings, UpstreamSettings) else None
        return self.upstreams.line(
            model,
            address or f"{settings.backend}:{entry}",
            places=_places(settings),
            hedges=settings.hedging,
            price=lambda: self._usual_price(model.name, address),
        )

    def _usual_price(self, model: str, upstream: str | None) -> Decimal | None:
        """What a usual request costs now: three tokens in for each one out."""
        cost = self.prices.estimate(model, 3_000, 1_000, at=self.upstreams.clock.now(), upstream=upstream)
        return None if cost is None else cost.total

    def _backend(self, entry: str) -> Backend:
        backend = self._backends.get(entry)
        if backend is None:
            backend = self._backends[entry] = _make(self.settings[entry])
        return backend

    def _not_found(self, reason: str) -> InvalidRequest:
        available = ", ".join(self.names())
        if EVERY_OTHER in self.settings:
            available += ", and any name that the upstream knows"
        return InvalidRequest(f"{reason} Available models: {available}.", param="model", code="model_not_found")

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
            for model in await self._upstream_list()
            if model.id not in names
        ]
        return [*known, *others]

    def _owner(self, name: str) -> str:
        backend = self.settings[name].backend
        return "antiphon" if backend == REHEARSAL else backend

    async def _upstream_list(self) -> Sequence[ListedModel]:
        other = self.settings.get(EVERY_OTHER)
        if not isinstance(other, UpstreamSettings) or other.model:
            return ()
        async with self._listing:
            if self._monotonic() >= self._listed_until:
                self._listed = await _list_of(other) or self._listed
                self._listed_until = self._monotonic() + KEPT
        return self._listed

    # End

    async def aclose(self) -> None:
        """Close all models."""
        for backend in self._backends.values():
            await backend.aclose()


def compose(
    config: Config,
    environ: Mapping[str, str],
    *,
    own_port: int | None = None,
    created: int = 0,
    servers: Sequence[LocalServer] = LOCAL,
) -> Models:
    """The catalog of a configuration; looks for models where that is wanted. Raises ConfigError.

    `own_port` is where we listen, if that is not the configured port; `servers` are the local ones to ask.
    """
    port = config.server.port if own_port is None else own_port
    _check_plugins(config)
    _check_rehearsals(config)
    settings = dict(config.models)
    if config.discovers:
        for name, found in discover(environ, port, servers=servers).items():
            settings.setdefault(name, found)
    _check_routes(config, settings)
    alone = all(isinstance(model, RehearsalSettings) for model in settings.values())
    upstreams = Upstreams(SystemClock(), retry=config.retry, breaker=config.breaker, hedging=config.hedging)
    models = Models(
        settings,
        answer_all=alone and is_loopback(config.server.host),
        created=created,
        upstreams=upstreams,
        prices=Prices.load(config.prices.file),
    )
    models.moderation = moderation_of(config, models)
    models.identity = partial(identity, config.moderation, config.moderators)
    return models


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


async def _list_of(settings: UpstreamSettings) -> list[ListedModel]:
    """The models that an upstream lists, or none."""
    try:
        key = await key_now(settings)
        return await asyncio.wait_for(asyncio.to_thread(ask_for_models, settings, key, PATIENCE), PATIENCE)
    except (NoAnswer, APIError, TimeoutError):
        return []


# Observers


class Monitoring(NamedTuple):
    """Who looks on."""

    observers: Sequence[Observer]
    metrics: Metrics | None
    """The one of them that GET /metrics asks."""
    close: Callable[[], None]
    """Sends what is left to be sent, within seconds; for the very end."""


def monitoring(
    config: Config, environ: Mapping[str, str], names: Sequence[str], upstreams: Upstreams | None = None
) -> Monitoring:
    """The observers of a configuration; `names` are the models that it knows. Raises ConfigError."""
    from antiphon.observe.logs import RequestLog
    from antiphon.observe.metrics import Metrics

    metrics = Metrics([*names, *config.embeddings]) if config.metrics.enabled else None
    if metrics is not None and upstreams is not None:
        metrics.watch_upstreams(upstreams)
    tracing = _tracing(config, environ)
    observers: list[Observer | None] = [RequestLog() if config.logging.requests else None, metrics, tracing]
    close = tracing.close if tracing is not None else lambda: None
    return Monitoring([each for each in observers if each is not None], metrics, close)


def _tracing(config: Config, environ: Mapping[str, str]) -> Tracing | None:
    """Traces, where there is a place for them. Only the setting insists on it: a variable may be meant for others."""
    from antiphon.observe.otel import ENDPOINT, NotInstalled, exporting

    endpoint = config.tracing.endpoint
    if not (endpoint or environ.get(ENDPOINT)):
        return None
    try:
        return exporting(endpoint or None)
    except NotInstalled as error:
        if endpoint:
            raise ConfigError(config.source.name if config.source else "", "tracing.endpoint", str(error)) from error
        _log.warning("%s is set, and %s", ENDPOINT, error)
        return None


# Moderation


def moderation_of(config: Config, models: Models) -> Moderation:
    """The moderators of a configuration, which may be models of it, and the operator's policy. Raises ConfigError."""
    from antiphon.models.moderators import RuleList
    from antiphon.policy.rules import BUILT_IN, Rules

    source = config.source.name if config.source else ""
    moderators = {name: _moderator(name, each, models, source) for name, each in config.moderators.items()}
    moderators.setdefault(BUILT_IN_MODERATOR, RuleList(lambda: Rules(BUILT_IN)))
    asked = config.moderation
    policy = ModerationPolicy(asked.input, asked.output, asked.moderator, asked.fail == "open")
    return Moderation(moderators, policy)


def _moderator(name: str, settings: ModeratorSettings, models: Models, source: str) -> Moderator:
    from antiphon.models.moderators import Asked, Judge, RuleList, UpstreamModerator
    from antiphon.models.upstream import UpstreamOptions

    match settings:
        case RulesSettings():
            rules = rules_of(settings, source, f'moderators."{name}"')
            return RuleList(lambda: rules)
        case JudgeSettings(model=model):
            asked = Asked(window=settings.window, overlap=settings.overlap, threshold=settings.threshold)
            return Judge(
                lambda: models.choose(model).model, model, asked, policy=settings.policy, timeout=settings.timeout
            )
        case UpstreamModeratorSettings():
            asked = Asked(window=settings.window, overlap=settings.overlap, threshold=settings.threshold)
            options = UpstreamOptions(
                base_url=settings.base_url,
                model=settings.model,
                api_key=key_source(settings),
                headers={header: _revealed(value) for header, value in settings.headers.items()},
                connect_timeout=settings.connect_timeout,
                first_token_timeout=settings.timeout,
                verify=str(settings.ca_file) if settings.ca_file else settings.verify,
            )
            return UpstreamModerator(options, asked)
    raise TypeError(f"{type(settings).__name__} is no moderator's")


# Embeddings


def embedders(config: Config) -> dict[str, Embedder]:
    """The models of `[embeddings]`, by their name."""
    return {name: _embedder(settings) for name, settings in config.embeddings.items()}


def _embedder(settings: EmbeddingsSettings) -> Embedder:
    from antiphon.models.embeddings import UpstreamEmbedder
    from antiphon.models.upstream import UpstreamOptions

    return UpstreamEmbedder(
        UpstreamOptions(
            base_url=settings.base_url,
            model=settings.model,
            api_key=key_source(settings),
            headers={name: _revealed(value) for name, value in settings.headers.items()},
            connect_timeout=settings.connect_timeout,
            first_token_timeout=settings.timeout,
            max_body=settings.max_body,
            max_error_body=settings.max_error_body,
            verify=str(settings.ca_file) if settings.ca_file else settings.verify,
        )
    )


# Backends


def _make(settings: ModelSettings) -> Backend:
    match settings:
        case RehearsalSettings():
            return _rehearsal(settings)
        case ChatSettings():
            return _chat_completions(settings)
        case ResponsesSettings():
            return _responses(settings)
        case PluginSettings():
            return _plugin(settings)
    raise TypeError(f"{type(settings).__name__} is no backend's")


def _places(settings: ModelSettings) -> AdmissionSettings | None:
    limit = settings.max_concurrency
    adaptive = settings.adaptive_concurrency
    return AdmissionSettings(limit=limit, queue=settings.max_queue, adaptive=adaptive) if limit else None


def _rehearsal(settings: RehearsalSettings) -> Backend:
    from antiphon.models.rehearsal import Rehearsal
    from antiphon.models.rehearsal.faults import fault

    planned = fault(settings.fault) if settings.fault else None
    return _only(Rehearsal(tokens_per_second=settings.tokens_per_second or None, fault=planned))


def _chat_completions(settings: ChatSettings) -> Backend:
    from antiphon.models.chat_completions import ChatCompletions, ChatOptions
    from antiphon.models.upstream import Upstream

    options = _options(settings, ChatOptions)
    upstream = Upstream(options)
    return Backend(
        lambda name: ChatCompletions(msgspec.structs.replace(options, model=name), upstream=upstream), upstream.aclose
    )


def _responses(settings: ResponsesSettings) -> Backend:
    from antiphon.models.responses import Responses, ResponsesOptions
    from antiphon.models.upstream import Upstream

    options = _options(settings, ResponsesOptions)
    upstream = Upstream(options)
    return Backend(
        lambda name: Responses(msgspec.structs.replace(options, model=name), upstream=upstream), upstream.aclose
    )


def _plugin(settings: PluginSettings) -> Backend:
    from importlib.metadata import entry_points

    (point,) = entry_points(group=GROUP, name=settings.backend)
    return _only(point.load()(settings))


def _only(model: Model) -> Backend:
    """A backend of one model, which answers under every name."""
    return Backend(lambda _: model, model.aclose)


def _options(settings: UpstreamSettings, kind: type[O]) -> O:
    """Settings as the options of a backend, field by field of the same name."""
    given: dict[str, Any] = {name: getattr(settings, name) for name in kind.__struct_fields__}
    given["headers"] = {name: _revealed(value) for name, value in settings.headers.items()}
    given["verify"] = str(settings.ca_file) if settings.ca_file else settings.verify
    given["api_key"] = key_source(settings)
    return kind(**given)


def _revealed(value: Secret) -> str:
    return value.reveal()


def _check_rehearsals(config: Config) -> None:
    """Raises ConfigError for a fault that cannot be rehearsed."""
    from antiphon.models.rehearsal.faults import fault

    for name, settings in config.models.items():
        if not isinstance(settings, RehearsalSettings) or not settings.fault:
            continue
        try:
            fault(settings.fault)
        except ValueError as error:
            source = config.source.name if config.source else ""
            raise ConfigError(source, f'models."{name}".fault', f"expected {error}") from error


def _check_routes(config: Config, found: Mapping[str, ModelSettings]) -> None:
    """Raises ConfigError for a route to a model that is not configured and was not found either."""
    for name, settings in config.models.items():
        for target in settings.models if isinstance(settings, RouteSettings) else ():
            if target not in found and target != REHEARSAL:
                source = config.source.name if config.source else ""
                reason = f"there is no model {target!r}, and none was found{nearest(target, found)}"
                raise ConfigError(source, f'models."{name}".models', reason)


def _check_plugins(config: Config) -> None:
    """Raises ConfigError for a backend that is not installed."""
    for name, settings in config.models.items():
        if not isinstance(settings, PluginSettings):
            continue
        from importlib.metadata import entry_points

        known = {*BACKENDS, *entry_points(group=GROUP).names}
        if settings.backend not in known:
            source = config.source.name if config.source else ""
            reason = f"there is no backend {settings.backend!r}{nearest(settings.backend, known)}"
            raise ConfigError(source, f'models."{name}".backend', reason)
