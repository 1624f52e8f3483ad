"""The gate of the budgets, around a model: over several turns, and with the response cache."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from antiphon.engine.cached import Answers, Cached, CacheOptions
from antiphon.engine.capped import Capped
from antiphon.testing import FakeClock, ScriptedModel
from antiphon.testing.cache import MemoryCache
from antiphon.turn.deltas import Delta, Finished, Text, Usage
from antiphon.turn.input import Allowance, Turn
from antiphon.wire.items import Message
from antiphon.wire.request import CreateResponse
from tests.engine.till_stage import answer, asks

pytestmark = pytest.mark.anyio


def turn(allowance: Allowance | None) -> Turn:
    items: list[Any] = [Message(role="user", content="Hi.")]
    return Turn(request=CreateResponse(model="scripted"), items=items, allowance=allowance)


async def heard(model: Any, asked: Turn) -> list[Delta]:
    return [delta async for batch in model.stream(asked) for delta in batch]


def words(said: Sequence[Delta]) -> str:
    return "".join(delta.text for delta in said if isinstance(delta, Text))


async def test_without_an_allowance_there_is_no_gate():
    model = ScriptedModel(answer(40))
    assert words(await heard(Capped(model), turn(None))) == "abc" * 40
    assert asks(model.turns[0]) is None


async def test_the_turns_of_a_response_share_what_is_paid_for():
    model = ScriptedModel(answer(30))
    allowance = Allowance(cap=40, reserved=50)
    asked = turn(allowance)
    assert words(await heard(Capped(model), asked)) == "abc" * 30
    second = await heard(Capped(model), asked)
    assert words(second) == "abc" * 20
    assert second[-1] == Finished("max_output_tokens")
    third = await heard(Capped(model), asked)
    assert words(third) == ""
    assert third[-1] == Finished("max_output_tokens")
    assert [asks(each) for each in model.turns] == [40, 16, 16]
    assert model.open == 0


async def test_an_answer_that_is_cut_has_one_usage_what_was_reported_or_what_was_counted():
    told = [[Text("abc"), Usage(answer(9)[-1][0].usage)], *([Text("abc")] for _ in range(40)), [Finished()]]
    for script, tokens in (told, 9), (answer(40, usage=False), 10):
        said = await heard(Capped(ScriptedModel(script)), turn(Allowance(cap=10, reserved=10)))
        assert [delta.usage.output_tokens for delta in said if isinstance(delta, Usage)] == [tokens]
        assert said[-1] == Finished("max_output_tokens")


async def test_who_has_more_money_does_not_follow_an_answer_that_may_be_cut_and_such_a_one_is_not_kept():
    going = asyncio.Event()
    model = ScriptedModel(lambda _: [[], going, *answer(40)[1:]])
    clock = FakeClock()
    answers = Answers(MemoryCache(now=clock.now), clock, CacheOptions())
    cached = Cached(Capped(model), answers, b"scripted")
    poor = asyncio.create_task(heard(cached, turn(Allowance(cap=16, reserved=16, is_short=True))))
    while not model.turns:  # noqa: ASYNC110 - it is on its way
        await asyncio.sleep(0)
    rich = asyncio.create_task(heard(cached, turn(None)))
    while len(model.turns) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0)
    going.set()
    assert words(await poor) == "abc" * 16
    assert words(await rich) == "abc" * 40
    later = turn(None)
    assert words(await heard(cached, later)) == "abc" * 40
