"""Trace: what happens around a response that the protocol has no word for.

One trace goes with a response through all its turns. Whoever does something notes it here; nobody decides by it.
Observers get it when the response is over. Times are monotonic, in seconds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import reduce
from typing import Literal, TypeAlias

import msgspec

from antiphon.turn.usage import added
from antiphon.wire.response import Usage

Outcome: TypeAlias = Literal["completed", "incomplete", "failed", "cancelled"]


class Attempt(msgspec.Struct):
    """One request to one upstream."""

    upstream: str
    """Where it went: the address of the upstream, or the name of a backend that has none."""
    model: str
    began: float
    first_token: float | None = None
    """Seconds from its beginning to its first output."""
    took: float = 0.0
    """Seconds from its beginning to its end."""
    outcome: Outcome | None = None
    """None while it runs."""
    code: str | None = None
    """The code of the error that ended it."""
    usage: Usage | None = None
    """What its upstream reported, or what was counted. None: its upstream never took it."""
    is_estimated: bool = False
    """Whether the usage is an estimate, because the upstream told none: it was stopped, or it broke off."""
    is_hedge: bool = False
    """Whether it ran beside another, to be faster."""
    judges: bool = False
    """Whether a moderator made it: its words are no part of the answer."""
    is_past: bool = False
    """Whether it was made before a restart, and is only remembered."""
    service_tier: str | None = None
    """The one that its upstream told, else the one that was asked for."""
    tools: Mapping[str, int] = {}
    """The hosted tools that its upstream ran, by what is billed: `web_search_calls`, `code_interpreter_sessions`."""
    cost: Decimal | None = None
    """In US dollars, once the work is over; None where the price is not known."""


def served_by(attempts: Sequence[Attempt]) -> Attempt | None:
    """The attempt whose words are the answer; where none is, the last."""
    made = [one for one in attempts if not one.judges]
    answers = (one for one in reversed(made) if one.outcome not in ("failed", "cancelled"))
    return next(answers, made[-1] if made else None)


def usage_of(attempts: Iterable[Attempt]) -> Usage | None:
    """What some attempts have used together; None if nothing is known of any."""
    usages = [one.usage for one in attempts if one.usage is not None]
    return reduce(added, usages) if usages else None


class Trace(msgspec.Struct):
    """What happened around one response."""

    request_id: str = ""
    traceparent: str = ""
    """The W3C trace context that goes to the upstreams: the request's own, or that of our span below it."""
    began: float = 0.0
    first_output: float | None = None
    """When the first output was heard."""
    queued: float = 0.0
    """Seconds that the response waited for a place at an upstream."""
    attempts: list[Attempt] = []
    cache: Literal["", "miss", "hit", "shared"] = ""
    """What the response cache did; `shared`: the answer to an equal request of the same moment was followed.
    Of several turns the one that cost most counts: a miss before what was shared, and that before a hit."""
    reused: list[Attempt] = []
    """Attempts that another request has made and paid for, and whose words were said again here: in all turns where
    `cache` is `hit` or `shared`; in some of several where it is `miss`. Their usage cost nothing here."""
    tokens_saved: int = 0
    """Input tokens that were left out of the context, estimated."""
    notes: list[str] = []
    """What was done to the request on its way, in words for people: the value of a header."""

    def aside(self) -> Trace:
        """A trace for what is asked beside the response: of all that happens there only the attempts are noted here."""
        return Trace(request_id=self.request_id, traceparent=self.traceparent, began=self.began, attempts=self.attempts)

    def alone(self) -> Trace:
        """A trace for what may become the work of another response: nothing of it is noted here by itself."""
        return Trace(request_id=self.request_id, traceparent=self.traceparent, began=self.began)

    @property
    def headers(self) -> dict[str, str]:
        """What a request to an upstream has beside its own headers."""
        return {"traceparent": self.traceparent} if self.traceparent else {}
