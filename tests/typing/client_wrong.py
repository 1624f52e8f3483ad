"""What a type checker has to refuse: each line that ends in `# wrong`. Nothing here is run."""

from __future__ import annotations

from openai import AsyncOpenAI, OpenAI
from openai.types.responses import ResponseCompletedEvent, ResponseTextDeltaEvent

from antiphon.client import AsyncClient, Client, RetrySettings, StreamHandler, on

AsyncClient(OpenAI())  # wrong
Client(AsyncOpenAI())  # wrong
Client(OpenAI(), retries=3)  # wrong
Client(OpenAI(), deadline="soon")  # wrong
Client(OpenAI(), observers=[3])  # wrong
RetrySettings(tries=3)  # wrong

client = Client(OpenAI())
client.create(model="m", input="Hi.", max_tokens=3)  # wrong
client.create(model="m", input=3)  # wrong
client.create(model="m", input="Hi.", truncation="sometimes")  # wrong
client.stream(model="m", input="Hi.", stream=True)  # wrong
client.batch(["Hi."])  # wrong
client.run("weather", model="m", input="Hi.")  # wrong


class Printer(StreamHandler):
    """A handler for another event than it says."""

    @on(ResponseTextDeltaEvent)  # wrong
    def text(self, event: ResponseCompletedEvent) -> None:
        """Not called for this one."""

    @on(3)  # wrong
    def number(self, event: object) -> None:
        """Of no kind."""
