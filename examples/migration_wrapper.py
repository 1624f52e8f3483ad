"""MigrationWrapper: a program of Chat Completions over a Responses endpoint; the SDK's own objects come back."""

from openai import OpenAI

from antiphon.client import ChatCompletions

if __name__ == "__main__":
    client = ChatCompletions(OpenAI())
    completion = client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "Hello"}])
    print(completion.choices[0].message.content, completion.choices[0].finish_reason)
    for chunk in client.chat.completions.create(
        model="gpt-5", messages=[{"role": "user", "content": "Hello"}], stream=True
    ):
        if chunk.choices and chunk.choices[0].delta.content:
            print(chunk.choices[0].delta.content, end="", flush=True)
    print()
