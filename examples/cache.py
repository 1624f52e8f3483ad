"""ResponseCache: an answer is given again as a real stream; equal requests of one moment are one call."""

import asyncio

from openai import AsyncOpenAI

from antiphon.client import AsyncClient, Cache


async def main() -> None:
    cache = Cache(max_entries=1000, ttl=3600)
    async with AsyncClient(AsyncOpenAI(), cache=cache) as client:
        await asyncio.gather(*(client.create(model="gpt-5", input="Hello") for _ in range(10)))
        async for text in client.stream(model="gpt-5", input="Hello").texts():
            print(text, end="")
    told = cache.statistics
    print(f"\n{told.misses} asked, {told.shared} shared, {told.hits} hit; saved {told.saved.total_tokens} tokens")


if __name__ == "__main__":
    asyncio.run(main())
