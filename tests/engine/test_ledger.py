"""The ledger has one row for each piece of work, with exactly what its upstreams count."""

from __future__ import annotations

import asyncio
from collections import Counter
from copy import copy
from decimal import Decimal

import msgspec
import pytest

from antiphon.engine import books
from antiphon.engine.cached import Answers, Cached, CacheOptions
from antiphon.engine.moderation import Moderation, ModerationPolicy
from antiphon.engine.run import Stop
from antiphon.models.moderators import Judge
from antiphon.policy.access import Principal
from antiphon.policy.ledger import RESTARTED, Tokens
from antiphon.policy.weight import read
from antiphon.testing import FakeClock, MemoryCache, said
from antiphon.turn.deltas import Finished, Text, Usage
from antiphon.turn.trace import Trace
from antiphon.wire.errors import InvalidRequest, QuotaExceeded, ServerError, Unavailable
from antiphon.wire.moderations import decode_moderation
from antiphon.wire.request import decode_create
from antiphon.wire.response import Usage as Figures
from tests.engine.ledger_stage import Counting, all_rows, ledger_stage, lines_of, over, row_of, used
from tests.engine.stage import crash, create
from tests.engine.till_stage import begin, budget, till_stage
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

DOWN = Unavailable("Down.")


def money(inward: int, outward: int, prices: tuple[int, int] = (10, 100)) -> Decimal:
    """What tokens cost."""
    return (inward * Decimal(prices[0]) + outward * Decimal(prices[1])) / 1_000_000


def weight(run) -> int:
    """The estimated input of a run."""
    return read(run.turn.items, run.turn.request)


# One row, whatever becomes of the work


async def test_an_answer_costs_what_its_upstream_reports(tmp_path):
    async with ledger_stage(tmp_path) as engine:
        who = Principal(organization="default", project="p", kind="user", role="project.member", key_id="key_1")
        request = decode_create(b'{"model": "scripted", "input": "Hi."}')
        run = await engine.create("p", request, Trace(request_id="req_1"), principal=who)
        await run.result()
        row = await row_of(engine, run)
    assert (row.project, row.key_id, row.request_id, row.operation) == ("p", "key_1", "req_1", "response")
    assert (row.outcome, row.stored, row.called) == ("completed", True, True)
    assert (row.upstream, row.upstream_model, row.model) == ("http://up0/v1", "scripted", "scripted")
    assert row.tokens == used(7, 3)
    assert row.cost == money(7, 3)
    (charge,) = row.charges
    assert (charge.cost, charge.is_estimated, charge.outcome) == (money(7, 3), False, "completed")


@pytest.mark.parametrize("body", [{}, {"store": False}, {"stream": True}, {"background": True}])
async def test_each_way_to_ask_leaves_one_row(tmp_path, body):
    async with ledger_stage(tmp_path) as engine:
        run = await create(engine, **body)
        await run.result()
        await over(run)
        (row,) = await all_rows(engine, tmp_path)
    assert row.tokens == used(7, 3)
    assert (row.stored, row.background, row.streamed) == (
        body.get("store", True),
        "background" in body,
        "stream" in body,
    )


async def test_cached_and_reasoning_tokens_are_told_apart(tmp_path):
    figures = Figures(input_tokens=9, output_tokens=4, total_tokens=13)
    figures.input_tokens_details.cached_tokens = 5
    figures.input_tokens_details.cache_write_tokens = 2
    figures.output_tokens_details.reasoning_tokens = 3
    async with ledger_stage(tmp_path, [[Text("Hi.")], [Usage(figures), Finished()]]) as engine:
        row = await row_of(engine, await create(engine))
    assert row.tokens == Tokens(input=9, cached=5, cache_write=2, output=4, reasoning=3)


async def test_usage_that_comes_before_the_end_is_heard(tmp_path):
    usage = Usage(Figures(input_tokens=2, output_tokens=1, total_tokens=3))
    async with ledger_stage(tmp_path, [[Text("Hi.")], [usage], [], [Finished()]]) as engine:
        row = await row_of(engine, await create(engine))
    assert (row.tokens, row.charges[0].is_estimated) == (used(2, 1), False)


async def test_an_upstream_that_does_not_tell_is_estimated(tmp_path):
    async with ledger_stage(tmp_path, [[Text("abcdef")], [Finished()]]) as engine:
        run = await create(engine)
        row = await row_of(engine, run)
    assert row.tokens == used(weight(run), 2)
    assert row.cost == money(weight(run), 2)
    assert row.charges[0].is_estimated


