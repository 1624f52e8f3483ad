"""What no single type can tell of the settings: keys that contradict each other, addresses that cannot be meant.

A setting that would do nothing is refused too: whoever made it believes that it does something. What belongs to a
pattern that is switched off as a whole (`[cache]` without `enabled`) may stay where it is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct, structs

from antiphon.config.addresses import fault_of
from antiphon.config.convert import nearest
from antiphon.config.rules import rules_of
from antiphon.config.settings import (
    KEY_FIELDS,
    AlertsSettings,
    Config,
    ConfigError,
    EmbeddingsSettings,
    JudgeSettings,
    Keyed,
    ModelSettings,
    ModeratorSettings,
    RehearsalSettings,
    RouteSettings,
    RulesSettings,
    UpstreamModeratorSettings,
    UpstreamSettings,
)
from antiphon.policy.hedge import HedgeSettings
from antiphon.policy.prices import Prices, PricesError
from antiphon.policy.webhook import signing_key
from antiphon.wire.admin.fields import Email

__all__ = ["check"]

Reached: TypeAlias = UpstreamSettings | EmbeddingsSettings | UpstreamModeratorSettings
"""What is reached over HTTP."""

BUILT_IN_MODERATOR: Final = "rules"
"""The moderator that is always there, unless another has its name."""

_LIMITS: Final = ("max_concurrency", "max_queue", "adaptive_concurrency")

_NOT_A_ROUTES: Final = "a route is not asked itself: set it for the models that it leads to"

_IDLE: Final[dict[type[Keyed], tuple[Sequence[str], str]]] = {
    RouteSettings: ((*_LIMITS, "hedging", "breaker", *KEY_FIELDS), _NOT_A_ROUTES),
    RehearsalSettings: (KEY_FIELDS, "the built-in model needs no key"),
    RulesSettings: (KEY_FIELDS, "rules need no key"),
    JudgeSettings: (KEY_FIELDS, "a judge is asked with the key of its model"),
}
"""Settings that a table may have, because others of its kind need them, and what is to be done instead."""

_AT_MOST: Final = (
    ("cache", "max_entry_bytes", "max_bytes"),
    ("hedging", "least", "most"),
    ("retry", "transient_cost", "bucket"),
    ("retry", "throttled_cost", "bucket"),
)
"""Tables, with a setting that is of no use if it is more than another."""

_CAPPED: Final = (
    ("retry", "base", "longest"),
    ("retry", "throttled_base", "longest"),
    ("breaker", "open_for", "longest"),
)
"""The same of those that are cut at the other: only who sets the first one means it to count."""

_WAITING: Final[Sequence[tuple[str, Sequence[str], Callable[[Config], bool], str]]] = (
    (
        "hedging",
        HedgeSettings.__struct_fields__,
        lambda config: any(model.hedging for model in config.models.values()),
        "it counts for models with hedging = true, and there is none",
    ),
    (
        "breaker",
        ("slow_ratio",),
        lambda config: config.breaker.slow_after is not None,
        "it counts where slow_after says what is slow, and it is not set",
    ),
)
"""Tables, with settings that do nothing as long as another is not made."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def check(config: Config, source: str) -> None:
    """Raises ConfigError for the first contradiction."""
    _check_key(config.server, source, "server")
    for name, model in config.models.items():
        key = f'models."{name}"'
        _check_key(model, source, key)
        _check_limit(model, source, key)
        if isinstance(model, UpstreamSettings):
            _check_address(model, source, key)
            _check_headers(model, source, key)
        if isinstance(model, RouteSettings):
            _check_route(config, name, model, source)
        if isinstance(model, RehearsalSettings):
            _check_rehearsal(config, name, model, source)
    _check_places(config, source)
    _check_breakers(config, source)
    for name, embedder in config.embeddings.items():
        key = f'embeddings."{name}"'
        _check_key(embedder, source, key)
        _check_address(embedder, source, key)
        _check_headers(embedder, source, key)
    check_moderation(config, source)
    _check_bounds(config, source)
    _check_waiting(config, source)
    _check_cache(config, source)
    if config.tracing.endpoint and (reason := fault_of(config.tracing.endpoint)):
        raise ConfigError(source, "tracing.endpoint", reason)
    _check_prices(config.prices.file, source)
    _check_alerts(config.alerts, source)


