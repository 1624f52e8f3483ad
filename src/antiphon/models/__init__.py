"""THE MODELS: single backends. Each takes a turn and says it in batches of deltas, as `antiphon.ports.Model` asks.

* `rehearsal`         the built-in model, without weights and without a network
* `chat_completions`  any server of the Chat Completions API
* `responses`         any server of the Responses API
* `upstream`          the HTTP that the two share; `upstream_errors` says what its failures mean

Nothing here retries, falls back or counts attempts: that is the engine's. aiohttp is imported when the first upstream
is used, because it takes longer to import than the rest of the server.
"""
