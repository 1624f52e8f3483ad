"""StreamingModerationHandler: words are judged before anybody sees them, and a hit ends the answer."""

import asyncio

from openai import AsyncOpenAI

from antiphon.client import AsyncClient, Moderation, Moderations, RuleList
from antiphon.client.records import Flagged, Record


def report(record: Record) -> None:
    if isinstance(record, Flagged):
        print(f"\n{record.side} flagged: {', '.join(record.verdict.flagged)}")


async def main() -> None:
    rules = RuleList(words={"house rules": ["project bluebird"]})  # at once and offline, before the endpoint is asked
    moderation = Moderation([rules, Moderations()], output="replace", input="report")
    async with AsyncClient(AsyncOpenAI(), moderation=moderation, observers=report) as client:
        for words in ("The weather is fine.", "The code name is project bluebird."):
            stream = client.stream(model="gpt-5", input=f"Repeat after me: {words}")
            async for text in stream.texts():
                print(text, end="", flush=True)
            print(f" ({stream.response.status})" if stream.response else "")


if __name__ == "__main__":
    asyncio.run(main())
