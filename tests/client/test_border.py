"""The border between the SDK and the rest."""

from __future__ import annotations

from pathlib import Path

import httpx2
import openai
import pytest
from openai import OpenAI

from antiphon.client import border, errors
from antiphon.policy.breaker import outcome_of
from antiphon.wire import errors as wire
from antiphon.wire.events import decode_event
from antiphon.wire.sse import SSESplitter
from antiphon.wire.struct import Opaque, tag_of

GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.sse"))
REQUEST = httpx2.Request("POST", "http://upstream.test/v1/responses")


def sdk_over(response: httpx2.Response) -> OpenAI:
    """A client of a server that always says the same."""
    transport = httpx2.MockTransport(lambda _: response)
    http = httpx2.Client(transport=transport)
    return OpenAI(base_url="http://upstream.test/v1", api_key="none", http_client=http, max_retries=0)


def sdk_events(data: bytes) -> list:
    """What the SDK makes of a recorded stream."""
    with sdk_over(httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=data)) as sdk:
        return list(sdk.responses.create(model="m", input="Hi.", stream=True))


def name_of(event) -> str:
    return event.type if isinstance(event, Opaque) else tag_of(type(event))


@pytest.mark.parametrize("file", GOLDEN, ids=lambda file: file.stem)
def test_an_event_of_the_sdk_is_ours_again(file):
    data = file.read_bytes()
    ours = [decode_event(each) for _, each in SSESplitter().feed(data)]
    theirs = sdk_events(data)
    assert [event.type for event in theirs] == [
        getattr(each, "type", None) or each.__struct_config__.tag for each in ours
    ]
    assert [border.wire_event(event) for event in theirs] == ours


def answer(status: int, **headers: str) -> openai.APIStatusError:
    """What the SDK raises for a status."""
    with (
        sdk_over(httpx2.Response(status, headers=headers, json={"error": {"message": "No."}})) as sdk,
        pytest.raises(openai.APIStatusError) as caught,
    ):
        sdk.responses.create(model="m", input="Hi.")
    return caught.value


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2026 07:27:00 GMT", "date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
    ],
)
def test_a_retry_after_is_read_in_all_its_forms(headers, seconds):
    assert border.refusal_of(answer(429, **headers)).retry_after == seconds


STATUSES = {
    400: (errors.BadRequest, "ignored"),
    401: (errors.AuthenticationFailed, "misconfigured"),
    403: (errors.PermissionDenied, "misconfigured"),
    404: (errors.NotFound, "ignored"),
    408: (errors.StatusError, "failure"),
    409: (errors.Conflict, "ignored"),
    418: (errors.StatusError, "ignored"),
    422: (errors.Unprocessable, "ignored"),
    429: (errors.RateLimited, "throttled"),
    500: (errors.ServerFailed, "failure"),
    502: (errors.ServerFailed, "failure"),
    503: (errors.ServerFailed, "failure"),
    504: (errors.ServerFailed, "failure"),
}


@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
def test_every_status_has_its_class_and_what_it_says_of_the_server(status, expected):
    kind, outcome = expected
    told = answer(status)
    error = border.refusal_of(told)
    assert type(error) is kind
    assert isinstance(error, type(told))
    assert (error.message, error.status_code, error.request) == ("No.", status, told.request)
    assert outcome_of(border.judged(error)) == outcome


@pytest.mark.parametrize(
    ("fault", "kind", "outcome"),
    [
        (openai.APITimeoutError(REQUEST), errors.TimedOut, "failure"),
        (openai.APIConnectionError(request=REQUEST), errors.ConnectionFailed, "failure"),
        (openai.APIError("Oh.", REQUEST, body={"code": "server_error"}), errors.ResponseFailed, "failure"),
        (openai.APIError("Oh.", REQUEST, body={"code": "rate_limit_exceeded"}), errors.ResponseFailed, "throttled"),
        (openai.APIError("Oh.", REQUEST, body={"code": "insufficient_quota"}), errors.ResponseFailed, "misconfigured"),
        (openai.APIError("Oh.", REQUEST, body={"code": "invalid_prompt"}), errors.ResponseFailed, "ignored"),
    ],
)
def test_faults_without_a_status(fault, kind, outcome):
    error = border.refusal_of(fault)
    assert type(error) is kind
    assert outcome_of(border.judged(error)) == outcome


@pytest.mark.parametrize("cause", [httpx2.ConnectError("refused"), httpx2.ConnectTimeout("slow")])
def test_a_server_that_is_not_reached_is_told_from_one_that_breaks_off(cause):
    fault = openai.APIConnectionError(request=REQUEST)
    fault.__cause__ = cause
    error = border.refusal_of(fault)
    assert outcome_of(border.judged(error)) == "connect_failure"
    assert isinstance(border.cut_of(fault), errors.StreamCut)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (openai.APITimeoutError(REQUEST), errors.StreamCut),
        (openai.APIConnectionError(request=REQUEST), errors.StreamCut),
        (openai.APIError("Oh.", REQUEST, body=None), errors.ResponseFailed),
        (ValueError("no JSON"), errors.StreamMalformed),
    ],
)
def test_faults_of_a_stream(fault, kind):
    error = border.cut_of(fault)
    assert type(error) is kind
    assert isinstance(border.judged(error), wire.ServerError)


def test_an_error_says_what_happened_how_often_and_what_to_do():
    error = border.refusal_of(answer(429, **{"retry-after": "3"}))
    error.attempts = 3
    assert str(error) == (
        "429: No. (asked 3 times) Send less at a time: a limit on concurrency, or a rate for a batch. "
        "It may be asked again in 3 s."
    )
