"""Logs: a record is one line of JSON, so nothing that a client or an upstream said can look like another record."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime


class OneLine(logging.Formatter):
    """Formats a record as a JSON object: time, level, logger, message and, if there is one, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, in ASCII."""
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
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
