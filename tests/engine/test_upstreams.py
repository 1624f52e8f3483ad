"""What is known of upstreams is shared by whoever asks them."""

from __future__ import annotations

import logging

import pytest

from antiphon.engine import upstreams as module
from antiphon.engine.upstreams import Upstreams
from antiphon.policy.admission import AdmissionSettings
from antiphon.policy.breaker import Key
from antiphon.testing import FakeClock, ScriptedModel


def test_lines_to_one_model_share_its_breaker_and_those_to_one_address_its_budget_and_places():
    upstreams = Upstreams(FakeClock())
    places = AdmissionSettings(limit=3)
    first = upstreams.line(ScriptedModel(name="a"), "http://h/v1", places=places, hedges=True)
    again = upstreams.line(ScriptedModel(name="a"), "http://h/v1", places=places, hedges=True)
    other = upstreams.line(ScriptedModel(name="b"), "http://h/v1")
    elsewhere = upstreams.line(ScriptedModel(name="a"), "http://else/v1")
    assert first.breaker is again.breaker
    assert first.hedging is again.hedging
    assert first.queue is again.queue
    assert first.budget is other.budget
    assert first.breaker is not other.breaker
    assert other.queue is None
    assert other.hedging is None
    assert elsewhere.budget is not first.budget
    assert elsewhere.breaker is not first.breaker
    assert elsewhere.budget.traffic is first.budget.traffic


def test_a_breaker_that_changes_is_told_of(caplog):
    upstreams = Upstreams(FakeClock())
    told = []
    upstreams.on_transition = told.append
    line = upstreams.line(ScriptedModel(name="a"), "http://h/v1")
    with caplog.at_level(logging.WARNING):
        line.breaker.force_open(0)
    assert [(change.key.model, change.new) for change in told] == [("a", "forced_open")]
    assert "the breaker of a at http://h/v1 is forced_open, after closed (forced)" in caplog.text


def test_names_that_clients_invent_do_not_fill_the_memory_and_push_out_nothing_that_is_configured(monkeypatch):
    monkeypatch.setattr(module, "MOST", 10)
    upstreams = Upstreams(FakeClock())
    own = upstreams.line(ScriptedModel(name="own"), "http://h/v1", hedges=True)
    for number in range(100):
        upstreams.line(ScriptedModel(name=f"m{number}"), "http://h/v1", is_configured=False)
        upstreams.line(ScriptedModel(name="m0"), "http://h/v1", is_configured=False)
    assert {key.model for key in upstreams.breakers} == {"own", "m0", *(f"m{number}" for number in range(91, 100))}
    again = upstreams.line(ScriptedModel(name="own"), "http://h/v1", hedges=True)
    assert (again.breaker, again.hedging) == (own.breaker, own.hedging)


def test_a_configured_model_and_an_invented_name_that_mean_the_same_share_what_is_known_of_it(monkeypatch):
    monkeypatch.setattr(module, "MOST", 1)
    upstreams = Upstreams(FakeClock())
    first = upstreams.line(ScriptedModel(name="a"), "http://h/v1", is_configured=False)
    own = upstreams.line(ScriptedModel(name="a"), "http://h/v1")
    last = upstreams.line(ScriptedModel(name="a"), "http://h/v1", is_configured=False)
    for name in ("b", "c"):
        upstreams.line(ScriptedModel(name=name), "http://h/v1", is_configured=False)
    assert first.breaker is own.breaker is last.breaker
    assert [upstreams.label_of(key) for key in upstreams.breakers] == ["a", "*"]
    assert upstreams.label_of(Key("http://h/v1", "b")) == "*"


@pytest.mark.parametrize(("word", "state"), [("auto", "closed"), ("open", "forced_open"), ("off", "disabled")])
def test_rule_8_an_operator_has_the_last_word(caplog, word, state):
    upstreams = Upstreams(FakeClock())
    told = []
    upstreams.on_transition = told.append
    for _ in range(2):
        line = upstreams.line(ScriptedModel(name="a"), "http://h/v1", breaker=word)
    assert line.breaker.state == state
    assert [change.new for change in told] == [state] * (word != "auto")
