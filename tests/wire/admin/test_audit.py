"""The entries of the audit log: their details stand under their type, in the SDK's words."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.admin.organization.audit_log_list_response import AuditLogListResponse

from antiphon.wire.admin import audit, spend
from antiphon.wire.struct import UNSET, encode
from tests.wire.admin import answers, strategies
from tests.wire.admin.operations import ACTOR

PROJECT = audit.AuditProject(id="proj_1", name="Search")


@pytest.mark.parametrize(("name", "struct"), audit.EVENTS.items(), ids=audit.EVENTS)
@given(data=st.data())
def test_an_entry_has_its_details_under_its_type_and_nothing_else(
    name: str, struct: type[audit.Details], data: st.DataObject
) -> None:
    log = audit.entry("log_1", 1, ACTOR, data.draw(strategies.structs(struct)), PROJECT)
    sent = answers.decoded(encode(log))
    assert sent["type"] == name
    assert sent.keys() == {"id", "type", "effective_at", "actor", "project", name}
    assert answers.complaints(AuditLogListResponse, encode(log), answers.OURS_ALONE[audit.AuditLog]) == []
    assert msgspec.json.decode(encode(log), type=audit.AuditLog) == log


def test_there_is_a_place_for_the_details_of_each_type_that_is_written() -> None:
    common = {"id", "type", "effective_at", "actor", "project"}
    places = {field.encode_name: field.type for field in msgspec.structs.fields(audit.AuditLog)}
    assert places.keys() - common == audit.EVENTS.keys()
    assert all(struct in get_args(places[name]) for name, struct in audit.EVENTS.items())


def test_an_entry_about_the_organization_names_no_project() -> None:
    log = audit.entry(
        "log_1", 1, ACTOR, audit.OrganizationUpdated(id="org_1", changes_requested=audit.OrganizationChanges())
    )
    assert log.project is UNSET
    assert "project" not in answers.decoded(encode(log))


def test_a_limit_that_was_deleted_is_null_and_one_that_was_not_touched_is_absent() -> None:
    changes = audit.ProjectChanges(spend_limit=None)
    assert encode(changes) == b'{"spend_limit":null}'
    kept = audit.OrganizationChanges(
        spend_limit=spend.UpdateSpendLimit(threshold_amount=1, currency="USD", interval="month")
    )
    assert answers.decoded(encode(kept)) == {
        "spend_limit": {"threshold_amount": 1, "currency": "USD", "interval": "month"}
    }
