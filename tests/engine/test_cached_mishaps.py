"""The response cache on bad days: a call that failed is followed by nobody, and what goes on is not looked up."""

from __future__ import annotations

import pytest

from antiphon.engine.cached import Answers, Cached, CacheOptions
from antiphon.testing import FakeClock, MemoryCache, Only, ScriptedModel, said
from antiphon.turn.deltas import Text
from antiphon.wire.errors import Unavailable
from tests.engine.cached_stage import cached_stage, settle
from tests.engine.stage import crash, create, events_of, read, stage, text_of

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("words", [[], [[Text("Hal")]]], ids=["before the first words", "after them"])
async def test_who_comes_after_a_call_that_failed_makes_a_new_one_though_others_still_hear_the_old_one(tmp_path, words):
    scripts = iter([said(), [[], *words, Unavailable("down")], said()])
    async with cached_stage(tmp_path, ScriptedModel(lambda _: next(scripts))) as s:
        turn = (await s.answer(cache="off")).turn
        turn.cache = "use"
        slow = s.cached.stream(turn)
        await anext(slow)
        await settle()  # the call has failed, and its follower has not heard of it
        heard = [delta async for batch in s.cached.stream(turn) for delta in batch]
        assert "".join(delta.text for delta in heard if isinstance(delta, Text)) == "Hello there."
        with pytest.raises(Unavailable):
            await rest(slow)
        assert s.calls == 3
        await settle()
        assert not s.cached.answers._flights


async def rest(stream):
    return [batch async for batch in stream]


async def test_an_answer_that_could_not_even_be_handed_to_the_cache_is_forgotten(tmp_path):
    class Broken(MemoryCache):
        def put(self, project, key, data, until):
            raise Unavailable("The cache is closed.")

    async with cached_stage(tmp_path, cache=Broken(now=lambda: 0.0)) as s:
        for calls in (1, 2):
            assert (await s.answer()).turn.trace.cache == "miss"
            await settle()
            assert (s.calls, s.cached.answers._flights) == (calls, {})


@pytest.mark.parametrize("background", [True, False])
async def test_a_response_that_is_taken_over_is_said_by_its_model_and_not_by_the_cache(tmp_path, background):
    clock = FakeClock()
    cache = MemoryCache(now=clock.now)

    def behind(model):
        return Only(Cached(model, Answers(cache, clock, CacheOptions()), b"scripted"))

    before = ScriptedModel(said("From before."))
    async with stage(tmp_path / "first", behind(before), clock=clock, background_slots=0) as engine:
        await (await create(engine)).result()
        run = await create(engine, background=True)
        copy = await crash(engine, tmp_path / "second")
    assert cache.entries
    model = ScriptedModel(said("Said anew."))
    async with stage(copy, behind(model), clock=clock) as engine:
        final = events_of(await read(engine, run.turn.response_id))[-1]["response"]
        assert text_of(final) == "Said anew."
        assert (await (await create(engine, background=background)).result()).status == "completed"
    assert len(model.turns) == 1  # the last one is a hit
