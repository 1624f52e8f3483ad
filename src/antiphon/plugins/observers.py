"""The observers of a configuration: the log, metrics, traces."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from antiphon.config.check import BUILT_IN_MODERATOR
from antiphon.config.settings import Config, ConfigError
from antiphon.engine.upstreams import Upstreams
from antiphon.ports import Observer

if TYPE_CHECKING:
    from antiphon.observe.metrics import Metrics
    from antiphon.observe.otel import Tracing

__all__ = ["Monitoring", "monitoring"]

_log = logging.getLogger(__name__)


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

    known = [*names, *config.embeddings, *config.moderators, BUILT_IN_MODERATOR]
    metrics = Metrics(known) if config.metrics.enabled else None
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
