"""What is configured, as a few bytes: they change when a setting changes that may shape an answer.

All settings count but keys, and a file counts by what is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from antiphon import __version__
from antiphon.config.settings import KEY_FIELDS, Secret
from antiphon.policy.cache_key import digest

__all__ = ["identity"]


def identity(*parts: str | msgspec.Struct | Mapping[str, msgspec.Struct]) -> bytes:
    """The digest of names, of settings, and of our own version: another one may tell the same in other words.

    Raises OSError if a file that is named cannot be read.
    """
    return digest(__version__, [_plain(each) for each in parts])


def _plain(settings: str | msgspec.Struct | Mapping[str, msgspec.Struct]) -> Any:
    if isinstance(settings, str):
        return settings
    if isinstance(settings, Mapping):
        return {name: _plain(each) for name, each in settings.items()}
    plain = msgspec.to_builtins(settings, enc_hook=_of, order="deterministic")
    return {field: value for field, value in plain.items() if field not in KEY_FIELDS}


def _of(value: Any) -> Any:
    match value:
        case Secret():
            return sha256(value.reveal().encode()).hexdigest()
        case Path():
            return sha256(value.read_bytes()).hexdigest() if value.is_file() else str(value)
    raise TypeError(f"{type(value).__name__} is in no setting")
