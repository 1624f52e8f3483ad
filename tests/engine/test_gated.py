"""Behind the gate: what is flagged is never told, stored or sent; what is not is told as without it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from antiphon.engine.gated import MOST_HELD, Gated
from antiphon.engine.moderation import Moderation, ModerationPolicy
from antiphon.policy.verdict import CLEAN
from antiphon.testing import ScriptedModel, ScriptedModerator, ScriptedTool, said
from antiphon.turn.deltas import Arguments, Finished, ItemDone, ItemStarted, Reasoning, Text, Usage
from antiphon.turn.input import Turn
from antiphon.wire.content import OutputText
from antiphon.wire.errors import InvalidRequest, RateLimited, Unavailable, UpstreamMalformed
from antiphon.wire.items import FunctionCall, Message
from antiphon.wire.request import decode_create
from antiphon.wire.response import Usage as Figures
from tests.engine.stage import bytes_of, crash, create, events_of, read, retrieve, stage, text_of
from tests.stores.disk import rows
from tests.support import sdk_oracle
from tests.support.moderated import PHRASE, Behind, house

pytestmark = pytest.mark.anyio

BLOCK = {"model": "house", "policy": {"input": {"mode": "block"}, "output": {"mode": "block"}}}
TEXT = f"Well, this is a {PHRASE}, is it not?"
REFUSAL = RateLimited("Not now.", retry_after=7)


def staged(tmp_path, model: ScriptedModel, moderation: Moderation, **options: Any):
    return stage(tmp_path, Behind(model, moderation), moderation=moderation, **options)


def slow(**policy: Any) -> tuple[ScriptedModerator, Moderation]:
    moderator = ScriptedModerator()
    return moderator, Moderation({"slow": moderator}, ModerationPolicy(**{"output": "block", **policy}))


async def settle() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


# Blocking


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_a_blocked_answer_ends_as_incomplete_with_what_was_released(tmp_path, size):
    model = ScriptedModel(said(TEXT, size=size))
    async with staged(tmp_path, model, house(output="block")) as engine:
        run = await create(engine, stream=True)
        streamed = await bytes_of(engine.frames_of(run))
        response = await retrieve(engine, run.turn.response_id)
        stored = await read(engine, run.turn.response_id)
    assert (response["status"], response["incomplete_details"]) == ("incomplete", {"reason": "content_filter"})
    assert text_of(response) == "Well, this is a"
    assert response["moderation"]["output"]["flagged"]
    assert response["usage"]["total_tokens"] > 0
    assert model.open == 0
    assert streamed == stored
    assert b"phrase" not in streamed


async def test_a_hit_closes_the_upstream_at_once(tmp_path):
    model = ScriptedModel([[], [Text(TEXT)], asyncio.Event()])
    async with staged(tmp_path, model, house(output="block")) as engine:
        response = (await (await create(engine)).result()).status
    assert (response, model.open) == ("incomplete", 0)


async def test_usage_that_came_with_the_flagged_words_is_kept(tmp_path):
    usage = Figures(input_tokens=3, output_tokens=4, total_tokens=7)
    model = ScriptedModel([[Text(TEXT), Usage(usage), Finished()]])
    async with staged(tmp_path, model, house(output="block")) as engine:
        assert (await (await create(engine)).result()).usage == usage


async def test_a_clean_answer_is_told_as_without_a_gate(tmp_path):
    script = [[], [Reasoning("Hm.")], *said("Nothing of that kind.")[1:]]
    async with stage(tmp_path / "bare", ScriptedModel(script)) as engine:
        bare = await bytes_of(engine.frames_of(await create(engine, stream=True)))
    async with staged(tmp_path / "gated", ScriptedModel(script), house(output="block")) as engine:
        gated = await bytes_of(engine.frames_of(await create(engine, stream=True)))
    told = [(event["type"], event.get("delta")) for event in events_of(bare)]
    assert [(event["type"], event.get("delta")) for event in events_of(gated)] == told


async def test_a_retry_begins_with_an_empty_gate():
    scripts = [[[], [Text("a forbidden")], Unavailable("Cut.")], said("phrase is what is left.")]
    gated = Gated(ScriptedModel(lambda _: scripts.pop(0)), house(output="block"))
    turn = Turn(request=decode_create(b'{"model": "m", "input": "x"}'), items=[])
    first: list[Any] = []

    async def listen() -> None:
        async for batch in gated.stream(turn):
            first.extend(batch)

    with pytest.raises(Unavailable):
        await listen()
    second = [delta async for batch in gated.stream(turn) for delta in batch]
    assert first == [Text("a forbidden")]
    assert "".join(delta.text for delta in second if isinstance(delta, Text)) == "phrase is what is left."


async def test_what_was_held_when_the_upstream_failed_is_judged_and_told(tmp_path):
    model = ScriptedModel([[], [Text("some words")], Unavailable("Cut.")])
    async with staged(tmp_path, model, house(output="block")) as engine:
        response = await (await create(engine)).result()
    assert (response.status, response.output[0].content[0].text) == ("failed", "some words")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("moderation", [house(output="block"), house(output="score"), slow()[1]])
@pytest.mark.parametrize(("script", "error"), [([REFUSAL], RateLimited), ([], UpstreamMalformed)])
async def test_a_refusal_of_the_upstream_is_an_error_of_the_request_behind_a_gate_too(
    tmp_path, moderation, stream, script, error
):
    async with staged(tmp_path, ScriptedModel(script), moderation) as engine:
        run = await create(engine, stream=stream)
        with pytest.raises(error) as refused:
            await run.result()
        assert refused.value.retry_after == (7 if error is RateLimited else None)
        assert not run.exists
    assert rows(tmp_path, "SELECT id FROM responses") == []


async def test_an_upstream_that_has_accepted_ends_the_hold_before_it_says_a_word(tmp_path):
    async with staged(tmp_path, ScriptedModel([[], asyncio.Event()]), house(output="block")) as engine:
        run = await create(engine)
        await settle()
        assert run.exists


async def test_without_a_policy_there_is_no_gate():
    model = ScriptedModel()
    turn = Turn(request=decode_create(b'{"model": "m", "input": "x"}'), items=[])
    stream = Gated(model, house()).stream(turn)
    assert stream.__qualname__ == "ScriptedModel.stream"
    await stream.aclose()


async def test_a_moderators_own_question_is_not_moderated():
    turn = Turn(request=decode_create(b'{"model": "m", "input": "x"}'), items=[], judges=True)
    gated = Gated(ScriptedModel(said(TEXT)), house(output="block"))
    out = [delta async for batch in gated.stream(turn) for delta in batch]
    assert "".join(delta.text for delta in out if isinstance(delta, Text)) == TEXT


async def test_a_phrase_that_an_attempt_before_the_crash_began_is_found():
    prefix = Message(role="assistant", content=[OutputText(text="Well, a forbidden")], status="in_progress")
    turn = Turn(request=decode_create(b'{"model": "m", "input": "x"}'), items=[], prefix=prefix)
    gated = Gated(ScriptedModel(said(" phrase, and more."), continues=True), house(output="block"))
    out = [delta async for batch in gated.stream(turn) for delta in batch]
    assert not [delta for delta in out if isinstance(delta, Text)]
    assert out[-1] == Finished("content_filter")


async def test_a_background_answer_is_blocked_too(tmp_path):
    async with staged(tmp_path, ScriptedModel(said(TEXT)), house(output="block")) as engine:
        run = await create(engine, background=True)
        assert (await run.result()).incomplete_details.reason == "content_filter"
        assert b"phrase" not in await read(engine, run.turn.response_id)


# A moderator that takes its time


async def test_reading_goes_on_while_a_window_is_judged_and_no_word_leaves_before(tmp_path):
    moderator, moderation = slow()
    moderator.gate = asyncio.Event()
    model = ScriptedModel(said("clean words, " * 4, size=5))
    async with staged(tmp_path, model, moderation) as engine:
        run = await create(engine, stream=True)
        await settle()
        assert len(moderator.asked) == 1
        assert not run.machine.fold.items
        assert model.open == 0  # it has been read to its end
        moderator.gate.set()
        assert (await run.result()).status == "completed"
    assert len(moderator.asked) == 2
    assert moderator.asked[1][0].endswith("clean words, ")


async def test_an_upstream_that_is_too_far_ahead_of_its_moderator_has_to_wait(tmp_path):
    moderator, moderation = slow()
    moderator.gate = asyncio.Event()
    batches = [[Text("x" * 1024)] for _ in range(64)]
    model = ScriptedModel([[], *batches, [Finished()]])
    async with staged(tmp_path, model, moderation) as engine:
        run = await create(engine)
        for _ in range(10):
            await settle()
        assert model.open == 1
        moderator.gate.set()
        await run.result()
    assert all(len(text) <= MOST_HELD + 2048 for texts in moderator.asked for text in texts)


async def test_a_flagged_window_is_not_told(tmp_path):
    moderator, moderation = slow()
    model = ScriptedModel(said("some clean words, then flagged ones", size=3))
    async with staged(tmp_path, model, moderation) as engine:
        run = await create(engine, stream=True)
        data = await bytes_of(engine.frames_of(run))
        response = await retrieve(engine, run.turn.response_id)
    assert response["incomplete_details"] == {"reason": "content_filter"}
    assert "some clean words, then".startswith(text_of(response))
    assert b"flag" not in data.replace(b'"flagged"', b"")
    assert response["moderation"]["output"]["category_scores"]["hate"] == 0.9
    assert (model.open, moderator.open) == (0, 0)


async def test_a_client_that_leaves_stops_the_moderator_too(tmp_path):
    moderator, moderation = slow()
    moderator.gate = asyncio.Event()
    model = ScriptedModel([[], [Text("some words, and more")], asyncio.Event()])
    async with staged(tmp_path, model, moderation) as engine:
        run = await create(engine, stream=True)
        await settle()
        assert (moderator.open, model.open) == (1, 1)
        engine.left(run)
        await run.result()
        assert (moderator.open, model.open) == (0, 0)


async def test_a_moderator_that_fails_lets_nothing_through(tmp_path):
    moderator, moderation = slow()
    moderator.failure = Unavailable("Down.")
    model = ScriptedModel(said("some words that nobody judged"))
    async with staged(tmp_path, model, moderation) as engine:
        run = await create(engine, stream=True)
        response = await run.result()
    assert (response.status, response.output) == ("failed", [])
    assert model.open == 0


async def test_a_policy_that_fails_open_lets_it_through_and_says_so(tmp_path):
    moderator, moderation = slow(fails_open=True)
    moderator.failure = Unavailable("Down.")
    async with staged(tmp_path, ScriptedModel(said("some words")), moderation) as engine:
        run = await create(engine)
        await run.result()
        response = await retrieve(engine, run.turn.response_id)
    assert text_of(response) == "some words"
    assert response["moderation"]["output"] == {"type": "error", "code": "moderation_failed", "message": "Down."}


# Scoring


async def test_a_score_holds_nothing_back_and_stands_in_the_response(tmp_path):
    release = asyncio.Event()
    model = ScriptedModel([[], [Text(TEXT)], release, [Finished()]])
    async with staged(tmp_path, model, house()) as engine:
        run = await create(engine, stream=True, moderation={"model": "house"})
        await settle()
        assert run.machine.fold.open
        release.set()
        await run.result()
        response = await retrieve(engine, run.turn.response_id)
    assert (response["status"], text_of(response)) == ("completed", TEXT)
    assert response["moderation"]["output"]["categories"]["house-rules"] is True
    assert response["moderation"]["input"]["flagged"] is False
    assert response["moderation"]["output"]["model"] == "house"
    assert sdk_oracle.validate_response(response) == []
    assert model.turns[0].request.moderation is None


class Selective(ScriptedModerator):
    """A moderator that never answers about texts with a word."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self.never = word
        self.gate = asyncio.Event()

    async def judge(self, passages: Any, images: Any = (), account: Any = None) -> Any:
        if any(self.never in passage.text for passage in passages):
            return await super().judge(passages, images, account)
        return CLEAN


