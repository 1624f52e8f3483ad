"""What no single type can tell of the settings: keys that contradict each other, addresses that cannot be meant."""

from __future__ import annotations

import re
import shlex
from typing import Final

from antiphon.config.addresses import fault_of
from antiphon.config.settings import KEY_FIELDS, Config, ConfigError, Keyed, UpstreamSettings

__all__ = ["check"]

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def check(config: Config, source: str) -> None:
    """Raises ConfigError for the first contradiction."""
    _check_key(config.server, source, "server")
    for name, model in config.models.items():
        key = f'models."{name}"'
        _check_key(model, source, key)
        if isinstance(model, UpstreamSettings):
            _check_address(model, source, key)
            _check_headers(model, source, key)


def _check_key(settings: Keyed, source: str, key: str) -> None:
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


def _check_address(model: UpstreamSettings, source: str, key: str) -> None:
    reason = fault_of(model.base_url)
    if reason:
        raise ConfigError(source, f"{key}.base_url", reason)


def _check_headers(model: UpstreamSettings, source: str, key: str) -> None:
    for name, value in model.headers.items():
        if not _TOKEN.fullmatch(name):
            raise ConfigError(source, f"{key}.headers", f"{name!r} is not the name of a header")
        if not value.reveal().isprintable():
            raise ConfigError(source, f'{key}.headers."{name}"', "a header must hold no line end or control character")
