"""Answers as bytes: how deltas are kept that may be said again.

    data   = encode_answer(answer)
    answer = decode_answer(data)                # raises Unreadable for anything that `encode_answer` did not write

The bytes are a version, a checksum, and a JSON array: who answered, and the deltas. A delta is an array too: its tag,
then its fields in the order of their declaration, without those at the end that say nothing. Items, annotations and log
probabilities come back as the structs that they were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from zlib import crc32

import msgspec

from antiphon.turn.deltas import (
    Annotated,
    Arguments,
    Command,
    CommandOutput,
    Delta,
    Finished,
    ItemDone,
    ItemStarted,
    Noted,
    Opaque,
    PartStarted,
    Progress,
    Reasoning,
    Refusal,
    Settled,
    Summary,
    Text,
    Usage,
)
from antiphon.wire.content import ANNOTATIONS, Logprob
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.items import ShellOutput, keep_item
from antiphon.wire.response import Usage as UsageFigures
from antiphon.wire.struct import encode

__all__ = ["TAGS", "VERSION", "Answer", "Unreadable", "decode_answer", "encode_answer"]

TAGS: Final[dict[str, type[Delta]]] = {
    "text": Text,
    "refusal": Refusal,
    "reasoning": Reasoning,
    "summary": Summary,
    "part": PartStarted,
    "item": ItemStarted,
    "arguments": Arguments,
    "command": Command,
    "printed": CommandOutput,
    "progress": Progress,
    "annotated": Annotated,
    "done": ItemDone,
    "opaque": Opaque,
    "usage": Usage,
    "settled": Settled,
    "noted": Noted,
    "finished": Finished,
}
"""The name of each kind of delta in the bytes."""

_TAG_OF: Final = {kind: tag for tag, kind in TAGS.items()}

VERSION: Final = b"\x02"
"""Rises when the bytes mean something else; what an older version wrote is unreadable then."""

_HEAD: Final = len(VERSION) + 4


class Unreadable(ValueError):
    """Bytes that are no answer: damaged, or written by another version."""


class Answer(msgspec.Struct):
    """What was said, and who said it."""

    deltas: list[Delta]
    upstream: str
    """As in `antiphon.turn.trace.Attempt`; empty for a backend that is asked without attempts."""
    model: str


def encode_answer(answer: Answer) -> bytes:
    """An answer as bytes."""
    payload = encode([answer.upstream, answer.model, [_row(delta) for delta in answer.deltas]])
    return VERSION + crc32(payload).to_bytes(4, "big") + payload


def decode_answer(data: bytes) -> Answer:
    """Bytes as the answer that they were. Raises Unreadable."""
    payload = data[_HEAD:]
    if data[:_HEAD] != VERSION + crc32(payload).to_bytes(4, "big"):
        raise Unreadable("the checksum or the version is another")
    try:
        upstream, model, rows = _PAYLOAD.decode(payload)
        return Answer([_delta(row) for row in rows], upstream, model)
    except (msgspec.DecodeError, InvalidRequest, LookupError, TypeError) as error:
        raise Unreadable(str(error)) from error


_PAYLOAD: Final = msgspec.json.Decoder(tuple[str, str, list[list[Any]]])


def _row(delta: Delta) -> list[Any]:
    fields: list[Any] = [_TAG_OF[type(delta)], *msgspec.structs.astuple(delta)]
    while fields[-1] is None:
        fields.pop()
    return fields


def _delta(row: list[Any]) -> Delta:
    kind = TAGS[row[0]]
    fields = row[1:]
    for place, read in _INNER.get(kind, ()):
        if place < len(fields) and fields[place] is not None:
            fields[place] = read(fields[place])
    return kind(*fields)


def _annotation(sent: Any) -> Any:
    """An annotation as its struct, or as it is where it is not what we know under its type."""
    kind = ANNOTATIONS.get(str(sent.get("type"))) if isinstance(sent, dict) else None
    try:
        return sent if kind is None else msgspec.convert(sent, kind)
    except msgspec.ValidationError:
        return sent


def _reads(kind: Any) -> Callable[[Any], Any]:
    return lambda sent: msgspec.convert(sent, kind)


_INNER: Final[dict[type[Delta], tuple[tuple[int, Callable[[Any], Any]], ...]]] = {
    Text: ((2, _reads(list[Logprob])),),
    ItemStarted: ((1, keep_item),),
    ItemDone: ((1, keep_item),),
    Annotated: ((0, _annotation),),
    CommandOutput: ((4, _reads(list[ShellOutput])),),
    Usage: ((0, _reads(UsageFigures)),),
}
"""The fields that hold objects, by their place, and how they are read."""
