"""What is known of an item of an upstream while it is open: what was said of it, and what is missing at its end."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from antiphon.turn.deltas import PartKind
from antiphon.turn.fold import text_at
from antiphon.turn.writers import row
from antiphon.wire.content import Logprob, TopLogprob
from antiphon.wire.items import Item, Message
from antiphon.wire.struct import UNSET, Opaque, type_of

__all__ = ["OpenItem", "OpenPart", "advances", "is_answer", "listed", "missing", "renamed", "texts_of", "with_bytes"]


class OpenPart:
    """A content part that is being said: its place in the item, the words so far, how many annotations."""

    __slots__ = ("cited", "index", "kind", "pieces")

    def __init__(self, kind: PartKind, index: int, pieces: list[str]) -> None:
        self.kind: PartKind = kind
        self.index = index
        self.pieces = pieces
        self.cited = 0


class OpenItem:
    """An item that was started and is not done."""

    __slots__ = (
        "commands",
        "images",
        "is_partial",
        "is_written",
        "key",
        "kind",
        "names",
        "part",
        "pieces",
        "printed",
        "printing",
        "rank",
        "seen",
    )

    def __init__(self, key: int, item: Item, pieces: list[str], *, is_partial: bool) -> None:
        self.key = key
        self.kind = type_of(item)
        self.names = names_of(item)
        """What a client may have used already: it stays, whatever the item is called at its end."""
        self.part: OpenPart | None = None
        self.seen: set[tuple[bool, int]] = set()
        """The parts so far: whether in the summary, and the index there."""
        self.pieces = pieces
        """What was written into a call."""
        self.is_written = False
        """Whether that is all of it."""
        self.is_partial = is_partial
        """Whether its beginning came before the item and is lost: then nothing is told of it before its end."""
        self.rank = -1
        """How far its tool has come: the place of its last step among those of its kind."""
        self.images = 0
        """How many previews of an image were told."""
        self.commands: list[list[str]] = []
        self.printed = 0
        """Of how many commands the whole output was told."""
        self.printing: dict[str, list[str]] = {"stdout": [], "stderr": []}
        """What the next one has printed."""


def is_answer(item: Item) -> bool:
    """Some servers repeat messages of the input in their output; these are no answer."""
    return not isinstance(item, Message) or item.role == "assistant"


def names_of(item: Item) -> dict[str, Any]:
    """The fields by which an item is called."""
    names = ("call_id", "name")
    if isinstance(item, Opaque):
        return {name: item.fields[name] for name in names if name in item.fields}
    return {name: getattr(item, name) for name in names if hasattr(item, name)}


def renamed(item: Item, names: dict[str, Any]) -> Item:
    """The item with these names."""
    if names_of(item) == names:
        return item
    if isinstance(item, Opaque):
        return Opaque({**item.fields, **names})
    return msgspec.structs.replace(item, **names)


REPEATED: Final = frozenset({"searching", "partial_image", "compacting"})
"""Steps that may come several times."""


def advances(opened: OpenItem, step: str) -> bool:
    """Whether a step is a step on, or again one that may be repeated; if so, the item has made it."""
    steps = tuple(row(opened.kind).steps)
    rank = steps.index(step) if step in steps else len(steps)
    if rank < opened.rank or (rank == opened.rank and step not in REPEATED):
        return False
    opened.rank = rank
    return True


def listed(texts: list[list[str]]) -> list[str]:
    """A new text among these, still empty."""
    pieces: list[str] = []
    texts.append(pieces)
    return pieces


def missing(pieces: list[str], text: str) -> str:
    """What is left of a text after its pieces; nothing if they are not its beginning."""
    said = "".join(pieces)
    return text[len(said) :] if text.startswith(said) else ""


def texts_of(item: Any) -> list[str]:
    """The words of an item of which nothing was told by deltas."""
    parts = [*_list(item, "content"), *_list(item, "summary")]
    growth = row(type_of(item)).growth
    words = [text_at(part, (name,)) for part in parts for name in ("text", "refusal")]
    return [*words, *([text_at(item, growth.field)] if growth is not None else [])]


def _list(item: Any, name: str) -> list[Any]:
    value = getattr(item, name, None)
    return value if isinstance(value, list) else []


def with_bytes(logprobs: list[Logprob]) -> list[Logprob]:
    """Log probabilities with the UTF-8 of their tokens, which the API tells in parts and not in events."""
    for entry in logprobs:
        _set_bytes(entry)
        for likely in entry.top_logprobs or ():
            _set_bytes(likely)
    return logprobs


def _set_bytes(entry: Logprob | TopLogprob) -> None:
    if entry.bytes is UNSET:
        entry.bytes = list(entry.token.encode())
