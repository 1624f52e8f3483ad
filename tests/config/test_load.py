"""The configuration: what outweighs what, and what a mistake in it is told like."""

from operator import attrgetter
from pathlib import Path

import pytest

from antiphon.config.load import TABLES, VARIABLES, environment, load
from antiphon.config.settings import (
    ChatSettings,
    Config,
    ConfigError,
    PluginSettings,
    RehearsalSettings,
    ResponsesSettings,
    Secret,
)

NO_ENVIRONMENT = {"HOME": "/nowhere"}


def written(folder: Path, text: str, name: str = "antiphon.toml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def read(folder: Path, text: str, environ: dict[str, str] | None = None, **flags: object) -> Config:
    written(folder, text)
    given = {key.replace("__", "."): value for key, value in flags.items()}
    return load(given, environ={**NO_ENVIRONMENT, **(environ or {})}, folder=folder)


# Precedence


def test_without_a_file_everything_has_a_default(tmp_path):
    config = load(environ=NO_ENVIRONMENT, folder=tmp_path)
    assert (config.server.host, config.server.port) == ("127.0.0.1", 8484)
    assert config.models == {}
    assert config.source is None


def test_a_flag_outweighs_the_environment_which_outweighs_the_file_which_outweighs_the_default(tmp_path):
    text = "[server]\nport = 1"
    assert load(environ=NO_ENVIRONMENT, folder=tmp_path).server.port == 8484
    assert read(tmp_path, text).server.port == 1
    assert read(tmp_path, text, {"ANTIPHON_PORT": "2"}).server.port == 2
    assert read(tmp_path, text, {"ANTIPHON_PORT": "2"}, server__port=3).server.port == 3


def test_a_flag_that_was_not_given_and_an_empty_variable_outweigh_nothing(tmp_path):
    config = read(tmp_path, "[server]\nport = 1", {"ANTIPHON_PORT": ""}, server__port=None)
    assert config.server.port == 1


def test_every_setting_outside_of_models_has_a_variable(tmp_path):
    config = load(environ=NO_ENVIRONMENT, folder=tmp_path)
    settings = {f"{table}.{name}" for table in TABLES for name in _names(config, table)}
    assert {*settings, "discovery"} == set(VARIABLES.values())


def _names(config: Config, table: str) -> tuple[str, ...]:
    return getattr(config, table).__struct_fields__


@pytest.mark.parametrize(
    ("variable", "text", "setting", "value"),
    [
        ("ANTIPHON_HOST", "0.0.0.0", "server.host", "0.0.0.0"),
        ("ANTIPHON_HOLD", "2.5", "server.hold", 2.5),
        ("ANTIPHON_DONE_MARKER", "1", "server.done_marker", True),
        ("ANTIPHON_OBFUSCATION", "false", "server.obfuscation", False),
        ("ANTIPHON_ALLOWED_HOSTS", "a.test, b.test", "server.allowed_hosts", ("a.test", "b.test")),
        ("ANTIPHON_API_KEY", "k", "server.api_key", Secret("k")),
        ("ANTIPHON_STORE_SYNCHRONOUS", "full", "store.synchronous", "full"),
        ("ANTIPHON_BACKGROUND_SLOTS", "3", "background.slots", 3),
    ],
)
def test_a_variable_is_read_as_the_type_of_its_setting(tmp_path, variable, text, setting, value):
    config = load(environ={**NO_ENVIRONMENT, variable: text}, folder=tmp_path)
    assert attrgetter(setting)(config) == value


def test_the_key_of_a_weightier_layer_outweighs_every_way_to_a_key_below_it(tmp_path):
    text = '[server]\napi_key_file = "key.txt"'
    assert read(tmp_path, text).server.api_key_file == tmp_path / "key.txt"
    server = read(tmp_path, text, {"ANTIPHON_API_KEY": "other"}).server
    assert (server.api_key, server.api_key_file) == (Secret("other"), None)


# Where the file is


def test_the_named_file_outweighs_the_variable_the_working_folder_and_the_users_folder(tmp_path):
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "conf")}
    users = written(tmp_path, "[server]\nport = 1", "conf/antiphon/antiphon.toml")
    assert load(environ=home, folder=tmp_path).source == users
    here = written(tmp_path, "[server]\nport = 2")
    assert load(environ=home, folder=tmp_path).source == here
    by_variable = written(tmp_path, "[server]\nport = 3", "variable.toml")
    home["ANTIPHON_CONFIG"] = "variable.toml"
    assert load(environ=home, folder=tmp_path).source == by_variable
    named = written(tmp_path, "[server]\nport = 4", "named.toml")
    config = load(environ=home, folder=tmp_path, file=Path("named.toml"))
    assert (config.source, config.server.port) == (named, 4)


