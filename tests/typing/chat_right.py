"""What type checkers must accept of the wrappers around Chat Completions. It is never run."""

from __future__ import annotations

from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionMessageParam

from antiphon.client import AsyncChatCompletions, AsyncClient, ChatCompletions, ChatStream, Client


def blocking(wanted: bool) -> None:
    """The sync wrapper, whole, in chunks, and either."""
    client = ChatCompletions(OpenAI(), pass_through={"seed"})
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hi."}]
    whole: ChatCompletion = client.chat.completions.create(model="m", messages=messages, max_tokens=9, timeout=3)
    print(whole.choices[0].message.content)
    chunks: ChatStream = client.chat.completions.create(model="m", messages=messages, stream=True)
    with chunks:
        for chunk in chunks:
            part: ChatCompletionChunk = chunk
            print(part.choices[0].delta.content)
    either: ChatCompletion | ChatStream = client.create(model="m", messages=messages, stream=wanted)
    print(either)


async def looping() -> None:
    """The async one, around a client of the toolkit."""
    client = AsyncChatCompletions(AsyncClient(AsyncOpenAI()), send_reasoning=True)
    whole: ChatCompletion = await client.chat.completions.create(model="m", messages=[])
    print(whole.usage)
    async for chunk in await client.chat.completions.create(model="m", messages=[], stream=True):
        print(chunk.choices[0].finish_reason)


ChatCompletions(Client(OpenAI()))
