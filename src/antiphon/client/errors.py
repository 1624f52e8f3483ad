"""The tree of errors of the toolkit. Each says what happened and what to do about it.

    ClientError
    ├── StatusError              the server answered with an error status
    │   ├── BadRequest           400  change the request: `param` names the place
    │   ├── AuthenticationFailed 401  give another key
    │   ├── PermissionDenied     403  the key may not do this
    │   ├── NotFound             404  check the id, the model and the URL
    │   ├── Conflict             409  wait until the object is free
    │   ├── Unprocessable        422  change what the request refers to
    │   ├── RateLimited          429  wait as long as `retry_after` says
    │   │   └── QuotaExceeded    429  raise the budget: waiting does not help
    │   └── ServerFailed         5xx  try again later
    ├── ConnectionFailed         no answer came
    │   └── TimedOut             not in time
    ├── StreamFailed             the answer began and did not come to its end; `partial` is what there was of it
    │   ├── StreamCut            the connection broke
    │   ├── StreamMalformed      what came is no event stream
    │   ├── ResponseFailed       the server said `response.failed`, or the event `error`
    │   └── ResponseCancelled    somebody cancelled it
    ├── CircuitOpen              not asked: this upstream fails all the time
    ├── DeadlineExceeded         the time that the caller gave is over
    ├── BudgetExceeded           not asked: there is no money left for it
    ├── ContentFlagged           not asked: the input was flagged
    ├── ModerationFailed         nobody could judge what must be judged
    ├── ToolsFailed              a loop over functions did not come to an answer
    └── (`OptionError`, a ValueError: an option that cannot be)

Those with a counterpart in the SDK are instances of that class as well, so that `except openai.RateLimitError` goes on
to work; all others but `OptionError` are instances of `openai.OpenAIError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

import openai

if TYPE_CHECKING:
    import httpx2
    from openai.types.responses import Response

    from antiphon.policy.verdict import Verdict

__all__ = [
    "AuthenticationFailed",
    "BadRequest",
    "BudgetExceeded",
    "CircuitOpen",
    "ClientError",
    "Conflict",
    "ConnectionFailed",
    "ContentFlagged",
    "DeadlineExceeded",
    "ModerationFailed",
    "NotFound",
    "OptionError",
    "PermissionDenied",
    "QuotaExceeded",
    "RateLimited",
    "ResponseCancelled",
    "ResponseFailed",
    "ServerFailed",
    "StatusError",
    "StreamCut",
    "StreamFailed",
    "StreamMalformed",
    "TimedOut",
    "ToolsFailed",
    "Unprocessable",
    "status_error",
]


class OptionError(ValueError):
    """An option of the toolkit that cannot be. `option` is its name, as in `retry.attempts`."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(f"{option}: {reason}")
        self.option = option


class ClientError(openai.OpenAIError):
    """Anything that the toolkit raises while it asks for a response. `str()` of it ends with `advice`."""

    advice: ClassVar[str] = ""

    message: str
    partial: Response | None = None
    """What there is of the response, if it had begun."""
    attempts: int = 0
    """How often the server was asked."""
    retry_after: float | None = None
    """Seconds to wait before asking again, where the server, or the breaker, said so."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after

    def what_to_do(self) -> str:
        """One sentence for whoever reads the message."""
        if self.retry_after is None:
            return self.advice
        return f"{self.advice} It may be asked again in {self.retry_after:g} s."

    def __str__(self) -> str:
        tries = f" (asked {self.attempts} times)" if self.attempts > 1 else ""
        return f"{self.message}{tries} {self.what_to_do()}".rstrip()


# The server answered with an error


class StatusError(ClientError, openai.APIStatusError):
    """An answer with an error status. Those that have no class of their own (405, 408, 413…) are this one."""

    advice = "See the status and the message."
    should_retry: bool | None = None
    """What the header `x-should-retry` says."""

    def __init__(
        self, message: str, *, response: httpx2.Response, body: object | None, retry_after: float | None = None
    ) -> None:
        openai.APIStatusError.__init__(self, message, response=response, body=body)
        self.retry_after = retry_after
        self.should_retry = _SAID.get(response.headers.get("x-should-retry", ""))

    def __str__(self) -> str:
        return f"{self.status_code}: {super().__str__()}"


_SAID: Final = {"true": True, "false": False}


class BadRequest(StatusError, openai.BadRequestError):
    """400: what was sent cannot be served, and would not be if sent again."""

    advice = "Change the request; sending it again does not help."

    def what_to_do(self) -> str:
        return f"Change '{self.param}' in the request." if self.param else self.advice


class AuthenticationFailed(StatusError, openai.AuthenticationError):
    """401: no key, or a wrong one."""

    advice = "Check api_key (or OPENAI_API_KEY), the organization, the project, and that base_url is the right server."


class PermissionDenied(StatusError, openai.PermissionDeniedError):
    """403: the key is known and may not do this."""

    advice = "Use a key that may use this model, or have it allowed for this one."


class NotFound(StatusError, openai.NotFoundError):
    """404: no such response, model or path."""

    advice = "Check the id, the model and base_url (it ends in /v1); what was not stored cannot be found."


class Conflict(StatusError, openai.ConflictError):
    """409: another request holds the object."""

    advice = "Wait until the response is over, or cancel it."


class Unprocessable(StatusError, openai.UnprocessableEntityError):
    """422: well-formed, but it refers to what cannot be processed."""

    advice = "Change what the request refers to; sending it again does not help."


class RateLimited(StatusError, openai.RateLimitError):
    """429: too many requests or tokens for now."""

    advice = "Send less at a time: a limit on concurrency, or a rate for a batch."


class QuotaExceeded(RateLimited):
    """429: the budget is used up."""

    advice = "Raise the budget or wait for the next period; trying again does not help."


class ServerFailed(StatusError, openai.InternalServerError):
    """5xx: the server's fault, or that of something behind it."""

    advice = "Try again later; if it goes on, tell whoever runs the server the request id."

    def what_to_do(self) -> str:
        known = f" The request id is {self.request_id}." if self.request_id else ""
        return f"{super().what_to_do()}{known}"