SCORES = {"input": "score", "output": "score"}


def so_far(run: Any) -> str:
    """The text that a run has told."""
    return "".join(part.text for item in run.machine.fold.output() for part in item.content)


@pytest.mark.parametrize("silent_on", ["A question", "An answer"])
async def test_a_score_that_takes_its_time_holds_no_word_back_and_no_place_at_the_upstream(tmp_path, silent_on):
    moderator = Selective(silent_on)
    model = ScriptedModel([[], [Text("An answer."), Usage(Figures()), Finished()], asyncio.Event()])
    moderation = Moderation({"slow": moderator}, ModerationPolicy(**SCORES))
    async with staged(tmp_path, model, moderation) as engine:
        run = await create(engine, stream=True, input="A question.")
        await settle()
        assert so_far(run) == "An answer."
        assert (model.open, moderator.open, run.over) == (0, 1, False)
        moderator.gate.set()
        response = await run.result()
        assert (response.status, moderator.open) == ("completed", 0)
    assert len(moderator.asked) == 1


async def test_what_is_let_through_before_a_hit_does_not_wait_for_who_only_scores(tmp_path):
    moderator = Selective("Well")
    moderation = house(output="block")
    moderation.moderators["slow"] = moderator
    asked = {"model": "slow", "policy": {"output": {"mode": "score"}}}
    async with staged(tmp_path, ScriptedModel(said(TEXT, size=100)), moderation) as engine:
        run = await create(engine, stream=True, moderation=asked)
        await settle()
        assert so_far(run) == "Well, this is a"
        moderator.gate.set()
        assert (await run.result()).status == "incomplete"


