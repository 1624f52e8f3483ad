"""The backend for any server of the Chat Completions API: OpenAI, vLLM, llama-server, Ollama, LM Studio, DeepSeek...

    Turn ──chat_request──▶ body ──upstream──▶ events ──chat_stream──▶ deltas

One code path: the upstream is always asked for a stream. What the API has no word for is in the modules named above.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec

from antiphon.models.chat_chunks import Head
from antiphon.models.chat_messages import left_out
from antiphon.models.chat_request import ChatOptions, chat_body
from antiphon.models.chat_stream import ChatReader
from antiphon.models.chat_tokens import count_prompt, count_usage
from antiphon.models.chat_tools import ChatTools, check_tools, offered
from antiphon.models.upstream import Answer, Upstream
from antiphon.tokens import encoding_for
from antiphon.turn.deltas import Delta, Finished, Noted, Settled, Usage
from antiphon.turn.input import Turn
from antiphon.wire.chat import CHAT_ONLY
from antiphon.wire.errors import APIError
from antiphon.wire.items import CustomToolCall, FunctionCall
from antiphon.wire.request import CreateResponse
from antiphon.wire.response import Usage as UsageFigures

__all__ = ["ChatCompletions", "ChatOptions"]

_PATH = "/chat/completions"


def _random_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


class ChatCompletions:
    """A model behind the Chat Completions API. Implements `antiphon.ports.Model`.

    `new_call_id` makes the ids of calls that the upstream gives none, or one that the conversation has used already.
    """

    continues = False
    relays = False

    def __init__(
        self,
        options: ChatOptions,
        *,
        upstream: Upstream | None = None,
        new_call_id: Callable[[], str] = _random_call_id,
    ) -> None:
        self._options = options
        self._upstream = upstream or Upstream(options)
        self._new_call_id = new_call_id

    @property
    def name(self) -> str:
        """The name of the model as its upstream knows it."""
        return self._options.model

    @property
    def pass_through(self) -> frozenset[str]:
        """Parameters beyond the API's own that go on to the upstream."""
        return self._options.pass_through

    @property
    def chat_parameters(self) -> frozenset[str]:
        """The upstream speaks Chat Completions: it has them all."""
        return CHAT_ONLY

    def accept(self, request: CreateResponse) -> tuple[str, ...]:
        """The tool types that are left out. Raises InvalidRequest for those that an answer cannot do without."""
        return check_tools(request)

    async def stream(self, turn: Turn) -> AsyncGenerator[list[Delta], None]:
        """Say one turn. The first batch comes with the first chunk, so that an error in its place is still a refusal.

        Where the upstream tells no usage, it is counted; also when the answer breaks off after its first words.
        """
        tools = ChatTools(offered(turn.request.tools, turn.items))
        body = chat_body(turn, self._options, tools)
        with await self._upstream.open(_PATH, msgspec.json.encode(body), turn.trace.headers) as answer:
            reader = self._reader(turn, tools, answer)
            deltas = await _first_read(answer, reader)
            first = True
            while not reader.over:
                if deltas or first:
                    yield deltas
                first = False
                answer.begun = reader.spoke
                deltas = await _read(answer, reader)
            deltas += reader.close()
            if reader.failure is None:
                answer.finish()
            if reader.usage is None and (reader.spoke or reader.failure is None):
                yield deltas  # the words do not wait for the tokenizer
                deltas = []
                reader.usage = await self._counted(body, reader)
            if reader.usage is not None:
                deltas.append(Usage(reader.usage))
            if reader.failure is not None:
                if deltas:
                    yield deltas
                raise reader.failure
            yield [*deltas, *_remarks(turn, reader), Finished(reader.incomplete)]

    async def count(self, turn: Turn) -> int:
        """The input tokens of a turn, by tokenizer: this API has no word for it. `chat_tokens` says how exactly."""
        tools = ChatTools(offered(turn.request.tools, turn.items))
        body = chat_body(turn, self._options, tools)
        return await asyncio.to_thread(count_prompt, body, self._encoding)

    async def aclose(self) -> None:
        """Release the connections."""
        await self._upstream.aclose()

    @property
    def _encoding(self) -> str:
        return self._options.encoding or encoding_for(self._options.model)

    async def _counted(self, body: dict[str, Any], reader: ChatReader) -> UsageFigures:
        return await asyncio.to_thread(count_usage, body, reader.words, reader.thoughts, self._encoding)

    def _reader(self, turn: Turn, tools: ChatTools, answer: Answer) -> ChatReader:
        return ChatReader(
            tools,
            new_id=self._new_call_id,
            fault=answer.error,
            taken=(item.call_id for item in turn.items if isinstance(item, FunctionCall | CustomToolCall)),
            think_tags=self._options.think_tags,
        )


async def _first_read(answer: Answer, reader: ChatReader) -> list[Delta]:
    """The deltas of the first read; or all of them, if the upstream sent one JSON body instead of a stream."""
    if await answer.is_stream():
        return await _read(answer, reader)
    return reader.whole(await answer.body())


async def _read(answer: Answer, reader: ChatReader) -> list[Delta]:
    try:
        events = await answer.events()
    except APIError as error:
        reader.end(error)
        return []
    if not events:
        reader.end()
    return reader.feed(events)


def _remarks(turn: Turn, reader: ChatReader) -> list[Delta]:
    """What the upstream decided, and what is worth remembering of it."""
    head = reader.head or Head()
    fact = {"upstream_response_id": head.id, "model": head.model, "items_left_out": left_out(turn.items)}
    remarks: list[Delta] = [Noted({name: value for name, value in fact.items() if value})]
    return [Settled({"service_tier": head.service_tier}), *remarks] if head.service_tier else remarks
