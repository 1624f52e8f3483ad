"""Types of fields that several modules of the admin API share."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

__all__ = [
    "LARGEST",
    "AdminKeyLifetime",
    "Email",
    "Id",
    "KeyLifetime",
    "Line",
    "ModelName",
    "Name",
    "OrganizationRole",
    "ProjectRole",
    "Scope",
    "Time",
]

LARGEST: Final = 2**53 - 1
"""The largest integer that every reader of JSON holds exactly."""

Id = Annotated[str, Meta(min_length=1, max_length=256)]

Line = Annotated[str, Meta(max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]*(?!\n)$")]
"""One line of text. Without control characters, because it goes to terminals, and into the headers of e-mails."""

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]+(?!\n)$")]
"""A line of text that is not empty."""

Email = Annotated[
    str, Meta(max_length=254, pattern=r"^[^@\s,;<>\x00-\x1f\x7f-\x9f]+@[^@\s,;<>\x00-\x1f\x7f-\x9f]+(?!\n)$")
]
"""One address, without a name and without anything that would make it two."""

ModelName = Annotated[str, Meta(min_length=1, max_length=256)]

Scope = Annotated[str, Meta(max_length=64, pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*(?!\n)$")]
"""What a key is restricted to. Which scopes there are is for access to say."""

KeyLifetime = Annotated[int, Meta(ge=1, le=315_360_000)]
"""Seconds until a key expires: at most ten years."""

AdminKeyLifetime = Annotated[int, Meta(ge=1, le=31_536_000)]
"""Seconds until an admin key expires: at most a year, as OpenAI's specification has it."""

Time = Annotated[int, Meta(ge=0, le=253_402_300_799)]
"""Unix time in seconds, up to the end of the year 9999."""

OrganizationRole = Literal["owner", "reader"]
ProjectRole = Literal["owner", "member", "viewer"]
"""`viewer` is an extension: may look, and may not call a model."""
