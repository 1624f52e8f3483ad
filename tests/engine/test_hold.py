"""The hold: until an upstream has accepted, a refusal is an error of the request and leaves no trace."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.engine.attempts import Attempts
from antiphon.engine.upstreams import Upstreams
from antiphon.policy.retry import RetrySettings
from antiphon.testing import FakeClock, Only, ScriptedModel, said
from antiphon.turn.deltas import Text
from antiphon.wire.errors import RateLimited, UpstreamMalformed
from tests.engine.stage import bytes_of, create, events_of, retrieve, stage, text_of, types_of
from tests.stores.disk import rows
from tests.support import grammar

pytestmark = pytest.mark.anyio

TABLES = ("responses", "stretches", "facts", "items", "segments")
REFUSAL = RateLimited("Not now.", retry_after=7)


def traces(folder):
    return {table: rows(folder, f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


@pytest.mark.parametrize("stream", [True, False])
async def test_a_refusal_within_the_hold_is_the_callers_and_leaves_no_row(tmp_path, stream):
    async with stage(tmp_path, ScriptedModel([REFUSAL])) as engine:
        run = await create(engine, stream=stream)
        with pytest.raises(RateLimited) as refused:
            await run.result()
        assert refused.value.retry_after == 7
        assert not run.exists
        assert engine.runs == {}
    assert traces(tmp_path) == dict.fromkeys(TABLES, 0)


async def test_the_first_batch_ends_the_hold(tmp_path):
    async with stage(tmp_path, ScriptedModel([[], REFUSAL])) as engine:
        response = await (await create(engine)).result()
        assert response.status == "failed"
        assert response.error.code == "rate_limit_exceeded"
        assert (await retrieve(engine, response.id))["error"]["message"] == "Not now."


async def test_a_refusal_after_the_hold_of_a_stream_is_a_failed_response(tmp_path):
    answer = asyncio.get_running_loop().create_future()
    async with stage(tmp_path, ScriptedModel([answer, REFUSAL]), hold=0.001) as engine:
        run = await create(engine, stream=True)
        await run.opened
        answer.set_result(None)
        response = await run.result()
        assert response.status == "failed"
        whole = await bytes_of(engine.frames_of(run))
    assert types_of(whole) == ["response.created", "response.in_progress", "response.failed"]
    grammar.check(events_of(whole))


async def test_a_plain_answer_has_nothing_to_begin_with_so_that_only_its_upstream_ends_the_hold(tmp_path):
    """Waits between attempts are seconds: a 429 that was tried again is a 429 all the same."""
    clock = FakeClock()
    model = ScriptedModel([RateLimited("Slow down.", retry_after=2)])
    line = Upstreams(clock).line(model, "http://127.0.0.1:1/v1")
    attempts = Attempts([line], clock, RetrySettings(), random=lambda: 0.5)
    async with stage(tmp_path, Only(attempts), clock=clock, hold=0.001) as engine:
        run = await create(engine)
        while not run.opened.done():
            await asyncio.sleep(0.002)  # the hold is over, by the loop's own clock
            await clock.advance(2)
        assert isinstance(run.opened.exception(), RateLimited)
        assert run.opened.exception().retry_after == 2
        assert len(run.turn.trace.attempts) == 3
    assert traces(tmp_path) == dict.fromkeys(TABLES, 0)


async def test_without_a_hold_a_response_exists_before_its_upstream_was_asked(tmp_path):
    model = ScriptedModel([REFUSAL])
    async with stage(tmp_path, model, hold=0) as engine:
        run = await create(engine)
        assert run.exists
        assert model.turns == []
        assert (await run.result()).status == "failed"


@pytest.mark.parametrize("store", [True, False])
async def test_a_failure_after_the_first_words_keeps_them(tmp_path, store):
    async with stage(tmp_path, ScriptedModel([[], [Text("Half")], REFUSAL])) as engine:
        run = await create(engine, stream=True, store=store)
        whole = await bytes_of(engine.frames_of(run))
    grammar.check(events_of(whole))
    final = events_of(whole)[-1]["response"]
    assert (final["status"], text_of(final)) == ("failed", "Half")


async def test_a_model_that_stops_without_a_word_is_malformed(tmp_path):
    async with stage(tmp_path, ScriptedModel([])) as engine:
        with pytest.raises(UpstreamMalformed):
            await (await create(engine)).result()
    assert traces(tmp_path)["responses"] == 0


async def test_a_model_that_forgets_to_finish_fails(tmp_path):
    async with stage(tmp_path, ScriptedModel(said()[:-1])) as engine:
        response = await (await create(engine)).result()
    assert response.status == "failed"
    assert "without saying that it was done" in response.error.message


async def test_a_defect_in_a_model_is_a_failed_response_and_is_logged(tmp_path, caplog):
    def script(turn):
        yield [Text("Half")]
        raise ZeroDivisionError

    async with stage(tmp_path, ScriptedModel(script)) as engine:
        response = await (await create(engine)).result()
    assert response.error.code == "server_error"
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("body", [{}, {"stream": True}, {"background": True}, {"background": True, "stream": True}])
async def test_every_way_to_ask_leads_to_the_same_log(tmp_path, body):
    async with stage(tmp_path) as engine:
        run = await create(engine, **body)
        live = await bytes_of(engine.frames_of(run))
        response = await run.result()
        from_store = await bytes_of(await engine.follow("default", response.id, -1))
        assert from_store == live
        assert await retrieve(engine, response.id) == events_of(live)[-1]["response"]
    grammar.check(events_of(live))
    told = types_of(live)
    assert ("response.queued" in told) == ("background" in body)
    assert told[-1] == "response.completed"


async def test_an_unstored_response_leaves_no_row(tmp_path):
    async with stage(tmp_path) as engine:
        plain = await (await create(engine, store=False)).result()
        run = await create(engine, store=False, stream=True)
        streamed = events_of(await bytes_of(engine.frames_of(run)))[-1]["response"]
        assert plain.status == streamed["status"] == "completed"
        await asyncio.wait((run.task,))
        assert engine.runs == {}
    assert traces(tmp_path) == dict.fromkeys(TABLES, 0)
