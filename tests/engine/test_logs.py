"""What upstreams say may quote what they were sent: it stands in the answer, and in no log."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from antiphon.engine.attempts import Attempts
from antiphon.engine.moderation import Moderation, ModerationPolicy
from antiphon.engine.upstreams import Upstreams
from antiphon.policy.retry import RetrySettings
from antiphon.testing import FakeClock, ScriptedModel, ScriptedModerator
from antiphon.turn.deltas import Text
from antiphon.wire.errors import APIError, InvalidRequest, RateLimited, ServerError, Unavailable
from tests.engine.stage import create, stage
from tests.support.moderated import Behind

pytestmark = pytest.mark.anyio

WORD = "bluebird"
QUOTE = f"Invalid prompt: {WORD}"
ADDRESS = "http://127.0.0.1:1/v1"


def behind(script: Any, moderation: Moderation | None = None) -> Behind:
    upstreams = Upstreams(FakeClock())
    line = upstreams.line(ScriptedModel(script, name="m"), ADDRESS)
    model = Attempts([line], upstreams.clock, RetrySettings(attempts=1), random=lambda: 0.5)
    return Behind(model, moderation or Moderation())


async def ended(tmp_path: Any, catalog: Behind) -> str:
    """What a client is told of a request that fails."""
    async with stage(tmp_path, catalog, moderation=catalog.moderation) as engine:
        run = await create(engine, input=f"The {WORD} flies.")
        await asyncio.wait((run.task,))
        try:
            response = await run.result()
        except APIError as error:
            return error.message
    return str(response.error.message)


@pytest.mark.parametrize("before", [[], [[], [Text("Half")]]], ids=["refused", "failed"])
@pytest.mark.parametrize("kind", [InvalidRequest, RateLimited, Unavailable, ServerError])
async def test_what_an_upstream_says_stands_in_the_answer_and_in_no_log(tmp_path, caplog, kind, before):
    caplog.set_level(logging.DEBUG)
    assert WORD in await ended(tmp_path, behind([*before, kind(QUOTE, code="a_code")]))
    assert WORD not in caplog.text
    if before or kind.status >= 500:
        assert f"m at {ADDRESS}: {kind.__name__} {kind.status} a_code" in caplog.text


@pytest.mark.parametrize("side", ["input", "output"])
async def test_what_a_moderator_fails_with_stands_in_no_log(tmp_path, caplog, side):
    caplog.set_level(logging.DEBUG)
    moderator = ScriptedModerator()
    moderator.failure = Unavailable(QUOTE, code="a_code")
    moderation = Moderation({"slow": moderator}, ModerationPolicy(**{side: "block"}))
    await ended(tmp_path, behind(None, moderation))
    assert WORD not in caplog.text
    assert "a moderator failed: Unavailable 503 a_code" in caplog.text
