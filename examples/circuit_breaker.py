"""CircuitBreaker: a server that fails all the time is left alone, and asked again with care."""

from openai import OpenAI

from antiphon.client import BreakerSettings, CircuitOpen, Client, ConnectionFailed

settings = BreakerSettings(connect_failures=5, open_for=60, successes=2)
nobody = OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none")

with Client(nobody, breaker=settings, retry=False) as client:
    for number in range(1, 8):
        try:
            client.create(model="gpt-5", input="Hello")
        except ConnectionFailed:
            print(f"{number}: nobody there")
        except CircuitOpen as error:
            print(f"{number}: not asked; again in {error.retry_after:.0f} s")
