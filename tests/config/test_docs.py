"""docs/configuration.md tells every setting, with its default, and its examples are valid."""

import re
import tomllib
from pathlib import Path

import msgspec
import pytest

from antiphon.config import settings
from antiphon.config.load import load
from antiphon.plugins import GROUP
from antiphon.policy.breaker import BreakerSettings
from antiphon.policy.hedge import HedgeSettings
from antiphon.policy.retry import RetrySettings

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text()
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<default>.*?) \| (?P<meaning>.+) \|$", re.MULTILINE)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)

SECTIONS = {
    "[server]": settings.ServerSettings,
    "[store]": settings.StoreSettings,
    "[background]": settings.BackgroundSettings,
    "[cache]": settings.CacheSettings,
    "[logging]": settings.LoggingSettings,
    "[metrics]": settings.MetricsSettings,
    "[tracing]": settings.TracingSettings,
    '[embeddings."name"]': settings.EmbeddingsSettings,
    "[prices]": settings.PricesSettings,
    "[alerts]": settings.AlertsSettings,
    "[retry]": RetrySettings,
    "[breaker]": BreakerSettings,
    "[hedging]": HedgeSettings,
    "route": settings.RouteSettings,
    "[moderation]": settings.ModerationSettings,
    '[moderators."name"]': settings.ModeratorSettings,
    "rules": settings.RulesSettings,
    "upstream and judge": settings.WindowedSettings,
    "upstream": settings.UpstreamModeratorSettings,
    "judge": settings.JudgeSettings,
    '[models."name"]': settings.ModelSettings,
    "rehearsal": settings.RehearsalSettings,
    "chat_completions and responses": settings.UpstreamSettings,
    "chat_completions": settings.ChatSettings,
    "responses": settings.ResponsesSettings,
}


def section(title: str) -> str:
    """What stands below a heading, up to the next."""
    _, *parts = re.split(HEADING, PAGE)
    return dict(zip(parts[::2], parts[1::2], strict=True))[title]


def rows(title: str) -> dict[str, str]:
    return {row["name"]: row["default"] for row in ROW.finditer(section(title))}


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """A default as the page writes it."""
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    if value is msgspec.NODEFAULT:
        return "required"
    if value is None:
        return "–"
    if isinstance(value, tuple | frozenset):
        value = list(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"`{msgspec.json.encode(value).decode()}`"


def own_fields(kind: type[msgspec.Struct]) -> dict[str, str]:
    """The settings that a table adds to the section which it builds on, and their defaults."""
    base = kind.__base__
    above = base.__struct_fields__ if base in SECTIONS.values() else ()
    return {field.name: default_of(field) for field in msgspec.structs.fields(kind) if field.name not in above}


@pytest.mark.parametrize(("title", "kind"), SECTIONS.items())
def test_every_setting_has_a_row_with_its_default(title, kind):
    assert rows(title) == own_fields(kind)


def test_every_table_and_every_backend_has_a_section():
    told = set(SECTIONS.values())
    assert {kind for kind in settings.BACKENDS.values() if kind not in told} == set()
    tables = {field.type for field in msgspec.structs.fields(settings.Config) if isinstance(field.type, type)}
    assert {kind for kind in tables if issubclass(kind, msgspec.Struct)} <= told
    assert set(rows("Top level")) == {"discovery"}


EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_valid(example, tmp_path):
    if "entry-points" in example:
        assert list(tomllib.loads(example)["project"]["entry-points"]) == [GROUP]
        return
    (tmp_path / "antiphon.toml").write_text(example)
    config = load(environ={"HOME": "/", "OPENAI_API_KEY": "k"}, folder=tmp_path)
    assert config.models
