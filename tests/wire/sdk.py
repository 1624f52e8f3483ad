"""Takes the official SDK's types apart: the members of a union, the fields of a member, the values of a literal.

The SDK says every object twice: as a pydantic model for what it reads, as a TypedDict for what it sends.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

import msgspec
from pydantic import BaseModel
from typing_extensions import get_type_hints, is_typeddict

TRANSPARENT = (Annotated, Required, NotRequired)


def members(union: Any) -> Iterator[Any]:
    """The members of a union, also of one in a union."""
    if get_origin(union) in TRANSPARENT:
        yield from members(get_args(union)[0])
    elif get_origin(union) in (Union, types.UnionType):
        for member in get_args(union):
            yield from members(member)
    elif union is not types.NoneType:
        yield union


def objects(union: Any) -> list[type]:
    """The members that are objects."""
    return [member for member in members(union) if is_typeddict(member) or is_model(member)]


def is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def fields(kind: Any) -> dict[str, Any]:
    """The fields of an object by their name on the wire."""
    if is_model(kind):
        return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    return get_type_hints(kind, include_extras=True)


def required(kind: Any) -> set[str]:
    """The fields that an object must have."""
    if is_model(kind):
        return {field.alias or name for name, field in kind.model_fields.items() if field.is_required()}
    return {name for name, hint in fields(kind).items() if get_origin(hint) is Required}


def wire_types(kind: Any) -> tuple[str, ...]:
    """The values that the field `type` of an object may have."""
    return tuple(literals(fields(kind)["type"]))


def by_type(union: Any) -> dict[str, list[type]]:
    """The objects of a union by their `type`."""
    found: dict[str, list[type]] = {}
    for member in objects(union):
        for name in wire_types(member):
            found.setdefault(name, []).append(member)
    return found


def literals(annotation: Any) -> set[Any]:
    """All values of the literals in a type."""
    return {value for member in members(annotation) if get_origin(member) is Literal for value in get_args(member)}


def is_closed(annotation: Any) -> bool:
    """Whether a type allows the values of its literals only."""
    return all(get_origin(member) is Literal for member in members(annotation) if member is not msgspec.UnsetType)


def ours(struct: type[msgspec.Struct]) -> dict[str, Any]:
    """The fields of one of our structs by their name on the wire, without the tag."""
    hints = get_type_hints(struct, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}
