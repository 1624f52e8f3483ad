"""Backends: what one table of `[models]` becomes.

Those of others are entry points of the group `antiphon.backends`: `name = "module:function"`, where the function takes
the `PluginSettings` of one model and gives an `antiphon.ports.Model`. A backend is loaded when its first model is asked
for.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import msgspec

from antiphon.config.convert import nearest
from antiphon.config.settings import (
    BACKENDS,
    ChatSettings,
    Config,
    ConfigError,
    ModelSettings,
    PluginSettings,
    RehearsalSettings,
    ResponsesSettings,
)
from antiphon.plugins.options import options_of
from antiphon.ports import Model

__all__ = ["GROUP", "Backend", "backend_of", "check_backends"]

GROUP: Final = "antiphon.backends"
"""The group of entry points of backends."""


class Backend(NamedTuple):
    """What one table of `[models]` becomes: its models by their upstream's name, and how to close them all."""

    model: Callable[[str], Model]
    aclose: Callable[[], Awaitable[None]]


def backend_of(settings: ModelSettings) -> Backend:
    """The backend of a table."""
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
    from antiphon.models.rehearsal.faults import fault

    planned = fault(settings.fault) if settings.fault else None
    return _only(Rehearsal(tokens_per_second=settings.tokens_per_second or None, fault=planned))


def _chat_completions(settings: ChatSettings) -> Backend:
    from antiphon.models.chat_completions import ChatCompletions, ChatOptions
    from antiphon.models.upstream import Upstream

    options = options_of(settings, ChatOptions)
    upstream = Upstream(options)
    return Backend(
        lambda name: ChatCompletions(msgspec.structs.replace(options, model=name), upstream=upstream), upstream.aclose
    )


def _responses(settings: ResponsesSettings) -> Backend:
    from antiphon.models.responses import Responses, ResponsesOptions
    from antiphon.models.upstream import Upstream

    options = options_of(settings, ResponsesOptions)
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


# What can be known before the first request


def check_backends(config: Config) -> None:
    """Raises ConfigError for a backend that is not installed, and for a fault that cannot be rehearsed."""
    source = config.source.name if config.source else ""
    for name, settings in config.models.items():
        match settings:
            case PluginSettings():
                _check_plugin(settings, source, f'models."{name}".backend')
            case RehearsalSettings() if settings.fault:
                _check_fault(settings.fault, source, f'models."{name}".fault')


def _check_plugin(settings: PluginSettings, source: str, key: str) -> None:
    from importlib.metadata import entry_points

    known = {*BACKENDS, *entry_points(group=GROUP).names}
    if settings.backend not in known:
        reason = f"there is no backend {settings.backend!r}{nearest(settings.backend, known)}"
        raise ConfigError(source, key, reason)


def _check_fault(text: str, source: str, key: str) -> None:
    from antiphon.models.rehearsal.faults import fault

    try:
        fault(text)
    except ValueError as error:
        raise ConfigError(source, key, f"expected {error}") from error
