"""What `antiphon doctor` looks at. Each check says one thing, in a state: `ok`, `warn` or `broken`."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from antiphon.cli.accounts import with_accounts
from antiphon.cli.context import ENOUGH_FOR_CODEX, window_of
from antiphon.config.addresses import base_url_of, is_loopback
from antiphon.config.keys import NoKey, key_at_hand, key_now
from antiphon.config.load import VARIABLES, environment, load
from antiphon.config.probe import ListedModel, NoAnswer, ask, ask_upstream, list_models
from antiphon.config.settings import Config, ConfigError, ServerSettings, UpstreamSettings
from antiphon.engine.accounts import Accounts
from antiphon.plugins import Models, compose
from antiphon.stores.sqlite import DATABASE
from antiphon.wire.errors import Unavailable

__all__ = ["Check", "examine"]

NEEDED: Final = (
    "aiohttp", "httptools", "jsonschema-rs", "llguidance", "msgspec", "starlette", "tiktoken", "typer", "uvicorn",
)  # fmt: skip

NOT_SETTINGS: Final = frozenset({"ANTIPHON_CONFIG", "ANTIPHON_NODE", "ANTIPHON_NODE_MODULES", "ANTIPHON_CODEX"})
"""Variables of ours that stand for no setting: the file, and what the tests are told."""

LITTLE: Final = 2**30
"""Bytes free in the data folder, below which there is a warning."""

PATIENCE: Final = 5.0


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    name: str
    state: Literal["ok", "warn", "broken"]
    detail: str


def examine(file: Path | None, window: int | None = None) -> Iterator[Check]:
    """All checks, as they are made. `window`: the context below which a model gets a warning, in tokens."""
    yield _python()
    yield from _packages()
    try:
        environ = environment()
        config = load(file=file, environ=environ)
        catalog = compose(config, environ)
    except ConfigError as error:
        yield Check("configuration", "broken", str(error))
        return
    yield Check("configuration", "ok", str(config.source or "no file: built-in settings"))
    yield from _variables(environ)
    yield from _data(config.server.data)
    yield _port(config)
    yield _key(config.server)
    yield from _models(config, catalog, window or ENOUGH_FOR_CODEX)


# This machine


def _python() -> Check:
    state: Literal["ok", "broken"] = "ok" if sys.version_info >= (3, 11) else "broken"
    return Check("python", state, f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _packages() -> Iterator[Check]:
    missing = [name for name in NEEDED if not _version(name)]
    if missing:
        yield Check("packages", "broken", f"not installed: {', '.join(missing)}")
    else:
        yield Check("packages", "ok", f"all {len(NEEDED)} that are needed")
    own = _version("openai")
    yield Check("openai SDK", "ok", own or "not installed; only your own programs need it")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


# Settings


def _variables(environ: Mapping[str, str]) -> Iterator[Check]:
    known = {*VARIABLES, *NOT_SETTINGS}
    for name in sorted(environ):
        if name.startswith("ANTIPHON_") and name not in known:
            yield Check("environment", "warn", f"{name} is no variable of Antiphon's and does nothing")


def _data(folder: Path) -> Iterator[Check]:
    """Whether the folder, or the nearest that exists above it, can be written."""
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        yield Check("data folder", "broken", f"{folder} cannot be written: {error.strerror}")
        return
    yield Check("data folder", "ok", str(folder) if existing == folder else f"{folder} (will be made)")
    free = shutil.disk_usage(existing).free
    yield Check("disk", "ok" if free >= LITTLE else "warn", f"{free / 2**30:.1f} GiB free")


class _Health(msgspec.Struct):
    status: str
    version: str


def _port(config: Config) -> Check:
    """Whether we could listen there, or do already."""
    server = config.server
    address = base_url_of(server.host, server.port)
    try:
        reply = ask(address.removesuffix("/v1") + "/health", connect=1.0, patience=2.0)
        health = msgspec.json.decode(reply.body, type=_Health)
    except (NoAnswer, msgspec.DecodeError, UnicodeDecodeError):
        return _free_port(server)
    return Check("port", "ok", f"Antiphon {health.version} serves {address}")


def _free_port(server: ServerSettings) -> Check:
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((server.host, server.port))
        except OSError as error:
            return Check("port", "broken", f"{server.host} port {server.port}: {os.strerror(error.errno or 0)}")
    return Check("port", "ok", f"{server.port} on {server.host} is free")


def _key(server: ServerSettings) -> Check:
    try:
        key, kept = key_at_hand(server)(), _kept(server.data)
    except NoKey as error:
        return Check("key of this server", "broken", error.reason)
    except Unavailable as error:
        return Check("key of this server", "broken", error.message)
    if key is not None or kept or server.admin_key is not None:
        return Check("key of this server", "ok", "set: clients must send one")
    if is_loopback(server.host):
        return Check("key of this server", "ok", "none: every program on this machine may ask")
    return Check("key of this server", "broken", f"none, and {server.host} can be reached from other machines")


def _kept(folder: Path) -> int:
    """How many keys the database holds, if there is one. Raises Unavailable."""
    if not (folder / DATABASE).is_file():
        return 0

    async def count(accounts: Accounts) -> int:
        return len(accounts.directory.keys)

    return asyncio.run(with_accounts(folder, count))


# Models


def _models(config: Config, catalog: Models, window: int) -> Iterator[Check]:
    upstreams = {name: model for name, model in catalog.settings.items() if isinstance(model, UpstreamSettings)}
    if not upstreams:
        looked = "nothing was found on this machine" if config.discovers else "none is configured"
        yield Check("models", "warn", f"{looked}: only rehearsal, which is no language model")
    lists: dict[tuple[str, str | None], Listed] = {}
    for name, model in upstreams.items():
        try:
            key = asyncio.run(key_now(model))
        except NoKey as error:
            yield Check(f"model {name}", "broken", error.reason)
            continue
        place = (model.base_url, key)
        if place not in lists:
            check, lists[place] = _upstream(model, key)
            yield check
        yield from _model(name, model, lists[place], window)


Listed: TypeAlias = Sequence[ListedModel] | None
"""What an upstream lists; nothing if it has no list, None if it cannot be used."""


def _upstream(model: UpstreamSettings, key: str | None) -> tuple[Check, Listed]:
    """Whether an upstream answers and takes our key; and its models."""
    name = f"upstream {model.base_url}"
    try:
        reply = ask_upstream(model, key, "/models", PATIENCE)
    except NoAnswer as error:
        return Check(name, "broken", str(error)), None
    if reply.status in (401, 403):
        words = "the key was refused" if key else "a key is needed"
        return Check(name, "broken", f"{words} (status {reply.status})"), None
    try:
        listed = list_models(reply)
    except NoAnswer as error:
        return Check(name, "warn", f"it lists no models: {error}"), ()
    return Check(name, "ok", f"answered in {reply.seconds * 1000:.0f} ms; {len(listed)} models"), listed


def _model(name: str, model: UpstreamSettings, listed: Listed, least: int) -> Iterator[Check]:
    """Whether an upstream knows a model, and whether its context is large enough."""
    if listed is None or (name == "*" and not model.model):
        return
    upstream_name = model.model or name
    entry = next((one for one in listed if one.id in (upstream_name, f"{upstream_name}:latest")), None)
    if listed and entry is None:
        yield Check(f"model {name}", "broken", f"its upstream does not list {upstream_name!r}")
        return
    window = model.context_window or window_of(model.base_url, upstream_name, entry)
    if window is None:
        yield Check(f"model {name}", "ok", "context window unknown; set context_window to have it checked")
    elif window < least:
        detail = f"a context of {window} tokens is too small for Codex, which needs {least}"
        yield Check(f"model {name}", "warn", detail)
    else:
        yield Check(f"model {name}", "ok", f"a context of {window} tokens")
