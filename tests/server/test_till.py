"""Limits and budgets over HTTP: what refusals and answers tell, and 200 streams that want the last cent."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from antiphon.engine.accounts import OPEN
from antiphon.engine.moderation import Moderation
from antiphon.models.embeddings import UpstreamEmbedder
from antiphon.models.moderators import RuleList
from antiphon.models.upstream import UpstreamOptions
from antiphon.policy import spending
from antiphon.policy.rules import BUILT_IN, Rules
from antiphon.testing import ScriptedModel
from tests.engine.till_stage import Gated, answer
from tests.support.embedding import embeddings
from tests.support.money import prices
from tests.support.serving import Serving, events, serving
from tests.support.upstream import FakeUpstream
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

LIMITED = ("limit", "remaining", "reset")
PLAIN = {"model": "scripted", "input": "Hi."}


async def budget(s: Serving, dollars: str, **how: Any) -> None:
    await s.engine.accounts.edit(
        OPEN, lambda edit: spending.set_budget(edit, "project", "default", "monthly", Decimal(dollars), **how)
    )


async def limit(s: Serving, model: str = "scripted", **limits: int) -> None:
    await s.engine.accounts.edit(OPEN, lambda edit: spending.set_limit(edit, "default", model, limits))


def limits_in(headers: Any) -> dict[str, str]:
    return {name.removeprefix("x-ratelimit-"): value for name, value in headers.items() if "ratelimit" in name}


async def test_each_answer_has_the_six_headers_of_limits_also_a_refusal_with_when_to_come_again(tmp_path: Path):
    async with serving(Gated(ScriptedModel(answer(8))), prices=prices(tmp_path, scripted=(0, 0))) as s:
        _, _, headers = await s.ask("POST", "/v1/responses", PLAIN)
        assert limits_in(headers) == {}
        await limit(s, max_requests_per_1_minute=2, max_tokens_per_1_minute=40_000)
        for stream in (False, True):
            async with s.http.post(s.url + "/v1/responses", json={**PLAIN, "stream": stream}) as served:
                await served.read()
                told = limits_in(served.headers)
                assert set(told) == {f"{one}-{unit}" for one in LIMITED for unit in ("requests", "tokens")}
                assert (told["limit-requests"], told["limit-tokens"]) == ("2", "40000")
                assert told["remaining-requests"] == str(1 - stream)
                assert told["reset-requests"].endswith("s")
        status, body, headers = await s.ask("POST", "/v1/responses", PLAIN)
        assert status == 429
        assert body["error"]["type"] == "rate_limit_error"
        assert body["error"]["code"] == "rate_limit_exceeded"
        assert 1 <= int(headers["retry-after"]) <= 30
        assert limits_in(headers)["remaining-requests"] == "0"
        assert "x-should-retry" not in headers


async def test_a_spent_budget_answers_429_insufficient_quota_that_is_not_to_be_tried_again(tmp_path: Path):
    async with serving(Gated(ScriptedModel(answer(16))), prices=prices(tmp_path, scripted=(0, 1_000))) as s:
        _, _, headers = await s.ask("POST", "/v1/responses", PLAIN)
        assert "x-antiphon-budget-remaining" not in headers
        await budget(s, "0.048")
        _, _, headers = await s.ask("POST", "/v1/responses", PLAIN)
        assert Decimal(headers["x-antiphon-budget-remaining"]) <= Decimal("0.032")
        await s.ask("POST", "/v1/responses", PLAIN)
        await settled(s)
        status, body, headers = await s.ask("POST", "/v1/responses", PLAIN)
        assert status == 429
        assert (body["error"]["type"], body["error"]["code"]) == ("insufficient_quota", "insufficient_quota")
        assert headers["x-should-retry"] == "false"
        assert headers["x-antiphon-budget-remaining"] == "0"


async def settled(s: Serving) -> None:
    """Wait until nothing is held."""
    await until(lambda: not s.engine.runs and not s.engine.till.held)


async def test_rule_21_200_streams_over_http_overspend_a_budget_of_one_cent_by_at_most_one_request(tmp_path: Path):
    model = ScriptedModel(answer(40))
    async with serving(Gated(model), prices=prices(tmp_path, scripted=(0, 100))) as s:
        await budget(s, "0.01")

        async def one() -> int:
            async with s.http.post(s.url + "/v1/responses", json={**PLAIN, "stream": True}) as served:
                data = await served.read()
                if served.status == 200:
                    assert events(data)[-1]["type"] in ("response.completed", "response.incomplete")
                return served.status

        statuses = await asyncio.gather(*(one() for _ in range(200)))
        await settled(s)
        assert set(statuses) == {200, 429}
        spent = s.engine.till.spent.of("monthly", "project", "default", s.engine.clock.now())
        assert 0 < spent <= Decimal("0.01") + Decimal("0.004")
        await s.engine.books.settle()
        rows = await s.engine.books.ledger.spent(0)
        assert sum(row.cost for row in rows) == spent


async def test_embeddings_are_limited_paid_and_refused(tmp_path: Path):
    async with FakeUpstream() as upstream:
        upstream.always(embeddings())
        embedder = UpstreamEmbedder(UpstreamOptions(base_url=upstream.base_url, model="embedded"))
        known = prices(tmp_path, embedded=(1_000_000, 0))
        async with serving(embedders={"e": embedder}, prices=known) as s:
            await limit(s, "e", max_requests_per_1_minute=3)
            asked = {"model": "e", "input": "Hello there."}
            status, _, headers = await s.ask("POST", "/v1/embeddings", asked)
            assert status == 200
            assert limits_in(headers)["remaining-requests"] == "2"
            spent = s.engine.till.spent.of("monthly", "project", "default", s.engine.clock.now())
            assert spent > 0
            await budget(s, str(spent))
            status, body, headers = await s.ask("POST", "/v1/embeddings", asked)
            assert (status, body["error"]["code"]) == (429, "insufficient_quota")
            assert headers["x-antiphon-budget-remaining"] == "0"
            await budget(s, "1000000")
            await s.ask("POST", "/v1/embeddings", asked)
            await s.ask("POST", "/v1/embeddings", asked)
            status, body, _ = await s.ask("POST", "/v1/embeddings", asked)
            assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
            assert not s.engine.till.held


async def test_moderations_are_limited_and_those_by_our_own_rules_cost_nothing(tmp_path: Path):
    moderation = Moderation({"rules": RuleList(lambda: Rules(BUILT_IN))})
    async with serving(moderation=moderation, prices=prices(tmp_path, scripted=(1, 1))) as s:
        await limit(s, "rules", max_requests_per_1_minute=1)
        await budget(s, "0")
        status, _, headers = await s.ask("POST", "/v1/moderations", {"input": "Hi."})
        assert status == 200
        assert limits_in(headers)["remaining-requests"] == "0"
        status, body, _ = await s.ask("POST", "/v1/moderations", {"input": "Hi."})
        assert (status, body["error"]["code"]) == (429, "rate_limit_exceeded")
