"""The official Python SDK reads our moderation: the route, and what a Response says."""

from __future__ import annotations

import openai
import pytest
from openai import AsyncOpenAI

from antiphon.testing import ScriptedModel, said
from tests.support import sdk_oracle
from tests.support.moderated import PHRASE, Behind, house
from tests.support.serving import serving

pytestmark = pytest.mark.anyio

BLOCK = {"model": "house", "policy": {"input": {"mode": "block"}, "output": {"mode": "block"}}}


@pytest.fixture
async def client():
    moderation = house()
    model = ScriptedModel(said(f"Well, a {PHRASE}."))
    async with (
        serving(Behind(model, moderation), moderation=moderation) as s,
        AsyncOpenAI(base_url=f"{s.url}/v1", api_key="none", max_retries=0) as made,
    ):
        yield made


async def test_moderations_create(client):
    made = await client.moderations.create(input=["fine", PHRASE], model="omni-moderation-latest")
    assert [result.flagged for result in made.results] == [False, True]
    assert (made.model, made.results[1].categories.self_harm_intent) == ("house", False)
    assert made.results[1].category_scores.hate == 0.0
    assert made.results[1].category_applied_input_types.sexual == ["text"]
    assert made.results[1].categories.to_dict()["house-rules"] is True


async def test_a_score_stands_in_the_response(client):
    made = await client.responses.create(model="m", input="Hi.", moderation={"model": "house"})
    assert (made.status, made.moderation.input.flagged, made.moderation.output.flagged) == ("completed", False, True)
    assert made.moderation.output.category_scores["house-rules"] == 1.0
    assert sdk_oracle.validate_response(made.to_dict()) == []
    assert (await client.responses.retrieve(made.id)).moderation == made.moderation


async def test_a_blocked_answer_is_incomplete(client):
    async with client.responses.stream(model="m", input="Hi.", moderation=BLOCK) as stream:
        events = [event async for event in stream]
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    final = events[-1].response
    assert (events[-1].type, text, final.output_text) == ("response.incomplete", "Well, a", "Well, a")
    assert (final.status, final.incomplete_details.reason) == ("incomplete", "content_filter")
    assert final.moderation.output.flagged


async def test_a_blocked_input_is_a_bad_request(client):
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="m", input=PHRASE, moderation=BLOCK)
    assert (caught.value.code, caught.value.param) == ("content_policy_violation", "input")
