"""The key of an answer: a digest of everything that shapes it, so that equal keys mean that the answer may be the same.

    key = cache_key(turn, identity)             # 32 bytes

* The project is in the key: no tenant ever gets another's answer.
* `identity` stands for what is configured: the name of the model, its upstream, the policies on the way.
* The items are the whole context, so it does not matter whether history came by `previous_response_id` or was sent.
* Equal meaning is an equal key: absent, `null` and the default are the same, the order of a JSON object's keys is not
  looked at, ids of items are left out, and a `call_id` counts only as the link that it is.
* The order of keys in a JSON schema stays: models answer in that order. So does the order of tools.

Every field of a request is in `SHAPING` or in `SILENT`; a test fails for one that is in neither.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Any, Final

import msgspec

from antiphon.turn.input import Turn
from antiphon.wire import content
from antiphon.wire import items as wire
from antiphon.wire.request import CreateResponse
from antiphon.wire.struct import UNSET, Opaque, as_sent
from antiphon.wire.tools import FormatText, TextConfig

__all__ = ["SHAPING", "SILENT", "cache_key", "digest"]

SHAPING: Final = frozenset(
    {
        *("instructions", "tools", "tool_choice", "parallel_tool_calls", "max_tool_calls"),
        *("reasoning", "text", "truncation", "max_output_tokens", "temperature", "top_p", "top_logprobs", "include"),
        *("prompt", "context_management", "moderation", "image", "access_programs", "extra"),
        "service_tier",  # says the same, but the Response tells which it was
    }
)
"""Parameters that shape what is said."""

SILENT: Final = frozenset(
    {
        "model",  # in the identity
        *("input", "previous_response_id", "conversation"),  # their items are in the key
        *("store", "stream", "stream_options", "background"),  # how an answer is delivered
        *("metadata", "user", "safety_identifier"),  # about the one who asks
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),  # what the upstream makes cheaper
    }
)
"""Parameters that do not."""

_SHAPING_INCLUDES: Final = frozenset({"message.output_text.logprobs", "reasoning.encrypted_content"})
"""Values of `include` that an upstream is told; the others only choose what is shown."""

_VERSION: Final = 1
"""Rises when keys are made in another way."""

_ORDERED: Final = frozenset({"parameters", "output_schema", "schema_"})
"""Fields that hold a JSON schema."""

_UNREAD: Final[dict[type[Any], frozenset[str]]] = {
    content.InputText: frozenset({"prompt_cache_breakpoint"}),
    content.InputImage: frozenset({"prompt_cache_breakpoint"}),
    content.InputFile: frozenset({"prompt_cache_breakpoint"}),
    content.ComputerScreenshot: frozenset({"prompt_cache_breakpoint"}),
    content.OutputText: frozenset({"logprobs"}),
}
"""Fields of parts that no model reads."""

_LABELS: Final = frozenset({"id", "status", "call_id", "created_by"})
"""Fields of items that are names, or that `_Canon._item` looks at itself."""

_UNSAID: Final[dict[str, Any]] = {name: getattr(CreateResponse(), name) for name in SHAPING}
"""What is meant by a setting that was not sent."""

_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def cache_key(turn: Turn, identity: bytes) -> bytes:
    """The SHA-256 of all that shapes the answer to a turn."""
    request = turn.request
    canon = _Canon()
    said = {name: canon.of(_shaping(request, name)) for name in SHAPING}
    settings = {name: value for name, value in said.items() if value not in (_UNSAID[name], {}, [])}
    return digest(_VERSION, turn.project, identity.hex(), settings, [canon.item(item) for item in turn.items])


def digest(*parts: Any) -> bytes:
    """The SHA-256 of plain values, whatever the order of keys in their objects."""
    return sha256(msgspec.json.encode(parts, order="deterministic")).digest()


def _shaping(request: CreateResponse, name: str) -> Any:
    """A setting, as far as it shapes what is said."""
    value = getattr(request, name)
    match value:
        case TextConfig(format=FormatText()):
            return msgspec.structs.replace(value, format=UNSET)
        case list() if name == "include":
            return sorted(_SHAPING_INCLUDES.intersection(value))
    return value


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, Any], ...]:
    """The fields of a struct that may mean something, each with its default."""
    left_out = _UNREAD.get(kind, frozenset())
    if issubclass(kind, wire.Identified):
        left_out |= _LABELS
    fields = (field for field in msgspec.structs.fields(kind) if field.name not in left_out)
    return tuple((field.name, _default(field)) for field in fields)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    made: Callable[[], Any] | Any = field.default_factory
    return field.default if made is msgspec.NODEFAULT else made()


class _Canon:
    """Values in their canonical form, within one request: calls are numbered in the order in which they come."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}

    def of(self, value: Any) -> Any:
        """A value as plain JSON that is the same for the same meaning."""
        kind = type(value)
        if kind in _SCALARS:
            return value
        if kind is list or kind is tuple:
            return [self.of(element) for element in value]
        if kind is dict:
            return {key: self.of(inner) for key, inner in value.items()}
        if kind is Opaque:
            return self.of(value.fields)
        return self._struct(value)

    def _struct(self, value: msgspec.Struct) -> dict[str, Any]:
        told = {name: getattr(value, name) for name, default in _fields(type(value)) if _is_said(value, name, default)}
        plain = {name: _in_order(inner) if name in _ORDERED else self.of(inner) for name, inner in told.items()}
        tag = value.__struct_config__.tag
        return plain if tag is None else {**plain, "type": tag}

    def item(self, item: wire.Item) -> Any:
        """An item of the context, whatever it and its call are named."""
        if not isinstance(item, wire.Identified):
            return self.of(item)
        plain = self._struct(item)
        if isinstance(item, wire.Message) and isinstance(item.content, str):
            plain["content"] = [self.of(_part(item))]
        status = getattr(item, "status", None)
        if status not in (None, UNSET, "completed"):
            plain["status"] = status
        if call := self._call(item):
            plain["call"] = self._calls.setdefault(call, len(self._calls))
        return plain

    @staticmethod
    def _call(item: Any) -> str | None:
        """What links a call and its output. A local shell's output may carry it as its id."""
        call = getattr(item, "call_id", None) or (item.id if isinstance(item, wire.LocalShellCallOutput) else None)
        return str(call) if call else None


def _is_said(value: msgspec.Struct, name: str, default: Any) -> bool:
    inner = as_sent(getattr(value, name))
    return inner is not None and inner is not UNSET and inner != default


def _part(message: wire.Message) -> content.InputText | content.OutputText:
    text = str(message.content)
    return content.OutputText(text=text) if message.role == "assistant" else content.InputText(text=text)


def _in_order(value: Any) -> Any:
    """Plain JSON whose objects keep their order."""
    if isinstance(value, dict):
        return ["{}", *([key, _in_order(inner)] for key, inner in value.items())]
    return ["[]", *map(_in_order, value)] if isinstance(value, list) else value
