"""The yardstick: a chat stream turned into a Responses stream, and nothing else.

No authentication, no validation, no store, one kind of item. What Antiphon does beyond this is what its numbers are
compared with, in the same run and on the same machine, because absolute numbers of two machines cannot be compared.
It does the plain things as Antiphon has to: headers leave when the upstream has accepted, one write for each upstream
read, chunks decoded into typed structs, the constant parts of an event encoded once.

Run as ``python bare.py --port N --upstream N``.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from itertools import count
from typing import Any

import aiohttp
import msgspec
import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SSE = [(b"content-type", b"text/event-stream")]
JSON = [(b"content-type", b"application/json")]
USAGE = {
    "input_tokens_details": {"cached_tokens": 0},
    "output_tokens_details": {"reasoning_tokens": 0},
}

encode = msgspec.json.encode
ids = count(1)


class Request(msgspec.Struct):
    model: str
    input: str
    stream: bool = False


class Text(msgspec.Struct):
    content: str = ""


class Choice(msgspec.Struct):
    delta: Text = msgspec.field(default_factory=Text)
    message: Text = msgspec.field(default_factory=Text)


class Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Chunk(msgspec.Struct):
    choices: list[Choice] = []
    usage: Usage | None = None


decode_request = msgspec.json.Decoder(Request).decode
decode_chunk = msgspec.json.Decoder(Chunk).decode


class Events:
    """The events of one response with one message, as bytes, numbered from 0."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.response_id = f"resp_{next(ids):032x}"
        self.item_id = f"msg_{next(ids):032x}"
        self.number = 0
        self.text: list[str] = []
        self.usage = Usage()
        self.delta_head = (
            b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"'
            + self.item_id.encode()
            + b'","output_index":0,"content_index":0,"logprobs":[],"delta":'
        )

    def event(self, kind: str, **fields: object) -> bytes:
        data = encode({"type": kind, "sequence_number": self.number, **fields})
        self.number += 1
        return b"event: " + kind.encode() + b"\ndata: " + data + b"\n\n"

    def response(self, status: str) -> dict[str, object]:
        done = status == "completed"
        return {
            "id": self.response_id,
            "object": "response",
            "status": status,
            "model": self.model,
            "output": [self.item(status)] if done else [],
            "usage": self.usage_fields() if done else None,
        }

    def usage_fields(self) -> dict[str, object]:
        tokens = self.usage.prompt_tokens, self.usage.completion_tokens
        return {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens), **USAGE}

    def item(self, status: str) -> dict[str, object]:
        content = [self.part()] if status == "completed" else []
        return {"id": self.item_id, "type": "message", "status": status, "role": "assistant", "content": content}

    def part(self) -> dict[str, object]:
        return {"type": "output_text", "text": "".join(self.text), "annotations": [], "logprobs": []}

    def start(self) -> bytes:
        response = self.response("in_progress")
        place = {"output_index": 0, "content_index": 0, "item_id": self.item_id}
        return b"".join(
            (
                self.event("response.created", response=response),
                self.event("response.in_progress", response=response),
                self.event("response.output_item.added", output_index=0, item=self.item("in_progress")),
                self.event("response.content_part.added", part=self.part(), **place),
            )
        )

    def delta(self, text: str) -> bytes:
        self.text.append(text)
        number, self.number = self.number, self.number + 1
        return b'%b%b,"sequence_number":%d}\n\n' % (self.delta_head, encode(text), number)

    def end(self) -> bytes:
        place = {"output_index": 0, "content_index": 0, "item_id": self.item_id}
        return b"".join(
            (
                self.event("response.output_text.done", text="".join(self.text), logprobs=[], **place),
                self.event("response.content_part.done", part=self.part(), **place),
                self.event("response.output_item.done", output_index=0, item=self.item("completed")),
                self.event("response.completed", response=self.response("completed")),
            )
        )

    def frame(self, line: bytes) -> bytes:
        """The events that one SSE frame of the upstream stands for; may be none."""
        data = line[6:]
        if data == b"[DONE]":
            return self.end()
        chunk = decode_chunk(data)
        if chunk.usage is not None:
            self.usage = chunk.usage
        return b"".join(self.delta(choice.delta.content) for choice in chunk.choices if choice.delta.content)


async def batches(reads: AsyncIterator[bytes], events: Events) -> AsyncIterator[bytes]:
    """All events born of one upstream read, as one piece of bytes."""
    rest = b""
    async for read in reads:
        *frames, rest = (rest + read).split(b"\n\n")
        if out := b"".join(map(events.frame, frames)):
            yield out


class Bare:
    """The ASGI application: every POST is a create."""

    def __init__(self, upstream: int) -> None:
        self.url = f"http://127.0.0.1:{upstream}/v1/chat/completions"
        self.session: aiohttp.ClientSession | None = None

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.lifespan(receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        await self.create(decode_request(body), send)

    async def lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        # The default of 100 connections would queue what 256 clients ask for.
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self.session:
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def create(self, request: Request, send: Send) -> None:
        assert self.session is not None
        chat: dict[str, object] = {"model": request.model, "messages": [{"role": "user", "content": request.input}]}
        if request.stream:
            chat |= {"stream": True, "stream_options": {"include_usage": True}}
        events = Events(request.model)
        headers = {"content-type": "application/json"}
        async with self.session.post(self.url, data=encode(chat), headers=headers) as answer:
            await (self.stream if request.stream else self.whole)(answer, events, send)

    async def stream(self, answer: aiohttp.ClientResponse, events: Events, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": SSE})
        await send({"type": "http.response.body", "body": events.start(), "more_body": True})
        async for batch in batches(answer.content.iter_any(), events):
            await send({"type": "http.response.body", "body": batch, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def whole(self, answer: aiohttp.ClientResponse, events: Events, send: Send) -> None:
        chunk = decode_chunk(await answer.read())
        events.text = [choice.message.content for choice in chunk.choices]
        events.usage = chunk.usage or events.usage
        body = encode(events.response("completed"))
        headers = [*JSON, (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def main() -> None:
    parser = argparse.ArgumentParser(description="Chat Completions stream to Responses stream, and nothing else.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", type=int, required=True, help="port of a Chat Completions server on this machine")
    arguments = parser.parse_args()
    uvicorn.run(
        Bare(arguments.upstream),
        port=arguments.port,
        loop="uvloop",
        http="httptools",
        backlog=4096,
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
