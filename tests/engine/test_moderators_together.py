"""Two who judge one response: who is asked first, and what the one who only scores hears of an answer that is cut."""

from __future__ import annotations

import pytest

from antiphon.engine.moderation import Moderation, ModerationPolicy
from antiphon.models.moderators import RuleList
from antiphon.policy.rules import Rules
from antiphon.testing import ScriptedModel, ScriptedModerator, said
from antiphon.wire.errors import InvalidRequest
from tests.engine.stage import create, retrieve, stage, text_of
from tests.support.moderated import PHRASE, Behind

pytestmark = pytest.mark.anyio


class Counting(ScriptedModerator):
    """A moderator that takes its time, and counts the questions before it has begun with them."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.questions = 0

    def judge(self, passages, images=(), account=None):
        self.questions += 1
        return super().judge(passages, images, account)


def both(slow, **policy):
    """One who takes its time and, named after it, one who answers at once and judges for the operator."""
    house = RuleList(lambda: Rules({"house-rules": [PHRASE]}))
    return Moderation({"slow": slow, "house": house}, ModerationPolicy(moderator="house", **policy))


def asked(mode):
    return {"model": "slow", "policy": {"input": {"mode": mode}, "output": {"mode": mode}}}


async def test_who_answers_at_once_is_asked_first_and_a_hit_spares_the_other_the_work(tmp_path):
    slow = Counting()
    moderation = both(slow, input="block")
    async with stage(tmp_path, Behind(ScriptedModel(), moderation), moderation=moderation) as engine:
        with pytest.raises(InvalidRequest, match="house-rules"):
            await (await create(engine, input=f"Say a {PHRASE}.", moderation=asked("block"))).result()
        assert slow.questions == 0
        assert (await (await create(engine, moderation=asked("block"))).result()).status == "completed"
        assert slow.questions > 0


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_who_scores_judges_all_that_was_said_of_an_answer_that_another_cuts(tmp_path, size):
    slow = Counting(word="last words")
    moderation = both(slow, output="block")
    model = ScriptedModel(said(f"These are the last words, and a {PHRASE}, and more.", size=size))
    async with stage(tmp_path, Behind(model, moderation), moderation=moderation) as engine:
        run = await create(engine, moderation=asked("score"))
        await run.result()
        response = await retrieve(engine, run.turn.response_id)
    assert response["incomplete_details"] == {"reason": "content_filter"}
    assert slow.asked[-1][0] == text_of(response) == "These are the last words, and a"
    found = response["moderation"]["output"]
    assert (found["categories"]["house-rules"], found["categories"]["hate"]) == (True, True)
