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
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from antiphon.config.addresses import is_loopback
from antiphon.config.convert import nearest
from antiphon.config.discovery import LOCAL, LocalServer, discover
from antiphon.config.keys import key_now, key_source
from antiphon.config.probe import ListedModel, NoAnswer, ask_for_models
from antiphon.config.settings import (
    BACKENDS,
    ChatSettings,
    Config,
    ConfigError,
    ModelSettings,
    PluginSettings,
    RehearsalSettings,
    ResponsesSettings,
    Secret,
    UpstreamSettings,
)
from antiphon.ports import Choice, Model
from antiphon.wire.errors import APIError, InvalidRequest
from antiphon.wire.response import ModelObject

__all__ = ["GROUP", "Backend", "Models", "compose"]

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
    ) -> None:
        """`settings` by name; `answer_all`: rehearsal answers every name; `created`: what the list of models says."""
        self.settings = dict(settings)
        self.settings.setdefault(REHEARSAL, RehearsalSettings(backend=REHEARSAL))
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
        upstream_name = settings.model if isinstance(settings, UpstreamSettings) else ""
        model = self._backend(entry).model(upstream_name or name)
        told = REHEARSAL if isinstance(settings, RehearsalSettings) else name
        return Choice(told, model, settings.total_timeout, settings.background_timeout)

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
    settings = dict(config.models)
    if config.discovers:
        for name, found in discover(environ, port, servers=servers).items():
            settings.setdefault(name, found)
    alone = all(isinstance(model, RehearsalSettings) for model in settings.values())
    return Models(settings, answer_all=alone and is_loopback(config.server.host), created=created)


async def _list_of(settings: UpstreamSettings) -> list[ListedModel]:
    """The models that an upstream lists, or none."""
    try:
        key = await key_now(settings)
        return await asyncio.wait_for(asyncio.to_thread(ask_for_models, settings, key, PATIENCE), PATIENCE)
    except (NoAnswer, APIError, TimeoutError):
        return []


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


def _rehearsal(settings: RehearsalSettings) -> Backend:
    from antiphon.models.rehearsal import Rehearsal

    return _only(Rehearsal(tokens_per_second=settings.tokens_per_second or None))


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