_BY_STATUS: Final[Mapping[int, type[StatusError]]] = {
    400: BadRequest,
    401: AuthenticationFailed,
    403: PermissionDenied,
    404: NotFound,
    409: Conflict,
    422: Unprocessable,
    429: RateLimited,
}

QUOTA: Final = frozenset(
    {
        "billing_hard_limit_reached",
        "billing_not_active",
        "credit_balance_exhausted",
        "insufficient_quota",
        "organization_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "project_spend_limit_exceeded",
    }
)
"""Codes of a 429 for which waiting does not help."""


def status_error(error: openai.APIStatusError, retry_after: float | None) -> StatusError:
    """The error of this tree that an error of the SDK is."""
    kind = _BY_STATUS.get(error.status_code, ServerFailed if error.status_code >= 500 else StatusError)
    if kind is RateLimited and (error.code in QUOTA or error.type in QUOTA):
        kind = QuotaExceeded
    said = error.body.get("message") if isinstance(error.body, Mapping) else None
    message = said if isinstance(said, str) and said else error.message
    return kind(message, response=error.response, body=error.body, retry_after=retry_after)


# No answer


class ConnectionFailed(ClientError, openai.APIConnectionError):
    """No answer came: the name was not found, nobody listens, or the connection broke before the answer began."""

    advice = "Check base_url, the network and whether the server runs."
    is_connected: bool = False
    """Whether there was a connection before it failed."""

    def __init__(self, message: str, *, request: httpx2.Request, is_connected: bool = False) -> None:
        openai.APIConnectionError.__init__(self, message=message, request=request)
        self.is_connected = is_connected


class TimedOut(ConnectionFailed, openai.APITimeoutError):
    """No answer for as long as the SDK's `timeout` allows."""

    advice = "Give more time (the SDK client's `timeout`), or ask for less."


# The answer began


class StreamFailed(ClientError):
    """The answer began and did not come to its end. `partial` has what there was of it."""

    advice = "What came is in `partial`."
    code: str | None = None
    """The API's code, where the server gave one."""


class StreamCut(StreamFailed):
    """The connection broke, and the rest of the answer could not be fetched."""

    advice = (
        "What came is in `partial`. Ask with background=True (and do not set store=False), and a broken stream is "
        "taken up where it broke."
    )


class StreamMalformed(StreamFailed):
    """What came is no stream of events, or not of this API."""

    advice = "What came before is in `partial`. Look at what the server sends, and at what stands between."


class ResponseFailed(StreamFailed):
    """The server ended the response as failed. `code` is its own, as in `server_error`."""

    advice = "What came is in `partial`, and was paid for. Ask again, or change what was asked, as the code says."

    def __init__(self, message: str, *, code: str | None, param: str | None = None) -> None:
        super().__init__(f"{code or 'error'}: {message}")
        self.code = code
        self.param = param


class ResponseCancelled(StreamFailed):
    """Somebody cancelled the response."""

    advice = "What there was of it is in `partial`."


# Not the server


class CircuitOpen(ClientError):
    """The server was not asked, since it fails all the time, or said that it has no room. `retry_after` says for how
    long."""

    advice = "Answer without it, or ask another model."


class DeadlineExceeded(ClientError):
    """The time that the caller gave for the whole request is over."""

    advice = "Give a longer `deadline`, or ask for less. What came is in `partial`."


class BudgetExceeded(ClientError):
    """The server was not asked, since a budget of this program has no room for what it may cost. `retry_after` says how
    long the period still is."""

    advice = "Raise the budget, ask for less (max_output_tokens), or wait for the next period."


class ContentFlagged(ClientError):
    """The server was not asked, since a moderator flagged the input. `verdict` says what it found."""

    advice = "Change the input."

    def __init__(self, message: str, verdict: Verdict) -> None:
        super().__init__(message)
        self.verdict = verdict


class ModerationFailed(ClientError):
    """A moderator could not be asked, so nothing may pass that it should have judged."""

    advice = "See what the moderator said; with fails_open=True such an answer passes."


class ToolsFailed(ClientError):
    """A loop over functions did not come to an answer."""

    advice = "Allow more turns, or tell the model when to stop."
