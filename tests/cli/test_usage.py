"""`antiphon usage`: what the server's ledger has, while it runs and after."""

import asyncio
import json
from decimal import Decimal

import pytest

from antiphon.policy.ledger import Row, Tokens
from antiphon.stores.ledger import SQLiteLedger
from antiphon.stores.sqlite import SQLiteStore
from antiphon.testing import FakeClock
from tests.cli.conftest import serving

NOON = 1_800_014_400
DAY = 86_400


def row(number: int, **fields) -> Row:
    told = {
        "id": f"resp_{number}",
        "at": NOON + number,
        "organization": "default",
        "project": "default",
        "operation": "response",
        "asked": "large",
        "model": "large",
        "outcome": "completed",
        "called": True,
        "tokens": Tokens(input=1_000, cached=400, output=50),
        "cost": Decimal("0.1"),
    }
    return Row(**{**told, **fields})


ROWS = (
    row(1),
    row(2, model="small", cost=Decimal("0.000000000000000001"), key_id="key_1"),
    row(3, model="small", outcome="failed", cost=None),
    row(DAY, cache="hit", tokens=Tokens(), cost=Decimal(0), saved=Decimal("0.25"), saved_tokens=1_050),
)


@pytest.fixture
def ledger(tmp_path, monkeypatch):
    """A folder with a ledger, the day after."""

    async def write():
        store = SQLiteStore(tmp_path / "data")
        await store.start()
        await SQLiteLedger(store).write(ROWS)
        await store.aclose()

    asyncio.run(write())
    monkeypatch.setattr("antiphon.cli.usage.time.time", FakeClock(NOON + DAY + 100.0).now)


@pytest.fixture
def run(antiphon):
    def run(*arguments):
        done = antiphon("usage", *arguments, "--data", "data")
        assert done.exit_code == 0, done.stderr
        return done.stdout

    return run


@pytest.mark.usefixtures("ledger")
def test_usage_is_shown_by_model_with_what_costs_most_first(run):
    head, large, small, _, note = run().splitlines()
    assert head.split() == "MODEL REQUESTS FAILED INPUT CACHED OUTPUT USD SAVED TOKENS SAVED USD".split()
    assert large.split() == "large 2 0 1,000 400 50 0.100000 1,050 0.250000".split()
    assert small.split() == "small 2 1 2,000 800 100 0.000000 +? 0 0.000000".split()
    assert note.startswith("The price of 1 requests")


@pytest.mark.usefixtures("ledger")
def test_json_has_every_digit(run):
    found = {each["model"]: each for each in json.loads(run("--json"))}
    assert found["small"]["cost_usd"] == "0.000000000000000001"
    assert found["small"]["unpriced_requests"] == 1
    assert (found["large"]["saved_usd"], found["large"]["saved_tokens"]) == ("0.25", 1_050)
    assert found["large"]["input_tokens"] == 1_000


@pytest.mark.usefixtures("ledger")
def test_lines_may_stand_for_days_keys_and_projects_together(run):
    found = json.loads(run("--by", "day", "--by", "key", "--by", "project", "--json"))
    assert [(each["day"], each["key"], each["project"], each["requests"]) for each in found] == [
        ("2027-01-15", "", "default", 2),
        ("2027-01-15", "key_1", "default", 1),
        ("2027-01-16", "", "default", 1),
    ]
    assert "Default" in run("--by", "project")


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize("since", ["2027-01-16", "12h"])
def test_since_is_a_day_or_a_span(run, since):
    (only,) = json.loads(run("--since", since, "--json"))
    assert only["requests"] == 1


@pytest.mark.usefixtures("ledger")
def test_a_project_that_there_is_not_ends_the_command(antiphon):
    done = antiphon("usage", "--project", "none", "--data", "data")
    assert done.exit_code == 1
    assert "none" in done.stderr


def test_a_running_server_is_looked_at_too(tmp_path, run):
    import openai

    with (
        serving(tmp_path) as server,
        openai.OpenAI(base_url=server.base_url, api_key="none", admin_api_key="none") as client,
    ):
        client.responses.create(model="rehearsal", input="Hi.")
        client.admin.organization.usage.completions(start_time=1_700_000_000)  # writes what is on its way
        (only,) = json.loads(run("--json"))
        assert only["requests"] == 1
        server.stop()
    (only,) = json.loads(run("--json"))
    assert (only["model"], only["requests"], Decimal(only["cost_usd"])) == ("rehearsal", 1, 0)
