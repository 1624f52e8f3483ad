"""Logs: a record is one line of JSON, so nothing that a client or an upstream said can look like another record.

**One line a request**, from the logger `antiphon.requests`: what was asked over HTTP, and, if a model was asked, what
became of that. Whichever of the two ends last writes the line. A response in the background outlives its request, so
it has a line of its own when it ends; `request_id` joins the two.

No line has content: no input, no output, no key, no path beyond its template.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from antiphon.turn.report import Answered, Began, Report

__all__ = ["REQUEST_FIELDS", "WORK_FIELDS", "OneLine", "RequestLog", "one_line_each", "set_level"]

R = TypeVar("R")

LONGEST: Final = 128
"""Characters of a name that a client or an upstream chose."""


PROBES: Final = frozenset(("/health", "/ready", "/metrics"))
"""Routes that machines ask every few seconds: what they are told is news only when it is no 200."""


# Lines


class OneLine(logging.Formatter):
    """Formats a record as a JSON object: time, level, logger, message, its fields, and any traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, in ASCII."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def is_news(record: logging.LogRecord) -> bool:
    """A stream that cannot go on is broken off on purpose: to its client that says more than a proper end."""
    return record.getMessage() != "ASGI callable returned without completing response."


def one_line_each() -> None:
    """Have whatever the process logs to write it so."""
    logging.getLogger("uvicorn.error").addFilter(is_news)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(OneLine())


def set_level(level: str) -> None:
    """What of ours is logged, from `debug` to `error`. The lines of requests have a switch of their own."""
    logging.getLogger("antiphon").setLevel(level.upper())
    logging.getLogger("antiphon.requests").setLevel(logging.DEBUG if level == "debug" else logging.INFO)


# Requests


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _short(text: str | None) -> str | None:
    return text[:LONGEST] if text else None


REQUEST_FIELDS: Final[Mapping[str, Callable[[Answered], Any]]] = {
    "request_id": lambda request: request.request_id,
    "method": lambda request: _short(request.method),
    "route": lambda request: request.route,
    "status": lambda request: request.status or "left",
    "ms": lambda request: _ms(request.took),
    "response_id": lambda request: request.work,
    "error": lambda request: _short(request.error),
    "error_class": lambda request: request.error_class,
}
"""What is told of an HTTP request. `left`: the client had gone before its answer began."""

WORK_FIELDS: Final[Mapping[str, Callable[[Report], Any]]] = {
    "request_id": lambda report: report.request_id,
    "operation": lambda report: report.operation,
    "response_id": lambda report: report.id,
    "project": lambda report: report.project,
    "asked": lambda report: _short(report.asked),
    "model": lambda report: _short(report.model),
    "upstream": lambda report: report.upstream,
    "upstream_model": lambda report: _short(report.upstream_model),
    "stream": lambda report: report.streamed,
    "background": lambda report: report.background,
    "stored": lambda report: report.stored,
    "outcome": lambda report: report.outcome,
    "reason": lambda report: report.reason,
    "error": lambda report: _short(report.error),
    "error_class": lambda report: report.error_class,
    "total_ms": lambda report: _ms(report.took),
    "first_token_ms": lambda report: _ms(report.first_token),
    "queued_ms": lambda report: _ms(report.queued or None),
    "input_tokens": lambda report: report.usage and report.usage.input_tokens,
    "cached_tokens": lambda report: report.usage and report.usage.input_tokens_details.cached_tokens,
    "output_tokens": lambda report: report.usage and report.usage.output_tokens,
    "reasoning_tokens": lambda report: report.usage and report.usage.output_tokens_details.reasoning_tokens,
    "saved_usd": lambda report: None if report.saved is None else format(report.saved, "f"),
    "cost_usd": lambda report: None if report.cost is None else format(report.cost, "f"),
    "estimated": lambda report: report.is_estimated or None,
    "attempts": lambda report: len(report.attempts),
    "retries": lambda report: report.retries or None,
    "fallbacks": lambda report: report.fallbacks or None,
    "cache": lambda report: report.cache,
    "tokens_saved": lambda report: report.tokens_saved or None,
}
"""What is told of a response, or other work."""


def _told(fields: Mapping[str, Callable[[R], Any]], what: R) -> dict[str, Any]:
    """The fields that have something to say."""
    told = {name: value(what) for name, value in fields.items()}
    return {name: value for name, value in told.items() if value is not None and value != ""}


class RequestLog:
    """Writes one line a request. Implements `antiphon.ports.Observer`."""

    def __init__(self, log: logging.Logger | None = None) -> None:
        self._log = log or logging.getLogger("antiphon.requests")
        self._answered: dict[str, Answered] = {}
        """Requests that are answered and whose work goes on, by their id: their client left."""
        self._ended: dict[str, Report] = {}
        """Work that is over and whose request is still being answered, by the id of the request."""

    def began(self, work: Began) -> None:
        """Nothing is written yet."""

    def ended(self, report: Report) -> None:
        """Write the line of the request, if it waits for this; or one that stands alone."""
        if report.background or not report.request_id:
            self._write(f"{report.operation} {report.outcome}", _told(WORK_FIELDS, report))
        elif (request := self._answered.pop(report.request_id, None)) is not None:
            self._write_both(request, report)
        else:
            self._ended[report.request_id] = report

    def answered(self, request: Answered) -> None:
        """Write the line of a request, unless its work goes on."""
        report = self._ended.pop(request.request_id, None)
        if report is not None:
            self._write_both(request, report)
        elif request.work is not None and not request.background:
            self._answered[request.request_id] = request
        else:
            level = logging.DEBUG if request.route in PROBES and request.status == 200 else logging.INFO
            self._write(_line(request), _told(REQUEST_FIELDS, request), level)

    def _write_both(self, request: Answered, report: Report) -> None:
        self._write(_line(request), _told(REQUEST_FIELDS, request) | _told(WORK_FIELDS, report))

    def _write(self, message: str, fields: dict[str, Any], level: int = logging.INFO) -> None:
        self._log.log(level, "%s", message, extra={"fields": fields})


def _line(request: Answered) -> str:
    return f"{request.method[:LONGEST]} {request.route} {request.status or 'left'}"
