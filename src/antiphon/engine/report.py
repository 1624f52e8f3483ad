"""Reports: what a run was, in figures, told to observers once, when its task is done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from msgspec import structs

from antiphon.policy.ledger import FREE, total
from antiphon.policy.weight import estimated, read, said
from antiphon.ports import Observer
from antiphon.turn.input import Turn
from antiphon.turn.report import Answered, Began, Report
from antiphon.turn.trace import Attempt, Outcome, Trace, served_by, usage_of
from antiphon.turn.usage import without
from antiphon.wire.errors import APIError
from antiphon.wire.response import Response, Usage

if TYPE_CHECKING:
    from antiphon.engine.run import Run

_log = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

Cost: TypeAlias = Callable[[Report], Decimal | None]
"""What a piece of work cost, in US dollars; None if its price is not known."""


class Observers:
    """All who look on. One that raises is logged, and the others are told all the same."""

    def __init__(self, observers: Sequence[Observer] = (), cost: Cost | None = None) -> None:
        self._observers = list(observers)
        self._cost = cost

    def add(self, observer: Observer) -> None:
        """Tell one more."""
        self._observers.append(observer)

    def began(self, work: Began) -> None:
        """Tell that work begins."""
        for observer in self._observers:
            _tell(observer.began, work)

    def ended(self, report: Report) -> None:
        """Tell that it is over, and what it cost."""
        if not self._observers:
            return
        report = self.priced(report)
        for observer in self._observers:
            _tell(observer.ended, report)

    def answered(self, request: Answered) -> None:
        """Tell that an HTTP request was answered."""
        for observer in self._observers:
            _tell(observer.answered, request)

    def priced(self, report: Report) -> Report:
        """The report with what it cost, and each of its attempts; None where a price is not known."""
        if self._cost is None:
            is_free = report.cache in FREE and not report.attempts
            return structs.replace(report, cost=Decimal(0)) if is_free else report
        attempts = tuple(structs.replace(one, cost=self._cost_of_attempt(report, one)) for one in report.attempts)
        costs = [one.cost for one in attempts if one.usage is not None]
        if report.apart is not None:
            costs.append(_tell(self._cost, structs.replace(report, attempts=(), usage=report.apart)))
        report = structs.replace(report, attempts=attempts, cost=total(costs))
        if report.unpaid is None:
            return report
        saved = _tell(self._cost, structs.replace(report, attempts=report.reused))
        return structs.replace(report, saved=saved)

    def _cost_of_attempt(self, report: Report, attempt: Attempt) -> Decimal | None:
        """What one attempt cost. What was priced before a restart keeps its price."""
        if self._cost is None or attempt.usage is None or attempt.cost is not None:
            return attempt.cost
        return _tell(self._cost, structs.replace(report, attempts=(attempt,)))


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
        organization=run.turn.organization,
        project=run.turn.project,
        key_id=run.turn.key_id,
        asked=request.model or "",
        streamed=bool(request.stream),
        background=bool(request.background),
        stored=run.record is not None,
        upstream=run.address,
        upstream_model=run.model.name,
        input_tokens=0 if run.record is not None else read(run.turn.items, request),
        at=now,
        trace=run.turn.trace,
    )


def report_of(run: Run, outcome: Outcome, now: float, monotonic: float) -> Report:
    """What is told of a run whose task is done."""
    request, trace = run.turn.request, run.turn.trace
    ended = run.machine.fold.snapshot if run.exists else None
    served = served_by(trace.attempts) or served_by(trace.reused)
    error = _error_of(run) if outcome == "failed" else None
    took = monotonic - trace.began
    return Report(
        id=run.turn.response_id,
        request_id=trace.request_id,
        organization=run.turn.organization,
        project=run.turn.project,
        key_id=run.turn.key_id,
        asked=request.model or "",
        service_tier=request.service_tier,
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
        attempts=told_of(trace),
        cache=trace.cache,
        reused=tuple(trace.reused),
        apart=_used_apart(run),
        tokens_saved=trace.tokens_saved,
    )


def refusal_of(turn: Turn, model: str, error: APIError, now: float, monotonic: float) -> Report:
    """What is told of a response that was refused before its model was asked."""
    request, trace = turn.request, turn.trace
    took = monotonic - trace.began
    return Report(
        id=turn.response_id,
        request_id=trace.request_id,
        organization=turn.organization,
        project=turn.project,
        key_id=turn.key_id,
        asked=request.model or "",
        model=model,
        streamed=bool(request.stream),
        background=bool(request.background),
        at=now - took,
        took=took,
        outcome="failed",
        error=error.code,
        error_class=type(error).__name__,
        refused=True,
        attempts=told_of(trace),
    )


def told_of(trace: Trace) -> tuple[Attempt, ...]:
    """The attempts of a trace, with times that count from the beginning of the work."""
    return tuple(structs.replace(one, began=one.began - trace.began) for one in trace.attempts)


def _used_apart(run: Run) -> Usage | None:
    """What a run used of a model whose attempts are not noted. Where nobody told, a shared call is its payer's."""
    trace, usage = run.turn.trace, run.machine.usage
    if trace.cache in FREE or any(not (one.judges or one.is_past) for one in trace.attempts):
        return None
    if usage is None:
        if trace.cache or not run.accepted:
            return None
        return estimated(read(run.turn.items, run.turn.request), said(run.machine.fold.output()))
    for known in (run.used_before, usage_of(trace.reused)):
        usage = usage if known is None else without(usage, known)
    return usage


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


def outcome_of(run: Run) -> Outcome | None:
    """What has become of a run whose task is done; None if it is left to another process."""
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
