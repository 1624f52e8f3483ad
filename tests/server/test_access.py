"""Who may do what over HTTP: keys, headers, rights; and no id tells anything of what belongs to others."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from antiphon.engine.accounts import OPEN
from antiphon.observe.logs import OneLine
from antiphon.policy import administration as act
from antiphon.policy import spending
from antiphon.policy.access import RIGHTS, Principal
from antiphon.policy.directory import Change, Organization, User
from antiphon.ports import AuditQuery
from antiphon.server.app import ADMIN
from antiphon.wire.admin.spend import NotificationChannel, SpendAlertRequest, UpdateSpendLimit
from tests.support.money import free
from tests.support.raw import ask, request
from tests.support.serving import Serving, serving

pytestmark = pytest.mark.anyio

OTHER = "org-other"
ADMIN_KEY = "an-admin-key-of-the-tests"
LIMIT = UpdateSpendLimit(threshold_amount=100, currency="USD", interval="month")
CHANNEL = NotificationChannel(type="email", recipients=["ops@example.com"])
ALERT = SpendAlertRequest(threshold_amount=80, currency="USD", interval="month", notification_channel=CHANNEL)


@dataclass
class Owned:
    """What there is in one project, by the name of the parameter that an id is given in."""

    ids: dict[str, str]
    key: str
    """The value of a key of a member."""
    owner_key: str


@dataclass
class World:
    """Two projects of one organization, and one of another."""

    s: Serving
    ours: Owned
    theirs: Owned
    foreign: Owned
    deleted: Owned

    async def ask(
        self, method: str, path: str, key: str, body: Any = None, query: dict[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and body of an answer."""
        options: dict[str, Any] = {"headers": {"Authorization": f"Bearer {key}"}, "params": query or {}}
        if body is not None:
            options["json"] = body
        async with self.s.http.request(method, self.s.url + path, **options) as answer:
            return answer.status, await answer.text()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with serving(admin_key=ADMIN_KEY, prices=free("scripted")) as s:
        accounts = s.engine.accounts
        other = Organization(id=OTHER, name="Other", created_at=1.0)
        owner = User(id="user-other", organization=OTHER, email="o@other.example", role="owner", added_at=1.0)
        await accounts.store.write(Change([other, owner]), accounts.directory.revision)
        await accounts.refresh()
        stranger = msgspec.structs.replace(OPEN, organization=OTHER)
        ours = await project(s, OPEN, "ours")
        yield World(
            s, ours, await project(s, OPEN, "theirs"), await project(s, stranger, "foreign"), await gone(s, ours)
        )


async def project(s: Serving, by: Principal, name: str) -> Owned:
    def make(edit):
        made = act.create_project(edit, name)
        edit.directory = edit.directory.after(edit.change())
        bot, boss = (act.create_account(edit, made.id, f"{name} {role}", role) for role in ("member", "owner"))
        member = act.add_member(edit, made.id, "member", None, f"{name}@example.com")
        keys = [act.create_key(edit, made.id, account, account.name) for account in (bot, boss)]
        admin = act.create_admin_key(edit, f"{name} ops")
        spending.set_spend_limit(edit, "project", made.id, LIMIT)
        ids = {
            "alert_id": spending.put_alert(edit, "project", made.id, ALERT).id,
            "rate_limit_id": "rl-scripted",
            "project_id": made.id,
            "service_account_id": bot.id,
            "user_id": member.user,
            "api_key_id": keys[0].key.id,
            "key_id": admin.key.id,
        }
        return Owned(ids, keys[0].value, keys[1].value)

    owned = await s.engine.accounts.edit(by, make)
    owned.ids["response_id"] = await response(s, owned.key)
    return owned


async def response(s: Serving, key: str) -> str:
    body = {"model": "scripted", "input": "Hi."}
    status, made, _ = await s.ask("POST", "/v1/responses", body, headers={"Authorization": f"Bearer {key}"})
    assert status == 200, made
    return str(made["id"])


async def gone(s: Serving, ours: Owned) -> Owned:
    """What was in our project once."""
    own = ours.ids["project_id"]

    def make(edit):
        account = act.create_account(edit, own, "gone")
        member = act.add_member(edit, own, "member", None, "gone@example.com")
        key, admin = act.create_key(edit, own, account, "gone"), act.create_admin_key(edit, "gone")
        return {
            "alert_id": spending.put_alert(edit, "project", own, ALERT).id,
            "service_account_id": account.id,
            "user_id": member.user,
            "api_key_id": key.key.id,
            "key_id": admin.key.id,
        }

    def unmake(edit):
        act.revoke_key(edit, own, ids["api_key_id"])
        act.delete_account(edit, own, ids["service_account_id"])
        act.delete_user(edit, ids["user_id"])
        act.revoke_key(edit, None, ids["key_id"])
        spending.delete_alert(edit, "project", own, ids["alert_id"])

    ids = await s.engine.accounts.edit(OPEN, make)
    await s.engine.accounts.edit(OPEN, unmake)
    ids["response_id"] = await response(s, ours.key)
    path = f"/v1/responses/{ids['response_id']}"
    await s.ask("DELETE", path, headers={"Authorization": f"Bearer {ours.key}"})
    return Owned(ids, "", "")


