"""POST /v1/responses and what belongs to a response."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import get_args

from antiphon.engine.engine import show
from antiphon.engine.run import Run
from antiphon.server.call import Call, ClientLeft, Header, flag, one_of, whole_number
from antiphon.server.sse import Streams
from antiphon.turn.include import visible_items
from antiphon.turn.input import CacheUse
from antiphon.wire.errors import APIError, InvalidRequest
from antiphon.wire.items import Item
from antiphon.wire.request import Include, decode_count, decode_create
from antiphon.wire.response import InputTokens, ItemList, Response, ResponseDeleted
from antiphon.wire.struct import encode

INCLUDES = get_args(Include)
_FAR = 2**53


class Responses:
    """The operations on responses."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams

    async def create(self, call: Call) -> None:
        """POST /v1/responses"""
        engine = call.engine
        request = decode_create(await call.json(), pass_through=engine.catalog.pass_through)
        try:
            run = await engine.create(call.project, request, call.trace(), cache_use(call), principal=call.principal)
        finally:
            call.limited(request.model)
        call.work = run.turn.response_id
        if run.left_out:
            call.extra.append((b"x-antiphon-tools-left-out", named(run.left_out)))
        if request.stream:
            await self._stream_new(call, run)
        elif request.background:
            await self._answer_begun(call, run)
        else:
            await self._answer_whole(call, run)

    async def _stream_new(self, call: Call, run: Run) -> None:
        if not await begun(call, run):
            return
        options = run.turn.request.stream_options
        asked = options.include_obfuscation if options is not None else None
        await self.streams.serve(
            call,
            call.engine.frames_of(run),
            on_leave=lambda: call.engine.left(run),
            obfuscate=call.options.obfuscation if asked is None else asked,
        )

    async def _answer_begun(self, call: Call, run: Run) -> None:
        """Answer for a response in the background, when it is stored."""
        if await begun(call, run):
            call.background = True
            await call.answer(show(run.machine.fold.response(), run.turn.request.include))

    async def _answer_whole(self, call: Call, run: Run) -> None:
        await call.answer(show(await ended(call, run), run.turn.request.include))

    async def retrieve(self, call: Call) -> None:
        """GET /v1/responses/{response_id}, whole or as a stream"""
        response_id, asked = call.path["response_id"], includes(call)
        after = whole_number(call, "starting_after", low=-1, high=_FAR, default=-1)
        obfuscate = flag(call, "include_obfuscation", default=call.options.obfuscation)
        if not flag(call, "stream"):
            await call.answer(await call.engine.retrieve(call.project, response_id, asked))
            return
        data = await call.engine.follow(call.project, response_id, after, asked)
        await self.streams.serve(call, data, on_leave=lambda: None, obfuscate=obfuscate)

    async def delete(self, call: Call) -> None:
        """DELETE /v1/responses/{response_id}"""
        response_id = call.path["response_id"]
        await call.engine.delete(call.project, response_id)
        await call.answer(encode(ResponseDeleted(id=response_id)))

    async def cancel(self, call: Call) -> None:
        """POST /v1/responses/{response_id}/cancel"""
        await call.answer(await call.engine.cancel(call.project, call.path["response_id"]))

    async def input_items(self, call: Call) -> None:
        """GET /v1/responses/{response_id}/input_items"""
        asked = includes(call)
        newest_first = one_of(call, "order", ("asc", "desc"), "desc") == "desc"
        limit = whole_number(call, "limit", low=1, high=100, default=20)
        items = await call.engine.input_items(call.project, call.path["response_id"])
        page = paged(items[::-1] if newest_first else items, limit, call.query("after"), call.query("before"))
        page.data = visible_items(page.data, asked)
        await call.answer(encode(page))

    async def input_tokens(self, call: Call) -> None:
        """POST /v1/responses/input_tokens"""
        request = decode_count(await call.json())
        await call.answer(encode(InputTokens(input_tokens=await call.engine.count(call.project, request))))


