"""What observers are told: frozen records, in the order in which things happen.

    Began ─▶ (AttemptFailed | Resumed | FirstOutput)* ─▶ Ended          of each request
             (Optimised | Cached | Flagged | Spent | BudgetAlert)*      and what its layers have to say
    antiphon.policy.breaker.Transition                                  of a breaker, whenever it changes its state

An observer is a function of one record. It is called where things happen, so it must be quick, and it must not raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from antiphon.policy.breaker import Transition
from antiphon.policy.verdict import Verdict

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from openai.types.responses import ResponseUsage

    from antiphon.client.errors import ClientError
    from antiphon.wire.response import Usage

__all__ = [
    "AttemptFailed",
    "Began",
    "BudgetAlert",
    "Cached",
    "Ended",
    "FirstOutput",
    "Flagged",
    "Mark",
    "Observer",
    "Optimised",
    "Record",
    "Resumed",
    "Spent",
    "Status",
    "Transition",
]

Status: TypeAlias = Literal["completed", "incomplete", "failed", "cancelled", "stopped", "left"]
"""How a request ended. `stopped`: by `stop()`. `left`: its stream was closed, or its task cancelled."""

Mark: TypeAlias = Literal["", "miss", "hit", "shared"]
"""What the response cache did for a request; "" if it has nothing to do with it. `shared`: it followed an equal one."""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Of which request it is: `number` counts the requests of all clients of this process."""

    number: int
    model: str


class Began(_Record, frozen=True, kw_only=True):
    """A request begins."""

    streamed: bool
    background: bool


class AttemptFailed(_Record, frozen=True, kw_only=True):
    """The server was asked, and failed."""

    attempt: int
    error: ClientError
    then: Literal["retry", "resume", "give_up"]
    wait: float = 0.0
    """Seconds until it is asked again."""
    why: str = ""
    """Why it is given up: `antiphon.policy.retry.Why`."""


class Resumed(_Record, frozen=True, kw_only=True):
    """A broken stream goes on where it broke."""

    response_id: str
    after: int
    """The number of the last event that the caller has."""


class FirstOutput(_Record, frozen=True, kw_only=True):
    """The first event of an answer came."""

    seconds: float


class Ended(_Record, frozen=True, kw_only=True):
    """A request is over."""

    status: Status
    seconds: float
    first_output: float | None = None
    attempts: int = 0
    response_id: str | None = None
    answered_by: str | None = None
    """The model that the response says it is by."""
    usage: ResponseUsage | None = None
    """None where the server told none."""
    cache: Mark = ""
    error: ClientError | None = None


# What the layers say


class Optimised(_Record, frozen=True, kw_only=True):
    """A request was told in fewer tokens."""

    tokens_saved: int
    """Input tokens that are not sent, estimated where no tokenizer was asked."""
    dropped: int = 0
    """Items that were left out."""
    deduplicated: int = 0
    """Attachments that were sent before, and are only named now."""


class Cached(_Record, frozen=True, kw_only=True):
    """The response cache has looked."""

    mark: Mark


class Flagged(_Record, frozen=True, kw_only=True):
    """A moderator found something."""

    side: Literal["input", "output"]
    verdict: Verdict
    action: Literal["stop", "replace", "report"]


class Spent(_Record, frozen=True, kw_only=True):
    """What a call of the server cost, attempts that were thrown away included."""

    response_id: str | None
    cost: Decimal | None
    """US dollars; None where no price is known, which is not 0."""
    usage: Usage
    counted: bool = False
    """Whether tokens had to be counted here, since the server did not tell."""


class BudgetAlert(_Record, frozen=True, kw_only=True):
    """So much of a budget is used up. Told once in each of its periods."""

    budget: str
    """As in `5.00 USD a day`."""
    since: datetime
    """When the period began."""
    spent: Decimal
    limit: Decimal


Record: TypeAlias = (
    Began
    | AttemptFailed
    | Resumed
    | FirstOutput
    | Ended
    | Transition
    | Optimised
    | Cached
    | Flagged
    | Spent
    | BudgetAlert
)
Observer: TypeAlias = Callable[[Record], object]
