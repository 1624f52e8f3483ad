"""The input is judged in the run: its client, its deadline and its report are those of the response."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.engine.moderation import LARGE, Moderation, ModerationPolicy
from antiphon.models.moderators import RuleList
from antiphon.policy.rules import Rules
from antiphon.ports import Choice
from antiphon.testing import FakeClock, ScriptedModel, ScriptedModerator, said
from antiphon.turn.deltas import Finished, Text
from antiphon.turn.trace import Trace
from antiphon.wire.errors import APIError, InvalidRequest, Unavailable, UpstreamTimeout
from antiphon.wire.moderations import CreateModeration
from tests.engine.stage import create, retrieve, stage
from tests.engine.test_report import told, watched
from tests.stores.disk import rows
from tests.support.moderated import PHRASE, Behind, house
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

WAYS = {
    "plain": {},
    "stream": {"stream": True},
    "unstored": {"store": False},
    "background": {"background": True},
}


async def settle() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


class Bounded(Behind):
    """A model that may take ten seconds, twenty in the background."""

    def choose(self, name: str | None) -> Choice:
        choice = super().choose(name)
        return Choice(choice.name, choice.model, 10, 20)


def deliberate(**policy: Any) -> tuple[ScriptedModerator, Moderation]:
    """A moderator that takes its time, and blocks the input."""
    moderator = ScriptedModerator(PHRASE)
    moderator.gate = asyncio.Event()
    return moderator, Moderation({"slow": moderator}, ModerationPolicy(**{"input": "block", **policy}))


def staged(tmp_path: Any, model: ScriptedModel, moderation: Moderation, **options: Any) -> Any:
    return stage(tmp_path, Bounded(model, moderation), moderation=moderation, **options)


async def asked(engine: Any, moderator: ScriptedModerator, **body: Any) -> Any:
    """A run whose input is being judged."""
    task = asyncio.create_task(create(engine, **body))
    await settle()
    assert moderator.open == 1
    (run,) = engine.runs.values()
    task.add_done_callback(lambda done: done.exception())
    return run


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("on_disconnect", ["cancel", "continue"])
async def test_a_client_that_leaves_while_its_input_is_judged_leaves_nothing(tmp_path, way, on_disconnect):
    moderator, moderation = deliberate()
    model = ScriptedModel()
    async with staged(tmp_path, model, moderation, on_disconnect=on_disconnect) as engine:
        run = await asked(engine, moderator, **WAYS[way])
        engine.left(run)
        with pytest.raises(Unavailable, match="cancelled before it began"):
            await run.result()
        await asyncio.wait((run.task,))
        await settle()
        assert (moderator.open, model.turns, engine.runs) == (0, [], {})
        assert rows(tmp_path, "SELECT id FROM responses") == []


@pytest.mark.parametrize(("way", "seconds"), [("plain", 10), ("stream", 10), ("background", 20)])
async def test_the_deadline_covers_the_judgement_of_the_input(tmp_path, way, seconds):
    clock = FakeClock()
    moderator, moderation = deliberate()
    async with staged(tmp_path, ScriptedModel(), moderation, clock=clock) as engine:
        run = await asked(engine, moderator, **WAYS[way])
        await clock.advance(seconds - 0.1)
        assert moderator.open == 1
        assert moderator.accounts[0].deadline == seconds
        await clock.advance(0.1)
        with pytest.raises(UpstreamTimeout) as caught:
            await run.result()
        assert (caught.value.code, moderator.open) == ("deadline_exceeded", 0)
        assert rows(tmp_path, "SELECT id FROM responses") == []


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_left_of_the_deadline_is_for_the_answer(tmp_path, way):
    clock = FakeClock()
    moderator, moderation = deliberate()
    model = ScriptedModel([[], [Text("Half")], asyncio.Event()])
    async with staged(tmp_path, model, moderation, clock=clock) as engine:
        run = await asked(engine, moderator, **WAYS[way])
        await clock.advance(4)
        moderator.gate.set()
        await until(lambda: model.turns)
        assert model.turns[0].deadline == (20 if way == "background" else 10)
        await clock.advance(16 if way == "background" else 6)
        assert (await run.result()).status == "failed"


@pytest.mark.parametrize("way", WAYS)
async def test_a_refusal_is_an_error_of_the_request_however_long_it_takes(tmp_path, way):
    moderator, moderation = deliberate()
    async with staged(tmp_path, ScriptedModel(), moderation, hold=0) as engine:
        run = await asked(engine, moderator, input=f"Say a {PHRASE}.", **WAYS[way])
        assert not run.exists
        moderator.gate.set()
        with pytest.raises(InvalidRequest) as refused:
            await run.result()
        assert refused.value.code == "content_policy_violation"
        await settle()
        assert rows(tmp_path, "SELECT id FROM responses") == []


@pytest.mark.parametrize("way", WAYS)
async def test_an_admitted_response_goes_its_way_and_says_what_was_found(tmp_path, way):
    moderator, moderation = deliberate()
    async with staged(tmp_path, ScriptedModel(), moderation, hold=0) as engine:
        run = await asked(engine, moderator, **WAYS[way])
        moderator.gate.set()
        response = await run.result()
    assert (response.status, response.moderation.input.flagged) == ("completed", False)


@pytest.mark.parametrize(("way", "is_background"), [("plain", False), ("background", True)])
async def test_a_refused_request_is_reported_with_the_time_that_its_judgement_took(tmp_path, way, is_background):
    clock = FakeClock()
    moderator, moderation = deliberate()
    async with staged(tmp_path, ScriptedModel(), moderation, clock=clock) as engine:
        watching = watched(engine)
        run = await asked(engine, moderator, input=PHRASE, **WAYS[way])
        await clock.advance(3)
        moderator.gate.set()
        await told(watching)
    report = watching.report
    assert watching.calls[0].background == is_background
    assert (report.id, report.outcome, report.error) == (run.turn.response_id, "failed", "content_policy_violation")
    assert (report.refused, report.stored, report.background, report.took) == (True, False, False, 3)


@pytest.mark.parametrize("way", ["plain", "background"])
async def test_a_server_that_stops_refuses_what_is_being_judged(tmp_path, way):
    moderator, moderation = deliberate()
    async with staged(tmp_path, ScriptedModel(), moderation) as engine:
        run = await asked(engine, moderator, **WAYS[way])
    with pytest.raises(Unavailable, match="stopping"):
        await run.result()
    assert moderator.open == 0
    assert rows(tmp_path, "SELECT id FROM responses") == []


async def test_a_judgement_takes_no_slot_of_the_background(tmp_path):
    moderator, moderation = deliberate()
    async with staged(tmp_path, ScriptedModel(), moderation, background_slots=1) as engine:
        first = await asked(engine, moderator, background=True)
        moderator.gate, gate = None, moderator.gate
        other = await create(engine, background=True)
        assert (await other.result()).status == "completed"
        gate.set()
        assert (await first.result()).status == "completed"


# Large texts


class Thread:
    """Where large texts are judged: work waits there until it is let go."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.begun = 0

    async def __call__(self, work: Any) -> Any:
        self.begun += 1
        await self.gate.wait()
        return work()