@pytest.mark.parametrize("end", ["a refusal", "a failure", "the client leaves"])
async def test_a_score_of_the_input_ends_with_the_answer(tmp_path, end):
    moderator = Selective("A question")
    rest: Any = {"a refusal": [REFUSAL], "a failure": [[], [Text("Half")], REFUSAL]}
    model = ScriptedModel(rest.get(end, [[], asyncio.Event()]))
    moderation = Moderation({"slow": moderator}, ModerationPolicy(input="score"))
    async with staged(tmp_path, model, moderation) as engine:
        run = await create(engine, input="A question.")
        if end == "the client leaves":
            await settle()
            assert moderator.open == 1
            engine.left(run)
        await asyncio.wait((run.task,))
        assert (run.error is REFUSAL, moderator.open) == (end != "the client leaves", 0)


async def test_the_input_is_scored_once_for_all_turns(tmp_path):
    calls = [ItemStarted(0, FunctionCall(call_id="c", name="python", arguments="")), Arguments(0, "{}"), ItemDone(0)]
    scripts: list[Any] = [[[*calls, Finished()]], said("Done.")]
    moderator, moderation = slow(output="off", input="score")
    async with staged(tmp_path, ScriptedModel(lambda _: scripts.pop(0)), moderation) as engine:
        engine.tools = {"code_interpreter": ScriptedTool()}
        run = await create(engine, input="flagged", tools=[{"type": "code_interpreter", "container": "c"}])
        response = await run.result()
    assert (scripts, moderator.asked) == ([], [["flagged"]])
    assert response.moderation.input.flagged


