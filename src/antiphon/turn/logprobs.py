"""The two forms of log probabilities: parts tell the bytes of each token, events leave them out.

The bytes of a token are those of its text as UTF-8. Where they are not, because the token is half a character, events
have them too: nothing else would remember them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from antiphon.wire.content import Logprob, TopLogprob
from antiphon.wire.struct import UNSET

Entry = TypeVar("Entry", Logprob, TopLogprob)


def of_an_event(entries: Sequence[Logprob]) -> list[Logprob]:
    """As `output_text.delta` and `output_text.done` tell them."""
    return [msgspec.structs.replace(_bare(entry), top_logprobs=_all_bare(entry)) for entry in entries]


def of_a_part(entries: Sequence[Logprob]) -> list[Logprob]:
    """As a content part has them."""
    return [msgspec.structs.replace(_full(entry), top_logprobs=_all_full(entry)) for entry in entries]


def _all_bare(entry: Logprob) -> list[TopLogprob]:
    return [_bare(likely) for likely in entry.top_logprobs or ()]


def _all_full(entry: Logprob) -> list[TopLogprob]:
    return [_full(likely) for likely in entry.top_logprobs or ()]


def _bare(entry: Entry) -> Entry:
    told = UNSET if not entry.bytes or bytes(entry.bytes) == entry.token.encode() else entry.bytes
    return msgspec.structs.replace(entry, bytes=told)


def _full(entry: Entry) -> Entry:
    return msgspec.structs.replace(entry, bytes=entry.bytes or list(entry.token.encode()))
