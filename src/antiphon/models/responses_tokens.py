"""Counts the tokens of a Responses request and its answer, for upstreams that do not count.

Items weigh what `antiphon.policy.weight` says, tools what their JSON costs. These functions may take long: call them in
a thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from antiphon.policy.weight import AN_ITEM, tokens_in
from antiphon.tokens import count
from antiphon.wire.response import OutputTokensDetails, Usage

__all__ = ["count_request", "count_usage"]


def count_usage(body: bytes, words: Iterable[str], thoughts: Iterable[str], encoding: str) -> Usage:
    """The usage of a request and what was answered. `words` and `thoughts` are texts, each of them whole."""
    prompt = count_request(body, encoding)
    reasoning = sum(count(text, encoding) for text in thoughts)
    output = reasoning + sum(count(text, encoding) for text in words)
    return Usage(
        input_tokens=prompt,
        output_tokens=output,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=reasoning),
        total_tokens=prompt + output,
    )


class _Request(msgspec.Struct):
    input: list[Any]
    instructions: str | None = None
    tools: msgspec.Raw = msgspec.Raw(b"")


def count_request(body: bytes, encoding: str) -> int:
    """The tokens of a request's instructions, items and tools; `body` is its JSON."""
    request = msgspec.json.decode(body, type=_Request)
    texts = (request.instructions or "", bytes(request.tools).decode())
    items = sum(AN_ITEM + tokens_in(item, lambda text: count(text, encoding)) for item in request.input)
    return items + sum(count(text, encoding) for text in texts)
