"""Work: one request to a model that is no response, told to observers as a response is."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from msgspec import structs

from antiphon.engine.report import Observers
from antiphon.engine.till import Asking, billed_of, payer_of
from antiphon.policy.access import Principal
from antiphon.policy.budget import ZERO
from antiphon.ports import Choice, Clock
from antiphon.turn.report import Began, Operation, Report
from antiphon.turn.trace import Outcome, Trace, served_by
from antiphon.wire.errors import APIError

__all__ = ["Work"]


class Work:
    """One request while it is served. One that ends in a defect has failed, without a code."""

    def __init__(
        self,
        operation: Operation,
        name: str,
        *,
        model: str,
        project: str,
        principal: Principal,
        trace: Trace,
        clock: Clock,
        upstream: tuple[str, str] = ("", ""),
        input_tokens: int,
    ) -> None:
        """`name` is its id; `model` what the request named, or what answers for that; `input_tokens` an estimate.

        `upstream` is the address that will be asked, and the model's name there.
        """
        self.name = name
        self.trace = trace
        self.upstream = upstream
        self.input_tokens = input_tokens
        self._operation: Operation = operation
        self._model = model
        self._project = project
        self._organization, self._key_id = principal.organization, principal.key_id or ""
        self._clock = clock
        self._at = clock.now()
        self._outcome: Outcome = "failed"
        self._error: APIError | None = None
        trace.began = clock.monotonic()

    def asking(self, least: Decimal = ZERO, *, judge: Choice | None = None, times: int = 1) -> Asking:
        """What is to be held for it. `least` counts where nobody is named who is paid, in US dollars.

        `judge` is a model that is asked so many times, each time for no longer an answer than its default.
        """
        address, model = self.upstream
        own = ((model, address),) if address else ()
        return Asking(
            id=self.name,
            payer=payer_of(self._organization, self._project, self._key_id),
            project=self._project,
            model=self._model,
            billed=own if judge is None else billed_of(judge),
            least=least,
            output=0 if judge is None else times * judge.output,
            input=lambda: self.input_tokens,
        )

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
            organization=self._organization,
            project=self._project,
            key_id=self._key_id,
            asked=self._model,
            streamed=False,
            background=False,
            upstream=self.upstream[0],
            upstream_model=self.upstream[1],
            input_tokens=self.input_tokens,
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
            organization=self._organization,
            project=self._project,
            key_id=self._key_id,
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
