"""The audit log."""

from __future__ import annotations

from math import inf

import msgspec

from antiphon.ports import AuditQuery
from antiphon.server.call import Call
from antiphon.server.routes.admin.asked import query
from antiphon.wire.admin import audit as wire
from antiphon.wire.admin.paging import page_of, unknown_cursor
from antiphon.wire.struct import encode


async def list_logs(call: Call) -> None:
    """GET /organization/audit_logs"""
    asked = query(call, wire.AuditLogsQuery)
    since, until = _span(asked.effective_at or wire.EffectiveAt())
    found = await call.accounts.store.audit(
        AuditQuery(
            organization=call.principal.organization,
            types=asked.event_types,
            actors=asked.actor_ids,
            emails=asked.actor_emails,
            projects=asked.project_ids,
            resources=asked.resource_ids,
            since=since,
            until=until,
            after=asked.after,
            before=asked.before,
            oldest_first=asked.order == "asc",
            limit=asked.limit + 1,
        )
    )
    if found is None:
        raise unknown_cursor("after" if asked.after is not None else "before", asked.after or asked.before or "")
    lines = [] if asked.tenant_only else [msgspec.json.decode(line.entry, type=wire.AuditLog) for line in found]
    await call.answer(encode(page_of(lines, asked)))


def _span(asked: wire.EffectiveAt) -> tuple[float, float]:
    """From when, and until before when; entries have whole seconds, so `gt` begins with the next one."""
    since = max(asked.gte or 0, 0 if asked.gt is None else asked.gt + 1)
    until = min(inf if asked.lt is None else asked.lt, inf if asked.lte is None else asked.lte + 1)
    return since, until
