"""Usage and costs, from the ledger.

Reports of what this server does not do are there, and empty. Money is a float in the API: exact are the ledger's own
figures (`antiphon usage`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from antiphon.policy.ledger import Group, Usage, UsageQuery
from antiphon.server.call import Call
from antiphon.server.routes.admin.asked import query
from antiphon.turn.report import Operation
from antiphon.wire.admin import usage as wire
from antiphon.wire.admin.usage_query import SECONDS, Plan, plan
from antiphon.wire.admin.usage_query import UsageQuery as Asked
from antiphon.wire.struct import Wire, encode

__all__ = ["costs", "report"]

_OPERATIONS: Final[Mapping[str, Operation]] = {
    "completions": "response",
    "embeddings": "embeddings",
    "moderations": "moderation",
}
"""Which work a report tells of. The other reports are of work that this server does not do."""

_GROUPS: Final[Mapping[str, Group]] = {
    "project_id": "project",
    "user_id": "owner",
    "api_key_id": "key_id",
    "model": "model",
    "line_item": "line_item",
}
_FILTERS: Final = {
    "project_ids": "projects",
    "user_ids": "owners",
    "api_key_ids": "keys",
    "models": "models",
    "line_items": "line_items",
}
_ALWAYS: Final[Mapping[str, Any]] = {"api_source": "unlabeled", "batch": False}
"""What is the same for all work here. A service tier is not known of any."""


Told = Callable[[Usage], Wire]


def report(name: str) -> Callable[[Call], Awaitable[None]]:
    """The handler of GET /organization/usage/{name}."""
    kind = wire.REPORTS[name]

    async def tell(call: Call) -> None:
        asked = query(call, kind.query)
        operation = None if getattr(asked, "batch", None) else _OPERATIONS.get(name)
        operations = () if operation is None else (operation,)
        await _answer(call, asked, operations, lambda used: kind.result(**_who(asked, used), **_FIGURES[name](used)))

    return tell


async def costs(call: Call) -> None:
    """GET /organization/costs"""
    asked = query(call, wire.COSTS.query)
    figures = _item_cost if "line_item" in asked.group_by else _cost
    operations = tuple(_OPERATIONS.values())
    await _answer(call, asked, operations, lambda used: wire.CostsResult(**_who(asked, used), **figures(used)))


async def _answer(call: Call, asked: Asked, operations: Sequence[Operation], told: Told) -> None:
    planned = plan(asked, int(call.engine.clock.now()))
    results: dict[int, list[Wire]] = {}
    for used in await _found(call, asked, planned, operations):
        start = max(used.start, planned.spans[0].start_time)
        results.setdefault(start, []).append(told(used))
    await call.answer(encode(wire.usage_page(planned, results)))


async def _found(call: Call, asked: Asked, planned: Plan, operations: Sequence[Operation]) -> Sequence[Usage]:
    books = call.engine.books
    if books is None or not operations or not planned.spans:
        return ()
    await books.settle()
    filters = {ours: getattr(asked, name) for name, ours in _FILTERS.items() if hasattr(asked, name)}
    wanted = UsageQuery(
        organization=call.principal.organization,
        since=planned.spans[0].start_time,
        until=planned.spans[-1].end_time,
        width=SECONDS[asked.bucket_width],
        groups=tuple(_GROUPS[name] for name in asked.group_by if name in _GROUPS),
        operations=operations,
        **filters,
    )
    return await books.ledger.usage(wanted)


# Results


def _who(asked: Asked, used: Usage) -> dict[str, Any]:
    """The fields that a result is grouped by. Nobody's key, on an open server, is null."""
    return {name: _ALWAYS[name] if name in _ALWAYS else _group(used, name) for name in asked.group_by}


def _group(used: Usage, name: str) -> str | None:
    return getattr(used, _GROUPS[name]) or None if name in _GROUPS else None


def _completions(used: Usage) -> dict[str, Any]:
    tokens = used.tokens
    return {
        "num_model_requests": used.calls,
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "input_cached_tokens": tokens.cached,
        "input_uncached_tokens": max(0, tokens.input - tokens.cached - tokens.cache_write),
        "input_cache_write_tokens": tokens.cache_write,
    }


def _input(used: Usage) -> dict[str, Any]:
    return {"num_model_requests": used.calls, "input_tokens": used.tokens.input}


_FIGURES: Final[Mapping[str, Callable[[Usage], dict[str, Any]]]] = {
    **dict.fromkeys(wire.REPORTS, _input),
    "completions": _completions,
}


def _cost(used: Usage) -> dict[str, Any]:
    return {"amount": wire.Amount.of(None if used.unpriced else used.cost)}


def _item_cost(used: Usage) -> dict[str, Any]:
    quantity = used.tokens.input + used.tokens.output
    return {**_cost(used), "quantity": quantity, "quantity_unit": "tokens"}
