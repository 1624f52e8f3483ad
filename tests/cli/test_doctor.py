"""`antiphon doctor`: what is missing, what cannot be reached, what is too small."""

import json
import socket
from contextlib import contextmanager

import pytest

from antiphon.cli import checks
from antiphon.cli.context import ENOUGH_FOR_CODEX, window_of
from tests.config.fakes import listing, serving


@pytest.fixture
def doctor(antiphon, tmp_path, monkeypatch):
    """Examines a configuration with these models; the port is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("ANTIPHON_PORT", str(free.getsockname()[1]))

    def run(text: str = "", **environ: str):
        (tmp_path / "antiphon.toml").write_text(text)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        done = antiphon("doctor", "--json")
        found = json.loads(done.stdout)
        assert found["ok"] == (done.exit_code == 0)
        return {check["name"]: (check["state"], check["detail"]) for check in found["checks"]}, done.exit_code

    return run


def model(base_url: str, name: str = "m", **more: object) -> str:
    lines = [f'[models."{name}"]', 'backend = "chat_completions"', f'base_url = "{base_url}"']
    return "\n".join([*lines, *(f"{key} = {json.dumps(value)}" for key, value in more.items())]) + "\n"


def test_a_machine_with_nothing_but_antiphon_is_healthy(doctor, tmp_path):
    found, code = doctor()
    assert code == 0
    assert found["python"][0] == found["packages"][0] == found["disk"][0] == "ok"
    assert found["configuration"] == ("ok", str(tmp_path / "antiphon.toml"))
    assert found["data folder"] == ("ok", f"{tmp_path / '.local/share/antiphon'} (will be made)")
    assert found["port"][1].endswith(" is free")
    assert found["models"][0] == "warn"


def test_it_can_be_read_by_people(antiphon, doctor):
    doctor()
    lines = antiphon("doctor").stdout.splitlines()
    assert lines[0].startswith("ok      python ")
    assert all(line.split()[0] in ("ok", "warn", "broken") for line in lines)


def test_a_mistake_in_the_configuration_is_broken_and_ends_the_examination(doctor):
    found, code = doctor("[server]\nprot = 1")
    assert code == 1
    assert found["configuration"][0] == "broken"
    assert "server.prot" in found["configuration"][1]
    assert "port" not in found


def test_a_missing_package_is_broken(doctor, monkeypatch):
    monkeypatch.setattr(checks, "NEEDED", ("msgspec", "no-such-package-of-ours"))
    found, code = doctor()
    assert code == 1
    assert found["packages"] == ("broken", "not installed: no-such-package-of-ours")


def test_a_variable_that_does_nothing_gets_a_warning(doctor):
    found, code = doctor(ANTIPHON_PROT="1", ANTIPHON_HOST="127.0.0.1")
    assert code == 0
    assert found["environment"] == ("warn", "ANTIPHON_PROT is no variable of Antiphon's and does nothing")


def test_a_data_folder_that_cannot_be_written_is_broken(doctor, tmp_path):
    (tmp_path / "file").write_text("")
    found, code = doctor('[server]\ndata = "file/data"')
    assert code == 1
    assert found["data folder"][0] == "broken"


def test_little_space_gets_a_warning(doctor, monkeypatch):
    monkeypatch.setattr(checks, "LITTLE", 2**80)
    assert doctor()[0]["disk"][0] == "warn"


def test_a_port_that_something_else_has_is_broken(doctor):
    with serving() as other:
        found, code = doctor(ANTIPHON_PORT=str(other.port))
    assert (code, found["port"][0]) == (1, "broken")


def test_a_port_that_we_serve_is_fine(doctor):
    with serving(health={"status": "ok", "version": "9.9"}) as ourselves:
        found, code = doctor(ANTIPHON_PORT=str(ourselves.port))
    assert (code, found["port"]) == (0, ("ok", f"Antiphon 9.9 serves {ourselves.base_url}"))


def test_an_open_server_without_a_key_is_broken(doctor):
    found, code = doctor(ANTIPHON_HOST="0.0.0.0")
    assert (code, found["key of this server"][0]) == (1, "broken")
    found, code = doctor(ANTIPHON_HOST="0.0.0.0", ANTIPHON_API_KEY="k")
    assert (code, found["key of this server"][0]) == (0, "ok")


def test_a_key_in_the_database_will_do_for_an_open_server(doctor, antiphon):
    assert antiphon("keys", "create", "laptop", "--data", "data").exit_code == 0
    found, code = doctor(ANTIPHON_HOST="0.0.0.0", ANTIPHON_DATA="data")
    assert (code, found["key of this server"][0]) == (0, "ok")


def test_a_lost_key_file_is_broken(doctor, tmp_path):
    found, code = doctor(ANTIPHON_API_KEY_FILE="gone")
    assert (code, found["key of this server"][0]) == (1, "broken")
    (tmp_path / "antiphon.toml").unlink()


# Models


def test_each_upstream_is_asked_once_with_its_key(doctor):
    with serving(v1_models=listing("a", "b", max_model_len=100_000)) as upstream:
        both = model(upstream.base_url, "a", api_key="k") + model(upstream.base_url, "b", api_key="k")
        found, code = doctor(both)
    assert code == 0
    assert found[f"upstream {upstream.base_url}"][1].endswith(" ms; 2 models")
    assert found["model a"] == found["model b"] == ("ok", "a context of 100000 tokens")
    assert [(path, headers["Authorization"]) for _, path, headers in upstream.seen] == [("/v1/models", "Bearer k")]


def test_an_upstream_that_does_not_answer_is_broken(doctor):
    found, code = doctor(model("http://127.0.0.1:9/v1"))
    assert (code, found["upstream http://127.0.0.1:9/v1"]) == (1, ("broken", "nobody listens there"))
    assert "model m" not in found


@pytest.mark.parametrize(("key", "words"), [("k", "the key was refused"), (None, "a key is needed")])
def test_an_upstream_that_refuses_our_key_is_broken(doctor, key, words):
    with serving(v1_models=(401, {})) as upstream:
        found, code = doctor(model(upstream.base_url, **({"api_key": key} if key else {})))
    assert (code, found[f"upstream {upstream.base_url}"]) == (1, ("broken", f"{words} (status 401)"))


def test_an_upstream_without_a_list_gets_a_warning_and_its_models_are_examined(doctor):
    with serving() as upstream:
        found, code = doctor(model(upstream.base_url, context_window=8192))
    assert code == 0
    assert found[f"upstream {upstream.base_url}"][0] == "warn"
    assert found["model m"][0] == "warn"


def test_a_model_that_its_upstream_does_not_list_is_broken(doctor):
    with serving(v1_models=listing("other")) as upstream:
        found, code = doctor(model(upstream.base_url, model="qwen3"))
    assert (code, found["model m"]) == (1, ("broken", "its upstream does not list 'qwen3'"))


def test_a_key_that_cannot_be_had_is_broken(doctor, tmp_path):
    found, code = doctor(model("http://127.0.0.1:9/v1", api_key_file="gone"))
    assert code == 1
    assert found["model m"] == (
        "broken",
        f"the key file {tmp_path / 'gone'} cannot be read: [Errno 2] No such file or directory: '{tmp_path / 'gone'}'",
    )


def test_a_context_too_small_for_codex_gets_a_warning(doctor, antiphon):
    with serving(v1_models=listing("m", max_model_len=ENOUGH_FOR_CODEX - 1)) as upstream:
        found, code = doctor(model(upstream.base_url))
        assert (code, found["model m"][0]) == (0, "warn")
        assert "too small for Codex" in found["model m"][1]
        relaxed = json.loads(antiphon("doctor", "--json", "--window", 1000).stdout)
        assert relaxed["checks"][-1]["state"] == "ok"


def test_what_is_configured_outweighs_what_the_upstream_says(doctor):
    with serving(v1_models=listing("m", max_model_len=64)) as upstream:
        found, _ = doctor(model(upstream.base_url, context_window=200_000))
    assert found["model m"] == ("ok", "a context of 200000 tokens")


# Context windows


@contextmanager
def speaking(paths: dict[str, object]):
    with serving(paths) as upstream:
        yield upstream.base_url


WINDOWS = {
    "llama-server": ({"/props": {"default_generation_settings": {"n_ctx": 8192}}}, 8192),
    "LM Studio, loaded": (
        {"/api/v0/models": {"data": [{"id": "m", "loaded_context_length": 4096, "max_context_length": 131072}]}},
        4096,
    ),
    "LM Studio, not loaded": ({"/api/v0/models": {"data": [{"id": "m", "max_context_length": 131072}]}}, 131072),
    "Ollama, loaded": (
        {
            "/api/ps": {"models": [{"name": "m:latest", "context_length": 16384}]},
            "/api/show": {"parameters": "num_ctx 4096"},
        },
        16384,
    ),
    "Ollama, set in the model": (
        {
            "/api/ps": {"models": []},
            "/api/show": {"parameters": "temperature 1\nnum_ctx                        65536\n", "model_info": {}},
        },
        65536,
    ),
    "Ollama, not set": ({"/api/ps": {"models": []}, "/api/show": {"model_info": {"q.context_length": 262144}}}, None),
    "somebody else": ({}, None),
    "nonsense": ({"/props": [], "/api/ps": b"<html>", "/api/show": {"parameters": 1}, "/api/v0/models": {}}, None),
}


@pytest.mark.parametrize(("paths", "window"), WINDOWS.values(), ids=WINDOWS)
def test_each_server_is_asked_for_its_context_in_its_own_way(paths, window):
    with speaking(paths) as base_url:
        assert window_of(base_url, "m", None) == window
