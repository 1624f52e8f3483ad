"""The clients that `antiphon connect` knows: for each, where its configuration goes and what it says.

In a template `$base_url`, `$model` and `$key` stand for literals or expressions in the client's own language; `$$` is a
dollar sign. A key is never printed: what is printed says where to read it.
"""

from __future__ import annotations

import shlex
from string import Template
from typing import Final, NamedTuple

import msgspec

__all__ = ["CLIENTS", "Client", "Server", "configuration"]

VARIABLE: Final = "ANTIPHON_API_KEY"


class Server(NamedTuple):
    """What a client must know of the server."""

    base_url: str
    model: str
    keyed: bool
    """Whether it asks for a key, which is then in $ANTIPHON_API_KEY."""


class Client(NamedTuple):
    """A client, and how it is told of the server."""

    title: str
    place: str
    """Where the configuration goes."""
    template: str
    key: str = "none"
    """How the key is read from the environment; `none` where the template does that itself."""
    no_key: str = '"none"'
    """What stands in its place where no key is asked for: most clients insist on one."""


def configuration(client: Client, server: Server) -> str:
    """What the client's configuration must say."""
    body = msgspec.json.encode({"model": server.model, "input": "Who are you?", "stream": True}).decode()
    return Template(client.template).substitute(
        base_url=_literal(server.base_url),
        url=server.base_url,
        model=_literal(server.model),
        name=server.model,
        key=client.key if server.keyed else client.no_key,
        body=shlex.quote(body),
    )


def _literal(text: str) -> str:
    """A text in double quotes, as Python, JavaScript and TOML read it."""
    return msgspec.json.encode(text).decode()


_PYTHON_KEY: Final = f'os.environ["{VARIABLE}"]'
_NODE_KEY: Final = f"process.env.{VARIABLE}"

CLIENTS: Final[dict[str, Client]] = {
    "codex": Client(
        "Codex CLI",
        "into ~/.codex/config.toml, above its first [table]",
        """\
model = $model
model_provider = "antiphon"

[model_providers.antiphon]
name = "Antiphon"
base_url = $base_url
wire_api = "responses"
$key""",
        key=f'env_key = "{VARIABLE}"\n',
        no_key="",
    ),
    "openai": Client(
        "the official Python SDK",
        "pip install openai",
        """\
import os

from openai import OpenAI

client = OpenAI(base_url=$base_url, api_key=$key)
with client.responses.stream(model=$model, input="Who are you?") as stream:
    for event in stream:
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
""",
        key=_PYTHON_KEY,
    ),
    "openai-node": Client(
        "the official JavaScript SDK",
        "npm install openai",
        """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: $base_url, apiKey: $key });
const stream = await client.responses.create({ model: $model, input: "Who are you?", stream: true });
for await (const event of stream) {
  if (event.type === "response.output_text.delta") process.stdout.write(event.delta);
}
""",
        key=_NODE_KEY,
    ),
    "ai-sdk": Client(
        "the AI SDK of Vercel",
        "npm install ai @ai-sdk/openai",
        """\
import { createOpenAI } from "@ai-sdk/openai";
import { streamText } from "ai";

const antiphon = createOpenAI({ baseURL: $base_url, apiKey: $key });
const { textStream } = streamText({ model: antiphon.responses($model), prompt: "Who are you?" });
for await (const text of textStream) process.stdout.write(text);
""",
        key=_NODE_KEY,
    ),
    "langchain": Client(
        "LangChain for Python",
        "pip install langchain-openai",
        """\
import os

from langchain_openai import ChatOpenAI

llm = ChatOpenAI(model=$model, base_url=$base_url, api_key=$key, use_responses_api=True)
for chunk in llm.stream("Who are you?"):
    print(chunk.text, end="", flush=True)
""",
        key=_PYTHON_KEY,
    ),
    "pydantic-ai": Client(
        "Pydantic AI",
        'pip install "pydantic-ai-slim[openai]"',
        """\
import os

from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = OpenAIProvider(base_url=$base_url, api_key=$key)
agent = Agent(OpenAIResponsesModel($model, provider=provider))
print(agent.run_sync("Who are you?").output)
""",
        key=_PYTHON_KEY,
    ),
    "llamaindex": Client(
        "LlamaIndex for Python",
        "pip install llama-index-llms-openai; context_window is the model's, in tokens",
        """\
import os

from llama_index.llms.openai import OpenAIResponses

llm = OpenAIResponses(model=$model, api_base=$base_url, api_key=$key, context_window=32000)
print(llm.complete("Who are you?"))
""",
        key=_PYTHON_KEY,
    ),
    "n8n": Client(
        "n8n",
        "in the editor: a credential of the kind OpenAI, and the node OpenAI Chat Model",
        """\
Credential "OpenAI"
  API Key             $key
  Base URL            $url
Node "OpenAI Chat Model"
  Model               $name  (by ID)
  Use Responses API   on
""",
        key=f"the value of {VARIABLE}",
        no_key="none",
    ),
    "open-webui": Client(
        "Open WebUI",
        "in Admin Settings, Connections, OpenAI API: add a connection",
        """\
URL        $url
API Type   Responses
Key        $key
Model ID   $name
""",
        key=f"the value of {VARIABLE}",
        no_key="none",
    ),
    "curl": Client(
        "curl",
        "in a shell; -N shows each event as it comes",
        """\
curl -N $url/responses -H "Content-Type: application/json"$key \\
  -d $body
""",
        key=f' -H "Authorization: Bearer ${VARIABLE}"',
        no_key="",
    ),
}