async def begun(call: Call, run: Run) -> bool:
    """Wait until a response exists. False if its client has left by then. Raises the APIError of a refusal."""
    watcher = _watch_leaving(call, run)
    await asyncio.wait((run.opened, watcher), return_when=asyncio.FIRST_COMPLETED)
    if watcher.done():
        return False
    watcher.cancel()
    if error := run.opened.exception():
        raise error
    call.extra += told(run)
    return True


async def ended(call: Call, run: Run) -> Response:
    """The Response when it is over; if its client leaves, that is soon. Raises the APIError of a refusal."""
    watcher = _watch_leaving(call, run)
    try:
        response = await run.result()
    except APIError:
        if watcher.done():
            raise ClientLeft from None
        raise
    finally:
        watcher.cancel()
    call.extra += told(run)
    return response


def _watch_leaving(call: Call, run: Run) -> asyncio.Task[None]:
    """A task that says so when the client of a run leaves before the answer has begun."""
    watcher = asyncio.create_task(call.left())
    watcher.add_done_callback(lambda done: None if done.cancelled() else call.engine.left(run))
    return watcher


def cache_use(call: Call) -> CacheUse:
    """What the client wants of the response cache, in the words of HTTP (RFC 9111, section 5.2.1)."""
    header = call.headers.get(b"cache-control", b"").lower()
    wants = {each.strip() for each in header.split(b",")}
    if b"no-store" in wants:
        return "off"
    return "refresh" if b"no-cache" in wants else "use"


def told(run: Run) -> list[Header]:
    """What was done to a request on its way, as far as it is known when the answer begins."""
    trace = run.turn.trace
    cache = [(b"x-antiphon-cache", trace.cache.encode())] if trace.cache else []
    notes = [(b"x-antiphon-notes", "; ".join(trace.notes).encode("ascii", "replace"))] if trace.notes else []
    saved = [(b"x-antiphon-tokens-saved", b"%d" % trace.tokens_saved)] if trace.tokens_saved else []
    return [*cache, *notes, *saved]


_MOST_NAMED = 32
_LONGEST_NAME = 64
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._:/-]")


def named(kinds: Sequence[str]) -> bytes:
    """Types of tools as the value of a header. They are the client's own words, so they may be anything."""
    words = [_NOT_PLAIN.sub("?", kind[:_LONGEST_NAME]) for kind in kinds[:_MOST_NAMED]]
    more = ["..."] if len(kinds) > _MOST_NAMED else []
    return ", ".join([*words, *more]).encode("ascii")


def includes(call: Call) -> Sequence[str]:
    """The query's `include`. Raises InvalidRequest for a value that there is not."""
    values = call.query_list("include")
    for index, value in enumerate(values):
        if value not in INCLUDES:
            listed = ", ".join(f"'{known}'" for known in INCLUDES)
            message = f"Invalid value: {value[:100]!r}. Supported values are: {listed}."
            raise InvalidRequest(message, param=f"include[{index}]", code="invalid_value")
    return values


def paged(items: Sequence[Item], limit: int, after: str | None, before: str | None) -> ItemList:
    """One page of a list: what comes after one item, or before another. Raises InvalidRequest for an unknown item."""
    start = _place(items, "after", after) + 1 if after is not None else 0
    end = _place(items, "before", before) if before is not None else len(items)
    if before is not None and after is None:
        start = max(0, end - limit)
    page = list(items[start : min(end, start + limit)])
    first, last = (page[0].id or None, page[-1].id or None) if page else (None, None)
    more = start > 0 if before is not None and after is None else start + len(page) < end
    return ItemList(data=page, first_id=first, last_id=last, has_more=more)


def _place(items: Sequence[Item], name: str, item_id: str) -> int:
    for index, item in enumerate(items):
        if item.id == item_id:
            return index
    raise InvalidRequest(f"No item with id '{item_id[:100]}' is in this list.", param=name, code="invalid_value")
