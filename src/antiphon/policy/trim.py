"""Token optimisation: what may be left out of a context, or put in another order. What stays keeps each of its words.

    fitted = fit(items, limit, count)           # truncation "auto": the oldest go until the rest fits
    items, saved = deduplicate(items)           # an attachment that was sent before is named, not sent again
    tools = in_stable_order(tools)              # the same tools are the same beginning, for the upstream's cache

Items are dropped or kept whole; no text, JSON or code is ever cut.

**What is dropped together.** A context is a row of *exchanges*: a user message with all that follows it, up to the next
one. Whole exchanges go first, oldest first, so that what is left begins with a user message, as many models' templates
demand. In the last exchange the user message stays; of what the model did since (in an agent's loop this may be most of
the context) the oldest *steps* go: calls with the reasoning before them and their outputs. The last step stays, and so
do system and developer messages, offered tools and a compaction. A call and its output are never parted, wherever they
stand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from antiphon.policy.weight import AN_ITEM, IMAGE, Count, tokens_in
from antiphon.tokens import estimate
from antiphon.wire import items as wire
from antiphon.wire.content import InputFile, InputImage, InputText
from antiphon.wire.items import Item
from antiphon.wire.struct import Opaque, encode, type_of
from antiphon.wire.tools import Tool

__all__ = ["Fitted", "deduplicate", "fit", "in_stable_order", "may_exceed"]

Attachment: TypeAlias = InputImage | InputFile
Key: TypeAlias = tuple[Any, ...]

SAME_IMAGE: Final = "[The same image as above.]"
SAME_FILE: Final = "[The same file as above.]"
"""What stands for an attachment that is there already."""

_A_NOTE: Final = 8
"""Tokens of one of these."""


def may_exceed(items: Sequence[Item], limit: int) -> bool:
    """Whether items could have more tokens than the limit: a quick look at their bytes, which count for too much."""
    data = encode(items)
    images = sum(data.count(kind) for kind in (b'"input_image"', b'"computer_screenshot"'))
    return estimate(len(data)) + IMAGE * images > limit


# Truncation


class Fitted(msgspec.Struct):
    """A context that was made to fit."""

    items: list[Item]
    dropped: int
    """How many items were left out."""
    saved: int
    """How many tokens they had."""


def fit(items: Sequence[Item], limit: int, count: Count, *, deduplicated: bool = False) -> Fitted:
    """Leave out the oldest items that may go, until the rest has no more than `limit` tokens, or nothing more may go.

    `count` is the tokenizer, so this may take long. With `deduplicated` an attachment weighs once, however often it is
    among what is kept.
    """
    context = _Context(items, count, deduplicated=deduplicated)
    dropped: set[int] = set()
    for group in _groups(items):
        if context.tokens <= limit:
            break
        context.drop(group)
        dropped.update(group)
    kept = [item for place, item in enumerate(items) if place not in dropped]
    return Fitted(kept, len(dropped), context.dropped)


class _Context:
    """The weight of what is left of a context."""

    def __init__(self, items: Sequence[Item], count: Count, *, deduplicated: bool) -> None:
        self.dropped = 0
        self._deduplicated = deduplicated
        self._attached = [[(key, _weight(part, count)) for part, key in _attachments(item)] for item in items]
        whole = [_weight(item, count) for item in items]
        self._words = [tokens - _sum(attached) for tokens, attached in zip(whole, self._attached, strict=True)]
        self._copies = Counter(key for attached in self._attached for key, _ in attached)
        self.tokens = sum(whole) - (sum(_repeated(self._attached)) if deduplicated else 0)

    def drop(self, places: Iterable[int]) -> None:
        """Leave out some items."""
        before = self.tokens
        for place in places:
            self.tokens -= self._words[place]
            for key, tokens in self._attached[place]:
                self._copies[key] -= 1
                self.tokens -= _A_NOTE if self._deduplicated and self._copies[key] else tokens
        self.dropped += before - self.tokens


def _sum(attached: Sequence[tuple[Key, int]]) -> int:
    return sum(tokens for _, tokens in attached)


def _repeated(attached: Sequence[Sequence[tuple[Key, int]]]) -> Iterable[int]:
    """What each attachment saves that was there before."""
    seen: set[Key] = set()
    for key, tokens in (each for row in attached for each in row):
        if key in seen:
            yield tokens - _A_NOTE
        seen.add(key)


def _weight(value: Any, count: Count) -> int:
    plain = msgspec.to_builtins(value, enc_hook=_fields)
    return tokens_in(plain, count) + (AN_ITEM if not isinstance(value, InputImage | InputFile) else 0)


def _fields(value: Any) -> Any:
    match value:
        case Opaque(fields=fields):
            return fields
    raise TypeError(f"{type(value).__name__} is no item")


_PINNED: Final = (wire.AdditionalTools, wire.ConfigurationUpdate, wire.Compaction, wire.CompactionTrigger)


def _groups(items: Sequence[Item]) -> list[list[int]]:
    """The places of what may be dropped, by what must be dropped together, the oldest first."""
    last = max((place for place, item in enumerate(items) if _is_users(item)), default=-1)
    group_of: dict[int, int] = {}
    group = 0  # in the end the last one, which stays
    for place, item in enumerate(items):
        if _is_users(item) or (place > last and _begins_a_step(items, place)):
            group += 1
        group_of[place] = group
    joined = _joined(items, group_of)
    groups: dict[int, list[int]] = {}
    for place, item in enumerate(items):
        name = joined[group_of[place]]
        if name != joined[group] and place != last and not _is_pinned(item):
            groups.setdefault(name, []).append(place)
    return list(groups.values())


def _is_users(item: Item) -> bool:
    return isinstance(item, wire.Message) and item.role == "user"


def _is_pinned(item: Item) -> bool:
    return isinstance(item, _PINNED) or (isinstance(item, wire.Message) and item.role in ("system", "developer"))


def _begins_a_step(items: Sequence[Item], place: int) -> bool:
    """Whether the model begins to speak here: after the user, or after the outputs of what it called."""
    before = items[place - 1] if place else None
    return before is None or _is_users(before) or (_is_output(before) and not _is_output(items[place]))


def _is_output(item: Item) -> bool:
    return type_of(item).endswith("_output") or isinstance(item, wire.McpApprovalResponse)


def _joined(items: Sequence[Item], group_of: dict[int, int]) -> dict[int, int]:
    """Each group's name after those were joined that share a call: the name of the earliest."""
    joined = {group: group for group in group_of.values()}
    first: dict[str, int] = {}
    for place, item in enumerate(items):
        if (link := _link(item)) is None:
            continue
        one, other = sorted((joined[first.setdefault(link, group_of[place])], joined[group_of[place]]))
        if one != other:
            joined = {group: one if name == other else name for group, name in joined.items()}
    return joined


