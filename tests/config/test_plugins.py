"""The catalog: which model a name stands for, and what is listed."""

import importlib.metadata
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from antiphon import plugins
from antiphon.config.discovery import LocalServer
from antiphon.config.load import load
from antiphon.config.settings import (
    BACKENDS,
    ChatSettings,
    ConfigError,
    PluginSettings,
    RehearsalSettings,
    ResponsesSettings,
    RouteSettings,
    Secret,
    UpstreamSettings,
)
from antiphon.engine.capped import Capped
from antiphon.engine.gated import Gated
from antiphon.engine.lines import Line
from antiphon.models.chat_completions import ChatOptions
from antiphon.models.responses import ResponsesOptions
from antiphon.plugins import Models, compose
from antiphon.plugins.catalog import REMEMBERED
from antiphon.plugins.listing import KEPT
from antiphon.plugins.options import options_of
from antiphon.testing import ScriptedModel
from antiphon.wire.errors import InvalidRequest
from tests.config.fakes import listing, serving

pytestmark = pytest.mark.anyio


def lines(models: Models, name: str) -> Sequence[Line]:
    """The lines of a model, behind the gate of the budgets."""
    model = models.choose(name).model
    if isinstance(model, Gated):
        model = model.inner
    assert isinstance(model, Capped)
    return model.inner.lines


def chat(base_url: str = "http://127.0.0.1:9/v1", **more: object) -> ChatSettings:
    return ChatSettings(backend="chat_completions", base_url=base_url, **more)


def responses(base_url: str = "http://127.0.0.1:9/v1", **more: object) -> ResponsesSettings:
    return ResponsesSettings(backend="responses", base_url=base_url, **more)


# Choosing


async def test_an_exact_name_outweighs_every_other():
    models = Models({"gpt-5": chat(model="qwen3"), "*": chat(model="other")})
    choice = models.choose("gpt-5")
    assert (choice.name, choice.model.name) == ("gpt-5", "qwen3")
    assert models.choose("gpt-6").model.name == "other"
    assert models.choose("gpt-6").name == "gpt-6"


async def test_the_upstreams_name_is_the_same_unless_it_is_configured():
    models = Models({"qwen3": chat(), "*": responses()})
    assert models.choose("qwen3").model.name == "qwen3"
    assert models.choose("o9").model.name == "o9"


async def test_a_route_to_the_cheapest_warns_at_the_start_of_what_has_no_price(caplog):
    settings = {
        "unknown": chat(),
        "known": chat("https://api.openai.com/v1", model="gpt-4o-mini"),
        "route": RouteSettings(backend="route", models=("unknown", "known", "rehearsal"), order="cheapest"),
        "quiet": RouteSettings(backend="route", models=("unknown", "rehearsal")),
    }
    Models(settings)
    assert [record.getMessage() for record in caplog.records] == [
        "route asks the cheapest first, and 'unknown' last: its price is not known"
    ]


async def test_a_star_is_no_name_of_its_own():
    assert Models({"*": chat()}).choose("*").model.name == "*"
    assert Models({"*": chat()}).names() == ["rehearsal"]


async def test_rehearsal_is_always_there_under_its_own_name_and_says_so():
    models = Models({"*": chat()})
    choice = models.choose("rehearsal")
    assert (choice.name, choice.model.name) == ("rehearsal", "rehearsal")


async def test_rehearsal_says_that_it_is_rehearsal_under_whatever_name_it_is_configured():
    assert Models({"gpt-5": RehearsalSettings(backend="rehearsal")}).choose("gpt-5").name == "rehearsal"


async def test_rehearsal_answers_every_name_where_there_is_nothing_else():
    assert Models({}, answer_all=True).choose("gpt-5").name == "rehearsal"


async def test_an_unknown_name_is_refused_with_the_names_there_are():
    with pytest.raises(InvalidRequest) as caught:
        Models({"a": chat(), "b": chat()}).choose("c")
    error = caught.value
    assert error.message == "The model 'c' does not exist. Available models: a, b, rehearsal."
    assert (error.status, error.param, error.code) == (400, "model", "model_not_found")


@pytest.mark.parametrize("name", [None, ""])
async def test_a_missing_name_is_refused_with_the_names_there_are(name):
    for models in (Models({"a": chat()}), Models({"a": chat(), "*": chat()}), Models({}, answer_all=True)):
        with pytest.raises(InvalidRequest, match=r"^You must provide a model parameter\. Available models: ") as caught:
            models.choose(name)
        assert (caught.value.param, caught.value.code) == ("model", "model_not_found")


