"""Monitor: what happens, as one line of a log a request. The simplest observer, and a pattern for others.

    client = AsyncClient(AsyncOpenAI(), observers=RequestLog())

`antiphon.client.monitor_prometheus` and `antiphon.client.monitor_otel` are observers too. No line has content: no
input, no output, no message of an error.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from antiphon.client.errors import ClientError, StatusError
from antiphon.client.records import Began, BudgetAlert, Ended, Flagged, Record, Spent, Transition

__all__ = ["RequestLog", "code_of"]

_LONGEST: Final = 128
"""Characters of a name that another chose."""


def code_of(error: ClientError) -> str:
    """What an error is, in one word: its status and code, or its class."""
    if isinstance(error, StatusError):
        return f"{error.status_code} {error.code}" if error.code else str(error.status_code)
    return str(getattr(error, "code", None) or type(error).__name__)


class RequestLog:
    """Writes one line for each request that is over, and for what must not be overlooked.

    The line is `response model="gpt-5" status="completed" …`; a formatter that writes JSON finds the same in the
    record's `fields`. Requests that failed, alerts of budgets, and breakers that open are warnings.
    """

    def __init__(self, logger: logging.Logger | None = None, level: int = logging.INFO) -> None:
        self._logger = logger or logging.getLogger("antiphon.client.requests")
        self._level = level
        self._costs: dict[int, str] = {}

    def __call__(self, record: Record) -> None:
        """Take note of a record."""
        match record:
            case Began():
                self._costs[record.number] = ""
            case Spent() if record.number in self._costs:
                self._costs[record.number] = "" if record.cost is None else f"{record.cost:f}"
            case Ended():
                level = logging.WARNING if record.status == "failed" else self._level
                self._write(level, "response", self._fields(record))
            case BudgetAlert():
                spent = {"budget": record.budget, "spent": f"{record.spent:f}", "limit": f"{record.limit:f}"}
                self._write(logging.WARNING, "budget", spent)
            case Flagged():
                found = {"side": record.side, "action": record.action, "categories": sorted(record.verdict.flagged)}
                self._write(logging.WARNING, "flagged", {"number": record.number, "model": record.model, **found})
            case Transition():
                level = logging.WARNING if record.new == "open" else self._level
                self._write(level, "breaker", {"model": record.key.model, "old": record.old, "new": record.new})

    def _fields(self, end: Ended) -> dict[str, Any]:
        """What is said of a request; what is not known is left out."""
        usage = end.usage
        fields = {
            "number": end.number,
            "model": end.model,
            "answered_by": end.answered_by if end.answered_by != end.model else None,
            "status": end.status,
            "seconds": round(end.seconds, 3),
            "first_output": None if end.first_output is None else round(end.first_output, 3),
            "attempts": end.attempts,
            "cache": end.cache or None,
            "input_tokens": None if usage is None else usage.input_tokens,
            "output_tokens": None if usage is None else usage.output_tokens,
            "cost_usd": self._costs.pop(end.number, None) or None,
            "response_id": end.response_id,
            "error": None if end.error is None else code_of(end.error),
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _write(self, level: int, what: str, fields: Mapping[str, Any]) -> None:
        said = {name: value[:_LONGEST] if isinstance(value, str) else value for name, value in fields.items()}
        words = " ".join(f"{name}={json.dumps(value)}" for name, value in said.items())
        self._logger.log(level, "%s %s", what, words, extra={"fields": said})
