"""What a type checker has to accept of the parts around the core. Nothing here is run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import assert_type

from openai import AsyncOpenAI, OpenAI

from antiphon.client import (
    AsyncClient,
    Budget,
    BudgetAlert,
    BudgetExceeded,
    Cache,
    Client,
    ContentFlagged,
    Costs,
    Moderation,
    Moderations,
    OpenTelemetryObserver,
    Optimiser,
    PrometheusObserver,
    RequestLog,
    RuleList,
    replayed_from,
)
from antiphon.client.call import Call
from antiphon.client.records import Flagged, Record, Spent
from antiphon.policy.verdict import CLEAN, Passage, Verdict


class Shy:
    """A moderator."""

    window = 0
    overlap = 0

    async def judge(self, passages: Sequence[Passage], call: Call) -> Verdict:
        """Nothing is wrong."""
        return CLEAN


def alert(record: BudgetAlert) -> None:
    """Called once a period."""
    assert_type(record.spent, Decimal)


def observe(record: Record) -> None:
    """An observer."""
    if isinstance(record, Spent):
        assert_type(record.cost, Decimal | None)
    if isinstance(record, Flagged):
        assert_type(record.verdict, Verdict)


cache = Cache(ttl=60, file=Path("answers.sqlite"), models=["m"])
costs = Costs(budgets=[Budget("5.00", "day"), Budget(5, hard=False)], ledger="costs.jsonl", on_alert=alert)
moderation = Moderation([RuleList(words={"a": ["b"]}), Moderations(threshold=0.5), Shy()], output="replace")

AsyncClient(AsyncOpenAI(), cache=cache, costs=costs, moderation=moderation, optimiser=Optimiser(context_window=1000))
Client(
    OpenAI(),
    cache={"ttl": 3},
    costs=True,
    optimiser={"context_window": {"m": 1000}},
    observers=[RequestLog(), PrometheusObserver(), OpenTelemetryObserver(), observe],
)
assert_type(costs.summary("day", datetime.now(UTC)).by_model["m"].cost, Decimal)
assert_type(costs.left(costs.budgets[0]), Decimal)
assert_type(cache.statistics.hits, int)
assert_type(replayed_from("resp_1"), str | None)


def ask(client: Client) -> None:
    """The errors of the parts."""
    try:
        client.create(model="m", input="Hi.")
    except BudgetExceeded as error:
        assert_type(error.retry_after, float | None)
    except ContentFlagged as error:
        assert_type(error.verdict, Verdict)
