"""The ways on which alerts are sent, of a configuration."""

from __future__ import annotations

from collections.abc import Callable

from antiphon.config.settings import Config, Secret
from antiphon.ports import AlertSink

__all__ = ["alert_sinks"]


def alert_sinks(config: Config, now: Callable[[], float]) -> list[AlertSink]:
    """The sinks that `[alerts]` asks for. `now` gives Unix time."""
    settings, sinks = config.alerts, list[AlertSink]()
    if not (settings.webhook_url or settings.smtp_host):
        return sinks
    from antiphon.observe.alerts import Email, Mailbox, Webhook

    if settings.webhook_url:
        sinks.append(Webhook(settings.webhook_url, _shown(settings.webhook_secret), now))
    if settings.smtp_host:
        mailbox = Mailbox(
            host=settings.smtp_host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            user=settings.smtp_user,
            password=_shown(settings.smtp_password),
            sender=settings.email_from,
            recipients=settings.email_to,
        )
        sinks.append(Email(mailbox))
    return sinks


def _shown(secret: Secret | None) -> str:
    return "" if secret is None else secret.reveal()
