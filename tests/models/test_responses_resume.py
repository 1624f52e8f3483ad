"""A Responses upstream that keeps its background responses is continued when the connection breaks."""

from __future__ import annotations

import re
from contextlib import aclosing

import pytest

from antiphon.engine.attempts import Attempts
from antiphon.engine.clock import SystemClock
from antiphon.engine.ids import output_ids
from antiphon.engine.upstreams import Upstreams
from antiphon.models.responses import Responses, ResponsesOptions
from antiphon.policy.retry import RetrySettings
from antiphon.testing import ScriptedModel
from antiphon.turn.deltas import Finished, Text
from antiphon.turn.input import Turn, effective
from antiphon.wire.errors import APIError, InvalidRequest
from antiphon.wire.request import CreateResponse
from tests.support import response_events as told
from tests.support.upstream import FakeUpstream, error_answer, json_answer, stream

pytestmark = pytest.mark.anyio

WORDS = "Hello there, you who read this over many connections."
CHUNKS = told.responses_stream(told.message(WORDS))
FRAMES = [frame + b"\n\n" for frame in b"".join(CHUNKS).split(b"\n\n") if frame]

TRIES = 4


async def go_on(error, failed):
    """A policy that never waits."""
    return failed < TRIES and not isinstance(error, InvalidRequest)


class Keeper:
    """An upstream that keeps what it said and gives the rest behind a number; each answer ends as `cut` says."""

    def __init__(self, cut):
        self.cut = cut
        self.posted, self.resumed, self.cancelled = [], [], 0

    def __call__(self, request):
        if request.target.endswith("/cancel"):
            self.cancelled += 1
            return json_answer({"object": "response"})
        if request.method == "POST":
            self.posted.append(request.json())
            return self.cut(stream(FRAMES), 0)
        (after,) = re.findall(r"starting_after=(\d+)$", request.target)
        self.resumed.append(int(after))
        return self.cut(stream(FRAMES[int(after) + 1 :]), len(self.resumed))


async def hear(fake, *, background=True, resume=True, around=lambda model: model):
    options = ResponsesOptions(base_url=fake.base_url, model="m", resume=resume)
    turn = Turn(
        request=CreateResponse(input="Hi", background=background),
        items=effective("Hi", output_ids("resp_" + "0" * 40)),
        go_on=go_on,
    )
    heard, error = [], None
    async with aclosing(around(Responses(options))) as model:
        try:
            async for batch in model.stream(turn):
                heard += batch
        except APIError as raised:
            error = raised
    return "".join(delta.text for delta in heard if isinstance(delta, Text)), heard, error


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_an_answer_that_is_cut_at_any_byte_is_heard_once_and_whole(framing):
    whole = stream(FRAMES, framing=framing)
    for at in range(whole.after(FRAMES[0]), len(whole.wire), 7):
        async with FakeUpstream() as fake:
            first = [whole.cut_after(at)]
            keeper = fake.handler = Keeper(lambda answer, number, first=first: answer if number else first[0])
            text, heard, error = await hear(fake)
            assert (text, error) == (WORDS, None), at
            assert isinstance(heard[-1], Finished)
            assert len(keeper.posted) == 1
            assert keeper.cancelled == 0


@pytest.mark.parametrize("break_off", ["cut_after", "reset_after"])
async def test_it_is_continued_as_often_as_it_goes_on(break_off):
    def a_little(answer, number):
        at = len(answer.head) + sum(map(len, [step.data for step in answer.steps[:3]])) + 5
        return getattr(answer, break_off)(at) if len(answer.steps) > 4 else answer

    async with FakeUpstream() as fake:
        keeper = fake.handler = Keeper(a_little)
        text, _, error = await hear(fake)
    assert (text, error) == (WORDS, None)
    assert keeper.resumed == sorted(set(keeper.resumed))
    assert len(keeper.resumed) > 2


async def test_an_upstream_that_says_nothing_new_is_given_up_and_told_so():
    async with FakeUpstream() as fake:

        def nothing_new(answer, number):
            return answer.cut_after(len(answer.head) + (0 if number else 1000))

        keeper = fake.handler = Keeper(nothing_new)
        _, _, error = await hear(fake)
        assert getattr(error, "code", None) == "upstream_cut"
        assert len(keeper.resumed) == TRIES - 1
        assert keeper.cancelled == 1


async def test_one_that_has_forgotten_the_response_is_not_asked_again(caplog):
    async with FakeUpstream() as fake:

        def forgotten(answer, number):
            return (
                error_answer(404, "No such response as this.") if number else answer.cut_after(len(answer.head) + 1000)
            )

        keeper = fake.handler = Keeper(forgotten)
        _, _, error = await hear(fake)
    assert getattr(error, "code", None) == "upstream_cut"
    assert len(keeper.resumed) == 1
    assert "is not continued: InvalidRequest 400" in caplog.text
    assert "No such response" not in caplog.text


async def test_one_that_is_busy_or_away_for_a_moment_is_asked_again():
    async with FakeUpstream() as fake:

        def away(answer, number):
            match number:
                case 0:
                    return answer.cut_after(len(answer.head) + 1000)
                case 1:
                    return error_answer(503, "Away.")
                case 2:
                    return error_answer(429, "Busy.")
            return answer

        fake.handler = Keeper(away)
        text, _, error = await hear(fake)
    assert (text, error) == (WORDS, None)


async def test_whether_it_is_continued_is_for_the_one_policy_of_retries_to_say():
    known = Upstreams(SystemClock(), retry=RetrySettings(base=0.001), chance=lambda: 0.5)

    def attempts(model):
        return Attempts([known.line(model, "http://h/v1")], known.clock, known.retry, random=known.chance)

    async with FakeUpstream() as fake:
        keeper = fake.handler = Keeper(lambda answer, number: answer if number else answer.cut_after(1500))
        text, _, error = await hear(fake, around=attempts)
        assert (text, error, len(keeper.resumed)) == (WORDS, None, 1)
        known.line(ScriptedModel(name="m"), "http://h/v1").budget.tokens = 0
        keeper.resumed.clear()
        _, _, error = await hear(fake, around=attempts)
        assert (error.code, keeper.resumed) == ("upstream_cut", [])


async def test_a_listener_that_leaves_stops_the_upstream():
    async with FakeUpstream() as fake:
        keeper = fake.handler = Keeper(lambda answer, _: answer.stall_after(answer.after(b"you")))
        options = ResponsesOptions(base_url=fake.base_url, model="m", resume=True)
        turn = Turn(request=CreateResponse(input="Hi", background=True), items=[])
        async with aclosing(Responses(options)) as model, aclosing(model.stream(turn)) as batches:
            await anext(batches)
        await fake.received(2)
        assert keeper.cancelled == 1


@pytest.mark.parametrize(
    ("background", "resume", "kept"), [(True, True, True), (False, True, False), (True, False, False)]
)
async def test_only_background_responses_are_kept_and_only_where_it_is_configured(background, resume, kept):
    async with FakeUpstream() as fake:
        keeper = fake.handler = Keeper(lambda answer, number: answer.cut_after(len(answer.head) + 1000))
        _, _, error = await hear(fake, background=background, resume=resume)
        assert error is not None
    (body,) = keeper.posted
    assert (body.get("background", False), body["store"]) == (kept, kept)
    assert bool(keeper.resumed) == kept
