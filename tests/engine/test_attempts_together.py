"""What lines are together: a pool that is never given up by half, one answer to what they can, one error."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.policy.retry import RetrySettings
from antiphon.testing import ScriptedModel, said
from antiphon.wire.errors import RateLimited, Unavailable
from tests.engine.attempts_stage import DOWN, TOUCHY, UNREACHABLE, Plays, Scene, leave, settle, texts

pytestmark = pytest.mark.anyio


# Rule 7


async def with_two_of_three_out(*last):
    """A scene in which two of three lines are out, the second for longer; the third plays what it is told to."""
    scene = Scene(Plays(said("Nearest.")), Plays(said("Later.")), Plays(*last), breaker=TOUCHY)
    scene.take_out(0)
    await scene.clock.advance(1)
    scene.take_out(1)
    return scene


async def test_rule_7_of_a_pool_that_is_out_by_more_than_half_the_nearest_to_being_back_is_asked_all_the_same():
    scene = await with_two_of_three_out([DOWN])
    heard, error = await scene.ask()
    assert (texts(heard), error) == ("Nearest.", None)
    assert [len(model.turns) for model in scene.models] == [1, 0, 1]
    scene.nothing_is_held()


async def test_rule_7_whoever_is_well_is_asked_first():
    scene = await with_two_of_three_out(said("Well."))
    heard, _ = await scene.ask()
    assert texts(heard) == "Well."
    assert [len(model.turns) for model in scene.models] == [0, 0, 1]


async def test_rule_7_a_call_against_the_word_of_a_breaker_is_no_probe():
    scene = await with_two_of_three_out([DOWN])
    for _ in range(3):
        await scene.ask()
    assert [line.breaker.state for line in scene.lines] == ["open", "open", "closed"]
    await scene.clock.advance(4)
    probe, _ = scene.begin()  # its time is over: now it is one
    await settle()
    assert scene.lines[0].breaker.state == "half_open"
    await leave(probe)
    scene.nothing_is_held()


async def test_rule_7_nor_does_it_say_anything_of_the_upstream_while_another_call_is_the_probe():
    gate = asyncio.Event()
    scene = Scene(Plays([gate, *said("Back.")], [UNREACHABLE]), Plays(said("Out.")), Plays([DOWN]), breaker=TOUCHY)
    scene.take_out(0)
    await scene.clock.advance(4)
    scene.take_out(1)
    await scene.clock.advance(1)
    probe, heard = scene.begin()
    await settle()
    _, error = await scene.ask()
    assert error.code == "upstream_unreachable"
    assert scene.lines[0].breaker.state == "half_open"
    gate.set()
    await probe
    assert texts(heard) == "Back."
    scene.nothing_is_held()


async def test_rule_7_an_upstream_that_said_when_to_come_back_is_left_in_peace():
    scene = Scene(
        Plays([RateLimited("Wait.", retry_after=60)]), Plays([RateLimited("Wait.", retry_after=60)]), Plays([DOWN])
    )
    await scene.ask()
    asked = [len(model.turns) for model in scene.models[:2]]
    await scene.ask()
    assert [len(model.turns) for model in scene.models[:2]] == asked == [1, 1]


# What a client is told


async def test_rule_11_a_long_retry_after_is_told_as_one_that_clients_wait_for():
    scene = Scene(Plays([RateLimited("Wait.", retry_after=600)]))
    _, error = await scene.ask()
    assert (error.status, error.retry_after, error.should_retry) == (429, 120, None)
    _, error = await scene.ask()  # now the breaker says so
    assert (error.status, error.retry_after, error.should_retry) == (429, 120, None)
    assert len(scene.models[0].turns) == 1


async def test_rule_11_who_should_not_retry_at_all_is_told_the_whole_time():
    scene = Scene(Plays([Unavailable("Down.", retry_after=600)]), settings=RetrySettings(attempts=1))
    _, error = await scene.ask()
    assert (error.retry_after, error.should_retry) == (600, False)


# What they can


@pytest.mark.parametrize("each", [(True, True), (True, False), (False, True)])
def test_lines_go_on_within_an_item_only_if_each_of_them_does(each):
    scene = Scene(*(ScriptedModel(continues=continues) for continues in each))
    assert scene.model.continues is all(each)


async def test_a_line_that_is_not_asked_is_not_waited_for():
    scene = Scene(Plays([asyncio.Event()]), Plays(said("Two.")), breaker=TOUCHY)
    scene.take_out(0)
    heard, _ = await scene.ask()
    assert texts(heard) == "Two."
    scene.nothing_is_held()
