"""What every ledger does: rows are written once, however often they are written, and sums lose nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Any, Final, TypeAlias

from antiphon.policy.ledger import ALL_TIME, Charge, Row, Tokens, Usage, UsageQuery
from antiphon.ports import Ledger

OpenLedger: TypeAlias = Callable[[], AbstractAsyncContextManager[Ledger]]
"""Opens a ledger, each time the same one; nothing is in it the first time."""

HOUR: Final = 3600
NOON: Final = 1_800_014_400
"""The beginning of an hour, in Unix seconds."""

CHARGES: Final = (
    Charge(
        upstream="https://one.example/v1",
        model="large",
        outcome="failed",
        code="server_error",
        tokens=Tokens(input=5, output=1),
        is_estimated=True,
        cost=Decimal("0.000000000000000001"),
    ),
    Charge(
        upstream="two'); DROP TABLE ledger; --",
        model="größer",
        outcome="completed",
        tokens=Tokens(input=7, cached=3, cache_write=2, output=4, reasoning=1),
        is_hedge=True,
        judges=True,
    ),
)


def row(number: int, **fields: Any) -> Row:
    """A row of work that is over."""
    told: dict[str, Any] = {
        "id": f"resp_{number}",
        "at": float(NOON + number),
        "organization": "default",
        "project": "search",
        "key_id": "key_1",
        "owner": "svc_acct_1",
        "operation": "response",
        "asked": "large",
        "model": "large",
        "outcome": "completed",
        "called": True,
        "tokens": Tokens(input=10, cached=4, cache_write=1, output=5, reasoning=2),
        "cost": Decimal("0.1"),
    }
    return Row(**{**told, **fields})


def asked(**fields: Any) -> UsageQuery:
    """A query for all there is."""
    return UsageQuery(**{"organization": "default", "since": 0.0, "until": float("inf"), **fields})


class LedgerContract:
    """Tests for an `antiphon.ports.Ledger`. The fixture `open_ledger` gives an `OpenLedger`."""

    async def test_a_row_is_found_again_as_it_was_written(self, open_ledger: OpenLedger) -> None:
        written = row(
            1,
            request_id="req_1",
            upstream="https://one.example/v1",
            upstream_model="large",
            outcome="failed",
            error="server_error",
            background=True,
            stored=True,
            streamed=True,
            saved=Decimal("12345678901234567890.000000000000000001"),
            saved_tokens=3,
            cache="shared",
            fence=2,
            charges=CHARGES,
        )
        async with open_ledger() as ledger:
            await ledger.write([written])
        async with open_ledger() as ledger:
            assert await ledger.find("resp_1") == written
            assert await ledger.find("resp_2") is None

    async def test_a_row_that_is_written_again_is_still_one(self, open_ledger: OpenLedger) -> None:
        async with open_ledger() as ledger:
            for _ in range(2):
                await ledger.write([row(1, charges=CHARGES)])
            (used,) = await ledger.usage(asked())
            found = await ledger.find("resp_1")
        assert used.works == 1
        assert found is not None
        assert found.charges == CHARGES

    async def test_what_is_over_replaces_what_ran_and_keeps_who_asked_and_when(self, open_ledger: OpenLedger) -> None:
        async with open_ledger() as ledger:
            await ledger.write([row(1, request_id="req_1", outcome="running", cost=None, charges=CHARGES)])
            await ledger.write([row(1, at=1.0, project="other", key_id="", owner="", charges=CHARGES[:1])])
            found = await ledger.find("resp_1")
        assert found == row(1, request_id="req_1", charges=CHARGES[:1])

    async def test_what_is_over_is_not_opened_again(self, open_ledger: OpenLedger) -> None:
        async with open_ledger() as ledger:
            await ledger.write([row(1, charges=CHARGES)])
            await ledger.write([row(1, outcome="running", cost=None), row(2, outcome="running")])
            assert await ledger.find("resp_1") == row(1, charges=CHARGES)
            assert [each.id for each in await ledger.running()] == ["resp_2"]

    async def test_what_runs_is_listed_in_its_order_and_counts_nowhere(self, open_ledger: OpenLedger) -> None:
        rows = [row(number, outcome="running", charges=CHARGES) for number in (3, 1, 2)]
        async with open_ledger() as ledger:
            await ledger.write(rows)
            assert list(await ledger.running()) == rows
            assert not await ledger.usage(asked())
            assert not await ledger.spent(0.0)

    async def test_money_is_added_without_a_loss(self, open_ledger: OpenLedger) -> None:
        small, large = Decimal("0.000000000000000001"), Decimal(99_999_999_999_999_999_999)
        async with open_ledger() as ledger:
            await ledger.write([row(1, cost=small), row(2, cost=large), row(3, cost=small, saved=small)])
            (used,) = await ledger.usage(asked())
            (spent,) = await ledger.spent(0.0)
        assert used.cost == spent.cost == Decimal("99999999999999999999.000000000000000002")
        assert used.saved == small

    async def test_a_price_that_is_not_known_is_not_nothing(self, open_ledger: OpenLedger) -> None:
        async with open_ledger() as ledger:
            await ledger.write([row(1, cost=None), row(2, cost=Decimal("0.5")), row(3, cost=Decimal(0))])
            (used,) = await ledger.usage(asked())
        assert (used.cost, used.unpriced, used.works) == (Decimal("0.5"), 1, 3)

    async def test_usage_is_added_up_by_time_and_group(self, open_ledger: OpenLedger) -> None:
        late = row(HOUR, model="small", cost=None, outcome="failed", called=False, saved_tokens=9)
        async with open_ledger() as ledger:
            await ledger.write([row(0), row(1), row(2, model="small"), late])
            found = await ledger.usage(asked(width=HOUR, groups=("model", "project", "owner", "key_id")))
        whose: dict[str, Any] = {"project": "search", "owner": "svc_acct_1", "key_id": "key_1"}
        two = Tokens(input=20, cached=8, cache_write=2, output=10, reasoning=4)
        one = Tokens(input=10, cached=4, cache_write=1, output=5, reasoning=2)
        cost = Decimal("0.1")
        assert list(found) == [
            Usage(start=NOON, model="large", **whose, works=2, calls=2, tokens=two, cost=2 * cost),
            Usage(start=NOON, model="small", **whose, works=1, calls=1, tokens=one, cost=cost),
            Usage(
                start=NOON + HOUR,
                model="small",
                **whose,
                works=1,
                failed=1,
                tokens=one,
                unpriced=1,
                saved_tokens=9,
            ),
        ]

    async def test_without_groups_there_is_one_sum(self, open_ledger: OpenLedger) -> None:
        async with open_ledger() as ledger:
            await ledger.write([row(0), row(HOUR, model="small", project="other", key_id="", owner="")])
            (used,) = await ledger.usage(asked(width=ALL_TIME))
        assert (used.start, used.works, used.model, used.project) == (0, 2, None, None)

    async def test_filters_leave_out_the_others(self, open_ledger: OpenLedger) -> None:
        rows = [
            row(0),
            row(1, project="p"),
            row(2, owner="o"),
            row(3, key_id="k"),
            row(4, model="m"),
            row(5, operation="embeddings"),
            row(6, organization="foreign"),
        ]
        filters: dict[str, dict[str, Any]] = {
            "resp_1": {"projects": ["p", "none"]},
            "resp_2": {"owners": ["o"]},
            "resp_3": {"keys": ["k"]},
            "resp_4": {"models": ["m"]},
            "resp_5": {"operations": ["embeddings"]},
            "resp_6": {"organization": "foreign"},
        }
        async with open_ledger() as ledger:
            await ledger.write(rows)
            for place, each in enumerate(filters.values(), 1):
                (used,) = await ledger.usage(asked(**each, width=1))
                assert (used.start, used.works) == (NOON + place, 1), each

    async def test_the_first_moment_counts_and_the_last_does_not(self, open_ledger: OpenLedger) -> None:
        async with open_ledger() as ledger:
            await ledger.write([row(0), row(1), row(2)])
            (used,) = await ledger.usage(asked(since=float(NOON), until=float(NOON + 2)))
        assert used.works == 2

    async def test_by_line_item_each_charge_counts(self, open_ledger: OpenLedger) -> None:
        async with open_ledger() as ledger:
            await ledger.write([row(1, charges=CHARGES), row(2, charges=CHARGES[:1])])
            found = await ledger.usage(asked(groups=("line_item",)))
            (only,) = await ledger.usage(asked(line_items=["größer"]))
        assert [(each.line_item, each.works, each.tokens.input, each.unpriced) for each in found] == [
            ("größer", 1, 7, 1),
            ("large", 2, 10, 0),
        ]
        assert found[1].cost == Decimal("0.000000000000000002")
        assert (only.line_item, only.tokens) == (None, CHARGES[1].tokens)

    async def test_what_was_spent_is_told_by_key_since_a_time(self, open_ledger: OpenLedger) -> None:
        async with open_ledger() as ledger:
            await ledger.write([row(0), row(1), row(2, key_id="", cost=Decimal(1)), row(3, project="p", cost=None)])
            found = await ledger.spent(float(NOON + 1))
        spent = [(each.project, each.key_id, each.cost) for each in found]
        assert spent == [("p", "key_1", 0), ("search", "", 1), ("search", "key_1", Decimal("0.1"))]
        assert all(each.organization == "default" for each in found)
