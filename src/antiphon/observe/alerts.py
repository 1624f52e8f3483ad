"""Alerts to a webhook and by e-mail: each an `antiphon.ports.AlertSink`.

A webhook is signed as Standard Webhooks are (https://www.standardwebhooks.com), which is how OpenAI signs its own: the
official SDK's `client.webhooks.unwrap` accepts it. Its id is that of the alert, so what comes twice is seen to.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final, Literal

import msgspec

from antiphon.policy.alert import Alert, event, subject, text
from antiphon.policy.webhook import signature, signing_key
from antiphon.wire.errors import Unavailable

__all__ = ["Email", "Mailbox", "Webhook"]

PATIENCE: Final = 10.0
"""Seconds that a webhook, or a mail server, has for each step."""


class Webhook:
    """Alerts as POST requests."""

    name = "webhook"

    def __init__(self, url: str, secret: str, now: Callable[[], float]) -> None:
        """`secret`: `whsec_` and base64, or any text. Without one (empty) nothing is signed."""
        self._url = url
        self._key = signing_key(secret) if secret else None
        self._now = now

    def takes(self, alert: Alert) -> bool:  # noqa: ARG002 - the port's signature
        """All of them."""
        return True

    async def send(self, alert: Alert) -> None:
        """Send it. Raises Unavailable unless the answer is 2xx."""
        import aiohttp

        body = msgspec.json.encode(event(alert))
        stamp = str(int(self._now()))
        headers = {"content-type": "application/json", "webhook-id": alert.id, "webhook-timestamp": stamp}
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, alert.id, stamp, body)
        timeout = aiohttp.ClientTimeout(total=PATIENCE)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer,
            ):
                status = answer.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unavailable(f"The webhook cannot be reached: {type(error).__name__} {error}.") from error
        if not 200 <= status < 300:
            raise Unavailable(f"The webhook answered {status}.")


class Mailbox(msgspec.Struct, frozen=True, kw_only=True):
    """How mail is sent."""

    host: str
    port: int
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: str = ""
    password: str = ""
    sender: str
    recipients: tuple[str, ...] = ()
    """Who gets the alerts of budgets. Those of spend alerts go to whom they name."""


class Email:
    """Alerts as mail, by SMTP."""

    name = "email"

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def takes(self, alert: Alert) -> bool:
        """Whether there is somebody to get it."""
        return bool(alert.recipients or self._mailbox.recipients)

    async def send(self, alert: Alert) -> None:
        """Send it. Raises Unavailable with what the mail server said."""
        try:
            await asyncio.to_thread(_post, self._mailbox, self._message(alert))
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable(f"The mail server did not take it: {error}.") from error

    def _message(self, alert: Alert) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self._mailbox.sender
        message["To"] = ", ".join(alert.recipients or self._mailbox.recipients)
        message["Subject"] = subject(alert)
        message["Date"] = formatdate(alert.at)
        message["Message-ID"] = f"<{alert.id}@antiphon>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(f"{text(alert)}\n")
        return message


def _post(mailbox: Mailbox, message: EmailMessage) -> None:
    """Send a message; blocks. Raises OSError or SMTPException."""
    with _connected(mailbox) as server:
        if mailbox.security == "starttls":
            server.starttls(context=ssl.create_default_context())
        if mailbox.user:
            server.login(mailbox.user, mailbox.password)
        server.send_message(message)


def _connected(mailbox: Mailbox) -> smtplib.SMTP:
    if mailbox.security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(mailbox.host, mailbox.port, timeout=PATIENCE, context=context)
    return smtplib.SMTP(mailbox.host, mailbox.port, timeout=PATIENCE)
