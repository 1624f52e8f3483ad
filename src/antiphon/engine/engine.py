"""Engine: the operations of the Responses API, over any store and any models."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from functools import partial
from typing import Literal

import msgspec

from antiphon.engine import ids
from antiphon.engine.accounts import OPEN, Accounts
from antiphon.engine.around import taken_by
from antiphon.engine.books import Books
from antiphon.engine.chat import Chats
from antiphon.engine.classify import Moderations
from antiphon.engine.embed import Embeddings
from antiphon.engine.hosted import Hosted
from antiphon.engine.journal import Entry, Journal
from antiphon.engine.log import Log
from antiphon.engine.moderation import Moderation
from antiphon.engine.report import Cost, Observers, began_of, outcome_of, refusal_of, report_of
from antiphon.engine.run import First, Run, Stop
from antiphon.engine.stored import include_of, request_json, stored_items
from antiphon.engine.till import Till, asking_of
from antiphon.engine.unkept import UnkeptAccounts
from antiphon.engine.worker import Worker
from antiphon.policy.access import Principal
from antiphon.ports import (
    Catalog,
    ChatStore,
    Choice,
    Clock,
    Embedder,
    Ledger,
    Model,
    Observer,
    Record,
    Store,
    Stored,
    Tool,
    UnknownModel,
)
from antiphon.turn import frames, include, settings
from antiphon.turn.input import CacheUse, Turn, assemble, effective, references, resolve
from antiphon.turn.machine import Machine
from antiphon.turn.report import Report
from antiphon.turn.trace import Trace
from antiphon.wire.chat import CHAT_ONLY
from antiphon.wire.errors import APIError, Conflict, InvalidRequest, NotFound, Unavailable, UpstreamTimeout
from antiphon.wire.items import Item
from antiphon.wire.request import CountTokens, CreateResponse, TurnRequest
from antiphon.wire.response import Response, decode_response
from antiphon.wire.struct import encode

_log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds that the store has to show that it answers."""

OVER = frozenset(("completed", "failed", "cancelled", "incomplete"))


class EngineSettings(msgspec.Struct, frozen=True):
    """How the engine behaves. Times are in seconds."""

    hold: float = 1.0
    """How long a refusal of the upstream may still become an HTTP status."""
    on_disconnect: Literal["cancel", "continue"] = "cancel"
    """What becomes of a stored foreground response whose client left."""
    background_slots: int = 64
    """Background responses that run at the same time."""
    lease: float = 30.0
    """A worker that was silent for so long has lost its responses."""
    max_attempts: int = 3
    """How often a background response is begun before it fails."""


