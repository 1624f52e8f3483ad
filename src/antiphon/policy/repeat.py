"""What may be said again: which requests have an answer that another equal request may get, and which answers they are.

A request has none if it asks for something that is not in it: a tool that the upstream runs by itself (a search, code,
an MCP server), a stored prompt whose version may change. Nor has one that goes on within a half-said item, or one
that a moderator asks: what it hears has passed no gate.

An answer may be said again if it is whole (`Finished()`, not cut) and made of words and of calls that the client
answers. A result of a hosted tool, and what only its own upstream can take up again (opaque items, encrypted
reasoning), are nobody else's; nor is what was said though its moderator could not judge it. A call of a function that
this server runs may be said again: the function is run anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from antiphon.turn.deltas import (
    Annotated,
    Arguments,
    Delta,
    Finished,
    ItemDone,
    ItemStarted,
    Noted,
    PartStarted,
    Reasoning,
    Refusal,
    Settled,
    Summary,
    Text,
    Usage,
)
from antiphon.turn.input import Turn
from antiphon.wire import items as wire
from antiphon.wire.items import Item
from antiphon.wire.struct import UNSET
from antiphon.wire.tools import ApplyPatchTool, CustomTool, FunctionTool, LocalShellTool, NamespaceTool

__all__ = ["Recording", "has_answer_for_others"]

_TOOLS: Final = (FunctionTool, CustomTool, NamespaceTool, LocalShellTool, ApplyPatchTool)
"""Tools that the client runs. (Those that this server runs are functions by the time a model hears of them.)"""

_ITEMS: Final = (
    wire.Message,
    wire.Reasoning,
    wire.FunctionCall,
    wire.CustomToolCall,
    wire.LocalShellCall,
    wire.ApplyPatchCall,
)
"""Items that may be said again."""

_WORDS: Final = (Text, Refusal, Reasoning, Summary, PartStarted, Arguments, Annotated, Usage)
"""Deltas that may be said again as they are."""


def has_answer_for_others(turn: Turn) -> bool:
    """Whether the answer to a turn could be the answer to an equal one."""
    request = turn.request
    if turn.judges or turn.prefix is not None or (request.prompt is not None and not request.prompt.version):
        return False
    return all(isinstance(tool, _TOOLS) for tool in request.tools)


class Recording:
    """Keeps what is said until it turns out that it must not be said again, or that it is whole."""

    def __init__(self) -> None:
        self._said: list[Delta] = []
        self._is_spoilt = False
        self._is_whole = False

    @property
    def answer(self) -> list[Delta] | None:
        """What may be said again; None as long as it is not whole, and for ever if it must not be."""
        return self._said if self._is_whole and not self._is_spoilt else None

    def hear(self, batch: Sequence[Delta]) -> None:
        """Take note of a batch."""
        for delta in batch:
            if self._is_spoilt:
                return
            self._keep(delta)

    def spoil(self) -> None:
        """Let the answer be nobody else's."""
        self._is_spoilt = True
        self._said = []

    def _keep(self, delta: Delta) -> None:
        match delta:
            case _ if isinstance(delta, _WORDS):
                self._said.append(delta)
            case ItemStarted(item=item) if _is_repeatable(item):
                self._said.append(ItemStarted(delta.key, _anew(item)))
            case ItemDone(item=item) if item is None or _is_repeatable(item):
                self._said.append(ItemDone(delta.key, None if item is None else _anew(item)))
            case Settled(fields=fields):
                self._settle(fields)
            case Noted():
                pass  # what its upstream called it, and the like: true of this answer only
            case Finished(incomplete=None):
                self._said.append(delta)
                self._is_whole = True
            case _:
                self.spoil()

    def _settle(self, fields: dict[str, Any]) -> None:
        """Of the settings those that follow from what the answer follows from."""
        kept = {name: value for name, value in fields.items() if not name.startswith(_OWN)}
        if not _is_judged(kept.get("moderation")):
            self.spoil()
        elif kept:
            self._said.append(Settled(kept))


_OWN: Final = ("prompt_cache", "tool_usage")
"""How the names of settings begin that are true of one call of the upstream only."""


def _is_judged(moderation: Any) -> bool:
    """Whether the moderators, if any were asked, have answered."""
    sides = msgspec.to_builtins(moderation) or {}
    errors = (side for side in sides.values() if isinstance(side, dict) and side.get("type") == "error")
    return all(error.get("code") == "not_moderated" for error in errors)


def _is_repeatable(item: Item) -> bool:
    if isinstance(item, wire.Reasoning) and item.encrypted_content:
        return False
    return isinstance(item, _ITEMS)


def _anew(item: Any) -> Item:
    """The item as the next one to say it: it gets an id of its own. Its call_id stays, which clients only hand back."""
    anew: Item = msgspec.structs.replace(item, id=UNSET)
    return anew
