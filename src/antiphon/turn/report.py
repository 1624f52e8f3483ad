"""What observers are told: figures about a piece of work, and no word of its content.

A *piece of work* is a response, or another thing that a model was asked for. `Began` comes when it begins, `Report`
once, when it is over. `Answered` comes for each HTTP request, also for those that were refused before they became work.
Nothing is told for a delta.
"""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise
from typing import Literal, TypeAlias

import msgspec

from antiphon.turn.trace import Attempt, Outcome, Trace, usage_of
from antiphon.wire.response import Usage

__all__ = ["Answered", "Began", "Operation", "Report"]

Operation: TypeAlias = Literal["response", "embeddings", "moderation"]


class Began(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work begins."""

    operation: Operation = "response"
    id: str
    model: str
    organization: str = "default"
    project: str
    key_id: str = ""
    """The key that asked; empty on an open server."""
    asked: str = ""
    """The model that the request named."""
    streamed: bool
    background: bool
    stored: bool = False
    upstream: str = ""
    """Where it goes first: an address; empty for a backend in this process."""
    upstream_model: str = ""
    input_tokens: int = 0
    """How long the input is, estimated; 0 where the store has it."""
    at: float
    """Unix time in seconds."""
    trace: Trace
    """Here an observer that traces puts what goes to the upstreams (`traceparent`). All else is only looked at."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of work is over. Times are in seconds."""

    operation: Operation = "response"
    id: str
    request_id: str = ""
    """The HTTP request that asked for it; empty for a response that was taken over from another process."""
    organization: str = "default"
    project: str = "default"
    key_id: str = ""
    """The key that asked; empty on an open server."""
    asked: str = ""
    """The model that the request named."""
    service_tier: str | None = None
    """The one that the request named: that of all that is used where its attempt does not say."""
    model: str
    """The model that the answer says it is by."""
    upstream: str = ""
    """Where the answer is from: an address, or the name of a backend that has none."""
    upstream_model: str = ""
    streamed: bool = False
    background: bool = False
    stored: bool = False
    at: float
    """When it began, as Unix time."""
    took: float
    first_token: float | None = None
    """From the beginning to the first output."""
    queued: float = 0.0
    usage: Usage | None = None
    outcome: Outcome
    reason: str | None = None
    """Why it is incomplete."""
    error: str | None = None
    """The code of the error that ended it."""
    error_class: str | None = None
    """Its class in `antiphon.wire.errors`."""
    refused: bool = False
    """Whether it ended before the response existed: then the error was the HTTP answer."""
    attempts: tuple[Attempt, ...] = ()
    """Their `began` counts from the beginning of the work."""
    cache: Literal["", "miss", "hit", "shared"] = ""
    reused: tuple[Attempt, ...] = ()
    """Attempts that others have paid for, and that the response cache answered with."""
    apart: Usage | None = None
    """What was used by a model whose attempts are not noted, as those of the built-in one."""
    tokens_saved: int = 0
    cost: Decimal | None = None
    """In US dollars; None where no price is known."""
    saved: Decimal | None = None
    """What the unpaid usage would have cost."""

    @property
    def unpaid(self) -> Usage | None:
        """What of the usage cost nothing, because the response cache answered."""
        return usage_of(self.reused)

    @property
    def retries(self) -> int:
        """Attempts that went where the one before them had gone."""
        return sum(_same_place(before, after) for before, after in self._pairs())

    @property
    def fallbacks(self) -> int:
        """Attempts that went elsewhere, because the one before them failed."""
        return sum(not _same_place(before, after) for before, after in self._pairs())

    @property
    def is_estimated(self) -> bool:
        """Whether the tokens of an attempt, and so the cost, are an estimate."""
        return any(attempt.is_estimated for attempt in self.attempts)

    @property
    def token_time(self) -> float | None:
        """Seconds that each output token took after the first; None where that cannot be told."""
        tokens = self.usage.output_tokens if self.usage is not None else 0
        if self.first_token is None or tokens < 2:
            return None
        return (self.took - self.first_token) / (tokens - 1)

    def _pairs(self) -> list[tuple[Attempt, Attempt]]:
        """Each attempt but the first, with the one before it. One that ran beside another, or judges, followed none."""
        row = [attempt for attempt in self.attempts if not (attempt.is_hedge or attempt.judges)]
        return list(pairwise(row))


def _same_place(before: Attempt, after: Attempt) -> bool:
    return (before.upstream, before.model) == (after.upstream, after.model)


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP request was answered, or its client left."""

    request_id: str
    method: str
    route: str
    """The template of its path (`/v1/responses/{response_id}`); `unknown` for a path that there is not."""
    status: int | None
    """None if the client left before the answer began."""
    took: float
    work: str | None = None
    """The id of the piece of work that it asked for."""
    background: bool = False
    """Whether that goes on by itself: else its end belongs to the request."""
    error: str | None = None
    error_class: str | None = None
