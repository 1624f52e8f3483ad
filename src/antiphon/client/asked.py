"""Asked: the parameters of a call as JSON, and as the request that they are on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import openai
from pydantic import BaseModel

from antiphon.wire.errors import APIError
from antiphon.wire.items import Item, Message
from antiphon.wire.request import CreateResponse, decode_create

__all__ = ["OF_THE_SDK", "items_of", "plain", "request_of"]

OF_THE_SDK: Final = frozenset({"extra_body", "extra_headers", "extra_query", "timeout"})
"""What is told to the SDK, not to the server."""


def plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters as JSON, without those that are for the SDK alone. Raises TypeError for what is no JSON."""
    said = {name: value for name, value in params.items() if name not in OF_THE_SDK and not _is_unsaid(value)}
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(said, enc_hook=_fields))
    return fields


def request_of(params: Mapping[str, Any]) -> CreateResponse | None:
    """The request that the parameters are; None if it is none that we know all of."""
    try:
        body = {**plain(params), "stream": True}
        return decode_create(msgspec.json.encode(body), pass_through=frozenset(body))
    except (APIError, TypeError, ValueError):
        return None


def items_of(request: CreateResponse) -> list[Item]:
    """The items of a request; a text is a message of the user's."""
    given = request.input
    return [Message(role="user", content=given)] if isinstance(given, str) else list(given or [])


def _is_unsaid(value: Any) -> bool:
    return isinstance(value, openai.Omit | openai.NotGiven)


def _fields(value: Any) -> Any:
    """An object of the SDK as JSON; a pydantic model has its fields, and any other iterable what it gives."""
    match value:
        case BaseModel():
            return value.model_dump(mode="json", by_alias=True, exclude_unset=True)
        case Mapping():
            return dict(value)
        case Iterable():
            return list(value)
    raise TypeError(f"{type(value).__name__} is no JSON")
