"""Every moderator keeps the contract of `antiphon.ports.Moderator`."""

import json

import pytest

from antiphon.models.moderators import Judge, RuleList, UpstreamModerator
from antiphon.models.upstream import UpstreamOptions
from antiphon.policy.rules import Rules
from antiphon.testing import ScriptedModel, ScriptedModerator, said
from antiphon.testing.contracts import ModeratorContract
from tests.support.upstream import FakeUpstream, json_answer

pytestmark = pytest.mark.anyio


@pytest.fixture
def flagged():
    return "Some flagged words."


@pytest.fixture
def clean():
    return "Some other words."


class TestRuleList(ModeratorContract):
    @pytest.fixture
    def moderator(self):
        return RuleList(lambda: Rules({"house": ["flagged words"]}))


class TestScripted(ModeratorContract):
    @pytest.fixture
    def moderator(self):
        return ScriptedModerator()


class TestUpstream(ModeratorContract):
    @pytest.fixture
    async def moderator(self):
        def answer(request):
            results = []
            for text in request.json()["input"]:
                is_flagged = "flagged" in text
                scores = {"hate": 0.9 if is_flagged else 0.01, "violence": 0.0}
                results.append({"flagged": is_flagged, "categories": {"hate": is_flagged}, "category_scores": scores})
            return json_answer({"id": "modr-1", "model": "m", "results": results})

        async with FakeUpstream() as upstream:
            upstream.handler = answer
            yield UpstreamModerator(UpstreamOptions(base_url=upstream.base_url, model="m"))


class TestJudge(ModeratorContract):
    @pytest.fixture
    def moderator(self):
        def script(turn):
            is_flagged = any("flagged" in part.text for part in turn.items[0].content)
            return said(f"Here it is:\n```json\n{json.dumps({'hate': 0.9} if is_flagged else {})}\n```")

        return Judge(lambda: ScriptedModel(script), "scripted")
