"""A turn is asked of one upstream after the other until one answers. Rules 9 to 15, on virtual time."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.engine.attempts import Attempts
from antiphon.policy.admission import AdmissionSettings
from antiphon.policy.breaker import BreakerSettings
from antiphon.policy.retry import RetrySettings
from antiphon.testing import FakeClock, Only, ScriptedModel, said
from antiphon.turn.deltas import Arguments, Finished, ItemStarted, Noted, Reasoning, Text, Usage
from antiphon.turn.input import Turn
from antiphon.wire.errors import (
    InvalidRequest,
    RateLimited,
    ServerOverloaded,
    Unavailable,
    UpstreamMalformed,
)
from antiphon.wire.items import CodeInterpreterCall, Message
from antiphon.wire.request import CreateResponse
from antiphon.wire.response import Usage as Figures
from tests.engine.attempts_stage import CUT, DOWN, TOUCHY, Plays, Scene, a_turn, leave, settle, texts
from tests.engine.stage import create, events_of, read, stage, text_of
from tests.support import grammar

pytestmark = pytest.mark.anyio


async def test_rule_9_a_failure_before_any_output_is_tried_again_and_leaves_no_trace_in_the_answer():
    failing = [[], [Noted({"upstream_response_id": "lost"})], CUT]
    scene = Scene(Plays(failing, [DOWN], said("Hello.")))
    turn = Turn(request=CreateResponse(input="Hi"), items=[])
    heard, error = await scene.ask(turn)
    assert (texts(heard), error) == ("Hello.", None)
    assert not [delta for delta in heard if isinstance(delta, Noted)]
    assert [(each.outcome, each.code) for each in turn.trace.attempts] == [
        ("failed", "upstream_cut"),
        ("failed", "service_unavailable"),
        ("completed", None),
    ]
    scene.nothing_is_held()


@pytest.mark.parametrize("error", [InvalidRequest("No."), DOWN])
async def test_rule_9_only_what_may_pass_is_tried_again(error):
    scene = Scene(Plays([error]))
    _, raised = await scene.ask()
    assert type(raised) is type(error)
    assert len(scene.models[0].turns) == (1 if isinstance(error, InvalidRequest) else 3)
    scene.nothing_is_held()


async def test_rule_9_the_deadline_leaves_room_or_nothing_is_tried():
    scene = Scene(Plays([RateLimited("Slow down.", retry_after=1.5)]))
    turn = Turn(request=CreateResponse(input="Hi"), items=[], deadline=scene.clock.monotonic() + 1)
    _, error = await scene.ask(turn)
    assert isinstance(error, RateLimited)
    assert len(scene.models[0].turns) == 1


async def test_rule_10_after_output_nothing_is_tried_again_and_the_partial_answer_is_kept():
    scene = Scene(
        Plays([[Text("Half")], [Usage(Figures(input_tokens=1, output_tokens=2, total_tokens=3))], CUT]),
        Plays(said("Never.")),
    )
    heard, error = await scene.ask()
    assert (texts(heard), error.code) == ("Half", "upstream_cut")
    assert scene.models[1].turns == []
    scene.nothing_is_held()


async def test_rule_11_a_short_retry_after_is_waited_for_and_a_long_one_goes_elsewhere():
    scene = Scene(Plays([RateLimited("Wait.", retry_after=1.5)], said("Waited.")), Plays(said("Elsewhere.")))
    heard, _ = await scene.ask()
    assert texts(heard) == "Waited."
    assert scene.clock.monotonic() == 1.5
    scene = Scene(Plays([RateLimited("Wait.", retry_after=60)], said("Waited.")), Plays(said("Elsewhere.")))
    heard, _ = await scene.ask()
    assert texts(heard) == "Elsewhere."
    assert scene.clock.monotonic() == 0


async def test_rule_11_a_long_retry_after_without_another_upstream_is_the_clients_to_know():
    scene = Scene(Plays([RateLimited("Wait.", retry_after=60)]))
    _, error = await scene.ask()
    assert (error.retry_after, error.should_retry) == (60, None)


async def test_rule_12_and_13_when_the_budget_is_spent_the_client_is_told_not_to_retry():
    settings = RetrySettings(bucket=28)
    scene = Scene(Plays([DOWN]), settings=settings, breaker=BreakerSettings(volume=1000))
    await scene.ask()
    assert len(scene.models[0].turns) == 3
    _, error = await scene.ask()
    assert len(scene.models[0].turns) == 4
    assert error.should_retry is False


async def test_a_fallback_is_asked_at_once_and_without_the_failed_one_being_seen():
    scene = Scene(Plays([DOWN]), Plays([[], [Text("From "), Text("two.")], [Finished()]]))
    heard, error = await scene.ask()
    assert (texts(heard), error) == ("From two.", None)
    assert scene.clock.monotonic() == 0
    scene.nothing_is_held()


async def test_an_open_breaker_is_passed_over_and_when_all_are_open_it_is_a_503_at_once():
    scene = Scene(Plays([DOWN]), Plays(said("Two.")))
    scene.lines[0].breaker.force_open(0)
    heard, _ = await scene.ask()
    assert texts(heard) == "Two."
    assert scene.models[0].turns == []
    scene.lines[1].breaker.force_open(0)
    _, error = await scene.ask()
    assert isinstance(error, Unavailable)
    assert (error.code, error.retry_after) == ("upstream_down", 30)
    scene.nothing_is_held()


async def test_an_upstream_that_asked_for_a_pause_is_a_429_with_the_time_that_is_left():
    scene = Scene(Plays([RateLimited("Wait.", retry_after=60)]))
    await scene.ask()
    await scene.clock.advance(20)
    _, error = await scene.ask()
    assert len(scene.models[0].turns) == 1
    assert isinstance(error, RateLimited)
    assert (error.status, error.code, error.retry_after) == (429, "rate_limit_exceeded", 40)


async def test_a_pause_of_hours_is_told_as_the_longest_one_that_clients_wait_for():
    scene = Scene(Plays([RateLimited("Wait.", retry_after=3000)]))
    await scene.ask()
    _, error = await scene.ask()
    assert (error.status, error.retry_after) == (429, 120)


@pytest.mark.parametrize(
    ("others", "words", "code"),
    [
        ("throttled", "asked for fewer requests", "rate_limit_exceeded"),
        ("open", "none of its upstreams can be asked", "upstream_down"),
        ("forced_open", "none of its upstreams can be asked", "upstream_down"),
    ],
)
async def test_why_nobody_can_be_asked_is_told_as_it_is(others, words, code):
    scene = Scene(Plays([RateLimited("Wait.", retry_after=60)]), Plays(said("Two.")), breaker=TOUCHY)
    second = scene.lines[1].breaker
    match others:
        case "throttled":
            second.record(second.admit(0), "throttled", 0, 30)
        case "open":
            scene.take_out(1)
        case "forced_open":
            second.force_open(0)
    scene.lines[0].breaker.record(scene.lines[0].breaker.admit(0), "throttled", 0, 60)
    _, error = await scene.ask()
    assert (error.code, words in error.message, "failed" in error.message) == (code, True, False)
    assert error.retry_after == {"throttled": 30, "open": 5, "forced_open": 30}[others]


async def test_what_an_operator_took_out_has_not_failed():
    scene = Scene(Plays(said("Never.")))
    scene.lines[0].breaker.force_open(0)
    _, error = await scene.ask()
    assert (error.code, "failed" in error.message) == ("upstream_down", False)


async def test_a_breaker_that_opens_on_the_way_does_not_hide_why_the_last_attempt_failed():
    refused = Unavailable("Refused.", code="upstream_unreachable")
    scene = Scene(Plays([refused]), breaker=BreakerSettings(ramp=0, connect_failures=2))
    _, error = await scene.ask()
    assert len(scene.models[0].turns) == 2
    assert (error.code, error.retry_after, error.should_retry) == ("upstream_unreachable", None, False)
    scene.nothing_is_held()


async def test_nor_does_a_full_queue_at_the_line_that_was_next_and_a_429_stays_the_clients_to_repeat():
    never = asyncio.Event()
    scene = Scene(
        Plays([RateLimited("Wait.", retry_after=60)]), Plays([never]), queue=AdmissionSettings(limit=1, queue=0)
    )
    held = await scene.lines[1].queue.enter("other", None)
    _, error = await scene.ask()
    assert isinstance(error, RateLimited)
    assert (error.retry_after, error.should_retry) == (60, None)
    scene.lines[1].queue.leave(held)
    scene.nothing_is_held()


async def test_rule_9_nothing_is_tried_again_where_no_first_token_ever_came_in_the_time_that_is_left():
    late = {5: asyncio.Event(), 8: asyncio.Event()}
    slow = ([[], event, *said()] for event in late.values())
    scene = Scene(Plays(*slow, [DOWN], [DOWN], said("Hello.")))
    for seconds, event in late.items():
        first = asyncio.create_task(scene.hear(Turn(request=CreateResponse(input="Hi"), items=[]), []))
        await settle()
        await scene.clock.advance(seconds)
        event.set()
        await first
    turn = Turn(request=CreateResponse(input="Hi"), items=[], deadline=scene.clock.monotonic() + 4)
    _, error = await scene.ask(turn)
    assert isinstance(error, Unavailable)
    assert len(turn.trace.attempts) == 1
    turn.deadline = scene.clock.monotonic() + 6
    heard, _ = await scene.ask(turn)
    assert (texts(heard), len(turn.trace.attempts)) == ("Hello.", 3)


async def test_rule_9_what_a_tool_of_the_upstream_has_begun_is_output_and_is_not_begun_again():
    call = ItemStarted(0, CodeInterpreterCall(container_id="cntr_1", code="", status="in_progress"))
    scene = Scene(Plays([[], [call], CUT]), Plays(said("Never.")))
    _, error = await scene.ask()
    assert error.code == "upstream_cut"
    assert scene.models[1].turns == []


async def test_a_stream_that_ends_without_saying_so_is_a_failure():
    scene = Scene(Plays([[Text("Half")]]))
    heard, error = await scene.ask()
    assert texts(heard) == "Half"
    assert isinstance(error, UpstreamMalformed)
    scene.nothing_is_held()


@pytest.mark.parametrize("when", ["queue", "before output", "after output", "pause"])
async def test_who_leaves_gives_everything_back(when):
    never = asyncio.Event()
    script = {"after output": [[Text("Half")], never], "pause": [RateLimited("Wait.", retry_after=2)]}.get(
        when, [never]
    )
    scene = Scene(Plays(script), queue=AdmissionSettings(limit=1))
    turn = Turn(request=CreateResponse(input="Hi"), items=[])
    ticket = await scene.lines[0].queue.enter("other", None) if when == "queue" else None
    asking = asyncio.create_task(scene.hear(turn, []))
    await settle()
    asking.cancel()
    await asyncio.wait([asking])
    if ticket is not None:
        scene.lines[0].queue.leave(ticket)
    scene.nothing_is_held()


async def test_rule_16_who_finds_the_queue_full_is_told_when_to_come_back_or_goes_elsewhere():
    never = asyncio.Event()
    scene = Scene(Plays([never]), queue=AdmissionSettings(limit=1, queue=0))
    first = asyncio.create_task(scene.hear(Turn(request=CreateResponse(input="Hi"), items=[]), []))
    await asyncio.sleep(0)
    _, error = await scene.ask()
    assert isinstance(error, ServerOverloaded)
    assert error.retry_after
    first.cancel()
    await asyncio.wait([first])
    scene.nothing_is_held()


async def test_rule_16_time_in_the_queue_is_noted_and_ends_with_the_deadline():
    never = asyncio.Event()
    scene = Scene(Plays([never]), queue=AdmissionSettings(limit=1))
    first = asyncio.create_task(scene.hear(Turn(request=CreateResponse(input="Hi"), items=[]), []))
    await asyncio.sleep(0)
    turn = Turn(request=CreateResponse(input="Hi"), items=[], deadline=5.0)
    _, error = await scene.ask(turn)
    assert isinstance(error, ServerOverloaded)
    assert turn.trace.queued == 5
    first.cancel()
    await asyncio.wait([first])
    scene.nothing_is_held()


def in_background(**fields):
    return a_turn(request=CreateResponse(input="Hi", background=True), **fields)


async def test_rule_16_what_was_accepted_for_the_background_waits_for_a_place_however_many_do():
    gate = asyncio.Event()
    scene = Scene(Plays([gate, *said("Hello.")]), queue=AdmissionSettings(limit=1, queue=1))
    tasks = [asyncio.create_task(scene.hear(in_background(), [])) for _ in range(5)]
    await settle()
    assert (scene.lines[0].queue.admission.running, scene.lines[0].queue.admission.waiting) == (1, 4)
    gate.set()
    await asyncio.gather(*tasks)
    scene.nothing_is_held()


async def test_rule_16_in_a_route_it_goes_elsewhere_first_and_waits_at_the_last():
    gate = asyncio.Event()
    scene = Scene(Plays([gate, *said("One.")]), Plays([gate, *said("Two.")]), queue=AdmissionSettings(limit=1, queue=0))
    tasks = [asyncio.create_task(scene.hear(in_background(), [])) for _ in range(4)]
    await settle()
    assert [line.queue.admission.running for line in scene.lines] == [1, 1]
    assert [line.queue.admission.waiting for line in scene.lines] == [0, 2]
    gate.set()
    await asyncio.gather(*tasks)
    scene.nothing_is_held()


async def test_rule_16_what_waits_for_the_background_leaves_the_queue_when_it_is_cancelled():
    scene = Scene(Plays([asyncio.Event()]), queue=AdmissionSettings(limit=1, queue=0))
    tasks = [asyncio.create_task(scene.hear(in_background(), [])) for _ in range(3)]
    await settle()
    await leave(*tasks)
    scene.nothing_is_held()


# Hedging


async def hedged(*models):
    """A scene that knows that a first token usually takes a second."""
    scene = Scene(*models, hedging=True)
    for line in scene.lines:
        line.hedging.observe(1.0, 0)
    return scene


async def test_rule_15_a_slow_first_call_gets_company_and_the_faster_one_is_heard():
    never = asyncio.Event()
    slow, quick = Plays([[], never], name="slow"), Plays(said("Quick."), name="quick")
    scene = await hedged(slow, quick)
    turn = Turn(request=CreateResponse(input="Hi"), items=[])
    heard, error = await scene.ask(turn)
    assert (texts(heard), error) == ("Quick.", None)
    assert scene.clock.monotonic() == 1.0
    assert [(each.model, each.outcome, each.is_hedge) for each in turn.trace.attempts] == [
        ("slow", "cancelled", False),
        ("quick", "completed", True),
    ]
    assert turn.trace.attempts[0].usage is not None
    scene.nothing_is_held()


async def test_rule_15_a_quick_first_call_stays_alone():
    scene = await hedged(Plays(said("First.")), Plays(said("Second.")))
    heard, _ = await scene.ask()
    assert texts(heard) == "First."
    assert scene.models[1].turns == []
    scene.nothing_is_held()


async def test_rule_15_the_first_call_may_win_after_all():
    gate, never = asyncio.Event(), asyncio.Event()
    scene = await hedged(Plays([[], gate, *said("First.")]), Plays([[], never]))
    turn = Turn(request=CreateResponse(input="Hi"), items=[])
    heard = []
    asking = asyncio.create_task(scene.hear(turn, heard))
    await settle()
    await scene.clock.advance(1)
    await settle()
    assert scene.models[1].open == 1
    gate.set()
    await asking
    assert texts(heard) == "First."
    assert [each.outcome for each in turn.trace.attempts] == ["completed", "cancelled"]
    scene.nothing_is_held()


async def test_rule_15_the_loser_is_stopped_at_once_and_not_at_the_end_of_the_winner():
    never, gate = asyncio.Event(), asyncio.Event()
    slow = Plays([[], never])
    scene = await hedged(slow, Plays([[Text("Quick")], gate, [Finished()]]))
    asking = asyncio.create_task(scene.hear(Turn(request=CreateResponse(input="Hi"), items=[]), heard := []))
    await settle()
    await scene.clock.advance(1)
    await settle()
    assert texts(heard) == "Quick"
    assert slow.open == 0
    gate.set()
    await asking
    scene.nothing_is_held()


async def test_rule_15_a_failure_of_both_is_a_failure_and_who_leaves_stops_both():
    scene = await hedged(Plays([[], asyncio.Event()]), Plays([[], asyncio.Event()]))
    asking = asyncio.create_task(scene.hear(Turn(request=CreateResponse(input="Hi"), items=[]), []))
    await settle()
    await scene.clock.advance(1)
    await settle()
    assert [model.open for model in scene.models] == [1, 1]
    asking.cancel()
    await asyncio.wait([asking])
    scene.nothing_is_held()


async def test_rule_15_one_that_fails_leaves_the_other_to_answer():
    gate = asyncio.Event()
    scene = await hedged(Plays([[], gate, *said("First.")]), Plays([DOWN]))
    asking = asyncio.create_task(scene.hear(Turn(request=CreateResponse(input="Hi"), items=[]), heard := []))
    await settle()
    await scene.clock.advance(1)
    await settle()
    gate.set()
    await asking
    assert texts(heard) == "First."
    scene.nothing_is_held()


async def test_rule_15_and_16_a_second_call_has_a_place_of_its_own_and_begins_only_where_one_is_free():
    scene = Scene(Plays([[], asyncio.Event()]), queue=AdmissionSettings(limit=2), hedging=True)
    line, (model,) = scene.lines[0], scene.models
    line.hedging.observe(1.0, 0)
    tasks = []
    for opened in (2, 2):
        tasks.append(asyncio.create_task(scene.hear(Turn(request=CreateResponse(input="Hi"), items=[]), [])))
        await settle()
        await scene.clock.advance(1)
        await settle()
        assert (model.open, line.queue.admission.running) == (opened, opened)
    tasks[0].cancel()
    await asyncio.wait(tasks[:1])
    await settle()
    assert (model.open, line.queue.admission.running, line.queue.admission.waiting) == (1, 1, 0)
    tasks[1].cancel()
    await asyncio.wait(tasks)
    scene.nothing_is_held()


# What an attempt has used


FIGURES = Figures(input_tokens=1, output_tokens=2, total_tokens=3)
WORDS = "Words, " * 300  # 2,100 characters


async def leave_after_the_first_words(scene, turn):
    asking = asyncio.create_task(scene.hear(turn, heard := []))
    await settle()
    assert heard
    asking.cancel()
    await asyncio.wait([asking])


def long_turn():
    return Turn(request=CreateResponse(input="Hi"), items=[Message(role="user", content="word " * 600)])


@pytest.mark.parametrize("hedging", [False, True])
async def test_who_leaves_has_used_what_was_said_so_far(hedging):
    script = [[Text(WORDS), Reasoning(WORDS)], [Arguments(0, WORDS)], asyncio.Event()]
    scene = Scene(Plays(script), hedging=hedging)
    if hedging:
        scene.lines[0].hedging.observe(1.0, 0)
    turn = long_turn()
    await leave_after_the_first_words(scene, turn)
    (attempt,) = turn.trace.attempts
    assert (attempt.outcome, attempt.is_estimated) == ("cancelled", True)
    assert attempt.usage.input_tokens == pytest.approx(1000, rel=0.01)
    assert attempt.usage.output_tokens == 2100
    assert attempt.usage.total_tokens == attempt.usage.input_tokens + 2100


@pytest.mark.parametrize("ending", [[CUT], [[Finished()]]])
async def test_where_the_upstream_told_no_usage_it_is_estimated_whatever_the_end(ending):
    scene = Scene(Plays([[Text(WORDS)], *ending]))
    turn = long_turn()
    await scene.ask(turn)
    assert turn.trace.attempts[0].is_estimated
    assert turn.trace.attempts[0].usage.output_tokens == 700


async def test_what_is_said_in_other_scripts_weighs_more_than_its_characters():
    scene = Scene(Plays([[Text("字" * 300)], [Finished()]]))
    turn = long_turn()
    await scene.ask(turn)
    assert turn.trace.attempts[0].usage.output_tokens == 200


@pytest.mark.parametrize(
    "script",
    [
        [[Text("Hi")], [Usage(FIGURES)], [Finished()]],
        [[Usage(FIGURES)], [Text("Hi")], [Text(" there.")], [Finished()]],
        [[Text("Hi")], [Usage(FIGURES)], [Text(" there.")], CUT],
    ],
)
async def test_what_the_upstream_told_is_kept_wherever_it_came(script):
    scene = Scene(Plays(script))
    turn = long_turn()
    await scene.ask(turn)
    (attempt,) = turn.trace.attempts
    assert (attempt.usage, attempt.is_estimated) == (FIGURES, False)


@pytest.mark.parametrize(("taken", "is_free"), [([DOWN], True), ([[], DOWN], False)])
async def test_what_no_upstream_took_has_used_nothing_and_what_one_took_its_input(taken, is_free):
    scene = Scene(Plays(taken, said("Hello.")))
    turn = long_turn()
    await scene.ask(turn)
    assert [attempt.usage is None for attempt in turn.trace.attempts] == [is_free, False]


# An upstream that can go on


class Resumable(ScriptedModel):
    """Says a word over each connection, and asks whether it may make the next one. `news`: whether it said any."""

    def __init__(self, breaks, *, news=True, name="m"):
        super().__init__(name=name)
        self.breaks, self.news = breaks, news
        self.connections = 0

    async def stream(self, turn):
        yield [Text("Word. ")]
        self.connections, failed = 1, 0
        while self.connections <= self.breaks:
            failed = 1 if self.news else failed + 1
            if not await turn.go_on(CUT, failed):
                raise CUT
            self.connections += 1
            yield [Text("Word. ")] if self.news else []
        yield [Finished()]


async def test_rule_10_an_upstream_that_can_resume_goes_on_after_a_wait_as_often_as_it_says_something_new():
    scene = Scene(Resumable(40))
    turn = Turn(request=CreateResponse(input="Hi"), items=[])
    heard, error = await scene.ask(turn)
    assert (texts(heard), error) == ("Word. " * 41, None)
    assert scene.clock.monotonic() == pytest.approx(40 * 0.05)
    assert [attempt.outcome for attempt in turn.trace.attempts] == ["completed"]
    assert scene.lines[0].budget.tokens == 500
    scene.nothing_is_held()


async def test_rule_10_one_that_says_nothing_new_is_given_up():
    scene = Scene(Resumable(40, news=False))
    heard, error = await scene.ask()
    assert (texts(heard), error.code) == ("Word. ", "upstream_cut")
    assert scene.models[0].connections == RetrySettings().resumes
    scene.nothing_is_held()


async def test_rule_10_going_on_is_paid_for_and_ends_with_the_deadline():
    scene = Scene(Resumable(40))
    scene.lines[0].budget.tokens = 0
    _, error = await scene.ask()
    assert (error.code, scene.models[0].connections) == ("upstream_cut", 1)
    scene = Scene(Resumable(40))
    _, error = await scene.ask(Turn(request=CreateResponse(input="Hi"), items=[], deadline=0.12))
    assert (error.code, scene.models[0].connections) == ("upstream_cut", 3)
    scene.nothing_is_held()


async def test_who_leaves_while_an_upstream_waits_to_go_on_gives_everything_back():
    scene = Scene(Resumable(40))
    await leave_after_the_first_words(scene, Turn(request=CreateResponse(input="Hi"), items=[]))
    assert scene.clock.waiting == []
    scene.nothing_is_held()


async def test_each_model_of_a_route_gets_its_turn_however_many_there_are():
    scene = Scene(Plays([DOWN]), Plays([DOWN]), Plays([DOWN]), Plays(said("Four.")))
    heard, error = await scene.ask()
    assert (texts(heard), error) == ("Four.", None)
    scene.nothing_is_held()


async def test_nor_does_one_that_asks_to_wait_use_up_the_turn_of_another():
    scene = Scene(Plays([RateLimited("Wait.", retry_after=1)]), Plays(said("Two.")))
    heard, error = await scene.ask()
    assert (texts(heard), error) == ("Two.", None)
    assert [len(model.turns) for model in scene.models] == [2, 1]
    scene.nothing_is_held()


# What the lines are together


class Picky(ScriptedModel):
    def accept(self, request):
        if request.tools:
            raise InvalidRequest("No tools.", param="tools[0]", code="unsupported_tool")
        return ()


async def test_a_request_goes_only_to_lines_that_can_serve_it():
    scene = Scene(Picky(said("Without.")), Plays(said("With.")))
    request = CreateResponse(input="Hi", tools=[{"type": "anything"}])
    heard, _ = await scene.ask(Turn(request=request, items=[]))
    assert texts(heard) == "With."
    assert scene.model.accept(request) == ()
    with pytest.raises(InvalidRequest, match="No tools"):
        Scene(Picky(), Picky()).model.accept(request)


async def test_a_parameter_goes_only_to_lines_that_let_it_through():
    scene = Scene(Plays(said("Without.")), Plays(said("With."), pass_through=frozenset({"top_k"})))
    assert scene.model.pass_through == {"top_k"}
    request = CreateResponse(input="Hi", extra={"top_k": 3})
    heard, _ = await scene.ask(Turn(request=request, items=[]))
    assert texts(heard) == "With."


async def test_a_retried_response_is_told_by_one_grammatical_stream(tmp_path):
    scene = Scene(Plays([[], CUT], said("Hello."), name="scripted"))
    scene.retry = RetrySettings(base=0.001)
    model = Attempts(scene.lines, FakeClock(), RetrySettings(), random=lambda: 0.0)
    async with stage(tmp_path, Only(Named(model))) as engine:
        run = await create(engine)
        assert (await run.result()).status == "completed"
        whole = await read(engine, run.turn.response_id)
    grammar.check(events_of(whole))
    assert text_of(events_of(whole)[-1]["response"]) == "Hello."


class Named:
    """Attempts under the name that tests ask for."""

    def __init__(self, model):
        self._model = model

    def __getattr__(self, name):
        return getattr(self._model, name)
