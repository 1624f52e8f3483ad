"""Embeddings: one request to one upstream, reported as every other work is."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping

from antiphon.engine.report import Observers
from antiphon.ports import Clock, Embedder
from antiphon.turn.report import Began, Report
from antiphon.turn.trace import Attempt, Trace
from antiphon.wire.embeddings import CreateEmbeddings, EmbeddingList
from antiphon.wire.errors import APIError, InvalidRequest
from antiphon.wire.response import Usage

__all__ = ["EVERY_OTHER", "Embeddings"]

EVERY_OTHER = "*"
"""The name of the upstream that answers all names which no other has."""


class Embeddings:
    """The models that turn text into vectors."""

    def __init__(self, embedders: Mapping[str, Embedder], clock: Clock, observers: Observers) -> None:
        self._embedders = embedders
        self._clock = clock
        self._observers = observers

    def names(self) -> list[str]:
        """What requests may name, in the order of the configuration."""
        return [name for name in self._embedders if name != EVERY_OTHER]

    async def create(self, project: str, request: CreateEmbeddings, trace: Trace) -> EmbeddingList:
        """Ask the upstream of a model. Raises InvalidRequest (400 `model_not_found`), or what the upstream means."""
        embedder = self._choose(request.model)
        work = _Work(project, request, trace, embedder, self._clock)
        self._observers.began(work.began())
        try:
            answer = await embedder.embed(request, trace.headers)
            work.is_answered(answer)
        except APIError as error:
            work.has_failed(error)
            raise
        except asyncio.CancelledError:
            work.attempt.outcome = "cancelled"
            raise
        finally:
            self._observers.ended(work.report())
        answer.model = request.model
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


class _Work:
    """One request while it is served. One that ends in a defect has failed, without a code."""

    def __init__(self, project: str, request: CreateEmbeddings, trace: Trace, embedder: Embedder, clock: Clock) -> None:
        self._id = f"emb_{secrets.token_hex(20)}"
        self._project = project
        self._model = request.model
        self._trace = trace
        self._clock = clock
        self._at = clock.now()
        self._error: APIError | None = None
        trace.began = clock.monotonic()
        self.attempt = Attempt(embedder.address, embedder.name_for(request.model), 0.0, outcome="failed")

    def began(self) -> Began:
        """What is told of it as it begins."""
        return Began(
            operation="embeddings",
            id=self._id,
            model=self._model,
            project=self._project,
            streamed=False,
            background=False,
            at=self._at,
            trace=self._trace,
        )

    def is_answered(self, answer: EmbeddingList) -> None:
        """The upstream has answered."""
        used = answer.usage
        self.attempt.outcome = "completed"
        self.attempt.usage = Usage(input_tokens=used.prompt_tokens, total_tokens=used.total_tokens)

    def has_failed(self, error: APIError) -> None:
        """The upstream has refused, or did not answer."""
        self.attempt.code = error.code
        self._error = error

    def report(self) -> Report:
        """What is told of it when it is over."""
        attempt, error = self.attempt, self._error
        attempt.took = self._clock.monotonic() - self._trace.began
        return Report(
            operation="embeddings",
            id=self._id,
            request_id=self._trace.request_id,
            project=self._project,
            asked=self._model,
            model=self._model,
            upstream=attempt.upstream,
            upstream_model=attempt.model,
            at=self._at,
            took=attempt.took,
            usage=attempt.usage,
            outcome=attempt.outcome or "failed",
            error=error.code if error is not None else None,
            error_class=type(error).__name__ if error is not None else None,
            refused=True,
            attempts=(attempt,),
        )