async def test_a_moderator_that_fails_to_score_hurts_nobody(tmp_path):
    moderator, moderation = slow(output="score", input="score")
    moderator.failure = Unavailable("Down.")
    async with staged(tmp_path, ScriptedModel(), moderation) as engine:
        run = await create(engine)
        await run.result()
        response = await retrieve(engine, run.turn.response_id)
    assert response["status"] == "completed"
    assert {side["code"] for side in response["moderation"].values()} == {"moderation_failed"}
    assert sdk_oracle.validate_response(response) == []


# Input


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        {"input": f"Say a {PHRASE}."},
        {
            "input": [
                {"role": "user", "content": [{"type": "input_text", "text": t} for t in ("a forbid", "den phrase")]}
            ]
        },
        {"instructions": PHRASE},
        {"input": [{"type": "reasoning", "summary": [{"type": "summary_text", "text": PHRASE}]}]},
    ],
    ids=["text", "parts", "instructions", "an item"],
)
async def test_a_blocked_input_reaches_no_upstream_and_nothing_is_stored(tmp_path, background, body):
    model = ScriptedModel()
    async with staged(tmp_path, model, house(input="block")) as engine:
        with pytest.raises(InvalidRequest) as refused:
            await (await create(engine, background=background, **body)).result()
        await settle()
        assert (refused.value.code, refused.value.param) == ("content_policy_violation", "input")
        assert (model.turns, engine.runs) == ([], {})
        assert list(await engine.store.unfinished()) == []


