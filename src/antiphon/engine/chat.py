"""Chats: chat completions over the engine's responses. What is asked is translated, made by a run as any other, and
told back by the route.

A completion that is stored is a stored response, and a row beside it with the request in its own words. The row is
committed before the first byte is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from antiphon.engine.accounts import OPEN
from antiphon.engine.run import Run
from antiphon.policy.access import Principal
from antiphon.ports import ChatQuery, ChatStore, StoredChat
from antiphon.turn.chat import completion_of, param_of, response_id, response_request
from antiphon.turn.include import LOGPROBS, visible
from antiphon.turn.input import CacheUse
from antiphon.turn.trace import Trace
from antiphon.wire.chat import CreateChatCompletion, FunctionMessage
from antiphon.wire.chat_completion import ChatCompletion, StoredMessage
from antiphon.wire.errors import APIError, InvalidRequest, NotFound
from antiphon.wire.response import decode_response

if TYPE_CHECKING:
    from antiphon.engine.engine import Engine

__all__ = ["Chat", "Chats", "Wanted"]

NAMES_LEFT_OUT = "The names of messages are left out."


class Chat:
    """A completion while it is made."""

    def __init__(self, run: Run, asked: CreateChatCompletion, keeping: asyncio.Task[None] | None) -> None:
        self.run = run
        self.asked = asked
        self._keeping = keeping

    @property
    def legacy(self) -> bool:
        """Whether its client knows `function_call` only."""
        return self.asked.functions is not None

    async def kept(self) -> None:
        """Wait until its row is committed, if it has one. Raises Unavailable."""
        if self._keeping is not None:
            await asyncio.shield(self._keeping)

    def told(self, error: APIError) -> APIError:
        """An error of the run, with the `param` of the chat's request."""
        error.param = param_of(self.asked, error.param)
        return error


class Wanted(msgspec.Struct, kw_only=True):
    """Which stored completions a list should have."""

    limit: int
    after: str | None = None
    newest_first: bool = False
    model: str | None = None
    metadata: dict[str, str] = {}


class Chats:
    """Creates, finds, lists, describes and deletes chat completions."""

    def __init__(self, engine: Engine, store: ChatStore | None) -> None:
        self._engine = engine
        self._store = store

    async def create(
        self,
        project: str,
        asked: CreateChatCompletion,
        body: bytes,
        trace: Trace,
        cache: CacheUse,
        *,
        principal: Principal = OPEN,
    ) -> Chat:
        """Begin a completion. `body` is the request as it was sent. Raises an APIError as `Engine.create` does."""
        if asked.store and self._store is None:
            raise InvalidRequest("Completions are not stored here.", param="store", code="unsupported_parameter")
        if any(message.name is not None for message in asked.messages if not isinstance(message, FunctionMessage)):
            trace.notes.append(NAMES_LEFT_OUT)
        request = response_request(asked)
        try:
            run = await self._engine.create(project, request, trace, cache, principal=principal)
        except APIError as error:
            error.param = param_of(asked, error.param)
            raise
        return Chat(run, asked, self._keep(project, run, asked, body))

    def _keep(self, project: str, run: Run, asked: CreateChatCompletion, body: bytes) -> asyncio.Task[None] | None:
        if self._store is None or run.record is None:
            return None
        key, store = run.record.key, self._store

        async def keep() -> None:
            await asyncio.shield(run.opened)
            await store.keep(project, key, asked.metadata or {}, body)

        task = asyncio.create_task(keep())
        task.add_done_callback(_overlook)
        return task

    # What is stored

    async def retrieve(self, project: str, completion: str) -> ChatCompletion:
        """A stored completion. Raises NotFound."""
        return _completion(await self._find(project, completion))

    async def messages(self, project: str, completion: str) -> list[StoredMessage]:
        """The messages that a stored completion answers, oldest first. Raises NotFound."""
        stored = await self._find(project, completion)
        sent = msgspec.json.decode(stored.request, type=_Sent)
        return [_message(f"{completion}-{number}", message) for number, message in enumerate(sent.messages)]

    async def page(self, project: str, wanted: Wanted) -> tuple[list[ChatCompletion], bool]:
        """Stored completions, and whether there are more. Raises InvalidRequest for an `after` that is not there."""
        if self._store is None:
            return [], False
        query = ChatQuery(
            limit=wanted.limit + 1,
            after=await self._key(project, wanted.after),
            newest_first=wanted.newest_first,
            model=wanted.model,
            metadata=wanted.metadata,
        )
        found = await self._store.page(project, query)
        return [_completion(stored) for stored in found[: wanted.limit]], len(found) > wanted.limit

    async def describe(self, project: str, completion: str, metadata: Mapping[str, str]) -> ChatCompletion:
        """Replace the metadata of a stored completion. Raises NotFound."""
        if self._store is None or not await self._store.describe(project, response_id(completion), metadata):
            raise _not_found(completion)
        return await self.retrieve(project, completion)

    async def delete(self, project: str, completion: str) -> None:
        """Remove a stored completion, and the response that it is. Raises NotFound."""
        await self._find(project, completion)
        try:
            await self._engine.delete(project, response_id(completion))
        except NotFound:  # somebody was faster
            raise _not_found(completion) from None

    async def _find(self, project: str, completion: str) -> StoredChat:
        stored = None if self._store is None else await self._store.find(project, response_id(completion))
        if stored is None:
            raise _not_found(completion)
        return stored

    async def _key(self, project: str, after: str | None) -> int | None:
        if after is None:
            return None
        try:
            return (await self._find(project, after)).key
        except NotFound:
            message = f"No completion with id '{after[:100]}' is in this list."
            raise InvalidRequest(message, param="after", code="invalid_value") from None


def _overlook(task: asyncio.Task[None]) -> None:
    """Who waits is told; of a run that was refused there is nothing to keep."""
    if not task.cancelled():
        task.exception()


def _not_found(completion: str) -> NotFound:
    return NotFound(f"Chat completion with id '{completion[:100]}' not found.", code="completion_not_found")


class _Sent(msgspec.Struct):
    """What is read of a stored request."""

    messages: list[dict[str, object]]
    functions: object = None
    logprobs: bool | None = None


def _completion(stored: StoredChat) -> ChatCompletion:
    sent = msgspec.json.decode(stored.request, type=_Sent)
    response = visible(decode_response(stored.response), (LOGPROBS,) if sent.logprobs else ())
    return completion_of(response, legacy=sent.functions is not None, metadata=stored.metadata)


def _message(message_id: str, sent: dict[str, object]) -> StoredMessage:
    """A message as it was sent; a content of several parts has a place of its own."""
    content = sent.get("content")
    is_list = isinstance(content, list)
    fields = {name: sent[name] for name in _KEPT if sent.get(name) is not None}
    return msgspec.convert(
        {**fields, "id": message_id, "content_parts" if is_list else "content": content}, StoredMessage
    )


_KEPT = ("role", "name", "refusal", "tool_calls", "tool_call_id", "function_call")