# No id tells anything

RESPONSES = {
    "/v1/responses/{response_id}": {"GET": None, "DELETE": None},
    "/v1/responses/{response_id}/cancel": {"POST": None},
    "/v1/responses/{response_id}/input_items": {"GET": None},
}
OPERATIONS = [(method, path) for table in (RESPONSES, ADMIN) for path, rows in table.items() for method in rows]
FIELDS = ("project_id", "service_account_id", "user_id", "api_key_id", "key_id", "response_id", "alert_id")
IN_PATHS = [(m, path, field) for m, path in OPERATIONS for field in FIELDS if f"{{{field}}}" in path]
IN_PATHS = [each for each in IN_PATHS if each[2] != "alert_id" or "{project_id}" in each[1]]
"""Without those to which no alert of a project belongs: there none of them is known."""

BODIES: dict[str, Any] = {
    "/v1/organization/projects/{project_id}": {"name": "x"},
    "/v1/organization/projects/{project_id}/model_permissions": {"mode": "deny_list", "model_ids": []},
    "/v1/organization/projects/{project_id}/service_accounts": {"name": "x"},
    "/v1/organization/projects/{project_id}/users": {"email": "x@example.com", "role": "member"},
    "/v1/organization/projects/{project_id}/spend_limit": msgspec.to_builtins(LIMIT),
    "/v1/organization/projects/{project_id}/spend_alerts": msgspec.to_builtins(ALERT),
    "/v1/organization/projects/{project_id}/spend_alerts/{alert_id}": msgspec.to_builtins(ALERT),
}

UNKNOWN = {
    "project_id": "proj_" + "0" * 24,
    "service_account_id": "svc_acct_" + "0" * 24,
    "user_id": "user-" + "0" * 24,
    "api_key_id": "key_" + "0" * 24,
    "key_id": "key_" + "0" * 24,
    "response_id": "resp_" + "0" * 40,
    "alert_id": "alert_" + "0" * 24,
}
MALFORMED = ("x", "' OR 1=1; --", "…é\u202e", "a" * 300, "default\x00", "[object Object]")


def spelled(path: str, ids: dict[str, str]) -> str:
    """A path with ids in it."""
    return path.replace(":path}", "}").format(**ids)


def callers(w: World, path: str) -> list[str]:
    if path in RESPONSES:
        return [w.ours.key]
    return [ADMIN_KEY, *([w.ours.owner_key] if "{project_id}" in path else [])]


def ids_of_others(w: World, key: str, field: str) -> list[str]:
    of_admin = key == ADMIN_KEY and field in ("project_id", "user_id", "key_id")
    owned = [w.foreign, w.deleted] if of_admin else [w.theirs, w.foreign, w.deleted]
    return [each.ids[field] for each in owned if field in each.ids]


def without(text: str, given: str) -> str:
    """An answer without the id that it repeats."""
    spelled = json.dumps(given, ensure_ascii=False)[1:-1]
    return text.replace(spelled, "ID").replace(spelled[:100], "ID") if spelled else text


@pytest.mark.parametrize(("method", "path", "field"), IN_PATHS, ids=[" ".join(each) for each in IN_PATHS])
async def test_an_id_that_is_not_ours_is_answered_as_one_that_never_was(
    world: World, method: str, path: str, field: str
):
    body = BODIES.get(path, {}) if method == "POST" and not path.endswith(("archive", "cancel")) else None

    async def answer(key: str, given: str) -> tuple[int, str]:
        ids = {**world.ours.ids, field: given}
        filled = spelled(path, {name: quote(value, safe="") for name, value in ids.items()})
        status, text = await world.ask(method, filled, key, body)
        return status, without(text, given)

    for key in callers(world, path):
        expected = await answer(key, UNKNOWN[field])
        assert expected[0] == 404
        for given in [*ids_of_others(world, key, field), *MALFORMED]:
            assert await answer(key, given) == expected, given
    assert (await answer(callers(world, path)[0], world.ours.ids[field]))[0] != 404


