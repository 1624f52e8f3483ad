"""Every fault of a Responses upstream ends in deltas and a `Finished`, or in the error that it means."""

import asyncio
from contextlib import aclosing

import pytest

from antiphon.models.responses import Responses, ResponsesOptions
from antiphon.turn.deltas import Delta, Finished, Text, Usage
from antiphon.turn.input import Turn
from antiphon.wire.errors import APIError
from antiphon.wire.items import Message
from antiphon.wire.request import CreateResponse
from tests.support.response_events import message, responses_stream
from tests.support.upstream import RESPONSES_FAULTS, STATUSES, FakeUpstream, Fault, stream

pytestmark = pytest.mark.anyio

FIRST_TOKEN = 0.3
IDLE = 0.2

ALSO = {"bad_chunk_size": "http_502", "content_length_too_small": "http_502"}
"""The fault arrives in one piece with the head of the answer: aiohttp refuses it as a whole."""


def model_of(upstream: FakeUpstream) -> Responses:
    return Responses(
        ResponsesOptions(
            base_url=upstream.base_url, model="upstream-model", first_token_timeout=FIRST_TOKEN, idle_timeout=IDLE
        )
    )


async def listen(model: Responses) -> tuple[list[Delta], APIError | None]:
    """All that is said, and the error that ended it."""
    turn = Turn(request=CreateResponse(input="Hi"), items=[Message(role="user", content="Hi")])
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
    if error is not None and said:
        return "failed"
    if error is not None:
        return next(name for name, statuses in STATUSES.items() if error.status in statuses)
    (last,) = (delta for delta in said if isinstance(delta, Finished))
    assert said[-1] is last
    return "completed" if last.incomplete is None else "incomplete"


@pytest.mark.parametrize("fault", RESPONSES_FAULTS.values(), ids=RESPONSES_FAULTS)
async def test_each_fault_ends_as_the_table_says_and_leaves_nothing_behind(fault: Fault) -> None:
    before = asyncio.all_tasks()
    async with FakeUpstream() as upstream, aclosing(model_of(upstream)) as model:
        upstream.always(fault())
        said, error = await listen(model)
        outcome = outcome_of(said, error)
        assert outcome in {*fault.outcomes, ALSO.get(fault.name)}, error
        text = "".join(delta.text for delta in said if isinstance(delta, Text))
        if fault.text is not None and outcome == "completed":
            assert text == fault.text or fault.name == "json_instead_of_stream"
        elif fault.text is not None:
            assert fault.text.startswith(text)
        await model.aclose()
        await upstream.all_closed()
    assert asyncio.all_tasks() == before


async def test_a_stream_that_is_cut_at_any_byte_never_passes_for_a_whole_one() -> None:
    answer = stream(responses_stream(message("Hello there, you.")))
    end = answer.after(b"event: response.completed\n")
    async with FakeUpstream() as upstream, aclosing(model_of(upstream)) as model:
        for count in range(0, end, 7):
            upstream.always(answer.cut_after(count))
            said, error = await listen(model)
            assert error is not None
            assert not any(isinstance(delta, Finished) for delta in said)
            assert sum(isinstance(delta, Usage) for delta in said) == bool(said)
