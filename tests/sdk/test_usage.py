"""The official SDK reads usage and costs of what it has asked for."""

from __future__ import annotations

from itertools import pairwise

import openai
import pytest
from openai import AsyncOpenAI

from antiphon.config.load import load
from antiphon.engine.moderation import Moderation
from antiphon.models.moderators import RuleList
from antiphon.plugins import embedders
from antiphon.policy.rules import BUILT_IN, Rules
from antiphon.wire.admin.usage import REPORTS
from tests.support.embedding import embeddings
from tests.support.money import prices
from tests.support.sdk_models import catalog
from tests.support.serving import Serving, serving
from tests.support.upstream import FakeUpstream

pytestmark = pytest.mark.anyio

ADMIN = "an-admin-key-of-the-tests"
DAY = 86_400
PRICES = {"rehearsed": (10.0, 100.0), "nomic": (1.0, 0.0)}
TABLES = '[embeddings."small"]\nbase_url = "{url}"\nmodel = "nomic"\n'


class Bot:
    """A client with a key of a project."""

    def __init__(self, client: AsyncOpenAI, project: str, key: str, owner: str) -> None:
        self.client = client
        self.project = project
        self.key = key
        self.owner = owner

    async def ask(self, **body: object) -> None:
        """Have something answered: 7 tokens in, 6 out."""
        answer = await self.client.responses.create(model="rehearsed", input="Hi.", **body)
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (7, 6)


@pytest.fixture
async def served(tmp_path):
    async with FakeUpstream() as up:
        up.always(embeddings(1))
        (tmp_path / "antiphon.toml").write_text(TABLES.format(url=up.base_url))
        known = embedders(load(environ={"HOME": str(tmp_path)}, folder=tmp_path))
        known_prices, rules = prices(tmp_path, **PRICES), Moderation({"rules": RuleList(lambda: Rules(BUILT_IN))})
        async with serving(catalog(), admin_key=ADMIN, prices=known_prices, embedders=known, moderation=rules) as s:
            yield s


@pytest.fixture
async def admin(served: Serving):
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", admin_api_key=ADMIN, max_retries=0) as client:
        yield client.admin.organization


@pytest.fixture
async def bots(served: Serving, admin):
    made = []
    for name in ("search", "chat"):
        project = await admin.projects.create(name=name)
        account = await admin.projects.service_accounts.create(project.id, name="bot")
        client = AsyncOpenAI(base_url=f"{served.url}/v1", api_key=account.api_key.value, max_retries=0)
        made.append(Bot(client, project.id, account.api_key.id, account.id))
    yield made
    for bot in made:
        await bot.client.close()


@pytest.fixture
def start(served: Serving) -> int:
    """The beginning of today, so that all is in one bucket unless the day ends in the test."""
    return int(served.engine.clock.now()) // DAY * DAY


def results(page):
    """All results of a page, whatever their bucket."""
    return [result for bucket in page.data for result in bucket.results]


async def test_completions_are_counted_when_their_answer_is_there(admin, bots, start):
    for body in ({}, {"store": False}):
        await bots[0].ask(**body)
        page = await admin.usage.completions(start_time=start)
    assert (page.object, page.data[0].object, page.has_more) == ("page", "bucket", False)
    (result,) = results(page)
    assert (result.num_model_requests, result.input_tokens, result.output_tokens) == (2, 14, 12)
    assert (result.input_cached_tokens, result.input_uncached_tokens) == (0, 14)
    assert result.project_id is result.model is result.api_key_id is result.user_id is None


async def test_completions_are_grouped_by_who_asked_and_for_what(admin, bots, start):
    ours, theirs = bots
    for bot in (ours, ours, theirs):
        await bot.ask()
    groups = ["project_id", "user_id", "api_key_id", "model", "batch", "service_tier"]
    found = results(await admin.usage.completions(start_time=start, group_by=groups))
    told = {(one.project_id, one.user_id, one.api_key_id): (one.model, one.batch, one.input_tokens) for one in found}
    assert told == {
        (ours.project, ours.owner, ours.key): ("rehearsed", False, 14),
        (theirs.project, theirs.owner, theirs.key): ("rehearsed", False, 7),
    }


