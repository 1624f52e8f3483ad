"""The till: rules 17 to 21, on virtual time; and what a key, a project and an organization may use and spend."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from antiphon.engine.accounts import OPEN
from antiphon.engine.cached import Answers, Cached, CacheOptions
from antiphon.engine.engine import Engine
from antiphon.engine.moderation import Moderation
from antiphon.engine.run import Stop
from antiphon.engine.till import Asking, payer_of
from antiphon.models.moderators import Judge
from antiphon.policy import spending
from antiphon.policy.directory import EVERY_OTHER
from antiphon.testing import FakeClock, MemoryCache, ScriptedModel
from antiphon.turn.deltas import Finished, Text, Usage
from antiphon.turn.trace import Trace
from antiphon.wire.admin.limits import UNLIMITED
from antiphon.wire.errors import QuotaExceeded, RateLimited, ServerError, Unavailable
from antiphon.wire.moderations import CreateModeration
from antiphon.wire.response import Response
from antiphon.wire.response import Usage as Figures
from antiphon.wire.struct import encode
from tests.engine.ledger_stage import lines_of
from tests.engine.stage import crash, text_of
from tests.engine.till_stage import answer, asks, begin, budget, left, limit, over, till_stage, whole
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

TOKEN = Decimal("0.001")
"""What a token of output costs here."""


def words(ended: Response) -> str:
    """All that a response says."""
    return text_of(msgspec.json.decode(encode(ended)))


async def written(engine: Engine) -> None:
    """Wait until the ledger has all that was handed over."""
    await engine.journal.barrier()
    await engine.store.look(lambda _: None)


# Rule 17: reserve before the call, settle with what was used, give back what was not


async def test_rule_17_the_cost_is_held_before_the_call_and_what_was_not_used_comes_back(tmp_path: Path):
    going = asyncio.Event()
    script = [[], [Text("abc")], going, *answer(8)[1:]]
    async with till_stage(tmp_path, lambda _: script) as engine:
        await budget(engine, "1")
        run = await begin(engine)
        assert left(engine) == 1 - 4 * 16 * TOKEN  # before the model has said anything
        going.set()
        await run.result()
        await over(run)
        assert left(engine) == 1 - 8 * TOKEN


@pytest.mark.parametrize(
    ("dollars", "requested", "upstream"),
    [("1", None, 16), ("1", 20, 20), ("0.017", 400, 17), ("0.017", None, 16)],
    ids=["the model's default", "what is requested", "what the budget allows", "the least of both"],
)
async def test_rule_17_the_smallest_of_three_caps_goes_upstream(tmp_path: Path, dollars, requested, upstream):
    model = ScriptedModel(answer(8))
    async with till_stage(tmp_path, model=model) as engine:
        await budget(engine, dollars)
        await whole(engine, **({} if requested is None else {"max_output_tokens": requested}))
        assert [asks(turn) for turn in model.turns] == [upstream]


async def test_without_a_hard_budget_nothing_is_capped(tmp_path: Path):
    model = ScriptedModel(answer(8))
    async with till_stage(tmp_path, model=model) as engine:
        await whole(engine)
        await budget(engine, "0.001", hard=False)
        await whole(engine)
        await whole(engine, max_output_tokens=500)
        assert [asks(turn) for turn in model.turns] == [None, None, 500]


async def test_rule_17_a_stream_is_stopped_at_its_reservation_and_ends_incomplete(tmp_path: Path):
    endless = [*answer(1_000, usage=False)[:-1], asyncio.Event()]  # keeps to no cap, tells no usage, never ends
    model = ScriptedModel(lambda _: endless)
    async with till_stage(tmp_path, model=model) as engine:
        await budget(engine, "0.020")
        ended = await whole(engine, max_output_tokens=800)
        assert ended.status == "incomplete"
        assert ended.incomplete_details is not None
        assert ended.incomplete_details.reason == "max_output_tokens"
        assert words(ended) == "abc" * 20
        assert ended.usage is not None
        assert ended.usage.output_tokens == 20
        assert ended.max_output_tokens == 800  # as it was asked for
        assert left(engine) == 0
        assert model.open == 0


@pytest.mark.parametrize("failure", ["refused", "failed"])
async def test_rule_17_a_request_that_failed_gives_its_reservation_back(tmp_path: Path, failure: str):
    script = [Unavailable("Gone.")] if failure == "refused" else [[], ServerError("Broken.")]
    async with till_stage(tmp_path, script, hold=0.0 if failure == "failed" else 3600.0) as engine:
        await budget(engine, "1")
        run = await begin(engine)
        await over(run)
        assert left(engine) == 1


async def test_rule_17_a_crash_between_reserve_and_settle_heals(tmp_path: Path):
    """What is held dies with its process; what was spent is read from the ledger."""
    clock = FakeClock()
    scripts = iter([answer(8), [[], asyncio.Event()]])
    async with till_stage(tmp_path, lambda _: next(scripts), clock=clock) as engine:
        await budget(engine, "1")
        await whole(engine)
        await begin(engine, background=True)
        assert left(engine) == 1 - 8 * TOKEN - 64 * TOKEN
        await written(engine)
        await crash(engine, tmp_path / "after" / "store")
    async with till_stage(tmp_path / "after", answer(3), clock=clock) as engine:
        assert 1 - 8 * TOKEN - 64 * TOKEN <= left(engine) <= 1 - 8 * TOKEN


async def test_work_that_a_start_takes_over_is_held_again(tmp_path: Path):
    clock, stuck = FakeClock(), asyncio.Event()
    async with till_stage(tmp_path, [[], stuck], clock=clock) as engine:
        await budget(engine, "1")
        await begin(engine, background=True)
        await written(engine)
        await crash(engine, tmp_path / "after" / "store")
    async with till_stage(tmp_path / "after", [[], stuck, *answer(3)[1:]], clock=clock) as engine:
        for _ in range(100):
            await asyncio.sleep(0.001)
        assert left(engine) == 1 - 64 * TOKEN
        (run,) = engine.runs.values()
        stuck.set()
        await over(run)
        assert left(engine) == 1 - 3 * TOKEN


# Rule 18: what has no price


async def test_rule_18_a_model_without_a_price_is_refused_under_a_hard_budget_only(tmp_path: Path):
    async with till_stage(tmp_path, price=None) as engine:
        assert (await whole(engine)).status == "completed"
        await budget(engine, "100", hard=False)
        assert (await whole(engine)).status == "completed"
        await budget(engine, "100")
        with pytest.raises(QuotaExceeded, match="price of this model is unknown") as caught:
            await begin(engine)
        assert caught.value.should_retry is False


# Rule 19: refused at 100 %


async def test_rule_19_at_100_percent_a_request_is_refused_and_not_to_be_tried_again(tmp_path: Path):
    model = ScriptedModel(answer(16))
    async with till_stage(tmp_path, model=model) as engine:
        await budget(engine, "0.016")
        await whole(engine)
        with pytest.raises(QuotaExceeded, match="used up the monthly budget of project default") as caught:
            await begin(engine)
        assert (caught.value.status, caught.value.type) == (429, "insufficient_quota")
        assert caught.value.should_retry is False
        assert len(model.turns) == 1


async def test_what_running_requests_hold_may_be_asked_for_again(tmp_path: Path):
    async with till_stage(tmp_path, [[], asyncio.Event()]) as engine:
        await budget(engine, "0.064")
        run = await begin(engine)
        with pytest.raises(QuotaExceeded, match="held by requests that are running") as caught:
            await begin(engine)
        assert (caught.value.should_retry, caught.value.retry_after) == (True, 1.0)
        run.end(Stop("cancelled"))
        await over(run)
        await begin(engine)


@pytest.mark.parametrize(("window", "seconds"), [("hourly", 3_600), ("daily", 86_400), ("monthly", 31 * 86_400)])
async def test_a_budget_begins_anew_with_its_window(tmp_path: Path, window: str, seconds: int):
    clock = FakeClock()
    async with till_stage(tmp_path, answer(16), clock=clock) as engine:
        await budget(engine, "0.016", window=window)
        await whole(engine)
        with pytest.raises(QuotaExceeded):
            await begin(engine)
        await clock.advance(seconds)
        assert (await whole(engine)).status == "completed"


# Rule 20: what was delivered is charged


@pytest.mark.parametrize("end", ["cancelled", "cut", "failed"])
async def test_rule_20_a_stream_that_was_cancelled_cut_or_failed_is_charged_what_was_said(tmp_path: Path, end: str):
    going = asyncio.Event()
    script = [[], *([Text("abc")] for _ in range(10)), going, ServerError("Broken.")]
    async with till_stage(tmp_path, lambda _: script) as engine:
        await budget(engine, "1")
        run = await begin(engine, background=end == "cancelled", stream=True)
        while run.machine.fold.output() == [] or "abc" * 10 not in repr(run.machine.fold.output()):  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        if end == "failed":
            going.set()
        else:
            run.end(Stop("cancelled"))
        await over(run)
        spent = 1 - (left(engine) or 0)
        assert 10 * TOKEN <= spent <= 64 * TOKEN


# Rule 21: many at once


async def test_rule_21_200_concurrent_streams_overspend_a_budget_of_one_cent_by_at_most_one_request(tmp_path: Path):
    going = asyncio.Event()
    model = ScriptedModel(lambda _: [[], going, *answer(2)[1:]])
    async with till_stage(tmp_path, model=model, price=(0.0, 100.0)) as engine:
        await budget(engine, "0.01")

        async def one() -> str:
            try:
                run = await begin(engine, stream=True)
            except QuotaExceeded:
                return "refused"
            await run.result()
            await over(run)
            return "served"

        asking = [asyncio.create_task(one()) for _ in range(200)]
        while len(model.turns) + sum(task.done() for task in asking) < 200:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        going.set()
        ends = await asyncio.gather(*asking)
        assert "served" in ends
        assert "refused" in ends
        assert len(model.turns) == ends.count("served")
        spent = engine.till.spent.of("monthly", "project", "default", engine.clock.now())
        assert spent == ends.count("served") * 2 * Decimal("0.0001")
        assert spent <= Decimal("0.01") + 2 * Decimal("0.0001")


async def test_rule_21_200_judgements_at_once_overspend_a_budget_by_at_most_one(tmp_path: Path):
    going, clock = asyncio.Event(), FakeClock()
    used = [Usage(Figures(input_tokens=10, output_tokens=8, total_tokens=18)), Finished()]
    model = ScriptedModel(lambda _: [[], going, [Text("{}")], used])
    _, attempts = lines_of((model,), clock)
    moderation = Moderation({"judge": Judge(lambda: attempts, "scripted")})
    async with till_stage(tmp_path, clock=clock, model=model, moderation=moderation) as engine:
        await budget(engine, "0.2")  # three at 4 x 16 tokens; each takes 8

        async def one(words: str | list[str]) -> str:
            try:
                await engine.moderations.create("default", CreateModeration(input=words), Trace())
            except QuotaExceeded:
                return "refused"
            return "served"

        asking = [asyncio.create_task(one("Hi.")) for _ in range(200)]
        await until(lambda: len(model.turns) + sum(task.done() for task in asking) >= 200)
        assert left(engine) == Decimal("0.2") - 3 * 4 * 16 * TOKEN
        going.set()
        assert Counter(await asyncio.gather(*asking)) == {"served": 3, "refused": 197}
        assert left(engine) == Decimal("0.2") - 3 * 8 * TOKEN
        going.clear()
        two = asyncio.create_task(one(["Hi.", "Ho."]))
        await until(lambda: len(model.turns) == 5)
        assert left(engine) == Decimal("0.176") - 2 * 4 * 16 * TOKEN
        going.set()
        assert await two == "served"


async def test_a_judge_whose_model_is_not_there_is_no_fault_of_who_asks(tmp_path: Path):
    moderation = Moderation({"judge": Judge(lambda: ScriptedModel(), "gone")})
    async with till_stage(tmp_path, moderation=moderation) as engine:
        with pytest.raises(Unavailable, match="'gone' does not exist"):
            await engine.moderations.create("default", CreateModeration(input="Hi."), Trace())


async def test_rule_18_a_judge_without_a_price_is_refused_under_a_hard_budget_only(tmp_path: Path):
    model = ScriptedModel([[], [Text("{}")], [Finished()]])
    moderation = Moderation({"judge": Judge(lambda: model, "scripted")})
    async with till_stage(tmp_path, model=model, price=None, moderation=moderation) as engine:
        await engine.moderations.create("default", CreateModeration(input="Hi."), Trace())
        await budget(engine, "100")
        with pytest.raises(QuotaExceeded, match="price of this model is unknown"):
            await engine.moderations.create("default", CreateModeration(input="Hi."), Trace())


async def test_rule_21_holds_for_answers_that_are_longer_than_they_should_be(tmp_path: Path):
    script = answer(500, usage=False)
    async with till_stage(tmp_path, lambda _: script, price=(0.0, 100.0)) as engine:
        await budget(engine, "0.01")
        runs = await asyncio.gather(*(begin(engine, stream=True) for _ in range(200)), return_exceptions=True)
        served = [run for run in runs if not isinstance(run, BaseException)]
        for run in served:
            await run.result()
            await over(run)
        assert served
        assert all(isinstance(run, QuotaExceeded) for run in runs if run not in served)
        assert left(engine) >= 0


# Whose budgets


async def test_each_of_key_project_and_organization_is_charged_and_the_first_that_is_spent_refuses(tmp_path: Path):
    from antiphon.policy import administration as act

    async with till_stage(tmp_path, answer(16)) as engine:

        def make(edit):
            account = act.create_account(edit, "default", "bot")
            edit.directory = edit.directory.after(edit.change())
            return [act.create_key(edit, "default", account, name).key for name in ("one", "two")]

        one, two = await engine.accounts.edit(OPEN, make)
        await budget(engine, "0.016", scope="key", owner=one.id, window="daily")
        await budget(engine, "0.048")
        await budget(engine, "10", scope="organization", owner="default")

        async def ask(key_id: str) -> None:
            who = msgspec.structs.replace(OPEN, key_id=key_id)
            run = await begin(engine, who)
            await run.result()
            await over(run)

        await ask(one.id)
        with pytest.raises(QuotaExceeded, match=f"daily budget of key {one.id}"):
            await ask(one.id)
        await ask(two.id)
        await ask(two.id)
        with pytest.raises(QuotaExceeded, match="monthly budget of project default"):
            await ask(two.id)
        assert engine.till.budgets.available(payer_of("default", "proj_other", ""), engine.clock.now()) == Decimal(
            "9.952"
        )


async def test_a_budget_that_is_made_or_changed_in_its_window_knows_what_was_spent(tmp_path: Path):
    async with till_stage(tmp_path) as engine:
        await whole(engine)
        await budget(engine, "1")
        assert left(engine) == 1 - 8 * TOKEN
        await budget(engine, "0.002")
        assert left(engine) == 0
        await engine.accounts.edit(OPEN, lambda edit: spending.remove_budget(edit, "project", "default", "monthly"))
        assert left(engine) is None
        assert (await whole(engine)).status == "completed"


async def test_work_that_ends_after_its_window_is_spent_in_the_one_in_which_it_began(tmp_path: Path):
    clock, going = FakeClock(), asyncio.Event()
    async with till_stage(tmp_path, [[], going, *answer(8)[1:]], clock=clock) as engine:
        run = await begin(engine)
        await clock.advance(3_600)
        going.set()
        await over(run)
        await budget(engine, "1", window="hourly")
        assert left(engine) == 1
        await budget(engine, "1", window="daily")
        assert left(engine) == 1 - 8 * TOKEN


async def test_what_was_spent_outlives_a_restart(tmp_path: Path):
    clock = FakeClock()
    async with till_stage(tmp_path, clock=clock) as engine:
        await budget(engine, "1")
        await whole(engine)
    async with till_stage(tmp_path, clock=clock) as engine:
        assert left(engine) == 1 - 8 * TOKEN


# Rate limits


async def test_a_limit_of_requests_refuses_the_next_one_and_says_when_to_come_again(tmp_path: Path):
    clock = FakeClock()
    async with till_stage(tmp_path, clock=clock) as engine:
        await limit(engine, max_requests_per_1_minute=2)
        await whole(engine)
        await whole(engine)
        with pytest.raises(RateLimited, match=r"requests per min \(RPM\): Limit 2") as caught:
            await begin(engine)
        assert caught.value.code == "rate_limit_exceeded"
        assert caught.value.retry_after == pytest.approx(30)
        await clock.advance(30)
        await whole(engine)


async def test_a_limit_of_tokens_counts_what_was_used(tmp_path: Path):
    async with till_stage(tmp_path, answer(90)) as engine:
        await limit(engine, max_tokens_per_1_minute=100)
        await whole(engine)
        told = engine.till.headers(payer_of("default", "default", ""), "default", "scripted")
        assert told == {
            "x-ratelimit-limit-tokens": "100",
            "x-ratelimit-remaining-tokens": "10",
            "x-ratelimit-reset-tokens": "54s",
        }
        with pytest.raises(RateLimited, match="tokens per min"):
            await begin(engine, max_output_tokens=50)


def tokens_left(engine: Engine) -> int:
    told = engine.till.headers(payer_of("default", "default", ""), "default", "scripted")
    return int(told["x-ratelimit-remaining-tokens"])


@pytest.mark.parametrize("end", ["cancelled", "failed"])
async def test_a_stream_that_has_no_end_counts_against_limits_of_tokens_by_what_it_said(tmp_path: Path, end: str):
    going = asyncio.Event()
    model, clock = ScriptedModel([[], *([Text("abc")] for _ in range(10)), going, ServerError("Broken.")]), FakeClock()
    _, attempts = lines_of((model,), clock)
    async with till_stage(tmp_path, clock=clock, model=model, around=lambda _: attempts) as engine:
        await limit(engine, max_tokens_per_1_minute=1_000)
        run = await begin(engine, background=end == "cancelled", stream=True)
        await until(lambda: "abc" * 10 in repr(run.machine.fold.output()))
        if end == "failed":
            going.set()
        else:
            run.end(Stop("cancelled"))
        await over(run)
        assert 900 <= tokens_left(engine) <= 990


async def test_an_answer_of_the_cache_uses_no_tokens_of_a_limit(tmp_path: Path):
    clock = FakeClock()
    answers = Answers(MemoryCache(max_bytes=2**20, now=clock.now), clock, CacheOptions())
    around = lambda inner: Cached(inner, answers, b"x")  # noqa: E731 - one line says it
    async with till_stage(tmp_path, answer(90), clock=clock, around=around) as engine:
        await limit(engine, max_tokens_per_1_minute=1_000)
        await whole(engine)
        assert tokens_left(engine) == 910
        run = await begin(engine)
        await over(run)
        assert run.turn.trace.cache == "hit"
        assert tokens_left(engine) == 910


async def test_a_request_that_no_limit_will_ever_hold_is_not_to_be_tried_again(tmp_path: Path):
    async with till_stage(tmp_path) as engine:
        await limit(engine, max_tokens_per_1_minute=10)
        with pytest.raises(RateLimited, match="Request too large") as caught:
            await begin(engine, max_output_tokens=500)
        assert caught.value.should_retry is False


async def test_what_was_refused_by_a_budget_has_used_no_limit(tmp_path: Path):
    async with till_stage(tmp_path) as engine:
        await limit(engine, max_requests_per_1_minute=1)
        await budget(engine, "0.001")
        with pytest.raises(QuotaExceeded):
            await begin(engine)
        told = engine.till.headers(payer_of("default", "default", ""), "default", "scripted")
        assert told["x-ratelimit-remaining-requests"] == "1"


async def test_models_without_limits_of_their_own_share_those_of_every_other(tmp_path: Path):
    async with till_stage(tmp_path) as engine:
        await limit(engine, EVERY_OTHER, max_requests_per_1_minute=1)
        await whole(engine)
        with pytest.raises(RateLimited):
            await begin(engine)
        await limit(engine, max_requests_per_1_minute=UNLIMITED)
        await whole(engine)


async def test_made_up_names_get_no_limit_each_and_take_no_memory(tmp_path: Path):
    async with till_stage(tmp_path) as engine:
        await limit(engine, EVERY_OTHER, max_requests_per_1_minute=1_500)
        payer, ends = payer_of("default", "default", ""), Counter[str]()
        for number in range(2_000):
            wants = Asking(id=f"work_{number}", payer=payer, project="default", model=f"m{number}", input=lambda: 1)
            try:
                engine.till.admit(wants)
            except RateLimited:
                ends["refused"] += 1
        assert ends == {"refused": 500}
        assert len(engine.till.held) == 1_500
        assert engine.till.headers(payer, "default", "m1999")["x-ratelimit-remaining-requests"] == "0"
        assert engine.till.headers(payer, "default", "never seen")["x-ratelimit-remaining-requests"] == "0"
        for number in range(1_500):
            engine.till.release(f"work_{number}")
        assert engine.till.headers(payer, "default", "m1")["x-ratelimit-remaining-requests"] == "1500"


async def test_what_all_names_used_of_a_shared_limit_of_a_day_outlives_a_restart(tmp_path: Path):
    clock = FakeClock()
    async with till_stage(tmp_path, clock=clock) as engine:
        await limit(engine, "another", max_requests_per_1_day=24)
        await limit(engine, EVERY_OTHER, max_requests_per_1_day=24)
        for _ in range(3):
            await whole(engine)
    await clock.advance(3_600)
    async with till_stage(tmp_path, clock=clock) as engine:
        wants = Asking(id="work_1", payer=payer_of("default", "default", ""), project="default", model="m", input=int)
        engine.till.admit(wants)
        found = engine.till.headers(wants.payer, "default", "m")["x-ratelimit-remaining-requests"]
        assert found in ("21", "22")
        engine.till.admit(msgspec.structs.replace(wants, id="work_2", model="another"))
        assert engine.till.headers(wants.payer, "default", "another")["x-ratelimit-remaining-requests"] == "23"


async def test_of_many_budgets_only_the_one_that_changed_is_put_again(tmp_path: Path, monkeypatch):
    async with till_stage(tmp_path) as engine:
        for window in ("hourly", "daily", "monthly"):
            await budget(engine, "1", window=window)
        put, names = engine.till.budgets.put, []

        class Watched(type(engine.till.budgets)):
            def put(self, settings, *rest):
                names.append(settings.window)
                return put(settings, *rest)

        watching = Watched()
        for name in ("_budgets", "_of", "_open"):
            setattr(watching, name, getattr(engine.till.budgets, name))
        engine.till.budgets = watching
        await budget(engine, "0.5", window="daily")
        await limit(engine, max_requests_per_1_minute=1)
        assert names == ["daily"]
        assert left(engine) == Decimal("0.5")


async def test_a_limit_that_is_changed_counts_at_once(tmp_path: Path):
    async with till_stage(tmp_path) as engine:
        await limit(engine, max_requests_per_1_minute=1)
        await whole(engine)
        with pytest.raises(RateLimited):
            await begin(engine)
        await limit(engine, max_requests_per_1_minute=5)
        await whole(engine)
        await engine.accounts.edit(OPEN, lambda edit: spending.remove_limit(edit, "default", "scripted"))
        for _ in range(9):
            await whole(engine)
        await limit(engine, max_requests_per_1_minute=1)
        await whole(engine)


async def test_a_limit_of_a_day_outlives_a_restart(tmp_path: Path):
    clock = FakeClock()
    async with till_stage(tmp_path, answer(8), clock=clock) as engine:
        await limit(engine, max_requests_per_1_day=24, max_tokens_per_1_day=240)
        for _ in range(3):
            await whole(engine)
    await clock.advance(3_600)
    async with till_stage(tmp_path, clock=clock) as engine:
        await whole(engine)
        told = engine.till.headers(payer_of("default", "default", ""), "default", "scripted")
        assert told["x-ratelimit-remaining-requests"] in ("21", "22")
        assert 208 <= int(told["x-ratelimit-remaining-tokens"]) <= 220


async def test_nothing_is_held_for_a_request_whose_input_was_refused(tmp_path: Path):
    class Refusing:
        def plan(self, *_, **__):
            raise ServerError("No moderator.")

    async with till_stage(tmp_path) as engine:
        await budget(engine, "1")
        await limit(engine, max_requests_per_1_minute=1)
        moderation, engine.moderation = engine.moderation, Refusing()
        with pytest.raises(ServerError):
            await begin(engine)
        engine.moderation = moderation
        assert left(engine) == 1
        await whole(engine)


async def test_a_turn_that_stops_at_its_cap_by_itself_is_not_cut(tmp_path: Path):
    script = [*answer(16)[:-1], [*answer(16)[-1][:-1], Finished("max_output_tokens")]]
    async with till_stage(tmp_path, script) as engine:
        await budget(engine, "1")
        ended = await whole(engine)
        assert words(ended) == "abc" * 16
        assert left(engine) == 1 - 16 * TOKEN