async def test_a_model_is_made_once_and_the_others_of_a_star_are_remembered_within_bounds():
    models = Models({"a": chat(), "*": responses()})
    assert models.choose("a").model is models.choose("a").model
    first = models.choose("x0").model
    assert models.choose("x0").model is first
    for number in range(1, REMEMBERED + 1):
        models.choose(f"x{number}")
    assert models.choose("x0").model is not first


# What a model is made of


@pytest.mark.parametrize(("settings", "options"), [(ChatSettings, ChatOptions), (ResponsesSettings, ResponsesOptions)])
def test_every_option_of_a_backend_is_a_setting_with_the_same_default(settings, options):
    ours = {field.name: field for field in msgspec.structs.fields(settings)}
    for field in msgspec.structs.fields(options):
        if field.name not in ("base_url", "api_key", "model", "headers"):
            default = ours[field.name].default, ours[field.name].default_factory
            assert default == (field.default, field.default_factory), field.name


def test_settings_become_options():
    settings = chat(
        headers={"X-A": Secret("1")},
        pass_through=frozenset({"seed"}),
        think_tags=False,
        ca_file=Path("/ca.pem"),
        api_key=Secret("k"),
    )
    options = options_of(settings, ChatOptions)
    assert options == ChatOptions(
        base_url=settings.base_url,
        headers={"X-A": "1"},
        pass_through=frozenset({"seed"}),
        think_tags=False,
        verify="/ca.pem",
        api_key="k",
    )


def test_what_any_model_lets_through_is_let_through():
    models = Models({"a": chat(pass_through=frozenset({"seed"})), "b": responses(pass_through=frozenset({"top_k"}))})
    assert models.pass_through == {"seed", "top_k"}
    assert Models({}).pass_through == frozenset()


# Plug-ins


def plugged(monkeypatch: pytest.MonkeyPatch, **factories: object) -> None:
    points = importlib.metadata.EntryPoints(
        importlib.metadata.EntryPoint(name, f"tests.config.test_plugins:{name}", plugins.GROUP) for name in factories
    )
    monkeypatch.setattr(importlib.metadata, "entry_points", points.select)
    for name, factory in factories.items():
        monkeypatch.setitem(globals(), name, factory)
    monkeypatch.setattr(importlib.metadata.EntryPoint, "load", lambda point: factories[point.name])


async def test_a_backend_of_others_is_an_entry_point_that_takes_its_settings(monkeypatch):
    seen = []
    model = ScriptedModel()
    plugged(monkeypatch, moonshine=lambda settings: seen.append(settings) or model)
    settings = PluginSettings(backend="moonshine", options={"phase": "full"})
    models = Models({"m": settings})
    assert seen == []
    assert [line.model for line in lines(models, "m")] == [model]
    assert models.choose("m").name == "m"
    assert seen == [settings]


def test_a_backend_that_is_not_installed_is_told_before_the_start(monkeypatch, tmp_path):
    plugged(monkeypatch, moonshine=ScriptedModel)
    (tmp_path / "antiphon.toml").write_text('[models.m]\nbackend = "moonshin"')
    config = load(environ={"HOME": "/"}, folder=tmp_path)
    with pytest.raises(ConfigError) as caught:
        compose(config, {})
    assert str(caught.value) == (
        'antiphon.toml: models."m".backend: there is no backend \'moonshin\'; did you mean "moonshine"?'
    )


# Composition


def composed(tmp_path: Path, text: str = "", environ: dict[str, str] | None = None, servers: tuple = ()) -> Models:
    (tmp_path / "antiphon.toml").write_text(text)
    environ = {"HOME": "/", **(environ or {})}
    return compose(load(environ=environ, folder=tmp_path), environ, servers=servers)


async def test_on_loopback_with_nothing_else_rehearsal_answers_every_name(tmp_path):
    assert composed(tmp_path).choose("gpt-5").name == "rehearsal"
    assert composed(tmp_path, '[models.r]\nbackend = "rehearsal"').choose("gpt-5").name == "rehearsal"


