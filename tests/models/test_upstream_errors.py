"""What an upstream's refusal means: its class, its words, and how long to wait."""

import json
from typing import Any

import pytest

from antiphon.models.upstream_errors import MAX_TEXT, error_in_stream, error_of_answer, retry_after
from antiphon.wire.errors import (
    APIError,
    InvalidRequest,
    QuotaExceeded,
    RateLimited,
    ServerOverloaded,
    Unavailable,
    UpstreamMalformed,
    UpstreamTimeout,
)

SECRET = "sk-upstream-0123456789"
NOW = 1_800_000_000.0


def error_of(status: int, body: Any = b"", secret: str | None = SECRET, **headers: str) -> APIError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return error_of_answer(status, named, raw, now=NOW, secret=secret)


def envelope(message: str = "Wrong.", **error: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "some_error", "param": None, "code": None, **error}}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (204, UpstreamMalformed),
        (301, UpstreamMalformed),
        (302, UpstreamMalformed),
        (400, InvalidRequest),
        (401, UpstreamMalformed),
        (402, QuotaExceeded),
        (403, UpstreamMalformed),
        (404, InvalidRequest),
        (405, UpstreamMalformed),
        (408, Unavailable),
        (409, Unavailable),
        (413, InvalidRequest),
        (415, UpstreamMalformed),
        (418, UpstreamMalformed),
        (422, InvalidRequest),
        (429, RateLimited),
        (500, Unavailable),
        (502, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
        (520, Unavailable),
        (529, ServerOverloaded),
    ],
)
def test_each_status_has_its_meaning(status: int, kind: type[APIError]) -> None:
    for body in (b"", envelope(), {"detail": "Wrong."}, b"Wrong.", b"<html>Wrong.</html>", b"\xff", b"{"):
        assert type(error_of(status, body)) is kind


def test_a_bad_request_keeps_its_message_code_and_param() -> None:
    error = error_of(400, envelope("Bad tool.", code="invalid_value", param="tools[0]"))
    assert (error.message, error.code, error.param) == ("Bad tool.", "invalid_value", "tools[0]")


def test_a_code_is_a_word_for_programs_and_quotes_nobody() -> None:
    assert error_of(400, envelope("Bad.", code="ns:some-code.v1")).code == "ns:some-code.v1"
    for code in ("Invalid prompt: bluebird", "x" * 65, "", 7):
        assert error_of(400, envelope("Bad.", code=code)).code is None


@pytest.mark.parametrize(
    "message",
    [
        "This model's maximum context length is 4096 tokens. However, you requested 5000.",
        "the request exceeds the available context size. try increasing the context size",
        "The number of tokens to keep is greater than the context length.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "Your input exceeds the context window of this model.",
    ],
)
def test_a_context_that_is_too_long_has_the_code_that_clients_act_upon(message: str) -> None:
    assert error_of(400, envelope(message)).code == "context_length_exceeded"
    assert error_of(400, {"object": "error", "message": message, "code": 400}).code == "context_length_exceeded"


def test_a_model_that_is_not_there_is_the_clients_400() -> None:
    assert error_of(404, envelope("No model 'x'.", code="model_not_found")).code == "model_not_found"
    for body in (envelope("No model 'x'."), b"404 page not found", b""):
        error = error_of(404, body)
        assert (error.status, error.code) == (400, "model_not_found")


@pytest.mark.parametrize(
    "body",
    [
        envelope("It broke."),
        {"error": "It broke."},
        {"detail": "It broke."},
        {"detail": [{"loc": ["body"], "msg": "It broke."}]},
        {"message": "It broke."},
        {"error": {"detail": "It broke."}},
        {"errors": [{"message": "It broke."}]},
        [envelope("It broke.")],
        b"It broke.",
        b"  It\r\n\tbroke.\x00 ",
    ],
)
def test_the_text_of_an_error_is_found_in_any_shape(body: Any) -> None:
    assert error_of(400, body).message == "It broke."
    assert error_of(429, body).message == "It broke."
    assert error_of(500, body).message == "The upstream answered 500: It broke."


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!DOCTYPE html><html><body>Oops</body></html>",
        b"Oops <body>",
        envelope("<html>Oops"),
        b"[" * 100_000,
        {"error": {"message": 7}},
        {"error": None},
        {},
        [],
        7,
    ],
)
def test_a_body_that_says_nothing_leaves_the_status(body: Any) -> None:
    assert error_of(500, body).message == "The upstream answered 500."
    assert error_of(400, body).message == "The upstream refused the request (400)."


