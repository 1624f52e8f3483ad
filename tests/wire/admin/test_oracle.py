"""What we answer is what the SDK's types say, whatever the values are."""

from __future__ import annotations

import inspect
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.admin import organization as org

from antiphon.wire.admin import audit, keys, limits, paging, people, permissions, projects, spend, usage, usage_query
from antiphon.wire.admin.request import AdminRequest
from antiphon.wire.struct import Wire, encode
from tests.wire.admin import answers, operations, strategies

MODULES = (audit, keys, limits, paging, people, permissions, projects, spend, usage, usage_query)
GIVEN: dict[type, dict[str, Any]] = {audit.AuditLog: {"type": st.sampled_from(sorted(audit.EVENTS))}}
PARTS = {  # answered only within others
    limits.RateLimitStanding,
    *(keys.AdminKeyOwner, keys.KeyOwner, keys.ServiceAccountOwner, keys.UserOwner, permissions.ToolPermission),
    *(spend.Enforcement, spend.NotificationChannel, usage.Amount, usage.Bucket, usage.UsagePage, paging.ObjectList),
    *(audit.Actor, audit.ActorAPIKey, audit.ActorServiceAccount, audit.ActorSession, audit.ActorUser),
    *(
        audit.AuditProject,
        audit.APIKeyChanges,
        audit.BudgetChange,
        audit.OrganizationChanges,
        audit.ProjectChanges,
        audit.ProjectTitle,
    ),
    *(audit.RoleOf, audit.ScopesOf, audit.ServiceAccountChanges, audit.Details, *audit.EVENTS.values()),
}
RESULTS = {**{name: report.result for name, report in usage.REPORTS.items()}, "costs": usage.CostsResult}


def public(kind: type) -> set[type]:
    """The structs of a kind that the modules export."""
    exported = [getattr(module, name) for module in MODULES for name in module.__all__]
    return {one for one in exported if inspect.isclass(one) and issubclass(one, kind)}


def test_every_answer_is_held_against_a_type_of_the_sdk() -> None:
    assert public(Wire) - public(AdminRequest) == answers.ANSWERS.keys() | set(RESULTS.values()) | PARTS


@pytest.mark.parametrize("struct", answers.ANSWERS, ids=lambda struct: struct.__name__)
@given(data=st.data())
def test_any_answer_is_what_the_sdk_expects(struct: type[Wire], data: st.DataObject) -> None:
    answer = data.draw(strategies.structs(struct, **GIVEN.get(struct, {})))
    allowed = answers.OURS_ALONE.get(struct, set())
    assert answers.complaints(answers.ANSWERS[struct], encode(answer), allowed) == []


@pytest.mark.parametrize("struct", answers.ANSWERS, ids=lambda struct: struct.__name__)
def test_an_answer_of_any_struct_decodes_to_what_was_encoded(struct: type[Wire]) -> None:
    shown = [served.answer for served in operations.SERVED.values() if type(served.answer) is struct]
    for answer in shown:
        assert msgspec.json.decode(encode(answer), type=struct) == answer


def test_what_is_ours_alone_is_unknown_to_the_sdk() -> None:
    assert "scopes" not in answers.ANSWERS[keys.ProjectAPIKey].model_fields
    assert not {"max_tokens_per_1_day", "standings"} & answers.ANSWERS[limits.ProjectRateLimit].model_fields.keys()


@pytest.mark.parametrize("report", answers.REPORTS)
@given(data=st.data())
def test_any_result_of_a_report_is_what_the_sdk_expects_there(report: str, data: st.DataObject) -> None:
    struct = RESULTS[report]
    result = data.draw(strategies.structs(struct))
    expected = answers.results_of(report)[struct.__struct_config__.tag]
    assert answers.complaints(expected, encode(result)) == []
    assert answers.decoded(encode(result)).keys() == expected.model_fields.keys()


@given(strategies.structs(usage.CostsResult))
def test_any_cost_is_what_the_sdk_expects(result: usage.CostsResult) -> None:
    (expected,) = [
        kind for tag, kind in answers.results_of("completions").items() if tag == "organization.costs.result"
    ]
    assert answers.complaints(expected, encode(result)) == []
    assert answers.decoded(encode(result)).keys() == expected.model_fields.keys()


@pytest.mark.parametrize("name", [name for name in operations.SERVED if name.startswith("usage.")])
def test_a_page_of_a_report_is_what_the_sdk_expects(name: str) -> None:
    report = name.removeprefix("usage.")
    kind = answers.REPORTS.get(report, org.UsageCostsResponse)
    sent = encode(operations.SERVED[name].answer)
    assert answers.complaints(kind, sent) == []
    assert answers.decoded(sent)["data"][1] == {
        "object": "bucket",
        "start_time": 86_400,
        "end_time": 172_800,
        "results": [],
    }


def test_a_page_of_a_list_has_the_form_of_the_api() -> None:
    sent = answers.decoded(encode(operations.listed(operations.PROJECT)))
    assert sent | {"data": []} == {
        "object": "list",
        "data": [],
        "first_id": "proj_1",
        "last_id": "proj_1",
        "has_more": False,
    }
    assert answers.decoded(encode(operations.listed())) == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


def test_a_key_of_a_service_account_is_shown_with_its_owner() -> None:
    key = keys.ProjectAPIKey(id="k", name="n", redacted_value="s...d", created_at=1, owner=operations.BOT)
    assert answers.complaints(answers.ANSWERS[keys.ProjectAPIKey], encode(key), {("scopes",)}) == []
    assert answers.decoded(encode(key))["owner"].keys() == {"type", "service_account"}


def test_a_value_is_shown_only_in_the_answer_that_makes_the_key() -> None:
    for struct in (keys.ProjectAPIKey, keys.AdminAPIKey):
        assert "value" not in struct.__struct_fields__


def test_a_cost_that_is_not_known_is_null_and_not_nothing() -> None:
    assert encode(usage.Amount.of(None)) == b'{"value":null,"currency":"usd"}'
    assert encode(usage.Amount.of(Decimal("0.06"))) == b'{"value":0.06,"currency":"usd"}'


def test_each_limit_has_an_enforcement_of_its_own() -> None:
    first, second = (spend.ProjectSpendLimit(threshold_amount=1) for _ in range(2))
    first.enforcement.status = "enforcing"
    assert second.enforcement.status == "inactive"
