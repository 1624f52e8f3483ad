"""What type checkers must refuse of the wrappers around Chat Completions, line by line. It is never run."""

from __future__ import annotations

from openai import AsyncOpenAI, OpenAI

from antiphon.client import AsyncChatCompletions, ChatCompletions

ChatCompletions(AsyncOpenAI())  # wrong
AsyncChatCompletions(OpenAI())  # wrong
ChatCompletions(OpenAI(), pass_through=3)  # wrong
ChatCompletions(OpenAI(), passthrough={"seed"})  # wrong

client = ChatCompletions(OpenAI())
client.create(model="m", messages=[], temprature=1)  # wrong
client.create(messages=[])  # wrong
client.create(model="m", messages="Hi.")  # wrong
client.create(model="m", messages=[{"role": "user", "content": 3}])  # wrong
client.create(model="m", messages=[], max_output_tokens=9)  # wrong
print(client.create(model="m", messages=[]).output_text)  # wrong