def test_a_named_file_that_is_missing_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.toml: there is no such file"):
        load(environ=NO_ENVIRONMENT, folder=tmp_path, file=Path("gone.toml"))


def test_paths_in_the_file_are_relative_to_the_file_and_all_others_to_the_working_folder(tmp_path):
    written(tmp_path, f'[server]\ndata = "d"\n{CHAT}api_key_file = "k"', "sub/antiphon.toml")
    config = load(environ=NO_ENVIRONMENT, folder=tmp_path, file=Path("sub/antiphon.toml"))
    assert config.server.data == tmp_path / "sub" / "d"
    assert config.models["m"].api_key_file == tmp_path / "sub" / "k"
    config = load({"server.data": "d"}, environ=NO_ENVIRONMENT, folder=tmp_path, file=Path("sub/antiphon.toml"))
    assert config.server.data == tmp_path / "d"


def test_data_is_kept_where_the_platform_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    assert load(environ={"HOME": "/h"}, folder=tmp_path).server.data == Path("/h/.local/share/antiphon")
    assert load(environ={"XDG_DATA_HOME": "/x"}, folder=tmp_path).server.data == Path("/x/antiphon")
    monkeypatch.setattr("sys.platform", "darwin")
    macs = Path("/h/Library/Application Support/antiphon")
    assert load(environ={"HOME": "/h"}, folder=tmp_path).server.data == macs


# .env


def test_a_dotenv_file_sets_what_the_environment_does_not(tmp_path, monkeypatch):
    written(tmp_path, 'ANTIPHON_PORT=1\nANTIPHON_HOST="h"\n', ".env")
    monkeypatch.setenv("ANTIPHON_PORT", "2")
    config = load(environ=environment(tmp_path), folder=tmp_path)
    assert (config.server.host, config.server.port) == ("h", 2)


# Models


def test_each_backend_has_its_own_settings(tmp_path):
    config = read(
        tmp_path,
        """
        [models."gpt-5"]
        backend = "chat_completions"
        base_url = "http://127.0.0.1:11434/v1"
        model = "qwen3"
        pass_through = ["top_k", "seed"]
        headers = { "X-Team" = "blue" }
        extra_body = { options = { num_ctx = 32768 } }
        idle_timeout = 5
        [models."*"]
        backend = "responses"
        base_url = "https://api.openai.com/v1"
        api_key_env = "UPSTREAM_KEY"
        store = true
        [models.slow]
        backend = "rehearsal"
        tokens_per_second = 20
        [models.other]
        backend = "somebodys"
        temperature_of_the_moon = 3
        """,
        {"UPSTREAM_KEY": "sk-1"},
    )
    chat, responses, slow, other = config.models.values()
    assert isinstance(chat, ChatSettings)
    assert (chat.model, chat.pass_through, chat.idle_timeout) == ("qwen3", {"top_k", "seed"}, 5.0)
    assert chat.headers == {"X-Team": Secret("blue")}
    assert chat.extra_body == {"options": {"num_ctx": 32768}}
    assert isinstance(responses, ResponsesSettings)
    assert (responses.api_key, responses.store) == (Secret("sk-1"), True)
    assert isinstance(slow, RehearsalSettings)
    assert isinstance(other, PluginSettings)
    assert other.options == {"temperature_of_the_moon": 3}


def test_models_are_looked_for_where_none_are_configured_unless_it_is_said(tmp_path):
    model = '\n[models.m]\nbackend = "rehearsal"'
    assert read(tmp_path, "").discovers
    assert not read(tmp_path, model).discovers
    assert read(tmp_path, "discovery = true" + model).discovers
    assert not read(tmp_path, "", {"ANTIPHON_DISCOVERY": "0"}).discovers


# Secrets


def test_no_secret_is_shown_by_printing_the_configuration(tmp_path):
    config = read(
        tmp_path,
        '[models.m]\nbackend = "responses"\nbase_url = "http://h/v1"\napi_key_env = "K"\nheaders = {a = "sesame-h"}',
        {"ANTIPHON_API_KEY": "sesame-s", "K": "sesame-m"},
    )
    assert "sesame" not in f"{config!r} {config}"
    assert config.models["m"].api_key.reveal() == "sesame-m"


# Mistakes

CHAT = '[models.m]\nbackend = "chat_completions"\nbase_url = "http://h/v1"\n'

OURS = '"rehearsal", "route", "chat_completions", "responses"'