async def test_filters_leave_out_the_others(admin, bots, start):
    ours, theirs = bots
    for bot in (ours, ours, theirs):
        await bot.ask()
    for filters, requests in (
        ({"project_ids": [ours.project]}, 2),
        ({"api_key_ids": [theirs.key]}, 1),
        ({"user_ids": [ours.owner, theirs.owner]}, 3),
        ({"models": ["rehearsed"]}, 3),
        ({"batch": False}, 3),
    ):
        (result,) = results(await admin.usage.completions(start_time=start, **filters))
        assert result.num_model_requests == requests, filters
    for filters in ({"models": ["another"]}, {"batch": True}, {"project_ids": ["proj_none"]}):
        assert results(await admin.usage.completions(start_time=start, **filters)) == []


async def test_buckets_follow_each_other_over_pages(admin, bots, served):
    await bots[0].ask()
    now = int(served.engine.clock.now())
    query = {"start_time": now - 10 * 60, "end_time": now + 120, "bucket_width": "1m", "limit": 5}
    buckets, page = [], None
    while True:
        got = await admin.usage.completions(**query, **({"page": page} if page else {}))
        buckets += got.data
        page = got.next_page
        if not got.has_more:
            break
    assert buckets[0].start_time == query["start_time"]
    assert buckets[-1].end_time == query["end_time"]
    assert all(one.end_time == next_.start_time for one, next_ in pairwise(buckets))
    (used,) = [bucket for bucket in buckets if bucket.results]
    assert used.start_time <= now + 1
    assert used.results[0].num_model_requests == 1


async def test_costs_are_exact_and_told_by_project_and_line_item(admin, bots, start):
    ours, theirs = bots
    for bot in (ours, ours, theirs):
        await bot.ask()
    await ours.client.embeddings.create(model="small", input="a")
    (total,) = results(await admin.usage.costs(start_time=start))
    assert (total.amount.currency, total.amount.value) == ("usd", 0.002014)
    found = results(await admin.usage.costs(start_time=start, group_by=["project_id", "line_item"]))
    assert {(one.project_id, one.line_item): (one.amount.value, one.quantity, one.quantity_unit) for one in found} == {
        (ours.project, "rehearsed"): (0.00134, 26, "tokens"),
        (ours.project, "nomic"): (0.000004, 4, "tokens"),
        (theirs.project, "rehearsed"): (0.00067, 13, "tokens"),
    }
    (nomic,) = results(await admin.usage.costs(start_time=start, line_items=["nomic"]))
    assert nomic.amount.value == 0.000004


async def test_embeddings_and_moderations_have_reports_of_their_own(admin, bots, start):
    bot = bots[1]
    await bot.client.embeddings.create(model="small", input="a")
    await bot.client.moderations.create(input="a")
    (embedded,) = results(await admin.usage.embeddings(start_time=start, group_by=["model", "api_key_id"]))
    assert (embedded.num_model_requests, embedded.input_tokens) == (1, 4)
    assert (embedded.model, embedded.api_key_id) == ("small", bot.key)
    (judged,) = results(await admin.usage.moderations(start_time=start, group_by=["model", "project_id"]))
    assert (judged.num_model_requests, judged.input_tokens) == (1, 0)
    assert (judged.model, judged.project_id) == ("rules", bot.project)
    assert results(await admin.usage.completions(start_time=start)) == []


@pytest.mark.parametrize("name", sorted(REPORTS.keys() - {"completions", "embeddings", "moderations"}))
async def test_what_this_server_does_not_do_has_an_empty_report(admin, bots, start, name):
    await bots[0].ask()
    page = await getattr(admin.usage, name)(start_time=start)
    assert page.data
    assert results(page) == []


async def test_a_projects_key_does_not_see_what_others_used(served, bots, start):
    async with AsyncOpenAI(
        base_url=f"{served.url}/v1", api_key="none", admin_api_key=bots[0].client.api_key, max_retries=0
    ) as client:
        with pytest.raises(openai.PermissionDeniedError):
            await client.admin.organization.usage.completions(start_time=start)
        with pytest.raises(openai.PermissionDeniedError):
            await client.admin.organization.usage.costs(start_time=start)


async def test_an_unknown_price_makes_the_amount_null(tmp_path, start):
    async with (
        serving(catalog(), prices=prices(tmp_path, other=(1.0, 1.0))) as s,
        AsyncOpenAI(base_url=f"{s.url}/v1", api_key="none", admin_api_key="none", max_retries=0) as client,
    ):
        await client.responses.create(model="rehearsed", input="Hi.")
        (result,) = results(await client.admin.organization.usage.costs(start_time=start))
    assert result.amount.value is None
