"""What every store of accounts does: what was written is read again, and of two who change it at once one is told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from typing import Final, TypeAlias

import msgspec

from antiphon.policy.access import HostedToolPermissions, ModelPermissions
from antiphon.policy.directory import (
    Budget,
    Change,
    Key,
    Logged,
    Member,
    Organization,
    Project,
    RateLimit,
    Row,
    ServiceAccount,
    SpendAlert,
    User,
    first_rows,
)
from antiphon.ports import AccountStore, AuditQuery

OpenAccounts: TypeAlias = Callable[[], AbstractAsyncContextManager[AccountStore]]
"""Opens a store, each time the same one; nothing is in it the first time."""

PROJECT: Final = Project(
    id="proj_1",
    organization="default",
    name="Search 'x'); DROP TABLE projects; --",
    created_at=1.5,
    models=ModelPermissions("allow_list", ("gpt-*", "é")),
    tools=HostedToolPermissions(mcp=False),
)
ADA: Final = User(id="user-1", organization="default", email="ada@example.com", role="reader", added_at=2.0)
MEMBER: Final = Member(project="proj_1", user="user-1", role="member", added_at=3.0)
BOT: Final = ServiceAccount(id="svc_acct_1", project="proj_1", name="bot", created_at=4.0)
KEY: Final = Key(
    id="key_1",
    organization="default",
    project="proj_1",
    owner="svc_acct_1",
    name="bot",
    hash="ab" * 32,
    redacted="sk-ant...abcd",
    scopes=("models.read",),
    created_at=5.0,
    expires_at=100.0,
)
LIMIT: Final = RateLimit(
    project="proj_1", model="qwen/qwen3", max_requests_per_1_minute=0, max_tokens_per_1_day=2**53 - 1, created_at=6.0
)
BUDGET: Final = Budget(
    id="budget_1",
    organization="default",
    scope="project",
    owner="proj_1",
    window="daily",
    amount=Decimal("12345678901234567890.000000000000000001"),
    hard=False,
    thresholds=(Decimal("0.50"), Decimal(1)),
    created_at=7.0,
)
ALERT: Final = SpendAlert(
    id="alert_1",
    organization="default",
    scope="organization",
    owner="default",
    amount=Decimal("0.01"),
    recipients=("a@b.example", "é@b.example"),
    subject_prefix="[Money]",
    created_at=8.0,
)
ROWS: Final[tuple[Row, ...]] = (PROJECT, ADA, MEMBER, BOT, KEY, LIMIT, BUDGET, ALERT)


def logged(number: int, **fields: object) -> Logged:
    """A line of the audit log."""
    line = Logged(
        id=f"audit_log-{number}",
        organization="default",
        type="project.created",
        at=float(number),
        resource="proj_1",
        entry=b'{"id":"audit_log-%d"}' % number,
    )
    return msgspec.structs.replace(line, **fields)


class AccountStoreContract:
    """Fixture: `open_accounts`."""

    async def test_nothing_is_in_a_new_one(self, open_accounts: OpenAccounts) -> None:
        async with open_accounts() as store:
            assert list((await store.load()).rows()) == []
            assert await store.revision() == (await store.load()).revision

    async def test_what_was_written_is_read_again_field_by_field(self, open_accounts: OpenAccounts) -> None:
        async with open_accounts() as store:
            assert await store.write(Change([*first_rows(1.0), *ROWS]), await store.revision())
            found = await store.load()
            assert found.projects["proj_1"] == PROJECT
            assert found.users["user-1"] == ADA
            assert found.members["proj_1", "user-1"] == MEMBER
            assert found.accounts["svc_acct_1"] == BOT
            assert found.keys["key_1"] == KEY
            assert found.limits["proj_1", "qwen/qwen3"] == LIMIT
            assert found.budgets["budget_1"] == BUDGET
            assert str(found.budgets["budget_1"].amount) == "12345678901234567890.000000000000000001"
            assert found.alerts["alert_1"] == ALERT
            assert set(found.organizations) == {"default"}

    async def test_a_row_that_is_written_again_takes_the_place_of_the_old_one(
        self, open_accounts: OpenAccounts
    ) -> None:
        async with open_accounts() as store:
            await store.write(Change([*first_rows(1.0), *ROWS]), await store.revision())
            archived = msgspec.structs.replace(PROJECT, name="Find", archived_at=9.0)
            owner = msgspec.structs.replace(MEMBER, role="owner")
            lifted = msgspec.structs.replace(LIMIT, max_requests_per_1_minute=None)
            raised = msgspec.structs.replace(BUDGET, amount=Decimal(2), hard=True)
            await store.write(Change([archived, owner, lifted, raised]), await store.revision())
            found = await store.load()
            assert found.limits["proj_1", "qwen/qwen3"] == lifted
            assert found.budgets == {"budget_1": raised}
            assert found.projects["proj_1"] == archived
            assert found.members["proj_1", "user-1"] == owner

    async def test_what_is_dropped_is_gone(self, open_accounts: OpenAccounts) -> None:
        async with open_accounts() as store:
            await store.write(Change([*first_rows(1.0), *ROWS]), await store.revision())
            await store.write(Change(drop=[ADA, MEMBER, BOT, LIMIT, BUDGET, ALERT]), await store.revision())
            found = await store.load()
            assert not found.limits
            assert not found.budgets
            assert not found.alerts
            assert "user-1" not in found.users
            assert not found.members
            assert not found.accounts

    async def test_a_revoked_key_is_not_read_and_leaves_the_store_closed(self, open_accounts: OpenAccounts) -> None:
        async with open_accounts() as store:
            await store.write(Change(first_rows(1.0)), await store.revision())
            assert not (await store.load()).closed
            await store.write(Change(ROWS), await store.revision())
            assert (await store.load()).closed
            revoked = msgspec.structs.replace(KEY, revoked_at=9.0)
            await store.write(Change([revoked]), await store.revision())
            found = await store.load()
            assert not found.keys
            assert not found.holders
            assert found.closed

    async def test_each_change_has_a_revision_of_its_own(self, open_accounts: OpenAccounts) -> None:
        async with open_accounts() as store:
            first = await store.revision()
            await store.write(Change(first_rows(1.0)), first)
            assert await store.revision() > first
            assert (await store.load()).revision == await store.revision()

    async def test_a_change_that_was_decided_on_an_older_state_is_not_carried_out(
        self, open_accounts: OpenAccounts
    ) -> None:
        async with open_accounts() as store:
            old = await store.revision()
            assert await store.write(Change(first_rows(1.0)), old)
            assert not await store.write(Change(ROWS, logs=[logged(1)]), old)
            assert "proj_1" not in (await store.load()).projects
            assert await store.audit(AuditQuery(organization="default")) == []

    async def test_a_key_is_marked_as_used_never_as_used_earlier_and_that_is_no_change(
        self, open_accounts: OpenAccounts
    ) -> None:
        async with open_accounts() as store:
            await store.write(Change([*first_rows(1.0), *ROWS]), await store.revision())
            before = await store.revision()
            await store.used({"key_1": 50.0, "key_unknown": 50.0})
            await store.used({"key_1": 40.0})
            assert (await store.load()).keys["key_1"].used_at == 50.0
            assert await store.revision() == before

    async def test_it_is_still_there_when_it_is_opened_again(self, open_accounts: OpenAccounts) -> None:
        async with open_accounts() as store:
            await store.write(Change([*first_rows(1.0), *ROWS], logs=[logged(1)]), await store.revision())
        async with open_accounts() as store:
            assert (await store.load()).keys["key_1"] == KEY
            assert await store.audit(AuditQuery(organization="default")) == [logged(1)]

    async def test_the_audit_log_is_read_newest_first_page_by_page_both_ways(self, open_accounts: OpenAccounts) -> None:
        async with open_accounts() as store:
            for number in range(5):
                await store.write(Change(logs=[logged(number)]), await store.revision())
            assert await _ids(store) == [4, 3, 2, 1, 0]
            assert await _ids(store, limit=2) == [4, 3]
            assert await _ids(store, limit=2, after="audit_log-3") == [2, 1]
            assert await _ids(store, limit=2, before="audit_log-1") == [2, 3]
            assert await _ids(store, after="audit_log-4", before="audit_log-1") == [3, 2]
            assert await _ids(store, oldest_first=True, limit=2) == [0, 1]
            assert await _ids(store, oldest_first=True, after="audit_log-1", limit=2) == [2, 3]
            assert await _ids(store, oldest_first=True, before="audit_log-3", limit=2) == [2, 1]
            assert await store.audit(AuditQuery(organization="default", after="audit_log-9")) is None

    async def test_the_audit_log_is_filtered(self, open_accounts: OpenAccounts) -> None:
        async with open_accounts() as store:
            lines = [
                logged(0),
                logged(1, type="api_key.created", key="key_a", actor="user-a", email="a@b.example"),
                logged(2, project="proj_2", resource="key_x"),
                logged(3, organization="org-other"),
            ]
            await store.write(Change(logs=lines), await store.revision())
            assert await _ids(store, types=["api_key.created"]) == [1]
            assert await _ids(store, actors=["key_a"]) == [1]
            assert await _ids(store, actors=["user-a", "user-b"]) == [1]
            assert await _ids(store, emails=["a@b.example"]) == [1]
            assert await _ids(store, projects=["proj_2"]) == [2]
            assert await _ids(store, resources=["key_x"]) == [2]
            assert await _ids(store, since=1.0, until=2.0) == [1]
            assert await _ids(store, types=["' OR 1=1 --"]) == []
            assert await _ids(store) == [2, 1, 0]
            assert await store.audit(AuditQuery(organization="default", after="audit_log-3")) is None

    async def test_organizations_are_kept_apart(self, open_accounts: OpenAccounts) -> None:
        async with open_accounts() as store:
            other = Organization(id="org-other", name="Other", created_at=1.0)
            foreign = msgspec.structs.replace(PROJECT, id="proj_2", organization="org-other")
            await store.write(Change([*first_rows(1.0), *ROWS, other, foreign]), await store.revision())
            found = await store.load()
            assert found.project("default", "proj_2") is None
            assert found.project("org-other", "proj_2") == foreign
            assert found.key("org-other", "proj_1", "key_1") is None


async def _ids(store: AccountStore, **fields: object) -> list[int]:
    query = msgspec.structs.replace(AuditQuery(organization="default"), **fields)
    return [int(line.id.rpartition("-")[2]) for line in await store.audit(query) or ()]
