"""`antiphon keys`, `antiphon projects`, `antiphon audit`: they write to the server's database, running or not."""

import http.client
import json
import re
import time
from pathlib import Path

import pytest

from tests.cli.conftest import serving
from tests.cli.test_serve import refused

DATA = ("--data", "data")


@pytest.fixture
def run(antiphon):
    """Runs a command on the folder `data`, and gives what it wrote to stdout."""

    def run(*arguments: str) -> str:
        done = antiphon(*arguments, *DATA)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    return run


def status(port: int, key: str | None = None, path: str = "/v1/models") -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path, headers={"Authorization": f"Bearer {key}"} if key else {})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def wait_for(port: int, key: str | None, wanted: int) -> float:
    """How many seconds it took until a key was answered as it should be."""
    began = time.monotonic()
    while status(port, key) != wanted:
        assert time.monotonic() - began < 20
        time.sleep(0.02)  # another process decides when
    return time.monotonic() - began


def test_a_key_made_beside_a_running_server_is_good_and_closes_it_and_is_revoked_within_a_second(run, tmp_path: Path):
    with serving(tmp_path) as server:
        assert b"open: everybody on this machine" in server.greeting
        assert status(server.port) == 200
        key = run("keys", "create", "laptop").strip()
        assert wait_for(server.port, None, 401) < 1
        assert status(server.port, key) == 200
        assert status(server.port, key[:-1]) == 401
        run("keys", "revoke", "laptop")
        assert wait_for(server.port, key, 401) < 1
        assert status(server.port) == 401


def test_a_server_with_a_key_in_its_database_is_closed_when_it_starts_and_may_be_reached_from_elsewhere(
    run, tmp_path: Path
):
    code, words = refused(tmp_path, "--host", "0.0.0.0", "--port", "0")
    assert code == 2
    assert "antiphon keys create" in words
    key = run("keys", "create", "ci", "--expires", "30d").strip()
    with serving(tmp_path, "--host", "0.0.0.0", "--port", "0") as server:
        assert b"open" not in server.greeting
        assert status(server.port) == 401
        assert status(server.port, key) == 200


def test_the_admin_key_of_the_environment_administers_and_closes_the_server(tmp_path: Path):
    with serving(tmp_path, ANTIPHON_ADMIN_KEY="sesame-open") as server:
        assert b"sesame" not in server.greeting
        assert status(server.port) == 401
        assert status(server.port, "sesame-open") == 403
        assert status(server.port, "sesame-open", "/v1/organization/projects") == 200


def test_the_admin_key_may_not_be_the_one_that_clients_have_nor_empty(tmp_path: Path):
    code, words = refused(tmp_path, "--port", "0", ANTIPHON_ADMIN_KEY="same", ANTIPHON_API_KEY="same")
    assert (code, words.count("\n")) == (2, 1)
    (tmp_path / "antiphon.toml").write_text('[server]\nadmin_key = ""')
    code, words = refused(tmp_path, "--port", "0")
    assert code == 2
    assert "server.admin_key: expected a text that is not empty" in words


def test_a_key_is_shown_once(run):
    made = json.loads(run("keys", "create", "ci", "--scopes", "models.read, responses.write", "--json"))
    assert re.fullmatch(r"sk-antiphon-[A-Za-z0-9_-]{43}", made["value"])
    for command in (("keys", "list"), ("keys", "list", "--json"), ("keys", "show", "ci"), ("audit", "--json")):
        told = run(*command)
        assert made["value"] not in told
        assert made["id"] in told
    assert json.loads(run("keys", "show", made["id"], "--json"))["scopes"] == ["models.read", "responses.write"]


def test_keys_belong_to_projects_or_to_the_admin_api(run):
    project = run("projects", "create", "search").strip()
    run("keys", "create", "ci", "--project", "search")
    assert run("keys", "create", "ops", "--admin").startswith("sk-antiphon-admin-")
    (found,) = json.loads(run("keys", "list", "--project", project, "--json"))
    assert (found["name"], found["project"], found["role"]) == ("ci", project, "project.member")
    (found,) = json.loads(run("keys", "list", "--admin", "--json"))
    assert (found["name"], found["project"], found["owner"]) == ("ops", None, "user-default")