MISTAKES = {
    "an unknown table": ("[servers]\nport = 1", 'servers: there is no such table or setting; did you mean "server"?'),
    "an unknown setting": ("[server]\nprot = 1", 'server.prot: there is no such setting; did you mean "port"?'),
    "nothing like it": ("[server]\nxyzzy = 1", "server.xyzzy: there is no such setting"),
    "a wrong type": ('[server]\nport = "8484"', "server.port: expected int, got str"),
    "out of range": ("[server]\nport = 70000", "server.port: expected int <= 65535"),
    "negative": ("[server]\nhold = -1", "server.hold: expected float >= 0.0"),
    "no number": ("[server]\nhold = nan", "server.hold: expected float >= 0.0"),
    "endless": ("[server]\nkeepalive = inf", "server.keepalive: expected a finite number"),
    "a wrong word": (
        '[store]\nsynchronous = "ful"',
        "store.synchronous: expected one of normal, full, got 'ful'; did you mean \"full\"?",
    ),
    "a wrong element": ("[server]\nallowed_hosts = [1]", "server.allowed_hosts[0]: expected str, got int"),
    "no table": ("server = 1", "server: expected a table, [server]"),
    "no switch": ('discovery = "no"', "discovery: expected bool, got str"),
    "no TOML": ("[server", "this is no TOML: Expected ']' at the end of a table declaration (at end of document)"),
    "an empty key": ('[server]\napi_key = ""', "server.api_key: expected a text that is not empty"),
    "a key that is none": ("[server]\napi_key = 1", "server.api_key: expected str, got int"),
    "two keys": (
        '[server]\napi_key = "a"\napi_key_file = "b"',
        "server.api_key_file: api_key is set too, and only one of them can be",
    ),
    "an unset variable": (
        CHAT + 'api_key_env = "UNSET"',
        'models."m".api_key_env: the environment variable UNSET is not set',
    ),
    "an empty command": (CHAT + 'api_key_command = ""', 'models."m".api_key_command: expected a command, got nothing'),
    "a command with an open quote": (
        CHAT + 'api_key_command = "pass \'x"',
        'models."m".api_key_command: expected a command: No closing quotation',
    ),
    "a model that is no table": ("[models]\nm = 1", 'models."m": expected a table, [models."m"]'),
    "a model without a name": ('[models.""]\nbackend = "rehearsal"', 'models."": a model needs a name'),
    "no backend": (
        '[models.m]\nbase_url = "http://h/v1"',
        f'models."m".backend: expected the name of a backend: {OURS}, or that of a plug-in',
    ),
    "a route to itself": (
        '[models.r]\nbackend = "route"\nmodels = ["r"]',
        'models."r".models[0]: a route cannot lead to itself; name the models',
    ),
    "a route to another route": (
        '[models.a]\nbackend = "route"\nmodels = ["b"]\n[models.b]\nbackend = "route"\nmodels = ["a"]',
        "models.\"a\".models[0]: 'b' is a route too; name the models",
    ),
    "a route to nowhere": (
        '[models.r]\nbackend = "route"\nmodels = ["well"]\n[models.wel]\nbackend = "rehearsal"',
        'models."r".models[0]: there is no model \'well\'; did you mean "wel"?',
    ),
    "a route that names a model twice": (
        '[models.r]\nbackend = "route"\nmodels = ["rehearsal", "rehearsal"]',
        "models.\"r\".models[1]: 'rehearsal' is named twice",
    ),
    "a route without models": (
        '[models.r]\nbackend = "route"\nmodels = []',
        'models."r".models: expected array of length >= 1',
    ),
    "a weight for a model that is not there": (
        '[models.r]\nbackend = "route"\norder = "weighted"\nmodels = ["rehearsal"]\nweights = { rehersal = 1 }',
        'models."r".weights: \'rehersal\' is none of the route\'s models; did you mean "rehearsal"?',
    ),
    "weights that do not count": (
        '[models.r]\nbackend = "route"\nmodels = ["rehearsal"]\nweights = { rehearsal = 1 }',
        'models."r".weights: weights count where order = "weighted", but it is "first"',
    ),
    "no weight above 0": (
        '[models.r]\nbackend = "route"\norder = "weighted"\nmodels = ["rehearsal"]\nweights = { rehearsal = 0 }',
        'models."r".weights: at least one model needs a weight above 0',
    ),
    "a route for every other name": (
        '[models."*"]\nbackend = "route"\nmodels = ["rehearsal"]',
        'models."*": a route needs a name of its own: its models are sent their own names',
    ),
    "a negative limit": (
        '[models.m]\nbackend = "rehearsal"\nmax_concurrency = -1',
        'models."m".max_concurrency: expected int >= 0',
    ),
    "a limit of a route": (
        '[models.r]\nbackend = "route"\nmodels = ["rehearsal"]\nmax_concurrency = 1',
        'models."r".max_concurrency: a route is not asked itself: set it for the models that it leads to',
    ),
    "hedging of a route": (
        '[models.r]\nbackend = "route"\nmodels = ["rehearsal"]\nhedging = true',
        'models."r".hedging: a route is not asked itself: set it for the models that it leads to',
    ),
    "a key of a route": (
        '[models.r]\nbackend = "route"\nmodels = ["rehearsal"]\napi_key = "k"',
        'models."r".api_key: a route is not asked itself: set it for the models that it leads to',
    ),
    "a key of the built-in model": (
        '[models.m]\nbackend = "rehearsal"\napi_key_env = "K"',
        'models."m".api_key_env: the built-in model needs no key',
    ),
    "a key of rules": (
        '[moderators.m]\nkind = "rules"\nwords = { a = ["b"] }\napi_key = "k"',
        'moderators."m".api_key: rules need no key',
    ),
    "a key of a judge": (
        '[moderators.m]\nkind = "judge"\nmodel = "rehearsal"\napi_key_file = "k"',
        'moderators."m".api_key_file: a judge is asked with the key of its model',
    ),
    "a queue without a limit": (
        CHAT + "max_queue = 5",
        'models."m".max_queue: it counts where max_concurrency sets a limit, and there is none',
    ),
    "a limit that adapts from nothing": (
        CHAT + "adaptive_concurrency = true",
        'models."m".adaptive_concurrency: it counts where max_concurrency sets a limit, and there is none',
    ),
    "two limits of one address": (
        CHAT + "max_concurrency = 2\n" + CHAT.replace("models.m", "models.n") + "max_concurrency = 50",
        'models."n".max_concurrency: models."m" has the same address and another one: set it for one of them',
    ),
    "two queues of one address": (
        CHAT
        + "max_concurrency = 2\n"
        + CHAT.replace("models.m", "models.n").replace("/v1", "/v1/")
        + "max_concurrency = 2\nmax_queue = 5",
        'models."n".max_queue: models."m" has the same address and another one: set it for one of them',
    ),
    "hedging of what is not tried again": (
        '[models.m]\nbackend = "rehearsal"\nhedging = true',
        'models."m".hedging: it counts for the built-in model only in a route, or with max_concurrency',
    ),
    "the breaker of a route": (
        '[models.r]\nbackend = "route"\nmodels = ["rehearsal"]\nbreaker = "off"',
        'models."r".breaker: a route is not asked itself: set it for the models that it leads to',
    ),
    "the breaker of what has none": (
        '[models.m]\nbackend = "rehearsal"\nbreaker = "open"',
        'models."m".breaker: it counts for the built-in model only in a route, or with max_concurrency',
    ),
    "two words on one breaker": (
        CHAT + 'model = "a"\nbreaker = "open"\n' + CHAT.replace("models.m", "models.a"),
        'models."a".breaker: models."m" is the same model at the same address and says "open"',
    ),
    "more times to know than are remembered": (
        "[hedging]\nleast = 600",
        "hedging.least: 600 is more than most, 500",
    ),
    "hedging where nobody hedges": (
        CHAT + "[hedging]\nshare = 0.1",
        "hedging.share: it counts for models with hedging = true, and there is none",
    ),
    "a ratio of slow calls where none is slow": (
        "[breaker]\nslow_ratio = 0.5",
        "breaker.slow_ratio: it counts where slow_after says what is slow, and it is not set",
    ),
    "a wait that is longer than the longest": (
        "[retry]\nbase = 10",
        "retry.base: 10.0 is more than longest, 8.0",
    ),
    "a wait after a 429 that is longer than the longest": (
        "[retry]\nthrottled_base = 2\nlongest = 1",
        "retry.throttled_base: 2.0 is more than longest, 1.0",
    ),
    "a breaker that opens for longer than the longest": (
        "[breaker]\nopen_for = 500",
        "breaker.open_for: 500.0 is more than longest, 300.0",
    ),
    "a route to every other name": (
        '[models.r]\nbackend = "route"\nmodels = ["*"]\n[models."*"]\nbackend = "rehearsal"',
        'models."r".models[0]: "*" stands for every other name, and is no model itself; name the models',
    ),
    "a retry that no budget can pay": (
        "[retry]\nbucket = 10",
        "retry.transient_cost: 14 is more than bucket, 10",
    ),
    "a retry after a 429 that no budget can pay": (
        "[retry]\nthrottled_cost = 501",
        "retry.throttled_cost: 501 is more than bucket, 500",
    ),
    "an impossible ratio": ("[breaker]\nratio = 1.5", "breaker.ratio: expected float <= 1.0"),
    "no attempt at all": ("[retry]\nattempts = 0", "retry.attempts: expected int >= 1"),
    "no address": ('[models.m]\nbackend = "responses"', 'models."m".base_url: must be set'),
    "an unknown option of a backend": (
        CHAT + "thinktags = true",
        'models."m".thinktags: there is no such setting; did you mean "think_tags"?',
    ),
    "an option of another backend": (
        CHAT + "tokens_per_second = 1",
        'models."m".tokens_per_second: there is no such setting',
    ),
    "a wrong type in a model": (CHAT + "idle_timeout = true", 'models."m".idle_timeout: expected float, got bool'),
    "a time-out of nothing": (CHAT + "connect_timeout = 0", 'models."m".connect_timeout: expected float > 0.0'),
    "a header that is no text": (CHAT + "headers = {a = 1}", 'models."m".headers[...]: expected str, got int'),
    "a header with a line end": (
        CHAT + 'headers = {a = "b\\nc"}',
        'models."m".headers."a": a header must hold no line end or control character',
    ),
    "no header's name": (CHAT + 'headers = {"a b" = "c"}', "models.\"m\".headers: 'a b' is not the name of a header"),
}


