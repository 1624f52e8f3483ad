"""Every method of the SDK's `client.admin.organization`: how it is served, or why it is not.

A served one has a request as the SDK sends it and an answer as we give it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from antiphon.wire.admin import audit, keys, limits, paging, people, permissions, projects, spend, usage, usage_query
from antiphon.wire.admin.request import AdminRequest
from antiphon.wire.struct import Wire


@dataclass(frozen=True)
class Served:
    """Method and path on the wire, what is sent (None: nothing), what is answered."""

    route: str
    request: AdminRequest | None
    answer: Wire

    @property
    def method(self) -> str:
        return self.route.split()[0]

    @property
    def path(self) -> str:
        return self.route.split()[1]


PROJECT = projects.Project(id="proj_1", name="Search", created_at=1)
USER = people.OrganizationUser(id="user_1", email="a@b.example", name="Ada", role="reader", added_at=1)
MEMBER = people.ProjectUser(id="user_1", email="a@b.example", name=None, role="member", added_at=1)
ACCOUNT = people.ProjectServiceAccount(id="svc_acct_1", name="bot", role="member", created_at=1)
NEW_KEY = keys.ServiceAccountAPIKey(id="key_1", name="bot", created_at=1, value="sk-antiphon-…", expires_at=61)
NEW_ACCOUNT = people.ServiceAccountCreated(id="svc_acct_1", name="bot", created_at=1, api_key=NEW_KEY)
OWNER = keys.KeyOwner(
    type="user", user=keys.UserOwner(id="user_1", email="a@b.example", name="Ada", created_at=1, role="member")
)
BOT = keys.KeyOwner(
    type="service_account",
    service_account=keys.ServiceAccountOwner(id="svc_acct_1", name="bot", created_at=1, role="member"),
)
KEY = keys.ProjectAPIKey(
    id="key_1", name="laptop", redacted_value="sk-ant...abcd", created_at=1, owner=OWNER, scopes=["responses"]
)
ADMIN_OWNER = keys.AdminKeyOwner(id="user_1", name="Ada", created_at=1)
ADMIN_KEY = keys.AdminAPIKey(id="key_2", name="ops", redacted_value="sk-ant...efgh", created_at=1, owner=ADMIN_OWNER)
NEW_ADMIN_KEY = keys.AdminAPIKeyCreated(
    id="key_2", name="ops", redacted_value="sk-ant...efgh", created_at=1, owner=ADMIN_OWNER, value="sk-antiphon-…"
)
RATE = limits.ProjectRateLimit(id="rl-m", model="m", max_requests_per_1_minute=60, max_tokens_per_1_day=10**6)
CHANNEL = spend.NotificationChannel(type="email", recipients=["a@b.example"], subject_prefix="[Money]")
LIMIT = spend.UpdateSpendLimit(threshold_amount=5000, currency="USD", interval="month")
ALERT = spend.SpendAlertRequest(threshold_amount=4000, currency="USD", interval="month", notification_channel=CHANNEL)
ORG_ALERT = spend.OrganizationSpendAlert(id="alert_1", threshold_amount=4000, notification_channel=CHANNEL)
PROJECT_ALERT = spend.ProjectSpendAlert(id="alert_1", threshold_amount=4000, notification_channel=CHANNEL)
TOOL = permissions.ToolPermission(enabled=True)
TOOLS = permissions.HostedToolPermissions(
    code_interpreter=TOOL, file_search=TOOL, image_generation=TOOL, mcp=TOOL, web_search=TOOL
)
ACTOR = audit.Actor(
    type="api_key", api_key=audit.ActorAPIKey(id="key_2", type="user", user=audit.ActorUser(id="user_1"))
)
LOG = audit.entry("audit_log-1", 1, ACTOR, audit.ProjectArchived(id="proj_1"))

LIST = paging.ListQuery(after="x_1", limit=2)
ORDERED = paging.ListQuery(after="x_1", limit=2, order="desc")


def listed(*data: Any) -> Wire:
    return paging.page_of(data, paging.ListQuery())


def page(result: Wire) -> Wire:
    plan = usage_query.Plan([usage_query.Span(0, 86_400), usage_query.Span(86_400, 172_800)], "page_172800")
    return usage.usage_page(plan, {0: [result]})


CALLERS: dict[str, Any] = {"project_ids": ["proj_1"], "user_ids": ["user_1"], "api_key_ids": ["key_1", "key_2"]}
TIMES: dict[str, Any] = {"start_time": 60, "end_time": 10**9, "limit": 2, "bucket_width": "1h", "page": "page_7200"}
MODELS: dict[str, Any] = {**TIMES, **CALLERS, "models": ["m"], "group_by": ["model", "user_id"]}
COMPLETIONS = usage_query.CompletionsQuery(**{**MODELS, "group_by": ["batch", "service_tier"]}, batch=False)
IMAGES = usage_query.ImagesQuery(**{**MODELS, "group_by": ["size"]}, sizes=["256x256"], sources=["image.edit"])
SEARCHES = usage_query.WebSearchCallsQuery(**{**MODELS, "group_by": ["context_level"]}, context_levels=["low"])
FILES = usage_query.FileSearchCallsQuery(**TIMES, **CALLERS, vector_store_ids=["vs_1"], group_by=["vector_store_id"])
PROJECTS = usage_query.ProjectQuery(**TIMES, project_ids=["proj_1"], group_by=["project_id"])
COSTS = usage_query.CostsQuery(
    start_time=5,
    limit=180,
    project_ids=["proj_1"],
    api_key_ids=["key_1"],
    line_items=["m, input"],
    group_by=["line_item"],
)
USED: dict[str, Any] = {"num_model_requests": 1, "project_id": "proj_1"}

O = "/organization"  # noqa: E741 - the table below is read by columns
P = "/organization/projects/{project_id}"
A = P + "/service_accounts"

SERVED: dict[str, Served] = {
    "projects.create": Served(f"POST {O}/projects", projects.CreateProject(name="Search"), PROJECT),
    "projects.list": Served(
        f"GET {O}/projects", projects.ProjectsQuery(include_archived=True, limit=2), listed(PROJECT)
    ),
    "projects.retrieve": Served(f"GET {P}", None, PROJECT),
    "projects.update": Served(f"POST {P}", projects.UpdateProject(name="Find"), PROJECT),
    "projects.archive": Served(f"POST {P}/archive", None, PROJECT),
    "projects.api_keys.list": Served(
        f"GET {P}/api_keys", keys.ProjectAPIKeysQuery(owner_project_access="active"), listed(KEY)
    ),
    "projects.api_keys.retrieve": Served(f"GET {P}/api_keys/{{api_key_id}}", None, KEY),
    "projects.api_keys.update": Served(
        f"POST {P}/api_keys/{{api_key_id}}", keys.UpdateProjectAPIKey(scopes=[], expires_in_seconds=60), KEY
    ),
    "projects.api_keys.delete": Served(
        f"DELETE {P}/api_keys/{{api_key_id}}", None, keys.ProjectAPIKeyDeleted(id="key_1")
    ),
    "projects.service_accounts.create": Served(
        f"POST {A}", people.CreateServiceAccount(name="bot", expires_in_seconds=60), NEW_ACCOUNT
    ),
    "projects.service_accounts.list": Served(f"GET {A}", LIST, listed(ACCOUNT)),
    "projects.service_accounts.retrieve": Served(f"GET {A}/{{service_account_id}}", None, ACCOUNT),
    "projects.service_accounts.update": Served(
        f"POST {A}/{{service_account_id}}", people.UpdateServiceAccount(name="bot 2", role="owner"), ACCOUNT
    ),
    "projects.service_accounts.delete": Served(
        f"DELETE {A}/{{service_account_id}}", None, people.ProjectServiceAccountDeleted(id="svc_acct_1")
    ),
    "projects.service_accounts.api_keys.create": Served(
        f"POST {A}/{{service_account_id}}/api_keys",
        keys.CreateServiceAccountAPIKey(name="second", expires_in_seconds=60, scopes=["responses"]),
        NEW_KEY,
    ),
    "projects.users.create": Served(
        f"POST {P}/users", people.CreateProjectUser(role="member", email="a@b.example"), MEMBER
    ),
    "projects.users.list": Served(f"GET {P}/users", LIST, listed(MEMBER)),
    "projects.users.retrieve": Served(f"GET {P}/users/{{user_id}}", None, MEMBER),
    "projects.users.update": Served(f"POST {P}/users/{{user_id}}", people.UpdateProjectUser(role="owner"), MEMBER),
    "projects.users.delete": Served(f"DELETE {P}/users/{{user_id}}", None, people.ProjectUserDeleted(id="user_1")),
    "projects.rate_limits.list_rate_limits": Served(
        f"GET {P}/rate_limits", limits.ProjectRateLimitsQuery(before="rl-m", limit=1000), listed(RATE)
    ),
    "projects.rate_limits.update_rate_limit": Served(
        f"POST {P}/rate_limits/{{rate_limit_id}}",
        limits.UpdateProjectRateLimit(
            max_requests_per_1_minute=60, max_tokens_per_1_minute=0, max_requests_per_1_day=limits.UNLIMITED
        ),
        RATE,
    ),
    "projects.model_permissions.retrieve": Served(
        f"GET {P}/model_permissions", None, permissions.ModelPermissions(mode="deny_list", model_ids=[])
    ),
    "projects.model_permissions.update": Served(
        f"POST {P}/model_permissions",
        permissions.UpdateModelPermissions(mode="allow_list", model_ids=["gpt-*"]),
        permissions.ModelPermissions(mode="allow_list", model_ids=["gpt-*"]),
    ),
    "projects.model_permissions.delete": Served(
        f"DELETE {P}/model_permissions", None, permissions.ModelPermissionsDeleted()
    ),
    "projects.hosted_tool_permissions.retrieve": Served(f"GET {P}/hosted_tool_permissions", None, TOOLS),
    "projects.hosted_tool_permissions.update": Served(
        f"POST {P}/hosted_tool_permissions",
        permissions.UpdateHostedToolPermissions(mcp=permissions.ToolPermission(enabled=False), web_search=TOOL),
        TOOLS,
    ),
    "projects.spend_limit.retrieve": Served(
        f"GET {P}/spend_limit", None, spend.ProjectSpendLimit(threshold_amount=5000)
    ),
    "projects.spend_limit.update": Served(
        f"POST {P}/spend_limit",
        LIMIT,
        spend.ProjectSpendLimit(threshold_amount=5000, enforcement=spend.Enforcement(status="enforcing")),
    ),
    "projects.spend_limit.delete": Served(f"DELETE {P}/spend_limit", None, spend.ProjectSpendLimitDeleted()),
    "projects.spend_alerts.create": Served(f"POST {P}/spend_alerts", ALERT, PROJECT_ALERT),
    "projects.spend_alerts.list": Served(
        f"GET {P}/spend_alerts", spend.SpendAlertsQuery(before="alert_1", order="desc"), listed(PROJECT_ALERT)
    ),
    "projects.spend_alerts.retrieve": Served(f"GET {P}/spend_alerts/{{alert_id}}", None, PROJECT_ALERT),
    "projects.spend_alerts.update": Served(f"POST {P}/spend_alerts/{{alert_id}}", ALERT, PROJECT_ALERT),
    "projects.spend_alerts.delete": Served(
        f"DELETE {P}/spend_alerts/{{alert_id}}", None, spend.ProjectSpendAlertDeleted(id="alert_1")
    ),
    "users.list": Served(
        f"GET {O}/users", people.OrganizationUsersQuery(emails=["a@b.example", "c@d.example"]), listed(USER)
    ),
    "users.retrieve": Served(f"GET {O}/users/{{user_id}}", None, USER),
    "users.update": Served(f"POST {O}/users/{{user_id}}", people.UpdateOrganizationUser(role="owner"), USER),
    "users.delete": Served(f"DELETE {O}/users/{{user_id}}", None, people.OrganizationUserDeleted(id="user_1")),
    "admin_api_keys.create": Served(
        f"POST {O}/admin_api_keys", keys.CreateAdminAPIKey(name="ops", expires_in_seconds=60), NEW_ADMIN_KEY
    ),
    "admin_api_keys.list": Served(f"GET {O}/admin_api_keys", ORDERED, listed(ADMIN_KEY)),
    "admin_api_keys.retrieve": Served(f"GET {O}/admin_api_keys/{{key_id}}", None, ADMIN_KEY),
    "admin_api_keys.delete": Served(f"DELETE {O}/admin_api_keys/{{key_id}}", None, keys.AdminAPIKeyDeleted(id="key_2")),
    "spend_limit.retrieve": Served(f"GET {O}/spend_limit", None, spend.OrganizationSpendLimit(threshold_amount=5000)),
    "spend_limit.update": Served(f"POST {O}/spend_limit", LIMIT, spend.OrganizationSpendLimit(threshold_amount=5000)),
    "spend_limit.delete": Served(f"DELETE {O}/spend_limit", None, spend.OrganizationSpendLimitDeleted()),
    "spend_alerts.create": Served(f"POST {O}/spend_alerts", ALERT, ORG_ALERT),
    "spend_alerts.list": Served(
        f"GET {O}/spend_alerts", spend.SpendAlertsQuery(after="alert_1", order="desc"), listed(ORG_ALERT)
    ),
    "spend_alerts.retrieve": Served(f"GET {O}/spend_alerts/{{alert_id}}", None, ORG_ALERT),
    "spend_alerts.update": Served(f"POST {O}/spend_alerts/{{alert_id}}", ALERT, ORG_ALERT),
    "spend_alerts.delete": Served(
        f"DELETE {O}/spend_alerts/{{alert_id}}", None, spend.OrganizationSpendAlertDeleted(id="alert_1")
    ),
    "audit_logs.list": Served(
        f"GET {O}/audit_logs",
        audit.AuditLogsQuery(
            after="audit_log-1",
            before="audit_log-9",
            effective_at=audit.EffectiveAt(gt=1, lte=3),
            event_types=["project.created", "tenant.user.added"],
            actor_ids=["user_1"],
            actor_emails=["a@b.example"],
            project_ids=["proj_1", "proj_2"],
            resource_ids=["key_1"],
            tenant_only=True,
        ),
        listed(LOG),
    ),
    "usage.completions": Served(
        f"GET {O}/usage/completions",
        COMPLETIONS,
        page(usage.CompletionsResult(**USED, input_tokens=1, output_tokens=2, api_source="unlabeled")),
    ),
    "usage.decisions": Served(
        f"GET {O}/usage/decisions", COMPLETIONS, page(usage.DecisionsResult(**USED, input_tokens=1, output_tokens=2))
    ),
    "usage.embeddings": Served(
        f"GET {O}/usage/embeddings",
        usage_query.ModelQuery(**MODELS),
        page(usage.EmbeddingsResult(**USED, input_tokens=1)),
    ),
    "usage.moderations": Served(
        f"GET {O}/usage/moderations",
        usage_query.ModelQuery(**MODELS),
        page(usage.ModerationsResult(**USED, input_tokens=1)),
    ),
    "usage.images": Served(f"GET {O}/usage/images", IMAGES, page(usage.ImagesResult(**USED, images=1))),
    "usage.audio_speeches": Served(
        f"GET {O}/usage/audio_speeches",
        usage_query.AudioQuery(**MODELS),
        page(usage.AudioSpeechesResult(**USED, characters=1)),
    ),
    "usage.audio_transcriptions": Served(
        f"GET {O}/usage/audio_transcriptions",
        usage_query.AudioQuery(**MODELS),
        page(usage.AudioTranscriptionsResult(**USED, seconds=1)),
    ),
    "usage.vector_stores": Served(
        f"GET {O}/usage/vector_stores", PROJECTS, page(usage.VectorStoresResult(usage_bytes=1))
    ),
    "usage.code_interpreter_sessions": Served(
        f"GET {O}/usage/code_interpreter_sessions",
        PROJECTS,
        page(usage.CodeInterpreterSessionsResult(num_sessions=1)),
    ),
    "usage.file_search_calls": Served(
        f"GET {O}/usage/file_search_calls", FILES, page(usage.FileSearchesResult(num_requests=1))
    ),
    "usage.web_search_calls": Served(
        f"GET {O}/usage/web_search_calls", SEARCHES, page(usage.WebSearchesResult(**USED, num_requests=1))
    ),
    "usage.costs": Served(
        f"GET {O}/costs",
        COSTS,
        page(usage.CostsResult(amount=usage.Amount(value=0.25), quantity=2.0, quantity_unit="tokens")),
    ),
}

NOT_SERVED: dict[str, str] = {
    "certificates": "no mutual TLS: a proxy in front of the server does that",
    "data_retention": "how long is kept what, is a setting of the server",
    "external_keys": "no customer-managed encryption keys: the database is the customer's own",
    "external_storage": "no storage elsewhere: the data folder is the customer's own",
    "groups": "users have roles of their own, there are no groups",
    "invites": "no accounts and no mail to sign up: `projects.users.create` takes an e-mail address",
    "projects.certificates": "no mutual TLS: a proxy in front of the server does that",
    "projects.data_retention": "how long is kept what, is a setting of the server",
    "projects.groups": "users have roles of their own, there are no groups",
    "projects.roles": "the roles are those that the API names; keys are restricted by scopes",
    "projects.service_tier_settings": "service tiers are the upstream's",
    "projects.users.roles": "a user has one role in a project: `projects.users.update`",
    "roles": "the roles are those that the API names; keys are restricted by scopes",
    "users.roles": "a user has one role in the organization: `users.update`",
    "workload_identity_providers": "no federation of identities",
}
"""By resource, with all that is below it."""
