"""The border between the SDK and the rest: the only place that knows how the SDK says things.

Events: the caller gets the SDK's own objects. The fold gets our structs, which are made from them here.
Errors: what the SDK raises becomes an error of our tree (`refusal_of`, `cut_of`), and that what the policies judge
(`judged`).

The SDK gives an event of unknown type the class of some event that it knows. So a type is always asked of
`event.type`, never of the class.
"""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, get_args

import msgspec
import openai

from antiphon.client.errors import (
    QUOTA,
    AuthenticationFailed,
    ClientError,
    ConnectionFailed,
    PermissionDenied,
    QuotaExceeded,
    RateLimited,
    ResponseCancelled,
    ResponseFailed,
    StatusError,
    StreamCut,
    StreamMalformed,
    TimedOut,
    status_error,
)
from antiphon.wire import errors as wire
from antiphon.wire.events import Event, OutputTextDelta, decode_event
from antiphon.wire.response import Response as WireResponse
from antiphon.wire.response import Usage
from antiphon.wire.struct import encode

if TYPE_CHECKING:
    import httpx2
    from openai.types.responses import Response, ResponseStreamEvent

__all__ = [
    "BAD_GRAMMAR",
    "FAULTS",
    "LIFECYCLE",
    "NOT_OUTPUT",
    "TERMINAL",
    "cut_of",
    "failure_in",
    "fields_of",
    "judged",
    "name_of",
    "names",
    "refusal_of",
    "response_in",
    "sdk_event",
    "sdk_response",
    "usage_of",
    "wire_event",
]

TERMINAL: Final = frozenset({"response.completed", "response.failed", "response.incomplete"})
"""The types after which no event comes."""

LIFECYCLE: Final = frozenset({"response.created", "response.queued", "response.in_progress"})
"""The types that tell of a response, and nothing of its answer."""

NOT_OUTPUT: Final = LIFECYCLE | {"error", "response.failed"}
"""The types that are no words of an answer, and no item of it."""