async def test_where_others_can_reach_us_rehearsal_does_not_answer_every_name(tmp_path):
    with pytest.raises(InvalidRequest):
        composed(tmp_path, '[server]\nhost = "0.0.0.0"').choose("gpt-5")


async def test_where_something_else_is_configured_rehearsal_does_not_answer_every_name(tmp_path):
    models = composed(tmp_path, '[models.m]\nbackend = "responses"\nbase_url = "http://h/v1"')
    with pytest.raises(InvalidRequest, match="Available models: m, rehearsal"):
        models.choose("gpt-5")


async def test_what_is_found_is_offered_and_what_is_configured_outweighs_it(tmp_path):
    with serving(v1_models=listing("a", "b")) as server:
        local = (LocalServer("fake", server.port),)
        assert composed(tmp_path, servers=local).names() == ["a", "b", "rehearsal"]
        text = 'discovery = true\n[models.b]\nbackend = "responses"\nbase_url = "http://h/v1"'
        models = composed(tmp_path, text, servers=local)
    assert models.names() == ["b", "a", "rehearsal"]
    assert models.settings["b"].backend == "responses"


async def test_nothing_is_looked_for_where_that_is_turned_off(tmp_path):
    with serving(v1_models=listing("a")) as server:
        local = (LocalServer("fake", server.port),)
        environ = {"ANTIPHON_DISCOVERY": "0", "OPENAI_API_KEY": "k"}
        assert composed(tmp_path, environ=environ, servers=local).names() == ["rehearsal"]
    assert server.seen == []


async def test_a_key_of_openai_answers_every_other_name_and_rehearsal_keeps_its_own(tmp_path):
    models = composed(tmp_path, environ={"OPENAI_API_KEY": "k"})
    assert models.choose("gpt-5").name == "gpt-5"
    assert models.choose("rehearsal").name == "rehearsal"
    assert models.other == "https://api.openai.com/v1"


# Listing


async def test_the_list_has_every_name_in_the_order_of_the_configuration():
    listed = await Models({"b": chat(), "a": responses()}, created=7).models()
    assert [(model.id, model.created, model.owned_by) for model in listed] == [
        ("b", 7, "chat_completions"),
        ("a", 7, "responses"),
        ("rehearsal", 7, "antiphon"),
    ]


async def test_the_list_of_a_stars_upstream_comes_after_ours_and_is_kept_for_a_while():
    now = 0.0
    with serving(v1_models=listing("a", "z", owned_by="them")) as server:
        star = responses(server.base_url, api_key=Secret("k"), headers={"X-Team": Secret("blue")})
        models = Models({"a": chat(), "*": star}, monotonic=lambda: now)
        names = [model.id for model in await models.models()]
        await models.models()
        assert names == ["a", "rehearsal", "z"]
        assert len(server.seen) == 1
        headers = server.seen[0][2]
        assert (headers["Authorization"], headers["X-Team"]) == ("Bearer k", "blue")
        now = KEPT
        server.paths["/v1/models"] = listing("y")
        assert [model.id for model in await models.models()] == ["a", "rehearsal", "y"]


async def test_an_upstream_that_gives_no_list_leaves_ours(tmp_path):
    with serving(v1_models=(500, b"")) as server:
        assert [model.id for model in await Models({"*": responses(server.base_url)}).models()] == ["rehearsal"]
    lost = responses(api_key_file=tmp_path / "gone")
    assert [model.id for model in await Models({"*": lost}).models()] == ["rehearsal"]


async def test_an_upstream_that_is_asked_under_one_name_only_is_not_asked_for_its_list():
    with serving(v1_models=listing("z")) as server:
        models = Models({"*": chat(server.base_url, model="qwen3")})
        assert [model.id for model in await models.models()] == ["rehearsal"]
    assert server.seen == []


# End


async def test_closing_closes_every_backend_that_was_made(monkeypatch):
    closed = []

    class Closing(ScriptedModel):
        async def aclose(self) -> None:
            closed.append(self)

    plugged(monkeypatch, one=lambda _: Closing(), two=lambda _: Closing())
    models = Models({"a": PluginSettings(backend="one"), "b": PluginSettings(backend="two"), "c": chat()})
    models.choose("a")
    models.choose("c")
    await models.aclose()
    assert len(closed) == 1


def test_our_backends_are_those_that_have_settings():
    kinds = (RehearsalSettings, RouteSettings, UpstreamSettings, PluginSettings)
    assert all(issubclass(kind, kinds) for kind in BACKENDS.values())


