"""The moderators that ask somebody: an upstream, or a model."""

import asyncio

import pytest

from antiphon.engine.side_by_side import MOST
from antiphon.models.moderators import Asked, Judge, UpstreamModerator
from antiphon.models.upstream import UpstreamOptions
from antiphon.policy.verdict import Passage
from antiphon.testing import ScriptedModel, said
from antiphon.wire.errors import APIError, InvalidRequest, Unavailable
from tests.support.upstream import FakeUpstream, Gate, error_answer, json_answer, plain
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

RESULT = {
    "flagged": True,
    "categories": {"hate": True, "sexual": False, "illicit": None},
    "category_scores": {"hate": 0.8, "sexual": 0.6, "illicit": None},
    "category_applied_input_types": {"hate": ["text"], "sexual": ["text", "image"]},
}


@pytest.fixture
async def upstream():
    async with FakeUpstream() as fake:
        yield fake


@pytest.fixture
async def moderator(upstream):
    made = UpstreamModerator(UpstreamOptions(base_url=upstream.base_url, model="omni", api_key="k"))
    yield made
    await made.aclose()


async def test_an_upstream_is_sent_all_texts_at_once_and_each_image_alone(upstream, moderator):
    upstream.always(json_answer({"results": [RESULT]}))
    verdict = await moderator.judge([Passage("a"), Passage("b")], ["https://example.com/a.png"])
    sent = sorted((request.json()["input"] for request in upstream.requests), key=str)
    assert sent == [["a", "b"], [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]]
    assert upstream.requests[0].target == "/v1/moderations"
    assert upstream.requests[0].headers["authorization"] == "Bearer k"
    assert upstream.requests[0].json()["model"] == "omni"
    assert (verdict.flagged, verdict.scores, verdict.images) == ({"hate"}, {"hate": 0.8, "sexual": 0.6}, {"sexual"})


async def test_many_images_are_sent_a_few_at_a_time_and_no_more_after_a_failure(upstream, moderator):
    gate = Gate()
    upstream.always(error_answer(503).gated(gate))
    images = [f"https://example.com/{number}.png" for number in range(100)]
    judging = asyncio.create_task(moderator.judge([], images))
    await until(lambda: len(upstream.requests) == MOST)
    gate.open()
    with pytest.raises(Unavailable):
        await judging
    assert len(upstream.requests) < 2 * MOST


async def test_a_threshold_of_ours_outweighs_what_the_upstream_flags(upstream):
    upstream.always(json_answer({"results": [RESULT]}))
    strict = UpstreamModerator(UpstreamOptions(base_url=upstream.base_url), Asked(threshold=0.5))
    assert (await strict.judge([Passage("a")])).flagged == {"hate", "sexual"}
    await strict.aclose()


async def test_what_is_flagged_without_a_category_is_flagged_all_the_same(upstream, moderator):
    upstream.always(json_answer({"results": [{"flagged": True}]}))
    assert (await moderator.judge([Passage("a")])).is_flagged


@pytest.mark.parametrize(
    "answer",
    [error_answer(400), error_answer(503), plain(b"not JSON"), json_answer({"results": []}), json_answer({})],
    ids=["refused", "down", "no JSON", "no result", "no results"],
)
async def test_an_upstream_that_does_not_judge_fails_as_a_server_does(upstream, moderator, answer):
    upstream.always(answer)
    with pytest.raises(APIError) as failure:
        await moderator.judge([Passage("a")])
    assert failure.value.status >= 500


def judge(script, **options) -> tuple[Judge, ScriptedModel]:
    model = ScriptedModel(script)
    return Judge(lambda: model, "scripted", **options), model


async def test_a_model_is_asked_once_with_what_to_judge_as_data():
    moderator, model = judge(said('{"hate": 0.7, "violence": 0.2}'), policy="No sports.")
    verdict = await moderator.judge([Passage("a"), Passage("b")], ["https://example.com/a.png"])
    (turn,) = model.turns
    assert turn.judges
    assert "No sports." in turn.request.instructions
    assert [part.text for part in turn.items[0].content[:2]] == ["a", "b"]
    assert turn.items[0].content[2].image_url == "https://example.com/a.png"
    assert (verdict.flagged, verdict.scores) == ({"hate"}, {"hate": 0.7, "violence": 0.2})


@pytest.mark.parametrize(
    ("answer", "flagged"),
    [
        ("{}", set()),
        ('Sure!\n```json\n{"hate": 1}\n```\nAnything else?', {"hate"}),
        ('{"flagged": true, "category_scores": {"violence": 3}}', {"violence"}),
        ('{"hate": true, "violence": false}', {"hate"}),
    ],
)
async def test_scores_are_found_in_what_a_model_says(answer, flagged):
    moderator, _ = judge(said(answer))
    assert (await moderator.judge([Passage("a")])).flagged == flagged


@pytest.mark.parametrize(
    "script",
    [
        said("I cannot help with that."),
        said('{"hate": "very"}'),
        said("} {"),
        said('["hate"]'),
        [InvalidRequest("No such parameter.")],
        [Unavailable("Down.")],
    ],
)
async def test_a_model_that_does_not_judge_fails_as_a_server_does(script):
    moderator, _ = judge(script)
    with pytest.raises(APIError) as failure:
        await moderator.judge([Passage("a")])
    assert failure.value.status >= 500


async def test_a_model_that_takes_too_long_is_left():
    moderator, model = judge([[], asyncio.Event()], timeout=0.01)
    with pytest.raises(APIError) as failure:
        await moderator.judge([Passage("a")])
    assert failure.value.code == "upstream_timeout"
    assert model.open == 0
