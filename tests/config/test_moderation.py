"""[moderation] and [moderators]: what cannot work is refused at the start, with file, key and reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.config.load import load
from antiphon.config.settings import ConfigError
from antiphon.engine.gated import Gated
from antiphon.models.moderators import Judge, RuleList, UpstreamModerator
from antiphon.plugins import Models, compose, monitoring
from antiphon.policy.verdict import Passage

ALL = """
[moderation]
input = "block"
output = "score"
moderator = "house"
fail = "open"

[moderators."house"]
kind = "rules"
words = { "house-rules" = ["forbidden phrase"] }
file = "rules.toml"

[moderators."openai"]
kind = "upstream"
base_url = "http://127.0.0.1:9/v1"
api_key_env = "KEY"

[moderators."judge"]
kind = "judge"
model = "rehearsal"
window = 100
overlap = 20
"""
FILE = """
[words]
"house-rules" = ["another phrase"]

[patterns]
numbers = ['\\d{4}-\\d{4}']
"""


def composed(folder: Path, text: str) -> Models:
    (folder / "antiphon.toml").write_text(text)
    (folder / "rules.toml").write_text(FILE)
    environ = {"HOME": "/", "KEY": "k"}
    return compose(load(environ=environ, folder=folder), environ, servers=())


def test_moderators_are_made_of_their_tables(tmp_path):
    models = composed(tmp_path, ALL)
    moderation = models.moderation
    assert moderation is not None
    assert [type(each) for each in moderation.moderators.values()] == [RuleList, UpstreamModerator, Judge, RuleList]
    assert (moderation.default, moderation.policy.fails_open) == ("house", True)
    assert (moderation.moderators["judge"].window, moderation.moderators["judge"].overlap) == (100, 20)
    house = moderation.moderators["house"]
    for text in ("a forbidden phrase", "another phrase", "call 1234-5678"):
        assert house.judge([Passage(text)]).is_flagged
    assert isinstance(models.choose("rehearsal").model, Gated)


def test_without_any_table_there_is_the_built_in_moderator_and_no_policy(tmp_path):
    moderation = composed(tmp_path, "").moderation
    assert moderation is not None
    assert list(moderation.moderators) == ["rules"]
    assert (moderation.policy.input, moderation.policy.output) == ("off", "off")


def test_moderators_have_labels_of_their_own_in_the_metrics(tmp_path):
    composed(tmp_path, ALL)
    environ = {"HOME": "/", "KEY": "k"}
    watching = monitoring(load(environ=environ, folder=tmp_path), environ, [])
    assert watching.metrics is not None
    assert [watching.metrics.label_of(name) for name in ("house", "rules", "nobody")] == ["house", "rules", "*"]


@pytest.mark.parametrize(
    ("text", "key", "reason"),
    [
        ('[moderation]\nmoderator = "huose"\n[moderators.house]\nkind = "rules"\nwords = {a = ["b"]}',
         "moderation.moderator", 'did you mean "house"?'),
        ('[moderation]\noutput = "block"', "moderation.output", "there is no moderator"),
        ('[moderation]\noutput = "blok"', "moderation.output", 'did you mean "block"?'),
        ("[moderation]\nwindow = 1", "moderation.window", "there is no such setting"),
        ("[moderators.a]\n", 'moderators."a".kind', "expected one of rules, upstream, judge"),
        ('[moderators.a]\nkind = "rules"', 'moderators."a"', "needs words, patterns, or a file"),
        ('[moderators.a]\nkind = "rules"\npatterns = {c = ["ok", "(?=x)"]}',
         'moderators."a".patterns.c[1]', "look-around"),
        ('[moderators.a]\nkind = "rules"\nfile = "nowhere.toml"', 'moderators."a".file', "cannot be read"),
        ('[moderators.a]\nkind = "rules"\nfile = "antiphon.toml"', 'moderators."a".file', "cannot be read"),
        ('[moderators.a]\nkind = "rules"\nreach = -1', 'moderators."a".reach', ">= 1"),
        ('[moderators.a]\nkind = "upstream"\nbase_url = "nowhere"', 'moderators."a".base_url', ""),
        ('[moderators.a]\nkind = "judge"\nmodel = "gpt"\n[models.gpt-5]\nbackend = "rehearsal"',
         'moderators."a".model', 'did you mean "gpt-5"?'),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(tmp_path, text, key, reason):
    with pytest.raises(ConfigError) as refused:
        composed(tmp_path, text)
    assert (refused.value.source, refused.value.key) == ("antiphon.toml", key)
    assert reason in refused.value.reason


def test_a_policy_may_be_set_by_the_environment(tmp_path):
    environ = {"HOME": "/", "ANTIPHON_MODERATION_OUTPUT": "block", "ANTIPHON_MODERATION_MODERATOR": "rules"}
    assert load(environ=environ, folder=tmp_path).moderation.output == "block"
