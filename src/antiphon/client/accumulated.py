"""Accumulated: what a stream has told so far, as views of text and calls, and as the whole Response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from antiphon.client.border import BAD_GRAMMAR, TERMINAL, response_in, sdk_response, wire_event
from antiphon.turn.fold import Fold

if TYPE_CHECKING:
    from openai.types.responses import (
        Response,
        ResponseCustomToolCall,
        ResponseFunctionToolCall,
        ResponseStreamEvent,
        ResponseUsage,
    )

    ToolCall: TypeAlias = ResponseFunctionToolCall | ResponseCustomToolCall

__all__ = ["Accumulated"]

_CALLS: Final = frozenset({"function_call", "custom_tool_call"})
_TEXT: Final = frozenset({"response.output_text.delta"})
_REFUSAL: Final = frozenset({"response.refusal.delta"})
_REASONING: Final = frozenset({"response.reasoning_summary_text.delta", "response.reasoning_text.delta"})


class Accumulated:
    """All that the events so far amount to.

    The Response is the fold's, the same that our server has. Other servers may leave out events that the fold needs:
    then the Response stays as it was until the terminal event, which has all of it; the views go on.
    """

    def __init__(self) -> None:
        self.calls: list[ToolCall] = []
        """The calls of functions and custom tools that are whole, in their order."""
        self._pieces: dict[frozenset[str], list[str]] = {_TEXT: [], _REFUSAL: [], _REASONING: []}
        self._fold: Fold | None = Fold()
        self._known: Response | None = None  # what the server said last
        self._made: Response | None = None  # of all events so far

    def add(self, event: ResponseStreamEvent) -> None:
        """Take an event in."""
        self._made = None
        told: Any = event  # what its type says that it has
        for types, pieces in self._pieces.items():
            if told.type in types:
                pieces.append(told.delta)
        if told.type == "response.output_item.done" and told.item.type in _CALLS:
            self.calls.append(told.item)
        self._known = response_in(event) or self._known
        self._apply(event)

    def know(self, response: Response) -> None:
        """Take in what the server says of the whole."""
        self._known, self._made = response, None

    def _apply(self, event: ResponseStreamEvent) -> None:
        if self._fold is None or event.type in TERMINAL:
            return
        try:
            self._fold.apply(wire_event(event))
        except BAD_GRAMMAR:
            self._fold = None

    @property
    def response(self) -> Response | None:
        """The Response as it stands; None before the first event."""
        if self._known is None or self._fold is None or self._known.status not in {"queued", "in_progress"}:
            return self._known
        if self._made is None:
            self._made = sdk_response(self._fold.response())
        return self._made

    @property
    def text(self) -> str:
        """The text so far, of all messages."""
        return self._joined(_TEXT)

    @property
    def refusal(self) -> str:
        """The refusal so far."""
        return self._joined(_REFUSAL)

    @property
    def reasoning(self) -> str:
        """The reasoning so far, or its summary, whichever the server tells."""
        return self._joined(_REASONING)

    def _joined(self, types: frozenset[str]) -> str:
        pieces = self._pieces[types]
        if len(pieces) > 1:
            pieces[:] = ["".join(pieces)]
        return pieces[0] if pieces else ""

    @property
    def usage(self) -> ResponseUsage | None:
        """The tokens, as far as the server told them."""
        return None if self._known is None else self._known.usage
