"""Batches: many requests, so many at a time, and their results as they finish.

    async for result in client.batch(requests, concurrency=8, rate=5, journal="answers.jsonl"):
        print(result.key, result.error or result.response.output_text)

A request is what `create` takes, as a mapping; a mapping of mappings gives each a key, otherwise it is its number. One
that fails is a result with an error, and the others go on. With a journal, what is answered is not asked again when the
same batch is started anew.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping, Sized
from contextlib import aclosing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from antiphon.client import options
from antiphon.client.border import fields_of
from antiphon.client.errors import CircuitOpen, ClientError, OptionError
from antiphon.client.io import IO
from antiphon.client.journal import Journal, fingerprint

if TYPE_CHECKING:
    from openai.types.responses import Response

__all__ = ["Batch", "BatchOptions", "BatchResult", "Requests"]

Requests: TypeAlias = "Iterable[Mapping[str, Any]] | Mapping[str, Mapping[str, Any]]"

_WAITS: Final = 5
"""How often a request of a batch waits for a circuit to close."""


@dataclass(frozen=True)
class BatchResult:
    """What became of one request: a response or an error."""

    index: int
    key: str
    params: Mapping[str, Any]
    response: Response | None = None
    error: ClientError | OptionError | None = None
    from_journal: bool = False
    """Whether it was answered in an earlier run."""

    @property
    def output_text(self) -> str:
        """The text of the answer. Raises the error, if there is one."""
        if self.response is None:
            raise self.error or OptionError("batch", "no response")
        return self.response.output_text


class BatchOptions:
    """How a batch is worked through. Raises OptionError."""

    def __init__(
        self,
        concurrency: int,
        rate: float | None,
        *,
        ordered: bool,
        journal: str | Path | None,
        progress: bool | None,
    ) -> None:
        self.concurrency = options.count("concurrency", concurrency)
        self.rate = options.rate("rate", rate)
        self.ordered = ordered
        self.journal = None if journal is None else Path(journal)
        self.progress = sys.stderr.isatty() if progress is None else progress


class Batch:
    """Many requests. `ask` asks one of them."""

    def __init__(
        self, ask: Callable[[Mapping[str, Any]], Awaitable[Response]], requests: Requests, io: IO, options: BatchOptions
    ) -> None:
        self._ask = ask
        self._requests = requests
        self._io = io
        self._options = options
        self._pace = _Pace(options.rate, io)

    async def results(self) -> AsyncGenerator[BatchResult, None]:
        """The results, as they finish or in the order of the requests."""
        options = self._options
        journal = None if options.journal is None else Journal(options.journal)
        jobs = (partial(self._job, index, key, params, journal) for index, key, params in _numbered(self._requests))
        finished = self._io.side_by_side(jobs, options.concurrency)
        shown = _bar(self._requests) if options.progress else nullcontext(_silent)
        try:
            async with aclosing(finished), aclosing(_in_order(finished) if options.ordered else finished) as results:
                with shown as note:
                    async for result in results:
                        note(result)
                        yield result
        finally:
            if journal is not None:
                journal.close()

    async def _job(self, index: int, key: str, params: Mapping[str, Any], journal: Journal | None) -> BatchResult:
        result = partial(BatchResult, index, key, params)
        request = fingerprint(params) if journal is not None else ""
        if journal is not None and (known := journal.answer(key, request)) is not None:
            from openai.types.responses import Response

            return result(Response.construct(**known), from_journal=True)
        try:
            response = await self._answer(params)
        except ClientError as error:
            return result(error=error)
        except TypeError as error:  # the SDK knows no such parameter
            return result(error=OptionError(f"requests[{index}]", str(error)))
        if journal is not None:
            journal.keep(key, request, fields_of(response))
        return result(response)

    async def _answer(self, params: Mapping[str, Any]) -> Response:
        """Ask, when it is this request's turn; while the circuit is open, it waits."""
        for waits in itertools.count():
            await self._io.sleep(self._pace.wait(), None)
            try:
                return await self._ask(params)
            except CircuitOpen as error:
                if waits >= _WAITS or error.retry_after is None:
                    raise
                await self._io.sleep(error.retry_after, None)
        raise AssertionError("it counts on")


class _Pace:
    """Spreads the beginnings of requests evenly."""

    def __init__(self, rate: float | None, io: IO) -> None:
        self._gap = 0.0 if rate is None else 1 / rate
        self._io = io
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> float:
        """Take the next moment at which a request may begin; gives the seconds until then."""
        with self._lock:
            now = self._io.monotonic()
            moment = max(now, self._next)
            self._next = moment + self._gap
        return moment - now


def _numbered(requests: Requests) -> Iterator[tuple[int, str, Mapping[str, Any]]]:
    """The requests with their numbers and keys. Raises OptionError for one that is no mapping."""
    keyed = requests.items() if isinstance(requests, Mapping) else ((str(at), each) for at, each in enumerate(requests))
    for index, (key, params) in enumerate(keyed):
        if not isinstance(params, Mapping):
            raise OptionError(f"requests[{key}]", f"takes a mapping, as `create` does, not {type(params).__name__}")
        yield index, str(key), params


async def _in_order(finished: AsyncGenerator[BatchResult, None]) -> AsyncGenerator[BatchResult, None]:
    """Results by their number. Those that came too early are kept."""
    early: dict[int, BatchResult] = {}
    expected = itertools.count()
    at = next(expected)
    async for result in finished:
        early[result.index] = result
        while at in early:
            yield early.pop(at)
            at = next(expected)


# The bar

Note: TypeAlias = "Callable[[BatchResult], None]"


def _silent(_: BatchResult) -> None:
    """Show nothing."""


@contextmanager
def _bar(requests: Requests) -> Iterator[Note]:
    """A progress bar on standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    failed = 0

    def note(result: BatchResult) -> None:
        nonlocal failed
        failed += result.error is not None
        bar.update(task, advance=1, failed=f"[red]{failed} failed" if failed else "")

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[failed]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=len(requests) if isinstance(requests, Sized) else None, failed="")
        yield note
