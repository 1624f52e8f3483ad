"""OptimizedResponsesClient: cache, costs and fewer tokens in one client. No text is ever cut."""

from openai import OpenAI

from antiphon.client import Cache, Client, Costs, Optimiser

optimiser = Optimiser(context_window=8000)
cache = Cache()
costs = Costs(provider="openai")

if __name__ == "__main__":
    page = "A long page about the sea, of which each word matters. " * 400
    with Client(OpenAI(), optimiser=optimiser, cache=cache, costs=costs) as client:
        for question in ("What is it about?", "What is it about?", "And in one word?"):
            response = client.create(
                model="gpt-5-mini",
                input=[
                    {"role": "user", "content": page},
                    {"role": "assistant", "content": "I have read it."},
                    {"role": "user", "content": page},
                    {"role": "assistant", "content": "That one too."},
                    {"role": "user", "content": question},
                ],
                max_output_tokens=1000,
            )
            print(response.output_text[:60])
    print(f"{optimiser.saved} tokens were not sent, {cache.statistics.hits} answers not asked for")
    print(f"{costs.summary().cost} USD were spent")
