"""The faults that a production client must survive, by name.

A fault strikes before the first token, where it becomes an HTTP status, or with `after=N` when N tokens have been said
(or the answer is at its end, if it is shorter), where it becomes `response.failed`. The kinds of `MIDWAY` can only
strike midway, `slow_start` and `first` change when, or how often, a fault strikes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from antiphon.models.rehearsal.units import amount, duration
from antiphon.turn.deltas import IncompleteReason
from antiphon.wire.errors import (
    APIError,
    AuthenticationFailed,
    Conflict,
    InvalidRequest,
    NotFound,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    ServerError,
    ServerOverloaded,
    Unavailable,
    Unprocessable,
    UpstreamMalformed,
    UpstreamTimeout,
)

ERRORS: Final[dict[str, tuple[type[APIError], str | None]]] = {
    "400": (InvalidRequest, "invalid_prompt"),
    "401": (AuthenticationFailed, None),
    "403": (PermissionDenied, "permission_denied"),
    "404": (NotFound, "not_found"),
    "409": (Conflict, None),
    "422": (Unprocessable, "unprocessable"),
    "429": (RateLimited, None),
    "500": (ServerError, None),
    "502": (UpstreamMalformed, None),
    "503": (Unavailable, None),
    "504": (UpstreamTimeout, None),
    "quota": (QuotaExceeded, None),
    "overloaded": (ServerOverloaded, None),
    "context": (InvalidRequest, "context_length_exceeded"),
    "malformed": (UpstreamMalformed, None),
    "cut": (Unavailable, "upstream_cut"),
}
"""Kind → the error, and the code where the error has none of its own."""

INCOMPLETE: Final[dict[str, IncompleteReason]] = {
    "content_filter": "content_filter",
    "incomplete": "max_output_tokens",
}
"""Kind → the reason for which the answer ends early."""

STALL: Final = "stall"
MIDWAY: Final = ("cut", STALL, *INCOMPLETE)
KINDS: Final = (*ERRORS, STALL, *INCOMPLETE)
SLOW_START: Final = "slow_start"
FIRST: Final = "first"

_USUAL_AFTER: Final = 5
_MOST: Final = 1_000_000
_MOST_TIMES: Final = 100


class Fault(msgspec.Struct, frozen=True):
    """One fault."""

    kind: str
    after: int | None = None
    """Tokens before it strikes; None: before the first, as an HTTP status."""
    retry_after: float | None = None
    code: str | None = None
    delay: float = 0.0
    """Seconds of silence before the first token."""
    times: int = 0
    """It strikes so many times for the same turn, then no more; 0: always."""

    def error(self) -> APIError:
        """The error that it is."""
        error, code = ERRORS[self.kind]
        message = f"This is a rehearsal of '{self.kind}', as the request asked for it."
        return error(message, code=self.code or code, retry_after=self.retry_after)


def fault(words: str) -> Fault:
    """Read the words of `#fault`. Raises ValueError with what was expected."""
    kind, *rest = words.split() or [""]
    if kind == SLOW_START:
        return Fault(kind, delay=duration(" ".join(rest)))
    if kind != FIRST:
        return _of_kind(kind, rest)
    times = amount(rest[0] if rest else "", _MOST_TIMES)
    found = _of_kind(*_head(rest[1:], "503"))
    return msgspec.structs.replace(found, times=times)


def _head(words: list[str], usual: str) -> tuple[str, list[str]]:
    return (words[0], words[1:]) if words and "=" not in words[0] else (usual, words)


def _of_kind(kind: str, options: list[str]) -> Fault:
    if kind not in KINDS:
        raise ValueError(f"one of: {', '.join(KINDS)}, {SLOW_START} DURATION, {FIRST} N KIND")
    fields: dict[str, Any] = {"after": _USUAL_AFTER if kind in MIDWAY else None}
    for option in options:
        name, _, value = option.partition("=")
        if name not in _OPTIONS or not value:
            raise ValueError(f"the options {', '.join(_OPTIONS)}, each with its value, as in after=5")
        fields[name] = _OPTIONS[name](value)
    return Fault(kind, **fields)


def _seconds(text: str) -> float:
    return float(amount(text, 86_400, least=0)) if text.isdecimal() else duration(text)


_OPTIONS: Final[dict[str, Callable[[str], Any]]] = {
    "after": lambda value: amount(value, _MOST, least=0),
    "retry_after": _seconds,
    "code": str,
    "delay": duration,
}
