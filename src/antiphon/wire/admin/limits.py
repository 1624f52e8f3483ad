"""Rate limits of a project, one object for each model."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final

from msgspec import Meta

from antiphon.wire.admin.fields import LARGEST
from antiphon.wire.admin.paging import ListQuery
from antiphon.wire.admin.request import AdminRequest
from antiphon.wire.struct import UNSET, Maybe, Wire

__all__ = [
    "UNLIMITED",
    "ProjectRateLimit",
    "ProjectRateLimitsQuery",
    "RateLimitStanding",
    "UpdateProjectRateLimit",
    "rate_limit_id",
]

UNLIMITED: Final = LARGEST
"""No limit. The objects of the API have no other word for it: two of the limits are numbers that must be there."""

Rate = Annotated[int, Meta(ge=0, le=UNLIMITED)]
"""0 stops everything, `UNLIMITED` lifts the limit."""


def rate_limit_id(model: str) -> str:
    """The id of a model's limit, in OpenAI's form: rl-gpt-4o-mini."""
    return f"rl-{model}"


class RateLimitStanding(Wire, kw_only=True):
    """Where one limit stands (extension)."""

    limit: str
    """Which: the name of its field."""
    remaining: int
    reset_seconds: float
    """Until all of it is there again."""


class ProjectRateLimit(Wire, tag_field="object", tag="project.rate_limit", kw_only=True):
    """The limits of one model in one project. `max_tokens_per_1_day` and `standings` are extensions."""

    id: str
    model: str
    max_requests_per_1_minute: int = UNLIMITED
    max_tokens_per_1_minute: int = UNLIMITED
    max_requests_per_1_day: Maybe[int] = UNSET
    max_tokens_per_1_day: Maybe[int] = UNSET
    standings: Maybe[list[RateLimitStanding]] = UNSET
    """In lists only."""


class ProjectRateLimitsQuery(ListQuery, kw_only=True):
    """GET /organization/projects/{project_id}/rate_limits"""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class UpdateProjectRateLimit(AdminRequest, kw_only=True):
    """POST /organization/projects/{project_id}/rate_limits/{rate_limit_id}. What is not named stays as it is."""

    max_requests_per_1_minute: Rate | None = None
    max_tokens_per_1_minute: Rate | None = None
    max_requests_per_1_day: Rate | None = None
    max_tokens_per_1_day: Rate | None = None
    batch_1_day_max_input_tokens: Rate | None = None
    max_audio_megabytes_per_1_minute: Rate | None = None
    max_images_per_1_minute: Rate | None = None

    unserved: ClassVar = {
        "batch_1_day_max_input_tokens": "This server would not hold batches to it.",
        "max_audio_megabytes_per_1_minute": "This server has no audio.",
        "max_images_per_1_minute": "This server would not hold images to it.",
    }
