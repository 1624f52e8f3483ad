"""A configuration as its catalog."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from antiphon.config.addresses import is_loopback
from antiphon.config.convert import nearest
from antiphon.config.discovery import LOCAL, LocalServer, discover
from antiphon.config.identity import identity
from antiphon.config.settings import Config, ConfigError, ModelSettings, RehearsalSettings, RouteSettings
from antiphon.engine.cached import Answers
from antiphon.engine.clock import SystemClock
from antiphon.engine.upstreams import Upstreams
from antiphon.plugins.backends import check_backends
from antiphon.plugins.catalog import REHEARSAL, Models
from antiphon.plugins.moderators import moderation_of
from antiphon.policy.prices import Prices
from antiphon.ports import Model

__all__ = ["compose"]


def compose(
    config: Config,
    environ: Mapping[str, str],
    *,
    own_port: int | None = None,
    created: int = 0,
    servers: Sequence[LocalServer] = LOCAL,
    answers: Answers | None = None,
) -> Models:
    """The catalog of a configuration; looks for models where that is wanted. Raises ConfigError.

    `own_port` is where we listen, if that is not the configured port; `servers` are the local ones to ask; `answers` is
    the response cache.
    """
    check_backends(config)
    settings = dict(config.models)
    if config.discovers:
        port = config.server.port if own_port is None else own_port
        for name, found in discover(environ, port, servers=servers).items():
            settings.setdefault(name, found)
    _check_routes(config, settings)

    def judge(name: str) -> Model:
        return models.choose(name).model

    alone = all(isinstance(model, RehearsalSettings) for model in settings.values())
    models = Models(
        settings,
        answer_all=alone and is_loopback(config.server.host),
        created=created,
        upstreams=Upstreams(SystemClock(), retry=config.retry, breaker=config.breaker, hedging=config.hedging),
        prices=Prices.load(config.prices.file),
        moderation=moderation_of(config, judge),
        answers=answers,
        identity=partial(identity, config.moderation, config.moderators),
    )
    return models


def _check_routes(config: Config, found: Mapping[str, ModelSettings]) -> None:
    """Raises ConfigError for a route to a model that is not configured and was not found either."""
    for name, settings in config.models.items():
        for target in settings.models if isinstance(settings, RouteSettings) else ():
            if target not in found and target != REHEARSAL:
                source = config.source.name if config.source else ""
                reason = f"there is no model {target!r}, and none was found{nearest(target, found)}"
                raise ConfigError(source, f'models."{name}".models', reason)
