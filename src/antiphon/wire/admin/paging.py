"""Lists and their pages: what a client asks for, what it gets, and which part of a list that is.

The SDK goes on with `after=<last_id>` until `has_more` is false; `before` goes the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Generic, Literal, Protocol, TypeVar

from msgspec import Meta

from antiphon.wire.admin.fields import Id
from antiphon.wire.admin.request import AdminRequest
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.struct import Wire

__all__ = ["ListQuery", "ObjectList", "Order", "page_among", "page_of", "unknown_cursor"]

T = TypeVar("T")
Order = Literal["asc", "desc"]


class Identified(Protocol):
    """An object of a list."""

    id: str


Listed = TypeVar("Listed", bound=Identified)


class ListQuery(AdminRequest, kw_only=True):
    """Which page of a list. All lists take all four, also where OpenAI's take only some (extension).

    `after` and `before` are ids of the list; with both, the page is the first of what stands between them. `order` is
    by creation.
    """

    after: Id | None = None
    before: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    order: Order = "asc"

    @property
    def backwards(self) -> bool:
        """Whether the page is the last one before an object, rather than the first one after it."""
        return self.before is not None and self.after is None


class ObjectList(Wire, Generic[T], tag_field="object", tag="list", kw_only=True):
    """One page of a list. `first_id` and `last_id` are null when it is empty.

    `has_more`: there is more in the direction in which the client goes.
    """

    data: list[T]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False


def page_of(found: Sequence[Listed], query: ListQuery) -> ObjectList[Listed]:
    """The page, out of what a store found.

    `found` begins at the cursor and goes on in the direction of travel: away from `before` if the query goes
    backwards. It has one object more than the limit if there is one: that one is not shown, it says `has_more`.
    """
    data = list(found[: query.limit])
    if query.backwards:
        data.reverse()
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return ObjectList(data=data, first_id=first, last_id=last, has_more=len(found) > query.limit)


def page_among(everything: Sequence[Listed], query: ListQuery) -> ObjectList[Listed]:
    """The page of a list that is held in memory, oldest first. Raises InvalidRequest for a cursor that is not in it."""
    ordered = everything if query.order == "asc" else everything[::-1]
    start = _place(ordered, "after", query.after) + 1 if query.after is not None else 0
    end = _place(ordered, "before", query.before) if query.before is not None else len(ordered)
    found = ordered[start:end]
    return page_of(found[::-1] if query.backwards else found, query)


def unknown_cursor(param: Literal["after", "before"], sent: str) -> InvalidRequest:
    """The error for a cursor that is no id of the list."""
    return InvalidRequest(f"No object with id '{sent[:100]}' is in this list.", param=param, code="invalid_value")


def _place(ordered: Sequence[Listed], param: Literal["after", "before"], sent: str) -> int:
    for place, listed in enumerate(ordered):
        if listed.id == sent:
            return place
    raise unknown_cursor(param, sent)
