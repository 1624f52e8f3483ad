"""The rules of a moderator: from its table, and from the file that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from antiphon.config.settings import ConfigError, RulesSettings, Table
from antiphon.policy.rules import BadPattern, Rules

__all__ = ["rules_of"]

Listed = Mapping[str, Sequence[str]]


class _File(Table, frozen=True):
    words: dict[str, list[str]] = {}
    patterns: dict[str, list[str]] = {}


def rules_of(settings: RulesSettings, source: str, key: str) -> Rules:
    """The words and patterns of table and file together, ready to be used. Raises ConfigError."""
    try:
        own = Rules(settings.words, settings.patterns, reach=settings.reach)
    except BadPattern as error:
        raise ConfigError(source, f"{key}.patterns.{error.category}[{error.index}]", str(error)) from error
    if settings.file is None:
        if not own.overlap:
            raise ConfigError(source, key, "a list of rules needs words, patterns, or a file")
        return own
    listed = _read(settings, source, key)
    try:
        words, patterns = _joined(settings.words, listed.words), _joined(settings.patterns, listed.patterns)
        return Rules(words, patterns, reach=settings.reach)
    except BadPattern as error:
        reason = f"in {settings.file.name}: patterns.{error.category}: {error}"
        raise ConfigError(source, f"{key}.file", reason) from error


def _read(settings: RulesSettings, source: str, key: str) -> _File:
    assert settings.file is not None
    try:
        return msgspec.toml.decode(settings.file.read_bytes(), type=_File)
    except (OSError, ValueError) as error:
        raise ConfigError(source, f"{key}.file", f"cannot be read: {error}") from error


def _joined(one: Listed, other: Listed) -> dict[str, list[str]]:
    return {name: [*one.get(name, ()), *other.get(name, ())] for name in {**one, **other}}