def _check_alerts(settings: AlertsSettings, source: str) -> None:
    if settings.webhook_url and (reason := fault_of(settings.webhook_url)):
        raise ConfigError(source, "alerts.webhook_url", reason)
    secret = settings.webhook_secret
    if secret is not None:
        try:
            signing_key(secret.reveal())
        except ValueError as error:
            raise ConfigError(source, "alerts.webhook_secret", str(error)) from error
    if secret is not None and not settings.webhook_url:
        raise ConfigError(source, "alerts.webhook_secret", "there is no webhook_url for which it would sign")
    if settings.smtp_host and not settings.email_from:
        raise ConfigError(source, "alerts.email_from", "mail needs a sender's address")
    if not settings.smtp_host and (settings.email_to or settings.email_from):
        raise ConfigError(source, "alerts.smtp_host", "mail needs a server that sends it")
    if settings.smtp_password is not None and not settings.smtp_user:
        raise ConfigError(source, "alerts.smtp_user", "there is a password, and no user who has it")
    for name, address in [("from", settings.email_from), *(("to", each) for each in settings.email_to)]:
        if address and not _is_email(address):
            raise ConfigError(source, f"alerts.email_{name}", f"{address!r} is no e-mail address")


def _is_email(text: str) -> bool:
    try:
        msgspec.convert(text, Email)
    except msgspec.ValidationError:
        return False
    return True


def _check_bounds(config: Config, source: str) -> None:
    capped = [(table, field, bound) for table, field, bound in _CAPPED if _is_set(getattr(config, table), field)]
    for table, field, bound in (*_AT_MOST, *capped):
        settings = getattr(config, table)
        value, most = getattr(settings, field), getattr(settings, bound)
        if value > most:
            raise ConfigError(source, f"{table}.{field}", f"{value} is more than {bound}, {most}")


def _check_waiting(config: Config, source: str) -> None:
    for table, fields, is_awaited, reason in _WAITING:
        for field in () if is_awaited(config) else fields:
            if _is_set(getattr(config, table), field):
                raise ConfigError(source, f"{table}.{field}", reason)


def _check_limit(model: ModelSettings, source: str, key: str) -> None:
    """The rest of a limit counts where there is one."""
    for field in _LIMITS if not model.max_concurrency else ():
        if _is_set(model, field):
            reason = "it counts where max_concurrency sets a limit, and there is none"
            raise ConfigError(source, f"{key}.{field}", reason)


def _check_places(config: Config, source: str) -> None:
    """The models of one address share its places, so that they cannot have different ones."""
    first: dict[str, tuple[str, UpstreamSettings]] = {}
    for name, model in config.models.items():
        if not isinstance(model, UpstreamSettings) or not model.max_concurrency:
            continue
        other_name, other = first.setdefault(model.address, (name, model))
        for field in _LIMITS:
            if getattr(model, field) != getattr(other, field):
                reason = f'models."{other_name}" has the same address and another one: set it for one of them'
                raise ConfigError(source, f'models."{name}".{field}', reason)


def _check_breakers(config: Config, source: str) -> None:
    """A breaker belongs to a model at an address, under whatever names."""
    first: dict[tuple[str, str], tuple[str, UpstreamSettings]] = {}
    for name, model in config.models.items():
        if isinstance(model, UpstreamSettings):
            other_name, other = first.setdefault((model.address, model.model or name), (name, model))
            if model.breaker != other.breaker:
                reason = f'models."{other_name}" is the same model at the same address and says "{other.breaker}"'
                raise ConfigError(source, f'models."{name}".breaker', reason)


def _check_rehearsal(config: Config, name: str, model: RehearsalSettings, source: str) -> None:
    """What rehearsal rehearses is for the client to see, so that alone nothing stands before it."""
    routes = [route for route in config.models.values() if isinstance(route, RouteSettings)]
    if model.max_concurrency or any(name in route.models for route in routes):
        return
    for field in ("hedging", "breaker"):
        if _is_set(model, field):
            reason = "it counts for the built-in model only in a route, or with max_concurrency"
            raise ConfigError(source, f'models."{name}".{field}', reason)


def _check_cache(config: Config, source: str) -> None:
    known = {*config.models, "rehearsal"}
    for name in config.cache.models:
        if name not in known and "*" not in known and not config.discovers:
            raise ConfigError(source, "cache.models", f"there is no model {name!r}{nearest(name, known)}")


