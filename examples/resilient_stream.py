"""AdvancedStreamManager.create_resilient_stream: a stream that survives its connection, and says nothing twice."""

import asyncio

from openai import AsyncOpenAI

from antiphon.client import AsyncClient, RetrySettings, StreamCut


async def main() -> None:
    async with AsyncClient(AsyncOpenAI(), retry=RetrySettings(attempts=3), deadline=120) as client:
        stream = client.stream(model="gpt-5", input="Tell me about the sea.", background=True)  # so it can be taken up
        try:
            async for text in stream.texts():
                print(text, end="", flush=True)
        except StreamCut as error:
            print(f"\nWhat came is kept: {error.partial.output_text if error.partial else ''}")


if __name__ == "__main__":
    asyncio.run(main())
