"""A judge has places of its own: no answer holds the place that its own judge waits for."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.engine.attempts import Attempts
from antiphon.engine.moderation import Moderation, ModerationPolicy
from antiphon.engine.upstreams import Upstreams
from antiphon.models.moderators import Judge
from antiphon.policy.admission import AdmissionSettings
from antiphon.testing import FakeClock, ScriptedModel, said
from antiphon.wire.errors import ServerOverloaded
from tests.engine.attempts_stage import a_turn, error_of, leave, settle
from tests.engine.stage import create, stage
from tests.support.moderated import Behind

pytestmark = pytest.mark.anyio

ADDRESS = "http://127.0.0.1:1/v1"


class House:
    """An answering and a judging model at one upstream, which has one place and no queue."""

    def __init__(self, answer=None, judge=None, **policy):
        self.clock = FakeClock()
        self.upstreams = Upstreams(self.clock)
        self.answering = ScriptedModel(said("Fine words.") if answer is None else answer, name="answers")
        self.judging = ScriptedModel(said("{}") if judge is None else judge, name="judges")
        self.model, self.judge = self._model(self.answering), self._model(self.judging)
        moderators = {"judge": Judge(lambda: self.judge, "judge")}
        self.moderation = Moderation(moderators, ModerationPolicy(**policy))

    def _model(self, model):
        line = self.upstreams.line(model, ADDRESS, places=AdmissionSettings(limit=1, queue=0))
        return Attempts([line], self.clock, self.upstreams.retry, random=lambda: 0.5)

    def begin(self, model, **fields):
        async def hear():
            async for _ in model.stream(a_turn(**fields)):
                pass

        return asyncio.create_task(hear())

    def stage(self, tmp_path):
        return stage(tmp_path, Behind(self.model, self.moderation), clock=self.clock, moderation=self.moderation)

    @property
    def waiting(self):
        return dict(self.upstreams.waiting())


@pytest.mark.parametrize("policy", [{"output": "block"}, {"input": "block", "output": "block"}, {"output": "score"}])
async def test_an_answer_is_judged_by_a_model_of_its_own_upstream_which_has_one_place(tmp_path, policy):
    house = House(said("Fine words. " * 2000, size=100), **policy)  # more than is held back
    async with house.stage(tmp_path) as engine:
        response = await (await create(engine)).result()
    assert (response.status, response.moderation.output.model) == ("completed", "judge")
    assert house.judging.turns


async def test_judgements_take_no_place_of_answers_and_are_as_many_at_a_time():
    gate = asyncio.Event()
    house = House([[], gate, *said()[1:]], [[], gate, *said("{}")[1:]])
    answer = house.begin(house.model)
    judges = [house.begin(house.judge, judges=True) for _ in range(3)]
    await settle()
    assert (house.answering.open, house.judging.open, house.waiting) == (1, 1, {ADDRESS: 2})
    assert isinstance(await error_of(house.begin(house.model)), ServerOverloaded)
    gate.set()
    await asyncio.gather(answer, *judges)
    assert (len(house.judging.turns), house.waiting) == (3, {ADDRESS: 0})


async def test_who_stops_a_judgement_that_waits_leaves_nothing():
    house = House(judge=[[], asyncio.Event()])
    first, second = (house.begin(house.judge, judges=True) for _ in range(2))
    await settle()
    await leave(second)
    assert house.waiting == {ADDRESS: 0}
    await leave(first)
    await leave(house.begin(house.judge, judges=True))
    assert (house.waiting, house.judging.open) == ({ADDRESS: 0}, 0)
