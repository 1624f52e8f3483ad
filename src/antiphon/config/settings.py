"""The settings: one struct for each table of `antiphon.toml`, with the names, defaults and bounds that the file has.

* Times are in seconds, sizes in bytes.
* `docs/configuration.md` has a row for each field; a test fails where one is missing.
* What a model's backend does with its settings is the backend's. `antiphon.plugins` hands them over by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

__all__ = [
    "BACKENDS",
    "KEY_FIELDS",
    "BackgroundSettings",
    "ChatSettings",
    "Config",
    "ConfigError",
    "EmbeddingsSettings",
    "Keyed",
    "LoggingSettings",
    "MetricsSettings",
    "ModelSettings",
    "PluginSettings",
    "RehearsalSettings",
    "ResponsesSettings",
    "Secret",
    "ServerSettings",
    "StoreSettings",
    "TracingSettings",
    "UpstreamSettings",
]


class ConfigError(Exception):
    """A setting that cannot be followed. The message names where it was made, which one it is, and the reason."""

    def __init__(self, source: str, key: str, reason: str) -> None:
        self.source = source
        self.key = key
        self.reason = reason
        super().__init__(": ".join(filter(None, (source, key, reason))))


class Secret:
    """A text that no print, log or traceback shows. `reveal` gives it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret('...')"

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)


Port: TypeAlias = Annotated[int, Meta(ge=0, le=65535)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0)]
Bound: TypeAlias = Annotated[float, Meta(ge=0)]
"""Seconds, or 0 for no bound."""


class Table(Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """A table of the file."""


class Keyed(Table, kw_only=True, frozen=True):
    """A table with a key. At most one of the four is set; `antiphon.config.keys` gets the key."""

    api_key: Secret | None = None
    api_key_env: str | None = None
    api_key_file: Path | None = None
    api_key_command: str | tuple[str, ...] | None = None


KEY_FIELDS: Final = Keyed.__struct_fields__


class ServerSettings(Keyed, kw_only=True, frozen=True):
    """`[server]`. The key is the one that clients must send."""

    host: str = "127.0.0.1"
    port: Port = 8484
    data: Path
    on_disconnect: Literal["cancel", "continue"] = "cancel"
    hold: Annotated[float, Meta(ge=0, le=60)] = 1.0
    keepalive: Seconds = 15.0
    obfuscation: bool = False
    done_marker: bool = False
    max_body: Annotated[int, Meta(ge=1024)] = 32 * 1024 * 1024
    shutdown_grace: Annotated[float, Meta(ge=0)] = 5.0
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()


class StoreSettings(Table, frozen=True):
    """`[store]`"""

    synchronous: Literal["normal", "full"] = "normal"


class BackgroundSettings(Table, frozen=True):
    """`[background]`"""

    slots: Count = 64
    lease: Annotated[float, Meta(ge=1)] = 30.0
    max_attempts: Count = 3


class LoggingSettings(Table, frozen=True):
    """`[logging]`"""

    level: Literal["debug", "info", "warning", "error"] = "warning"
    requests: bool = True


class MetricsSettings(Table, frozen=True):
    """`[metrics]`"""

    enabled: bool = True
    open: bool = False


class TracingSettings(Table, frozen=True):
    """`[tracing]`"""

    endpoint: str = ""


class EmbeddingsSettings(Keyed, kw_only=True, frozen=True):
    """`[embeddings."name"]`: a model that turns text into vectors, behind HTTP."""

    base_url: str
    model: str = ""
    headers: dict[str, Secret] = {}
    connect_timeout: Seconds = 5.0
    timeout: Seconds = 60.0
    max_body: Annotated[int, Meta(ge=1024)] = 64 * 2**20
    max_error_body: Annotated[int, Meta(ge=1024)] = 64 * 2**10
    verify: bool = True
    ca_file: Path | None = None


# Models


class ModelSettings(Keyed, kw_only=True, frozen=True):
    """What each `[models."name"]` may say."""

    backend: str
    context_window: Count | None = None
    total_timeout: Bound = 3600.0
    background_timeout: Bound = 0.0


class RehearsalSettings(ModelSettings, kw_only=True, frozen=True):
    """The built-in model."""

    tokens_per_second: Annotated[float, Meta(ge=0)] = 0.0


class UpstreamSettings(ModelSettings, kw_only=True, frozen=True):
    """A model behind HTTP."""

    base_url: str
    model: str = ""
    headers: dict[str, Secret] = {}
    pass_through: frozenset[str] = frozenset()
    extra_body: dict[str, Any] = {}
    connect_timeout: Seconds = 5.0
    first_token_timeout: Seconds = 600.0
    idle_timeout: Seconds = 300.0
    max_line: Annotated[int, Meta(ge=1024)] = 16 * 2**20
    max_body: Annotated[int, Meta(ge=1024)] = 64 * 2**20
    max_error_body: Annotated[int, Meta(ge=1024)] = 64 * 2**10
    verify: bool = True
    ca_file: Path | None = None
    encoding: str = ""


class ChatSettings(UpstreamSettings, kw_only=True, frozen=True):
    """A model behind the Chat Completions API."""

    instructions_role: Literal["system", "developer"] = "system"
    developer_role: Literal["system", "developer"] = "system"
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] | None = None
    send_reasoning: Literal["calls", "all", "none"] | None = None
    reasoning_field: str = "reasoning_content"
    think_tags: bool = True
    include_usage: bool = True


class ResponsesSettings(UpstreamSettings, kw_only=True, frozen=True):
    """A model behind another server of the Responses API."""

    store: bool = False
    resume: bool = False
    tools_left_out: frozenset[str] = frozenset()
    encrypted_reasoning: bool = True
    plain_reasoning: bool = True


class PluginSettings(ModelSettings, kw_only=True, frozen=True):
    """A model of an installed backend that is not ours: `options` is everything it has of its own."""

    options: dict[str, Any] = {}


BACKENDS: Final[dict[str, type[ModelSettings]]] = {
    "rehearsal": RehearsalSettings,
    "chat_completions": ChatSettings,
    "responses": ResponsesSettings,
}
"""Our own backends and their settings. Any other name is that of a plug-in."""


class Config(Struct, kw_only=True, frozen=True):
    """All settings, checked."""

    server: ServerSettings
    store: StoreSettings = StoreSettings()
    background: BackgroundSettings = BackgroundSettings()
    logging: LoggingSettings = LoggingSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    models: dict[str, ModelSettings] = {}
    embeddings: dict[str, EmbeddingsSettings] = {}
    discovery: bool | None = None
    """Whether to look for models. None: where none are configured."""
    source: Path | None = msgspec.field(default=None)
    """The file that was read; no setting."""

    @property
    def discovers(self) -> bool:
        """Whether models are to be looked for."""
        return not self.models if self.discovery is None else self.discovery
