"""The official SDK sets limits, budgets and alerts, and meets them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from antiphon.testing import ScriptedModel
from tests.engine.till_stage import Gated, answer
from tests.support.money import Heard, prices
from tests.support.serving import Serving, serving
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

ADMIN = "an-admin-key-of-the-tests"
UNLIMITED = 2**53 - 1


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
async def served(tmp_path: Path, heard: Heard):
    """A server whose answers cost 0.8 cents."""
    model = Gated(ScriptedModel(answer(8)))
    async with serving(model, prices=prices(tmp_path, scripted=(0, 1_000)), sinks=[heard], admin_key=ADMIN) as s:
        yield s


@pytest.fixture
async def client(served: Serving):
    """A client with an admin key."""
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", admin_api_key=ADMIN, max_retries=0) as client:
        yield client


@pytest.fixture
def organization(client: AsyncOpenAI):
    return client.admin.organization


async def caller(client: AsyncOpenAI, project: str) -> AsyncOpenAI:
    account = await client.admin.organization.projects.service_accounts.create(project, name="bot")
    return client.with_options(api_key=account.api_key.value)


@pytest.fixture
def ask(served: Serving):
    """Asks for a response, and waits until it is paid."""

    async def ask(client: AsyncOpenAI) -> None:
        await client.responses.create(model="scripted", input="Hi.")
        await until(lambda: not served.engine.till.held)

    return ask


async def test_rate_limits_are_set_listed_and_met(organization, client):
    limits = organization.projects.rate_limits
    made = await limits.update_rate_limit("rl-scripted", project_id="default", max_requests_per_1_minute=1)
    assert (made.object, made.id, made.model) == ("project.rate_limit", "rl-scripted", "scripted")
    assert (made.max_requests_per_1_minute, made.max_tokens_per_1_minute) == (1, UNLIMITED)
    await limits.update_rate_limit("rl-qwen/qwen3", project_id="default", max_tokens_per_1_minute=9)
    assert [limit.model async for limit in limits.list_rate_limits("default")] == ["scripted", "qwen/qwen3"]
    bot = await caller(client, "default")
    served = await bot.responses.with_raw_response.create(model="scripted", input="Hi.")
    assert served.headers["x-ratelimit-remaining-requests"] == "0"
    assert served.headers["x-ratelimit-reset-requests"] in ("1m0s", "59.999s")
    with pytest.raises(openai.RateLimitError) as caught:
        await bot.responses.create(model="scripted", input="Hi.")
    assert caught.value.code == "rate_limit_exceeded"
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 60
    await limits.update_rate_limit("rl-scripted", project_id="default", max_requests_per_1_minute=UNLIMITED)
    assert (await bot.responses.create(model="scripted", input="Hi.")).status == "completed"


async def test_a_list_tells_where_each_limit_stands(organization, client, ask):
    limits = organization.projects.rate_limits
    await limits.update_rate_limit("rl-scripted", project_id="default", max_requests_per_1_minute=60)
    await limits.update_rate_limit("rl-*", project_id="default", max_tokens_per_1_minute=0)

    async def standings() -> list[list[dict[str, Any]]]:
        return [limit.standings async for limit in limits.list_rate_limits("default")]

    full = {"limit": "max_requests_per_1_minute", "remaining": 60, "reset_seconds": 0}
    others = {"limit": "max_tokens_per_1_minute", "remaining": 0, "reset_seconds": 0}
    assert await standings() == [[full], [others]]
    await ask(await caller(client, "default"))
    ((standing,), (other,)) = await standings()
    assert (standing["remaining"], other) == (59, others)
    assert 0 < standing["reset_seconds"] <= 1


async def test_what_is_no_rate_limit_is_not_found(organization):
    for name in ("scripted", "rl-", "rl-" + "a" * 300):
        with pytest.raises(openai.NotFoundError):
            await organization.projects.rate_limits.update_rate_limit(name, project_id="default")


async def test_a_spend_limit_of_a_project_is_made_enforced_changed_and_deleted(organization, client, ask):
    project = await organization.projects.create(name="Search")
    limit = organization.projects.spend_limit
    with pytest.raises(openai.NotFoundError):
        await limit.retrieve(project.id)
    made = await limit.update(project.id, threshold_amount=2, currency="USD", interval="month")
    assert (made.object, made.threshold_amount, made.enforcement.status) == ("project.spend_limit", 2, "inactive")
    bot = await caller(client, project.id)
    await ask(bot)
    with pytest.raises(openai.RateLimitError) as caught:
        await ask(bot)
    assert caught.value.type == caught.value.code == "insufficient_quota"
    assert caught.value.response.headers["x-should-retry"] == "false"
    await limit.update(project.id, threshold_amount=100, currency="USD", interval="month")
    assert (await limit.retrieve(project.id)).enforcement.status == "inactive"
    for _ in range(2):
        await ask(bot)
    made = await limit.update(project.id, threshold_amount=2, currency="USD", interval="month")
    assert made.enforcement.status == "enforcing"
    assert (await limit.delete(project.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await limit.retrieve(project.id)


async def test_a_spend_limit_of_the_organization_is_that_of_all_projects_together(organization, client, ask):
    limit = organization.spend_limit
    made = await limit.update(threshold_amount=2, currency="USD", interval="month")
    assert made.object == "organization.spend_limit"
    bots = [await caller(client, (await organization.projects.create(name=name)).id) for name in ("one", "two")]
    await ask(bots[0])
    with pytest.raises(openai.RateLimitError, match="organization default"):
        await ask(bots[1])
    assert (await limit.retrieve()).threshold_amount == 2
    assert (await limit.delete()).deleted


async def test_spend_alerts_are_made_changed_listed_told_and_deleted(organization, client, heard, ask):
    project = await organization.projects.create(name="Search")
    for alerts, scope in (
        (organization.spend_alerts, ()),
        (organization.projects.spend_alerts, (project.id,)),
    ):
        own = {"project_id": project.id} if scope else {}
        channel = {"type": "email", "recipients": ["ops@example.com"], "subject_prefix": "[Money]"}
        asked = {"currency": "USD", "interval": "month", "notification_channel": channel}
        made = await alerts.create(*scope, threshold_amount=500, **asked)
        assert made.notification_channel.recipients == ["ops@example.com"]
        again = await alerts.update(made.id, **own, threshold_amount=1, **asked)
        assert (again.id, again.threshold_amount) == (made.id, 1)
        assert [alert.id async for alert in alerts.list(*scope)] == [made.id]
        assert (await alerts.retrieve(made.id, **own)).threshold_amount == 1
    bot = await caller(client, project.id)
    for _ in range(3):
        await ask(bot)
    await until(lambda: len(heard.alerts) == 2)
    assert {alert.scope for alert in heard.alerts} == {"organization", "project"}
    assert {alert.recipients for alert in heard.alerts} == {("ops@example.com",)}
    assert all(alert.spent >= Decimal("0.01") for alert in heard.alerts)
    assert (await organization.spend_alerts.delete((await anext(aiter(organization.spend_alerts.list()))).id)).deleted
    assert [alert async for alert in organization.spend_alerts.list()] == []


async def test_what_is_changed_is_in_the_audit_log(organization):
    await organization.projects.rate_limits.update_rate_limit(
        "rl-scripted", project_id="default", max_requests_per_1_minute=1
    )
    await organization.projects.spend_limit.update("default", threshold_amount=2, currency="USD", interval="month")
    await organization.spend_limit.update(threshold_amount=2, currency="USD", interval="month")
    lines = [line async for line in organization.audit_logs.list()]
    assert [line.type for line in lines] == ["organization.updated", "project.updated", "rate_limit.updated"]
    assert lines[2].rate_limit_updated.changes_requested.max_requests_per_1_minute == 1
