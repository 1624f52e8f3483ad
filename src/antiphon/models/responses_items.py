"""Items between us and an upstream that speaks the Responses API: theirs become ours, ours become theirs again.

What an upstream sends is read leniently: it may leave out what it must not, and use words that we do not know. What we
send holds an id only where the upstream gave it, or where the item cannot be without: another id would be looked up
and not be found, though the item is there in full.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from antiphon.models.responses_ids import NO_MARK, is_foreign, ours, theirs
from antiphon.turn.fold import with_id
from antiphon.wire import content
from antiphon.wire import items as wire
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.items import Item
from antiphon.wire.struct import UNSET, Opaque, UnsetType, type_of

__all__ = ["Reach", "annotation", "begun", "received", "sendable", "without_id"]

Json = dict[str, Any]
replace = msgspec.structs.replace


# --- From the upstream


def received(raw: bytes | msgspec.Raw, mark: str = NO_MARK) -> Item | None:
    """An item that the upstream sent, with our id. None if it is of a known kind, and cannot be read as one."""
    try:
        item: Item | None = wire.decode_item(raw)
    except InvalidRequest:
        item = _mended(msgspec.json.decode(raw, type=Json))
    if isinstance(item, wire.McpCall) and item.approval_request_id:
        item.approval_request_id = ours(item.approval_request_id, mark)
    return with_id(item, ours(item.id, mark)) if item is not None and item.id else item


_TOLD: Final = frozenset(
    {
        *("message", "reasoning", "function_call", "custom_tool_call", "mcp_call", "code_interpreter_call"),
        *("shell_call", "shell_call_output", "apply_patch_call"),
    }
)
"""Kinds whose insides are told by events: these must be what we know under their name."""

_MISSING: Final[dict[str, Json]] = {
    "message": {"role": "assistant", "content": []},
    "reasoning": {"summary": []},
    "function_call": {"arguments": ""},
    "custom_tool_call": {"input": ""},
    "file_search_call": {"queries": []},
    "code_interpreter_call": {"container_id": ""},
    "mcp_list_tools": {"tools": []},
    "mcp_call": {"arguments": ""},
    "shell_call": {"action": {"commands": []}},
    "shell_call_output": {"output": []},
}
"""Kind → what stands for the fields that an item should have and does not."""


_CALLS: Final = ("function_call", "custom_tool_call", "shell_call", "apply_patch_call")


def _mended(fields: Json) -> Item | None:
    """An item as it is probably meant, where it is not as it should be."""
    kind = fields.get("type")
    mended: Json = {
        **_MISSING.get(str(kind), {}),
        **{name: value for name, value in fields.items() if value is not None},
    }
    mended["status"] = _status(fields.get("status"))
    if kind in _CALLS:
        mended.setdefault("call_id", fields.get("id") or "")
    if kind == "message":
        mended["content"] = [part for part in map(_mended_part, _listed(mended["content"])) if part is not None]
    try:
        return wire.decode_item(mended)
    except InvalidRequest:
        return Opaque(fields) if isinstance(kind, str) and kind not in _TOLD else None


_STATUSES: Final = ("in_progress", "completed", "incomplete", "failed")


def _status(status: object) -> str | None:
    return status if isinstance(status, str) and status in _STATUSES else None


def _listed(parts: object) -> list[Any]:
    """The parts of a message: a string is one."""
    if isinstance(parts, str):
        return [{"type": "output_text", "text": parts}]
    return parts if isinstance(parts, list) else []


def _mended_part(part: object) -> Json | None:
    match part:
        case {"type": "output_text", "text": str(text)}:
            return {"type": "output_text", "text": text}
        case {"type": "refusal", "refusal": str(text)}:
            return {"type": "refusal", "refusal": text}
    return None


def without_id(item: Item) -> Item:
    """The item as if the upstream had given it no id."""
    if isinstance(item, Opaque):
        return Opaque({name: value for name, value in item.fields.items() if name != "id"})
    return replace(item, id=UNSET)


def annotation(sent: Json) -> Any:
    """An annotation, typed if it is one that we know."""
    kind = content.ANNOTATIONS.get(str(sent.get("type")))
    return as_known(sent, kind) if kind is not None else sent


def as_known(sent: Any, kind: Any) -> Any:
    """A value as the type that it should be of; as it is, if it is not."""
    try:
        return msgspec.convert(sent, kind)
    except msgspec.ValidationError:
        return sent


_EMPTY: Final[dict[type[Any], Callable[[Any], Json]]] = {
    wire.Message: lambda _: {"content": []},
    wire.Reasoning: lambda _: {"summary": [], "content": UNSET},
    wire.FunctionCall: lambda _: {"arguments": ""},
    wire.CustomToolCall: lambda _: {"input": ""},
    wire.FileSearchCall: lambda _: {"queries": [], "results": None},
    wire.WebSearchCall: lambda _: {"action": UNSET, "results": UNSET},
    wire.CodeInterpreterCall: lambda _: {"code": "", "outputs": None},
    wire.ImageGenerationCall: lambda _: {"result": None},
    wire.McpListTools: lambda _: {"tools": [], "error": UNSET},
    wire.McpCall: lambda _: {"arguments": "", "output": None, "error": None},
    wire.ShellCall: lambda item: {"action": replace(item.action, commands=[])},
    wire.ShellCallOutput: lambda _: {"output": []},
    wire.ApplyPatchCall: lambda item: {"operation": _without_diff(item.operation)},
}


def begun(item: Any) -> Any:
    """An item as it looks at its start: what events will tell of it, or its end brings, is not yet there.

    Some upstreams open an item with all that is in it; told again by deltas it would be there twice.
    """
    empty = _EMPTY.get(type(item))
    if empty is None:
        return item
    fields = empty(item)
    if getattr(item, "status", UNSET):
        fields["status"] = "in_progress"
    return replace(item, **fields)


def _without_diff(operation: Any) -> Any:
    return operation if isinstance(operation, wire.DeleteFile) else replace(operation, diff="")


# --- To the upstream


class Reach(msgspec.Struct, frozen=True):
    """What an upstream can do with items, as far as it was configured or has taught us."""

    mark: str = NO_MARK
    stores: bool = False
    """It keeps the items that it made, so it finds them by id."""
    seals: bool = True
    """It encrypts its reasoning when asked to."""
    unseals: bool = True
    """It can read the encrypted reasoning of this input."""
    reads_reasoning: bool = True
    """It takes reasoning in plain words. OpenAI refuses it (400 `array_above_max_length`), vLLM needs it."""


def sendable(items: Iterable[Item], reach: Reach) -> list[Item]:
    """Input for the upstream: what it can read, with its own ids.

    A reasoning item of which it could read nothing is left out. Then the ids of the items after it are left out too,
    because an upstream refuses an item that it knows to follow reasoning, when that is missing.
    """
    sent: list[Item] = []
    orphaned = False
    for item in items:
        orphaned = orphaned and _is_output(item)
        made = _sendable(item, reach, orphaned=orphaned)
        if made is not None:
            sent.append(made)
        elif isinstance(item, wire.Reasoning):
            orphaned = True
    return sent


def _is_output(item: Item) -> bool:
    """Whether a model said it."""
    if isinstance(item, wire.Message):
        return item.role == "assistant"
    return not type_of(item).endswith(("_output", "_response"))


def _sendable(item: Item, reach: Reach, *, orphaned: bool) -> Item | None:
    match item:
        case wire.ItemReference():
            return None  # what it stands for is not the client's to see: the upstream's items are everybody's here
        case wire.Reasoning():
            return _reasoning(item, reach)
        case Opaque():
            return _opaque(item, reach)
    own = _id(item, reach, orphaned=orphaned)
    changes: Json = {"id": own} | {name: UNSET for name in _UNWELCOME if hasattr(item, name)}
    if isinstance(item, _WITH_APPROVAL) and item.approval_request_id:
        changes["approval_request_id"] = theirs(item.approval_request_id, reach.mark) or item.approval_request_id
    if not own and isinstance(item, _STATELESS):
        changes["status"] = UNSET
    return replace(item, **changes)


_UNWELCOME: Final = ("created_by",)
"""Fields of output that no input may have."""

_WITH_APPROVAL: Final = (wire.McpCall, wire.McpApprovalResponse)

_STATELESS: Final = (wire.Message, wire.CustomToolCallOutput)
"""Kinds that have no status unless they have an id."""

_NEED_ID: Final = (
    wire.FileSearchCall,
    wire.WebSearchCall,
    wire.ComputerCall,
    wire.ImageGenerationCall,
    wire.CodeInterpreterCall,
    wire.LocalShellCall,
    wire.LocalShellCallOutput,
    wire.McpListTools,
    wire.McpCall,
    wire.McpApprovalRequest,
    wire.Program,
    wire.ProgramOutput,
)
"""Kinds that input may not have without an id (the API's types say so). Ours will do: the item is there in full."""


def _id(item: Any, reach: Reach, *, orphaned: bool) -> str | UnsetType:
    own: str | UnsetType = item.id
    if not own:
        return UNSET
    if isinstance(item, _NEED_ID):
        return theirs(own, reach.mark) or own
    return (None if orphaned else theirs(own, reach.mark)) or UNSET


def _reasoning(item: wire.Reasoning, reach: Reach) -> wire.Reasoning | None:
    """Reasoning as the upstream can read it: encrypted by itself, or stored there, or in plain words."""
    own = item.id or ""
    known = theirs(own, reach.mark)
    readable = bool(item.encrypted_content) and reach.unseals and not is_foreign(own, reach.mark)
    if readable or (known is not None and reach.stores):
        sealed = item.encrypted_content if readable else UNSET
        return replace(item, id=known or UNSET, content=UNSET, encrypted_content=sealed)
    if item.content and reach.reads_reasoning:
        return replace(item, id=known or own or UNSET, encrypted_content=UNSET)
    return None


def _opaque(item: Opaque, reach: Reach) -> Item:
    known = theirs(item.id, reach.mark) if item.id else None
    return without_id(item) if known is None else with_id(item, known)