async def test_a_refusal_costs_nothing(tmp_path):
    async with ledger_stage(tmp_path, [InvalidRequest("No.", code="nope")]) as engine:
        run = await create(engine)
        with pytest.raises(InvalidRequest):
            await run.result()
        row = await row_of(engine, run)
    assert (row.outcome, row.error, row.cost, row.tokens) == ("failed", "nope", 0, used(0, 0))
    (charge,) = row.charges
    assert (charge.outcome, charge.code, charge.cost) == ("failed", "nope", 0)


async def test_an_answer_that_breaks_off_costs_what_was_said(tmp_path):
    async with ledger_stage(tmp_path, [[], [Text("abc")], [Text("abc")], ServerError("Gone.")]) as engine:
        run = await create(engine)
        await run.result()
        row = await row_of(engine, run)
    assert (row.outcome, row.tokens) == ("failed", used(weight(run), 2))
    assert row.charges[0].is_estimated


@pytest.mark.parametrize("body", [{"background": True}, {"stream": True}, {"store": False, "stream": True}])
async def test_a_cancelled_answer_costs_what_was_said(tmp_path, body):
    never = asyncio.Event()
    model = Counting([[], [Text("abcdef")], never])
    async with ledger_stage(tmp_path, model) as engine:
        run = await create(engine, **body)
        await until(lambda: run.machine.fold.output())
        run.end(Stop("cancelled"))
        row = await row_of(engine, run)
    assert (row.outcome, row.tokens) == ("cancelled", used(weight(run), 2))
    assert (row.charges[0].outcome, row.charges[0].is_estimated) == ("cancelled", True)
    assert model.counted == Counter(input=weight(run), output=2, estimated=1)


async def test_who_leaves_before_the_first_word_has_the_input_to_pay(tmp_path):
    async with ledger_stage(tmp_path, [asyncio.Event()]) as engine:
        run = await create(engine, store=False)
        await until(lambda: run.turn.trace.attempts)
        engine.left(run)
        row = await row_of(engine, run)
    assert (row.outcome, row.tokens, row.cost) == ("cancelled", used(weight(run), 0), money(weight(run), 0))


async def test_a_retry_and_a_fallback_are_charges_of_their_own(tmp_path):
    first = Counting([[], copy(DOWN)])
    second = Counting(said("Here."), name="b")
    async with ledger_stage(tmp_path, first, second) as engine:
        run = await create(engine)
        await run.result()
        row = await row_of(engine, run)
    assert [(charge.model, charge.outcome) for charge in row.charges] == [("scripted", "failed"), ("b", "completed")]
    assert row.charges[0].tokens == used(weight(run), 0)  # it was accepted, and then cut
    assert (row.upstream, row.upstream_model, row.model) == ("http://up1/v1", "b", "scripted")
    assert row.cost == money(weight(run), 0) + money(7, 1, (1, 2))
    assert row.cost == sum(charge.cost for charge in row.charges)


async def test_the_slower_one_of_two_is_paid_for_its_input(tmp_path):
    clock, never = FakeClock(), asyncio.Event()
    slow, quick = Counting([[], never]), Counting(said("Quick."), name="b")
    async with ledger_stage(tmp_path, slow, quick, clock=clock, hedges=True) as engine:
        run = await create(engine)
        await until(lambda: run.turn.trace.attempts)
        await clock.run(1.0)
        await run.result()
        row = await row_of(engine, run)
    assert [(charge.model, charge.outcome, charge.is_hedge) for charge in row.charges] == [
        ("scripted", "cancelled", False),
        ("b", "completed", True),
    ]
    assert row.charges[0].is_estimated
    assert row.tokens == used(weight(run) + 7, 2)


async def test_one_price_that_is_not_known_makes_the_whole_unknown(tmp_path):
    async with ledger_stage(tmp_path, [[], copy(DOWN)], Counting(name="strange")) as engine:
        row = await row_of(engine, await create(engine))
    assert [charge.cost is None for charge in row.charges] == [False, True]
    assert row.cost is None


@pytest.mark.parametrize("body", [{}, {"store": False}, {"background": True}])
async def test_who_is_refused_by_a_budget_leaves_a_row_that_costs_nothing(tmp_path, body):
    async with till_stage(tmp_path) as engine:
        await budget(engine, "0.000001")
        with pytest.raises(QuotaExceeded):
            await begin(engine, **body)
        (row,) = await all_rows(engine, tmp_path / "store")
    assert (row.outcome, row.error, row.called) == ("failed", "insufficient_quota", False)
    assert (row.cost, row.tokens, row.charges) == (0, used(0, 0), ())


