"""Each of the eight errors, provoked through the official SDK: what it raises, what it tells, how often it asked."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import openai
import pytest
from openai import AsyncOpenAI

from antiphon.testing import ScriptedModel, said
from antiphon.wire.errors import APIError, QuotaExceeded, RateLimited, ServerError, Unavailable
from tests.support.serving import serving

pytestmark = pytest.mark.anyio

ADMIN: Final = "an-admin-key-of-the-tests"
ONCE: Final = 1
THRICE: Final = 3
"""The SDK's own default: it asks, and asks twice again."""
PAGE: Final = (Path(__file__).parents[2] / "docs" / "errors.md").read_text()
ROWS: Final = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line.startswith("| ")]
NO_HINT: Final = {"retry-after": None, "retry-after-ms": None, "x-should-retry": None}
NEVER: Final = NO_HINT | {"x-should-retry": "false"}
SOON: Final = NO_HINT | {"retry-after": "1", "retry-after-ms": "10"}


@asynccontextmanager
async def client(model: ScriptedModel | None = None):
    """A client as the SDK makes it, with its own number of retries and the key of a service account."""
    async with (
        serving(model, admin_key=ADMIN) as served,
        AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", admin_api_key=ADMIN) as made,
    ):
        account = await made.admin.organization.projects.service_accounts.create("default", name="bot")
        yield made.with_options(api_key=account.api_key.value)


async def refused(work: Awaitable[Any], hints: Mapping[str, str | None], *, asked: int) -> openai.APIStatusError:
    """The error that the work ends in, which must give these hints after being asked so many times, as its row says."""
    with pytest.raises(openai.APIStatusError) as caught:
        await work
    error = caught.value
    assert {name: error.response.headers.get(name) for name in NO_HINT} == hints
    assert int(error.request.headers["x-stainless-retry-count"]) + 1 == asked
    assert error.request_id
    assert error.message
    (row,) = (row for row in ROWS if len(row) == 5 and row[:2] == [str(error.status_code), f"`{error.type}`"])
    assert row[2] == f"`{type(error).__name__}`"
    assert row[3].startswith("yes" if asked > ONCE else "no")
    return error


def told(error: openai.APIStatusError) -> tuple[type[openai.APIStatusError], int, str | None, str | None]:
    return type(error), error.status_code, error.code, error.param


async def test_400_a_wrong_value_is_a_bad_request_that_names_it_and_is_asked_once():
    async with client() as c:
        error = await refused(c.responses.create(model="scripted", input="Hi.", temperature=3), NO_HINT, asked=ONCE)
    assert told(error) == (openai.BadRequestError, 400, "decimal_above_max_value", "temperature")


async def test_401_a_key_that_nobody_has_fails_authentication_and_is_not_tried_again():
    async with client() as c:
        nobody = c.with_options(api_key="sk-antiphon-nobody")
        error = await refused(nobody.responses.create(model="scripted", input="Hi."), NEVER, asked=ONCE)
    assert told(error) == (openai.AuthenticationError, 401, "invalid_api_key", None)


async def test_403_a_key_without_the_scope_is_denied_and_told_what_it_lacks():
    async with client() as c:
        accounts = c.admin.organization.projects.service_accounts
        account = await accounts.create("default", name="reader")
        reader = await accounts.api_keys.create(account.id, project_id="default", scopes=["models.read"])
        bot = c.with_options(api_key=reader.value)
        error = await refused(bot.responses.create(model="scripted", input="Hi."), NO_HINT, asked=ONCE)
    assert told(error) == (openai.PermissionDeniedError, 403, "insufficient_permissions", None)


async def test_404_a_response_that_never_was_is_not_found():
    async with client() as c:
        error = await refused(c.responses.retrieve("resp_none"), NO_HINT, asked=ONCE)
    assert told(error) == (openai.NotFoundError, 404, "response_not_found", None)


async def test_409_deleting_a_response_that_runs_is_a_conflict_that_waiting_does_not_solve_soon():
    gate = asyncio.Event()
    async with client(ScriptedModel([[], gate, *said()])) as c:
        made = await c.responses.create(model="scripted", input="Hi.", background=True)
        error = await refused(c.responses.delete(made.id), NEVER, asked=ONCE)
        assert told(error) == (openai.ConflictError, 409, "conflict", None)
        await c.responses.cancel(made.id)
        await c.responses.delete(made.id)


@pytest.mark.parametrize(
    ("data", "code"), [("bm8gaW1hZ2U=", "invalid_image_format"), ("no base64", "invalid_base64_image")]
)
async def test_422_an_image_that_does_not_decode_reaches_no_model(data: str, code: str):
    model = ScriptedModel()
    async with client(model) as c:
        error = await refused(c.responses.create(model="scripted", input=asked_of(data)), NO_HINT, asked=ONCE)
        assert told(error) == (openai.UnprocessableEntityError, 422, code, "input[0].content[1].image_url")
        assert model.turns == []
        await c.responses.create(model="scripted", input=asked_of(base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()))


def asked_of(data: str) -> list[Any]:
    """A question about an image with these data."""
    image = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{data}"}
    return [{"role": "user", "content": [{"type": "input_text", "text": "What is this?"}, image]}]


@pytest.mark.parametrize(
    ("trouble", "hints", "asked", "raised", "code"),
    [
        (RateLimited("Slow.", retry_after=0.01), SOON, THRICE, openai.RateLimitError, "rate_limit_exceeded"),
        (QuotaExceeded("Used up."), NEVER, ONCE, openai.RateLimitError, "insufficient_quota"),
        (ServerError("A defect.", retry_after=0.01), SOON, THRICE, openai.InternalServerError, "server_error"),
        (Unavailable("Down.", retry_after=0.01), SOON, THRICE, openai.InternalServerError, "service_unavailable"),
    ],
    ids=["429 limit", "429 quota", "500", "503"],
)
async def test_429_and_500_and_503_are_tried_again_when_the_answer_says_unless_it_forbids(
    trouble: APIError, hints: dict[str, str | None], asked: int, raised: type[openai.APIStatusError], code: str
):
    model = ScriptedModel([trouble])
    async with client(model) as c:
        error = await refused(c.responses.create(model="scripted", input="Hi."), hints, asked=asked)
    assert told(error) == (raised, trouble.status, code, None)
    assert len(model.turns) == asked
