"""Answers that say no by their status, in the shapes that servers and the boxes before them give them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tests.support.answers import Answer, error_answer, json_answer, plain
from tests.support.faults.fault import MEGABYTE, Fault, Outcome, fault

HTML = b"<html><body><h1>Forbidden</h1><hr>proxy</body></html>"
INVALID = {"type": "invalid_request_error"}
LIMITED = {"type": "rate_limit_error", "code": "rate_limit_exceeded"}
QUOTA = {"type": "insufficient_quota", "code": "insufficient_quota"}
TOO_LONG = {**INVALID, "code": "context_length_exceeded", "param": "messages"}
FIELD_ERROR = {"detail": [{"loc": ["body", "model"], "msg": "Field required", "type": "missing"}]}

Row = tuple[str, Outcome, Callable[[], Answer]]

ALSO: Mapping[str, Iterable[Outcome]] = {
    "status_409": ("http_400", "http_502"),
    "error_with_status_200": ("http_503",),
}


def status_faults() -> list[Fault]:
    """Make the faults that are told by a status; none of them comes after output."""
    rows = [*_client_errors(), *_throttles(), *_server_errors(), *_broken_errors()]
    return [
        fault(name, outcome, "before", answer, also=ALSO.get(name, ()), text=None) for name, outcome, answer in rows
    ]


def _rejected(status: int, error: Mapping[str, Any] = INVALID, **headers: str) -> Callable[[], Answer]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: error_answer(status, headers=named, **error)


def _client_errors() -> list[Row]:
    return [
        ("status_400", "http_400", _rejected(400)),
        ("status_400_context_length", "http_400", _rejected(400, TOO_LONG)),
        ("status_400_detail", "http_400", lambda: json_answer({"detail": "Unknown field."}, 400)),
        ("status_400_text", "http_400", lambda: plain(400, b"bad request")),
        ("status_400_empty", "http_400", lambda: plain(400)),
        ("status_401", "http_502", _rejected(401, {**INVALID, "code": "invalid_api_key"})),
        ("status_403", "http_502", _rejected(403)),
        ("status_403_html", "http_502", lambda: plain(403, HTML, content_type="text/html")),
        ("status_404", "http_400", _rejected(404, {**INVALID, "code": "model_not_found"})),
        ("status_404_text", "http_400", lambda: plain(404, b"404 page not found")),
        ("status_408", "http_503", _rejected(408)),
        ("status_409", "http_503", _rejected(409)),
        ("status_413", "http_400", _rejected(413)),
        ("status_422", "http_400", _rejected(422)),
        ("status_422_detail_list", "http_400", lambda: json_answer(FIELD_ERROR, 422)),
    ]


def _throttles() -> list[Row]:
    return [
        ("status_429", "http_429", _rejected(429, LIMITED)),
        ("status_429_retry_after", "http_429", _rejected(429, LIMITED, retry_after="7")),
        ("status_429_retry_after_ms", "http_429", _rejected(429, LIMITED, retry_after_ms="7100")),
        ("status_429_retry_date", "http_429", _rejected(429, LIMITED, retry_after="Wed, 21 Oct 2099 07:28:00 GMT")),
        ("status_429_quota", "http_429", _rejected(429, QUOTA)),
        ("status_429_detail", "http_429", lambda: json_answer({"detail": "Too many requests"}, 429)),
        ("status_429_empty", "http_429", lambda: plain(429)),
    ]


def _server_errors() -> list[Row]:
    return [
        ("status_500", "http_503", _rejected(500, {})),
        ("status_500_detail", "http_503", lambda: json_answer({"detail": "Internal Server Error"}, 500)),
        ("status_500_text", "http_503", lambda: plain(500, b"Internal Server Error")),
        ("status_500_empty", "http_503", lambda: plain(500)),
        ("status_502_html", "http_503", lambda: plain(502, HTML, content_type="text/html")),
        ("status_503", "http_503", _rejected(503, {})),
        ("status_503_retry_after", "http_503", _rejected(503, {}, retry_after="3")),
        ("status_504", "http_503", _rejected(504, {})),
        ("status_529", "http_503", _rejected(529, {"type": "overloaded_error"})),
    ]


def _broken_errors() -> list[Row]:
    error = error_answer(500)
    within = len(error.head) + 10
    return [
        ("status_500_broken_json", "http_503", lambda: plain(500, b'{"error": {"m', content_type="application/json")),
        ("status_500_huge_body", "http_503", lambda: plain(500, b"x" * 10 * MEGABYTE)),
        ("status_500_stalled_body", "http_503", lambda: error.stall_after(within)),
        ("status_500_cut_body", "http_503", lambda: error.cut_after(within)),
        ("error_with_status_200", "http_502", lambda: error_answer(200)),
    ]
