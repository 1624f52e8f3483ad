"""Who has a key, answered from memory; and changes, also by others."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
import pytest

from antiphon.engine.accounts import ADMIN, CONFIGURED, MARKED, OPEN, POLL, UNKNOWN, Accounts, NoKeys
from antiphon.engine.unkept import UnkeptAccounts
from antiphon.policy import administration as act
from antiphon.policy import spending
from antiphon.policy.access import Denied, Principal
from antiphon.policy.directory import Change
from antiphon.testing import FakeClock
from antiphon.wire.errors import Conflict, InvalidRequest, NotFound, PermissionDenied, Unavailable

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def started(store=None, clock=None, **options):
    accounts = Accounts(store or UnkeptAccounts(), clock or FakeClock(), **options)
    await accounts.start()
    await asyncio.sleep(0)  # it waits for the clock now
    try:
        yield accounts
    finally:
        await accounts.aclose()


def make(name="ci", project="default", scopes=None, lifetime=None):
    def decide(edit):
        account = act.create_account(edit, project, name)
        return act.create_key(edit, project, account, name, scopes=scopes, lifetime=lifetime)

    return decide


async def test_without_any_key_everybody_is_let_in_and_whatever_they_send():
    async with started() as accounts:
        assert accounts.is_open
        for key in (b"", b"none", b"sk-antiphon-" + b"x" * 43):
            assert accounts.authenticate(key) == OPEN
            assert accounts.authenticate(key, "org-of-openai", "proj_of_openai") == OPEN


async def test_the_first_key_closes_the_server_and_the_last_that_goes_does_not_open_it():
    async with started() as accounts:
        new = await accounts.edit(OPEN, make())
        assert accounts.authenticate(b"none") == UNKNOWN
        assert accounts.authenticate(new.value.encode()).key_id == new.key.id
        await accounts.edit(OPEN, lambda edit: act.revoke_key(edit, "default", new.key.id))
        assert not accounts.is_open
        assert accounts.authenticate(new.value.encode()) == UNKNOWN
        assert accounts.authenticate(b"") == UNKNOWN


@pytest.mark.parametrize(
    "options", [{"opens": False, "configured": lambda: "k"}, {"admin_key": "k"}, {"configured": lambda: "k"}]
)
async def test_a_key_of_the_configuration_closes_it_too(options):
    async with started(**options) as accounts:
        assert not accounts.is_open
        assert accounts.authenticate(b"") == UNKNOWN
        assert accounts.authenticate(b"k") in (CONFIGURED, ADMIN)


async def test_every_key_that_is_none_is_told_the_same():
    clock = FakeClock()
    async with started(clock=clock) as accounts:
        good = await accounts.edit(OPEN, make("good"))
        expired = await accounts.edit(OPEN, make("expired", lifetime=10))
        revoked = await accounts.edit(OPEN, make("revoked"))
        await accounts.edit(OPEN, lambda edit: act.revoke_key(edit, "default", revoked.key.id))
        project = await accounts.edit(OPEN, lambda edit: act.create_project(edit, "gone"))
        archived = await accounts.edit(OPEN, make("archived", project.id))
        await accounts.edit(OPEN, lambda edit: act.archive_project(edit, project.id))
        powerless = await accounts.edit(OPEN, make("powerless"))
        await accounts.edit(OPEN, lambda edit: act.delete_account(edit, "default", powerless.key.owner))
        assert accounts.authenticate(expired.value.encode()) != UNKNOWN
        await clock.advance(10)
        values = [each.value.encode() for each in (expired, revoked, archived, powerless)]
        malformed = [
            b"",
            b"\x00\xff",
            b"' OR 1=1 --",
            b"x" * 30_000,
            good.value[:-1].encode(),
            good.value.encode() + b"=",
        ]
        assert {accounts.authenticate(key).message for key in [*values, *malformed]} == {UNKNOWN.message}
        assert isinstance(accounts.authenticate(good.value.encode()), Principal)


async def test_headers_that_fit_the_key_are_taken_and_others_refused():
    async with started() as accounts:
        project = await accounts.edit(OPEN, lambda edit: act.create_project(edit, "Search"))
        key = (await accounts.edit(OPEN, make("ci", project.id))).value.encode()
        assert accounts.authenticate(key, "default", project.id).project == project.id
        assert accounts.authenticate(key, "org-x", None).reason == "organization"
        assert accounts.authenticate(key, None, "default").reason == "project"
        admin = (await accounts.edit(OPEN, lambda edit: act.create_admin_key(edit, "ops"))).value.encode()
        assert isinstance(accounts.authenticate(admin, None, project.id), Principal)
        assert accounts.authenticate(admin, None, "proj_unknown").reason == "project"


async def test_a_principal_is_for_its_project_and_an_open_server_for_the_named_one():
    async with started() as accounts:
        project = await accounts.edit(OPEN, lambda edit: act.create_project(edit, "Search"))
        assert accounts.project_of(OPEN, None) == "default"
        assert accounts.project_of(OPEN, project.id) == project.id
        assert accounts.project_of(OPEN, "proj_of_openai") == "default"
        assert accounts.project_of(CONFIGURED, project.id) == "default"


async def test_what_another_process_changes_is_seen_within_a_quarter_of_a_second():
    store, clock = UnkeptAccounts(), FakeClock()
    async with started(store, clock) as here, started(store, clock) as there:
        new = await there.edit(OPEN, make())
        assert here.authenticate(new.value.encode()) == OPEN
        await clock.run(POLL)
        assert here.authenticate(new.value.encode()).key_id == new.key.id
        await there.edit(OPEN, lambda edit: act.revoke_key(edit, "default", new.key.id))
        await clock.run(POLL)
        assert here.authenticate(new.value.encode()) == UNKNOWN


async def test_of_many_who_change_it_at_once_none_undoes_what_another_did():
    store = UnkeptAccounts()
    async with started(store) as one, started(store) as two:
        await asyncio.gather(*(each.edit(OPEN, make(f"{n}")) for n in range(10) for each in (one, two)))
        await one.refresh()
        assert len(one.directory.keys) == 20
        assert len(store._logs) == 40


async def test_who_is_always_too_late_is_told_to_try_again():
    class Busy(UnkeptAccounts):
        def write(self, change, revision):
            self._directory = self._directory.after(Change())
            return super().write(change, revision)

    store = Busy()
    async with started(UnkeptAccounts()) as accounts:
        store._directory = accounts.directory
        accounts.store = store
        with pytest.raises(Conflict):
            await accounts.edit(OPEN, make())


async def test_while_the_store_is_gone_what_was_known_last_counts(caplog):
    class Gone(UnkeptAccounts):
        is_gone = False

        async def revision(self):
            if self.is_gone:
                raise Unavailable("gone")
            return await super().revision()

    store, clock = Gone(), FakeClock()
    async with started(store, clock) as accounts:
        key = (await accounts.edit(OPEN, make())).value.encode()
        store.is_gone = True
        await clock.run(4 * POLL)
        assert isinstance(accounts.authenticate(key), Principal)
        assert caplog.text.count("cannot be seen") == 1
        store.is_gone = False
        await clock.run(POLL)


async def test_a_use_is_written_later_and_at_most_once_a_minute():
    store, clock = UnkeptAccounts(), FakeClock()
    async with started(store, clock) as accounts:
        new = await accounts.edit(OPEN, make())
        first = clock.now()
        accounts.authenticate(new.value.encode())
        assert store._directory.keys[new.key.id].used_at is None
        assert accounts.used_at(new.key) == first
        await clock.run(POLL)
        assert store._directory.keys[new.key.id].used_at == first
        accounts.authenticate(new.value.encode())
        await clock.run(POLL)
        assert store._directory.keys[new.key.id].used_at == first
        await clock.advance(MARKED)
        accounts.authenticate(new.value.encode())
    assert store._directory.keys[new.key.id].used_at > first


async def test_a_server_for_others_does_not_start_without_a_key_that_is_good():
    store, clock = UnkeptAccounts(), FakeClock()
    with pytest.raises(NoKeys):
        await Accounts(store, clock, opens=False).start()
    async with started(store, clock) as accounts:
        await accounts.edit(OPEN, make(lifetime=10))
    async with started(store, clock, opens=False):
        pass
    await clock.advance(10)
    with pytest.raises(NoKeys):
        await Accounts(store, clock, opens=False).start()
    async with started(store, clock, opens=False, admin_key="k"):
        pass


async def test_a_key_gives_no_other_more_than_it_has():
    async with started() as accounts:
        own = frozenset({"admin.write", "models.read"})
        owner = Principal(organization="default", project="default", kind="user", role="project.owner", scopes=own)
        bare = await accounts.edit(owner, make("bare"))
        assert set(bare.key.scopes) == own
        assert (await accounts.edit(owner, make("less", scopes=["models.read"]))).key.scopes == ("models.read",)
        with pytest.raises(PermissionDenied):
            await accounts.edit(owner, make("more", scopes=["models.read", "responses.write"]))
        with pytest.raises(PermissionDenied):
            await accounts.edit(
                owner, lambda edit: act.update_key(edit, "default", bare.key.id, ["responses.write"], None)
            )


async def test_empty_scopes_are_refused_and_give_no_rights():
    async with started() as accounts:
        with pytest.raises(InvalidRequest) as refused:
            await accounts.edit(OPEN, make("none", scopes=[]))
        assert (refused.value.param, refused.value.code) == ("scopes", "empty_array")


async def test_a_key_that_is_rotated_takes_its_budgets_with_it():
    async with started() as accounts:
        old = (await accounts.edit(OPEN, make("ci"))).key
        await accounts.edit(OPEN, lambda edit: spending.set_budget(edit, "key", old.id, "daily", Decimal("0.01")))
        new = (await accounts.edit(OPEN, lambda edit: act.rotate_key(edit, "default", old.id, 3600))).key
        found = {row.owner: (row.window, row.amount) for row in accounts.directory.budgets.values()}
        assert found == {old.id: ("daily", Decimal("0.01")), new.id: ("daily", Decimal("0.01"))}


async def test_what_an_archived_project_may_spend_cannot_be_changed():
    async with started() as accounts:
        project = await accounts.edit(OPEN, lambda edit: act.create_project(edit, "Search"))
        await accounts.edit(OPEN, lambda edit: act.archive_project(edit, project.id))
        for change in (
            lambda edit: spending.set_limit(edit, project.id, "m", {"max_requests_per_1_minute": 1}),
            lambda edit: spending.set_budget(edit, "project", project.id, "daily", Decimal(1)),
        ):
            with pytest.raises(InvalidRequest) as refused:
                await accounts.edit(OPEN, change)
            assert refused.value.code == "project_archived"


async def test_a_refused_change_leaves_nothing_behind():
    store = UnkeptAccounts()
    async with started(store) as accounts:
        before = store._directory
        with pytest.raises(NotFound):
            await accounts.edit(OPEN, make(project="proj_unknown"))
        assert store._directory is before
        assert store._logs == []


async def test_who_leaves_a_project_loses_the_keys_and_gets_them_back_on_coming_again():
    async with started() as accounts:
        member = await accounts.edit(OPEN, lambda edit: act.add_member(edit, "default", "member", None, "a@b.example"))
        user = accounts.directory.users[member.user]
        key = await accounts.edit(OPEN, lambda edit: act.create_key(edit, "default", user, "mine"))
        assert accounts.authenticate(key.value.encode()).role == "project.member"
        await accounts.edit(OPEN, lambda edit: act.remove_member(edit, "default", user.id))
        assert accounts.authenticate(key.value.encode()) == UNKNOWN
        with pytest.raises(NotFound):
            await accounts.edit(OPEN, lambda edit: act.create_key(edit, "default", user, "another"))
        await accounts.edit(OPEN, lambda edit: act.add_member(edit, "default", "viewer", user.id, None))
        assert accounts.authenticate(key.value.encode()).role == "project.viewer"
        await accounts.edit(OPEN, lambda edit: act.delete_user(edit, user.id))
        assert key.key.id not in accounts.directory.keys


async def test_each_line_of_the_audit_log_tells_who_and_what_and_no_secret():
    store = UnkeptAccounts()
    async with started(store) as accounts:
        new = await accounts.edit(OPEN, make(), "192.0.2.7")
        principal = accounts.directory.holders[new.key.hash]
        promoted = msgspec.structs.replace(principal, role="project.owner")
        await accounts.edit(promoted, make("second"))
        await accounts.edit(ADMIN, lambda edit: act.create_admin_key(edit, "ops"))
    entries = [msgspec.json.decode(log.entry) for log in store._logs]
    actors = [entry["actor"] for entry in entries]
    assert actors[0]["session"] == {
        "ip_address": "192.0.2.7",
        "user": {"id": "user-default", "email": "operator@localhost"},
    }
    assert actors[2]["api_key"]["service_account"] == {"id": new.key.owner}
    assert (store._logs[2].key, store._logs[2].actor) == (new.key.id, new.key.owner)
    assert actors[4]["api_key"] == {
        "id": "key_configured_admin",
        "type": "user",
        "user": {"id": "user-default", "email": "operator@localhost"},
    }
    told = b"".join(log.entry for log in store._logs).decode()
    assert new.value not in told
    assert new.key.hash not in told


async def test_random_bytes_make_each_key_and_id(monkeypatch):
    taken = []
    monkeypatch.setattr(secrets, "token_bytes", lambda count: taken.append(count) or bytes(count))
    async with started() as accounts:
        await accounts.edit(OPEN, lambda edit: act.create_admin_key(edit, "ops"))
    assert 32 in taken


def test_denied_is_no_principal():
    assert not isinstance(UNKNOWN, Principal)
    assert isinstance(UNKNOWN, Denied)
