"""Every model keeps the contract of `antiphon.ports.Model`."""

import asyncio

import pytest

from antiphon.models.chat_completions import ChatCompletions, ChatOptions
from antiphon.models.rehearsal import Rehearsal
from antiphon.models.responses import Responses
from antiphon.models.responses_request import ResponsesOptions
from antiphon.testing import ScriptedModel, said
from antiphon.testing.contracts import ModelContract
from antiphon.turn.deltas import Text
from tests.support.response_events import message
from tests.support.upstream import FakeUpstream, chat_stream, error_answer, responses_stream, stream

pytestmark = pytest.mark.anyio

WORDS = "The quick brown fox jumps over the lazy dog."


@pytest.fixture
async def upstream():
    async with FakeUpstream() as fake:
        yield fake


class TestScripted(ModelContract):
    @pytest.fixture
    def model(self):
        return ScriptedModel(said(WORDS))

    @pytest.fixture
    def hanging(self):
        return ScriptedModel([[], [Text("The quick ")], asyncio.Event()])

    @pytest.fixture
    def closed(self, hanging):
        async def closed():
            assert hanging.open == 0

        return closed


class TestRehearsal(ModelContract):
    @pytest.fixture
    def model(self):
        return Rehearsal()

    @pytest.fixture
    def slept(self):
        """For each wait whether it ended: with a reader that leaves, or not at all."""
        return []

    @pytest.fixture
    def hanging(self, slept):
        async def sleep(seconds):
            slept.append(False)
            try:
                await asyncio.Event().wait()
            finally:
                slept[-1] = True

        return Rehearsal(tokens_per_second=1, sleep=sleep)

    @pytest.fixture
    def closed(self, slept):
        async def closed():
            assert all(slept)

        return closed


class OverHTTP(ModelContract):
    """A model whose upstream is a server; `answer` a whole answer, and `marker` stands behind its first words."""

    @pytest.fixture
    def model(self, upstream, answer, connect):
        upstream.handler = lambda asked: answer if not asked.target.endswith("input_tokens") else error_answer(404)
        return connect(upstream.base_url)

    @pytest.fixture
    def hanging(self, upstream, answer, connect):
        upstream.always(answer.stall_after(answer.after(b"fox")))
        return connect(upstream.base_url)

    @pytest.fixture
    def closed(self, upstream):
        return upstream.closed_by_peer


class TestChatCompletions(OverHTTP):
    @pytest.fixture
    def answer(self):
        return stream(chat_stream(WORDS))

    @pytest.fixture
    def connect(self):
        return lambda base_url: ChatCompletions(ChatOptions(base_url=base_url, model="local"))


class TestResponses(OverHTTP):
    @pytest.fixture
    def answer(self):
        return stream(responses_stream(message(WORDS)))

    @pytest.fixture
    def connect(self):
        return lambda base_url: Responses(ResponsesOptions(base_url=base_url, model="local"))
