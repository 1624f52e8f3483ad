"""Embeddings: one request to one upstream, reported as every other work is."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping

from antiphon.engine.accounts import OPEN
from antiphon.engine.report import Observers
from antiphon.engine.till import Till
from antiphon.engine.work import Work
from antiphon.policy.access import Principal
from antiphon.ports import Clock, Embedder
from antiphon.tokens import estimate
from antiphon.turn.trace import Attempt, Trace
from antiphon.wire.embeddings import CreateEmbeddings, EmbeddingList
from antiphon.wire.errors import APIError, InvalidRequest
from antiphon.wire.response import Usage
from antiphon.wire.struct import encode

__all__ = ["EVERY_OTHER", "Embeddings"]

EVERY_OTHER = "*"
"""The name of the upstream that answers all names which no other has."""


class Embeddings:
    """The models that turn text into vectors."""

    def __init__(self, embedders: Mapping[str, Embedder], clock: Clock, observers: Observers, till: Till) -> None:
        self._embedders = embedders
        self._clock = clock
        self._observers = observers
        self._till = till

    def names(self) -> list[str]:
        """What requests may name, in the order of the configuration."""
        return [name for name in self._embedders if name != EVERY_OTHER]

    async def create(
        self, project: str, request: CreateEmbeddings, trace: Trace, *, principal: Principal = OPEN
    ) -> EmbeddingList:
        """Ask the upstream of a model. Raises InvalidRequest (400 `model_not_found`), or what the upstream means.

        Raises RateLimited or QuotaExceeded if limits or budgets have no room for it.
        """
        embedder = self._choose(request.model)
        work = Work(
            "embeddings",
            f"emb_{secrets.token_hex(20)}",
            model=request.model,
            project=project,
            principal=principal,
            trace=trace,
            clock=self._clock,
            upstream=(embedder.address, embedder.name_for(request.model)),
            input_tokens=estimate(len(encode(request.input))),
        )
        with work.told(self._observers):
            self._till.admit(work.asking())
            answer = await self._ask(embedder, request, work)
        answer.model = request.model
        return answer

    async def _ask(self, embedder: Embedder, request: CreateEmbeddings, work: Work) -> EmbeddingList:
        """Make the one attempt, and note it. One that ends in a defect has failed, without a code.

        An upstream that is left may have done the work all the same: it is taken to have read the input.
        """
        attempt = Attempt(*work.upstream, self._clock.monotonic(), outcome="failed")
        work.trace.attempts.append(attempt)
        try:
            answer = await embedder.embed(request, work.trace.headers)
        except APIError as error:
            attempt.code = error.code
            raise
        except asyncio.CancelledError:
            attempt.outcome, attempt.is_estimated = "cancelled", True
            attempt.usage = Usage(input_tokens=work.input_tokens, total_tokens=work.input_tokens)
            raise
        finally:
            attempt.took = self._clock.monotonic() - attempt.began
        used = answer.usage
        attempt.outcome = "completed"
        attempt.usage = Usage(input_tokens=used.prompt_tokens, total_tokens=used.total_tokens)
        return answer

    def _choose(self, name: str) -> Embedder:
        embedder = self._embedders.get(name) if name != EVERY_OTHER else None
        embedder = embedder or self._embedders.get(EVERY_OTHER)
        if embedder is not None:
            return embedder
        available = ", ".join(self.names())
        known = f"Available embedding models: {available}." if available else "No embedding model is configured."
        message = f"The model '{name[:200]}' does not exist. {known}"
        raise InvalidRequest(message, param="model", code="model_not_found")

    async def aclose(self) -> None:
        """Close all upstreams."""
        for embedder in self._embedders.values():
            await embedder.aclose()
