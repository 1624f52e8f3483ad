"""Rate limits of a project: those models are listed that have some."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import structs

from antiphon.policy import spending
from antiphon.policy.administration import unknown
from antiphon.policy.directory import RateLimit
from antiphon.policy.limits import Which
from antiphon.server.call import Call
from antiphon.server.routes.admin.asked import body, directory, edited, project, query
from antiphon.wire.admin import limits as wire
from antiphon.wire.admin.paging import page_among
from antiphon.wire.struct import UNSET, encode

_PREFIX = wire.rate_limit_id("")
_LONGEST = 256
_NAMES: Final[dict[Which, str]] = {
    "rpm": "max_requests_per_1_minute",
    "tpm": "max_tokens_per_1_minute",
    "rpd": "max_requests_per_1_day",
    "tpd": "max_tokens_per_1_day",
}


def _shown(row: RateLimit) -> wire.ProjectRateLimit:
    def rate(limit: int | None) -> int:
        return wire.UNLIMITED if limit is None else limit

    return wire.ProjectRateLimit(
        id=wire.rate_limit_id(row.model),
        model=row.model,
        max_requests_per_1_minute=rate(row.max_requests_per_1_minute),
        max_tokens_per_1_minute=rate(row.max_tokens_per_1_minute),
        max_requests_per_1_day=UNSET if row.max_requests_per_1_day is None else row.max_requests_per_1_day,
        max_tokens_per_1_day=UNSET if row.max_tokens_per_1_day is None else row.max_tokens_per_1_day,
    )


def _standing(call: Call, row: RateLimit) -> wire.ProjectRateLimit:
    """A row, and where its limits stand now."""
    standings = [
        wire.RateLimitStanding(limit=_NAMES[each.which], remaining=each.remaining, reset_seconds=round(each.reset, 3))
        for each in call.engine.till.standings(row)
    ]
    return structs.replace(_shown(row), standings=standings)


async def list_limits(call: Call) -> None:
    """GET /organization/projects/{project_id}/rate_limits"""
    asked, own = query(call, wire.ProjectRateLimitsQuery), project(call)
    found = [_standing(call, row) for row in directory(call).limits.values() if row.project == own.id]
    await call.answer(encode(page_among(found, asked)))


async def update(call: Call) -> None:
    """POST /organization/projects/{project_id}/rate_limits/{rate_limit_id}: for any model, `rl-` and its name."""
    asked = await body(call, wire.UpdateProjectRateLimit)
    project_id, limit_id = call.path["project_id"], call.path["rate_limit_id"]
    model = limit_id.removeprefix(_PREFIX)
    if not limit_id.startswith(_PREFIX) or not 0 < len(model) <= _LONGEST or not model.isprintable():
        raise unknown("rate limit", limit_id)
    given = {name: value for name, value in msgspec.structs.asdict(asked).items() if value is not None}
    changed = await edited(call, lambda edit: spending.set_limit(edit, project_id, model, given))
    await call.answer(encode(_shown(changed)))
