"""What the engine needs from the world, as Protocols. Adapters implement them; nothing here does anything.

One contract suite a Protocol (`antiphon.testing`, `tests/contracts`) runs on every adapter.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import msgspec

from antiphon.policy.alert import Alert
from antiphon.policy.directory import Change as AccountChange
from antiphon.policy.directory import Directory, Logged
from antiphon.policy.ledger import Row, Spent, Usage, UsageQuery
from antiphon.policy.verdict import Account, Passage, Verdict
from antiphon.turn.deltas import Delta
from antiphon.turn.input import Turn
from antiphon.turn.report import Answered, Began, Report
from antiphon.wire.embeddings import CreateEmbeddings, EmbeddingList
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.items import FunctionCall
from antiphon.wire.request import CreateResponse
from antiphon.wire.response import ModelObject
from antiphon.wire.tools import FunctionTool
from antiphon.wire.tools import Tool as DeclaredTool


class Model(Protocol):
    """A single backend: a turn goes in, batches of deltas come out."""

    @property
    def name(self) -> str:
        """The name of the model as its upstream knows it; for logs and facts."""
        ...

    @property
    def continues(self) -> bool:
        """Whether `stream` can go on within a half-said item (`Turn.prefix`)."""
        ...

    @property
    def pass_through(self) -> frozenset[str]:
        """Parameters beyond the API's own that go on to the upstream; they come in `CreateResponse.extra`."""
        ...

    @property
    def chat_parameters(self) -> frozenset[str]:
        """Those of `antiphon.wire.chat.CHAT_ONLY` that the upstream takes; they come in `CreateResponse.extra` too."""
        ...

    @property
    def relays(self) -> bool:
        """Whether the upstream is a Responses server, which can do what needs one: stored prompts, moderation…"""
        ...

    def accept(self, request: CreateResponse) -> tuple[str, ...]:
        """The tool types of a request that this backend leaves out, each named once.

        Raises InvalidRequest (400 `unsupported_tool`, with the tool's `param`) where leaving a tool out would make the
        answer an invention: file_search, code_interpreter, mcp, or a forced tool_choice of a tool left out.
        """
        ...

    def stream(self, turn: Turn) -> AsyncGenerator[list[Delta], None]:
        """Say one turn. One batch a network read; the first batch, maybe empty, says that the request was accepted.

        Raises an APIError with the meaning of the upstream's failure. Closing the generator, or cancelling the task
        that reads it, closes the upstream at once.
        """
        ...

    async def count(self, turn: Turn) -> int:
        """The input tokens of a turn, exactly if the upstream can say, else by tokenizer."""
        ...

    async def aclose(self) -> None:
        """Release connections. The model is not used again."""
        ...


Tell: TypeAlias = Callable[[Sequence[Delta]], None]
"""Tells deltas: they become events at once."""


class Tool(Protocol):
    """A hosted tool: what a model is told of it, and the work that a call asks for."""

    def functions(self, declared: DeclaredTool) -> Sequence[FunctionTool]:
        """The tool of a request as the functions that a model can call. Raises InvalidRequest for wrong settings."""
        ...

    async def run(self, call: FunctionCall, tell: Tell) -> str:
        """Do what a call asks. Returns what the model is told of it.

        The tool tells its own item, from `ItemStarted` to `ItemDone`, under a key that no other call has (its
        `call_id`). What goes wrong in the work is told as a failed item and an output that says so; it raises nothing.
        A cancelled task stops the work at once.
        """
        ...


class Choice(msgspec.Struct):
    """The model that a name stands for."""

    name: str
    """What the Response says that it is by."""
    model: Model
    total: float = 0.0
    """Seconds that a foreground response may take in all; 0: as long as it likes."""
    background_total: float = 0.0
    """The same for a background one."""
    billed: tuple[tuple[str, str | None], ...] = ()
    """Under which names upstreams may bill it, each with the address of the upstream, if it has one."""
    output: int = 4096
    """Tokens that an answer may have whose request does not say, where a hard budget has to pay for it."""


class Embedder(Protocol):
    """A model that turns text into vectors."""

    @property
    def address(self) -> str:
        """Where it is; for logs and metrics."""
        ...

    def name_for(self, asked: str) -> str:
        """The upstream's name for the model that was asked for."""
        ...

    async def embed(self, request: CreateEmbeddings, headers: Mapping[str, str]) -> EmbeddingList:
        """One vector for each text of the request, in their order. `headers` go to the upstream too.

        Raises an APIError with the meaning of the upstream's failure.
        """
        ...

    async def aclose(self) -> None:
        """Release connections."""
        ...


