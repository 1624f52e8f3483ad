"""Books: who writes the ledger. No request waits for it, and no row is lost while the process lives.

Rows are written in the order in which they come; what comes within a few milliseconds, or while one write runs, is the
next one. When the store fails they are kept and written again, after a while that grows; so many that memory would
suffer are not.

Work is known to the ledger from its beginning. The row of a stored response begins with the response, in one commit;
that of other work is handed over when it begins. What is still running in the ledger at the next start was cut: a
stored response that is not over is the worker's to close or to run on; all else is closed here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Final

import msgspec

from antiphon.engine.stored import stored_items
from antiphon.policy.ledger import RESTARTED, Row, Tokens, cut, opened, report_of_row, row_of, used
from antiphon.policy.weight import read, said
from antiphon.ports import Clock, Ledger, Store, Stored, Timer
from antiphon.turn.report import Answered, Began, Report
from antiphon.turn.trace import Outcome
from antiphon.wire.errors import APIError, Unavailable
from antiphon.wire.response import Response, decode_response

__all__ = ["MOST", "Books", "OwnerOf"]

_log = logging.getLogger(__name__)

AT_ONCE: Final = 500
"""Rows in one write: a transaction of some ten milliseconds."""

MOST: Final = 100_000
"""Rows that are kept while the store fails, some 100 MB. Later ones are lost, and the log says so."""

PATIENCE: Final = 0.02
"""Seconds in which rows gather for one write; what has begun and ended in them is one row. A crash loses that much of
what is not stored."""

FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 30.0
"""Seconds before a write that failed is tried again; doubled each time."""

LAST_TRIES: Final = 3
"""How often it is tried when the process ends."""

OwnerOf = Callable[[str], str]
"""The user or service account who has a key, by its id."""


class Books:
    """Writes rows. Implements `antiphon.ports.Observer`."""

    def __init__(self, ledger: Ledger, clock: Clock, priced: Callable[[Report], Report], owner_of: OwnerOf) -> None:
        """`priced` gives a report with its costs."""
        self.ledger = ledger
        self._clock = clock
        self._priced = priced
        self._owner_of = owner_of
        self._rows: dict[str, Row] = {}
        """What has to be written, by the id of the work."""
        self._writing: asyncio.Future[None] | None = None
        self._timer: Timer | None = None
        self._failures = 0
        self._lost = 0

    # What is told of work

    def opened(self, work: Began) -> Row:
        """The row of work that begins."""
        return opened(work, self._owner_of(work.key_id))

    def began(self, work: Began) -> None:
        """Open the row of work that no store knows."""
        if not work.stored:
            self.write(self.opened(work))

    def ended(self, report: Report) -> None:
        """Write the row of work that is over, with its costs."""
        self.write(row_of(report, self._owner_of(report.key_id)))

    def answered(self, request: Answered) -> None:
        """Nothing: what did not become work cost nothing."""

    def close(self, report: Report) -> None:
        """Write the row of work that nobody is told of."""
        self.ended(self._priced(report))

    def left(self, report: Report, fence: int) -> None:
        """Write what work has cost so far that another process goes on with. `fence` is of the lease that it had."""
        row = row_of(self._priced(report), self._owner_of(report.key_id))
        self.write(msgspec.structs.replace(row, outcome="running", error=None, fence=fence))

    # Writing

    def write(self, row: Row) -> None:
        """Hand a row over. It is in the store some time later, behind those before it, and in place of an older one."""
        if len(self._rows) >= MOST and row.id not in self._rows:
            self._lose()
            return
        self._rows[row.id] = row
        if self._writing is None and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._flush)

    def _lose(self) -> None:
        self._lost += 1
        if self._lost == 1:
            _log.critical("the ledger has not been written for long: rows are lost from now on")

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        sent = list(islice(self._rows.values(), AT_ONCE))
        for row in sent:
            del self._rows[row.id]
        if sent:
            self._writing = self.ledger.write(sent)
            self._writing.add_done_callback(partial(self._written, sent))

    def _written(self, sent: Sequence[Row], done: asyncio.Future[None]) -> None:
        self._writing = None
        error = done.exception()
        if isinstance(error, Unavailable):
            self._rows = {row.id: row for row in sent} | self._rows
            self._failures += 1
            self._wait(error)
            return
        if error is not None:
            self._part(sent, error)
        elif self._failures:
            self._failures = 0
            _log.warning("the ledger is written again; %d rows were lost", self._lost)
            self._lost = 0
        self._flush()

    def _wait(self, error: APIError) -> None:
        seconds = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self._failures - 1, 10))
        if self._failures == 1:
            _log.error("the ledger cannot be written, and is tried again: %s", error.message)
        self._timer = self._clock.call_later(seconds, self._flush)

    def _part(self, sent: Sequence[Row], error: BaseException) -> None:
        """A row that cannot be written must not keep the others from it: they are tried one by one."""
        if len(sent) == 1:
            _tell(sent[0], error)
        for row in sent if len(sent) > 1 else ():
            self.ledger.write([row]).add_done_callback(partial(_told, row))

    # Life

    async def settle(self) -> None:
        """Wait until all that was handed over by now is written, or cannot be."""
        tries = self._failures + LAST_TRIES
        for _ in range(len(self._rows) // AT_ONCE + LAST_TRIES + 1):
            if self._writing is None and self._failures < tries:
                self._flush()
            if self._writing is None:
                return
            await asyncio.wait([self._writing])

    async def aclose(self) -> None:
        """Write what is left."""
        await self.settle()
        if self._timer is not None:
            self._timer.cancel()
        if self._rows or self._lost:
            _log.critical("%d rows of the ledger are lost: the store does not take them", len(self._rows) + self._lost)

    # What a crash has cut

    async def reconcile(self, store: Store) -> None:
        """Close the rows of work that ended with the process that did it. Raises Unavailable."""
        for row in await self.ledger.running():
            stored = await store.find(row.project, row.id) if row.stored else None
            if stored is None:
                self.close(report_of_row(cut(row, row.tokens.input, 0), "failed", RESTARTED))
            elif stored.response is not None:
                self.close(_report_of_the_ended(row, stored))
        await self.settle()


def _told(row: Row, done: asyncio.Future[None]) -> None:
    if (error := done.exception()) is not None:
        _tell(row, error)


def _tell(row: Row, error: BaseException) -> None:
    _log.error("the row of %s could not be written into the ledger", row.id, exc_info=error)


_ENDS: Final[dict[str, Outcome]] = {"completed": "completed", "incomplete": "incomplete", "cancelled": "cancelled"}


def _report_of_the_ended(row: Row, stored: Stored) -> Report:
    """Of a response that was over; only its row was not written any more. What it used it may tell itself."""
    response: Response = decode_response(stored.response or b"")
    outcome, error = _ENDS.get(stored.status, "failed"), response.error
    if response.usage is not None:
        row = used(row, Tokens.of(response.usage), outcome)
    elif response.output or outcome == "cancelled":
        row = cut(row, read(stored_items(stored.input)), said(response.output))
    report = report_of_row(row, outcome, None if error is None else error.code)
    return msgspec.structs.replace(report, model=response.model)
