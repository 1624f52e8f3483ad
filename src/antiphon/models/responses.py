"""The backend for any server that itself speaks the Responses API: OpenAI, Azure, vLLM, xAI, another Antiphon...

    Turn ──responses_request──▶ body ──upstream──▶ events ──responses_stream──▶ deltas

The upstream is always asked for a stream, and always sent the whole context: it keeps nothing for us unless configured
to. What it says is told again by our machine; item ids carry the upstream's (`responses_ids`), and become it again
when the items come back (`responses_items`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import msgspec

from antiphon.models.responses_ids import mark_of
from antiphon.models.responses_items import Reach
from antiphon.models.responses_request import (
    ResponsesOptions,
    asked_for,
    count_body,
    is_kept,
    left_out,
    lesson,
    response_body,
)
from antiphon.models.responses_source import PATH, Source
from antiphon.models.responses_stream import ResponseReader
from antiphon.models.responses_tokens import count_request, count_usage
from antiphon.models.upstream import Answer, Upstream
from antiphon.tokens import encoding_for
from antiphon.turn.deltas import Delta, Usage
from antiphon.turn.input import Turn
from antiphon.wire.errors import InvalidRequest, ServerError, UpstreamMalformed
from antiphon.wire.request import CreateResponse
from antiphon.wire.struct import encode

__all__ = ["Responses", "ResponsesOptions"]

_COUNT_PATH = f"{PATH}/input_tokens"


class Responses:
    """A model behind the Responses API. Implements `antiphon.ports.Model`."""

    continues = False
    relays = True

    def __init__(self, options: ResponsesOptions, *, upstream: Upstream | None = None) -> None:
        self._options = options
        self._upstream = upstream or Upstream(options)
        self._counts = True
        self._reach = Reach(
            mark=mark_of(options.base_url),
            stores=options.store,
            seals=options.encrypted_reasoning,
            reads_reasoning=options.plain_reasoning,
        )

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
        """The upstream speaks Responses: none."""
        return frozenset()

    def accept(self, request: CreateResponse) -> tuple[str, ...]:
        """The tool types that are left out: none, unless configured. Raises InvalidRequest as the port says."""
        return left_out(request, self._options)

    async def stream(self, turn: Turn) -> AsyncGenerator[list[Delta], None]:
        """Say one turn. The first batch comes with the first output: until then a failure is still a refusal.

        OpenAI tells an exhausted quota only after `response.in_progress`. Where the upstream tells no usage, it is
        counted; also when the answer breaks off after its first output.
        """
        answer, body = await self._open(turn)
        reader = ResponseReader(fault=answer.error, mark=self._reach.mark, asked=asked_for(turn.request).keys())
        keeps = is_kept(turn.request, self._options)
        with Source(self._upstream, answer, reader, keeps=keeps, go_on=turn.go_on) as source:
            deltas = await source.first_read()
            while not reader.over:
                if reader.spoke:
                    yield deltas
                    deltas = []
                deltas += await source.read()
            if reader.failure is None:
                source.finish()
            elif not reader.spoke:
                raise reader.failure
            if reader.usage is None:
                yield deltas  # the words do not wait for the tokenizer
                deltas = []
                reader.usage = await asyncio.to_thread(count_usage, body, reader.words, reader.thoughts, self._encoding)
            if reader.failure is not None:
                yield [*deltas, Usage(reader.usage)]
                raise reader.failure
            yield [*deltas, *reader.finish(reader.usage)]

    async def count(self, turn: Turn) -> int:
        """The input tokens of a turn: the upstream's own count, or by tokenizer where it cannot say."""
        body = encode(count_body(turn, self._options, self._reach))
        if self._counts and (tokens := await self._ask_for_count(body)) is not None:
            return tokens
        return await asyncio.to_thread(count_request, body, self._encoding)

    async def aclose(self) -> None:
        """Release the connections."""
        await self._upstream.aclose()

    @property
    def _encoding(self) -> str:
        return self._options.encoding or encoding_for(self._options.model)

    async def _open(self, turn: Turn) -> tuple[Answer, bytes]:
        """Send the request; send it again without what the upstream refused of that which was ours (`lesson`)."""
        reach = self._reach
        while True:
            body = encode(response_body(turn, self._options, reach))
            try:
                return await self._upstream.open(PATH, body, turn.trace.headers), body
            except InvalidRequest as refusal:
                learned = lesson(refusal, turn.request, reach)
                if learned is None:
                    raise
            reach = learned
            self._reach = msgspec.structs.replace(reach, unseals=True)  # which is about this input only

    async def _ask_for_count(self, body: bytes) -> int | None:
        """The upstream's count. None if it does not count (404, 405, 501), or not now."""
        try:
            return _tokens(await self._upstream.post_json(_COUNT_PATH, body)).input_tokens
        except InvalidRequest as refusal:
            if refusal.code != "model_not_found":
                raise
            self._counts = False
        except (ServerError, msgspec.DecodeError) as error:
            self._counts = getattr(error, "code", "") != UpstreamMalformed.default_code
        return None


class _Tokens(msgspec.Struct):
    input_tokens: int


_tokens = msgspec.json.Decoder(_Tokens).decode