def test_a_second_key_with_a_name_is_of_the_same_service_account(run):
    first, second = (json.loads(run("keys", "create", "ci", "--json")) for _ in range(2))
    found = json.loads(run("keys", "list", "--json"))
    assert [key["id"] for key in found] == [first["id"], second["id"]]
    assert len({key["owner"] for key in found}) == 1


def test_a_rotated_key_is_good_for_a_while_beside_the_new_one(run):
    old = json.loads(run("keys", "create", "ci", "--scopes", "models.read", "--json"))
    new = json.loads(run("keys", "rotate", "ci", "--overlap", "1h", "--json"))
    keys = {key["id"]: key for key in json.loads(run("keys", "list", "--json"))}
    assert 3500 < keys[old["id"]]["expires_at"] - time.time() <= 3600
    assert keys[new["id"]]["expires_at"] is None
    assert keys[new["id"]]["scopes"] == ["models.read"]
    assert keys[new["id"]]["owner"] == keys[old["id"]]["owner"]
    run("keys", "rotate", new["id"], "--overlap", "0")
    assert new["id"] not in {key["id"] for key in json.loads(run("keys", "list", "--json"))}


def test_what_a_project_may_use_is_said_and_taken_back(run):
    run("projects", "create", "search")

    def found():
        return next(each for each in json.loads(run("projects", "list", "--json")) if each["name"] == "search")

    run("projects", "allow", "search", "--model", "gpt-5*", "--model", "rehearsal")
    assert found()["model_permissions"] == {"mode": "allow_list", "model_ids": ["gpt-5*", "rehearsal"]}
    run("projects", "deny", "search", "--model", "rehearsal", "--tool", "mcp")
    assert found()["model_permissions"] == {"mode": "allow_list", "model_ids": ["gpt-5*"]}
    assert found()["hosted_tool_permissions"]["mcp"] is False
    run("projects", "allow", "search", "--all-models", "--tool", "mcp")
    assert found()["model_permissions"] == {"mode": "deny_list", "model_ids": []}
    assert found()["hosted_tool_permissions"]["mcp"] is True
    run("projects", "deny", "search", "--model", "o3")
    assert "all but o3" in run("projects", "list")
    run("projects", "allow", "search", "--model", "o3")
    assert found()["model_permissions"] == {"mode": "deny_list", "model_ids": []}


def test_an_archived_project_is_listed_when_it_is_asked_for(run):
    run("projects", "create", "search")
    run("projects", "archive", "search")
    assert "search" not in run("projects", "list")
    assert "archived" in run("projects", "list", "--archived")


def test_the_audit_log_tells_what_was_done_at_the_command_line(run):
    run("projects", "create", "search")
    run("keys", "create", "ci", "--project", "search")
    lines = json.loads(run("audit", "--json"))
    assert [line["type"] for line in lines] == ["api_key.created", "service_account.created", "project.created"]
    assert {line["actor"]["session"]["user"]["id"] for line in lines} == {"user-default"}
    assert run("audit", "--type", "project.created").count("\n") == 2
    assert run("audit", "--project", "search", "--limit", "1").count("\n") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("keys", "revoke", "nobodys"), 1, "there is no key 'nobodys'"),
        (("keys", "create", "ci", "--project", "gone"), 1, "No project with id 'gone'."),
        (("keys", "create", "ci", "--scopes", "all"), 1, "Invalid value: 'all'."),
        (("keys", "create", "ci", "--expires", "soon"), 2, "'soon' is no span of time"),
        (("keys", "create", "ci", "--admin", "--project", "default"), 2, "an admin key belongs to no project"),
        (("keys", "create", "a\x1b[2Jb"), 2, "a name is one line"),
        (("projects", "archive", "default"), 1, "The default project cannot be archived."),
        (("projects", "allow", "default"), 2, "name something with --model or --tool"),
        (("projects", "deny", "default", "--tool", "typewriter"), 2, "there is no hosted tool 'typewriter'"),
    ],
)
def test_a_mistake_is_told_in_one_line(antiphon, arguments, code, words):
    done = antiphon(*arguments, *DATA)
    assert (done.exit_code, done.stdout) == (code, "")
    assert done.stderr.startswith(f"antiphon: {words}")
    assert done.stderr.count("\n") == 1
