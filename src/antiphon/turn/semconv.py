"""The names of OpenTelemetry's semantic conventions that our spans use, the server's and the toolkit's, and no others.

The conventions for generative AI are still in development: a name that changes, changes here. As of November 2026 they
are kept at https://github.com/open-telemetry/semantic-conventions-genai (docs/gen-ai/gen-ai-spans.md); the names of
`server.*` and `error.*` are stable.
"""

from __future__ import annotations

from typing import Final

OPERATION: Final = "gen_ai.operation.name"
PROVIDER: Final = "gen_ai.provider.name"
REQUEST_MODEL: Final = "gen_ai.request.model"
REQUEST_STREAM: Final = "gen_ai.request.stream"
RESPONSE_ID: Final = "gen_ai.response.id"
RESPONSE_MODEL: Final = "gen_ai.response.model"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
SERVER_ADDRESS: Final = "server.address"
SERVER_PORT: Final = "server.port"
ERROR_TYPE: Final = "error.type"
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"

REQUEST_ID: Final = "antiphon.request.id"
PROJECT: Final = "antiphon.project"
BACKGROUND: Final = "antiphon.background"
OUTCOME: Final = "antiphon.outcome"
QUEUED: Final = "antiphon.queued"
CACHE: Final = "antiphon.cache"
COST: Final = "antiphon.cost.usd"
HEDGE: Final = "antiphon.attempt.hedge"
JUDGES: Final = "antiphon.attempt.judges"
ESTIMATED: Final = "antiphon.attempt.estimated"
ATTEMPTS: Final = "antiphon.attempts"
ATTEMPT: Final = "antiphon.attempt.number"
THEN: Final = "antiphon.attempt.then"
WAIT: Final = "antiphon.attempt.wait"
AFTER: Final = "antiphon.resumed.after"
SIDE: Final = "antiphon.flagged.side"
CATEGORIES: Final = "antiphon.flagged.categories"
ACTION: Final = "antiphon.flagged.action"

CHAT: Final = "chat"
EMBEDDINGS: Final = "embeddings"
MODERATION: Final = "moderation"
OURS: Final = "antiphon"
OPENAI: Final = "openai"
"""The provider of every server of OpenAI's API: the name says how to read a span, not whose model it is."""
