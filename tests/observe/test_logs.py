"""One line a request, with figures and without content."""

from __future__ import annotations

import logging
from decimal import Decimal

import pytest

from antiphon.observe.logs import REQUEST_FIELDS, WORK_FIELDS, set_level
from antiphon.wire.response import Usage
from tests.observe.lines import written_lines
from tests.observe.reports import answered, attempt, began, report


@pytest.fixture
def written():
    with written_lines() as lines:
        yield lines


def test_a_request_and_its_response_are_one_line_whichever_ends_first(written):
    log = written.log
    log.began(began())
    log.ended(report())
    assert written.lines == []
    log.answered(answered())
    log.answered(answered(request_id="req_2"))
    assert len(written.lines) == 1
    log.ended(report(request_id="req_2"))
    first, second = written.lines
    assert first["message"] == "POST /v1/responses 200"
    assert (first["status"], first["outcome"], first["input_tokens"]) == (200, "completed", 100)
    assert {**first, "request_id": "", "time": ""} == {**second, "request_id": "", "time": ""}


def test_a_response_in_the_background_has_a_line_of_its_own(written):
    written.log.answered(answered(background=True))
    written.log.ended(report(background=True))
    request, response = written.lines
    assert "outcome" not in request
    assert "route" not in response
    assert request["response_id"] == response["response_id"] == "resp_1"
    assert request["request_id"] == response["request_id"] == "req_1"


def test_a_response_that_was_taken_over_has_a_line_without_a_request(written):
    written.log.ended(report(request_id="", background=True))
    assert written.lines[0]["message"] == "response completed"
    assert "request_id" not in written.lines[0]


def test_a_refused_request_is_a_line_too(written):
    written.log.answered(answered(status=401, work=None, error="invalid_api_key", error_class="AuthenticationFailed"))
    (line,) = written.lines
    assert (line["status"], line["error"], line["error_class"]) == (401, "invalid_api_key", "AuthenticationFailed")


def test_a_client_that_left_before_the_answer_is_told_as_such(written):
    written.log.answered(answered(status=None, work=None))
    assert written.lines[0]["status"] == "left"


def test_a_probe_is_a_line_only_when_it_is_told_something_else_than_that_all_is_well(written):
    for route in ("/health", "/ready", "/metrics"):
        written.log.answered(answered(method="GET", route=route, status=200, work=None))
    assert written.lines == []
    written.log.answered(answered(method="GET", route="/ready", status=503, work=None))
    assert len(written.lines) == 1


def test_every_figure_has_its_field(written):
    tries = (
        attempt(outcome="failed", code="upstream_cut", is_estimated=True),
        attempt(),
        attempt(upstream="http://10.0.0.2/v1"),
    )
    full = report(
        attempts=tries,
        cost=Decimal("0.00001250"),
        saved=Decimal("0.5"),
        queued=0.25,
        cache="miss",
        tokens_saved=9,
        reason="max_output_tokens",
        error="server_error",
        error_class="ServerError",
    )
    written.log.ended(full)
    written.log.answered(answered(error="server_error", error_class="ServerError"))
    (line,) = written.lines
    assert set(line) == {"time", "level", "logger", "message", *REQUEST_FIELDS, *WORK_FIELDS}
    assert line["total_ms"] == 2500
    assert line["first_token_ms"] == 500
    assert line["queued_ms"] == 250
    assert (line["cached_tokens"], line["output_tokens"], line["reasoning_tokens"]) == (40, 21, 5)
    assert (line["cost_usd"], line["estimated"]) == ("0.00001250", True)
    assert (line["attempts"], line["retries"], line["fallbacks"]) == (3, 1, 1)


def test_names_that_others_chose_are_cut_and_cannot_end_a_line(written):
    written.log.ended(report(asked="x" * 1000, model='a"\n{"level": "critical"}', usage=Usage()))
    written.log.answered(answered())
    (line,) = written.lines
    assert len(line["asked"]) == 128
    assert line["level"] == "info"


def test_nothing_is_kept_of_requests_that_are_over(written):
    for number in range(10):
        name = f"req_{number}"
        written.log.ended(report(request_id=name))
        written.log.answered(answered(request_id=name))
        written.log.answered(answered(request_id=f"{name}b"))
        written.log.ended(report(request_id=f"{name}b"))
    assert len(written.lines) == 20
    assert written.log._answered == written.log._ended == {}


@pytest.mark.parametrize(("level", "ours", "requests"), [("error", 40, 20), ("info", 20, 20), ("debug", 10, 10)])
def test_the_lines_of_requests_do_not_depend_on_the_level(level, ours, requests):
    set_level(level)
    try:
        assert logging.getLogger("antiphon.engine").getEffectiveLevel() == ours
        assert logging.getLogger("antiphon.requests").getEffectiveLevel() == requests
    finally:
        logging.getLogger("antiphon").setLevel(logging.NOTSET)
        logging.getLogger("antiphon.requests").setLevel(logging.NOTSET)
