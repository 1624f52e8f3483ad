"""Models without a configuration: a key of OpenAI's in the environment, and servers on the usual local ports.

    $OPENAI_API_KEY          every name not otherwise known goes to OpenAI, or to $OPENAI_BASE_URL
    Ollama, LM Studio, ...   each model that they list is offered under its own name

Only this machine is asked, all ports at once, and nobody for longer than a third of a second: what is too slow to say
its models is left out. OpenAI is not asked at all. Our own address is nobody's upstream.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from antiphon.config.addresses import is_loopback
from antiphon.config.probe import ListedModel, NoAnswer, ask, list_models
from antiphon.config.settings import ChatSettings, ModelSettings, ResponsesSettings, Secret

__all__ = ["LOCAL", "Found", "LocalServer", "discover", "find_local", "find_openai"]

OPENAI: Final = "https://api.openai.com/v1"

CONNECT: Final = 0.05
"""Seconds to connect: loopback either takes a connection at once or refuses it."""

PATIENCE: Final = 0.3
"""Seconds to list the models."""

LONGEST: Final = CONNECT + PATIENCE + 0.05
"""Seconds that the start waits for all of them."""


class LocalServer(NamedTuple):
    """A program, and the port where it listens unless it is told otherwise."""

    name: str
    port: int

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


LOCAL: Final = (
    LocalServer("Ollama", 11434),
    LocalServer("LM Studio", 1234),
    LocalServer("llama-server", 8080),
    LocalServer("vLLM", 8000),
)


class Found(NamedTuple):
    """A local server, and the models that it lists."""

    server: LocalServer
    models: Sequence[ListedModel]


def discover(
    environ: Mapping[str, str], own_port: int, *, servers: Sequence[LocalServer] = LOCAL
) -> dict[str, ModelSettings]:
    """Settings for all that is found, by the name to offer it under. `*` stands for every other name."""
    models: dict[str, ModelSettings] = {}
    for found in find_local(own_port, servers=servers):
        for model in found.models:
            settings = ChatSettings(
                backend="chat_completions",
                base_url=found.server.base_url,
                model=model.id,
                context_window=model.max_model_len or None,
            )
            models.setdefault(model.id, settings)
    models.pop("*", None)
    models.pop("rehearsal", None)
    return {**models, **find_openai(environ, own_port)}


def find_openai(environ: Mapping[str, str], own_port: int) -> dict[str, ModelSettings]:
    """The upstream of every other name, if there is a key for it."""
    key = environ.get("OPENAI_API_KEY")
    base_url = (environ.get("OPENAI_BASE_URL") or OPENAI).rstrip("/")
    if not key or _is_own(base_url, own_port):
        return {}
    return {"*": ResponsesSettings(backend="responses", base_url=base_url, api_key=Secret(key))}


def _is_own(base_url: str, own_port: int) -> bool:
    """Whether an address is ours: who points the SDK at us by $OPENAI_BASE_URL does not mean our upstream."""
    try:
        url = urlsplit(base_url)
        return url.port == own_port and is_loopback(url.hostname or "")
    except ValueError:
        return True


def find_local(own_port: int, *, servers: Sequence[LocalServer] = LOCAL) -> list[Found]:
    """The local servers that answer with a list of models, in the order of `servers`."""
    found: dict[LocalServer, Found] = {}

    def look(server: LocalServer) -> None:
        found[server] = Found(server, _models_of(server))

    others = [server for server in servers if server.port != own_port]
    threads = [threading.Thread(target=look, args=(server,), daemon=True) for server in others]
    until = time.monotonic() + LONGEST
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return [found[server] for server in others if server in found and found[server].models]


def _models_of(server: LocalServer) -> list[ListedModel]:
    try:
        return list_models(ask(f"{server.base_url}/models", connect=CONNECT, patience=PATIENCE))
    except NoAnswer:
        return []
