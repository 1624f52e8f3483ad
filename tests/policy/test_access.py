"""Who may do what; permissions of projects; the form of keys."""

from __future__ import annotations

import re
from fnmatch import translate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.policy.access import (
    ACTIONS,
    ALL,
    RIGHTS,
    STATUS,
    HostedToolPermissions,
    ModelPermissions,
    Principal,
    format_key,
    hashed,
    redact,
    redacted,
    why_foreign,
    why_not,
)

NOW = 1_796_000_000.0

PROJECT_KEY = Principal(organization="org_1", project="proj_1", kind="user", role="project.owner", key_id="key_1")
ADMIN_KEY = Principal(organization="org_1", project=None, kind="admin", role="organization.owner", key_id="key_2")
OPEN = Principal(organization="org_1", project=None, kind="open", role="open")


def holder(role: str, **more: object) -> Principal:
    project = "proj_1" if role.startswith("project") else None
    return Principal(organization="org_1", project=project, kind="user", role=role, **more)


def reason(principal: Principal, action: str, project: str | None = None, now: float = NOW) -> str | None:
    denied = why_not(principal, action, now, project)
    return denied and denied.reason


# Roles and scopes


def test_every_action_is_described_and_allowed_to_somebody():
    assert set(ACTIONS) == ALL
    assert set().union(*(rights for role, rights in RIGHTS.items() if role != "open")) == ALL


@pytest.mark.parametrize(
    ("role", "may_do", "may_not_do"),
    [
        ("organization.owner", {"admin.write", "audit.read", "usage.read"}, {"responses.write", "files.read"}),
        ("organization.reader", {"admin.read", "usage.read"}, {"admin.write", "audit.read", "models.read"}),
        ("project.owner", {"responses.write", "webhooks.write", "models.read"}, {"audit.read"}),
        ("project.member", {"responses.write", "files.write"}, {"admin.read", "webhooks.write", "usage.read"}),
        ("project.viewer", {"responses.read", "models.read"}, {"responses.write", "embeddings.write", "admin.read"}),
        ("open", ALL, set()),
    ],
)
def test_a_role_allows_what_its_row_says(role, may_do, may_not_do):
    assert {reason(holder(role), action) for action in may_do} == {None}
    assert {reason(holder(role), action) for action in may_not_do} <= {"role"}


def test_who_may_write_may_read():
    for rights in RIGHTS.values():
        assert {action.replace(".write", ".read") for action in rights if action.endswith(".write")} & ALL <= rights


def test_a_key_does_what_its_scopes_and_its_role_both_allow():
    narrow = holder("project.member", scopes=frozenset({"responses.read", "admin.write"}))
    assert reason(narrow, "responses.read") is None
    assert reason(narrow, "responses.write") == "scope"
    assert reason(narrow, "admin.write", "proj_1") == "role"


def test_a_key_without_any_scope_is_good_for_nothing():
    assert {reason(holder("open", scopes=frozenset()), action) for action in ALL} == {"scope"}


def test_an_expired_key_is_good_for_nothing():
    key = holder("open", expires_at=NOW)
    assert reason(key, "models.read", now=NOW - 0.001) is None
    assert reason(key, "models.read") == "expired"


def test_a_projects_owner_administers_that_project_only():
    assert reason(PROJECT_KEY, "admin.write", "proj_1") is None
    assert reason(PROJECT_KEY, "admin.write", "proj_2") == "foreign"
    assert reason(PROJECT_KEY, "admin.write") == "role"
    assert reason(PROJECT_KEY, "usage.read") == "role"


def test_a_foreign_project_is_foreign_for_whatever_is_done_to_it():
    assert {reason(PROJECT_KEY, action, "proj_2") for action in RIGHTS["project.owner"]} == {"foreign"}


def test_an_admin_key_administers_all_projects_and_calls_no_model():
    assert reason(ADMIN_KEY, "admin.write") is None
    assert reason(ADMIN_KEY, "admin.write", "proj_2") is None
    assert reason(ADMIN_KEY, "responses.write", "proj_1") == "role"


@given(
    st.sampled_from(sorted(RIGHTS)),
    st.none() | st.frozensets(st.sampled_from(sorted(ALL))),
    st.sampled_from(sorted(ALL)),
    st.sampled_from([None, "proj_1", "proj_2"]),
)
def test_scopes_only_take_away(role, scopes, action, project):
    if reason(holder(role, scopes=scopes), action, project) is None:
        assert reason(holder(role), action, project) is None
        assert scopes is None or action in scopes
        assert project != "proj_2" or not role.startswith("project")


def test_headers_that_name_others_do_not_fit_the_key():
    assert why_foreign(PROJECT_KEY, None, None) is None
    assert why_foreign(PROJECT_KEY, "", "") is None
    assert why_foreign(PROJECT_KEY, "org_1", "proj_1") is None
    assert why_foreign(PROJECT_KEY, "org_2", "proj_1").reason == "organization"
    assert why_foreign(PROJECT_KEY, "org_1", "proj_2").reason == "project"
    assert why_foreign(ADMIN_KEY, "org_1", "proj_2") is None
    assert why_foreign(OPEN, "org_2", None).reason == "organization"