class Engine:
    """Creates, finds, follows, cancels and deletes responses."""

    def __init__(
        self,
        catalog: Catalog,
        store: Store,
        clock: Clock,
        options: EngineSettings,
        tools: Mapping[str, Tool] | None = None,
        *,
        observers: Sequence[Observer] = (),
        cost: Cost | None = None,
        embedders: Mapping[str, Embedder] | None = None,
        moderation: Moderation | None = None,
        accounts: Accounts | None = None,
        chats: ChatStore | None = None,
        till: Till | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.tools = tools or {}
        """The hosted tools that this server runs, by their type in a request."""
        self.catalog = catalog
        self.store = store
        self.clock = clock
        self.options = options
        self.accounts = accounts or Accounts(UnkeptAccounts(), clock, polls=False)
        """Who may do what; by default everybody everything."""
        self.till = till or Till(self.accounts, clock)
        """What may be used and spent; by default everything."""
        self.observers = Observers((*observers, self.till), cost)
        """Who is told what becomes of each response."""
        self.books = None if ledger is None else Books(ledger, clock, self.observers.priced, self.accounts.owner_of)
        """Who writes what it used and cost; None: nobody."""
        if self.books is not None:
            self.observers.add(self.books)
        self.embeddings = Embeddings(embedders or {}, clock, self.observers, self.till)
        self.moderation = moderation or Moderation()
        self.moderations = Moderations(self.moderation, catalog.choose, clock, self.observers, self.till)
        self.chats = Chats(self, chats)
        """The same responses, as chat completions."""
        self.journal = Journal(store)
        self.runs: dict[str, Run] = {}
        """What runs in this process, by response id."""
        self.stopping = False
        """Whether new requests are refused, because the process is about to end."""
        self._next_key = 1
        self.worker = Worker(self)

    # Life

    async def start(self) -> None:
        """Open the store and take over what a dead process left. Raises Unavailable, or what the store raises."""
        try:
            self._next_key = await self.store.start()
        except BaseException:
            await self.catalog.aclose()
            raise
        try:
            await self.store.release()
            await self.accounts.start()
            if self.books is not None:
                await self.books.reconcile(self.store)
            await self.till.start()
            await self.worker.start()
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self, grace: float = 0.0) -> None:
        """Let foreground responses end for `grace` seconds, cut the others, leave background ones to the next start."""
        self.stopping = True
        self.worker.stop()
        await self._drain([run for run in self.runs.values() if not run.turn.request.background], grace)
        for run in list(self.runs.values()):
            background = run.turn.request.background
            is_kept = background and run.exists
            run.end(Stop("abandoned") if is_kept else Stop("failed", Unavailable("The server is stopping.")))
        await self._drain(list(self.runs.values()), None)
        await self.journal.idle()
        try:
            await self.store.release(self.worker.owner)
        except APIError as error:
            _log.warning("leases could not be given back: %s", error.message)
        await self.till.aclose()
        await self.accounts.aclose()
        if self.books is not None:
            await self.books.aclose()
        await self.store.aclose()
        await self.catalog.aclose()
        await self.embeddings.aclose()
        await self.moderation.aclose()

    async def ready(self) -> None:
        """Return if requests can be served. Raises Unavailable while the server stops, or its store does not answer."""
        self._check_open()
        try:
            async with asyncio.timeout(PATIENCE):
                await self.store.find("", "")
        except TimeoutError:
            raise Unavailable("The store does not answer.") from None

    async def _drain(self, runs: Sequence[Run], seconds: float | None) -> None:
        tasks = [run.task for run in runs if run.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    # Create

    async def create(
        self,
        project: str,
        request: CreateResponse,
        trace: Trace | None = None,
        cache: CacheUse = "use",
        *,
        principal: Principal = OPEN,
    ) -> Run:
        """Begin a response. Raises an APIError for a request that cannot be served; nothing is stored then.

        It may still be refused, by a moderator or by its upstream: `Run.opened` says so, and when it exists.
        """
        self._check_open()
        choice, hosted, left_out = self._accept(project, request)
        response_id = ids.new_response_id()
        own, items = await self._input(project, request, response_id)
        turn = Turn(request=request, items=items, response_id=response_id, project=project, trace=trace or Trace())
        turn.organization, turn.key_id, turn.cache = principal.organization, principal.key_id or "", cache
        turn.trace.began = self.clock.monotonic()
        try:
            turn.allowance = self.till.admit(asking_of(turn, choice))
            return self._begin(choice, turn, own, hosted, left_out)
        except BaseException as error:
            if response_id not in self.runs:  # else it settles when it is over
                self.till.release(response_id)
                self._note_refusal(turn, choice, error)
            raise

    def _note_refusal(self, turn: Turn, choice: Choice, error: BaseException) -> None:
        """Write down that nothing came of a request, and what it cost to find that out."""
        if isinstance(error, APIError):
            self.close(refusal_of(turn, choice.name, error, self.clock.now(), self.clock.monotonic()))

    def close(self, report: Report) -> None:
        """Write down, and pay, work that no observer is told of."""
        report = self.observers.priced(report)
        self.till.ended(report)
        if self.books is not None:
            self.books.ended(report)

    def _begin(self, choice: Choice, turn: Turn, own: list[Item], hosted: Hosted, left_out: tuple[str, ...]) -> Run:
        """Begin a response that was admitted."""
        request = turn.request
        plan = self.moderation.plan(request, relays=choice.model.relays)
        self._check_open()  # once more: what begins from here on is known to `aclose`
        response = settings.opened(
            request, response_id=turn.response_id, model=choice.name, created_at=int(self.clock.now())
        )
        run = self._run(turn.project, choice, turn, own, response)
        run.left_out = left_out
        if left_out:
            _log.warning("%s: the model is not told of the tools %s", turn.response_id, ", ".join(left_out))
        run.hosted = hosted
        self._start(run, None if plan is None else partial(self.moderation.admit, plan, turn, own))
        self.bound(run, choice)
        return run

    def _start(self, run: Run, first: First | None) -> None:
        if run.turn.request.background:
            self.worker.submit(run, first=first)
        else:
            run.start(self.options.hold, first=first)
            self.track(run)

    def bound(self, run: Run, choice: Choice, age: float = 0.0) -> None:
        """End a run that takes longer than its model allows. `age` is how long ago its response was created."""
        total = choice.background_total if run.turn.request.background else choice.total
        if not total:
            return
        left = max(0.0, total - age)
        run.turn.deadline = self.clock.monotonic() + left
        error = UpstreamTimeout(f"The response was not complete after {total:g} s.", code="deadline_exceeded")
        timer = self.clock.call_later(left, lambda: run.end(Stop("failed", error)))
        if run.task is not None:
            run.task.add_done_callback(lambda _: timer.cancel())

    def _accept(self, project: str, request: CreateResponse) -> tuple[Choice, Hosted, tuple[str, ...]]:
        """The model for a request, its hosted tools, and the tools that are left out.

        Raises InvalidRequest, or PermissionDenied for a model or a tool that the project may not use.
        """
        choice = self._choose(project, request.model)
        self.accounts.permit_tools(project, request.tools)
        if request.moderation is not None:
            self.accounts.permit_model(project, request.moderation.model, param="moderation.model")
        check_parameters(request, choice.model)
        hosted = Hosted(self.tools, request)
        return choice, hosted, choice.model.accept(hosted.request)

    def _choose(self, project: str, model: str | None) -> Choice:
        if model:
            self.accounts.permit_model(project, model)
        try:
            return self.catalog.choose(model)
        except UnknownModel as error:
            raise error.among(lambda name: self.accounts.allows_model(project, name)) from None

    def _check_open(self) -> None:
        if self.stopping:
            raise Unavailable("The server is stopping.", retry_after=1)

    def left(self, run: Run) -> None:
        """The client of a run has gone. A stored response may be configured to go on; nobody can read another.

        Of one that is not admitted yet nothing is stored, and nobody knows its id.
        """
        request = run.turn.request
        stays = request.background or (request.store and self.options.on_disconnect == "continue")
        if not (stays and run.is_admitted):
            run.end(Stop("cancelled"))

    def _run(self, project: str, choice: Choice, turn: Turn, own: list[Item], response: Response) -> Run:
        request = turn.request
        run = Run(
            model=choice.model,
            turn=turn,
            machine=Machine(ids.output_ids(response.id)),
            clock=self.clock,
            response=response,
        )
        run.address = address_of(choice)
        if not request.store:
            run.log = Log() if request.stream else None
            return run
        run.record = Record(
            key=self._new_key(),
            id=response.id,
            project=project,
            created_at=int(response.created_at),
            status=response.status,
            background=request.background,
            model=request.model or choice.name,
            previous=request.previous_response_id,
            request=request_json(request),
            input=encode(own),
        )
        self.keep(run, run.record)
        if self.books is not None:
            run.row = self.books.opened(began_of(run, self.clock.now()))
        return run

    def keep(self, run: Run, record: Record, *, next_number: int = 0, fence: int = 0) -> None:
        """Give a run a log in the journal."""
        key = record.key
        run.record = record
        run.log = Log(next_number=next_number, read_back=lambda number: self.store.read(key, number))
        run.journal = self.journal
        run.entry = Entry(key, run.log, fence)
        run.entry.on_broken = lambda: run.end(Stop("abandoned"))
        run.entry.on_settled = lambda: self._untrack(run)

    def track(self, run: Run) -> None:
        """Know a started run until it is done and its log is where everybody finds it."""
        assert run.task is not None
        self.runs[run.turn.response_id] = run
        self.observers.began(began_of(run, self.clock.now()))
        run.task.add_done_callback(lambda _: self._done(run))

    def _done(self, run: Run) -> None:
        self._untrack(run)
        now, monotonic = self.clock.now(), self.clock.monotonic()
        if (outcome := outcome_of(run)) is not None:
            self.observers.ended(report_of(run, outcome, now, monotonic))
            return
        self.till.release(run.turn.response_id)
        if self.books is not None:
            self.books.left(report_of(run, "cancelled", now, monotonic), run.entry.fence if run.entry else 0)

    def _untrack(self, run: Run) -> None:
        is_done = run.task is not None and run.task.done()
        if is_done and (run.entry is None or run.entry.settled or not run.exists):
            self.runs.pop(run.turn.response_id, None)

    def _new_key(self) -> int:
        key, self._next_key = self._next_key, self._next_key + 1
        return key

    # Input

    async def _input(self, project: str, request: TurnRequest, response_id: str) -> tuple[list[Item], list[Item]]:
        """The request's own items, and the whole context."""
        own = effective(request.input or [], ids.input_ids(response_id))
        wanted = references(own)
        if wanted:
            own = resolve(own, await self._stored_items(project, wanted))
        items = assemble(await self.history(project, request.previous_response_id), own)
        self.accounts.permit_tools(project, (), items)
        return own, items

    async def history(self, project: str, previous: str | None) -> list[Item]:
        """What was said before: input and output of a response and of all before it. Raises InvalidRequest."""
        if previous is None:
            return []
        chain = await self.store.chain(project, previous)
        if not chain or chain[0].previous is not None:
            missing = chain[0].previous if chain else previous
            raise InvalidRequest(
                f"Previous response with id '{missing}' not found.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        return await self._said(chain)

    async def _said(self, chain: Sequence[Stored]) -> list[Item]:
        return [item for stored in chain for item in [*stored_items(stored.input), *await self._output(stored)]]

    async def _output(self, stored: Stored) -> list[Item]:
        if stored.response is None:
            raise InvalidRequest(
                f"Previous response with id '{stored.id}' is still running.",
                param="previous_response_id",
                code="previous_response_not_found",
            )
        return list(decode_response(stored.response).output)

    async def _stored_items(self, project: str, wanted: Sequence[str]) -> dict[str, Item]:
        found: dict[str, Item] = {}
        seen: set[str] = set()
        for item_id in wanted:
            owner = ids.response_of(item_id) or await self.store.owner_of(project, item_id)
            if owner is None or owner in seen:
                continue
            seen.add(owner)
            stored = await self.store.find(project, owner)
            if stored is not None:
                output = await self._output(stored) if stored.response is not None else []
                found |= {str(item.id): item for item in [*stored_items(stored.input), *output]}
        return found

    async def count(self, project: str, request: CountTokens) -> int:
        """The input tokens that a request would have."""
        asked = CreateResponse(**{name: getattr(request, name) for name in TurnRequest.__struct_fields__})
        choice, hosted, _ = self._accept(project, asked)
        _, items = await self._input(project, request, ids.new_response_id())
        return await choice.model.count(hosted.told(Turn(request=asked, items=items)))

    # What is stored

    async def _find(self, project: str, response_id: str) -> Stored:
        stored = await self.store.find(project, response_id)
        if stored is None:
            raise NotFound(f"Response with id '{response_id}' not found.", code="response_not_found")
        return stored

    def running(self, project: str, response_id: str) -> Run | None:
        """The run of a stored response that is made in this process and has begun to exist."""
        run = self.runs.get(response_id)
        if run is None or run.record is None or run.record.project != project or run.machine.fold.next == 0:
            return None
        return run

    async def retrieve(self, project: str, response_id: str, asked: Collection[str] = ()) -> bytes:
        """A Response as JSON. Raises NotFound."""
        run = self.running(project, response_id)
        if run is not None:
            response = run.machine.fold.response()
            await run.committed()
            return show(response, self.included(run.turn.request.include, asked))
        stored = await self._find(project, response_id)
        if stored.response is None:
            fold = await self.worker.fold_of(stored)
            return show(fold.response(), self.included(include_of(stored), asked))
        hidden = set(stored.gated.split())
        if hidden and hidden - (wanted := self.included(include_of(stored), asked)):
            return show(decode_response(stored.response), wanted)
        return stored.response

    @staticmethod
    def included(created: Sequence[str] | None, asked: Collection[str]) -> frozenset[str]:
        """What a reader sees: what the creation asked for, and what the reader asks for now."""
        return frozenset(created or ()) | frozenset(asked)

    async def follow(
        self, project: str, response_id: str, after: int, asked: Collection[str] = ()
    ) -> AsyncIterator[bytes]:
        """The events after number `after` as SSE frames: those that were, then those that come. Raises NotFound."""
        run = self.running(project, response_id)
        if run is not None and run.log is not None:
            return self.frames_of(run, after + 1, asked)
        stored = await self._find(project, response_id)
        wanted = self.included(include_of(stored), asked)
        plain = stored.response is not None and set(stored.gated.split()) <= wanted
        return self._replay(stored, after + 1, None if plain else wanted)

    async def frames_of(self, run: Run, number: int = 0, asked: Collection[str] = ()) -> AsyncIterator[bytes]:
        """The frames of a run, as its reader may see them."""
        assert run.log is not None
        wanted = self.included(run.turn.request.include, asked)
        run.eager = True
        async for data in run.log.follow(number):
            yield data if run.gated <= wanted else include.visible_frames(data, wanted)

    async def _replay(self, stored: Stored, number: int, wanted: Collection[str] | None) -> AsyncIterator[bytes]:
        while data := await self.store.read(stored.key, number):
            number += frames.count(data)
            yield data if wanted is None else include.visible_frames(data, wanted)
        if await self.store.find(stored.project, stored.id) is None:
            raise NotFound(f"Response with id '{stored.id}' was deleted.", code="response_not_found")
        if stored.response is None:
            raise Unavailable("Nobody works on this response at the moment.", retry_after=1)

    async def cancel(self, project: str, response_id: str) -> bytes:
        """Cancel a background response; the second time changes nothing. Raises NotFound or InvalidRequest."""
        run = self.running(project, response_id)
        if run is None:
            stored = await self._find(project, response_id)
            check_cancel(stored.background, stored.status)
            if stored.response is None:
                raise Conflict(f"Response with id '{response_id}' is about to be taken over. Try again.", retry_after=1)
        elif not run.turn.request.background:
            check_cancel(False, "in_progress")
        else:
            run.end(Stop("cancelled"))
            await run.result()
            check_cancel(True, run.machine.fold.response().status)
        return await self.retrieve(project, response_id)

    async def delete(self, project: str, response_id: str) -> None:
        """Remove a response that is over. Raises NotFound, or Conflict while it runs."""
        await self.journal.barrier()  # drops the segments that hold nothing but what is over
        run = self.running(project, response_id)
        if run is not None:
            message = f"Response with id '{response_id}' is still running. Cancel it, or wait for its end."
            raise Conflict(message, retry_after=1 if run.over else None, should_retry=run.over)
        if not await self.store.delete(project, response_id):
            raise NotFound(f"Response with id '{response_id}' not found.", code="response_not_found")

    async def input_items(self, project: str, response_id: str) -> list[Item]:
        """The effective input of a response, oldest first, as far as it is still stored. Raises NotFound.

        Each id is there once, also if its item was sent or referred to again: clients page by it.
        """
        await self.journal.barrier()
        stored = await self._find(project, response_id)
        chain = [] if stored.previous is None else await self.store.chain(project, stored.previous)
        items = [*await self._said(chain), *stored_items(stored.input)]
        return list({item.id or place: item for place, item in enumerate(items)}.values())


def address_of(choice: Choice) -> str:
    """Where a model is, or the one that is asked first; empty where it is in this process."""
    return (choice.billed[0][1] or "") if choice.billed else ""


def show(response: Response, wanted: Collection[str]) -> bytes:
    """A Response as JSON, as those see it who asked for `wanted`."""
    return encode(include.visible(response, wanted))


RELAYED = ("prompt", "context_management")
"""Parameters that only a Responses upstream can honour."""


def check_parameters(request: CreateResponse, model: Model) -> None:
    """Refuse what would silently be ignored. Raises InvalidRequest."""
    for name in request.extra.keys() - taken_by(model):
        if name not in CHAT_ONLY:
            raise InvalidRequest(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
        message = f"'{name}' is not supported for the model '{request.model}'."
        raise InvalidRequest(message, param=name, code="unsupported_parameter")
    if request.conversation is not None:
        message = "'conversation' is not supported by this server. Use 'previous_response_id'."
        raise InvalidRequest(message, param="conversation", code="unsupported_parameter")
    for name in () if model.relays else RELAYED:
        if getattr(request, name) is not None:
            message = f"'{name}' is not supported for the model '{request.model}'."
            raise InvalidRequest(message, param=name, code="unsupported_parameter")


def check_cancel(background: bool, status: str) -> None:
    """Whether a response with this status may be cancelled. Raises InvalidRequest."""
    if not background:
        raise InvalidRequest("Cannot cancel a synchronous response: only background responses can be cancelled.")
    if status in OVER and status != "cancelled":
        raise InvalidRequest(f"Cannot cancel a {status} response.")
