"""Keys: from the environment, never from the code, and missed at once rather than with the first request."""

import os

from openai import OpenAI

if "OPENAI_API_KEY" not in os.environ:
    raise SystemExit("Set OPENAI_API_KEY. A server of your own may take any text for it.")

client = OpenAI(
    api_key=os.environ["OPENAI_API_KEY"],
    organization=os.environ.get("OPENAI_ORG_ID"),
    project=os.environ.get("OPENAI_PROJECT_ID"),
)
print([model.id for model in client.models.list()][:5])