def _link(item: Any) -> str | None:
    """What a call and its output have in common."""
    match item:
        case wire.McpApprovalRequest(id=own) | wire.McpApprovalResponse(approval_request_id=own):
            return str(own) if own else None
        case wire.LocalShellCallOutput():
            return item.call_id or item.id or None
    return getattr(item, "call_id", None) or None


# Attachments


def deduplicate(items: Sequence[Item]) -> tuple[list[Item], int, int]:
    """The items with each attachment once, how many were left out, and the tokens that this saves.

    The first one stays, so that the beginning of the context is the one that the upstream may have in its cache. Only
    what is certainly the same is left out: the same bytes, or the same file id, shown in the same detail. What is
    behind an address may change, so it is sent as often as it was.
    """
    seen: set[Key] = set()
    left_out: list[Attachment] = []
    kept = [_without_repeated(item, seen, left_out) for item in items]
    saved = sum(max(0, tokens_in(msgspec.to_builtins(part), _none) - _A_NOTE) for part in left_out)
    return kept, len(left_out), saved


def _none(_: str) -> int:
    return 0


def _without_repeated(item: Any, seen: set[Key], left_out: list[Attachment]) -> Item:
    repeated: set[int] = set()
    for part, key in _attachments(item):
        if key in seen:
            repeated.add(id(part))
            left_out.append(part)
        seen.add(key)
    if not repeated:
        kept: Item = item
        return kept
    name = "content" if isinstance(item, wire.Message) else "output"
    parts = [_noted(part) if id(part) in repeated else part for part in getattr(item, name)]
    changed: Item = msgspec.structs.replace(item, **{name: parts})
    return changed


def _noted(part: Attachment) -> InputText:
    return InputText(text=SAME_IMAGE if isinstance(part, InputImage) else SAME_FILE)


def _attachments(item: Item) -> list[tuple[Attachment, Key]]:
    """The attachments of an item that can be known again."""
    match item:
        case wire.Message(content=list() as parts):
            pass
        case wire.FunctionCallOutput(output=list() as parts) | wire.CustomToolCallOutput(output=list() as parts):
            pass
        case _:
            return []
    found = [(part, _key(part)) for part in parts if isinstance(part, InputImage | InputFile)]
    return [(part, key) for part, key in found if key is not None]


def _key(part: Attachment) -> Key | None:
    """What two attachments share that are the same."""
    if isinstance(part, InputImage):
        url = part.image_url
        data = url if url and url.startswith("data:") else None
        is_known = bool(data) or (not url and bool(part.file_id))
        return ("image", data, part.file_id, part.detail or "auto") if is_known else None
    is_known = not part.file_url and bool(part.file_data or part.file_id)
    return ("file", part.file_data, part.file_id, part.filename, part.detail) if is_known else None


# Order


def in_stable_order(tools: Sequence[Tool]) -> list[Tool]:
    """The tools by type and name. Their order means nothing, but a client may send them in another each time."""
    return sorted(tools, key=lambda tool: (type_of(tool), str(getattr(tool, "name", ""))))