async def test_an_answer_that_its_budget_cuts_costs_what_was_said_until_then(tmp_path):
    async with till_stage(tmp_path, [[], [Text("abc" * 500)], asyncio.Event()]) as engine:
        await budget(engine, "1")
        run = await begin(engine, max_output_tokens=16)
        row = await row_of(engine, run)
    assert (row.outcome, row.tokens.output, row.cost) == ("incomplete", 64, 64 * Decimal("0.001"))


# The cache


async def test_an_answer_of_the_cache_costs_nothing_and_says_what_it_saved(tmp_path):
    clock = FakeClock()
    answers = Answers(MemoryCache(max_bytes=2**20, now=clock.now), clock, CacheOptions())
    async with ledger_stage(tmp_path, clock=clock, around=lambda model: Cached(model, answers, b"x")) as engine:
        rows = [await row_of(engine, await create(engine)) for _ in range(2)]
    paid, hit = rows
    assert (paid.cache, paid.cost, paid.saved) == ("miss", money(7, 3), None)
    assert (hit.cache, hit.cost, hit.tokens, hit.charges) == ("hit", 0, used(0, 0), ())
    assert (hit.saved, hit.saved_tokens, hit.called) == (money(7, 3), 10, True)


async def test_of_two_who_share_an_answer_one_pays(tmp_path):
    clock, going = FakeClock(), asyncio.Event()
    answers = Answers(MemoryCache(max_bytes=2**20, now=clock.now), clock, CacheOptions())
    model = Counting([[], going, *said()])
    around = lambda inner: Cached(inner, answers, b"x")  # noqa: E731 - one line says it
    async with ledger_stage(tmp_path, model, clock=clock, around=around) as engine:
        runs = [await create(engine, stream=True) for _ in range(2)]
        await until(lambda: all(run.turn.trace.cache for run in runs))
        going.set()
        rows = [await row_of(engine, run) for run in runs]
    assert sorted((row.cache, row.cost) for row in rows) == [("miss", money(7, 3)), ("shared", 0)]
    assert model.calls == 1


async def test_who_stays_pays_for_a_shared_answer_whose_first_asker_left(tmp_path):
    clock, going = FakeClock(), asyncio.Event()
    answers = Answers(MemoryCache(max_bytes=2**20, now=clock.now), clock, CacheOptions())
    model = Counting([[], going, *said()])
    around = lambda inner: Cached(inner, answers, b"x")  # noqa: E731 - one line says it
    async with ledger_stage(tmp_path, model, clock=clock, around=around) as engine:
        first, second = [await create(engine, stream=True) for _ in range(2)]
        await until(lambda: first.turn.trace.cache and second.turn.trace.cache)
        engine.left(first)
        left = await row_of(engine, first)
        going.set()
        stayed = await row_of(engine, second)
    assert (left.outcome, left.cost, left.tokens, left.charges) == ("cancelled", 0, used(0, 0), ())
    assert (stayed.outcome, stayed.cost, stayed.cache) == ("completed", money(7, 3), "miss")
    assert model.calls == 1


# Moderation


def judging(model, **policy):
    _, attempts = lines_of((model,), FakeClock())
    return Moderation({"judge": Judge(lambda: attempts, "judge")}, ModerationPolicy(moderator="judge", **policy))


def verdict(words, inward=20, outward=2):
    usage = Figures(input_tokens=inward, output_tokens=outward, total_tokens=inward + outward)
    return [[Text(words)], [Usage(usage), Finished()]]


async def test_a_judge_is_paid_for_by_what_it_judges(tmp_path):
    judge = Counting(verdict("{}"), name="judge")
    async with ledger_stage(tmp_path, moderation=judging(judge, input="block", output="block")) as engine:
        run = await create(engine)
        await run.result()
        row = await row_of(engine, run)
    assert judge.calls == 2  # the input, and the output
    assert [(charge.model, charge.judges) for charge in row.charges] == [
        ("judge", True),
        ("scripted", False),
        ("judge", True),
    ]
    assert row.tokens == used(7 + 40, 3 + 4)
    assert row.cost == money(7, 3) + 2 * money(20, 2, (0, 0)) + 2 * Decimal("0.5") * 22 / 1_000_000
    assert (row.upstream_model, row.outcome) == ("scripted", "completed")


