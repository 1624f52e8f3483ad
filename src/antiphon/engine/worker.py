"""Worker: background responses, and what a dead process left.

A response in the background is held by a *lease*: an owner, an expiry that a heartbeat puts off, and a fencing number
that rises with each lease, so that a worker which was thought dead can write nothing any more.

A response that nobody holds is taken over: a background one runs on from its log, a foreground one that was cut is
closed as `failed`, with what it had said.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from antiphon.engine import ids
from antiphon.engine.hosted import Hosted
from antiphon.engine.journal import Entry
from antiphon.engine.log import Log
from antiphon.engine.run import First, Run, Stop, as_response_error, ending
from antiphon.engine.stored import stored_items, stored_request
from antiphon.engine.till import asking_of
from antiphon.policy.ledger import RESTARTED, Row, attempts_of, cut, report_of_row
from antiphon.policy.weight import estimated, read, said
from antiphon.ports import Stored
from antiphon.turn import frames as log_bytes
from antiphon.turn import include
from antiphon.turn.fold import Fold
from antiphon.turn.input import CLIENT_CALLS, Turn, assemble, is_cut
from antiphon.turn.machine import Machine
from antiphon.wire.errors import APIError, InvalidRequest, ServerError, Unavailable
from antiphon.wire.items import Item
from antiphon.wire.sse import frames

if TYPE_CHECKING:
    from antiphon.engine.engine import Engine

_log = logging.getLogger(__name__)


class Worker:
    """Runs background responses of one engine."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.owner = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._slots = asyncio.Semaphore(engine.options.background_slots)
        self._held: dict[int, Run] = {}
        self.waiting = 0
        """Responses that wait for a slot."""
        self._looking = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    # Life

    async def start(self) -> None:
        """Take over what is left, then go on looking."""
        await self.sweep()
        for loop in (self._heartbeat(), self._look()):
            task = asyncio.create_task(loop)
            task.add_done_callback(_died)
            self._tasks.add(task)

    def stop(self) -> None:
        """Look no more. Runs go on until somebody ends them."""
        for task in self._tasks:
            task.cancel()

    def submit(
        self, run: Run, prepare: Callable[[Run], Awaitable[bool]] | None = None, *, first: First | None = None
    ) -> None:
        """Run a background response as soon as a slot is free.

        `first` is awaited before it exists, `prepare` when it is held.
        """
        run.start(first=first, admit=lambda run: self._admit(run, prepare))
        self.engine.track(run)

    async def _admit(self, run: Run, prepare: Callable[[Run], Awaitable[bool]] | None) -> bool:
        """Wait for a slot, take the lease, and say whether there is something to run."""
        assert run.task is not None
        self.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self.waiting -= 1
        run.task.add_done_callback(lambda _: self._slots.release())
        if not await self._lease(run):
            return False
        run.begin()
        return prepare is None or await prepare(run)

    async def _lease(self, run: Run) -> bool:
        """Take the lease of a response. Without one the run leaves it to a later look."""
        assert run.entry is not None
        assert run.task is not None
        key = run.entry.key
        try:
            await self.engine.journal.barrier()  # its row may be on its way
            fence = await self.engine.store.lease(key, self.owner, self._until())
        except APIError as error:
            _log.warning("%s could not be leased: %s", run.turn.response_id, error.message)
            return False
        if fence is None:
            return False
        run.entry.fence = fence
        self._held[key] = run
        run.task.add_done_callback(lambda _: self._held.pop(key, None))
        return True

    def _until(self) -> float:
        return self.engine.clock.now() + self.engine.options.lease

    # Leases

    async def _heartbeat(self) -> None:
        while True:
            await self.engine.clock.sleep(self.engine.options.lease / 3)
            await self.beat()

    async def beat(self) -> None:
        """Put off the expiry of what this worker holds, and let go of what another has taken."""
        held = dict(self._held)
        try:
            kept = await self.engine.store.renew(list(held), self.owner, self._until()) if held else set()
        except APIError as error:
            _log.warning("leases could not be renewed: %s", error.message)
            return
        for key in held.keys() - kept:
            held[key].end(Stop("abandoned"))

    async def _look(self) -> None:
        while True:
            await self.engine.clock.sleep(self.engine.options.lease)
            try:
                await self.sweep()
            except APIError as error:
                _log.warning("no look for abandoned responses: %s", error.message)

    # Take-over

    async def sweep(self) -> None:
        """Take over every response that is not over and that nobody holds. Raises Unavailable."""
        async with self._looking:
            await self.engine.journal.rescue()
            for found in await self.engine.store.unfinished():
                if found.id in self.engine.runs:
                    continue
                stored = await self.engine.store.find(found.project, found.id)  # it may have ended since
                if stored is not None and stored.response is None:
                    await self._try_to_take_over(stored)

    async def _try_to_take_over(self, stored: Stored) -> None:
        """A response that cannot be taken over must not keep the others, or the server, from going on."""
        try:
            await self.take_over(stored)
        except Unavailable:
            raise
        except APIError as error:
            _log.error("%s could not be taken over: %s", stored.id, error.message)

    async def take_over(self, stored: Stored) -> None:
        """Let a response run on from its log, or close it."""
        fold = await self.fold_of(stored)
        if stored.id in self.engine.runs:  # another look was faster
            return
        if not fold.next:
            _log.error("the log of %s is empty", stored.id)
            return
        row = await self._charged(stored, fold)
        machine = Machine.resume(fold, ids.output_ids(stored.id, len(fold.items)))
        try:
            self._check_hope(stored)
            choice = self.engine.catalog.choose(stored.model)
            request = stored_request(stored.request)
        except APIError as error:
            await self._close(stored, machine, error, row)
            return
        turn = Turn(request=request, items=[], response_id=stored.id, number=stored.attempts, project=stored.project)
        turn.trace.began = self.engine.clock.monotonic()
        if row is not None:
            turn.organization, turn.key_id = row.organization, row.key_id
            turn.trace.attempts += attempts_of(row)
        turn.cache = "off"  # whether its client wanted the cache is not stored
        run = Run(model=choice.model, turn=turn, machine=machine, clock=self.engine.clock)
        run.address = row.upstream if row is not None else ""
        run.hosted = Hosted(self.engine.tools, request)
        run.opened.set_result(None)
        run.gated = include.gates(fold.output())
        self.engine.keep(run, stored, next_number=fold.next, fence=stored.fence)
        self.submit(run, lambda run: self._prepare(run, stored))
        self.engine.bound(run, choice, age=self.engine.clock.now() - stored.created_at)

    async def _charged(self, stored: Stored, fold: Fold) -> Row | None:
        """What the ledger has of a response, with what dead processes used for it: estimated, from its log.

        Each lease asked the model once; a foreground response was asked for without one.
        """
        books = self.engine.books
        if books is None:
            return None
        await books.settle()
        row, fence = await books.ledger.find(stored.id), max(stored.fence, not stored.background)
        if row is None or row.fence >= fence:
            return row
        known = sum(charge.tokens.output for charge in row.charges if not charge.judges)
        outward = max(0, said(fold.output()) - known)
        row = cut(row, read(await self._asked(stored)) * (fence - row.fence), outward, fence)
        books.write(row)
        return row

    async def _asked(self, stored: Stored) -> list[Item]:
        """The context of a response, as far as it is still stored."""
        own = stored_items(stored.input)
        try:
            return [*await self.engine.history(stored.project, stored.previous), *own]
        except InvalidRequest:
            return own

    async def _close(self, stored: Stored, machine: Machine, error: APIError, row: Row | None) -> None:
        """End a response that nobody runs."""
        log = Log(next_number=machine.fold.next)
        told = machine.fail(as_response_error(error))
        changes = (ending(stored, machine.fold.response()),)
        self.engine.journal.append(Entry(stored.key, log), frames(told), len(told), changes, ended=True)
        await self.engine.journal.barrier()
        if row is not None:
            self.engine.close(report_of_row(row, "failed", RESTARTED))

    async def fold_of(self, stored: Stored) -> Fold:
        """The state that the log of a response tells."""
        fold, data = Fold(), b"-"
        while data:
            data = await self.engine.store.read(stored.key, fold.next)
            for event in log_bytes.events(data):
                fold.apply(event)
        return fold

    def _check_hope(self, stored: Stored) -> None:
        """Raises ServerError for a response that cannot run on."""
        if not stored.background:
            raise ServerError("The server stopped while this response was running.")
        if stored.attempts >= self.engine.options.max_attempts:
            raise ServerError(f"The response was interrupted {stored.attempts} times and is not tried again.")

    async def _prepare(self, run: Run, stored: Stored) -> bool:
        """Close what was half-said and find the input of the turn that goes on; False if nothing is left to say."""
        fold = run.machine.fold
        finished = [item for item in fold.items if item is not None and not is_cut(item)]
        run.heard = len(fold.items)
        half = list(fold.open.values())
        if len(half) == 1 and half[0].kind == "message" and run.model.continues:
            run.turn.prefix = half[0].snapshot("in_progress")
            run.machine.take_up(half[0])
        else:
            run.publish(run.machine.close(cut=True))
        history = await self.engine.history(stored.project, stored.previous)
        asked = assemble(history, stored_items(stored.input))
        if fold.items:
            run.used_before = run.machine.usage = estimated(read(asked), said(fold.output()))
        if any(isinstance(item, CLIENT_CALLS) for item in finished):
            run.finish()
            return False
        run.turn.items = asked + finished
        choice = self.engine.catalog.choose(stored.model)
        run.turn.allowance = self.engine.till.admit(asking_of(run.turn, choice), is_limited=False)
        return True


def _died(task: asyncio.Task[None]) -> None:
    """Say that leases are no longer renewed, or abandoned responses no longer found."""
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("a task of the worker died", exc_info=error)
