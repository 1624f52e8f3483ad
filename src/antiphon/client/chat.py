"""Chat Completions over any Responses endpoint: `client.chat.completions.create(…)` goes on to work as it is.

    client = ChatCompletions(OpenAI())                     # or AsyncChatCompletions(AsyncOpenAI())
    completion = client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "Hi."}])
    completion.choices[0].message.content

What comes back are the SDK's own ChatCompletion and ChatCompletionChunk. A client of this toolkit may stand in the
place of the SDK's: then its retries, breaker and layers are around each call.

What Responses cannot be asked for is refused with the SDK's BadRequestError, which names the parameter, and nothing is
sent. A response that fails after it began is a ResponseFailed, a stream without end a StreamCut.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, overload

import httpx2
import msgspec
import openai

from antiphon.client.border import fields_of, wire_event
from antiphon.client.client import AsyncClient, Client
from antiphon.client.errors import BadRequest, OptionError, ResponseFailed, StreamCut, StreamMalformed
from antiphon.turn.chat import Chunks, completion_of, failure_of, param_of, response_request
from antiphon.wire import errors as wire
from antiphon.wire.chat import CreateChatCompletion, decode_chat
from antiphon.wire.items import Reasoning
from antiphon.wire.response import decode_response
from antiphon.wire.struct import encode

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
    from openai.types.responses import Response, ResponseStreamEvent
    from typing_extensions import Unpack

    from antiphon.client.chat_params import Either, Streamed, Whole
    from antiphon.client.stream import AsyncResponseStream, ResponseStream

__all__ = ["AsyncChatCompletions", "AsyncChatStream", "ChatCompletions", "ChatStream"]

_OF_THE_SDK: Final = ("extra_headers", "extra_query", "extra_body", "timeout")
"""What is told to the SDK, not to the server."""


class _Asked:
    """One request, in both tongues."""

    def __init__(self, params: Mapping[str, Any], pass_through: frozenset[str], send_reasoning: bool, url: str) -> None:
        given = {name: value for name, value in params.items() if not isinstance(value, openai.Omit | openai.NotGiven)}
        self.options: dict[str, Any] = {name: given.pop(name) for name in _OF_THE_SDK if name in given}
        self.chat: CreateChatCompletion
        try:
            self.chat = decode_chat(msgspec.json.encode(given, enc_hook=_plain), pass_through=pass_through)
            self.params = self._params(pass_through, send_reasoning)
        except wire.APIError as error:
            raise _refusal(error, url) from None

    def _params(self, pass_through: frozenset[str], send_reasoning: bool) -> dict[str, Any]:
        request = response_request(self.chat)
        extra, request.extra, request.stream = request.extra, {}, False
        for name in extra:
            if name not in pass_through:
                message = f"Unsupported parameter: '{name}'. The Responses API does not have it."
                raise wire.InvalidRequest(message, param=name, code="unsupported_parameter")
        if not send_reasoning and isinstance(request.input, list):
            request.input = [item for item in request.input if not isinstance(item, Reasoning)]
        params: dict[str, Any] = msgspec.json.decode(encode(request))
        if extra:
            self.options["extra_body"] = {**extra, **(self.options.get("extra_body") or {})}
        return params | self.options

    @property
    def legacy(self) -> bool:
        return self.chat.functions is not None

    def rename(self, error: openai.APIError) -> None:
        """Let an error of the server name the parameter of the chat's request."""
        error.param = param_of(self.chat, error.param)

    def completion(self, response: Response) -> ChatCompletion:
        """The completion that a response is. Raises ResponseFailed, or StreamMalformed."""
        from openai.types.chat import ChatCompletion

        try:
            told = decode_response(encode(fields_of(response)))
        except wire.APIError as error:
            raise StreamMalformed(error.message) from error
        if told.status in ("failed", "cancelled"):
            raise _failed(failure_of(told.error))
        metadata = {"metadata": told.metadata or {}} if self.chat.store else {}
        completion = completion_of(told, legacy=self.legacy, **metadata)
        return ChatCompletion.construct(**msgspec.to_builtins(completion))


