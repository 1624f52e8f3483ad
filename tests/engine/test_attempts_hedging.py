"""Rule 15: when a slow call gets a second one, what that may take, and what is learnt from it."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.policy.admission import AdmissionSettings
from antiphon.policy.breaker import BreakerSettings
from antiphon.policy.hedge import HedgeSettings
from antiphon.testing import said
from antiphon.turn.deltas import Finished, Text
from antiphon.wire.items import Message
from tests.engine.attempts_stage import TOUCHY, Plays, Scene, Takes, a_turn, leave, settle, texts

pytestmark = pytest.mark.anyio


def hedged(*models, **options):
    """A scene that knows that a first token usually takes a second."""
    scene = Scene(*models, **{"hedging": True, **options})
    for line in scene.lines:
        line.hedging.observe(1.0, 0)
    return scene


async def slow_call(scene, turn=None):
    """A call that has been slow for long enough to get a second one."""
    asking, heard = scene.begin(turn)
    await settle()
    await scene.clock.advance(1)
    await settle()
    return asking, heard


async def test_second_calls_are_no_larger_a_share_of_the_first_ones_than_is_configured():
    scene = hedged(
        Takes(3, words="First."),
        Takes(0, words="Second."),
        hedging=HedgeSettings(least=1, share=0.25, percentile=0.01),
    )
    heard = [texts((await scene.ask())[0]) for _ in range(8)]
    assert heard == ["First.", "First.", "First.", "Second."] * 2
    assert len(scene.models[1].turns) == 2
    scene.nothing_is_held()


async def test_a_second_call_does_not_begin_where_no_place_is_free():
    scene = hedged(Takes(3, words="First."), Takes(0, words="Second."), queue=AdmissionSettings(limit=1))
    held = await scene.lines[1].queue.enter("other", None)
    heard, _ = await scene.ask()
    assert texts(heard) == "First."
    assert (scene.models[1].turns, scene.lines[1].queue.admission.waiting) == ([], 0)
    scene.lines[1].queue.leave(held)
    scene.nothing_is_held()


async def test_a_second_call_fills_a_place_until_it_is_over():
    gate = asyncio.Event()
    scene = hedged(
        Plays([[], asyncio.Event()]), Plays([[Text("Second")], gate, [Finished()]]), queue=AdmissionSettings(limit=1)
    )
    asking, heard = await slow_call(scene)
    assert texts(heard) == "Second"
    waiting = asyncio.create_task(scene.lines[1].queue.enter("other", None))
    await settle()
    assert not waiting.done()
    gate.set()
    await asking
    scene.lines[1].queue.leave(await waiting)
    scene.nothing_is_held()


async def test_a_second_call_that_its_breaker_does_not_let_through_leaves_no_trace_and_is_not_counted():
    half = HedgeSettings(least=1, share=0.5, percentile=0.01)
    scene = hedged(Takes(3, words="First."), Takes(0, words="Second."), breaker=TOUCHY, hedging=half)
    await scene.ask()
    asking, heard = scene.begin(turn := a_turn())
    await settle()
    scene.take_out(1)
    await scene.clock.run(3)
    await asking
    assert (texts(heard), len(turn.trace.attempts)) == ("First.", 1)
    await scene.clock.advance(5)
    heard, _ = await scene.ask()
    assert texts(heard) == "Second."
    scene.nothing_is_held()


async def test_nor_does_one_that_has_to_wait_for_its_upstream_to_be_used_again_step_by_step():
    ramps = BreakerSettings(connect_failures=1, open_for=5, jitter=0, successes=1, ramp=60)
    scene = hedged(
        Takes(3, words="First."),
        Takes(0, words="Second."),
        breaker=ramps,
        hedging=HedgeSettings(least=1, share=0.5, percentile=0.01),
        queue=AdmissionSettings(limit=2),
        random=lambda: 0.99,
    )
    await scene.ask()
    breaker = scene.lines[1].breaker
    scene.take_out(1)
    await scene.clock.advance(5)
    breaker.record(breaker.admit(8), "success", 8)
    assert breaker.state == "closed"
    running = breaker.admit(8)
    turn = a_turn()
    heard, _ = await scene.ask(turn)
    assert (texts(heard), len(turn.trace.attempts)) == ("First.", 1)
    breaker.record(running, "success", 11)
    scene.nothing_is_held()
    heard, _ = await scene.ask()  # it was not counted either
    assert texts(heard) == "Second."


async def test_how_long_a_first_call_waited_that_lost_is_remembered():
    scene = hedged(Takes(1000, 5, words="First."), Takes(5, words="Second."))
    heard, _ = await scene.ask()
    assert (texts(heard), scene.clock.monotonic()) == ("Second.", 6)
    heard, _ = await scene.ask()  # 5 seconds are nothing unusual now
    assert texts(heard) == "First."
    assert len(scene.models[1].turns) == 1


@pytest.mark.parametrize("loser", ["first", "second"])
async def test_who_loses_has_used_its_input(loser):
    gate, never = asyncio.Event(), asyncio.Event()
    answers, hangs = [[], gate, *said("Words.")], [[], never]
    scene = hedged(Plays(hangs if loser == "first" else answers), Plays(answers if loser == "first" else hangs))
    turn = a_turn(items=[Message(role="user", content="word " * 600)])
    asking, heard = await slow_call(scene, turn)
    gate.set()
    await asking
    assert texts(heard) == "Words."
    lost, won = sorted(turn.trace.attempts, key=lambda each: each.outcome)
    assert (lost.outcome, won.outcome) == ("cancelled", "completed")
    assert lost.usage.input_tokens > 500
    assert (lost.usage.output_tokens, won.usage.input_tokens) == (0, 7)


async def test_who_leaves_a_race_has_used_the_input_of_both():
    scene = hedged(Plays([[], asyncio.Event()]), Plays([[], asyncio.Event()]))
    turn = a_turn(items=[Message(role="user", content="word " * 600)])
    asking, _ = await slow_call(scene, turn)
    await leave(asking)
    assert [each.usage.input_tokens > 500 for each in turn.trace.attempts] == [True, True]
    scene.nothing_is_held()
