"""The lines that a request log writes."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from antiphon.observe.logs import OneLine, RequestLog


class Lines(logging.Handler):
    """What was written, decoded."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(OneLine())
        self.lines: list[dict[str, Any]] = []
        self.log = RequestLog(logging.getLogger("tests.requests"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


@contextmanager
def written_lines() -> Iterator[Lines]:
    """A log of requests, for as long as the block runs."""
    handler, logger = Lines(), logging.getLogger("tests.requests")
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
