from __future__ import annotations

import inspect

import pytest

from antiphon.wire import errors

TABLE = [
    (errors.InvalidRequest, 400, "invalid_request_error", None, None),
    (errors.AuthenticationFailed, 401, "invalid_request_error", "invalid_api_key", False),
    (errors.PermissionDenied, 403, "invalid_request_error", None, None),
    (errors.NotFound, 404, "invalid_request_error", None, None),
    (errors.MethodNotAllowed, 405, "invalid_request_error", "method_not_supported", None),
    (errors.RequestTimeout, 408, "invalid_request_error", "request_timeout", None),
    (errors.Conflict, 409, "invalid_request_error", "conflict", None),
    (errors.PayloadTooLarge, 413, "invalid_request_error", "payload_too_large", None),
    (errors.UnsupportedMediaType, 415, "invalid_request_error", "unsupported_content_type", None),
    (errors.Unprocessable, 422, "invalid_request_error", None, None),
    (errors.RateLimited, 429, "rate_limit_error", "rate_limit_exceeded", None),
    (errors.QuotaExceeded, 429, "insufficient_quota", "insufficient_quota", False),
    (errors.ServerError, 500, "server_error", "server_error", None),
    (errors.UpstreamMalformed, 502, "server_error", "upstream_malformed", None),
    (errors.Unavailable, 503, "service_unavailable_error", "service_unavailable", None),
    (errors.ServerOverloaded, 503, "service_unavailable_error", "server_is_overloaded", None),
    (errors.UpstreamTimeout, 504, "server_error", "upstream_timeout", None),
]


@pytest.mark.parametrize(("kind", "status", "type_", "code", "retry"), TABLE)
def test_an_error_knows_its_status_type_and_code(
    kind: type[errors.APIError], status: int, type_: str, code: str | None, retry: bool | None
) -> None:
    error = kind("No.")
    assert (error.status, error.type, error.code, error.should_retry) == (status, type_, code, retry)
    assert (error.message, str(error), error.param, error.retry_after) == ("No.", "No.", None, None)


def test_the_body_of_an_error_always_has_its_four_keys() -> None:
    assert errors.NotFound("No.").body() == {
        "error": {"message": "No.", "type": "invalid_request_error", "param": None, "code": None}
    }
    assert errors.InvalidRequest("No.", param="input[0]", code="invalid_value").body()["error"] == {
        "message": "No.",
        "type": "invalid_request_error",
        "param": "input[0]",
        "code": "invalid_value",
    }


def test_what_is_known_at_the_place_is_said_instead_of_the_default() -> None:
    error = errors.RateLimited("No.", code="slow_down", retry_after=1.5, should_retry=True)
    assert (error.code, error.retry_after, error.should_retry) == ("slow_down", 1.5, True)
    assert errors.QuotaExceeded("No.", should_retry=True).should_retry is True


def test_every_error_of_the_tree_is_tested_and_drawn() -> None:
    tree = {
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.APIError) and kind is not errors.APIError
    }
    assert tree == {kind for kind, *_ in TABLE}
    assert {kind.__name__ for kind in tree} | {"APIError"} == set(errors.__all__)
    drawing = (errors.__doc__ or "").split("APIError\n", 1)[1]
    assert all(f"─ {kind.__name__} " in drawing for kind in tree)


@pytest.mark.parametrize("kind", [kind for kind, *_ in TABLE])
def test_an_error_stands_in_the_drawing_below_the_class_that_it_derives_from(kind: type[errors.APIError]) -> None:
    lines = (errors.__doc__ or "").splitlines()
    places = {line.split("─ ")[1].split()[0]: line.index("─ ") for line in lines if "─ " in line}
    parent = kind.__mro__[1].__name__
    assert places[kind.__name__] == places.get(parent, lines_start(lines)) + 4
    assert str(kind.status) in next(line for line in lines if f"─ {kind.__name__} " in line)


def lines_start(lines: list[str]) -> int:
    """Where the root of the tree stands, as if it had a branch before it."""
    return next(line.index("APIError") for line in lines if line.strip() == "APIError") - 2
