"""The official SDK administers the server: projects, keys, service accounts, users, permissions, the audit log."""

from __future__ import annotations

from collections.abc import Callable

import openai
import pytest
from openai import AsyncOpenAI

from tests.support.sdk_models import TEXT, catalog
from tests.support.serving import Serving, serving

pytestmark = pytest.mark.anyio

ADMIN = "an-admin-key-of-the-tests"

Client = Callable[..., AsyncOpenAI]


@pytest.fixture
async def served():
    async with serving(catalog(), admin_key=ADMIN) as s:
        yield s


@pytest.fixture
async def client(served: Serving):
    """Makes clients with a key."""
    made: list[AsyncOpenAI] = []

    def client(key: str = "none", **options: str) -> AsyncOpenAI:
        made.append(
            AsyncOpenAI(base_url=f"{served.url}/v1", api_key=key, admin_api_key=ADMIN, max_retries=0, **options)
        )
        return made[-1]

    yield client
    for each in made:
        await each.close()


@pytest.fixture
def organization(client: Client):
    return client().admin.organization


async def test_a_project_and_a_key_are_made_used_and_revoked(organization, client: Client):
    project = await organization.projects.create(name="Search")
    assert project.object == "organization.project"
    account = await organization.projects.service_accounts.create(project.id, name="bot")
    assert account.api_key.value.startswith("sk-antiphon-")
    bot = client(account.api_key.value, project=project.id, organization="default")
    assert (await bot.responses.create(model="rehearsed", input="Hi.")).output_text == TEXT
    listed = [key async for key in organization.projects.api_keys.list(project.id)]
    assert [key.id for key in listed] == [account.api_key.id]
    assert account.api_key.value not in listed[0].model_dump_json()
    assert listed[0].owner.service_account.id == account.id
    assert listed[0].last_used_at is not None
    await organization.projects.api_keys.delete(account.api_key.id, project_id=project.id)
    with pytest.raises(openai.AuthenticationError):
        await bot.responses.create(model="rehearsed", input="Hi.")


async def test_what_one_project_made_is_unknown_to_another(organization, client: Client):
    ours, theirs = [await _project(organization, client, name) for name in ("ours", "theirs")]
    made = await ours.responses.create(model="rehearsed", input="Hi.")
    for answer in (
        theirs.responses.retrieve(made.id),
        theirs.responses.delete(made.id),
        theirs.responses.cancel(made.id),
        theirs.responses.input_items.list(made.id),
    ):
        with pytest.raises(openai.NotFoundError):
            await answer
    with pytest.raises(openai.BadRequestError, match="not found"):
        await theirs.responses.create(model="rehearsed", input="And?", previous_response_id=made.id)
    assert (await ours.responses.retrieve(made.id)).id == made.id


async def _project(organization, client: Client, name: str) -> AsyncOpenAI:
    project = await organization.projects.create(name=name)
    account = await organization.projects.service_accounts.create(project.id, name="bot")
    return client(account.api_key.value)


async def test_a_project_may_only_name_the_models_that_it_is_allowed(organization, client: Client):
    project = await organization.projects.create(name="Search")
    bot = client((await organization.projects.service_accounts.create(project.id, name="bot")).api_key.value)
    permissions = organization.projects.model_permissions
    all_models = [model.id async for model in bot.models.list()]
    await permissions.update(project.id, mode="deny_list", model_ids=["rehearsed"])
    assert (await permissions.retrieve(project.id)).model_ids == ["rehearsed"]
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await bot.responses.create(model="rehearsed", input="Hi.")
    assert refused.value.param == "model"
    assert [model.id async for model in bot.models.list()] == [name for name in all_models if name != "rehearsed"]
    with pytest.raises(openai.NotFoundError):
        await bot.models.retrieve("rehearsed")
    with pytest.raises(openai.PermissionDeniedError) as judged:
        await bot.responses.create(model="json", input="Hi.", moderation={"model": "rehearsed"})
    assert judged.value.param == "moderation.model"
    with pytest.raises(openai.BadRequestError) as unknown:
        await bot.responses.create(model="unheard-of", input="Hi.")
    assert "rehearsed" not in unknown.value.message
    await permissions.delete(project.id)
    assert (await bot.responses.create(model="rehearsed", input="Hi.")).output_text == TEXT


