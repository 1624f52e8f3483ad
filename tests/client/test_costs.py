"""Costs: exact sums, budgets that hold, alerts once a period, and a ledger that is never silently wrong."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from openai import AsyncOpenAI

from antiphon.client import AsyncClient, BudgetExceeded, OptionError, ServerFailed, StreamCut
from antiphon.client.books import begin_of, end_of
from antiphon.client.costs import Budget, Costs
from antiphon.client.ledger import AlertLine, Ledger, SpentLine
from antiphon.client.records import BudgetAlert, Spent
from antiphon.testing import FakeClock
from tests.client.recorded import recording
from tests.support.answers import Gate, error_answer, stream
from tests.support.response_events import sse_of
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

ASKED = {"model": "m", "input": "Hi."}
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC).timestamp()  # a Saturday
EACH = Decimal("0.000053")
"""What a recorded answer costs: 3 tokens in, 5 out."""


@pytest.fixture
def prices(tmp_path):
    """A price file: a dollar for a million tokens in, ten for as many out."""
    file = tmp_path / "prices.toml"
    rows = ('model = "m"\ninput = 1\ncached_input = 0.1\noutput = 10\n', 'model = "free"\ninput = 0\noutput = 0\n')
    file.write_text("".join(f"[[price]]\n{row}" for row in rows))
    return file


@pytest.fixture
def clock():
    return FakeClock(NOON)


@pytest.fixture
def costs(prices, clock):
    """Makes cost trackers."""

    def make(**options) -> Costs:
        return Costs(**{"prices": prices, "now": clock.now, **options})

    return make


async def collect(stream) -> list:
    return [event async for event in stream]


def with_usage(**usage) -> list:
    events = recording()
    events[-1]["response"]["usage"] |= usage
    return events


# Sums


async def test_a_request_costs_what_the_server_says_it_used(async_client, in_thread, upstream, costs):
    tracker, records = costs(), []
    client = async_client(upstream.base_url, costs=tracker, observers=records.append)
    await client.create(**ASKED)
    await collect(client.stream(**ASKED))
    await in_thread(upstream.base_url, lambda c: c.create(**ASKED), costs=tracker)
    summary = tracker.summary("hour")
    assert (summary.cost, summary.requests, summary.output_tokens) == (3 * EACH, 3, 15)
    assert summary.average == EACH
    assert [record.cost for record in records if isinstance(record, Spent)] == [EACH, EACH]


async def test_cached_tokens_have_their_own_price(async_client, upstream, costs):
    upstream.events = with_usage(input_tokens=1000, input_tokens_details={"cached_tokens": 900})
    tracker = costs()
    await async_client(upstream.base_url, costs=tracker).create(**ASKED)
    assert tracker.summary().cost == Decimal("0.00024")
    assert tracker.summary().cached_tokens == 900


async def test_a_model_without_a_price_costs_none_and_not_nothing(async_client, upstream, costs, caplog):
    tracker, records = costs(), []
    client = async_client(upstream.base_url, costs=tracker, observers=records.append)
    for _ in range(2):
        await client.create(model="mystery", input="Hi.")
    summary = tracker.summary()
    assert (summary.cost, summary.requests, summary.unpriced, summary.average) == (0, 2, 2, None)
    assert [record.cost for record in records if isinstance(record, Spent)] == [None, None]
    assert caplog.text.count("the price of 'mystery' is not known") == 1


async def test_published_prices_hold_for_whoever_is_named(async_client, upstream):
    tracker = Costs(provider="openai", now=lambda: NOON)
    upstream.events = recording(model="gpt-5")
    await async_client(upstream.base_url, costs=tracker).create(model="gpt-5", input="Hi.")
    assert tracker.summary().cost == Decimal("0.00005375")


async def test_a_stream_that_is_left_is_charged_what_was_said(async_client, upstream, costs):
    gate, tracker, records = Gate(), costs(), []
    upstream.change = lambda answer, _: answer.gated(gate)
    gate.release(6)
    async with async_client(upstream.base_url, costs=tracker, observers=records.append).stream(**ASKED) as reading:
        async for event in reading:
            if event.type == "response.output_text.delta":
                break
    (spent,) = [record for record in records if isinstance(record, Spent)]
    assert spent.counted
    assert spent.usage.output_tokens == 2
    assert tracker.summary().cost == spent.cost > 0


async def test_a_stream_that_is_cut_is_charged_what_was_said(async_client, upstream, costs):
    tracker = costs()
    upstream.change = lambda answer, _: answer.cut_after(len(answer.wire) - 900)
    with pytest.raises(StreamCut):
        await collect(async_client(upstream.base_url, costs=tracker, retry=False).stream(**ASKED))
    assert tracker.summary().output_tokens > 0


async def test_an_attempt_that_was_thrown_away_was_paid_for(async_client, upstream, costs):
    tracker, records = costs(), []
    whole = stream(sse_of(recording()))
    upstream.script = [whole.cut_after(len(whole.wire) - 900), whole]
    await async_client(upstream.base_url, costs=tracker, observers=records.append).create(**ASKED)
    assert tracker.summary().requests == 1
    assert tracker.summary().cost > EACH
    assert records[-2].counted


async def test_a_request_that_failed_before_it_began_costs_nothing(async_client, upstream, costs):
    tracker = costs()
    upstream.always(error_answer(500))
    with pytest.raises(ServerFailed):
        await async_client(upstream.base_url, costs=tracker).create(**ASKED)
    assert tracker.summary().requests == 0


async def test_what_the_cache_answers_costs_nothing(async_client, upstream, costs):
    tracker = costs()
    client = async_client(upstream.base_url, costs=tracker, cache=True)
    await asyncio.gather(*(client.create(**ASKED) for _ in range(5)))
    await client.create(**ASKED)
    assert tracker.summary().requests == 1


async def test_summaries_are_by_period_and_model(async_client, upstream, costs, clock):
    tracker = costs()
    client = async_client(upstream.base_url, costs=tracker)
    for hours in (0, 1, 24, 24 * 31):
        await clock.advance(hours * 3600)
        await client.create(**ASKED)
        await client.create(model="free", input="Hi.")
    assert [summary.requests for summary in tracker.summaries("hour")] == [2, 2, 2, 2]
    assert [(summary.since.day, summary.requests) for summary in tracker.summaries("day")] == [
        (21, 4),
        (22, 2),
        (23, 2),
    ]
    assert [summary.since.month for summary in tracker.summaries("month")] == [11, 12]
    summary = tracker.summary("total")
    assert {model: each.cost for model, each in summary.by_model.items()} == {"m": 4 * EACH, "free": 0}
    assert tracker.summary("month", datetime(2026, 11, 1, tzinfo=UTC)).requests == 6


def test_periods_are_those_of_the_calendar():
    at = datetime(2026, 12, 31, 23, 30, tzinfo=UTC).timestamp()
    began = [begin_of(period, at).isoformat()[:13] for period in ("hour", "day", "week", "month", "total")]
    assert began == ["2026-12-31T23", "2026-12-31T00", "2026-12-28T00", "2026-12-01T00", "1970-01-01T00"]
    ends = [end_of(period, at) for period in ("hour", "day", "week", "month", "total")]
    assert [end and end.isoformat()[:10] for end in ends] == [
        "2027-01-01",
        "2027-01-01",
        "2027-01-04",
        "2027-01-01",
        None,
    ]


# Budgets


async def test_a_budget_that_is_used_up_refuses_before_anything_is_sent(
    async_client, in_thread, upstream, costs, clock
):
    budget = Budget("0.0002", "hour")
    tracker = costs(budgets=budget)
    client = async_client(upstream.base_url, costs=tracker)
    await client.create(**ASKED)
    with pytest.raises(BudgetExceeded, match=r"0\.0002 USD an hour has 0\.000147 USD left") as caught:
        await client.create(**ASKED)
    asked = len(upstream.requests)
    assert asked == 1
    assert caught.value.retry_after == 3600
    with pytest.raises(BudgetExceeded):
        await in_thread(upstream.base_url, lambda c: c.create(**ASKED), costs=tracker)
    await client.create(model="free", input="Hi.")
    assert len(upstream.requests) == asked + 1
    assert tracker.summary("hour").cost <= budget.limit
    await clock.advance(3600)
    await client.create(**ASKED)


async def test_two_hundred_requests_at_once_do_not_overspend_a_cent(async_client, upstream, costs):
    tracker = costs(budgets=Budget("0.01", "day"), answer_tokens=100)
    upstream.handler = lambda request: stream(
        sse_of(with_usage(output_tokens=min(100, request.json()["max_output_tokens"])))
    )
    client = async_client(upstream.base_url, costs=tracker)
    done = await asyncio.gather(*(client.create(**ASKED) for _ in range(200)), return_exceptions=True)
    assert {type(each).__name__ for each in done} == {"Response", "BudgetExceeded"}
    assert Decimal("0.005") < tracker.summary().cost <= Decimal("0.01")
    assert tracker.left(tracker.budgets[0]) == Decimal("0.01") - tracker.summary().cost


async def test_the_server_is_told_how_long_the_answer_may_be(async_client, upstream, costs):
    client = async_client(upstream.base_url, costs=costs(budgets=[Budget("0.05"), Budget("0.001", model="m")]))
    for asked in ({}, {"max_output_tokens": 20}, {"max_output_tokens": 10_000}):
        await client.create(**ASKED, **asked)
    await client.create(model="free", input="Hi.", max_output_tokens=50)
    told = [request.json().get("max_output_tokens") for request in upstream.requests]
    assert told[1] == 20
    assert 80 < told[2] < told[0] < 100
    assert told[3] == 50


async def test_what_is_reserved_is_given_back_when_a_request_is_left(async_client, upstream, costs):
    budget = Budget("1")
    tracker = costs(budgets=budget)
    upstream.change = lambda answer, _: answer.gated(Gate())
    asking = asyncio.create_task(async_client(upstream.base_url, costs=tracker).create(**ASKED))
    await upstream.received()
    assert tracker.left(budget) < 1
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert tracker.left(budget) == 1


async def test_a_model_without_a_price_is_refused_under_a_hard_budget(async_client, upstream, costs):
    with pytest.raises(BudgetExceeded, match="No price is known for 'mystery'"):
        await async_client(upstream.base_url, costs=costs(budgets=Budget(5))).create(model="mystery", input="Hi.")
    soft = costs(budgets=Budget(5, hard=False))
    await async_client(upstream.base_url, costs=soft).create(model="mystery", input="Hi.")
    assert len(upstream.requests) == 1


async def test_the_alert_comes_once_in_each_period(async_client, upstream, costs, clock):
    records, alerts = [], []
    budgets = [Budget("0.0002", "hour", hard=False), Budget("1", "day", hard=False)]
    tracker = costs(budgets=budgets, on_alert=alerts.append)
    client = async_client(upstream.base_url, costs=tracker, observers=records.append)
    for _ in range(10):
        await client.create(**ASKED)
    assert len(alerts) == 1
    assert alerts == [record for record in records if isinstance(record, BudgetAlert)]
    assert (alerts[0].budget, alerts[0].spent, alerts[0].limit) == ("0.0002 USD an hour", 4 * EACH, Decimal("0.0002"))
    await clock.advance(3600)
    for _ in range(10):
        await client.create(**ASKED)
    assert len(alerts) == 2


async def test_threads_share_a_budget(in_thread, upstream, costs):
    tracker = costs(budgets=Budget("0.001"), answer_tokens=16)

    def ask(client):
        failures = []

        def one():
            try:
                client.create(**ASKED)
            except BudgetExceeded as error:
                failures.append(error)

        threads = [threading.Thread(target=one) for _ in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return len(failures)

    refused = await in_thread(upstream.base_url, ask, costs=tracker)
    assert refused + len(upstream.requests) == 30
    assert 0 < refused < 30
    assert tracker.summary().cost <= Decimal("0.001")


# The ledger


async def test_a_ledger_outlives_the_process_and_is_shared(async_client, upstream, costs, tmp_path):
    file, alerts = tmp_path / "deep" / "costs.jsonl", []
    budget = Budget("0.0002", "day", hard=False)
    one, other = (costs(ledger=file, budgets=budget, on_alert=alerts.append) for _ in range(2))
    for tracker in (one, other, one, other, one):
        await async_client(upstream.base_url, costs=tracker).create(**ASKED)
    assert one.summary() == other.summary() == costs(ledger=file).summary()
    assert one.summary().cost == 5 * EACH
    assert len(alerts) == 1
    again = costs(ledger=file, budgets=budget, on_alert=alerts.append)
    await async_client(upstream.base_url, costs=again).create(**ASKED)
    assert len(alerts) == 1
    assert len(file.read_text().splitlines()) == 1 + 6 + 1


def spent(at: float = NOON, cost: str = "0.5", model: str = "m") -> SpentLine:
    return SpentLine(at=at, model=model, cost=Decimal(cost), input=1, output=2, id="resp_1")


def filled(file, lines: int = 3) -> bytes:
    ledger = Ledger(file)
    for _ in range(lines):
        ledger.add(spent())
    return file.read_bytes()


def test_a_ledger_gives_back_what_was_written(tmp_path):
    ledger = Ledger(tmp_path / "costs.jsonl")
    entries = [spent(), AlertLine(at=NOON, budget='"alert"', since=NOON), spent(model="alert", cost="1E-12")]
    for entry in entries:
        ledger.add(entry)
    assert ledger.read() == (True, entries)
    assert ledger.read() == (False, [])
    assert ledger.unwritten == []


def test_a_file_that_is_no_ledger_is_refused_and_left_as_it_is(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("notes of mine\n")
    with pytest.raises(OptionError, match=r"^costs\.ledger: .*notes\.txt is no ledger"):
        Costs(ledger=file)
    assert [each.name for each in tmp_path.iterdir()] == ["notes.txt"]
    assert file.read_text() == "notes of mine\n"


@pytest.mark.parametrize("offset", [-1, -3, -60, 100, 30])
def test_a_damaged_line_is_told_and_the_others_count_on(tmp_path, costs, offset):
    file = tmp_path / "costs.jsonl"
    data = bytearray(filled(file))
    data[offset] ^= 1
    file.write_bytes(data)
    with pytest.warns(
        UserWarning, match=r"costs\.jsonl is damaged and is now costs\.jsonl\.damaged-1; \d of its \d lines"
    ):
        tracker = costs(ledger=file)
    assert tracker.summary().cost in (Decimal("0.5"), Decimal(1), Decimal("1.5"))
    assert file.with_name("costs.jsonl.damaged-1").read_bytes() == data
    assert costs(ledger=file).summary() == tracker.summary()


def test_a_sum_that_was_changed_is_noticed(tmp_path, costs):
    file = tmp_path / "costs.jsonl"
    file.write_bytes(filled(file).replace(b'"0.5"', b'"0.1"', 1))
    with pytest.warns(UserWarning, match="1 of its 4 lines are lost"):
        assert costs(ledger=file).summary().cost == 1


def test_a_ledger_that_a_crash_has_cut_anywhere_is_mended(tmp_path, costs):
    file = tmp_path / "costs.jsonl"
    data = filled(file, 2)
    head, first, second = (len(line) + 1 for line in data.splitlines())
    for cut in range(1, len(data)):
        file.write_bytes(data[:cut])
        whole = (cut >= head + first - 1) * Decimal("0.5") + (cut == len(data) - 1) * Decimal("0.5")
        if cut in (head - 1, head, head + first - 1, head + first, len(data) - 1):  # behind a line, or before its end
            assert costs(ledger=file).summary().cost == whole
            continue
        with pytest.warns(UserWarning, match="1 of its . lines are lost"):
            tracker = costs(ledger=file)
        assert tracker.summary().cost == whole
    assert head + first + second == len(data)


def test_what_is_no_ledger_at_all_is_set_aside(tmp_path, costs):
    file = tmp_path / "costs.jsonl"
    file.write_bytes(b"\0" * 1000)
    with pytest.warns(UserWarning, match="1 of its 1 lines are lost"):
        assert costs(ledger=file).summary().requests == 0
    assert file.with_name("costs.jsonl.damaged-1").read_bytes() == b"\0" * 1000


def test_damage_while_others_write_is_mended_by_whoever_sees_it(tmp_path, costs):
    file = tmp_path / "costs.jsonl"
    filled(file)
    one, other = costs(ledger=file), costs(ledger=file)
    with file.open("ab") as broken:
        broken.write(b"garbage\n")
    with pytest.warns(UserWarning, match="damaged"):
        assert one.summary().requests == 3
    assert other.summary().requests == 3
    Ledger(file).add(spent())
    assert one.summary().requests == other.summary().requests == 4


def test_a_ledger_that_cannot_be_written_counts_on_and_catches_up(tmp_path, costs, monkeypatch, caplog):
    file = tmp_path / "costs.jsonl"
    filled(file)
    tracker = costs(ledger=file)
    write = Ledger._write
    monkeypatch.setattr(Ledger, "_write", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    for _ in range(3):
        tracker._enter(spent())
    assert tracker.summary().requests == 6
    assert len(file.read_bytes().splitlines()) == 4
    assert caplog.text.count("No space left on device") == 1
    monkeypatch.setattr(Ledger, "_write", write)
    tracker._enter(spent())
    assert tracker.summary().requests == 7
    assert len(file.read_bytes().splitlines()) == 8


# Options


@pytest.mark.parametrize(
    ("make", "option"),
    [
        (lambda: Budget(0.1), "costs.budgets.limit"),
        (lambda: Budget("-1"), "costs.budgets.limit"),
        (lambda: Budget("a lot"), "costs.budgets.limit"),
        (lambda: Budget(5, "year"), "costs.budgets.period"),
        (lambda: Budget(5, alert=2), "costs.budgets.alert"),
        (lambda: Budget(5, hard=1), "costs.budgets.hard"),
        (lambda: Costs(budgets="5"), "costs.budgets"),
        (lambda: Costs(budgets=[5]), "costs.budgets"),
        (lambda: Costs(budgets=[{"limits": 5}]), "costs.budgets.limits"),
        (lambda: Costs(prices="/nowhere.toml"), "costs.prices"),
        (lambda: Costs(prices=5), "costs.prices"),
        (lambda: Costs(ledger="/dev/null/costs"), "costs.ledger"),
        (lambda: Costs(on_alert="mail me"), "costs.on_alert"),
        (lambda: Costs(answer_tokens=3), "costs.answer_tokens"),
        (lambda: AsyncClient(AsyncOpenAI(api_key="none"), costs={"budget": 5}), "costs.budget"),
    ],
)
def test_a_wrong_option_fails_at_once_and_with_its_name(make, option):
    with pytest.raises(OptionError) as caught:
        make()
    assert caught.value.option == option


async def test_a_mapping_will_do(async_client, upstream, prices):
    options = {"budgets": {"limit": "0.05", "period": "total"}, "prices": prices}
    await async_client(upstream.base_url, costs=options).create(**ASKED)
    await until(lambda: upstream.requests)