class _Writer:
    """The chunks of one stream."""

    def __init__(self, asked: _Asked) -> None:
        options = asked.chat.stream_options
        usage = bool(options and options.include_usage)
        self._chunks = Chunks(include_usage=usage, legacy=asked.legacy)

    def take(self, event: ResponseStreamEvent) -> list[ChatCompletionChunk]:
        """The chunks of an event. Raises ResponseFailed, or StreamMalformed."""
        from openai.types.chat import ChatCompletionChunk

        try:
            told = self._chunks.feed([wire_event(event)])
        except wire.APIError as error:
            raise StreamMalformed(error.message) from error
        if self._chunks.failure is not None:
            raise _failed(self._chunks.failure)
        return [ChatCompletionChunk.construct(**msgspec.to_builtins(chunk)) for chunk in told]

    def end(self) -> None:
        """There is no more. Raises StreamCut if that is too early."""
        if not self._chunks.ended:
            raise StreamCut("The stream ended before the completion was over.")


def _plain(value: Any) -> Any:
    """What a caller may put into a request beside JSON: objects of the SDK, and anything that is a list in the end."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_unset=True)
    if isinstance(value, Iterable):
        return list(value)
    raise TypeError(f"a request cannot hold {type(value).__name__}")


def _failed(error: wire.APIError) -> ResponseFailed:
    return ResponseFailed(error.message, code=error.code, param=error.param)


def _refusal(error: wire.APIError, url: str) -> BadRequest:
    """What the server would have answered."""
    body = error.body()
    response = httpx2.Response(error.status, json=body, request=httpx2.Request("POST", f"{url}chat/completions"))
    return BadRequest(error.message, response=response, body=body["error"])


def _check(client: object, wanted: str, *kinds: type) -> None:
    if not isinstance(client, kinds):
        raise OptionError("client", f"takes {wanted}, not {type(client).__name__}")


class _Wrapper:
    """What both wrappers are."""

    def __init__(self, base_url: object, pass_through: Iterable[str], send_reasoning: bool) -> None:
        if isinstance(pass_through, str):
            raise OptionError("pass_through", "takes names of parameters, not one text")
        self._url = str(base_url)
        self._pass_through = frozenset(pass_through)
        self._send_reasoning = send_reasoning

    def _ask(self, params: Mapping[str, Any]) -> _Asked:
        return _Asked(params, self._pass_through, self._send_reasoning, self._url)


class ChatCompletions(_Wrapper):
    """`chat.completions` of an `openai.OpenAI`, or of a `Client`, over its Responses endpoint.

    `pass_through`: parameters that Responses does not have and this server takes all the same, such as `seed` or
    `stop`. `send_reasoning`: whether `reasoning_content` of messages is sent back; OpenAI's own server refuses it.
    """

    def __init__(
        self, client: openai.OpenAI | Client, *, pass_through: Iterable[str] = (), send_reasoning: bool = False
    ) -> None:
        _check(client, "openai.OpenAI or antiphon's Client", openai.OpenAI, Client)
        sdk = client if isinstance(client, openai.OpenAI) else client.openai
        super().__init__(sdk.base_url, pass_through, send_reasoning)
        self._client = client

    @property
    def chat(self) -> ChatCompletions:
        """Itself, so that `client.chat.completions` may stay as it is."""
        return self

    @property
    def completions(self) -> ChatCompletions:
        """Itself."""
        return self

    @overload
    def create(self, **params: Unpack[Whole]) -> ChatCompletion: ...

    @overload
    def create(self, **params: Unpack[Streamed]) -> ChatStream: ...

    @overload
    def create(self, **params: Unpack[Either]) -> ChatCompletion | ChatStream: ...

    def create(self, **params: Any) -> ChatCompletion | ChatStream:
        """A completion, or its chunks as they come. Raises openai.APIError, or ClientError."""
        asked = self._ask(params)
        try:
            if asked.chat.stream:
                return ChatStream(self._events(asked.params), asked)
            return asked.completion(self._response(asked.params))
        except openai.APIError as error:
            asked.rename(error)
            raise

    def _response(self, params: dict[str, Any]) -> Response:
        if isinstance(self._client, Client):
            return self._client.create(**params)
        response: Response = self._client.responses.create(**params)
        return response

    def _events(self, params: dict[str, Any]) -> openai.Stream[ResponseStreamEvent] | ResponseStream:
        if isinstance(self._client, Client):
            return self._client.stream(**params)
        stream: openai.Stream[ResponseStreamEvent] = self._client.responses.create(stream=True, **params)
        return stream


class AsyncChatCompletions(_Wrapper):
    """The same over an `openai.AsyncOpenAI`, or an `AsyncClient`."""

    def __init__(
        self,
        client: openai.AsyncOpenAI | AsyncClient,
        *,
        pass_through: Iterable[str] = (),
        send_reasoning: bool = False,
    ) -> None:
        _check(client, "openai.AsyncOpenAI or antiphon's AsyncClient", openai.AsyncOpenAI, AsyncClient)
        sdk = client if isinstance(client, openai.AsyncOpenAI) else client.openai
        super().__init__(sdk.base_url, pass_through, send_reasoning)
        self._client = client

    @property
    def chat(self) -> AsyncChatCompletions:
        """Itself, so that `client.chat.completions` may stay as it is."""
        return self

    @property
    def completions(self) -> AsyncChatCompletions:
        """Itself."""
        return self

    @overload
    async def create(self, **params: Unpack[Whole]) -> ChatCompletion: ...

    @overload
    async def create(self, **params: Unpack[Streamed]) -> AsyncChatStream: ...

    @overload
    async def create(self, **params: Unpack[Either]) -> ChatCompletion | AsyncChatStream: ...

    async def create(self, **params: Any) -> ChatCompletion | AsyncChatStream:
        """A completion, or its chunks as they come. Raises openai.APIError, or ClientError."""
        asked = self._ask(params)
        try:
            if asked.chat.stream:
                return AsyncChatStream(await self._events(asked.params), asked)
            return asked.completion(await self._response(asked.params))
        except openai.APIError as error:
            asked.rename(error)
            raise

    async def _response(self, params: dict[str, Any]) -> Response:
        if isinstance(self._client, AsyncClient):
            return await self._client.create(**params)
        response: Response = await self._client.responses.create(**params)
        return response

    async def _events(self, params: dict[str, Any]) -> openai.AsyncStream[ResponseStreamEvent] | AsyncResponseStream:
        if isinstance(self._client, AsyncClient):
            return self._client.stream(**params)
        stream: openai.AsyncStream[ResponseStreamEvent] = await self._client.responses.create(stream=True, **params)
        return stream


class ChatStream(openai.Stream["ChatCompletionChunk"]):
    """The chunks of a completion, where the SDK has its own Stream. Closing it closes the connection."""

    def __init__(self, source: openai.Stream[ResponseStreamEvent] | ResponseStream, asked: _Asked) -> None:
        self._source = source
        self._asked = asked
        self._iterator = self._read()
        if isinstance(source, openai.Stream):
            self.response = source.response

    def _read(self) -> Iterator[ChatCompletionChunk]:
        writer = _Writer(self._asked)
        try:
            for event in self._source:
                yield from writer.take(event)
            writer.end()
        except openai.APIError as error:
            self._asked.rename(error)
            raise
        finally:
            self._source.close()

    def close(self) -> None:
        """Give the connection back."""
        self._source.close()


class AsyncChatStream(openai.AsyncStream["ChatCompletionChunk"]):
    """The chunks of a completion, where the SDK has its own AsyncStream. Closing it closes the connection."""

    def __init__(self, source: openai.AsyncStream[ResponseStreamEvent] | AsyncResponseStream, asked: _Asked) -> None:
        self._source = source
        self._asked = asked
        self._iterator = self._read()
        if isinstance(source, openai.AsyncStream):
            self.response = source.response

    async def _read(self) -> AsyncIterator[ChatCompletionChunk]:
        writer = _Writer(self._asked)
        try:
            async for event in self._source:
                for chunk in writer.take(event):
                    yield chunk
            writer.end()
        except openai.APIError as error:
            self._asked.rename(error)
            raise
        finally:
            await self._source.close()

    async def close(self) -> None:
        """Give the connection back."""
        await self._source.close()
