"""`antiphon connect`: what is printed can be pasted."""

import ast
import json
import shlex
import subprocess
import sys
import tomllib

import pytest

from antiphon.cli.clients import CLIENTS, Server, configuration

URL = "http://127.0.0.1:8484/v1"
PLAIN = Server(URL, "qwen3", keyed=False)
KEYED = Server(URL, "qwen3", keyed=True)
ODD = Server(URL, 'it\'s "odd" $HOME', keyed=False)

PYTHON = ("openai", "langchain", "pydantic-ai", "llamaindex")
JAVASCRIPT = ("openai-node", "ai-sdk")


@pytest.mark.parametrize("name", CLIENTS)
def test_each_client_is_told_the_address_and_the_model(name):
    printed = configuration(CLIENTS[name], PLAIN)
    assert URL in printed
    assert "qwen3" in printed


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_of_a_server_with_a_key_is_told_where_the_key_is(name):
    assert "ANTIPHON_API_KEY" in configuration(CLIENTS[name], KEYED)
    assert "ANTIPHON_API_KEY" not in configuration(CLIENTS[name], PLAIN)


@pytest.mark.parametrize("server", [PLAIN, KEYED, ODD])
def test_codex_gets_toml(server):
    config = tomllib.loads(configuration(CLIENTS["codex"], server))
    assert config["model"] == server.model
    provider = config["model_providers"][config["model_provider"]]
    assert (provider["base_url"], provider["wire_api"]) == (URL, "responses")
    assert provider.get("env_key") == ("ANTIPHON_API_KEY" if server.keyed else None)


@pytest.mark.parametrize("server", [PLAIN, KEYED, ODD])
@pytest.mark.parametrize("name", PYTHON)
def test_python_clients_get_python(name, server):
    tree = ast.parse(configuration(CLIENTS[name], server))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {URL, server.model} <= texts


@pytest.mark.parametrize("server", [PLAIN, KEYED, ODD])
@pytest.mark.parametrize("name", JAVASCRIPT)
def test_javascript_clients_get_javascript(name, server, tmp_path):
    path = tmp_path / "client.mjs"
    path.write_text(configuration(CLIENTS[name], server))
    try:
        done = subprocess.run(["node", "--check", path], capture_output=True, timeout=60, check=False)
    except FileNotFoundError:
        pytest.skip("there is no Node")
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("server", [PLAIN, KEYED, ODD])
def test_curl_gets_a_command_line(server):
    words = shlex.split(configuration(CLIENTS["curl"], server).replace("\\\n", ""))
    assert words[:3] == ["curl", "-N", f"{URL}/responses"]
    assert json.loads(words[words.index("-d") + 1])["model"] == server.model
    assert ("Authorization: Bearer $ANTIPHON_API_KEY" in words) == server.keyed


def test_without_a_client_all_are_listed(antiphon):
    listed = antiphon("connect").stdout
    assert all(f"\n{name} " in listed for name in CLIENTS)


def test_the_configuration_goes_to_stdout_and_where_to_put_it_to_stderr(antiphon, server):
    done = antiphon("connect", "codex", "--base-url", server.base_url)
    config = tomllib.loads(done.stdout)
    assert config["model"] == "rehearsal"
    assert config["model_providers"]["antiphon"]["base_url"] == server.base_url
    assert "~/.codex/config.toml" in done.stderr


def test_without_a_server_the_first_model_of_the_configuration_is_taken(antiphon, tmp_path):
    (tmp_path / "antiphon.toml").write_text(
        '[server]\nport = 9\napi_key = "k"\n[models.mine]\nbackend = "responses"\nbase_url = "http://h/v1"'
    )
    config = tomllib.loads(antiphon("connect", "codex").stdout)
    provider = config["model_providers"]["antiphon"]
    assert (config["model"], provider["base_url"]) == ("mine", "http://127.0.0.1:9/v1")
    assert provider["env_key"] == "ANTIPHON_API_KEY"
    assert tomllib.loads(antiphon("connect", "codex", "--model", "other").stdout)["model"] == "other"


def test_an_unknown_client_is_a_wrong_command_with_a_hint(antiphon):
    done = antiphon("connect", "codx")
    assert done.exit_code == 2
    assert 'did you mean "codex"?' in done.stderr


def test_what_the_python_sdk_is_told_works_as_printed(antiphon, server):
    pytest.importorskip("openai")
    program = antiphon("connect", "openai", "--base-url", server.base_url).stdout
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.startswith(b"I am rehearsal")
