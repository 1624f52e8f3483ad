"""Reports: what a run was, in figures, told to observers once, when its task is done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from msgspec import structs

from antiphon.ports import Observer
from antiphon.turn.report import Answered, Began, Report
from antiphon.turn.trace import Outcome, served_by
from antiphon.wire.errors import APIError
from antiphon.wire.response import Response

if TYPE_CHECKING:
    from antiphon.engine.run import Run

_log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

Cost: TypeAlias = Callable[[Report], Decimal | None]
"""What a piece of work cost, in US dollars; None if its price is not known."""

FREE = ("hit", "shared")
"""What the cache answered was paid for once, by another request."""


class Observers:
    """All who look on. One that raises is logged, and the others are told all the same."""

    def __init__(self, observers: Sequence[Observer] = (), cost: Cost | None = None) -> None:
        self._observers = list(observers)
        self._cost = cost

    def began(self, work: Began) -> None:
        """Tell that work begins."""
        for observer in self._observers:
            _tell(observer.began, work)

    def ended(self, report: Report) -> None:
        """Tell that it is over, and what it cost."""
        if not self._observers:
            return
        report = self._priced(report)
        for observer in self._observers:
            _tell(observer.ended, report)

    def answered(self, request: Answered) -> None:
        """Tell that an HTTP request was answered."""
        for observer in self._observers:
            _tell(observer.answered, request)

    def _priced(self, report: Report) -> Report:
        is_free = report.cache in FREE and not report.attempts
        if self._cost is None:
            return structs.replace(report, cost=Decimal(0)) if is_free else report
        paid = structs.replace(report, usage=None) if report.cache in FREE else report  # its moderators may have cost
        cost = Decimal(0) if is_free else _tell(self._cost, paid)
        if report.unpaid is None:
            return structs.replace(report, cost=cost)
        saved = _tell(self._cost, structs.replace(report, attempts=report.reused))
        return structs.replace(report, cost=cost, saved=saved)


def _tell(told: Callable[[T], R], what: T) -> R | None:
    try:
        return told(what)
    except Exception:  # noqa: BLE001 - the boundary: whoever looks on may not hurt what he looks at
        _log.exception("an observer failed")
        return None


# Of a run


def began_of(run: Run, now: float) -> Began:
    """What is told of a run as it begins; `now` is Unix time."""
    request = run.turn.request
    return Began(
        id=run.turn.response_id,
        model=_model_of(run),
        project=run.turn.project,
        streamed=bool(request.stream),
        background=bool(request.background),
        at=now,
        trace=run.turn.trace,
    )


def report_of(run: Run, now: float, monotonic: float) -> Report | None:
    """What is told of a run whose task is done; None if it is left to another process."""
    outcome = _outcome_of(run)
    if outcome is None:
        return None
    request, trace = run.turn.request, run.turn.trace
    ended = run.machine.fold.snapshot if run.exists else None
    served = served_by(trace.attempts) or served_by(trace.reused)
    error = _error_of(run) if outcome == "failed" else None
    took = monotonic - trace.began
    return Report(
        id=run.turn.response_id,
        request_id=trace.request_id,
        project=run.turn.project,
        asked=request.model or "",
        model=_model_of(run),
        upstream=served.upstream if served is not None else "",
        upstream_model=served.model if served is not None else run.model.name,
        streamed=bool(request.stream),
        background=bool(request.background) and run.exists,
        stored=bool(request.store) and run.exists,
        at=now - took,
        took=took,
        first_token=None if trace.first_output is None else trace.first_output - trace.began,
        queued=trace.queued,
        usage=run.machine.usage,
        outcome=outcome,
        reason=_reason_of(ended),
        error=error.code if error is not None else None,
        error_class=type(error).__name__ if error is not None else None,
        refused=not run.exists,
        attempts=tuple(structs.replace(one, began=one.began - trace.began) for one in trace.attempts),
        cache=trace.cache,
        reused=tuple(trace.reused),
        tokens_saved=trace.tokens_saved,
    )


def _model_of(run: Run) -> str:
    if run.response is not None:
        return run.response.model
    return run.machine.fold.snapshot.model


_ENDS: dict[str, Outcome] = {
    "completed": "completed",
    "incomplete": "incomplete",
    "failed": "failed",
    "cancelled": "cancelled",
}


def _outcome_of(run: Run) -> Outcome | None:
    if run.over:
        return _ENDS.get(run.machine.fold.response().status)
    if run.stop is not None and run.stop.kind == "cancelled":
        return "cancelled"
    return None if run.turn.request.background and run.exists and run.error is None else "failed"


def _error_of(run: Run) -> APIError | None:
    """Why a run failed: of itself, or because what it said could not be written."""
    return run.error or (run.log.failure if run.log is not None else None)


def _reason_of(ended: Response | None) -> str | None:
    details = ended.incomplete_details if ended is not None else None
    return details.reason if details is not None else None
