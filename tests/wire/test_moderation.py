from __future__ import annotations

import msgspec
import pytest
from openai.types import ModerationCreateResponse
from openai.types.moderation import Categories
from openai.types.responses import response as sdk_response
from openai.types.responses import response_create_params

from antiphon.policy.verdict import Verdict, merged, result_of, together, verdict_of
from antiphon.wire import moderation, request
from antiphon.wire.moderations import CreateModeration, ModerationCreated, decode_moderation
from antiphon.wire.response import Response, decode_response
from antiphon.wire.struct import encode
from tests.support import sdk_oracle
from tests.wire import sdk

FOUND = Verdict(frozenset({"hate", "house-rules"}), {"hate": 0.9, "sexual": 0.1}, frozenset({"sexual"}))


def test_the_categories_are_those_that_the_sdk_reads():
    names = [field.alias or name for name, field in Categories.model_fields.items()]
    assert list(moderation.CATEGORIES) == names


@pytest.mark.parametrize("verdict", [Verdict(), FOUND], ids=["clean", "flagged"])
def test_an_answer_is_what_the_sdk_expects(verdict):
    created = ModerationCreated(id="modr-1", model="m", results=[verdict_of(verdict)])
    ModerationCreateResponse.model_validate(msgspec.json.decode(encode(created)), strict=True)


@pytest.mark.parametrize("side", [result_of(FOUND, "m"), moderation.ModerationError(code="c", message="m")])
def test_a_response_says_what_the_sdk_expects_and_can_be_read_back(side):
    told = moderation.ResponseModeration(input=side, output=side)
    response = Response(id="resp_1", created_at=1, model="m", moderation=told)
    assert sdk_oracle.validate_response(msgspec.json.decode(encode(response))) == []
    assert decode_response(encode(response)) == response


def test_the_structs_have_the_fields_of_the_sdk():
    pairs = [
        (moderation.ModerationResult, sdk_response.ModerationOutputModerationResult),
        (moderation.ModerationError, sdk_response.ModerationOutputError),
        (moderation.ResponseModeration, sdk_response.Moderation),
        (request.Moderation, response_create_params.Moderation),
        (request.ModerationPolicy, response_create_params.ModerationPolicy),
    ]
    for ours, theirs in pairs:
        assert sdk.ours(ours).keys() - {"type"} == sdk.fields(theirs).keys() - {"type"}


def test_verdicts_are_merged_by_their_highest_scores():
    other = Verdict(frozenset({"hate"}), {"hate": 0.5, "violence": 0.2}, at=(0, 1))
    both = merged([FOUND, other])
    assert both.scores == {"hate": 0.9, "sexual": 0.1, "violence": 0.2}
    assert (both.flagged, both.images, both.at) == ({"hate", "house-rules"}, {"sexual"}, None)


@pytest.mark.parametrize(
    ("body", "sizes"),
    [
        (b'{"input": "a"}', [1]),
        (b'{"input": ["a", "b"]}', [1, 1]),
        (b'{"input": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "u"}}]}', [2]),
    ],
)
def test_what_is_judged_together(body, sizes):
    made = decode_moderation(body)
    assert isinstance(made, CreateModeration)
    assert [len(group) for group in made.groups] == sizes


ERROR = moderation.ModerationError(code="moderation_failed", message="m")
CLEAN, FLAGGED = result_of(Verdict(scores={"hate": 0.1}), "m"), result_of(FOUND, "m")


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (None, CLEAN, CLEAN),
        (FLAGGED, CLEAN, FLAGGED),
        (CLEAN, FLAGGED, FLAGGED),
        (FLAGGED, ERROR, FLAGGED),
        (ERROR, FLAGGED, FLAGGED),
        (ERROR, CLEAN, ERROR),
        (CLEAN, ERROR, ERROR),
    ],
)
def test_a_turn_does_not_hide_what_was_found_in_the_one_before(one, other, both):
    assert together(one, other) == both
