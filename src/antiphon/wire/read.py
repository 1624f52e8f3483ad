"""Reads one object of a known type out of JSON text, or out of an object that was decoded without its type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec

from antiphon.wire.invalid import malformed, refuse

__all__ = ["ANYTHING", "OBJECT", "RAW_ARRAY", "RAW_OBJECT", "Sent", "decoder", "read"]

T = TypeVar("T")

Sent: TypeAlias = bytes | msgspec.Raw | Mapping[str, Any]
"""An object as it arrives: JSON text, or decoded without its type."""


_decoders: dict[type[Any], msgspec.json.Decoder[Any]] = {}


def decoder(kind: type[Any]) -> msgspec.json.Decoder[Any]:
    """The decoder of a class, made when it is first needed: to make all of them would delay the start."""
    made = _decoders.get(kind)
    if made is None:
        made = _decoders[kind] = msgspec.json.Decoder(kind)
    return made


def read(raw: Sent, using: msgspec.json.Decoder[T], path: str = "") -> T:
    """Decode one object, which stands at `path` in the request. Raises InvalidRequest."""
    try:
        return msgspec.convert(raw, using.type) if isinstance(raw, Mapping) else using.decode(raw)
    except msgspec.ValidationError as error:
        raise refuse(error, using.type, raw, path) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise malformed(error) from error


ANYTHING: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
OBJECT: msgspec.json.Decoder[dict[str, Any]] = msgspec.json.Decoder(dict[str, Any])
RAW_OBJECT: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
RAW_ARRAY: msgspec.json.Decoder[list[msgspec.Raw] | None] = msgspec.json.Decoder(list[msgspec.Raw] | None)
