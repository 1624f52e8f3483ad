"""The tree of errors. Each knows its HTTP status, the API's `type` and `code`, and whether a retry makes sense.

    APIError
    ├── InvalidRequest          400  invalid_request_error
    ├── AuthenticationFailed    401  invalid_request_error      invalid_api_key          no retry
    ├── PermissionDenied        403  invalid_request_error
    ├── NotFound                404  invalid_request_error
    ├── MethodNotAllowed        405  invalid_request_error      method_not_supported
    ├── RequestTimeout          408  invalid_request_error      request_timeout
    ├── Conflict                409  invalid_request_error      conflict
    ├── PayloadTooLarge         413  invalid_request_error      payload_too_large
    ├── UnsupportedMediaType    415  invalid_request_error      unsupported_content_type
    ├── Unprocessable           422  invalid_request_error
    ├── RateLimited             429  rate_limit_error           rate_limit_exceeded
    │   └── QuotaExceeded       429  insufficient_quota         insufficient_quota       no retry
    └── ServerError             500  server_error               server_error
        ├── UpstreamMalformed   502  server_error               upstream_malformed
        ├── Unavailable         503  service_unavailable_error  service_unavailable
        │   └── ServerOverloaded     503                        server_is_overloaded
        └── UpstreamTimeout     504  server_error               upstream_timeout

The official SDKs retry 408, 409, 429 and 5xx by status alone unless the header `x-should-retry` says otherwise: that
is what `should_retry` becomes. One boundary in the server turns an `APIError` into HTTP or SSE; nothing else does.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

__all__ = [
    "APIError",
    "AuthenticationFailed",
    "Conflict",
    "InvalidRequest",
    "MethodNotAllowed",
    "NotFound",
    "PayloadTooLarge",
    "PermissionDenied",
    "QuotaExceeded",
    "RateLimited",
    "RequestTimeout",
    "ServerError",
    "ServerOverloaded",
    "Unavailable",
    "Unprocessable",
    "UnsupportedMediaType",
    "UpstreamMalformed",
    "UpstreamTimeout",
]


LONGEST_MESSAGE: Final = 4096
"""Characters. Messages quote what clients and upstreams sent, which may be of any length."""


class APIError(Exception):
    """A request that ends in an error. Raise a subclass; the class gives status and type.

    `param` names the field at fault (`input[3].content[0].image_url`), `code` is for programs, `message` for people.
    `retry_after` is in seconds. `should_retry` is None when the status alone decides.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str | None] = None
    default_should_retry: ClassVar[bool | None] = None

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
    ) -> None:
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[: LONGEST_MESSAGE - 1]}…"
        super().__init__(message)
        self.message = message
        self.param = param
        self.code = self.default_code if code is None else code
        self.retry_after = retry_after
        self.should_retry = self.default_should_retry if should_retry is None else should_retry

    @property
    def brief(self) -> str:
        """What a log may say: class, status and code. The message may quote what a client sent."""
        return f"{type(self).__name__} {self.status} {self.code or ''}".rstrip()

    def body(self) -> dict[str, dict[str, Any]]:
        """The JSON body of the HTTP answer. All four keys are always there: SDKs read nothing else."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class InvalidRequest(APIError):
    """What was sent cannot be served, and would not be if sent again."""

    status = 400
    type = "invalid_request_error"


class AuthenticationFailed(APIError):
    """No key, or one that we do not know."""

    status = 401
    type = "invalid_request_error"
    default_code = "invalid_api_key"
    default_should_retry = False


class PermissionDenied(APIError):
    """The key is known and may not do this."""

    status = 403
    type = "invalid_request_error"


class NotFound(APIError):
    """No such response, item, file or route, or none that this project may see."""

    status = 404
    type = "invalid_request_error"


class MethodNotAllowed(APIError):
    """The route exists, with other methods."""

    status = 405
    type = "invalid_request_error"
    default_code = "method_not_supported"


class RequestTimeout(APIError):
    """The request did not come in time. SDKs try again."""

    status = 408
    type = "invalid_request_error"
    default_code = "request_timeout"


class Conflict(APIError):
    """The object is held by another request. SDKs try again."""

    status = 409
    type = "invalid_request_error"
    default_code = "conflict"


class PayloadTooLarge(APIError):
    """The body is larger than this server reads."""

    status = 413
    type = "invalid_request_error"
    default_code = "payload_too_large"


class UnsupportedMediaType(APIError):
    """The body is not in a format that the route reads."""

    status = 415
    type = "invalid_request_error"
    default_code = "unsupported_content_type"


class Unprocessable(APIError):
    """The request is well-formed, and what it refers to cannot be processed."""

    status = 422
    type = "invalid_request_error"


class RateLimited(APIError):
    """Too many requests or tokens for now. `retry_after` says when there is room."""

    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"


class QuotaExceeded(RateLimited):
    """The budget is used up: waiting does not help."""

    type = "insufficient_quota"
    default_code = "insufficient_quota"
    default_should_retry = False


class ServerError(APIError):
    """Our fault, or that of something behind us."""

    default_code = "server_error"


class UpstreamMalformed(ServerError):
    """The model backend sent something that is not what it promised."""

    status = 502
    default_code = "upstream_malformed"


class Unavailable(ServerError):
    """Nobody can serve this at the moment."""

    status = 503
    type = "service_unavailable_error"
    default_code = "service_unavailable"


class ServerOverloaded(Unavailable):
    """We could serve this with less to do."""

    default_code = "server_is_overloaded"


class UpstreamTimeout(ServerError):
    """The model backend did not answer in time."""

    status = 504
    default_code = "upstream_timeout"
