"""Every fault of an upstream ends in deltas and a `Finished`, or in the error that it means; nothing is left behind."""

import asyncio
from contextlib import aclosing

import pytest

from antiphon.models.chat_completions import ChatCompletions, ChatOptions
from antiphon.turn.deltas import Delta, Finished, Text
from antiphon.turn.input import Turn
from antiphon.wire.errors import APIError
from antiphon.wire.items import Message
from antiphon.wire.request import CreateResponse
from tests.support.answers import Ending
from tests.support.upstream import FAULTS, STATUSES, FakeUpstream, Fault

pytestmark = pytest.mark.anyio

SHORT, LONG = 0.2, 60.0
"""Seconds. Only what falls silent is waited for shortly: a busy machine must not look like a fault."""
MAX_LINE = 12 * 2**20

ALSO = {"bad_chunk_size": "http_502", "content_length_too_small": "http_502"}
"""The fault comes in one piece with the head of the answer, and aiohttp refuses the whole piece."""


def chat(upstream: FakeUpstream, fault: Fault) -> ChatCompletions:
    is_silent = fault().ending is Ending.SILENCE
    return ChatCompletions(
        ChatOptions(
            base_url=upstream.base_url,
            model="upstream-model",
            first_token_timeout=SHORT if is_silent and fault.strikes == "before" else LONG,
            idle_timeout=SHORT if is_silent else LONG,
            max_line=MAX_LINE,
        )
    )


def a_turn() -> Turn:
    request = CreateResponse(model="m", input="Say something.")
    return Turn(request=request, items=[Message(role="user", content="Say something.")])


async def listen(model: ChatCompletions, turn: Turn) -> tuple[list[Delta], APIError | None]:
    """All that is said, and the error that ended it."""
    said: list[Delta] = []
    async with aclosing(model.stream(turn)) as batches:
        try:
            async for batch in batches:
                said += batch
        except APIError as error:
            return said, error
    return said, None


def outcome_of(said: list[Delta], error: APIError | None) -> str:
    """The outcome, in the words of the table of faults. The error of what breaks off later is a `failed`."""
    if error is not None and any(not isinstance(delta, Finished) for delta in said):
        return "failed"
    if error is not None:
        return next(name for name, statuses in STATUSES.items() if error.status in statuses)
    (last,) = (delta for delta in said if isinstance(delta, Finished))
    assert said[-1] is last
    return "completed" if last.incomplete is None else "incomplete"


def check_text(fault: Fault, said: list[Delta], outcome: str) -> None:
    text = "".join(delta.text for delta in said if isinstance(delta, Text))
    if fault.text is None:
        return
    if outcome == "completed":
        assert text == fault.text
    else:
        assert fault.text.startswith(text)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_each_fault_ends_as_the_table_says_and_leaves_nothing_behind(fault: Fault) -> None:
    before = asyncio.all_tasks()
    async with FakeUpstream() as upstream, aclosing(chat(upstream, fault)) as model:
        upstream.always(fault())
        said, error = await listen(model, a_turn())
        outcome = outcome_of(said, error)
        assert outcome in {*fault.outcomes, ALSO.get(fault.name)}, error
        check_text(fault, said, outcome)
        await model.aclose()
        await upstream.all_closed()
    assert asyncio.all_tasks() == before
