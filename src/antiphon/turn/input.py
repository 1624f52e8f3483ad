"""What a request and its history become before a model sees them.

    own     = effective(request.input, new_id)             # the request's items, with ids and content as lists
    own     = resolve(own, stored)                         # references replaced by what they stand for
    items   = assemble(history, own)                       # previous responses first; calls and outputs are paired

Rules (the API's): the context of `previous_response_id` is the input and output of the whole chain, not its
instructions nor its settings. Every call that the client must answer needs its output, and every output its call, by
`call_id`; their order is free. A call that was cut needs none: unless it was answered all the same, no model sees it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from antiphon.turn.fold import with_id
from antiphon.turn.trace import Trace
from antiphon.turn.writers import row
from antiphon.wire import items as wire
from antiphon.wire.content import InputText, OutputText
from antiphon.wire.errors import APIError, InvalidRequest, NotFound
from antiphon.wire.items import Item
from antiphon.wire.moderation import ModerationError, ModerationResult
from antiphon.wire.request import CreateResponse
from antiphon.wire.struct import Opaque, type_of

CacheUse: TypeAlias = Literal["use", "refresh", "off"]
"""`refresh`: a new answer is wanted, and may be kept for others. `off`: nothing is looked up, kept or shared."""

GoOn: TypeAlias = Callable[[APIError, int], Awaitable[bool]]
"""Asked by a backend that can take up its answer where the connection broke: waits as long as is wise, and says whether
it may. It is told what broke, and how many connections did so since anything new was heard."""


async def stay(error: APIError, failed: int) -> bool:  # noqa: ARG001 - a GoOn
    """Nobody is there to decide: what broke is broken."""
    return False


class Moderated(msgspec.Struct):
    """What was found in a response, if it was judged."""

    input: ModerationResult | ModerationError | None = None
    output: ModerationResult | ModerationError | None = None
    """In the turns so far."""
    scoring: Scoring | None = None
    """Judges the input, on the account of a turn, for who holds nothing back; None if nobody does, or it is done."""


Scoring: TypeAlias = "Callable[[Turn], Coroutine[Any, Any, ModerationResult | ModerationError]]"


class Allowance(msgspec.Struct):
    """How long an answer hard budgets pay for, in output tokens. All turns of a response share it."""

    cap: int
    """The `max_output_tokens` that goes upstream."""
    reserved: int
    """What is let through, as a gate counts that has no tokenizer."""
    is_short: bool = False
    """Whether the answer may be shorter than it would be if there was more money."""
    said: int = 0
    """In the turns before this one."""


class Turn(msgspec.Struct):
    """What a model is asked: the request's settings, and the items that it answers to."""

    request: CreateResponse
    items: list[Item]
    """History, the request's input, and what earlier turns of this response said; references resolved, calls paired."""
    response_id: str = ""
    prefix: Item | None = None
    """A half-said item to go on with; only for backends with `continues`."""
    number: int = 0
    """0, 1, 2… within a response."""
    project: str = "default"
    organization: str = "default"
    key_id: str = ""
    """The key that asks; empty on an open server."""
    deadline: float | None = None
    """When the response must be over, by the monotonic clock; carried through queues, retries and tools."""
    moderated: Moderated = msgspec.field(default_factory=Moderated)
    """What was found in the response; all its turns share it."""
    judges: bool = False
    """Whether a moderator asks: its own question and answer are not moderated."""
    trace: Trace = msgspec.field(default_factory=Trace)
    cache: CacheUse = "use"
    """What the response cache may do for it, if there is one."""
    allowance: Allowance | None = None
    """What hard budgets pay for; None: there is none, or it is not known yet."""
    go_on: GoOn = stay


def effective(given: str | Sequence[Item], new_id: Callable[[str], str]) -> list[Item]:
    """The request's input as items with ids, each message's content as a list of parts."""
    if isinstance(given, str):
        given = [wire.Message(role="user", content=given)]
    return [_settled(item, new_id) for item in given]


