"""What an upstream's refusal means to our client: one table of statuses, one of codes, one reader of error bodies.

A refusal keeps its meaning: the client's fault stays a 400 with message, code and param, a limit stays a 429 with its
Retry-After, an outage is a 503. A refused key is never the client's 401: it is our configuration, so a 502, without
the upstream's words, which may quote the key. Nothing here knows a network or a clock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import msgspec

from antiphon.wire.errors import (
    APIError,
    AuthenticationFailed,
    InvalidRequest,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    ServerOverloaded,
    Unavailable,
    UpstreamMalformed,
    UpstreamTimeout,
)

__all__ = ["MAX_TEXT", "error_in_stream", "error_of_answer", "retry_after"]

MAX_TEXT: Final = 500
"""Characters of an upstream's text that are passed on."""

MAX_WAIT: Final = 366 * 86400.0
"""Seconds. A longer Retry-After is a mistake, not a hint."""


_BY_STATUS: Final[dict[int, type[APIError]]] = {
    400: InvalidRequest,
    401: AuthenticationFailed,
    402: QuotaExceeded,
    403: PermissionDenied,
    404: InvalidRequest,
    406: InvalidRequest,
    408: Unavailable,
    409: Unavailable,
    410: InvalidRequest,
    413: InvalidRequest,
    422: InvalidRequest,
    424: Unavailable,
    425: Unavailable,
    429: RateLimited,
    451: InvalidRequest,
    529: ServerOverloaded,
}
"""Other 5xx are Unavailable. What is left (3xx, 405, 415...) says that this is not the server it is taken for."""

_QUOTA: Final = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "billing_hard_limit_reached",
        "billing_not_active",
    }
)
"""Codes of a 429 for which waiting does not help (OpenAI's documentation of error codes)."""

_BY_CODE: Final[dict[str, type[APIError]]] = {
    **dict.fromkeys(_QUOTA, QuotaExceeded),
    **dict.fromkeys(("rate_limit_exceeded", "rate_limit_error", "slow_down", "too_many_requests"), RateLimited),
    **dict.fromkeys(("authentication_error", "invalid_api_key", "unauthorized"), AuthenticationFailed),
    **dict.fromkeys(("permission_error", "permission_denied"), PermissionDenied),
    **dict.fromkeys(("overloaded_error", "server_is_overloaded"), ServerOverloaded),
    **dict.fromkeys(("timeout", "timeout_error", "request_timeout"), UpstreamTimeout),
    **dict.fromkeys(
        (
            "badrequesterror",
            "context_length_exceeded",
            "exceed_context_size_error",
            "invalid_prompt",
            "invalid_request",
            "invalid_request_error",
            "invalid_value",
            "model_not_found",
            "not_found_error",
            "notfounderror",
            "unsupported_parameter",
            "unsupported_value",
        ),
        InvalidRequest,
    ),
}
"""The code, or else the type, of an error object that comes without a status: OpenAI's words and those of vLLM,
llama.cpp and Anthropic-like servers, in lower case. All others are Unavailable."""

_CONTEXT: Final = re.compile(
    r"maximum context length|context[ _]length|context (size|window)|exceed_context_size|prompt is too long",
    re.IGNORECASE,
)
_KEY: Final = re.compile(r"\b(sk|rk|pk|gsk|xai|nvapi|hf|AIza)[-_][\w*.-]{6,}|\bBearer\s+\S{8,}", re.IGNORECASE)
_CODE: Final = re.compile(r"[\w.:/-]{1,64}")
"""What is a code: a word for programs, which logs and metrics may hold. Anything else may quote what was sent."""
_MARKUP: Final = re.compile(r"^\s*<|<(html|body|head|!doctype)\b", re.IGNORECASE)


class Said(msgspec.Struct):
    """What an error body says, whatever its shape."""

    message: str = ""
    code: str | None = None
    type: str | None = None
    param: str | None = None
    status: int | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """Code and type in lower case, the more precise one first."""
        return tuple(word.lower() for word in (self.code, self.type) if word)


def error_of_answer(
    status: int, headers: Mapping[str, str], body: bytes, *, now: float, secret: str | None = None
) -> APIError:
    """The error that an HTTP answer other than 200 means. `headers` has names in any case, `now` is Unix time."""
    said = _read(body)
    said.status = status
    return _error(_by_status(said), said, f"The upstream answered {status}", secret, retry_after(headers, now))


def error_in_stream(error: Any, *, secret: str | None = None) -> APIError:
    """The error that an error object means, where there is no status: in a stream, or in a 200.

    `error` is decoded JSON: the object, its `error`, or plain text.
    """
    said = _said(error)
    kind = _by_words(said) if said.status is None else _by_status(said)
    return _error(kind, said, "The upstream failed", secret)