async def test_a_project_may_only_use_the_hosted_tools_that_it_is_allowed(organization, client: Client):
    project = await organization.projects.create(name="Search")
    bot = client((await organization.projects.service_accounts.create(project.id, name="bot")).api_key.value)
    tools = organization.projects.hosted_tool_permissions
    assert (await tools.update(project.id, web_search={"enabled": False})).web_search.enabled is False
    assert (await tools.retrieve(project.id)).mcp.enabled is True
    function = {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await bot.responses.create(model="rehearsed", input="Hi.", tools=[function, {"type": "web_search_preview"}])
    assert refused.value.param == "tools[1]"
    declared = {"type": "additional_tools", "role": "developer", "tools": [{"type": "web_search"}]}
    with pytest.raises(openai.PermissionDeniedError) as refused:
        await bot.responses.create(model="rehearsed", input=[declared])
    assert refused.value.param == "input"
    assert (await bot.responses.create(model="rehearsed", input="Hi.", tools=[function])).status == "completed"


async def test_users_get_roles_in_projects_and_lose_them(organization):
    project = await organization.projects.create(name="Search")
    users = organization.projects.users
    ada = await users.create(project.id, email="ada@example.com", role="member")
    assert (await users.retrieve(ada.id, project_id=project.id)).role == "member"
    assert (await users.update(ada.id, project_id=project.id, role="owner")).role == "owner"
    assert [user.id async for user in users.list(project.id)] == [ada.id]
    everybody = {user.id: user.role async for user in organization.users.list()}
    assert everybody == {"user-default": "owner", ada.id: "reader"}
    assert (await organization.users.update(ada.id, role="owner")).role == "owner"
    assert (await users.delete(ada.id, project_id=project.id)).deleted
    assert [user.id async for user in users.list(project.id)] == []
    assert (await organization.users.delete(ada.id)).deleted
    with pytest.raises(openai.NotFoundError):
        await organization.users.retrieve(ada.id)
    with pytest.raises(openai.BadRequestError):
        await organization.users.delete("user-default")


async def test_admin_keys_administer_and_call_no_model(organization, client: Client, served: Serving):
    made = await organization.admin_api_keys.create(name="ops")
    key = made.value
    async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key=key, admin_api_key=key, max_retries=0) as ops:
        assert (await ops.admin.organization.projects.retrieve("default")).id == "default"
        with pytest.raises(openai.PermissionDeniedError):
            await ops.responses.create(model="rehearsed", input="Hi.")
        assert (await organization.admin_api_keys.retrieve(made.id)).name == "ops"
        assert [each.id async for each in organization.admin_api_keys.list()] == [made.id]
        await organization.admin_api_keys.delete(made.id)
        with pytest.raises(openai.AuthenticationError):
            await ops.admin.organization.projects.list()


async def test_service_accounts_are_changed_given_more_keys_and_deleted_with_them(organization, client: Client):
    project = await organization.projects.create(name="Search")
    accounts = organization.projects.service_accounts
    bare = await accounts.create(project.id, name="bot", create_service_account_only=True)
    assert bare.api_key is None
    assert (await accounts.update(bare.id, project_id=project.id, role="owner")).role == "owner"
    assert (await accounts.retrieve(bare.id, project_id=project.id)).role == "owner"
    key = await accounts.api_keys.create(bare.id, project_id=project.id, scopes=["models.read"], expires_in_seconds=60)
    bot = client(key.value)
    assert [model async for model in bot.models.list()]
    with pytest.raises(openai.PermissionDeniedError, match=r"responses\.write"):
        await bot.responses.create(model="rehearsed", input="Hi.")
    assert [account.id async for account in accounts.list(project.id)] == [bare.id]
    await accounts.delete(bare.id, project_id=project.id)
    with pytest.raises(openai.AuthenticationError):
        await bot.models.list()


async def test_an_archived_project_serves_nobody_and_is_listed_where_it_is_asked_for(organization, client: Client):
    project = await organization.projects.create(name="Search")
    bot = client((await organization.projects.service_accounts.create(project.id, name="bot")).api_key.value)
    assert (await organization.projects.update(project.id, name="Find")).name == "Find"
    assert (await organization.projects.archive(project.id)).status == "archived"
    with pytest.raises(openai.AuthenticationError):
        await bot.models.list()
    with pytest.raises(openai.BadRequestError):
        await organization.projects.service_accounts.create(project.id, name="bot")
    assert [each.id async for each in organization.projects.list()] == ["default"]
    listed = organization.projects.list(include_archived=True, limit=1)
    assert [each.id async for each in listed] == ["default", project.id]


async def test_the_audit_log_tells_who_did_what(organization):
    project = await organization.projects.create(name="Search")
    account = await organization.projects.service_accounts.create(project.id, name="bot")
    await organization.projects.api_keys.delete(account.api_key.id, project_id=project.id)
    lines = [line async for line in organization.audit_logs.list(limit=2)]
    assert [line.type for line in lines] == [
        "api_key.deleted",
        "api_key.created",
        "service_account.created",
        "project.created",
    ]
    assert all(line.actor.api_key.id == "key_configured_admin" for line in lines)
    assert lines[0].api_key_deleted.id == account.api_key.id
    assert lines[0].project.id == project.id
    found = organization.audit_logs.list(event_types=["project.created"], project_ids=[project.id])
    assert [line.id async for line in found] == [lines[3].id]