async def test_an_alert_of_a_project_is_none_of_the_organizations(world: World):
    path = f"/v1/organization/spend_alerts/{world.ours.ids['alert_id']}"
    for method, body in ("GET", None), ("POST", msgspec.to_builtins(ALERT)), ("DELETE", None):
        assert (await world.ask(method, path, ADMIN_KEY, body))[0] == 404
    assert world.ours.ids["alert_id"] in world.s.engine.accounts.directory.alerts


BODY_FIELDS = [
    ("/v1/responses", "response_id", lambda i: {"model": "scripted", "input": "Hi.", "previous_response_id": i}),
    (
        "/v1/responses",
        "response_id",
        lambda i: {
            "model": "scripted",
            "input": [{"type": "item_reference", "id": f"msg_{i.removeprefix('resp_')}0000"}],
        },
    ),
    (
        "/v1/responses/input_tokens",
        "response_id",
        lambda i: {"model": "scripted", "input": "Hi.", "previous_response_id": i},
    ),
    (
        "/v1/organization/projects/{project_id}/users",
        "user_id",
        lambda i: {"user_id": i, "role": "member"},
    ),
    ("/v1/organization/projects/{project_id}/api_keys", "user_id", lambda i: {"user_id": i}),
]


@pytest.mark.parametrize(
    ("path", "field", "body"), BODY_FIELDS, ids=[f"{p} {n}" for n, (p, *_) in enumerate(BODY_FIELDS)]
)
async def test_an_id_in_a_body_that_is_not_ours_is_answered_as_one_that_never_was(world: World, path, field, body):
    key = world.ours.key if path.startswith("/v1/responses") else ADMIN_KEY
    filled = spelled(path, world.ours.ids)

    async def answer(given: str) -> tuple[int, str]:
        status, text = await world.ask("POST", filled, key, body(given))
        return status, without(text, given.removeprefix("resp_"))

    expected = await answer(UNKNOWN[field])
    assert expected[0] in (400, 404)
    for given in ids_of_others(world, key, field):
        assert await answer(given) == expected, given
    assert (await answer(world.ours.ids[field]))[0] == 200


LISTS = [
    ("/v1/organization/projects", "project_id"),
    ("/v1/organization/projects/{project_id}/api_keys", "api_key_id"),
    ("/v1/organization/projects/{project_id}/service_accounts", "service_account_id"),
    ("/v1/organization/projects/{project_id}/users", "user_id"),
    ("/v1/organization/users", "user_id"),
    ("/v1/organization/admin_api_keys", "key_id"),
]


@pytest.mark.parametrize("cursor", ["after", "before"])
@pytest.mark.parametrize(("path", "field"), LISTS, ids=[path for path, _ in LISTS])
async def test_a_list_holds_nothing_of_others_and_takes_no_cursor_of_theirs(world: World, path, field, cursor):
    filled = spelled(path, world.ours.ids)

    async def answer(given: str) -> tuple[int, str]:
        status, text = await world.ask("GET", filled, ADMIN_KEY, query={cursor: given})
        return status, without(text, given)

    _, listed = await world.ask("GET", filled, ADMIN_KEY, query={"limit": "100"})
    for others in ids_of_others(world, ADMIN_KEY, field):
        assert others not in listed
    assert world.ours.ids[field] in listed
    expected = await answer(UNKNOWN[field])
    assert expected[0] == 400
    for given in ids_of_others(world, ADMIN_KEY, field):
        assert await answer(given) == expected


async def test_the_audit_log_of_one_organization_is_none_of_another(world: World):
    status, text = await world.ask("GET", "/v1/organization/audit_logs", ADMIN_KEY, query={"limit": "100"})
    assert status == 200
    assert world.ours.ids["project_id"] in text
    assert not [each for each in world.foreign.ids.values() if each in text]
    foreign = await world.s.engine.accounts.store.audit(AuditQuery(organization=OTHER))
    unknown = await world.ask("GET", "/v1/organization/audit_logs", ADMIN_KEY, query={"after": "audit_log-0"})
    given = foreign[0].id
    told = await world.ask("GET", "/v1/organization/audit_logs", ADMIN_KEY, query={"after": given})
    assert (told[0], without(told[1], given)) == (unknown[0], without(unknown[1], "audit_log-0"))


# Rights


async def test_each_route_of_the_admin_api_needs_its_right_and_a_member_has_none(world: World):
    for path, rows in ADMIN.items():
        for method, (action, _) in rows.items():
            assert action not in RIGHTS["project.member"]
            status, text = await world.ask(method, spelled(path, world.ours.ids), world.ours.key, {})
            assert status == 403, (method, path)
            assert json.loads(text)["error"]["code"] == "insufficient_permissions"
            status, _ = await world.ask(method, spelled(path, world.ours.ids), "sk-antiphon-" + "A" * 43, {})
            assert status == 401


