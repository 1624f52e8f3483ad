"""The shortest stream: the SDK alone, no toolkit."""

from openai import OpenAI

with OpenAI() as client, client.responses.create(model="gpt-5", input="Hello", stream=True) as stream:
    for event in stream:
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
print()
