"""How the requests of the admin API are read: a JSON body or a query, into a struct that needs no further check."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Final, NamedTuple, TypeVar, Union, get_args, get_origin

import msgspec

from antiphon.wire.errors import InvalidRequest
from antiphon.wire.read import decoder, read
from antiphon.wire.request import check_depth
from antiphon.wire.struct import Wire

__all__ = ["AdminRequest", "decode_body", "decode_query"]


class AdminRequest(Wire, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A body or a query. `None` means not sent; in a body `null` does too.

    `unserved` names the parameters of OpenAI's API that this server cannot honour, each with the reason.
    """

    unserved: ClassVar[Mapping[str, str]] = {}

    def check(self) -> None:
        """Refuse what no single field can tell. Raises InvalidRequest."""


AnyRequest = TypeVar("AnyRequest", bound=AdminRequest)


def decode_body(body: bytes, kind: type[AnyRequest]) -> AnyRequest:
    """Decode and validate the body of a POST. Raises InvalidRequest."""
    check_depth(body)
    request: AnyRequest = read(body, decoder(kind))
    return _checked(request)


def decode_query(fields: Iterable[tuple[str, str]], kind: type[AnyRequest]) -> AnyRequest:
    """Decode and validate the fields of a query, in their order and percent-decoded. Raises InvalidRequest.

    A list is sent as `name[]=a&name[]=b`, `name[0]=a` or plainly `name=a&name=b`, an object as `name[key]=a`. Of a
    field that is sent twice the last one counts. A name that is not a parameter is refused: a misspelt filter would
    otherwise give figures of too much.
    """
    request: AnyRequest = read(_object(fields, kind), decoder(kind))
    return _checked(request)


def _checked(request: AnyRequest) -> AnyRequest:
    for name, reason in request.unserved.items():
        if getattr(request, name) is not None:
            message = f"Unsupported parameter: '{name}'. {reason}"
            raise InvalidRequest(message, param=name, code="unsupported_parameter")
    request.check()
    return request


# From the texts of a query to the object that a body would be


class _Key(NamedTuple):
    """The name of a field and what stands in its brackets: "a" has none, "a[]" has the empty text."""

    name: str
    inside: str | None


_KEY: Final = re.compile(r"([^\[\]]+)(?:\[([^\[\]]*)\])?")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}")
_BOOLEANS: Final = {"true": True, "false": False}


def _object(fields: Iterable[tuple[str, str]], kind: type[AdminRequest]) -> dict[str, Any]:
    """Each text where its field expects it, as the value that it spells; what fits nowhere stays under its own key."""
    sent: dict[str, Any] = {}
    kinds = _kinds(kind)
    for key, text in fields:
        name, inside = _split(key)
        expected = kinds.get(name)
        if get_origin(expected) is list and (not inside or inside.isdecimal()):
            sent.setdefault(name, []).append(text)
        elif _is_struct(expected) and inside:
            before = sent.get(name)
            entry = {inside: _spelled(text, _kinds(expected).get(inside))}
            sent[name] = before | entry if isinstance(before, dict) else entry
        else:
            sent[key] = _spelled(text, expected)
    return sent


def _split(key: str) -> _Key:
    found = _KEY.fullmatch(key)
    return _Key(found[1], found[2]) if found else _Key(key, None)


def _spelled(text: str, expected: Any) -> Any:
    """The number or truth value that a text spells where one is expected, else the text."""
    if expected is int and _INTEGER.fullmatch(text):
        return int(text)
    return _BOOLEANS.get(text, text) if expected is bool else text


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


@cache
def _kinds(kind: type[AdminRequest]) -> Mapping[str, Any]:
    """The types of the fields of a struct, without bounds and without null."""
    return {field.encode_name: _bare(field.type) for field in msgspec.structs.fields(kind)}


def _bare(kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        return _bare(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return next(_bare(member) for member in get_args(kind) if member is not types.NoneType)
    return kind
