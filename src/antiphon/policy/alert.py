"""Alerts on money: what is told when a budget, or a spend alert, is reached; as an event, and in words.

An alert's id follows from what it is about, so whoever gets it twice sees that it is the same.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, Final

import msgspec

from antiphon.policy.budget import Crossing, Scope, WindowKind, dollars
from antiphon.policy.directory import SpendAlert

__all__ = ["EVENT", "Alert", "alert_of", "event", "subject", "text"]

EVENT: Final = "budget.threshold_reached"
"""The type of the event (extension: OpenAI tells of spending by e-mail only)."""


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold of a budget was reached. Times are Unix seconds, amounts US dollars."""

    id: str
    at: float
    organization: str
    budget: str
    """The id of the budget, or of the spend alert."""
    scope: Scope
    owner: str
    window: WindowKind
    starts: int
    ends: int
    threshold: Decimal
    """The part of the amount."""
    amount: Decimal
    spent: Decimal
    refused: bool = False
    """Whether a request was refused because what is left did not pay for it."""
    recipients: tuple[str, ...] = ()
    """Whom a spend alert names; of a budget it is for the server's settings to say."""
    subject_prefix: str | None = None


def alert_of(crossing: Crossing, organization: str, at: float, asked: SpendAlert | None = None) -> Alert:
    """What is told of a threshold that was reached. `asked`: the spend alert that is meant, if it is one."""
    budget, window = crossing.budget, crossing.window
    about = organization, budget.id, window.start, str(crossing.threshold), str(budget.limit)
    return Alert(
        id=f"evt_{sha256(msgspec.json.encode(about)).hexdigest()[:32]}",
        at=at,
        organization=organization,
        budget=budget.id,
        scope=budget.scope,
        owner=budget.owner,
        window=budget.window,
        starts=window.start,
        ends=window.end,
        threshold=crossing.threshold,
        amount=budget.limit,
        spent=crossing.spent,
        refused=crossing.refused,
        recipients=() if asked is None else asked.recipients,
        subject_prefix=None if asked is None else asked.subject_prefix,
    )


def event(alert: Alert) -> dict[str, Any]:
    """The alert as a webhook tells it, in the form of OpenAI's events. Amounts are decimals, as text."""
    data = {
        "id": alert.budget,
        "organization": alert.organization,
        "scope": alert.scope,
        "owner": alert.owner,
        "window": alert.window,
        "window_start": alert.starts,
        "window_end": alert.ends,
        "threshold": f"{alert.threshold:f}",
        "amount": f"{alert.amount:f}",
        "spent": f"{alert.spent:f}",
        "currency": "USD",
        "text": text(alert),
    }
    return {"id": alert.id, "object": "event", "type": EVENT, "created_at": int(alert.at), "data": data}


def subject(alert: Alert) -> str:
    """One line."""
    prefix = f"{alert.subject_prefix} " if alert.subject_prefix else ""
    return f"{prefix}{_percent(alert.threshold)} of the {alert.window} budget of {_owner(alert)} is spent"


def text(alert: Alert) -> str:
    """The whole of it, for people."""
    share = "" if alert.refused else f" ({_percent(alert.threshold)} is reached)"
    refused = " What is left did not pay for a request, which was refused." if alert.refused else ""
    ends = f"{datetime.fromtimestamp(alert.ends, UTC):%Y-%m-%d %H:%M} UTC"
    return (
        f"{_owner(alert).capitalize()} has spent {dollars(alert.spent)} of its {alert.window} budget of "
        f"{dollars(alert.amount)}{share}.{refused} The budget begins anew at {ends}."
    )


def _owner(alert: Alert) -> str:
    return f"{alert.scope} {alert.owner}"


def _percent(threshold: Decimal) -> str:
    return f"{(threshold * 100).normalize():f} %"
