"""`antiphon serve`: what it prints, what it refuses, how it ends."""

import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pytest

from antiphon.cli.serve import options_of, read_ahead
from antiphon.config.load import load
from antiphon.plugins import Models
from antiphon.policy.prices import Prices
from antiphon.server.guard import LOCAL_HOSTS
from tests.cli.conftest import COMMAND, serving, surroundings


def request(port: int, path: str, key: str | None = None) -> tuple[int, dict]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    return answer.status, body


def refused(folder: Path, *arguments: str, **environ: str) -> tuple[int, str]:
    """The exit code and the words of a server that does not start."""
    done = subprocess.run(
        [*COMMAND, "serve", "--data", str(folder / "data"), *arguments],
        cwd=folder,
        env={**surroundings(folder), **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == b""
    return done.returncode, done.stderr.decode()


def test_it_prints_the_address_the_models_and_a_request_to_try(server):
    greeting = server.greeting.decode()
    assert f"serves the Responses API at http://127.0.0.1:{server.port}/v1" in greeting
    assert "models   rehearsal  (it also answers to every other name)" in greeting
    assert f"curl {server.base_url}/responses" in greeting
    assert server.port != 0


def test_the_request_that_it_prints_works_as_printed(server):
    greeting = server.greeting.decode()
    command = greeting[greeting.index("  curl ") : greeting.index("or in Python")]
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60, check=False)
    if done.returncode == 127:
        pytest.skip("there is no curl")
    assert json.loads(done.stdout)["status"] == "completed"


def test_the_prices_of_what_it_asks_are_read_ahead_beside_the_first_requests(tmp_path):
    (tmp_path / "antiphon.toml").write_text(
        '[models.m]\nbackend = "responses"\nbase_url = "http://a/v1"\n[embeddings.e]\nbase_url = "http://b/v1"\n'
    )
    told = []

    class Ahead(Prices):
        def preload(self, upstreams: Iterable[str]) -> None:
            told.append((threading.current_thread() is threading.main_thread(), list(upstreams)))

    settings = load(environ={"HOME": "/"}, folder=tmp_path)
    read_ahead(settings, Models(settings.models, prices=Ahead())).join(10)
    assert told == [(False, ["http://a/v1", "http://b/v1"])]


def test_it_ends_with_0_on_a_signal_and_has_nothing_to_say(tmp_path):
    for number in (signal.SIGTERM, signal.SIGINT):
        with serving(tmp_path) as server:
            assert server.stop(number) == (0, "")


def test_with_a_key_nobody_else_is_answered(tmp_path):
    with serving(tmp_path, ANTIPHON_API_KEY="sesame") as server:
        status, body = request(server.port, "/v1/models")
        assert (status, body["error"]["code"]) == (401, "invalid_api_key")
        assert request(server.port, "/v1/models", "other")[0] == 401
        assert request(server.port, "/v1/models", "sesame")[0] == 200
        assert b"sesame" not in server.greeting
        assert b"$ANTIPHON_API_KEY" in server.greeting


def test_a_key_in_a_file_can_be_replaced_while_it_runs(tmp_path):
    (tmp_path / "key").write_text("one\n")
    with serving(tmp_path, ANTIPHON_API_KEY_FILE="key") as server:
        assert request(server.port, "/v1/models", "one")[0] == 200
        (tmp_path / "key").write_text("another\n")
        assert request(server.port, "/v1/models", "one")[0] == 401
        assert request(server.port, "/v1/models", "another")[0] == 200
        (tmp_path / "key").write_text("")
        assert request(server.port, "/v1/models")[0] == 503


def test_it_does_not_listen_for_other_machines_without_a_key(tmp_path):
    code, words = refused(tmp_path, "--host", "0.0.0.0", "--port", "0")
    assert code == 2
    assert words.startswith("antiphon: 0.0.0.0 can be reached from other machines, and there is no key")
    assert words.count("\n") == 1


def test_with_a_key_it_listens_for_other_machines(tmp_path):
    with serving(tmp_path, "--host", "0.0.0.0", "--port", "0", "--api-key", "k") as server:
        assert request(server.port, "/v1/models", "k")[0] == 200


def test_a_port_in_use_is_told_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, words = refused(tmp_path, "--port", str(port))
    assert code == 1
    assert words.startswith(f"antiphon: port {port} on 127.0.0.1 is in use.")
    assert words.count("\n") == 1


def test_an_address_that_is_not_ours_is_told_in_one_line(tmp_path):
    code, words = refused(tmp_path, "--host", "192.0.2.1", "--port", "0", "--api-key", "k")
    assert code == 1
    assert words.startswith("antiphon: cannot listen on 192.0.2.1 port 0: ")


def test_a_data_folder_in_use_is_told_with_its_holder(tmp_path):
    with serving(tmp_path) as server:
        code, words = refused(tmp_path, "--port", "0")
        assert code == 1
        assert words.count("\n") == 1
        assert f"process {server.process.pid}, which serves {server.base_url}" in words


def test_a_data_folder_that_cannot_be_made_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    code, words = refused(tmp_path, "--port", "0", "--data", "file/data")
    assert code == 1
    assert words.startswith("antiphon: The data folder ")
    assert words.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "text", "words"),
    [
        ([], "[server]\nprot = 1", "antiphon: antiphon.toml: server.prot: there is no such setting; did you mean"),
        (["--config", "gone.toml"], "", "antiphon: gone.toml: there is no such file"),
        ([], '[server]\napi_key_file = "gone"', "antiphon: the key file "),
        ([], '[server]\napi_key_command = "false"', "antiphon: the key command 'false' ended with 1"),
        ([], '[models.m]\nbackend = "nobodys"', 'antiphon: antiphon.toml: models."m".backend: there is no backend'),
    ],
)
def test_a_mistake_in_the_configuration_is_told_in_one_line_with_exit_code_2(tmp_path, arguments, text, words):
    (tmp_path / "antiphon.toml").write_text(text)
    code, said = refused(tmp_path, "--port", "0", *arguments)
    assert code == 2
    assert said.startswith(words)
    assert said.count("\n") == 1


