"""/v1/chat/completions: the same engine, asked and told in the words of Chat Completions."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence

from antiphon.engine.chat import Chat, Wanted
from antiphon.server.call import Call, one_of, whole_number
from antiphon.server.routes.responses import begun, cache_use, ended, named
from antiphon.server.sse import DONE, Streams
from antiphon.turn import frames
from antiphon.turn.chat import Chunks, completion_of, failure_of
from antiphon.turn.include import visible
from antiphon.wire.chat import decode_chat, decode_chat_update
from antiphon.wire.chat_completion import (
    ChatCompletionChunk,
    ChatCompletionDeleted,
    ChatCompletionList,
    StoredMessage,
    StoredMessageList,
)
from antiphon.wire.errors import APIError, InvalidRequest, ServerError
from antiphon.wire.response import Response
from antiphon.wire.struct import encode


class ChatCompletions:
    """The operations on chat completions."""

    def __init__(self, streams: Streams) -> None:
        self.streams = streams

    async def create(self, call: Call) -> None:
        """POST /v1/chat/completions"""
        body = await call.json()
        asked = decode_chat(body, pass_through=call.engine.catalog.pass_through)
        chat = await call.engine.chats.create(
            call.project, asked, body, call.trace(), cache_use(call), principal=call.principal
        )
        call.work = chat.run.turn.response_id
        if chat.run.left_out:
            call.extra.append((b"x-antiphon-tools-left-out", named(chat.run.left_out)))
        try:
            await (self._stream(call, chat) if asked.stream else self._answer(call, chat))
        except APIError as error:
            raise chat.told(error) from None

    async def _answer(self, call: Call, chat: Chat) -> None:
        response = await ended(call, chat.run)
        if response.status in ("failed", "cancelled"):
            raise _failure(chat, response)
        await chat.kept()
        shown: Response = visible(response, chat.run.turn.request.include)
        metadata = shown.metadata or {}
        completion = completion_of(shown, legacy=chat.legacy, **({"metadata": metadata} if chat.asked.store else {}))
        await call.answer(encode(completion))

    async def _stream(self, call: Call, chat: Chat) -> None:
        if not await begun(call, chat.run):
            return
        await chat.kept()
        data = _chunks(call, chat)
        await self.streams.serve(call, data, on_leave=lambda: call.engine.left(chat.run))

    async def retrieve(self, call: Call) -> None:
        """GET /v1/chat/completions/{completion_id}"""
        await call.answer(encode(await call.engine.chats.retrieve(call.project, call.path["completion_id"])))

    async def update(self, call: Call) -> None:
        """POST /v1/chat/completions/{completion_id}"""
        metadata = decode_chat_update(await call.json()).metadata or {}
        await call.answer(encode(await call.engine.chats.describe(call.project, call.path["completion_id"], metadata)))

    async def delete(self, call: Call) -> None:
        """DELETE /v1/chat/completions/{completion_id}"""
        completion = call.path["completion_id"]
        await call.engine.chats.delete(call.project, completion)
        await call.answer(encode(ChatCompletionDeleted(id=completion)))

    async def list_completions(self, call: Call) -> None:
        """GET /v1/chat/completions"""
        wanted = Wanted(
            limit=whole_number(call, "limit", low=1, high=100, default=20),
            after=call.query("after"),
            newest_first=one_of(call, "order", ("asc", "desc"), "asc") == "desc",
            model=call.query("model"),
            metadata=call.query_map("metadata"),
        )
        data, has_more = await call.engine.chats.page(call.project, wanted)
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        await call.answer(encode(ChatCompletionList(data=data, first_id=first, last_id=last, has_more=has_more)))

    async def messages(self, call: Call) -> None:
        """GET /v1/chat/completions/{completion_id}/messages"""
        limit = whole_number(call, "limit", low=1, high=100, default=20)
        newest_first = one_of(call, "order", ("asc", "desc"), "asc") == "desc"
        messages = await call.engine.chats.messages(call.project, call.path["completion_id"])
        rest = _after(messages[::-1] if newest_first else messages, call.query("after"))
        data, has_more = list(rest[:limit]), len(rest) > limit
        first, last = (data[0].id, data[-1].id) if data else (None, None)
        await call.answer(encode(StoredMessageList(data=data, first_id=first, last_id=last, has_more=has_more)))


def _after(messages: Sequence[StoredMessage], after: str | None) -> Sequence[StoredMessage]:
    if after is None:
        return messages
    for place, message in enumerate(messages):
        if message.id == after:
            return messages[place + 1 :]
    raise InvalidRequest(f"No message with id '{after[:100]}' is in this list.", param="after", code="invalid_value")


def _failure(chat: Chat, response: Response) -> APIError:
    """Why a response is no completion."""
    return chat.run.error or failure_of(response.error)


async def _chunks(call: Call, chat: Chat) -> AsyncIterator[bytes]:
    """A run as the frames of this API. What goes wrong after the first byte is a frame too: SDKs raise it."""
    options = chat.asked.stream_options
    asked = options.include_obfuscation if options is not None else None
    writer = Chunks(include_usage=bool(options and options.include_usage), legacy=chat.legacy)
    padded = call.options.obfuscation if asked is None else asked
    failure: APIError | None = None
    try:
        async for data in call.engine.frames_of(chat.run):
            if told := writer.feed(frames.events(data)):
                yield b"".join([_frame(chunk, padded=padded) for chunk in told])
    except APIError as error:
        failure = error
    if not writer.ended:
        failure = failure or chat.run.error or writer.failure or ServerError("The completion was cancelled.")
        yield b"data: " + encode(chat.told(failure).body()) + frames.END
    if not call.options.done_marker:  # else the stream's end has one
        yield DONE


def _frame(chunk: ChatCompletionChunk, *, padded: bool) -> bytes:
    if padded and chunk.choices:
        length = 1 + secrets.randbelow(16)
        chunk.obfuscation = secrets.token_urlsafe(length)[:length]
    return b"data: " + encode(chunk) + frames.END