class Moderator(Protocol):
    """Who judges what is asked of models, and what they say."""

    @property
    def window(self) -> int:
        """Characters that it wants to judge at a time. 0: whatever there is, and it answers at once.

        What is large it is asked for in a thread then, so that the event loop goes on.
        """
        ...

    @property
    def overlap(self) -> int:
        """Characters that are held back of a text that goes on, and judged again with what follows."""
        ...

    @property
    def model_name(self) -> str | None:
        """The model of the catalog that it asks, and that is billed for it. None: it asks none of them."""
        ...

    def judge(
        self, passages: Sequence[Passage], images: Sequence[str] = (), account: Account | None = None
    ) -> Verdict | Awaitable[Verdict]:
        """One verdict on all of them: at once, or later. Images are URLs; who sees none leaves them out.

        `account` is whose work it is; None: nobody's, so that nothing of it is noted.
        A verdict that comes later may be an APIError instead. A cancelled task stops the work at once.
        """
        ...

    async def aclose(self) -> None:
        """Release connections. The moderator is not used again."""
        ...


class UnknownModel(InvalidRequest):
    """No model has the name that was asked for; the message says which names there are."""

    default_code = "model_not_found"

    def __init__(self, reason: str, names: Sequence[str], *, others: bool = False) -> None:
        """`others`: whether an upstream may know more names than these."""
        known = [*names, "any name that the upstream knows"] if others else names
        super().__init__(f"{reason} Available models: {', '.join(known) or 'none'}.", param="model")
        self._told = reason, names, others

    def among(self, is_shown: Callable[[str], bool]) -> UnknownModel:
        """The same, for somebody who may not know of all names."""
        reason, names, others = self._told
        return UnknownModel(reason, [name for name in names if is_shown(name)], others=others)


class Catalog(Protocol):
    """The models that requests may name."""

    def choose(self, name: str | None) -> Choice:
        """The model for a name. Raises UnknownModel with the names there are."""
        ...

    @property
    def pass_through(self) -> frozenset[str]:
        """Parameters that at least one model lets through."""
        ...

    async def models(self) -> Sequence[ModelObject]:
        """What requests may name, in the order of the configuration."""
        ...

    async def aclose(self) -> None:
        """Close all models."""
        ...


# Storage


class Record(msgspec.Struct):
    """A stored response as its creation wrote it. JSON is kept as text, ready to be sent."""

    key: int
    """Numbers the responses of a database; small, for the rows that hang on it."""
    id: str
    project: str
    created_at: int
    status: str
    background: bool
    model: str
    previous: str | None
    request: bytes
    """The request, for a worker that takes over."""
    input: bytes
    """The effective input items as a JSON array."""


class Stored(Record):
    """A stored response as it is read."""

    response: bytes | None = None
    """The Response as JSON; None while it runs."""
    gated: str = ""
    """The `include` values, space-separated, that would show more of this response."""
    attempts: int = 0
    """How many workers began it."""
    fence: int = 0
    """Rises with each lease; an append with an older one is refused."""


class Chunk(msgspec.Struct):
    """A stretch of a response's log: the frames from the event `first` on."""

    key: int
    first: int
    data: bytes
    fence: int = 0


class Begin(msgspec.Struct):
    """A response begins."""

    record: Record
    row: Row | None = None
    """What the ledger has of it as long as it runs. There from the same moment on as the response."""


class End(msgspec.Struct):
    """A response is over, with the Response that every GET will give."""

    key: int
    status: str
    response: bytes
    gated: str
    item_ids: list[str]
    """Ids of items that do not carry the id of their response."""


class Fact(msgspec.Struct):
    """What the protocol does not say but must be remembered; an unnumbered row beside the events."""

    key: int
    after: int
    """The number of the event that the fact comes before."""
    kind: str
    data: bytes


Change: TypeAlias = Begin | End | Fact


class Batch(msgspec.Struct):
    """All that is written in one commit: together, or not at all."""

    changes: list[Change] = []
    chunks: list[Chunk] = []
    """Go into one segment for all running responses together."""
    stretches: list[Chunk] = []
    """Finished stretches, one blob each; the segments that held them are spent."""
    spent: int = 0
    """Segments with a smaller number are needed no longer."""