async def test_blocked_input_costs_its_judgement_and_no_more(tmp_path):
    judge, model = Counting(verdict('{"violence": 1}'), name="judge"), Counting()
    async with ledger_stage(tmp_path, model, moderation=judging(judge, input="block")) as engine:
        run = await create(engine)
        with pytest.raises(InvalidRequest):
            await run.result()
        await over(run)
        (row,) = await all_rows(engine, tmp_path)
    assert (row.outcome, row.error, row.called, model.calls) == ("failed", "content_policy_violation", False, 0)
    assert [charge.judges for charge in row.charges] == [True]
    assert row.cost == Decimal("0.5") * 22 / 1_000_000


async def test_an_answer_that_the_gate_cuts_costs_what_was_said_until_then(tmp_path):
    judge = Counting(verdict('{"violence": 1}'), name="judge")
    model = Counting([[], [Text("abc" * 400)], asyncio.Event()])
    async with ledger_stage(tmp_path, model, moderation=judging(judge, output="block")) as engine:
        run = await create(engine)
        await run.result()
        row = await row_of(engine, run)
    assert (row.outcome, run.machine.fold.response().incomplete_details.reason) == ("incomplete", "content_filter")
    (answer,) = [charge for charge in row.charges if not charge.judges]
    assert (answer.outcome, answer.is_estimated, answer.tokens) == ("cancelled", True, used(weight(run), 400))
    assert model.counted["output"] == 400


async def test_a_moderation_is_work_of_its_own(tmp_path):
    judge = Counting(verdict("{}"), name="judge")
    async with ledger_stage(tmp_path, moderation=judging(judge), others={"judge": judge}) as engine:
        await engine.moderations.create("p", decode_moderation(b'{"input": "Hi."}'), Trace(request_id="req_1"))
        (row,) = await all_rows(engine, tmp_path)
    assert (row.operation, row.project, row.request_id, row.model) == ("moderation", "p", "req_1", "judge")
    assert (row.outcome, row.called, row.tokens) == ("completed", True, used(20, 2))


# What a store does that fails


async def test_rows_wait_for_a_store_that_fails_and_are_all_written(tmp_path, caplog):
    clock = FakeClock()
    async with ledger_stage(tmp_path, clock=clock) as engine:
        engine.store.trouble.lasts = True
        runs = [await create(engine, store=False) for _ in range(3)]
        for run in runs:
            await run.result()
            await over(run)
        await engine.books.settle()
        assert "the ledger cannot be written" in caplog.text
        engine.store.trouble.lasts = False
        await clock.run(60)
        rows = await all_rows(engine, tmp_path)
    assert [row.tokens for row in rows] == [used(7, 3)] * 3
    assert caplog.text.count("the ledger cannot be written") == 1


async def test_a_row_that_no_store_takes_does_not_keep_the_others(tmp_path, caplog):
    async with ledger_stage(tmp_path) as engine:
        runs = [await create(engine, store=False) for _ in range(3)]
        for run in runs:
            await run.result()
        rows = [await row_of(engine, run) for run in runs]
        engine.books.write(msgspec.structs.replace(rows[0], id="first"))
        engine.books.write(msgspec.structs.replace(rows[0], id="broken", asked="\ud800"))
        engine.books.write(msgspec.structs.replace(rows[0], id="last"))
        await engine.books.settle()
        await until(lambda: "the row of broken could not be written" in caplog.text)
        rows = await all_rows(engine, tmp_path)
    assert [row.id for row in rows[-2:]] == ["first", "last"]


