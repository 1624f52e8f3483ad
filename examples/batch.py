"""AdvancedStreamManager.batch_stream_requests: many requests, so many at a time, and no failure that hides the rest."""

import asyncio

from openai import AsyncOpenAI

from antiphon.client import AsyncClient


async def main() -> None:
    requests = {name: {"model": "gpt-5", "input": f"One sentence about {name}."} for name in ("tea", "rain", "tin")}
    async with AsyncClient(AsyncOpenAI()) as client:
        async for result in client.batch(requests, concurrency=5, rate=10):
            print(result.key, "-", result.response.output_text if result.response else result.error)


if __name__ == "__main__":
    asyncio.run(main())