class Written(msgspec.Struct):
    """What became of a batch."""

    segment: int
    """Number of the segment that holds its chunks."""
    fenced: set[int]
    """Keys of responses that another worker has taken; nothing of theirs was written."""


class Store(Protocol):
    """Responses and their journals. Every look-up carries the project; a foreign id is an unknown id.

    All methods raise Unavailable (503) when the disk is full, read-only or gone; nothing is half-written then.
    """

    async def start(self) -> int:
        """Open, and bring what a dead process left in segments in order. Returns the first free key."""
        ...

    async def aclose(self) -> None:
        """Close, after all that was handed over is written."""
        ...

    def write(self, batch: Batch) -> Future[Written]:
        """Commit a batch. Batches are committed in the order of the calls."""
        ...

    async def find(self, project: str, response_id: str) -> Stored | None:
        """A response of a project."""
        ...

    async def chain(self, project: str, response_id: str) -> list[Stored]:
        """A response and all before it, oldest first, as far as `previous` leads. Empty if there is none."""
        ...

    async def owner_of(self, project: str, item_id: str) -> str | None:
        """The id of the response that an item with a foreign id belongs to."""
        ...

    async def read(self, key: int, number: int) -> bytes:
        """Frames of a log from the event `number` on, as many as one stretch holds; b"" behind the end."""
        ...

    async def delete(self, project: str, response_id: str) -> bool:
        """Remove a response with all that hangs on it. False if there was none."""
        ...

    async def unfinished(self) -> Sequence[Stored]:
        """Responses that are not over and whose lease, if they have one, has expired."""
        ...

    async def lease(self, key: int, owner: str, until: float) -> int | None:
        """Take a response that nobody holds until a Unix time; returns the fence, None if somebody was faster."""
        ...

    async def renew(self, keys: Sequence[int], owner: str, until: float) -> set[int]:
        """Extend leases; returns the keys that `owner` still holds."""
        ...

    async def release(self, owner: str | None = None) -> None:
        """Give back all leases of an owner, or with None those of everybody."""
        ...


class StoredChat(msgspec.Struct):
    """A stored chat completion as it is read: a response that is over, and what was asked in the words of the chat."""

    key: int
    """That of its response."""
    response: bytes
    """The Response as JSON."""
    metadata: dict[str, str]
    request: bytes
    """The request as it was sent."""


class ChatQuery(msgspec.Struct):
    """Which stored completions are wanted, and in which order."""

    limit: int
    after: int | None = None
    """The key of the one before the first."""
    newest_first: bool = False
    model: str | None = None
    metadata: dict[str, str] = {}
    """Pairs that they all have."""


class ChatStore(Protocol):
    """Chat completions beside the responses that they are. They go with their response when that is deleted.

    Those are known whose response is completed or incomplete. All methods raise Unavailable (503) as a store does.
    """

    def keep(self, project: str, key: int, metadata: Mapping[str, str], request: bytes) -> Future[None]:
        """Note that the response with this key is a chat completion."""
        ...

    async def find(self, project: str, response_id: str) -> StoredChat | None:
        """The completion that a response of a project is."""
        ...

    async def page(self, project: str, query: ChatQuery) -> list[StoredChat]:
        """Completions of a project, as a query wants them."""
        ...

    async def describe(self, project: str, response_id: str, metadata: Mapping[str, str]) -> bool:
        """Replace the metadata of a completion. False if there is none."""
        ...


