"""Alerts on their way: a webhook that the official SDK accepts, mail in a real SMTP session."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from decimal import Decimal
from pathlib import Path

import openai
import pytest

from antiphon.config.load import load
from antiphon.config.settings import ConfigError
from antiphon.observe.alerts import Email, Mailbox, Webhook
from antiphon.plugins import alert_sinks
from antiphon.policy.alert import EVENT, subject, text
from antiphon.testing.contracts.alerts import alert
from antiphon.wire.errors import Unavailable
from tests.engine.till_stage import answer, budget, till_stage, whole
from tests.support.money import PostOffice, hook, post_office

pytestmark = pytest.mark.anyio

SECRETS = ["whsec_" + b64encode(b"0123456789abcdef01234567").decode(), "a plain secret of the tests"]


def mailbox(office: PostOffice, **how) -> Mailbox:
    given = {"host": "127.0.0.1", "port": office.port, "security": "none", "sender": "antiphon@example.com", **how}
    return Mailbox(**given)


# Webhooks


@pytest.mark.parametrize("secret", SECRETS)
async def test_the_official_sdk_accepts_the_signature_of_a_webhook_and_no_other(secret: str):
    import time

    async with hook() as caught:
        await Webhook(caught.url, secret, time.time).send(alert())
    ((body, headers),) = caught.came
    with openai.OpenAI(api_key="none", webhook_secret=secret) as client:
        event = client.webhooks.unwrap(body, headers)
        client.webhooks.verify_signature(body, headers)
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.unwrap(body.replace(b"1.20", b"0.20"), headers)
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.unwrap(body, {**headers, "webhook-id": "evt_other"})
        with pytest.raises(openai.InvalidWebhookSignatureError):
            client.webhooks.unwrap(body, headers, secret="another secret")
    assert (event.id, event.type) == (alert().id, EVENT)
    assert json.loads(body)["data"]["spent"] == "1.20"


async def test_an_alert_that_is_sent_again_has_the_same_id_so_that_its_receiver_sees_it():
    async with hook() as caught:
        sink = Webhook(caught.url, "", lambda: 1.0)
        await sink.send(alert(at=1.0))
        await sink.send(alert(at=2.0))
    assert {headers["webhook-id"] for _, headers in caught.came} == {alert().id}
    assert "webhook-signature" not in caught.came[0][1]


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_whatever_is_no_2xx_is_a_failure(status: int):
    async with hook(status) as caught:
        with pytest.raises(Unavailable, match=str(status)):
            await Webhook(caught.url, "", lambda: 1.0).send(alert())


async def test_nobody_at_the_address_is_a_failure():
    async with hook() as caught:
        pass
    with pytest.raises(Unavailable, match="cannot be reached"):
        await Webhook(caught.url, "", lambda: 1.0).send(alert())


# Mail


async def test_rule_19_the_alert_at_80_percent_arrives_once_in_a_real_mailbox_and_once_at_a_signed_webhook(
    tmp_path: Path,
):
    import time

    async with post_office() as office, hook(500) as caught:
        sinks = [Email(mailbox(office, recipients=("ops@example.com",))), Webhook(caught.url, SECRETS[0], time.time)]
        async with till_stage(tmp_path, answer(10), sinks=sinks) as engine:
            await budget(engine, "0.1", hard=False, thresholds=[Decimal("0.8")])
            for _ in range(12):
                await whole(engine)
            await asyncio.wait_for(office.arrived.wait(), 10)
            while not caught.came:  # noqa: ASYNC110 - what failed is tried again after a second
                await asyncio.sleep(0.001)
            await asyncio.sleep(0)
            while not engine.clock.waiting:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            await engine.clock.advance(1.0)
            await asyncio.wait_for(caught.arrived.wait(), 10)
    (mail,) = office.mails
    assert mail["Subject"] == "80 % of the monthly budget of project default is spent"
    assert "has spent $0.08 of its monthly budget of $0.10" in mail.get_content()
    assert office.recipients == [["ops@example.com"]]
    assert len(caught.came) == 2
    with openai.OpenAI(api_key="none", webhook_secret=SECRETS[0]) as client:
        assert client.webhooks.unwrap(*caught.came[1]).type == EVENT


async def test_mail_goes_to_whom_an_alert_names_else_to_whom_the_settings_name():
    import msgspec

    named = msgspec.structs.replace(alert(), recipients=("a@b.example", "c@b.example"), subject_prefix="[Geld für é]")
    async with post_office() as office:
        sink = Email(mailbox(office, recipients=("ops@example.com",), user="antiphon", password="correct"))
        await sink.send(named)
        await sink.send(alert())
    assert office.recipients == [["a@b.example", "c@b.example"], ["ops@example.com"]]
    assert office.mails[0]["Subject"] == subject(named)
    assert office.mails[0]["Subject"].startswith("[Geld für é] 80 %")
    assert office.mails[0].get_content().strip() == text(named)
    assert len(office.logins) == 2
    assert Email(mailbox(office)).takes(named)
    assert not Email(mailbox(office)).takes(alert())


async def test_a_mail_server_without_starttls_gets_no_mail_and_no_password():
    async with post_office() as office:
        sink = Email(mailbox(office, security="starttls", recipients=("a@b.example",), user="u", password="p"))
        with pytest.raises(Unavailable, match="STARTTLS"):
            await sink.send(alert())
    assert (office.mails, office.logins) == ([], [])


async def test_a_mail_server_that_is_down_is_a_failure():
    async with post_office() as office:
        pass
    with pytest.raises(Unavailable, match="mail server"):
        await Email(mailbox(office, recipients=("a@b.example",))).send(alert())


# Settings


def test_the_settings_make_the_sinks(tmp_path: Path):
    (tmp_path / "antiphon.toml").write_text(
        '[alerts]\nwebhook_url = "https://hooks.example/a"\nsmtp_host = "mail.example"\n'
        'email_from = "antiphon@example.com"\nemail_to = ["ops@example.com"]\n'
    )
    environ = {"HOME": "/", "ANTIPHON_ALERTS_WEBHOOK_SECRET": SECRETS[0], "ANTIPHON_ALERTS_SMTP_PORT": "2525"}
    config = load(environ=environ, folder=tmp_path)
    assert [sink.name for sink in alert_sinks(config, lambda: 1.0)] == ["webhook", "email"]
    assert config.alerts.smtp_port == 2525
    assert SECRETS[0] not in repr(config)
    assert alert_sinks(load(environ={"HOME": "/"}, folder=tmp_path / "none"), lambda: 1.0) == []


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('webhook_url = "hooks.example"', "webhook_url"),
        ('webhook_secret = "x"', "webhook_secret"),
        ('webhook_url = "https://h.example"\nwebhook_secret = "whsec_§"', "webhook_secret"),
        ('smtp_host = "mail.example"', "email_from"),
        ('email_to = ["ops@example.com"]', "smtp_host"),
        ('smtp_host = "m.example"\nemail_from = "nobody"', "email_from"),
        ('smtp_host = "m.example"\nemail_from = "a@b.example"\nemail_to = ["a@b.example, c@d.example"]', "email_to"),
        ('smtp_host = "m.example"\nemail_from = "a@b.example"\nsmtp_password = "p"', "smtp_user"),
    ],
)
def test_settings_that_cannot_be_followed_are_refused_at_the_start(tmp_path: Path, table: str, key: str):
    (tmp_path / "antiphon.toml").write_text(f"[alerts]\n{table}\n")
    with pytest.raises(ConfigError) as caught:
        load(environ={"HOME": "/"}, folder=tmp_path)
    assert caught.value.key == f"alerts.{key}"