@pytest.mark.parametrize(("text", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_in_the_file_is_told_with_its_place_and_its_reason(tmp_path, text, message):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert str(caught.value) == f"antiphon.toml: {message}"


SENSIBLE = {
    "a longest wait below the usual first one": "[retry]\nlongest = 0.05\n[breaker]\nlongest = 3",
    "hedging where one model hedges": CHAT + "hedging = true\n[hedging]\nshare = 0.1",
    "what is slow, and how much of it": "[breaker]\nslow_after = 5\nslow_ratio = 0.5",
    "a cache that is switched off": "[cache]\nttl = 5",
}


@pytest.mark.parametrize("text", SENSIBLE.values(), ids=SENSIBLE)
def test_what_makes_sense_is_not_refused(tmp_path, text):
    assert read(tmp_path, text).source


ADDRESSES = {
    "127.0.0.1:11434": "expected an address like http://127.0.0.1:8484/v1",
    "ftp://h/v1": "expected an address like http://127.0.0.1:8484/v1",
    "http:///v1": "expected an address like http://127.0.0.1:8484/v1",
    "http://u:p@h/v1": "an address must hold no password: use api_key or headers",
    "http://h/v1?x=1": "expected an address without a query",
    "http://h/v1/chat/completions": "expected the address up to /v1, without /chat/completions",
    "http://h/v1/responses/": "expected the address up to /v1, without /responses",
    "http://h:99999/v1": "expected an address: Port out of range 0-65535",
}


@pytest.mark.parametrize(("address", "reason"), ADDRESSES.items())
def test_an_address_that_cannot_be_meant_is_refused(tmp_path, address, reason):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f'[models.m]\nbackend = "responses"\nbase_url = "{address}"')
    assert caught.value.reason == reason
    assert caught.value.key == 'models."m".base_url'


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ANTIPHON_PORT": "http"}, "ANTIPHON_PORT: expected int, got str"),
        ({"ANTIPHON_PORT": "70000"}, "ANTIPHON_PORT: expected int <= 65535"),
        ({"ANTIPHON_DISCOVERY": "perhaps"}, "ANTIPHON_DISCOVERY: expected bool, got str"),
        (
            {"ANTIPHON_ON_DISCONNECT": "go on"},
            "ANTIPHON_ON_DISCONNECT: expected one of cancel, continue, got 'go on'",
        ),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(tmp_path, environ, message):
    with pytest.raises(ConfigError) as caught:
        load(environ={**NO_ENVIRONMENT, **environ}, folder=tmp_path)
    assert str(caught.value) == message


def test_a_mistake_in_a_flag_names_the_flag(tmp_path):
    with pytest.raises(ConfigError, match=r"^--port: expected int <= 65535$"):
        load({"server.port": 99999}, environ=NO_ENVIRONMENT, folder=tmp_path)


def test_a_file_that_is_no_text_is_told(tmp_path):
    (tmp_path / "antiphon.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"antiphon\.toml: cannot be read"):
        load(environ=NO_ENVIRONMENT, folder=tmp_path)
