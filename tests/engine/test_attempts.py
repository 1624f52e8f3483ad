"""A turn is asked of one upstream after the other until one answers. Rules 9 to 15, on virtual time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from copy import copy

import pytest

from antiphon.engine.attempts import Attempts
from antiphon.engine.lines import Line
from antiphon.engine.queue import Queue
from antiphon.policy.admission import AdmissionSettings
from antiphon.policy.breaker import Breaker, BreakerSettings, Key
from antiphon.policy.hedge import HedgeSettings, Hedging
from antiphon.policy.retry import RetryBudget, RetrySettings
from antiphon.testing import FakeClock, Only, ScriptedModel, said
from antiphon.turn.deltas import Finished, Noted, Text, Usage
from antiphon.turn.input import Turn
from antiphon.wire.errors import (
    APIError,
    InvalidRequest,
    RateLimited,
    ServerOverloaded,
    Unavailable,
    UpstreamMalformed,
)
from antiphon.wire.request import CreateResponse
from antiphon.wire.response import Usage as Figures
from tests.engine.stage import create, events_of, read, stage, text_of
from tests.support import grammar

pytestmark = pytest.mark.anyio

DOWN = Unavailable("Down.")
CUT = Unavailable("Cut.", code="upstream_cut")


class Plays(ScriptedModel):
    """A model with a script for each call, the last one again and again."""

    def __init__(self, *scripts, name="m", **options):
        calls = iter(scripts)
        self.last = None

        def script(turn):
            self.last = next(calls, self.last)
            return [copy(step) if isinstance(step, APIError) else step for step in self.last]

        super().__init__(script, name=name, **options)


class Scene:
    """Lines over scripted models, and a clock that stands still."""

    def __init__(self, *models, settings=None, queue=None, hedging=False, breaker=None, **options):
        self.clock = FakeClock()
        self.models = models
        self.retry = settings or RetrySettings()
        self.lines = [
            Line(
                model,
                Breaker(Key(f"up{at}", model.name), breaker or BreakerSettings(ramp=0), random=lambda: 0.5),
                RetryBudget(self.retry),
                queue=Queue(queue, self.clock) if queue is not None else None,
                hedging=Hedging(HedgeSettings(least=1, share=1.0)) if hedging else None,
            )
            for at, model in enumerate(models)
        ]
        self.model = Attempts(self.lines, self.clock, self.retry, random=lambda: 0.5, **options)

    async def ask(self, turn=None):
        """What is heard of a turn, and the error at its end; waits pass at once."""
        turn = turn or Turn(request=CreateResponse(input="Hi"), items=[])
        heard, error = [], None
        asking = asyncio.create_task(self.hear(turn, heard))
        while not asking.done():
            await asyncio.sleep(0)
            if not asking.done() and self.clock.waiting:
                await self.clock.advance(self.clock.waiting[0])
        try:
            await asking
        except APIError as raised:
            error = raised
        return heard, error

    async def hear(self, turn, heard):
        async with aclosing(self.model.stream(turn)) as batches:
            async for batch in batches:
                heard.extend(batch)

    def nothing_is_held(self):
        """Every permit, place and ticket was given back, and no stream is open."""
        for line in self.lines:
            assert line.budget.traffic.calls == 0
            assert line.budget.traffic.retries == 0
            assert line.queue is None or (line.queue.admission.running, line.queue.admission.waiting) == (0, 0)
        assert [model.open for model in self.models] == [0] * len(self.models)


async def settle():
    """Let all tasks go as far as they can."""
    for _ in range(30):
        await asyncio.sleep(0)


def texts(heard):
    return "".join(delta.text for delta in heard if isinstance(delta, Text))


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
