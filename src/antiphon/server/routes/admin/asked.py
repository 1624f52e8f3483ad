"""What the routes of the admin API share: how they read what is asked, and how they carry it out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from antiphon.policy.administration import Edit, project_in
from antiphon.policy.directory import Directory, Project
from antiphon.server.call import Call
from antiphon.wire.admin.request import AdminRequest, decode_body, decode_query

__all__ = ["body", "directory", "edited", "project", "query", "seconds"]

T = TypeVar("T")
AnyRequest = TypeVar("AnyRequest", bound=AdminRequest)


async def body(call: Call, kind: type[AnyRequest]) -> AnyRequest:
    """The body of a POST. Raises InvalidRequest."""
    return decode_body(await call.json(), kind)


def query(call: Call, kind: type[AnyRequest]) -> AnyRequest:
    """The query of a GET. Raises InvalidRequest."""
    return decode_query(call.fields, kind)


def directory(call: Call) -> Directory:
    """The accounts as they are now."""
    return call.accounts.directory


def project(call: Call) -> Project:
    """The project in the path. Raises NotFound."""
    return project_in(directory(call), call.principal.organization, call.path["project_id"])


async def edited(call: Call, decide: Callable[[Edit], T]) -> T:
    """Carry out what the caller does to the accounts. Raises what `decide` raises."""
    client = call.scope.get("client")
    return await call.accounts.edit(call.principal, decide, client[0] if client else None)


def seconds(time: float | None) -> int | None:
    """A time as the API tells it."""
    return None if time is None else int(time)
