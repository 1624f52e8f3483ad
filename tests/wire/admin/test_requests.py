"""Requests: the SDK's parameters are all there, what was sent is what is read, and what is wrong is named."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import OpenAI
from openai.types.admin import organization as org
from openai.types.admin.organization import projects as proj
from openai.types.admin.organization.projects.service_accounts.api_key_create_params import APIKeyCreateParams

from antiphon.wire.admin import audit, keys, limits, paging, people, permissions, projects, spend, usage, usage_query
from antiphon.wire.admin.fields import ModelName, Name
from antiphon.wire.admin.request import AdminRequest, decode_body, decode_query
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.struct import encode
from tests.wire import sdk
from tests.wire.admin import strategies
from tests.wire.strategies import JSON, TEXT

BODIES: dict[type[AdminRequest], list[Any]] = {
    projects.CreateProject: [org.ProjectCreateParams],
    projects.UpdateProject: [org.ProjectUpdateParams],
    keys.UpdateProjectAPIKey: [proj.APIKeyUpdateParams],
    keys.CreateServiceAccountAPIKey: [APIKeyCreateParams],
    keys.CreateProjectAPIKey: [APIKeyCreateParams],
    keys.CreateAdminAPIKey: [org.AdminAPIKeyCreateParams],
    people.CreateServiceAccount: [proj.ServiceAccountCreateParams],
    people.UpdateServiceAccount: [proj.ServiceAccountUpdateParams],
    people.CreateProjectUser: [proj.UserCreateParams],
    people.UpdateProjectUser: [proj.UserUpdateParams],
    people.UpdateOrganizationUser: [org.UserUpdateParams],
    permissions.UpdateModelPermissions: [proj.ModelPermissionUpdateParams],
    permissions.UpdateHostedToolPermissions: [proj.HostedToolPermissionUpdateParams],
    limits.UpdateProjectRateLimit: [proj.RateLimitUpdateRateLimitParams],
    spend.UpdateSpendLimit: [org.SpendLimitUpdateParams, proj.SpendLimitUpdateParams],
    spend.SpendAlertRequest: [
        *(org.SpendAlertCreateParams, org.SpendAlertUpdateParams),
        *(proj.SpendAlertCreateParams, proj.SpendAlertUpdateParams),
    ],
}
QUERIES: dict[type[AdminRequest], list[Any]] = {
    paging.ListQuery: [org.AdminAPIKeyListParams, proj.UserListParams, proj.ServiceAccountListParams],
    projects.ProjectsQuery: [org.ProjectListParams],
    keys.ProjectAPIKeysQuery: [proj.APIKeyListParams],
    people.OrganizationUsersQuery: [org.UserListParams],
    limits.ProjectRateLimitsQuery: [proj.RateLimitListRateLimitsParams],
    spend.SpendAlertsQuery: [org.SpendAlertListParams, proj.SpendAlertListParams],
    audit.AuditLogsQuery: [org.AuditLogListParams],
    usage_query.CompletionsQuery: [org.UsageCompletionsParams, org.UsageDecisionsParams],
    usage_query.ModelQuery: [org.UsageEmbeddingsParams, org.UsageModerationsParams],
    usage_query.AudioQuery: [org.UsageAudioSpeechesParams, org.UsageAudioTranscriptionsParams],
    usage_query.ImagesQuery: [org.UsageImagesParams],
    usage_query.ProjectQuery: [org.UsageVectorStoresParams, org.UsageCodeInterpreterSessionsParams],
    usage_query.FileSearchCallsQuery: [org.UsageFileSearchCallsParams],
    usage_query.WebSearchCallsQuery: [org.UsageWebSearchCallsParams],
    usage_query.CostsQuery: [org.UsageCostsParams],
}
OURS_ALONE: dict[type[AdminRequest], set[str]] = {
    keys.CreateProjectAPIKey: {"user_id"},
    limits.UpdateProjectRateLimit: {"max_tokens_per_1_day"},
    **{query: {"after", "before", "limit", "order"} for query in QUERIES if issubclass(query, paging.ListQuery)},
}
BOTH = [(struct, kind) for table in (BODIES, QUERIES) for struct, kinds in table.items() for kind in kinds]
NAMES = [f"{struct.__name__}-{kind.__name__}" for struct, kind in BOTH]


# The SDK's parameters


@pytest.mark.parametrize(("struct", "kind"), BOTH, ids=NAMES)
def test_a_request_has_the_parameters_of_the_sdk_and_none_without_reason(struct: Any, kind: Any) -> None:
    mine, theirs = sdk.ours(struct).keys(), sdk.fields(kind).keys() - {"project_id"}
    assert theirs <= mine
    assert mine - theirs <= OURS_ALONE.get(struct, set())


@pytest.mark.parametrize(("struct", "kind"), BOTH, ids=NAMES)
def test_a_request_must_have_what_the_sdk_must_send(struct: Any, kind: Any) -> None:
    needed = {field.encode_name for field in msgspec.structs.fields(struct) if field.required}
    assert needed == sdk.required(kind) - {"project_id"}


@pytest.mark.parametrize(("struct", "kind"), BOTH, ids=NAMES)
def test_a_parameter_takes_each_word_that_the_sdk_lets_one_send(struct: Any, kind: Any) -> None:
    mine = sdk.ours(struct)
    for name, hint in sdk.fields(kind).items():
        words = sdk.literals(hint)
        if name != "project_id" and words and name not in struct.unserved:
            assert words <= sdk.literals(mine[name]), name


@pytest.mark.parametrize(("struct", "kind"), BOTH, ids=NAMES)
def test_a_report_can_be_grouped_by_what_the_sdk_groups_by(struct: Any, kind: Any) -> None:
    if issubclass(struct, usage_query.UsageQuery):
        assert set(struct.groups) == set(listed_words(sdk.fields(kind)["group_by"]))
        assert set(struct.counts) == sdk.literals(sdk.fields(kind)["bucket_width"])


def listed_words(hint: Any) -> list[Any]:
    """The words of a list of literals, however deep it stands."""
    inner = getattr(hint, "__args__", ())
    words = [word for one in inner for word in (listed_words(one) if hasattr(one, "__args__") else [one])]
    return [word for word in words if isinstance(word, str)]


def test_the_log_can_be_searched_for_every_type_that_the_sdk_has() -> None:
    types = listed_words(sdk.fields(org.AuditLogListParams)["event_types"])
    fields = [("event_types[]", word) for word in types]
    assert decode_query(fields, audit.AuditLogsQuery).event_types == types
    assert {word for word in types if not word.startswith("tenant.")} == audit.EVENT_TYPES


def test_every_request_is_held_against_the_sdk() -> None:
    modules = (audit, keys, limits, paging, people, permissions, projects, spend, usage_query)
    public = [getattr(module, name) for module in modules for name in module.__all__]
    requests = {one for one in public if isinstance(one, type) and issubclass(one, AdminRequest)}
    abstract = {usage_query.UsageQuery, usage_query.CallerQuery, audit.EffectiveAt}
    assert requests - abstract == BODIES.keys() | QUERIES.keys()


def test_each_report_has_the_query_that_is_held_against_the_sdk() -> None:
    for report in (*usage.REPORTS.values(), usage.COSTS):
        assert report.query in QUERIES


# What was sent is what is read

DEPENDENT: dict[type[AdminRequest], dict[str, Any]] = {
    people.CreateServiceAccount: {"create_service_account_only": st.sampled_from([None, False])},
    people.CreateProjectUser: {"email": st.none(), "user_id": st.text(min_size=1, max_size=8)},
}


def any_body(struct: type[AdminRequest]) -> st.SearchStrategy[Any]:
    unserved = dict.fromkeys(struct.unserved, st.none())
    return strategies.structs(struct, **DEPENDENT.get(struct, {}), **unserved)


@pytest.mark.parametrize("struct", BODIES, ids=lambda struct: struct.__name__)
@given(data=st.data())
def test_any_body_comes_back_as_it_was_sent(struct: type[AdminRequest], data: st.DataObject) -> None:
    sent = data.draw(any_body(struct))
    assert decode_body(encode(sent), struct) == sent
    nulls = {name: None for name, value in msgspec.structs.asdict(sent).items() if value is None}
    assert decode_body(json.dumps(json.loads(encode(sent)) | nulls).encode(), struct) == sent


IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
FROM, UNTIL = st.integers(0, 10**9), st.none() | st.integers(10**9 + 1, 2**31)
RANGES = strategies.structs(audit.EffectiveAt).filter(lambda at: at != audit.EffectiveAt())
SEARCHED = {"event_types": st.lists(st.sampled_from(sorted(audit.EVENT_TYPES))), "effective_at": st.none() | RANGES}


def any_query(struct: type[AdminRequest]) -> st.SearchStrategy[Any]:
    if issubclass(struct, usage_query.UsageQuery):
        groups, count = st.lists(st.sampled_from(struct.groups), unique=True), st.none() | st.integers(1, 31)
        times = {
            "start_time": FROM,
            "end_time": UNTIL,
            "page": st.none(),
            "bucket_width": st.sampled_from(list(struct.counts)),
        }
        return strategies.structs(struct, **times, limit=count, group_by=groups)
    return strategies.structs(struct, **(SEARCHED if struct is audit.AuditLogsQuery else {}))


SDK_QUERY = OpenAI(api_key="none").qs


@pytest.mark.parametrize("struct", QUERIES, ids=lambda struct: struct.__name__)
@given(data=st.data())
def test_any_query_is_read_as_the_sdk_writes_it(struct: type[AdminRequest], data: st.DataObject) -> None:
    sent = data.draw(any_query(struct))
    written = SDK_QUERY.stringify(msgspec.to_builtins(sent))
    assert decode_query(parse_qsl(written, keep_blank_values=True), struct) == sent


@given(st.lists(IDS, max_size=3))
def test_a_list_is_read_with_brackets_without_and_with_numbers(ids: list[str]) -> None:
    forms = (
        [("emails[]", one) for one in ids],
        [("emails", one) for one in ids],
        [(f"emails[{n}]", one) for n, one in enumerate(ids)],
    )
    assert [decode_query(form, people.OrganizationUsersQuery).emails for form in forms] == [ids] * 3


def test_text_that_looks_like_a_number_stays_text_where_text_is_expected() -> None:
    query = decode_query([("after", "123"), ("emails", "true")], people.OrganizationUsersQuery)
    assert (query.after, query.emails) == ("123", ["true"])


def test_of_a_field_that_is_sent_twice_the_last_one_counts() -> None:
    assert decode_query([("limit", "1"), ("limit", "2")], paging.ListQuery).limit == 2


# What is wrong is named

KEYS = st.sampled_from(
    [
        "limit",
        "after",
        "event_types",
        "event_types[]",
        "effective_at",
        "effective_at[gt]",
        "effective_at[x]",
        "[]",
        "x[",
    ]
)


def refusal_of(decode: Any, sent: Any, struct: type[AdminRequest]) -> InvalidRequest | None:
    """The error, None if there is none; any other exception fails the test."""
    try:
        decode(sent, struct)
    except InvalidRequest as refusal:
        return refusal
    return None


@given(st.lists(st.tuples(KEYS | TEXT, TEXT | st.sampled_from(["1", "-1", "true"]))))
def test_any_query_is_read_or_refused_by_name(fields: list[tuple[str, str]]) -> None:
    refusal = refusal_of(decode_query, fields, audit.AuditLogsQuery)
    assert refusal is None or (refusal.param is not None and refusal.message)


@pytest.mark.parametrize("struct", BODIES, ids=lambda struct: struct.__name__)
@given(body=st.binary(max_size=20) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_read_or_refused(struct: type[AdminRequest], body: bytes) -> None:
    refusal = refusal_of(decode_body, body, struct)
    assert refusal is None or refusal.code


def refused(decode: Any, sent: Any, struct: type[AdminRequest]) -> tuple[str | None, str | None, str]:
    with pytest.raises(InvalidRequest) as refusal:
        decode(sent, struct)
    return refusal.value.param, refusal.value.code, refusal.value.message


ALERT = {
    "currency": "USD",
    "interval": "month",
    "threshold_amount": 1,
    "notification_channel": {"type": "email", "recipients": ["a@b.example"]},
}


def channel(**changed: Any) -> dict[str, Any]:
    return ALERT | {"notification_channel": ALERT["notification_channel"] | changed}


BAD_BODIES: list[tuple[type[AdminRequest], Any, str | None, str]] = [
    (projects.CreateProject, {}, "name", "missing_required_parameter"),
    (projects.CreateProject, [], None, "invalid_type"),
    (projects.CreateProject, {"name": ""}, "name", "empty_string"),
    (projects.CreateProject, {"name": "x" * 256}, "name", "string_above_max_length"),
    (projects.CreateProject, {"name": "a\u001b[2J"}, "name", "invalid_value"),
    (projects.CreateProject, {"name": "a\n"}, "name", "invalid_value"),
    (projects.CreateProject, {"name": "a", "nmae": "b"}, "nmae", "unknown_parameter"),
    (projects.CreateProject, {"name": "a", "geography": "EU"}, "geography", "unsupported_parameter"),
    (projects.CreateProject, {"name": "a", "residency": "GLOBAL"}, "residency", "unsupported_parameter"),
    (projects.UpdateProject, {"external_key_id": "k"}, "external_key_id", "unsupported_parameter"),
    (keys.CreateAdminAPIKey, {"name": "a", "expires_in_seconds": 0}, "expires_in_seconds", "integer_below_min_value"),
    (
        keys.CreateAdminAPIKey,
        {"name": "a", "expires_in_seconds": 31_536_001},
        "expires_in_seconds",
        "integer_above_max_value",
    ),
    (keys.CreateProjectAPIKey, {"scopes": ["Responses"]}, "scopes[0]", "invalid_value"),
    (keys.CreateProjectAPIKey, {"scopes": "responses"}, "scopes", "invalid_type"),
    (keys.CreateServiceAccountAPIKey, {"user_id": "u"}, "user_id", "unknown_parameter"),
    (people.CreateProjectUser, {"role": "member"}, "user_id", "missing_required_parameter"),
    (people.CreateProjectUser, {"role": "boss", "user_id": "u"}, "role", "invalid_value"),
    (
        people.CreateProjectUser,
        {"role": "member", "user_id": "u", "email": "a@b.example"},
        "email",
        "mutually_exclusive_parameters",
    ),
    (people.CreateProjectUser, {"role": "member", "email": "a@b.example, c@d.example"}, "email", "invalid_value"),
    (
        people.CreateServiceAccount,
        {"name": "a", "create_service_account_only": True, "expires_in_seconds": 9},
        "expires_in_seconds",
        "mutually_exclusive_parameters",
    ),
    (people.UpdateOrganizationUser, {"role_id": "role_1"}, "role_id", "unsupported_parameter"),
    (permissions.UpdateModelPermissions, {"mode": "allow_list"}, "model_ids", "missing_required_parameter"),
    (permissions.UpdateModelPermissions, {"mode": "allow", "model_ids": []}, "mode", "invalid_value"),
    (permissions.UpdateModelPermissions, {"mode": "deny_list", "model_ids": ["m", 1]}, "model_ids[1]", "invalid_type"),
    (permissions.UpdateHostedToolPermissions, {"mcp": {}}, "mcp.enabled", "missing_required_parameter"),
    (permissions.UpdateHostedToolPermissions, {"mcp": {"enabled": 1}}, "mcp.enabled", "invalid_type"),
    (permissions.UpdateHostedToolPermissions, {"mcp": {"enabled": True, "x": 1}}, "mcp.x", "unknown_parameter"),
    (
        limits.UpdateProjectRateLimit,
        {"max_tokens_per_1_minute": -1},
        "max_tokens_per_1_minute",
        "integer_below_min_value",
    ),
    (limits.UpdateProjectRateLimit, {"max_images_per_1_minute": 5}, "max_images_per_1_minute", "unsupported_parameter"),
    (
        spend.UpdateSpendLimit,
        {"currency": "EUR", "interval": "month", "threshold_amount": 1},
        "currency",
        "invalid_value",
    ),
    (
        spend.UpdateSpendLimit,
        {"currency": "USD", "interval": "day", "threshold_amount": 1},
        "interval",
        "invalid_value",
    ),
    (
        spend.UpdateSpendLimit,
        {"currency": "USD", "interval": "month", "threshold_amount": 0},
        "threshold_amount",
        "integer_below_min_value",
    ),
    (
        spend.UpdateSpendLimit,
        {"currency": "USD", "interval": "month", "threshold_amount": 1.5},
        "threshold_amount",
        "invalid_type",
    ),
    (spend.SpendAlertRequest, channel(recipients=[]), "notification_channel.recipients", "empty_array"),
    (spend.SpendAlertRequest, channel(recipients=["a b"]), "notification_channel.recipients[0]", "invalid_value"),
    (
        spend.SpendAlertRequest,
        channel(recipients=["a@b.example\nBcc: c@d.example"]),
        "notification_channel.recipients[0]",
        "invalid_value",
    ),
    (
        spend.SpendAlertRequest,
        channel(subject_prefix="a\r\nBcc: b"),
        "notification_channel.subject_prefix",
        "invalid_value",
    ),
    (spend.SpendAlertRequest, channel(type="sms"), "notification_channel.type", "invalid_value"),
    (spend.SpendAlertRequest, channel(subject_prefix="a\r"), "notification_channel.subject_prefix", "invalid_value"),
    (spend.SpendAlertRequest, channel(subject_prefix="a\n"), "notification_channel.subject_prefix", "invalid_value"),
]


@pytest.mark.parametrize(("struct", "sent", "param", "code"), BAD_BODIES)
def test_a_bad_body_is_refused_by_the_name_of_what_is_bad(
    struct: type[AdminRequest], sent: Any, param: str | None, code: str
) -> None:
    assert refused(decode_body, json.dumps(sent).encode(), struct)[:2] == (param, code)


def test_a_body_that_is_no_json_or_too_deep_is_refused() -> None:
    for body in (b"", b"{", b"\xff", b'{"name":' + b"[" * 100 + b"]" * 100 + b"}"):
        assert refused(decode_body, body, projects.CreateProject)[1] == "invalid_json"


BAD_QUERIES: list[tuple[type[AdminRequest], list[tuple[str, str]], str, str]] = [
    (paging.ListQuery, [("limit", "0")], "limit", "integer_below_min_value"),
    (paging.ListQuery, [("limit", "101")], "limit", "integer_above_max_value"),
    (paging.ListQuery, [("limit", "ten")], "limit", "invalid_type"),
    (paging.ListQuery, [("limit", "1" * 30)], "limit", "invalid_type"),
    (paging.ListQuery, [("limit", "\u0663")], "limit", "invalid_type"),
    (paging.ListQuery, [("limit[]", "5")], "limit[]", "unknown_parameter"),
    (paging.ListQuery, [("order", "newest")], "order", "invalid_value"),
    (paging.ListQuery, [("after", "")], "after", "empty_string"),
    (paging.ListQuery, [("afetr", "x")], "afetr", "unknown_parameter"),
    (projects.ProjectsQuery, [("include_archived", "yes")], "include_archived", "invalid_type"),
    (people.OrganizationUsersQuery, [("emails[x]", "a")], "emails[x]", "unknown_parameter"),
    (people.OrganizationUsersQuery, [("emails", "a"), ("emails", "")], "emails[1]", "empty_string"),
    (audit.AuditLogsQuery, [("event_types[]", "project.craeted")], "event_types[0]", "invalid_value"),
    (audit.AuditLogsQuery, [("effective_at", "5")], "effective_at", "invalid_type"),
    (audit.AuditLogsQuery, [("effective_at", "5"), ("effective_at[gt]", "x")], "effective_at.gt", "invalid_type"),
    (audit.AuditLogsQuery, [("effective_at[after]", "5")], "effective_at.after", "unknown_parameter"),
    (usage_query.ModelQuery, [], "start_time", "missing_required_parameter"),
    (usage_query.ModelQuery, [("start_time", "-1")], "start_time", "integer_below_min_value"),
    (usage_query.ModelQuery, [("start_time", "5"), ("end_time", "5")], "end_time", "invalid_value"),
    (usage_query.ModelQuery, [("start_time", "5"), ("project_id", "p")], "project_id", "unknown_parameter"),
    (usage_query.ModelQuery, [("start_time", "5"), ("group_by[]", "batch")], "group_by[0]", "invalid_value"),
    (usage_query.ModelQuery, [("start_time", "5"), ("limit", "32")], "limit", "integer_above_max_value"),
    (usage_query.CostsQuery, [("start_time", "5"), ("bucket_width", "1h")], "bucket_width", "invalid_value"),
    (usage_query.CostsQuery, [("start_time", "5"), ("limit", "181")], "limit", "integer_above_max_value"),
    (usage_query.ImagesQuery, [("start_time", "5"), ("sizes[]", "1x1")], "sizes[0]", "invalid_value"),
]


@pytest.mark.parametrize(("struct", "fields", "param", "code"), BAD_QUERIES)
def test_a_bad_query_is_refused_by_the_name_of_what_is_bad(
    struct: type[AdminRequest], fields: list[tuple[str, str]], param: str, code: str
) -> None:
    assert refused(decode_query, fields, struct)[:2] == (param, code)


def test_what_is_not_supported_is_refused_with_the_reason_and_null_is_not_sent() -> None:
    sent = b'{"name":"a","geography":"EU"}'
    assert refused(decode_body, sent, projects.CreateProject)[2] == (
        "Unsupported parameter: 'geography'. Data stays where this server keeps it."
    )
    assert decode_body(b'{"name":"a","geography":null}', projects.CreateProject).geography is None


@pytest.mark.parametrize("struct", BODIES, ids=lambda struct: struct.__name__)
def test_what_is_not_supported_is_a_parameter_with_a_reason(struct: type[AdminRequest]) -> None:
    assert struct.unserved.keys() <= set(struct.__struct_fields__)
    assert all(reason.endswith(".") for reason in struct.unserved.values())


def test_a_list_has_the_length_and_the_order_that_the_api_says() -> None:
    usual = decode_query([], paging.ListQuery)
    assert (usual.limit, usual.order) == (20, "asc")
    assert decode_query([], limits.ProjectRateLimitsQuery).limit == 100
    assert decode_query([], audit.AuditLogsQuery).order == "desc"
    assert decode_query([], keys.ProjectAPIKeysQuery).owner_project_access == "any"


def test_a_name_or_a_model_may_be_of_any_script() -> None:
    for kind, text in ((Name, "Суд · 検索"), (ModelName, "modèle:7b")):
        assert msgspec.convert(text, kind) == text