def check_moderation(config: Config, source: str) -> None:
    """Raises ConfigError for a moderator that does not exist, or that cannot work."""
    policy, known = config.moderation, config.moderators
    if policy.moderator is not None and policy.moderator not in {*known, BUILT_IN_MODERATOR}:
        reason = f"there is no moderator {policy.moderator!r}{nearest(policy.moderator, known)}"
        raise ConfigError(source, "moderation.moderator", reason)
    for side in ("input", "output"):
        if getattr(policy, side) != "off" and policy.moderator is None and not known:
            raise ConfigError(source, f"moderation.{side}", 'there is no moderator: add a table [moderators."name"]')
    for name, moderator in known.items():
        _check_moderator(config, moderator, source, f'moderators."{name}"')


def _check_moderator(config: Config, moderator: ModeratorSettings, source: str, key: str) -> None:
    _check_key(moderator, source, key)
    match moderator:
        case RulesSettings():
            rules_of(moderator, source, key)
        case UpstreamModeratorSettings():
            _check_address(moderator, source, key)
            _check_headers(moderator, source, key)
        case JudgeSettings(model=model):
            if model not in {*config.models, "rehearsal", "*"} and "*" not in config.models and not config.discovers:
                reason = f"there is no model {model!r}{nearest(model, config.models)}"
                raise ConfigError(source, f"{key}.model", reason)


def _is_set(settings: Struct, field: str) -> bool:
    return bool(getattr(settings, field) != next(f.default for f in structs.fields(settings) if f.name == field))


def _check_key(settings: Keyed, source: str, key: str) -> None:
    idle, reason = _IDLE.get(type(settings), ((), ""))
    for field in idle:
        if _is_set(settings, field):
            raise ConfigError(source, f"{key}.{field}", reason)
    given = [field for field in KEY_FIELDS if getattr(settings, field) is not None]
    if len(given) > 1:
        raise ConfigError(source, f"{key}.{given[1]}", f"{given[0]} is set too, and only one of them can be")
    command = settings.api_key_command
    if isinstance(command, str):
        try:
            command = tuple(shlex.split(command))
        except ValueError as error:
            raise ConfigError(source, f"{key}.api_key_command", f"expected a command: {error}") from error
    if command == ():
        raise ConfigError(source, f"{key}.api_key_command", "expected a command, got nothing")


def _check_prices(file: Path | None, source: str) -> None:
    """The price file is read here once for its mistakes; they are told with its own name and lines."""
    if file is None:
        return
    if not file.is_file():
        raise ConfigError(source, "prices.file", f"there is no file {file.name}")
    try:
        Prices.load(file)
    except PricesError as error:
        raise ConfigError(error.place, error.key, error.reason) from error


def _check_route(config: Config, name: str, route: RouteSettings, source: str) -> None:
    """A route leads to models, each once; so it can lead into no loop."""
    key = f'models."{name}"'
    if name == "*":
        raise ConfigError(source, key, "a route needs a name of its own: its models are sent their own names")
    for place, target in enumerate(route.models):
        where = f"{key}.models[{place}]"
        if isinstance(config.models.get(target), RouteSettings):
            reason = "a route cannot lead to itself" if target == name else f"{target!r} is a route too"
            raise ConfigError(source, where, f"{reason}; name the models")
        if target == "*":
            reason = '"*" stands for every other name, and is no model itself; name the models'
            raise ConfigError(source, where, reason)
        if target not in config.models and target != "rehearsal" and not config.discovers:
            raise ConfigError(source, where, f"there is no model {target!r}{nearest(target, config.models)}")
        if target in route.models[:place]:
            raise ConfigError(source, where, f"{target!r} is named twice")
    for target in route.weights:
        if target not in route.models:
            reason = f"{target!r} is none of the route's models{nearest(target, route.models)}"
            raise ConfigError(source, f"{key}.weights", reason)
    if route.weights and route.order != "weighted":
        reason = f'weights count where order = "weighted", but it is "{route.order}"'
        raise ConfigError(source, f"{key}.weights", reason)
    if not any(route.weights.get(target, 1.0) for target in route.models):
        raise ConfigError(source, f"{key}.weights", "at least one model needs a weight above 0")


def _check_address(model: Reached, source: str, key: str) -> None:
    reason = fault_of(model.base_url)
    if reason:
        raise ConfigError(source, f"{key}.base_url", reason)


def _check_headers(model: Reached, source: str, key: str) -> None:
    for name, value in model.headers.items():
        if not _TOKEN.fullmatch(name):
            raise ConfigError(source, f"{key}.headers", f"{name!r} is not the name of a header")
        if not value.reveal().isprintable():
            raise ConfigError(source, f'{key}.headers."{name}"', "a header must hold no line end or control character")
