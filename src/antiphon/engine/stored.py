"""Requests and items as the store keeps them: JSON text."""

from __future__ import annotations

import msgspec

from antiphon.ports import Stored
from antiphon.wire.items import Item, keep_item
from antiphon.wire.request import CreateResponse, decode_create
from antiphon.wire.struct import encode


def stored_items(data: bytes) -> list[Item]:
    """The items of a stored JSON array."""
    return [keep_item(raw) for raw in msgspec.json.decode(data, type=list[msgspec.Raw])]


def request_json(request: CreateResponse) -> bytes:
    """A request as it is stored: without its input, which is stored beside it, and with what was let through."""
    data = encode(msgspec.structs.replace(request, input="", extra={}))
    return encode({**msgspec.json.decode(data), **request.extra}) if request.extra else data


def stored_request(data: bytes) -> CreateResponse:
    """A request as it was stored."""
    return decode_create(data, pass_through=frozenset(msgspec.json.decode(data, type=dict[str, msgspec.Raw])))


class _Includes(msgspec.Struct):
    include: list[str] = []


def include_of(stored: Stored) -> list[str]:
    return msgspec.json.decode(stored.request, type=_Includes).include
