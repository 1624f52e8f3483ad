"""A stream with what may happen on the way, in an async program."""

import asyncio

from openai import AsyncOpenAI

from antiphon.client import AsyncClient, ClientError


async def main() -> str:
    async with AsyncClient(AsyncOpenAI()) as client:
        stream = client.stream(model="gpt-5", input="Explain machine learning in simple terms")
        try:
            async for event in stream:
                if event.type == "response.created":
                    print(f"{event.response.id} begins")
                elif event.type == "response.output_text.delta":
                    print(event.delta, end="", flush=True)
                elif event.type == "response.completed":
                    print(f"\n{event.response.usage}")
        except ClientError as error:  # the server refused, failed, or the connection broke: it says what to do
            print(f"\n{error}")
        return stream.text


if __name__ == "__main__":
    asyncio.run(main())
