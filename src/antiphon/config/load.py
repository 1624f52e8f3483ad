"""Reads the configuration: flags before environment before file before defaults.

The file is the one that is named (`--config`, `$ANTIPHON_CONFIG`), else `antiphon.toml` in the working folder, else
`antiphon/antiphon.toml` in the user's configuration folder; there need not be one. Paths in the file are relative to
the file, all others to the working folder.

Every setting outside of `[models]` and `[embeddings]` has a variable: `ANTIPHON_PORT` for `server.port`,
`ANTIPHON_STORE_SYNCHRONOUS` for `store.synchronous`, `ANTIPHON_DISCOVERY`. An empty variable is no variable. A `.env`
file in the working folder is read as if its variables were set, where they are not.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from antiphon.config import dotenv
from antiphon.config.check import check
from antiphon.config.convert import as_struct, as_type, nearest
from antiphon.config.settings import (
    BACKENDS,
    KEY_FIELDS,
    MODERATORS,
    AlertsSettings,
    BackgroundSettings,
    CacheSettings,
    Config,
    ConfigError,
    EmbeddingsSettings,
    Keyed,
    LoggingSettings,
    MetricsSettings,
    ModelSettings,
    ModerationSettings,
    ModeratorSettings,
    PluginSettings,
    PricesSettings,
    Secret,
    ServerSettings,
    StoreSettings,
    TracingSettings,
)
from antiphon.policy.breaker import BreakerSettings
from antiphon.policy.hedge import HedgeSettings
from antiphon.policy.retry import RetrySettings

__all__ = ["FILE", "VARIABLES", "environment", "find_file", "load"]

FILE: Final = "antiphon.toml"

Raw: TypeAlias = dict[str, Any]

TABLES: Final[dict[str, type[msgspec.Struct]]] = {
    "server": ServerSettings,
    "store": StoreSettings,
    "background": BackgroundSettings,
    "cache": CacheSettings,
    "logging": LoggingSettings,
    "metrics": MetricsSettings,
    "tracing": TracingSettings,
    "moderation": ModerationSettings,
    "prices": PricesSettings,
    "alerts": AlertsSettings,
    "retry": RetrySettings,
    "breaker": BreakerSettings,
    "hedging": HedgeSettings,
}


def _variables() -> Iterator[tuple[str, str]]:
    for table, struct in TABLES.items():
        prefix = "ANTIPHON_" if table == "server" else f"ANTIPHON_{table.upper()}_"
        for field in struct.__struct_fields__:
            yield f"{prefix}{field.upper()}", f"{table}.{field}"
    yield "ANTIPHON_DISCOVERY", "discovery"


VARIABLES: Final[dict[str, str]] = dict(_variables())
"""Environment variables, and the setting that each stands for."""


def environment(folder: Path | None = None) -> dict[str, str]:
    """The environment, and what a `.env` in the folder adds to it."""
    path = (folder or Path.cwd()) / ".env"
    try:
        added = dotenv.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        added = {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"cannot be read: {error}") from error
    return {**added, **os.environ}


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Config:
    """Read all settings and check them. Raises ConfigError.

    `flags` are settings by their key (`server.port`), the flag's None means not given; `file` is `--config`; `environ`
    and `folder` are the environment (default: `environment(folder)`) and the working folder.
    """
    folder = folder or Path.cwd()
    environ = environment(folder) if environ is None else environ
    source = find_file(environ, folder, file)
    raw = _read(source) if source else {}
    name = source.name if source else ""
    _check_tables(name, raw)
    _merge(raw, {key: environ[variable] for variable, key in VARIABLES.items() if environ.get(variable)}, "", folder)
    _merge(raw, {key: value for key, value in (flags or {}).items() if value is not None}, "--", folder)
    raw["server"] = {"data": _data_folder(environ), **raw.get("server", {})}
    base = source.parent if source else folder
    tables: Raw = {table: as_struct(raw.get(table, {}), struct, name, table, base) for table, struct in TABLES.items()}
    models = {model: _model(name, model, sent, base) for model, sent in raw.get("models", {}).items()}
    tables["embeddings"] = {
        model: _embeddings(name, model, sent, base) for model, sent in raw.get("embeddings", {}).items()
    }
    tables["moderators"] = {
        each: _moderator(name, each, sent, base) for each, sent in raw.get("moderators", {}).items()
    }
    if "discovery" in raw:
        tables["discovery"] = as_type(raw["discovery"], bool, name, "discovery", base)
    return _settled(Config(**tables, models=models, source=source), name, environ)


# The file


def find_file(environ: Mapping[str, str], folder: Path, named: Path | None = None) -> Path | None:
    """The file that is to be read. Raises ConfigError if one is named that does not exist."""
    if named is None and environ.get("ANTIPHON_CONFIG"):
        named = Path(environ["ANTIPHON_CONFIG"])
    if named is not None:
        path = folder / named.expanduser()
        if not path.is_file():
            raise ConfigError(str(named), "", "there is no such file")
        return path
    places = (folder / FILE, _config_folder(environ) / FILE)
    return next((place for place in places if place.is_file()), None)


def _read(path: Path) -> Raw:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path.name, "", f"this is no TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path.name, "", f"cannot be read: {error}") from error


def _check_tables(source: str, raw: Raw) -> None:
    known = (*TABLES, "models", "embeddings", "moderators", "discovery")
    for key, value in raw.items():
        if key not in known:
            raise ConfigError(source, key, f"there is no such table or setting{nearest(key, known)}")
        if key != "discovery" and not isinstance(value, dict):
            raise ConfigError(source, key, f"expected a table, [{key}]")


def _model(source: str, name: str, sent: Any, base: Path) -> ModelSettings:
    key = f'models."{name}"'
    if not isinstance(sent, dict):
        raise ConfigError(source, key, f'expected a table, [models."{name}"]')
    if not name:
        raise ConfigError(source, key, "a model needs a name")
    backend = sent.get("backend")
    if not isinstance(backend, str):
        ours = ", ".join(f'"{ours}"' for ours in BACKENDS)
        raise ConfigError(source, f"{key}.backend", f"expected the name of a backend: {ours}, or that of a plug-in")
    if backend in BACKENDS:
        return as_struct(sent, BACKENDS[backend], source, key, base)
    common = ModelSettings.__struct_fields__
    given = {field: value for field, value in sent.items() if field in common}
    given["options"] = {field: value for field, value in sent.items() if field not in common}
    return as_struct(given, PluginSettings, source, key, base)


def _embeddings(source: str, name: str, sent: Any, base: Path) -> EmbeddingsSettings:
    key = f'embeddings."{name}"'
    if not isinstance(sent, dict):
        raise ConfigError(source, key, f"expected a table, [{key}]")
    if not name:
        raise ConfigError(source, key, "a model needs a name")
    return as_struct(sent, EmbeddingsSettings, source, key, base)


def _moderator(source: str, name: str, sent: Any, base: Path) -> ModeratorSettings:
    key = f'moderators."{name}"'
    if not isinstance(sent, dict) or not name:
        raise ConfigError(source, key, f"expected a table with a name, [{key}]")
    kind = sent.get("kind")
    if kind not in MODERATORS:
        raise ConfigError(source, f"{key}.kind", f"expected one of {', '.join(MODERATORS)}")
    return as_struct(sent, MODERATORS[kind], source, key, base)


# What outweighs it


def _merge(raw: Raw, given: Mapping[str, Any], prefix: str, folder: Path) -> None:
    """Put the settings of a weightier layer over those that are there.

    They are text, so they are read by their field's type. A key of that layer outweighs every way to a key below it.
    """
    names = {key: variable for variable, key in VARIABLES.items()}
    if any(key == f"server.{field}" for key in given for field in KEY_FIELDS):
        raw["server"] = {field: value for field, value in raw.get("server", {}).items() if field not in KEY_FIELDS}
    for key, value in given.items():
        source = f"{prefix}{key.rpartition('.')[2].replace('_', '-')}" if prefix else names[key]
        table, _, field = key.rpartition(".")
        kind = _type_of(table, field)
        read = as_type(_split(value, kind), kind, source, "", folder, lax=True)
        if table:
            raw.setdefault(table, {})[field] = read
        else:
            raw[field] = read


def _type_of(table: str, field: str) -> Any:
    if not table:
        return bool
    return next(known.type for known in msgspec.structs.fields(TABLES[table]) if known.name == field)


def _split(value: Any, kind: Any) -> Any:
    """A list is written with commas."""
    if kind == tuple[str, ...] and isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


# Folders


def _data_folder(environ: Mapping[str, str]) -> Path:
    """Where the platform keeps what programs store for a user."""
    match sys.platform:
        case "darwin" if not environ.get("XDG_DATA_HOME"):
            parent = _home(environ) / "Library" / "Application Support"
        case "win32":
            parent = Path(environ.get("LOCALAPPDATA") or _home(environ) / "AppData" / "Local")
        case _:
            parent = Path(environ.get("XDG_DATA_HOME") or _home(environ) / ".local" / "share")
    return parent / "antiphon"


def _config_folder(environ: Mapping[str, str]) -> Path:
    match sys.platform:
        case "win32":
            parent = Path(environ.get("APPDATA") or _home(environ) / "AppData" / "Roaming")
        case _:
            parent = Path(environ.get("XDG_CONFIG_HOME") or _home(environ) / ".config")
    return parent / "antiphon"


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ["HOME"]) if environ.get("HOME") else Path.home()


# Keys


def _settled(config: Config, source: str, environ: Mapping[str, str]) -> Config:
    """The configuration with each `api_key_env` looked up, checked as a whole."""
    check(config, source)
    server = _with_key(config.server, source, "server", environ)
    models = {name: _with_key(model, source, f'models."{name}"', environ) for name, model in config.models.items()}
    embeddings = {
        name: _with_key(model, source, f'embeddings."{name}"', environ) for name, model in config.embeddings.items()
    }
    moderators = {
        name: _with_key(each, source, f'moderators."{name}"', environ) for name, each in config.moderators.items()
    }
    return msgspec.structs.replace(config, server=server, models=models, embeddings=embeddings, moderators=moderators)


def _with_key(settings: Any, source: str, key: str, environ: Mapping[str, str]) -> Any:
    assert isinstance(settings, Keyed)
    variable = settings.api_key_env
    if variable is None:
        return settings
    if not environ.get(variable):
        raise ConfigError(source, f"{key}.api_key_env", f"the environment variable {variable} is not set")
    return msgspec.structs.replace(settings, api_key=Secret(environ[variable]))