def test_a_port_that_is_no_port_is_a_wrong_command(antiphon):
    done = antiphon("serve", "--port", "99999")
    assert done.exit_code == 2


def test_the_settings_reach_the_server(tmp_path):
    (tmp_path / "antiphon.toml").write_text(
        "[server]\nkeepalive = 1.5\nobfuscation = true\ndone_marker = true\nmax_body = 2048\nshutdown_grace = 7\n"
        'allowed_hosts = ["Box.local"]\nallowed_origins = ["http://page.test"]'
    )
    config = load(environ={"HOME": "/"}, folder=tmp_path)
    options = options_of(config)
    assert options.hosts == LOCAL_HOSTS | {"box.local"}
    assert options.origins == {"http://page.test"}
    assert (options.keepalive, options.obfuscation, options.done_marker) == (1.5, True, True)
    assert (options.max_body, options.grace) == (2048, 7)


def test_for_other_machines_every_host_name_is_answered_unless_some_are_listed(tmp_path):
    for text, hosts in (("", None), ('allowed_hosts = ["a.test"]', {"a.test"})):
        (tmp_path / "antiphon.toml").write_text(f'[server]\nhost = "0.0.0.0"\n{text}')
        assert options_of(load(environ={"HOME": "/"}, folder=tmp_path)).hosts == hosts


def loaded_by(code: str, folder: Path) -> set[str]:
    """The modules that a program has loaded at its end."""
    program = f"import sys\n{code}\nimport json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=surroundings(folder),
        capture_output=True,
        timeout=60,
        check=True,
    )
    return set(msgspec.json.decode(done.stdout.splitlines()[-1]))


def test_the_help_loads_nothing_heavy(tmp_path):
    code = "from antiphon.cli.app import app\ntry: app(['--help'])\nexcept SystemExit: pass"
    heavy = {"aiohttp", "asyncio", "msgspec", "openai", "rich", "sqlite3", "starlette", "tiktoken", "uvicorn"}
    assert not heavy & loaded_by(code, tmp_path)


def test_a_server_that_has_not_been_asked_has_loaded_no_upstream_and_no_tokenizer(tmp_path):
    code = (
        "import os, signal, antiphon.cli.serve as s\n"
        "s.welcome = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM) or ''\n"
        "from antiphon.cli.app import app\n"
        "try: app(['serve', '--port', '0', '--data', 'data'])\nexcept SystemExit: pass"
    )
    assert not {"aiohttp", "openai", "rich", "tiktoken"} & loaded_by(code, tmp_path)