async def test_rows_that_memory_has_no_room_for_are_lost_and_the_log_says_so(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(books, "MOST", 2)
    async with ledger_stage(tmp_path) as engine:
        row = await row_of(engine, await create(engine))
        for number in range(4):
            engine.books.write(msgspec.structs.replace(row, id=f"resp_{number}"))
        assert [each.id for each in (await all_rows(engine, tmp_path))[1:]] == ["resp_0", "resp_1"]
    assert "rows are lost from now on" in caplog.text
    assert "2 rows of the ledger are lost" in caplog.text


async def test_what_has_begun_and_ended_at_once_is_written_once(tmp_path, monkeypatch):
    async with ledger_stage(tmp_path) as engine:
        written = []
        write = engine.books.ledger.write
        monkeypatch.setattr(engine.books.ledger, "write", lambda rows: [written.extend(rows), write(rows)][1])
        await row_of(engine, await create(engine, store=False))
    assert [row.outcome for row in written] == ["completed"]


async def test_a_stop_writes_what_is_left(tmp_path):
    async with ledger_stage(tmp_path / "a") as engine:
        run = await create(engine, store=False)
        await run.result()
        await over(run)
    async with ledger_stage(tmp_path / "a") as engine:
        assert (await row_of(engine, run.turn.response_id)).outcome == "completed"


# What a crash leaves


async def interrupted(folder, **body):
    """The files as a kill leaves them while an answer is said, and the run."""
    reached = asyncio.Event()

    def script(_):
        yield []
        yield [Text("abcdef")]
        reached.set()
        yield asyncio.Event()

    async with ledger_stage(folder / "first", script) as engine:
        run = await create(engine, **body)
        await reached.wait()
        await asyncio.sleep(0)
        await engine.books.settle()
        await crash(engine, folder / "second")
    return run


async def test_a_crash_in_an_unstored_answer_costs_its_input(tmp_path):
    run = await interrupted(tmp_path, store=False)
    async with ledger_stage(tmp_path / "second") as engine:
        row = await row_of(engine, run.turn.response_id)
        assert not await engine.books.ledger.running()
    assert (row.outcome, row.error, row.tokens) == ("failed", RESTARTED, used(weight(run), 0))
    assert row.cost == money(weight(run), 0)
    assert row.charges[0].is_estimated


async def test_a_crash_in_a_stored_answer_costs_what_it_had_said(tmp_path):
    run = await interrupted(tmp_path, stream=True)
    async with ledger_stage(tmp_path / "second") as engine:
        row = await row_of(engine, run.turn.response_id)
    assert (row.outcome, row.error, row.tokens) == ("failed", RESTARTED, used(weight(run), 2))
    assert (row.at, row.streamed) == (1_800_000_000.0, True)


async def test_a_background_answer_that_is_taken_over_costs_both_parts(tmp_path):
    run = await interrupted(tmp_path, background=True)
    async with ledger_stage(tmp_path / "second") as engine:
        taken = engine.runs[run.turn.response_id]
        await taken.result()
        row = await row_of(engine, taken)
    assert (row.outcome, [charge.code for charge in row.charges]) == ("completed", [RESTARTED, None])
    assert row.tokens == used(weight(run) + 7, 2 + 3)
    assert row.cost == money(weight(run) + 7, 5)


async def test_a_second_crash_is_charged_too(tmp_path):
    run = await interrupted(tmp_path, background=True)
    reached = asyncio.Event()

    def script(_):
        yield []
        yield [Text("abc")]
        reached.set()
        yield asyncio.Event()

    async with ledger_stage(tmp_path / "second", script) as engine:
        await reached.wait()
        await asyncio.sleep(0)
        await engine.books.settle()
        await crash(engine, tmp_path / "third")
    async with ledger_stage(tmp_path / "third") as engine:
        taken = engine.runs[run.turn.response_id]
        await taken.result()
        row = await row_of(engine, taken)
    assert [charge.code for charge in row.charges] == [RESTARTED, RESTARTED, None]
    assert row.tokens.output == 2 + 1 + 3


async def test_what_a_stop_cut_is_written_and_not_estimated_twice(tmp_path):
    reached = asyncio.Event()

    def script(_):
        yield []
        yield [Text("abcdef")]
        reached.set()
        yield asyncio.Event()

    async with ledger_stage(tmp_path / "a", script) as engine:
        run = await create(engine, background=True)
        await reached.wait()
        await asyncio.sleep(0)
    async with ledger_stage(tmp_path / "a") as engine:
        taken = engine.runs[run.turn.response_id]
        await taken.result()
        row = await row_of(engine, taken)
    assert [(charge.outcome, charge.is_estimated) for charge in row.charges] == [
        ("cancelled", True),
        ("completed", False),
    ]
    assert row.tokens == used(weight(run) + 7, 2 + 3)


async def test_an_answer_whose_row_was_not_written_any_more_costs_what_it_says(tmp_path):
    async with ledger_stage(tmp_path / "a") as engine:
        run = await create(engine)
        await run.result()
        await crash(engine, tmp_path / "b")  # its row is still to come
    async with ledger_stage(tmp_path / "b") as engine:
        row = await row_of(engine, run.turn.response_id)
    assert (row.outcome, row.tokens, row.cost) == ("completed", used(7, 3), money(7, 3))
    assert not row.charges[0].is_estimated
