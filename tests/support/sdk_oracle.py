"""The official SDK's types as a judge of what we send.

The SDK builds its own objects without validating, so it hides most mistakes. Here its pydantic models are made to
validate: required fields, types without coercion, literals, and no field that the models do not know. Each function
gives a list of complaints, empty when the value is right; `check_events` raises.

What the models do not know and the API sends nevertheless is named in the tables below, each with its reason.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from openai.types.responses import Response, ResponseOutputItem, ResponseStreamEvent
from pydantic import TypeAdapter, ValidationError

Json = dict[str, Any]
Loc = tuple[int | str, ...]
Complaint = tuple[Loc, str, str]  # where, pydantic's kind of error, the words
PLAIN_TYPES = frozenset({"str", "int", "float", "bool"})

# Events that the API sends and the union lacks, with the fields that each must have.
UNDOCUMENTED_EVENTS: Mapping[str, Mapping[str, type]] = {
    "keepalive": {"sequence_number": int},
    "response.apply_patch_call_operation_diff.delta": {
        "sequence_number": int,
        "item_id": str,
        "output_index": int,
        "delta": str,
    },
    "response.apply_patch_call_operation_diff.done": {
        "sequence_number": int,
        "item_id": str,
        "output_index": int,
        "diff": str,
    },
}

# Fields that live answers have and the models lack, by the type of the object that holds them.
EXTRA_FIELDS: Mapping[str, frozenset[str]] = {
    "response": frozenset({"store", "billing", "presence_penalty", "frequency_penalty"}),  # request settings are echoed
    "custom_tool_call": frozenset({"status"}),  # as on function_call
}

# Fields that the models require and live answers lack: a search says what it did when it is done.
ABSENT_WHEN_ADDED: Mapping[str, frozenset[str]] = {"web_search_call": frozenset({"action"})}

# `response.error.code` is an open string on the wire; these are seen there and read by clients.
ERROR_CODES = frozenset({"insufficient_quota", "context_length_exceeded"})


def validate_event(event: Json, *, opaque: bool = False) -> list[str]:
    """Complain about one stream event. `opaque` lets types pass that the SDK does not know: events, items, tools."""
    name = str(event.get("type"))
    if name in UNDOCUMENTED_EVENTS:
        return _undocumented(event, UNDOCUMENTED_EVENTS[name])
    model = event_models().get(name)
    if model is None:
        return [] if opaque else [f"type: unknown event type {name!r}"]
    return _complaints(model, event, opaque=opaque)


def validate_item(item: Json, *, opaque: bool = False) -> list[str]:
    """Complain about one output item."""
    model = item_models().get(str(item.get("type")))
    if model is None:
        return [] if opaque else [f"type: unknown item type {item.get('type')!r}"]
    return _complaints(model, item, opaque=opaque)


def validate_response(response: Json, *, opaque: bool = False) -> list[str]:
    """Complain about one Response object."""
    return _complaints(Response, response, opaque=opaque)


def check_events(events: Iterable[Json], *, opaque: bool = False) -> None:
    """Raise AssertionError that names each event which the SDK's types refuse."""
    complaints = [
        f"event {position} ({event.get('type')}): {complaint}"
        for position, event in enumerate(events)
        for complaint in validate_event(event, opaque=opaque)
    ]
    assert not complaints, "\n".join(complaints)


@cache
def event_models() -> Mapping[str, type]:
    """The members of the SDK's event union by their `type`."""
    return _members(ResponseStreamEvent)


@cache
def item_models() -> Mapping[str, type]:
    """The members of the SDK's union of output items by their `type`."""
    return _members(ResponseOutputItem)


def _members(union: Any) -> dict[str, type]:
    members = get_args(get_args(union)[0] if get_origin(union) is Annotated else union)
    return {name: member for member in members for name in get_args(member.model_fields["type"].annotation)}


@cache
def _adapter(model: type) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def _undocumented(event: Json, fields: Mapping[str, type]) -> list[str]:
    allowed = fields.keys() | {"type", "obfuscation"}
    wrong = [f"{key}: not of type {kind.__name__}" for key, kind in fields.items() if type(event.get(key)) is not kind]
    return wrong + [f"{key}: not a field of this event" for key in event.keys() - allowed]


def _complaints(model: type, value: Json, *, opaque: bool) -> list[str]:
    """Validate as JSON: only there does pydantic's strict mode take objects for models and lists for tuples."""
    try:
        _adapter(model).validate_json(json.dumps(value), strict=True, extra="forbid")
    except ValidationError as error:
        raw = [(entry["loc"], entry["type"], entry["msg"]) for entry in error.errors(include_url=False)]
        found = [entry for entry in _meant(raw) if not _tolerated(value, entry, opaque)]
        return [f"{_path(loc)}: {text}" for loc, _, text in found]
    return []


def _is_member(step: int | str) -> bool:
    """Tell the name of a union's member from the name of a field: members are classes, or spelled-out types."""
    return isinstance(step, str) and (step[:1].isupper() or step in PLAIN_TYPES or not step.isidentifier())


def _meant(errors: list[Complaint]) -> list[Complaint]:
    """Keep the errors of those union members whose `type` is the value's own; if none is, one error says so."""
    foreign = {loc[:-1] for loc, kind, _ in errors if kind == "literal_error" and loc[-1] == "type" and len(loc) > 1}
    foreign = {loc for loc in foreign if _is_member(loc[-1])}
    kept = [entry for entry in errors if not any(entry[0][:length] in foreign for length in range(len(entry[0]) + 1))]
    answered = {loc[:length] for loc, _, _ in kept for length in range(len(loc) + 1)}
    unions = {loc[:-1] for loc in foreign} - answered
    outermost = {loc for loc in unions if not any(loc[:length] in foreign for length in range(len(loc)))}
    return kept + [((*loc, "type"), "unknown_type", "no member of the union has this type") for loc in outermost]


def _steps(loc: Loc) -> Loc:
    return tuple(step for step in loc if not _is_member(step))


def _path(loc: Loc) -> str:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in _steps(loc))
    return path.removeprefix(".")


def _tolerated(value: Json, complaint: Complaint, opaque: bool) -> bool:
    loc, kind, _ = complaint
    *owner, last = _steps(loc)
    holder = _at(value, owner)
    if not isinstance(holder, dict):
        return False
    name = str(holder.get("type") or holder.get("object"))
    match kind:
        case "unknown_type":
            return opaque
        case "extra_forbidden":
            return last in EXTRA_FIELDS.get(name, ()) or (last == "obfuscation" and name.endswith(".delta"))
        case "missing":
            return str(value.get("type")).endswith(".added") and last in ABSENT_WHEN_ADDED.get(name, ())
        case "literal_error":
            return owner[-1:] == ["error"] and last == "code" and holder["code"] in ERROR_CODES
        case _:
            return False


def _at(value: Any, steps: list[int | str]) -> Any:
    for step in steps:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value