# Routes


def route(*models: str, **more: object) -> RouteSettings:
    return RouteSettings(backend="route", models=models, **more)


def test_a_route_is_the_lines_of_its_models():
    models = Models({"a": chat(), "b": responses(), "r": route("b", "a", "rehearsal")})
    found = lines(models, "r")
    assert [line.model.name for line in found] == ["b", "a", "rehearsal"]
    assert models.choose("r").name == "r"
    (alone,) = lines(models, "a")
    assert alone.breaker is found[1].breaker
    assert alone.budget is found[1].budget
    assert found[0].budget is found[1].budget  # one address
    assert found[0].breaker is not found[1].breaker


@pytest.mark.parametrize("order", ["abc", "cba"])
def test_models_of_one_address_share_its_places_whichever_of_them_says_how_many(order):
    models = Models({"a": chat(), "b": chat(max_concurrency=2, max_queue=7), "c": chat("http://127.0.0.1:8/v1")})
    found = {name: lines(models, name)[0] for name in order}
    assert found["a"].queue is found["b"].queue
    assert found["a"].queue is not None
    assert (found["a"].queue.admission.settings.limit, found["a"].queue.admission.settings.queue) == (2, 7)
    assert found["c"].queue is None


def test_hedging_of_a_rehearsal_counts_in_a_route_and_with_a_limit(tmp_path):
    file = tmp_path / "antiphon.toml"
    file.write_text(
        '[models.a]\nbackend = "rehearsal"\nhedging = true\n'
        '[models.b]\nbackend = "rehearsal"\nhedging = true\nmax_concurrency = 3\n'
        '[models.r]\nbackend = "route"\nmodels = ["a", "rehearsal"]\n'
    )
    models = compose(load(file=file, environ={}), {}, servers=())
    found = [lines(models, name)[0] for name in "rb"]
    assert [line.hedging is not None for line in found] == [True, True]


def test_a_name_that_only_a_client_has_said_is_none_of_the_configuration():
    models = Models({"a": chat(), "*": chat()})
    for name in ("a", "made-up"):
        models.choose(name)
    known = models.upstreams
    assert {key.model: known.label_of(key) for key in known.breakers} == {"a": "a", "made-up": "*"}


@pytest.mark.parametrize(("word", "state"), [("auto", "closed"), ("open", "forced_open"), ("off", "disabled")])
def test_an_operators_word_on_a_breaker_is_told_to_it(word, state):
    (line,) = lines(Models({"a": chat(breaker=word)}), "a")
    assert line.breaker.state == state


def test_weights_belong_to_the_route_and_not_to_the_model():
    models = Models({"a": chat(), "b": chat(), "r": route("a", "b", order="weighted", weights={"a": 9.0})})
    assert [line.weight for line in lines(models, "r")] == [9.0, 1.0]
    assert lines(models, "a")[0].weight == 1.0


def test_the_cheapest_is_known_by_its_price():
    openai = "https://api.openai.com/v1"
    models = Models({"gpt-5": chat(openai), "gpt-5-nano": chat(openai), "r": route("gpt-5", "gpt-5-nano")})
    dear, cheap = (line.price() for line in lines(models, "r"))
    assert dear > cheap > 0


def test_what_rehearsal_rehearses_is_not_tried_again():
    assert not hasattr(Models({}).choose("rehearsal").model.inner, "lines")


@pytest.mark.parametrize("text", ["#", "teapot"])
def test_a_fault_that_cannot_be_rehearsed_is_refused_at_the_start(tmp_path, text):
    file = tmp_path / "antiphon.toml"
    file.write_text(f'[models.m]\nbackend = "rehearsal"\nfault = "{text}"\n')
    with pytest.raises(ConfigError, match=r'antiphon\.toml: models\."m"\.fault: expected one of: 400'):
        compose(load(file=file, environ={}), {}, servers=())


def test_a_route_to_a_model_that_was_not_found_is_refused_at_the_start(tmp_path):
    file = tmp_path / "antiphon.toml"
    file.write_text('discovery = true\n[models.r]\nbackend = "route"\nmodels = ["qwen3"]\n')
    with pytest.raises(ConfigError, match=r"models: there is no model 'qwen3', and none was found"):
        compose(load(file=file, environ={}), {}, servers=())
