"""What no single type can tell of the settings: keys that contradict each other, addresses that cannot be meant."""

from __future__ import annotations

import ipaddress
import re
import shlex
from typing import Final
from urllib.parse import urlsplit

from antiphon.config.settings import KEY_FIELDS, Config, ConfigError, Keyed, UpstreamSettings

__all__ = ["check", "is_loopback"]

_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_SUFFIXES: Final = ("/chat/completions", "/responses", "/models")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


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
    place = f"{key}.base_url"
    try:
        url = urlsplit(model.base_url)
        _ = url.port
    except ValueError as error:
        raise ConfigError(source, place, f"expected an address: {error}") from error
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ConfigError(source, place, "expected an address like http://127.0.0.1:11434/v1")
    if url.username is not None or url.password is not None:
        raise ConfigError(source, place, "an address must hold no password: use api_key or headers")
    if url.query or url.fragment:
        raise ConfigError(source, place, "expected an address without a query")
    for suffix in _SUFFIXES:
        if url.path.rstrip("/").endswith(suffix):
            raise ConfigError(source, place, f"expected the address up to /v1, without {suffix}")


def _check_headers(model: UpstreamSettings, source: str, key: str) -> None:
    for name, value in model.headers.items():
        if not _TOKEN.fullmatch(name):
            raise ConfigError(source, f"{key}.headers", f"{name!r} is not the name of a header")
        if not value.reveal().isprintable():
            raise ConfigError(source, f'{key}.headers."{name}"', "a header must hold no line end or control character")
