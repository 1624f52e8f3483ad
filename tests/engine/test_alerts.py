"""Alerts: once for each threshold and window, over restarts too, however often sending fails. On virtual time."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from antiphon.engine.accounts import OPEN
from antiphon.engine.alerts import WAITS
from antiphon.engine.engine import Engine
from antiphon.policy import spending
from antiphon.policy.directory import Change
from antiphon.testing import FakeClock
from antiphon.wire.admin.spend import NotificationChannel, SpendAlertRequest
from antiphon.wire.errors import QuotaExceeded, Unavailable
from tests.engine.till_stage import answer, begin, budget, till_stage, whole
from tests.support.money import Heard
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


async def told(engine: Engine) -> None:
    """Let all that can be sent now be sent."""
    assert engine.till.alerts is not None
    await asyncio.sleep(0)
    await until(lambda: engine.till.alerts.is_idle, 30)


async def test_rule_19_the_alert_at_80_percent_is_sent_once_a_window_not_once_a_request(tmp_path: Path):
    clock, heard = FakeClock(), Heard()
    async with till_stage(tmp_path, answer(10), clock=clock, sinks=[heard]) as engine:
        await budget(engine, "0.2", window="daily", thresholds=[Decimal("0.8")])
        for _ in range(7):
            await whole(engine)
        await told(engine)
        assert heard.alerts == []
        for _ in range(10):
            await whole(engine)
        await told(engine)
        (alert,) = heard.alerts
        assert (alert.threshold, alert.spent, alert.amount) == (Decimal("0.8"), Decimal("0.160"), Decimal("0.2"))
        assert (alert.scope, alert.owner, alert.window) == ("project", "default", "daily")
        await clock.advance(86_400)
        for _ in range(17):
            await whole(engine)
        await told(engine)
        assert len(heard.alerts) == 2


async def test_rule_19_a_refusal_at_the_end_of_a_budget_tells_once_that_it_is_spent(tmp_path: Path):
    heard = Heard()
    async with till_stage(tmp_path, answer(19), sinks=[heard]) as engine:
        await budget(engine, "0.02")
        await whole(engine, max_output_tokens=19)
        for _ in range(5):
            with pytest.raises(QuotaExceeded):
                await begin(engine)
        await told(engine)
        assert [(alert.threshold, alert.refused) for alert in heard.alerts] == [(Decimal("0.8"), False), (1, True)]


async def test_an_alert_is_not_repeated_by_a_restart(tmp_path: Path):
    clock, first, second = FakeClock(), Heard(), Heard()
    async with till_stage(tmp_path, answer(16), clock=clock, sinks=[first]) as engine:
        await budget(engine, "0.02", hard=False)
        await whole(engine)
        await told(engine)
    async with till_stage(tmp_path, answer(1), clock=clock, sinks=[second]) as engine:
        await whole(engine)
        await told(engine)
    assert len(first.alerts) == 1
    assert second.alerts == []


async def test_what_a_server_could_not_send_its_next_start_sends(tmp_path: Path):
    clock = FakeClock()
    dead, alive = Heard("email", *[Unavailable("Dead.")] * 99), Heard("email")
    async with till_stage(tmp_path, answer(16), clock=clock, sinks=[dead]) as engine:
        await budget(engine, "0.02")
        await whole(engine)
        await told(engine)
    async with till_stage(tmp_path, clock=clock, sinks=[alive]) as engine:
        await told(engine)
    assert dead.tried
    assert len(alive.alerts) == 1


async def test_a_dead_sink_hurts_no_request_and_is_tried_again_after_longer_and_longer_waits(tmp_path: Path, caplog):
    clock, heard = FakeClock(), Heard("webhook", *[Unavailable("Dead.")] * 3)
    async with till_stage(tmp_path, answer(16), clock=clock, sinks=[heard]) as engine:
        await budget(engine, "0.02", hard=False, thresholds=[Decimal("0.8")])
        await whole(engine)
        await told(engine)
        for tried, wait in enumerate(WAITS[:3], 1):
            assert (await whole(engine)).status == "completed"
            await clock.advance(wait - 0.5)
            await told(engine)
            assert (heard.tried, heard.alerts) == (tried, [])
            await clock.advance(0.5)
            await told(engine)
        assert (heard.tried, len(heard.alerts)) == (4, 1)


async def test_a_sink_that_stays_dead_is_given_up_and_the_log_has_the_alert(tmp_path: Path, caplog):
    clock, heard = FakeClock(), Heard("webhook", *[Unavailable("Dead.")] * 99)
    async with till_stage(tmp_path, answer(8), clock=clock, sinks=[heard]) as engine:
        await budget(engine, "0.01", hard=False, thresholds=[Decimal("0.8")])
        await whole(engine)
        await told(engine)
        for wait in WAITS:
            await clock.advance(wait)
            await told(engine)
        assert heard.tried == len(WAITS) + 1
        assert "Project default has spent $0.008 of its monthly budget of $0.01 (80 % is reached)." in caplog.text
        assert "is not sent by webhook any more" in caplog.text


async def test_every_way_is_gone_and_one_does_not_wait_for_another(tmp_path: Path):
    dead, alive = Heard("webhook", *[Unavailable("Dead.")] * 99), Heard("email")
    async with till_stage(tmp_path, answer(8), sinks=[dead, alive]) as engine:
        await budget(engine, "0.01", hard=False, thresholds=[Decimal("0.8")])
        await whole(engine)
        await told(engine)
        assert len(alive.alerts) == 1


async def test_a_spend_alert_tells_its_recipients_when_so_much_is_spent(tmp_path: Path):
    heard = Heard()
    channel = NotificationChannel(type="email", recipients=["ops@example.com"], subject_prefix="[Money]")
    asked = SpendAlertRequest(threshold_amount=2, currency="USD", interval="month", notification_channel=channel)
    async with till_stage(tmp_path, answer(8), sinks=[heard]) as engine:
        await engine.accounts.edit(OPEN, lambda edit: spending.put_alert(edit, "organization", "default", asked))
        for _ in range(2):
            await whole(engine)
        await told(engine)
        assert heard.alerts == []
        for _ in range(3):
            await whole(engine)
        await told(engine)
        (alert,) = heard.alerts
        assert (alert.recipients, alert.subject_prefix) == (("ops@example.com",), "[Money]")
        assert (alert.spent, alert.amount) == (Decimal("0.024"), Decimal("0.02"))


async def test_a_budget_that_is_raised_tells_again_when_its_new_threshold_is_reached(tmp_path: Path):
    heard = Heard()
    async with till_stage(tmp_path, answer(8), sinks=[heard]) as engine:
        await budget(engine, "0.01", hard=False, thresholds=[Decimal("0.8")])
        await whole(engine)
        await budget(engine, "0.02", hard=False, thresholds=[Decimal("0.8")])
        await whole(engine)
        await told(engine)
        assert [alert.amount for alert in heard.alerts] == [Decimal("0.01"), Decimal("0.02")]


async def test_a_budget_that_is_set_to_another_window_and_back_tells_nothing_twice(tmp_path: Path):
    heard = Heard()
    async with till_stage(tmp_path, answer(8), sinks=[heard]) as engine:
        first = await budget(engine, "0.01", hard=False, thresholds=[Decimal("0.8")])
        await whole(engine)
        for window in ("daily", "monthly"):
            row = msgspec.structs.replace(first, window=window)
            await engine.accounts.change(lambda directory, now, row=row: (Change([row]), None))
        await told(engine)
        assert [alert.window for alert in heard.alerts] == ["monthly", "daily"]


async def test_nothing_is_told_while_the_log_is_all_there_is_but_the_log(tmp_path: Path, caplog):
    with caplog.at_level(logging.WARNING):
        async with till_stage(tmp_path, answer(8)) as engine:
            await budget(engine, "0.01", hard=False, thresholds=[Decimal("0.8")])
            await whole(engine)
            await told(engine)
    assert caplog.text.count("Project default has spent") == 1
