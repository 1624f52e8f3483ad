"""Input for a custom tool: free text from the message, or text that its grammar accepts.

llguidance reads the grammar (Lark or a regular expression), and says after each byte which bytes may follow. What the
message quotes is tried first; if the grammar accepts none of it, rehearsal walks through the grammar by dice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

from antiphon.models.rehearsal.dice import Dice
from antiphon.models.rehearsal.values import fenced, quotations
from antiphon.wire.tools import CustomTool, Grammar

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

_WALKS = 6
_LONGEST = 400
"""Bytes that a walk may take."""
_HASTE = 24
"""Bytes after which a walk prefers what brings things to an end."""
_CLOSING = frozenset(b")]}>;\"'\n.")
_PLEASANT = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789 ")
_EXPRESSION = re.compile(r"-?\d[\d\s+*/().^%-]*")


def custom_input(tool: CustomTool, message: str, dice: Dice) -> str | None:
    """What to hand to a custom tool, None if nothing was found that its grammar accepts."""
    if (said := meant_for(tool, message)) is not None:
        return said
    if not isinstance(tool.format, Grammar):
        return message.strip() or "rehearsal"
    start = _matcher(tool.format)
    walks = () if start is None else (_walk(start.deep_copy(), dice.fork(attempt)) for attempt in range(_WALKS))
    return next((text for text in walks if text is not None), None)


def meant_for(tool: CustomTool, message: str) -> str | None:
    """The part of a message that is meant as the input of a custom tool, None if there is none."""
    if not isinstance(tool.format, Grammar):
        return next(_candidates(message), None)
    start = _matcher(tool.format)
    if start is None:
        return None
    likely = (*_candidates(message), message.strip(), *message.split())
    return next((text for text in likely if _accepts(start.deep_copy(), text)), None)


def _candidates(message: str) -> Iterator[str]:
    """Parts of a message that may be meant as the input, the likeliest first."""
    if code := fenced(message):
        yield code
        yield code.strip()
    yield from quotations(message)
    if found := re.search(r":\s+(.+)\Z", message, re.DOTALL):
        yield found[1].strip()
    yield from (found[0].strip() for found in _EXPRESSION.finditer(message))


@cache
def _bytes() -> LLTokenizer:
    """A vocabulary of which each token is one byte."""
    from llguidance import LLTokenizer

    return LLTokenizer("byte")


def _matcher(form: Grammar) -> LLMatcher | None:
    """A matcher at the beginning of a text, None for a grammar that is broken."""
    from llguidance import LLMatcher

    read = LLMatcher.grammar_from_regex if form.syntax == "regex" else LLMatcher.grammar_from_lark
    matcher = LLMatcher(_bytes(), read(form.definition), log_level=0)
    return None if matcher.is_error() else matcher


def _accepts(matcher: LLMatcher, text: str) -> bool:
    said = list(text.encode("utf-8", "replace"))
    if not said or matcher.validate_tokens(said) < len(said):
        return False
    return matcher.consume_tokens(said) and matcher.is_accepting()


def _walk(matcher: LLMatcher, dice: Dice) -> str | None:
    """A text by dice, None if it led nowhere."""
    said = bytearray()
    while len(said) < _LONGEST and not matcher.is_stopped():
        allowed = _allowed(matcher.compute_bitmask())
        if matcher.is_accepting() and said and (not allowed or len(said) > _HASTE or dice.below(4) == 0):
            break
        if not allowed:
            return None
        byte = dice.pick(_preferred(allowed, in_haste=len(said) > _HASTE))
        matcher.consume_token(byte)
        said.append(byte)
    try:
        return said.decode() if matcher.is_accepting() and not matcher.is_error() else None
    except UnicodeDecodeError:
        return None


def _allowed(mask: Any) -> list[int]:
    """The bytes that a mask of one bit a token allows."""
    return [byte for byte in range(256) if mask[byte >> 3] >> (byte & 7) & 1]


def _preferred(allowed: list[int], *, in_haste: bool) -> list[int]:
    """Of the bytes that are allowed those that read well; in haste those that end something."""
    for wanted in (_CLOSING if in_haste else _PLEASANT, _PLEASANT, frozenset(range(32, 127))):
        if some := [byte for byte in allowed if byte in wanted]:
            return some
    return allowed