def _settled(item: Item, new_id: Callable[[str], str]) -> Item:
    if isinstance(item, wire.ItemReference):
        return item
    if isinstance(item, wire.Message) and isinstance(item.content, str):
        item = msgspec.structs.replace(item, content=[_part(item.role, item.content)])
    if not item.id and not isinstance(item, Opaque):
        item = with_id(item, new_id(row(type_of(item)).prefix))
    if isinstance(item, wire.Message) and not item.status:
        item = msgspec.structs.replace(item, status="completed")
    return item


def _part(role: str, text: str) -> InputText | OutputText:
    return OutputText(text=text) if role == "assistant" else InputText(text=text)


def references(items: Iterable[Item]) -> list[str]:
    """The ids that the input refers to."""
    return [item.id for item in items if isinstance(item, wire.ItemReference)]


def resolve(items: Sequence[Item], stored: Mapping[str, Item]) -> list[Item]:
    """Replace each reference by the stored item. Raises NotFound for one that is not there."""
    return [_resolved(item, stored) for item in items]


def _resolved(item: Item, stored: Mapping[str, Item]) -> Item:
    if not isinstance(item, wire.ItemReference):
        return item
    found = stored.get(item.id)
    if found is None:
        raise NotFound(
            f"Item with id '{item.id}' not found. Items are not persisted when `store` is set to false. "
            "Try again with `store` set to true, or remove this item from your input.",
            param="input",
            code="item_not_found",
        )
    return found


_ANSWERS: dict[type[Any], type[Any]] = {
    wire.FunctionCallOutput: wire.FunctionCall,
    wire.CustomToolCallOutput: wire.CustomToolCall,
    wire.ComputerCallOutput: wire.ComputerCall,
    wire.LocalShellCallOutput: wire.LocalShellCall,
    wire.ShellCallOutput: wire.ShellCall,
    wire.ApplyPatchCallOutput: wire.ApplyPatchCall,
}
CLIENT_CALLS: tuple[type[Any], ...] = tuple(_ANSWERS.values())
"""Calls that the client answers: they end a response, and the next input must hold their outputs."""


def assemble(history: Sequence[Item], own: Sequence[Item]) -> list[Item]:
    """The whole context of a request, oldest first. Raises InvalidRequest for a call or an output without its other."""
    items = [*history, *own]
    answered = {_pair_id(item) for item in items if type(item) in _ANSWERS}
    items = [item for item in items if not (is_half_a_call(item) and _pair_id(item) not in answered)]
    _check_pairs(items)
    return items


def is_half_a_call(item: Item) -> bool:
    """Whether an item is a call that was cut: nobody can answer it, and it must not end a turn."""
    return isinstance(item, CLIENT_CALLS) and is_cut(item)


def is_cut(item: Item) -> bool:
    """Whether an item was closed before it was finished: the turn that goes on does not build on it."""
    return getattr(item, "status", None) in ("incomplete", "in_progress")


def _check_pairs(items: Sequence[Item]) -> None:
    calls = {_pair_id(item): item for item in items if isinstance(item, CLIENT_CALLS)}
    outputs = {pair: item for item in items if type(item) in _ANSWERS and (pair := _pair_id(item))[1]}
    for pair, call in calls.items():
        if pair not in outputs:
            raise _unpaired(f"No tool output found for {_spoken(call)} {pair[1]}.")
    for pair, output in outputs.items():
        if pair not in calls:
            raise _unpaired(f"No tool call found for {_spoken(output)} with call_id {pair[1]}.")


_FAMILIES = {"local_shell_call": "function_call"}
"""Kinds of calls whose outputs may be of another kind: clients answer a local shell with a function's output too."""


def _pair_id(item: Any) -> tuple[str, str | None]:
    """What a call and its output share: their family and call_id. A local shell's output may carry it as its id."""
    family = type_of(item).removesuffix("_output")
    by_id = item.id if isinstance(item, wire.LocalShellCallOutput) else None
    return _FAMILIES.get(family, family), item.call_id or by_id or None


def _spoken(item: Item) -> str:
    return type_of(item).replace("_", " ")


def _unpaired(message: str) -> InvalidRequest:
    return InvalidRequest(message, param="input")