def _by_status(said: Said) -> type[APIError]:
    """Which error it is: by status, and where a status has several meanings, by code."""
    status = said.status or 0
    if status == 429 and any(word in _QUOTA for word in said.words):
        return QuotaExceeded
    if status == 503 and "server_is_overloaded" in said.words:
        return ServerOverloaded
    return _BY_STATUS.get(status) or (Unavailable if status >= 500 else UpstreamMalformed)


def _by_words(said: Said) -> type[APIError]:
    return next((kind for word in said.words if (kind := _BY_CODE.get(word))), Unavailable)


def _error(kind: type[APIError], said: Said, lead: str, secret: str | None, wait: float | None = None) -> APIError:
    text = _clean(said.message, secret)
    if issubclass(kind, AuthenticationFailed | PermissionDenied):
        return _key_refused()
    if issubclass(kind, InvalidRequest):
        message = text or f"The upstream refused the request ({said.status or 400})."
        return kind(message, code=_code(said, text), param=said.param)
    if issubclass(kind, RateLimited):  # speaks for itself: clients read the seconds out of its text
        return kind(text or f"{lead}.", code=said.code, retry_after=wait)
    return kind(f"{lead}: {text}" if text else f"{lead}.", retry_after=wait)


def _key_refused() -> UpstreamMalformed:
    """Our key is not the client's: to the client this is a server that is configured wrongly."""
    return UpstreamMalformed(
        "The upstream refused the key that this server is configured with.",
        code="upstream_key_refused",
        should_retry=False,
    )


def _code(said: Said, text: str) -> str | None:
    if _CONTEXT.search(f"{said.type} {text}"):
        return "context_length_exceeded"  # a client compacts or truncates when it reads this code
    return said.code or ("model_not_found" if said.status == 404 else None)


# --- reading error bodies


def _read(body: bytes) -> Said:
    """JSON of any shape, or text. A body that is deeper than msgspec goes is no message for anybody."""
    try:
        return _said(msgspec.json.decode(body))
    except msgspec.DecodeError:
        return Said(message=body.decode("utf-8", "replace"))
    except (RecursionError, UnicodeDecodeError):
        return Said()


def _said(error: Any) -> Said:
    """Takes `{"error": {...}}`, `{"error": "..."}`, `{"detail": ...}`, `{"message": ...}`, lists of them, and text."""
    match error:
        case str():
            return Said(message=error)
        case [first, *_]:
            return _said(first)
        case {"error": (dict() | str() | list()) as inner}:
            return _said(inner)
        case {"detail": (dict() | str() | list()) as inner}:
            return _said(inner)
        case {"errors": [first, *_]}:
            return _said(first)
        case dict():
            return _of_object(error)
    return Said()


def _of_object(error: dict[str, Any]) -> Said:
    code = error.get("code")
    numbers = (value for value in (error.get("status"), code) if isinstance(value, int) and 400 <= value < 600)
    return Said(
        message=_text(error, "message") or _text(error, "msg") or "",
        code=code if isinstance(code, str) and _CODE.fullmatch(code) else None,
        type=_text(error, "type"),
        param=_text(error, "param"),
        status=next(numbers, None),
    )


def _text(error: dict[str, Any], key: str) -> str | None:
    value = error.get(key)
    return value if isinstance(value, str) and value else None


def _clean(text: str, secret: str | None) -> str:
    """One line of text for a client: no markup, no control characters, no key, at most MAX_TEXT characters."""
    if _MARKUP.search(text) or _KEY.search(text) or (secret and secret in text):
        return ""
    printable = "".join(char if char.isprintable() else " " for char in text[: 4 * MAX_TEXT])
    return " ".join(printable.split())[:MAX_TEXT]


# --- Retry-After


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds to wait, from `retry-after-ms`, else `Retry-After` in seconds or as an HTTP date. None if not said.

    A date is read against the upstream's own `Date`, so that neither clock matters; without it, against `now`.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if (milliseconds := _number(lower.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    hint = lower.get("retry-after")
    seconds = _number(hint)
    if seconds is not None or hint is None:
        return seconds
    until = _date(hint)
    since = _date(lower.get("date")) or now
    return min(max(until - since, 0.0), MAX_WAIT) if until else None


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else -1.0
    except ValueError:
        return None
    return value if 0 <= value <= MAX_WAIT else None


def _date(text: str | None) -> float | None:
    try:
        moment: datetime | None = parsedate_to_datetime(text) if text else None
    except ValueError:
        return None
    if moment is not None and moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp() if moment else None
