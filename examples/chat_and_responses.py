"""The same question in Chat Completions and in Responses, whole and as a stream."""

from openai import OpenAI

QUESTION = "Explain quantum computing"


def chat(client: OpenAI) -> str:
    completion = client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": QUESTION}])
    return completion.choices[0].message.content or ""


def chat_stream(client: OpenAI) -> str:
    stream = client.chat.completions.create(
        model="gpt-5",
        messages=[{"role": "user", "content": QUESTION}],
        stream=True,
        stream_options={"include_usage": True},
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)  # the last has none


def responses(client: OpenAI) -> str:
    return client.responses.create(model="gpt-5", input=QUESTION).output_text


def responses_stream(client: OpenAI) -> str:
    with client.responses.create(model="gpt-5", input=QUESTION, stream=True) as stream:
        return "".join(event.delta for event in stream if event.type == "response.output_text.delta")


if __name__ == "__main__":
    with OpenAI() as client:
        for ask in (chat, chat_stream, responses, responses_stream):
            print(f"{ask.__name__}: {ask(client)[:60]}")