def test_every_denial_has_a_status_and_names_nobody_else():
    expired = holder("project.member", expires_at=0.0)
    denials = [
        why_not(expired, "models.read", NOW),
        why_not(PROJECT_KEY, "audit.read", NOW),
        why_not(holder("open", scopes=frozenset()), "models.read", NOW),
        why_not(PROJECT_KEY, "admin.read", NOW, "proj_2"),
        why_foreign(PROJECT_KEY, "org_2", None),
        why_foreign(PROJECT_KEY, None, "proj_2"),
    ]
    assert [denied.reason for denied in denials] == ["expired", "role", "scope", "foreign", "organization", "project"]
    assert [STATUS[denied.reason] for denied in denials] == [401, 403, 403, 404, 401, 401]
    assert not any("_2" in denied.message for denied in denials)


# Models and hosted tools


def test_by_default_a_project_may_use_all_models_and_tools():
    assert ModelPermissions().allows("gpt-5")
    assert all(HostedToolPermissions().allows(tool) for tool in ("mcp", "web_search", "function"))


def test_an_allow_list_allows_what_it_lists_and_a_deny_list_the_rest():
    models = ("gpt-5", "gpt-5-mini-*")
    allow, deny = ModelPermissions("allow_list", models), ModelPermissions("deny_list", models)
    assert [allow.allows(name) for name in ("gpt-5", "gpt-5-mini-2025", "gpt-5-mini", "GPT-5")] == [
        True,
        True,
        False,
        False,
    ]
    assert [deny.allows(name) for name in ("gpt-5", "gpt-5-mini-2025", "gpt-5-mini")] == [False, False, True]
    assert not ModelPermissions("allow_list").allows("gpt-5")


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
@example("ab*ba", "aba")
def test_a_star_stands_for_any_characters(pattern, name):
    assert ModelPermissions("allow_list", (pattern,)).allows(name) == bool(re.match(translate(pattern), name))


def test_other_characters_of_a_pattern_stand_for_themselves():
    models = ModelPermissions("allow_list", ("a.b", "[x]*", "q?"))
    assert [models.allows(name) for name in ("a.b", "aXb", "[x]y", "xy", "q?", "qq")] == [True, False] * 3


def test_a_pattern_of_many_stars_is_soon_refused():
    assert not ModelPermissions("allow_list", ("*a" * 5000 + "*b",)).allows("a" * 100_000)


@pytest.mark.parametrize(
    ("permission", "tools"),
    [
        ("code_interpreter", ["code_interpreter"]),
        ("file_search", ["file_search"]),
        ("image_generation", ["image_generation"]),
        ("mcp", ["mcp"]),
        (
            "web_search",
            ["web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"],
        ),
    ],
)
def test_a_hosted_tool_that_is_switched_off_is_refused_under_all_its_names(permission, tools):
    every = {"code_interpreter", "file_search", "image_generation", "mcp", "web_search", "function", "custom"}
    permissions = HostedToolPermissions(**{permission: False})
    assert not any(permissions.allows(tool) for tool in tools)
    assert all(permissions.allows(tool) for tool in every - set(tools))


# Keys


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["project", "admin"]))
def test_a_key_says_what_it_is_for(secret, kind):
    prefix = "sk-antiphon-admin-" if kind == "admin" else "sk-antiphon-"
    assert re.fullmatch(prefix + r"[A-Za-z0-9_-]{43}", format_key(secret, kind))


def test_different_secrets_make_different_keys():
    assert format_key(bytes(32)) != format_key(bytes(31) + b"\1")
    assert format_key(bytes(32)) != format_key(bytes(32), "admin")


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_key_is_made_of_256_bits(size):
    with pytest.raises(ValueError, match="32 bytes"):
        format_key(bytes(size))


def test_a_hash_is_sha_256():
    assert hashed(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_what_is_shown_of_a_key():
    key = format_key(bytes(range(32)))
    assert redacted(key) == f"sk-ant...{key[-4:]}"
    assert redacted("my own short key") == "..."


@given(st.binary(min_size=32, max_size=32), st.sampled_from(["project", "admin"]), st.text(" .:\"'=", min_size=1))
def test_no_key_stands_in_a_redacted_text(secret, kind, between):
    key = format_key(secret, kind)
    assert redact(f"Bearer{between}{key}{between}end") == f"Bearer{between}{redacted(key)}{between}end"


def test_words_that_are_no_keys_stay():
    text = "task-management-for-everybody-in-the-team and sk-learn"
    assert redact(text) == text


def test_a_later_spelling_of_a_hosted_tool_needs_the_same_permission():
    denied = HostedToolPermissions(web_search=False)
    assert not denied.allows("web_search_preview_2027_01_01")
    assert denied.allows("web_searcher")
    assert denied.allows("mcp")
