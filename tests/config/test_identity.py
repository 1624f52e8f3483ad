"""What is configured has a name, which changes with all that may shape an answer."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from antiphon.config.identity import identity
from antiphon.config.load import load
from antiphon.config.settings import ChatSettings, ConfigError, Secret

MODEL = ChatSettings(
    backend="chat_completions",
    base_url="http://127.0.0.1:1/v1",
    api_key=Secret("one"),
    headers={"X-Team": Secret("blue")},
    pass_through=frozenset("abcdef"),
)


def test_the_same_settings_have_the_same_identity():
    again = msgspec.structs.replace(MODEL, pass_through=frozenset("fedcba"))
    assert identity("m", MODEL, {"a": MODEL}) == identity("m", again, {"a": again})


def test_another_key_for_the_same_upstream_changes_nothing():
    assert identity("m", MODEL) == identity("m", msgspec.structs.replace(MODEL, api_key=Secret("two")))


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "http://127.0.0.1:2/v1"},
        {"model": "other"},
        {"headers": {"X-Team": Secret("red")}},
        {"extra_body": {"top_k": 1}},
        {"pass_through": frozenset("abc")},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_setting_is_another_identity(change):
    other = msgspec.structs.replace(MODEL, **change)
    assert identity("m", MODEL) != identity("m", other)
    assert identity("m", MODEL, {"below": MODEL}) != identity("m", MODEL, {"below": other})


def test_another_name_is_another_identity():
    assert identity("m", MODEL) != identity("n", MODEL)


def test_a_file_counts_by_what_is_in_it(tmp_path):
    file = tmp_path / "ca.pem"
    settings = msgspec.structs.replace(MODEL, ca_file=file)
    seen = {identity("m", settings)}
    for text in ("one", "two"):
        file.write_text(text)
        seen.add(identity("m", settings))
    assert len(seen) == 3


def settings_of(folder: Path, text: str):
    (folder / "antiphon.toml").write_text(text)
    return load(environ={"HOME": "/"}, folder=folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[cache]\nttl = 0", r"antiphon.toml: cache.ttl: .*> 0"),
        ("[cache]\nmax_bytes = -1", r"antiphon.toml: cache.max_bytes: .*>= 1"),
        ("[cache]\nmax_bytes = 1000", r"antiphon.toml: cache.max_entry_bytes: .*1048576 is more than max_bytes, 1000"),
        (
            '[cache]\nmodels = ["smal"]\n[models."small"]\nbackend = "rehearsal"',
            r"antiphon.toml: cache.models: there is no model 'smal'",
        ),
        (
            '[models."small"]\nbackend = "rehearsal"\noptimise = ["magic"]',
            r'antiphon.toml: models."small".optimise\S*: ',
        ),
    ],
    ids=["ttl", "max_bytes", "max_entry_bytes", "models", "optimise"],
)
def test_a_cache_that_cannot_be_is_refused_with_file_key_and_reason(tmp_path, text, reason):
    with pytest.raises(ConfigError, match=reason):
        settings_of(tmp_path, text)


def test_a_cache_may_name_models_that_are_found_or_pass_through(tmp_path):
    assert settings_of(tmp_path, '[cache]\nmodels = ["gpt"]').cache.models == ("gpt",)
    passing = '[cache]\nmodels = ["gpt"]\n[models."*"]\nbackend = "rehearsal"'
    assert settings_of(tmp_path, passing).cache.models == ("gpt",)
