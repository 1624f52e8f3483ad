"""Work: one request to a model that is no response, told to observers as a response is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import structs

from antiphon.engine.report import Observers
from antiphon.ports import Clock
from antiphon.turn.report import Began, Operation, Report
from antiphon.turn.trace import Outcome, Trace, served_by
from antiphon.wire.errors import APIError

__all__ = ["Work"]


class Work:
    """One request while it is served. One that ends in a defect has failed, without a code."""

    def __init__(
        self, operation: Operation, name: str, *, model: str, project: str, trace: Trace, clock: Clock
    ) -> None:
        """`name` is its id; `model` what the request named, or what answers for that."""
        self.name = name
        self.trace = trace
        self._operation: Operation = operation
        self._model = model
        self._project = project
        self._clock = clock
        self._at = clock.now()
        self._outcome: Outcome = "failed"
        self._error: APIError | None = None
        trace.began = clock.monotonic()

    @contextmanager
    def told(self, observers: Observers) -> Iterator[None]:
        """Tell that it begins, and at the end of the block that it is over."""
        observers.began(self._began())
        try:
            yield
            self._outcome = "completed"
        except APIError as error:
            self._error = error
            raise
        except asyncio.CancelledError:
            self._outcome = "cancelled"
            raise
        finally:
            observers.ended(self._report())

    def _began(self) -> Began:
        return Began(
            operation=self._operation,
            id=self.name,
            model=self._model,
            project=self._project,
            streamed=False,
            background=False,
            at=self._at,
            trace=self.trace,
        )

    def _report(self) -> Report:
        error, trace = self._error, self.trace
        served = served_by(trace.attempts)
        return Report(
            operation=self._operation,
            id=self.name,
            request_id=trace.request_id,
            project=self._project,
            asked=self._model,
            model=self._model,
            upstream=served.upstream if served is not None else "",
            upstream_model=served.model if served is not None else "",
            at=self._at,
            took=self._clock.monotonic() - trace.began,
            usage=served.usage if served is not None else None,
            outcome=self._outcome,
            error=error.code if error is not None else None,
            error_class=type(error).__name__ if error is not None else None,
            refused=True,
            attempts=tuple(structs.replace(one, began=one.began - trace.began) for one in trace.attempts),
        )
