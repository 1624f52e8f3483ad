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

from antiphon.policy.breaker import BreakerSettings
from antiphon.policy.hedge import HedgeSettings
from antiphon.policy.retry import RetrySettings
from antiphon.policy.route import Order

__all__ = [
    "BACKENDS",
    "KEY_FIELDS",
    "MODERATORS",
    "AlertsSettings",
    "BackgroundSettings",
    "CacheSettings",
    "ChatSettings",
    "Config",
    "ConfigError",
    "EmbeddingsSettings",
    "JudgeSettings",
    "Keyed",
    "LoggingSettings",
    "MetricsSettings",
    "ModelSettings",
    "ModerationSettings",
    "ModeratorSettings",
    "PluginSettings",
    "PricesSettings",
    "RehearsalSettings",
    "ResponsesSettings",
    "RouteSettings",
    "RulesSettings",
    "Secret",
    "ServerSettings",
    "StoreSettings",
    "TracingSettings",
    "UpstreamModeratorSettings",
    "UpstreamSettings",
    "WindowedSettings",
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
    """`[server]`. The key is one that clients may send, as a key of the default project."""

    admin_key: Secret | None = None
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


class PricesSettings(Table, frozen=True):
    """`[prices]`"""

    file: Path | None = None


class AlertsSettings(Table, frozen=True):
    """`[alerts]`: where it is told that a budget is reached, beside the log."""

    webhook_url: str = ""
    webhook_secret: Secret | None = None
    smtp_host: str = ""
    smtp_port: Annotated[int, Meta(ge=1, le=65535)] = 587
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str = ""
    smtp_password: Secret | None = None
    email_from: str = ""
    email_to: tuple[str, ...] = ()


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


class ModerationSettings(Table, frozen=True):
    """`[moderation]`: the operator's policy for every response."""

    input: Literal["off", "score", "block"] = "off"
    output: Literal["off", "score", "block"] = "off"
    moderator: str | None = None
    fail: Literal["closed", "open"] = "closed"


class ModeratorSettings(Keyed, kw_only=True, frozen=True):
    """What each `[moderators."name"]` may say."""

    kind: Literal["rules", "upstream", "judge"]


class RulesSettings(ModeratorSettings, kw_only=True, frozen=True):
    """Words and patterns by category."""

    words: dict[str, tuple[str, ...]] = {}
    patterns: dict[str, tuple[str, ...]] = {}
    file: Path | None = None
    reach: Annotated[int, Meta(ge=1, le=4096)] = 128


class WindowedSettings(ModeratorSettings, kw_only=True, frozen=True):
    """A moderator that takes its time."""

    window: Annotated[int, Meta(ge=1)] = 400
    overlap: Annotated[int, Meta(ge=0)] = 100
    threshold: Annotated[float, Meta(gt=0, le=1)] | None = None
    timeout: Seconds = 30.0


class UpstreamModeratorSettings(WindowedSettings, kw_only=True, frozen=True):
    """A server with POST /moderations."""

    base_url: str
    model: str = "omni-moderation-latest"
    headers: dict[str, Secret] = {}
    connect_timeout: Seconds = 5.0
    verify: bool = True
    ca_file: Path | None = None


class JudgeSettings(WindowedSettings, kw_only=True, frozen=True):
    """A model that is asked."""

    model: str
    policy: str = ""


MODERATORS: Final[dict[str, type[ModeratorSettings]]] = {
    "rules": RulesSettings,
    "upstream": UpstreamModeratorSettings,
    "judge": JudgeSettings,
}
"""The kinds of moderators and their settings."""


class CacheSettings(Table, frozen=True):
    """`[cache]`"""

    enabled: bool = False
    ttl: Seconds = 3600.0
    max_bytes: Count = 256 * 2**20
    max_entry_bytes: Count = 2**20
    models: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()


# Models


class ModelSettings(Keyed, kw_only=True, frozen=True):
    """What each `[models."name"]` may say."""

    backend: str
    context_window: Count | None = None
    default_output_tokens: Count = 4096
    optimise: tuple[Literal["deduplicate", "stable_prefix"], ...] = ()
    total_timeout: Bound = 3600.0
    background_timeout: Bound = 0.0
    max_concurrency: Annotated[int, Meta(ge=0)] = 0
    max_queue: Annotated[int, Meta(ge=0)] = 100
    adaptive_concurrency: bool = False
    hedging: bool = False
    breaker: Literal["auto", "open", "off"] = "auto"


class RehearsalSettings(ModelSettings, kw_only=True, frozen=True):
    """The built-in model."""

    tokens_per_second: Annotated[float, Meta(ge=0)] = 0.0
    fault: str = ""


class RouteSettings(ModelSettings, kw_only=True, frozen=True):
    """A name that stands for other models."""

    models: Annotated[tuple[str, ...], Meta(min_length=1)]
    order: Order = "first"
    weights: dict[str, Annotated[float, Meta(ge=0)]] = {}


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

    @property
    def address(self) -> str:
        """Where it is: models with the same are at the same upstream."""
        return self.base_url.rstrip("/")


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
    "route": RouteSettings,
    "chat_completions": ChatSettings,
    "responses": ResponsesSettings,
}
"""Our own backends and their settings. Any other name is that of a plug-in."""


class Config(Struct, kw_only=True, frozen=True):
    """All settings, checked."""

    server: ServerSettings
    store: StoreSettings = StoreSettings()
    background: BackgroundSettings = BackgroundSettings()
    cache: CacheSettings = CacheSettings()
    logging: LoggingSettings = LoggingSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: TracingSettings = TracingSettings()
    prices: PricesSettings = PricesSettings()
    alerts: AlertsSettings = AlertsSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    hedging: HedgeSettings = HedgeSettings()
    moderation: ModerationSettings = ModerationSettings()
    moderators: dict[str, ModeratorSettings] = {}
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