async def test_a_projects_owner_administers_the_own_project_and_not_the_organization(world: World):
    own = f"/v1/organization/projects/{world.ours.ids['project_id']}"
    assert (await world.ask("GET", own, world.ours.owner_key))[0] == 200
    assert (await world.ask("POST", own, world.ours.owner_key, {"name": "Find"}))[0] == 200
    for path in ("projects", "users", "admin_api_keys", "audit_logs"):
        assert (await world.ask("GET", f"/v1/organization/{path}", world.ours.owner_key))[0] == 403


async def test_an_admin_key_reads_nothing_that_a_project_keeps(world: World):
    for method, path in OPERATIONS[:4]:
        assert (await world.ask(method, spelled(path, world.ours.ids), ADMIN_KEY))[0] == 403


async def test_headers_that_do_not_fit_the_key_are_refused(world: World):
    for header, value, code in (
        ("OpenAI-Organization", "org-x", "mismatched_organization"),
        ("OpenAI-Project", world.theirs.ids["project_id"], "mismatched_project"),
        ("OpenAI-Project", "proj_unknown", "mismatched_project"),
    ):
        headers = {"Authorization": f"Bearer {world.ours.key}", header: value}
        status, body, _ = await world.s.ask("GET", "/v1/models", headers=headers)
        assert (status, body["error"]["code"]) == (401, code)
    good = {"OpenAI-Organization": "default", "OpenAI-Project": world.ours.ids["project_id"]}
    status, _, _ = await world.s.ask("GET", "/v1/models", headers={"Authorization": f"Bearer {world.ours.key}", **good})
    assert status == 200


async def test_a_key_that_is_none_is_answered_the_same_wherever_it_is_sent(world: World):
    wrong = [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic " + world.ours.key.encode(),
        world.ours.key.encode(),
        b"Bearer \xff\xfe",
    ]
    wrong += [
        b"Bearer " + world.ours.key.encode() + b"x",
        b"Bearer ' OR 1=1 --",
        b"Bearer %s%n",
        b"Bearer " + b"k" * 20_000,
    ]
    answers = set()
    for given in wrong:
        head = b"Host: 127.0.0.1\r\nAuthorization: " + given + b"\r\n"
        answer = await ask(world.s.port, b"GET /v1/models HTTP/1.1\r\n" + head + b"\r\n")
        answers.add((answer.status, answer.body, answer.header("www-authenticate")))
    assert len(answers) == 1
    assert next(iter(answers))[0] == 401


async def test_a_hostile_authorization_or_host_reaches_no_log_and_no_table(
    world: World, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    evil = b"Bearer x'); DROP TABLE api_keys; --\x1b[2J"
    for head in (b"Host: 127.0.0.1\r\nAuthorization: " + evil, b"Host: x/?\x1b[31m'--\r\nAuthorization: Bearer x"):
        answer = await ask(world.s.port, b"GET /v1/models HTTP/1.1\r\n" + head + b"\r\n\r\n")
        assert answer.status in (400, 401)
        assert b"\x1b" not in answer.body
    lines = "\n".join(OneLine("%(message)s").format(record) for record in caplog.records)
    assert "DROP TABLE" not in lines
    assert "\x1b" not in lines
    assert (await world.ask("GET", "/v1/models", world.ours.key))[0] == 200


async def test_a_malformed_authorization_costs_no_more_than_its_hash(world: World):
    """What is sent is hashed and looked up; nothing is read for it, so nothing is read for a flood of it."""
    looks = []
    store = world.s.engine.accounts.store
    original, store.load = store.load, lambda: looks.append(1) or original()
    await asyncio.gather(*(world.ask("GET", "/v1/models", f"sk-antiphon-{n}") for n in range(20)))
    assert not looks


async def test_metrics_are_of_all_projects_so_the_key_of_one_does_not_do(world: World):
    assert (await world.ask("GET", "/metrics", world.ours.key))[0] == 403
    assert (await world.ask("GET", "/metrics", world.ours.owner_key))[0] == 403
    assert (await world.ask("GET", "/metrics", ADMIN_KEY))[0] == 404  # switched off in this server, but allowed
    assert (await ask(world.s.port, request("GET", "/metrics"))).status == 401


async def test_without_a_key_a_header_says_which_project_a_request_is_for():
    async with serving() as s:
        made = await s.engine.accounts.edit(OPEN, lambda edit: act.create_project(edit, "Search"))
        header = {"OpenAI-Project": made.id}
        body = {"model": "scripted", "input": "Hi."}
        _, answer, _ = await s.ask("POST", "/v1/responses", body, headers=header)
        assert (await s.ask("GET", f"/v1/responses/{answer['id']}", headers=header))[0] == 200
        assert (await s.ask("GET", f"/v1/responses/{answer['id']}"))[0] == 404