def apart(**policy: Any) -> tuple[Thread, Moderation]:
    thread = Thread()
    rules = RuleList(lambda: Rules({"house-rules": [PHRASE]}))
    return thread, Moderation({"house": rules}, ModerationPolicy(**policy), apart=thread)


async def test_a_large_input_is_judged_beside_the_event_loop_and_a_small_one_at_once(tmp_path):
    thread, moderation = apart(input="block")
    async with staged(tmp_path, ScriptedModel(), moderation) as engine:
        large = await create(engine, input="fine " * (LARGE // 5) + PHRASE)
        await settle()
        assert thread.begun == 1
        assert (await (await create(engine)).result()).status == "completed"
        assert thread.begun == 1
        thread.gate.set()
        with pytest.raises(InvalidRequest) as refused:
            await large.result()
        assert refused.value.code == "content_policy_violation"


async def test_a_large_input_is_judged_in_a_thread_where_nothing_else_is_said(tmp_path):
    moderation = house(input="block")
    async with staged(tmp_path, ScriptedModel(), moderation) as engine:
        with pytest.raises(InvalidRequest):
            await (await create(engine, input="fine " * LARGE + PHRASE)).result()
        assert (await (await create(engine, input="fine " * LARGE)).result()).status == "completed"


async def test_many_small_texts_are_a_large_one(tmp_path):
    thread, moderation = apart(input="block")
    parts = [{"type": "input_text", "text": f"{number} {'fine ' * 200}"} for number in range(LARGE // 500)]
    async with staged(tmp_path, ScriptedModel(), moderation) as engine:
        run = await create(engine, input=[{"role": "user", "content": parts}])
        await settle()
        assert thread.begun == 1
        engine.left(run)
        with pytest.raises(Unavailable):
            await run.result()


async def test_a_large_output_is_judged_beside_the_event_loop_too(tmp_path):
    thread, moderation = apart(output="block")
    model = ScriptedModel([[], [Text("fine " * (LARGE // 5 + 1)), Finished()]])
    async with staged(tmp_path, model, moderation) as engine:
        run = await create(engine, stream=True)
        await settle()
        assert (thread.begun, run.over) == (1, False)
        thread.gate.set()
        assert (await run.result()).status == "completed"


async def test_large_texts_are_classified_beside_the_event_loop_a_few_at_a_time(tmp_path):
    thread, moderation = apart()
    async with staged(tmp_path, ScriptedModel(), moderation) as engine:
        request = CreateModeration(input=["fine " * (LARGE // 5 + 1)] * 20)
        task = asyncio.create_task(engine.moderations.create("default", request, Trace()))
        await settle()
        assert thread.begun == 8
        thread.gate.set()
        assert len((await task).results) == 20


# Several moderators


async def test_a_moderator_that_fails_ends_the_questions_to_the_others(tmp_path):
    slow, failing = ScriptedModerator(), ScriptedModerator()
    slow.gate, failing.failure = asyncio.Event(), Unavailable("Down.")
    moderation = Moderation({"slow": slow, "failing": failing}, ModerationPolicy(input="block", moderator="failing"))
    policy = {"model": "slow", "policy": {"input": {"mode": "block"}}}
    async with staged(tmp_path, ScriptedModel(), moderation) as engine:
        run = await create(engine, moderation=policy)
        with pytest.raises(Unavailable) as refused:
            await run.result()
    assert refused.value.code == "moderation_unavailable"
    assert (len(slow.asked), slow.open) == (1, 0)


async def test_what_is_classified_is_asked_a_few_at_a_time_and_no_more_after_a_failure(tmp_path):
    moderator, moderation = deliberate()
    async with staged(tmp_path, ScriptedModel(), moderation) as engine:
        request = CreateModeration(input=[f"text {number}" for number in range(2000)])
        task = asyncio.create_task(engine.moderations.create("default", request, Trace()))
        await settle()
        assert (moderator.open, len(moderator.asked)) == (8, 8)
        moderator.failure = Unavailable("Down.")
        moderator.gate.set()
        with pytest.raises(APIError, match="Down"):
            await task
    assert (moderator.open, len(moderator.asked)) == (0, 8)


# On whose account


async def test_a_moderator_is_told_on_whose_account_it_judges_input_and_output(tmp_path):
    moderator, moderation = deliberate(output="block")
    moderator.gate = None
    async with staged(tmp_path, ScriptedModel(said("Fine words.")), moderation) as engine:
        run = await create(engine)
        await run.result()
    assert len(moderator.accounts) > 1
    for account in moderator.accounts:
        assert (account.project, account.deadline) == ("default", 10)
        assert account.trace is run.turn.trace


async def test_without_moderators_nothing_is_awaited_first(tmp_path):
    async with stage(tmp_path, Behind(ScriptedModel(), house())) as engine:
        run = await create(engine, stream=True)
        assert run.is_admitted
        await run.result()
        response = await retrieve(engine, run.turn.response_id)
    assert response["status"] == "completed"
