"""What the official SDK reads each answer as, and where ours says more than the SDK knows."""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import cache
from typing import Any

from openai.types.admin import organization as org
from openai.types.admin.organization import projects as proj
from openai.types.admin.organization.audit_log_list_response import AuditLogListResponse
from openai.types.admin.organization.projects.service_accounts.api_key_create_response import APIKeyCreateResponse
from pydantic import TypeAdapter, ValidationError

from antiphon.wire.admin import audit, keys, limits, people, permissions, projects, spend

ANSWERS: dict[type, Any] = {
    projects.Project: org.Project,
    keys.ProjectAPIKey: proj.ProjectAPIKey,
    keys.ProjectAPIKeyCreated: proj.ProjectAPIKey,
    keys.ProjectAPIKeyDeleted: proj.APIKeyDeleteResponse,
    keys.ServiceAccountAPIKey: APIKeyCreateResponse,
    keys.AdminAPIKey: org.AdminAPIKey,
    keys.AdminAPIKeyCreated: org.AdminAPIKeyCreateResponse,
    keys.AdminAPIKeyDeleted: org.AdminAPIKeyDeleteResponse,
    people.OrganizationUser: org.OrganizationUser,
    people.OrganizationUserDeleted: org.UserDeleteResponse,
    people.ProjectUser: proj.ProjectUser,
    people.ProjectUserDeleted: proj.UserDeleteResponse,
    people.ProjectServiceAccount: proj.ProjectServiceAccount,
    people.ServiceAccountCreated: proj.ServiceAccountCreateResponse,
    people.ProjectServiceAccountDeleted: proj.ServiceAccountDeleteResponse,
    permissions.ModelPermissions: proj.ProjectModelPermissions,
    permissions.ModelPermissionsDeleted: proj.ProjectModelPermissionsDeleted,
    permissions.HostedToolPermissions: proj.ProjectHostedToolPermissions,
    limits.ProjectRateLimit: proj.ProjectRateLimit,
    spend.OrganizationSpendLimit: org.OrganizationSpendLimit,
    spend.OrganizationSpendLimitDeleted: org.OrganizationSpendLimitDeleted,
    spend.OrganizationSpendAlert: org.OrganizationSpendAlert,
    spend.OrganizationSpendAlertDeleted: org.OrganizationSpendAlertDeleted,
    spend.ProjectSpendLimit: proj.ProjectSpendLimit,
    spend.ProjectSpendLimitDeleted: proj.ProjectSpendLimitDeleted,
    spend.ProjectSpendAlert: proj.ProjectSpendAlert,
    spend.ProjectSpendAlertDeleted: proj.ProjectSpendAlertDeleted,
    audit.AuditLog: AuditLogListResponse,
}

REPORTS: dict[str, Any] = {
    "completions": org.UsageCompletionsResponse,
    "decisions": org.UsageDecisionsResponse,
    "embeddings": org.UsageEmbeddingsResponse,
    "moderations": org.UsageModerationsResponse,
    "images": org.UsageImagesResponse,
    "audio_speeches": org.UsageAudioSpeechesResponse,
    "audio_transcriptions": org.UsageAudioTranscriptionsResponse,
    "vector_stores": org.UsageVectorStoresResponse,
    "code_interpreter_sessions": org.UsageCodeInterpreterSessionsResponse,
    "file_search_calls": org.UsageFileSearchCallsResponse,
    "web_search_calls": org.UsageWebSearchCallsResponse,
}

# The fields that we have and the SDK does not, each with its reason.
OURS_ALONE: dict[type, set[tuple[str, ...]]] = {
    keys.ProjectAPIKey: {("scopes",)},  # whoever sets them wants to read them
    keys.ProjectAPIKeyCreated: {("scopes",), ("value",)},  # an operation that OpenAI has on its page only
    limits.ProjectRateLimit: {("max_tokens_per_1_day",), ("standings",)},  # limits of tokens are by the day, too
    audit.AuditLog: {  # OpenAI's log does not say who raised a limit
        ("organization.updated", "changes_requested", "spend_limit"),
        ("organization.updated", "changes_requested", "spend_alerts"),
        ("organization.updated", "changes_requested", "budgets"),
        ("project.updated", "changes_requested", "spend_limit"),
        ("project.updated", "changes_requested", "spend_alerts"),
        ("project.updated", "changes_requested", "budgets"),
        ("project.updated", "changes_requested", "model_permissions"),
        ("project.updated", "changes_requested", "hosted_tool_permissions"),
        ("rate_limit.updated", "changes_requested", "max_tokens_per_1_day"),
        ("service_account.updated", "changes_requested", "name"),
    },
}


def complaints(kind: Any, sent: bytes, allowed: Collection[tuple[str, ...]] = ()) -> list[str]:
    """What the SDK's type has against an answer, read strictly: no coercion, and no field that it does not know."""
    try:
        _adapter(kind).validate_json(sent, strict=True, extra="forbid")
    except ValidationError as error:
        found = error.errors(include_url=False)
        return [f"{e['loc']}: {e['msg']}" for e in found if e["type"] != "extra_forbidden" or e["loc"] not in allowed]
    return []


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def results_of(report: str) -> dict[str, Any]:
    """The SDK's types of the results of a report, by the tag of the object."""
    bucket = REPORTS[report].model_fields["data"].annotation.__args__[0]
    result = bucket.model_fields["results"].annotation.__args__[0]
    members = getattr(result, "__args__", None)
    union = members[0] if members else result
    kinds = getattr(union, "__args__", (union,))
    return {kind.model_fields["object"].annotation.__args__[0]: kind for kind in kinds}


def decoded(sent: bytes) -> Any:
    return json.loads(sent)