BAD_GRAMMAR: Final = (wire.APIError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What our fold makes of events that do not follow from each other."""

FAULTS: Final = (openai.APIError, ClientError, ValueError)
"""What is raised while a stream is read. A ValueError is JSON or UTF-8 that is none."""


# Events


@lru_cache(maxsize=1)
def _names() -> Mapping[type, str]:
    """The wire names of the SDK's classes of events."""
    from openai.types.responses import ResponseStreamEvent

    union = get_args(ResponseStreamEvent)[0]
    return {each: get_args(each.model_fields["type"].annotation)[0] for each in get_args(union)}


def name_of(kind: type) -> str | None:
    """The wire name of a class of the SDK; None if it is no event."""
    return _names().get(kind)


def names() -> frozenset[str]:
    """The wire names of all events that the SDK knows."""
    return frozenset(_names().values())


def wire_event(event: ResponseStreamEvent) -> Event:
    """An event of the SDK as ours. Raises `antiphon.wire.errors.APIError` for one that is not of this API."""
    if event.type == "response.output_text.delta" and not event.logprobs:  # nine of ten events are this one
        return OutputTextDelta(
            sequence_number=event.sequence_number,
            item_id=event.item_id,
            output_index=event.output_index,
            content_index=event.content_index,
            delta=event.delta,
            logprobs=[],
        )
    return decode_event(event.to_json(indent=None, warnings=False).encode())


def response_in(event: ResponseStreamEvent) -> Response | None:
    """The Response that an event carries, if it carries one."""
    told: Any = event
    response: Response | None = told.response if event.type in LIFECYCLE or event.type in TERMINAL else None
    return response


def usage_of(response: Response) -> Usage | None:
    """The tokens of a response as our own figures; None if the server told none."""
    if response.usage is None:
        return None
    try:
        return msgspec.convert(_without_nulls(fields_of(response.usage)), Usage)
    except msgspec.ValidationError:
        return None


def _without_nulls(fields: Mapping[str, Any]) -> dict[str, Any]:
    plain = {name: value for name, value in fields.items() if value is not None}
    return {name: _without_nulls(value) if isinstance(value, dict) else value for name, value in plain.items()}


def sdk_event(fields: Mapping[str, Any]) -> ResponseStreamEvent:
    """An event of the SDK, from its JSON. One of a type that the SDK does not know has its fields, and no class."""
    event: Any = _classes().get(str(fields.get("type")), openai.BaseModel).construct(**fields)
    told: ResponseStreamEvent = event
    return told


@lru_cache(maxsize=1)
def _classes() -> Mapping[str, Any]:
    return {name: kind for kind, name in _names().items()}


def sdk_response(response: WireResponse) -> Response:
    """Our Response as the SDK's."""
    from openai.types.responses import Response

    return Response.construct(**msgspec.json.decode(encode(response)))


# Errors


def refusal_of(fault: openai.APIError) -> ClientError:
    """Why there is no answer: what the SDK raised before the first byte of one."""
    match fault:
        case openai.APIStatusError():
            return status_error(fault, retry_after(fault.response.headers))
        case openai.APITimeoutError():
            return TimedOut("No answer came in time.", request=fault.request, is_connected=_is_connected(fault))
        case openai.APIConnectionError():
            return ConnectionFailed(_why(fault), request=fault.request, is_connected=_is_connected(fault))
    return ResponseFailed(fault.message, code=fault.code, param=fault.param)


def cut_of(fault: openai.APIError | ClientError | ValueError) -> ClientError:
    """Why an answer has no end: what was raised while it was read."""
    match fault:
        case ClientError():
            return fault
        case openai.APITimeoutError():
            return StreamCut("The stream was silent for too long.")
        case openai.APIConnectionError():
            return StreamCut(_why(fault))
        case openai.APIError():  # the SDK makes this of an event with a nested `error`
            return ResponseFailed(fault.message, code=fault.code, param=fault.param)
    return StreamMalformed(f"The stream cannot be read: {fault}.")


def _why(fault: openai.APIConnectionError) -> str:
    cause = fault.__cause__
    said = str(cause).rstrip(".") if cause is not None else ""
    return f"The connection to {fault.request.url.host} failed: {said or 'it broke'}."


def _is_connected(fault: openai.APIConnectionError) -> bool:
    """Whether there was a connection. Asked by name: the SDK works over httpx2 and over httpx."""
    return type(fault.__cause__).__name__ not in {"ConnectError", "ConnectTimeout"}


def failure_in(event: ResponseStreamEvent) -> ResponseFailed | None:
    """The error that an event tells of, if it tells of one."""
    match event.type:
        case "response.failed":
            error = event.response.error
            if error is None:
                return ResponseFailed("The server did not say why.", code=None)
            return ResponseFailed(error.message, code=error.code)
        case "error":
            return ResponseFailed(event.message, code=event.code, param=event.param)
    return None


_BY_STATUS: Final[Mapping[int, type[wire.APIError]]] = {
    408: wire.RequestTimeout,
    502: wire.UpstreamMalformed,
    504: wire.UpstreamTimeout,
}

_BY_CODE: Final[Mapping[str | None, type[wire.APIError]]] = {
    None: wire.ServerError,
    "rate_limit_exceeded": wire.RateLimited,
    "server_error": wire.ServerError,
    "server_is_overloaded": wire.ServerOverloaded,
    "service_unavailable": wire.Unavailable,
    "upstream_malformed": wire.UpstreamMalformed,
    "upstream_timeout": wire.UpstreamTimeout,
    "vector_store_timeout": wire.ServerError,
    **dict.fromkeys(QUOTA, wire.QuotaExceeded),
}
"""What a failed response means that names no status. All other codes are the request's fault."""


def judged(error: ClientError) -> wire.APIError:
    """An error as the policies see it: what it says of the server, and whether asking again makes sense."""
    match error:
        case StatusError():
            kind = _kind(error)
            return kind(error.message, retry_after=error.retry_after, should_retry=error.should_retry)
        case ConnectionFailed(is_connected=False):
            return wire.Unavailable(error.message, code="upstream_unreachable")
        case TimedOut():
            return wire.UpstreamTimeout(error.message)
        case ResponseFailed():
            return _BY_CODE.get(error.code, wire.InvalidRequest)(error.message, retry_after=error.retry_after)
        case ResponseCancelled():
            return wire.InvalidRequest(error.message)
    return wire.UpstreamMalformed(error.message)


def _kind(error: StatusError) -> type[wire.APIError]:
    match error:
        case QuotaExceeded():
            return wire.QuotaExceeded
        case RateLimited():
            return wire.RateLimited
        case AuthenticationFailed():
            return wire.AuthenticationFailed
        case PermissionDenied():
            return wire.PermissionDenied
    is_fault = error.status_code >= 500 or error.status_code == 408
    return _BY_STATUS.get(error.status_code, wire.Unavailable) if is_fault else wire.InvalidRequest


# Retry-After


def retry_after(headers: httpx2.Headers) -> float | None:
    """Seconds to wait: `retry-after-ms`, else `retry-after` in seconds or as a date. None where it is not said."""
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        seconds = _number(headers.get(name))
        if seconds is not None:
            return seconds / unit
    if (until := _date(headers.get("retry-after"))) is None:
        return None
    return max(0.0, until - (_date(headers.get("date")) or time.time()))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _date(text: str | None) -> float | None:
    parsed = email.utils.parsedate_tz(text) if text else None
    return None if parsed is None else float(email.utils.mktime_tz(parsed))


def fields_of(value: Any) -> dict[str, Any]:
    """An object of the SDK as JSON."""
    fields: dict[str, Any] = value.to_dict(mode="json", warnings=False)
    return fields