def test_a_long_text_is_cut() -> None:
    assert len(error_of(400, b"word " * 1000).message) <= MAX_TEXT


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_told_without_the_upstreams_words(status: int) -> None:
    error = error_of(status, envelope("Incorrect API key provided: abc. See our page.", code="invalid_api_key"))
    assert (error.status, error.code, error.should_retry) == (502, "upstream_key_refused", False)
    assert "Incorrect" not in error.message


@pytest.mark.parametrize("quoted", [SECRET, "sk-proj-abcdefgh1234", "Bearer abcdefgh1234", "gsk_abcdefgh1234"])
def test_a_message_that_holds_a_key_is_not_passed_on(quoted: str) -> None:
    for status in (400, 429, 500):
        assert quoted not in error_of(status, envelope(f"Key {quoted} is odd.")).message
    assert quoted not in error_in_stream({"message": f"Key {quoted} is odd."}, secret=SECRET).message


def test_a_limit_keeps_its_code_and_an_exhausted_quota_is_not_worth_a_retry() -> None:
    assert error_of(429, envelope(code="slow_down")).code == "slow_down"
    assert error_of(429).code == "rate_limit_exceeded"
    for body in (envelope(code="insufficient_quota"), envelope(type="insufficient_quota")):
        quota = error_of(429, body)
        assert (type(quota), quota.code, quota.should_retry) == (QuotaExceeded, "insufficient_quota", False)


def test_an_overloaded_server_says_so() -> None:
    assert type(error_of(503, envelope(code="server_is_overloaded"))) is ServerOverloaded


# Retry-After


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"Retry-After": "0"}, 0.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "Retry-After": "7"}, 1.5),
        ({"retry-after-ms": "soon", "Retry-After": "7"}, 7.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "1e30"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        ({"Retry-After": "Fri, 15 Jan 2027 08:00:30 -0000"}, 30.0),
        ({"Retry-After": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"Retry-After": "Fri, 99 Jan 2027 08:00:30 GMT"}, None),
        ({"Retry-After": "Fri, 15 Jan 2027 08:00:30 GMT", "Date": "Fri, 15 Jan 2027 08:00:10 GMT"}, 20.0),
        ({"Retry-After": "Fri, 15 Jan 2027 08:00:30 GMT", "Date": "today"}, 30.0),
    ],
)
def test_the_time_to_wait_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize("status", [429, 503, 529])
def test_the_time_to_wait_is_kept(status: int) -> None:
    assert error_of(status, Retry_After="7").retry_after == 7.0
    assert error_of(status).retry_after is None


# Errors in a stream


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "x", "code": 429}, RateLimited),
        ({"message": "x", "code": 400}, InvalidRequest),
        ({"message": "x", "code": 401}, UpstreamMalformed),
        ({"message": "x", "status": 503}, Unavailable),
        ({"message": "x", "code": 7}, Unavailable),
        ({"message": "x", "code": "rate_limit_exceeded"}, RateLimited),
        ({"message": "x", "type": "rate_limit_error"}, RateLimited),
        ({"message": "x", "type": "insufficient_quota"}, QuotaExceeded),
        ({"message": "x", "type": "invalid_request_error", "code": "x"}, InvalidRequest),
        ({"message": "x", "type": "BadRequestError"}, InvalidRequest),
        ({"message": "x", "code": "context_length_exceeded"}, InvalidRequest),
        ({"message": "x", "type": "overloaded_error"}, ServerOverloaded),
        ({"message": "x", "type": "timeout"}, UpstreamTimeout),
        ({"message": "x", "code": "invalid_api_key"}, UpstreamMalformed),
        ({"message": "x", "type": "server_error"}, Unavailable),
        ({"error": {"message": "x", "code": "rate_limit_exceeded"}}, RateLimited),
        ("x", Unavailable),
        (None, Unavailable),
        (["x"], Unavailable),
    ],
)
def test_an_error_without_a_status_is_known_by_its_code_or_type(error: Any, kind: type[APIError]) -> None:
    assert type(error_in_stream(error)) is kind


def test_an_error_in_a_stream_keeps_its_words() -> None:
    error = error_in_stream({"message": "Too long.", "code": "context_length_exceeded", "param": "messages"})
    assert (error.message, error.code, error.param) == ("Too long.", "context_length_exceeded", "messages")
    assert error_in_stream({"message": "Crashed."}).message == "The upstream failed: Crashed."
    assert error_in_stream(None).message == "The upstream failed."
