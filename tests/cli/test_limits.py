"""`antiphon limits` and `antiphon budgets`: they write to the server's database, running or not."""

from __future__ import annotations

import http.client
import json
import time
from pathlib import Path

import pytest

from tests.cli.conftest import serving

DATA = ("--data", "data")
PRICES = '[[price]]\nmodel = "rehearsal"\ninput = 100\noutput = 1000\n'


@pytest.fixture
def run(antiphon):
    """Runs a command on the folder `data`, and gives what it wrote to stdout."""

    def run(*arguments: str) -> str:
        done = antiphon(*arguments, *DATA)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    return run


def ask(port: int) -> tuple[int, str | None, dict[str, str]]:
    """Status, code and headers of a request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    body = json.dumps({"model": "rehearsal", "input": "Hi."})
    connection.request("POST", "/v1/responses", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, (told.get("error") or {}).get("code"), dict(answer.headers)


def wait_for(port: int, status: int) -> tuple[float, str | None, dict[str, str]]:
    """How many seconds it took until requests were answered so; and the answer."""
    began = time.monotonic()
    while (found := ask(port))[0] != status:
        assert time.monotonic() - began < 20
        time.sleep(0.02)  # another process decides when
    return time.monotonic() - began, found[1], found[2]


def test_limits_that_are_set_beside_a_running_server_hold_within_a_second(run, tmp_path: Path):
    with serving(tmp_path) as server:
        assert ask(server.port)[0] == 200
        run("limits", "set", "rehearsal", "--rpd", "0")
        took, code, headers = wait_for(server.port, 429)
        assert took < 1
        assert code == "rate_limit_exceeded"
        assert headers["x-ratelimit-limit-requests"] == "0"
        run("limits", "remove", "rehearsal")
        assert wait_for(server.port, 200)[0] < 1


def test_a_list_tells_what_is_left_by_the_server_that_runs_on_the_folder(antiphon, run, tmp_path: Path):
    run("limits", "set", "rehearsal", "--rpd", "10", "--tpm", "none", "--rpm", "0")
    run("limits", "set", "rehearsal", "--rpm", "none")
    before = antiphon("limits", "list", *DATA)
    assert before.stdout.splitlines()[1].split() == ["default", "rehearsal", "–", "–", "10", "–"]
    assert "No server runs on this folder" in before.stderr
    with serving(tmp_path) as server:
        assert ask(server.port)[0] == 200
        assert run("limits", "list").splitlines()[1].split() == ["default", "rehearsal", "–", "–", "9/10", "–"]
        assert json.loads(run("limits", "list", "--json"))[0]["remaining"] == {"max_requests_per_1_day": 9}
    assert "No server runs on this folder" in antiphon("limits", "list", *DATA).stderr


def test_a_closed_server_is_asked_with_the_configured_admin_key_and_tells_nothing_without(
    antiphon, run, tmp_path: Path
):
    run("limits", "set", "rehearsal", "--rpd", "10")
    with serving(tmp_path, ANTIPHON_ADMIN_KEY="an-admin-key-of-the-tests"):
        without = antiphon("limits", "list", *DATA)
        assert without.stdout.splitlines()[1].split() == ["default", "rehearsal", "–", "–", "10", "–"]
        assert "the server did not tell, these are the settings: " in without.stderr
        (tmp_path / "antiphon.toml").write_text('[server]\nadmin_key = "an-admin-key-of-the-tests"\n')
        assert "10/10" in run("limits", "list")


def test_a_budget_that_is_set_beside_a_running_server_holds_within_a_second_and_tells_what_is_spent(
    run, tmp_path: Path
):
    (tmp_path / "prices.toml").write_text(PRICES)
    with serving(tmp_path, ANTIPHON_PRICES_FILE="prices.toml") as server:
        assert ask(server.port)[0] == 200
        run("budgets", "set", "0.000001")
        took, code, headers = wait_for(server.port, 429)
        assert took < 1
        assert code == "insufficient_quota"
        assert headers["x-antiphon-budget-remaining"] == "0"
        (told,) = json.loads(run("budgets", "list", "--json"))
        assert (told["scope"], told["owner"], told["window"], told["hard"]) == ("project", "default", "monthly", True)
        assert float(told["spent"]) > 0
        assert "$0.00" in run("budgets", "list")
        run("budgets", "remove")
        assert wait_for(server.port, 200)[0] < 1


def test_limits_are_listed_changed_one_by_one_and_lifted(run):
    run("projects", "create", "search")
    run("limits", "set", "gpt-5", "--rpm", "60", "--tpm", "100000")
    run("limits", "set", "*", "--rpd", "10", "--project", "search")
    run("limits", "set", "gpt-5", "--tpm", "none", "--rpd", "5")
    first, second = json.loads(run("limits", "list", "--json"))
    assert first == {
        "project": "default",
        "model": "gpt-5",
        "max_requests_per_1_minute": 60,
        "max_tokens_per_1_minute": None,
        "max_requests_per_1_day": 5,
        "max_tokens_per_1_day": None,
        "remaining": None,
    }
    assert (second["model"], second["max_requests_per_1_day"]) == ("*", 10)
    assert [row["model"] for row in json.loads(run("limits", "list", "--project", "search", "--json"))] == ["*"]
    heading, row, _ = run("limits", "list").splitlines()
    assert heading.split() == ["PROJECT", "MODEL", "RPM", "TPM", "RPD", "TPD"]
    assert row.split() == ["default", "gpt-5", "60", "–", "5", "–"]


def test_each_owner_has_one_budget_for_each_window(run):
    run("keys", "create", "ci")
    run("budgets", "set", "50")
    run("budgets", "set", "60", "--alert", "50", "--alert", "12.5%")
    run("budgets", "set", "5", "--window", "daily")
    run("budgets", "set", "0.25", "--key", "ci", "--window", "hourly")
    run("budgets", "set", "$1000", "--organization", "--soft")
    rows = json.loads(run("budgets", "list", "--json"))
    found = [(row["scope"], row["window"], row["amount"], row["hard"], row["thresholds"]) for row in rows]
    assert found == [
        ("project", "monthly", "60", True, ["0.125", "0.5"]),
        ("project", "daily", "5", True, ["0.8", "1"]),
        ("key", "hourly", "0.25", True, ["0.8", "1"]),
        ("organization", "monthly", "1000", False, ["0.8", "1"]),
    ]
    assert "12.5 %, 50 %" in run("budgets", "list")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("limits", "set", "gpt-5"), "name a limit with --rpm, --tpm, --rpd or --tpd"),
        (("limits", "set", "gpt-5", "--rpm", "-1"), "'-1' is no limit"),
        (("limits", "set", "gpt\n5", "--rpm", "1"), "a model's name is one line"),
        (("limits", "set", "gpt-5", "--rpm", "1", "--project", "none"), "No project with id 'none'"),
        (("limits", "remove", "gpt-5"), "No rate limit with id 'rl-gpt-5'"),
        (("budgets", "set", "NaN"), "'NaN' is no amount"),
        (("budgets", "set", "1e99"), "'1e99' is no amount"),
        (("budgets", "set", "--", "-1"), "'-1' is no amount"),
        (("budgets", "set", "0.0000000000001"), "is no amount"),
        (("budgets", "set", "1", "--alert", "0"), "'0' is no part of a budget"),
        (("budgets", "set", "1", "--key", "ci"), "no key has the name or id 'ci'"),
        (("budgets", "set", "1", "--key", "ci", "--organization"), "a budget has one owner"),
        (("budgets", "remove"), "No budget with id 'monthly'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(antiphon, arguments, words):
    split = arguments.index("--") if "--" in arguments else len(arguments)
    done = antiphon(*arguments[:split], *DATA, *arguments[split:])
    assert done.exit_code in (1, 2)
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