async def test_an_input_that_cannot_be_judged_is_refused_unless_the_policy_fails_open(tmp_path):
    moderator, moderation = slow(input="block", output="off")
    moderator.failure = Unavailable("Down.", retry_after=3)
    async with staged(tmp_path / "closed", ScriptedModel(), moderation) as engine:
        with pytest.raises(Unavailable) as refused:
            await (await create(engine)).result()
        assert (refused.value.code, refused.value.retry_after) == ("moderation_unavailable", 3)
    _, opened = slow(input="block", output="off", fails_open=True)
    opened.moderators["slow"] = moderator
    async with staged(tmp_path / "open", ScriptedModel(), opened) as engine:
        assert (await (await create(engine)).result()).status == "completed"


async def test_images_of_the_input_are_shown_to_the_moderator(tmp_path):
    moderator, moderation = slow(input="block", output="off")
    parts = [{"type": "input_image", "image_url": "https://example.com/a.png"}]
    async with staged(tmp_path, ScriptedModel(), moderation) as engine:
        await (await create(engine, input=[{"role": "user", "content": parts}])).result()
    assert moderator.images == ["https://example.com/a.png"]


# Who asks


async def test_a_client_cannot_turn_the_operators_policy_off(tmp_path):
    asked = {"model": "house", "policy": {"input": {"mode": "score"}, "output": {"mode": "score"}}}
    async with staged(tmp_path, ScriptedModel(said(TEXT)), house(input="block", output="block")) as engine:
        with pytest.raises(InvalidRequest):
            await (await create(engine, input=PHRASE, moderation=asked)).result()
        assert (await (await create(engine, moderation=asked)).result()).status == "incomplete"


async def test_a_client_may_be_stricter_than_the_operator(tmp_path):
    async with staged(tmp_path, ScriptedModel(said(TEXT)), house(output="score")) as engine:
        assert (await (await create(engine)).result()).status == "completed"
        assert (await (await create(engine, moderation=BLOCK)).result()).status == "incomplete"


async def test_a_moderator_nobody_knows_is_refused_by_name(tmp_path):
    async with staged(tmp_path, ScriptedModel(), house()) as engine:
        with pytest.raises(InvalidRequest) as refused:
            await create(engine, moderation={"model": "omni-moderation-latest"})
    assert (refused.value.param, refused.value.code) == ("moderation.model", "model_not_found")
    assert "house" in refused.value.message


class Relaying(ScriptedModel):
    relays = True


async def test_a_moderator_that_an_upstream_knows_is_the_upstreams(tmp_path):
    model = Relaying(said(TEXT))
    async with staged(tmp_path, model, house()) as engine:
        await (await create(engine, moderation={"model": "omni-moderation-latest"})).result()
        assert model.turns[0].request.moderation.model == "omni-moderation-latest"
        await (await create(engine, moderation={"model": "house"})).result()
        assert model.turns[1].request.moderation is None


# Several turns


async def test_what_a_first_turn_was_flagged_for_stands_in_the_response_of_both(tmp_path):
    calls = [ItemStarted(0, FunctionCall(call_id="c", name="python", arguments="")), Arguments(0, "{}"), ItemDone(0)]
    scripts = [[[Text(TEXT), *calls, Finished()]], said("Nothing of that kind.")]
    model = ScriptedModel(lambda _: scripts.pop(0))
    async with staged(tmp_path, model, house(output="score")) as engine:
        engine.tools = {"code_interpreter": ScriptedTool()}
        run = await create(engine, tools=[{"type": "code_interpreter", "container": "c"}])
        response = await run.result()
    assert scripts == []
    assert response.moderation.output.flagged
    assert response.moderation.input.code == "not_moderated"


async def test_an_input_that_was_judged_before_a_restart_is_said_to_be(tmp_path):
    policy = house(input="block", output="block")
    async with staged(tmp_path / "one", ScriptedModel([[], asyncio.Event()]), policy) as engine:
        run = await create(engine, background=True)
        await settle()
        folder = await crash(engine, tmp_path / "two")
        async with staged(folder, ScriptedModel(), policy) as again:
            await again.runs[run.turn.response_id].result()
            response = await retrieve(again, run.turn.response_id)
    assert response["status"] == "completed"
    assert response["moderation"]["input"]["code"] == "not_kept"
    assert response["moderation"]["output"]["flagged"] is False