class ResponseCache(Protocol):
    """Answers that may be said again, by project and key. What is kept may be gone at any time; nobody rests on it.

    All methods raise Unavailable (503) as a store does.
    """

    async def get(self, project: str, key: bytes) -> bytes | None:
        """What was kept under a key of a project, as long as its time is not over. It counts as used now."""
        ...

    def put(self, project: str, key: bytes, data: bytes, until: float) -> Future[None]:
        """Keep data until a Unix time, in place of what was there.

        Each project has the same number of bytes; beyond that what was used least recently goes. What is larger than
        all of it is not kept.
        """
        ...

    def remove(self, project: str, key: bytes) -> Future[None]:
        """Keep it no longer."""
        ...


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines of an audit log. An empty filter lets everything pass."""

    organization: str
    types: Sequence[str] = ()
    actors: Sequence[str] = ()
    """Ids of users, service accounts or keys."""
    emails: Sequence[str] = ()
    projects: Sequence[str] = ()
    resources: Sequence[str] = ()
    since: float = 0.0
    """Unix time; `until` is the first that is too late."""
    until: float = float("inf")
    after: str | None = None
    """The id of the line behind which the lines begin."""
    before: str | None = None
    """The id of the line before which they end. Alone it turns the search round: the nearest lines come first."""
    oldest_first: bool = False
    limit: int = 20


class AccountStore(Protocol):
    """Organizations, projects, people, keys, and the log of what was done to them. See `antiphon.policy.directory`.

    Several processes may change it at the same time. All methods raise Unavailable (503) as a store does.
    """

    async def load(self) -> Directory:
        """All of it, as it is at one moment."""
        ...

    async def revision(self) -> int:
        """How often it was changed, by whomever. Asked several times a second."""
        ...

    def write(self, change: AccountChange, revision: int) -> Future[bool]:
        """Carry out a change that was decided on at a revision. False, and nothing done, if it is another now."""
        ...

    def used(self, times: Mapping[str, float]) -> Future[None]:
        """Note when keys were used last, by their id. This is no change."""
        ...

    async def audit(self, query: AuditQuery) -> Sequence[Logged] | None:
        """Lines of the audit log; None if `after` or `before` is none of its lines."""
        ...


class Fired(msgspec.Struct, frozen=True):
    """An alert that is written down, and the ways on which it has yet to be sent."""

    alert: Alert
    pending: tuple[str, ...]


class AlertStore(Protocol):
    """The alerts that were sent, so that none is sent twice. All methods raise Unavailable (503) as a store does."""

    def fire(self, alert: Alert, pending: Sequence[str]) -> Future[bool]:
        """Write an alert down that is to be sent on some ways. False, and nothing done, if it is there already.

        It is the same if organization, budget, beginning of the window, threshold and amount are.
        """
        ...

    def sent(self, alert_id: str, way: str) -> Future[None]:
        """Note that an alert was sent on a way, or is given up."""
        ...

    async def fired(self, since: float) -> Sequence[Fired]:
        """The alerts since a Unix time, oldest first."""
        ...


class AlertSink(Protocol):
    """A way on which alerts are sent."""

    @property
    def name(self) -> str:
        """Its name, by which it is known after a restart: `webhook`, `email`."""
        ...

    def takes(self, alert: Alert) -> bool:
        """Whether an alert goes this way."""
        ...

    async def send(self, alert: Alert) -> None:
        """Send it. Raises APIError with the reason if that failed; then it is tried again."""
        ...


class Ledger(Protocol):
    """What each piece of work used and cost. See `antiphon.policy.ledger`. All methods raise Unavailable as a store."""

    def write(self, rows: Sequence[Row]) -> Future[None]:
        """Write rows, each with its charges, in place of those with the same ids: all of them, or none.

        Who asked, when, and for what, stays as the first row told it. A row that is over is not opened again by one
        that runs. What is handed over first is written first.
        """
        ...

    async def running(self) -> Sequence[Row]:
        """The rows of work that has not ended, oldest first, with their charges."""
        ...

    async def find(self, work_id: str) -> Row | None:
        """The row of a piece of work, with its charges."""
        ...

    async def usage(self, query: UsageQuery) -> Sequence[Usage]:
        """What was used by work that is over, by the time when it began: in the order of time, then of the groups."""
        ...

    async def spent(self, since: float) -> Sequence[Spent]:
        """What work cost that began at a time or after it, by organization, project and key."""
        ...


class Clock(Protocol):
    """Time: wall time for what people read, monotonic time for what is measured."""

    def now(self) -> float:
        """Unix time in seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call back in so many seconds, from the event loop."""
        ...


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Let it not come."""
        ...


class Observer(Protocol):
    """Who looks on: logs, metrics, traces. It alters nothing, and what it raises is logged and hurts nobody.

    It is told on the event loop, when work begins and when it is over, never for a delta; so it must be quick.
    """

    def began(self, work: Began) -> None:
        """A response, or other work, begins."""
        ...

    def ended(self, report: Report) -> None:
        """It is over. Told once for each that began, save those that another process takes over."""
        ...

    def answered(self, request: Answered) -> None:
        """An HTTP request was answered; before or after the end of the work that was done for it."""
        ...
