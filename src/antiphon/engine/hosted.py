"""Hosted tools: calls that the server answers itself, between the turns of one response.

A model is told of a hosted tool as a function. When it calls one, the call is taken out of its words; when its turn is
over all such calls run side by side, each telling the tool's own item; then the model is asked again with their
outputs. `output_index` and numbers run on over all turns. A call that the client must answer ends the response, after
the hosted ones of the same turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from antiphon.ports import Tool
from antiphon.turn.deltas import Arguments, Delta, Finished, ItemDone, ItemStarted, Key
from antiphon.turn.input import CLIENT_CALLS, Turn
from antiphon.wire.errors import InvalidRequest
from antiphon.wire.items import FunctionCall, FunctionCallOutput, Item
from antiphon.wire.request import CreateResponse
from antiphon.wire.struct import type_of
from antiphon.wire.tools import FunctionChoice, FunctionTool, HostedChoice
from antiphon.wire.tools import Tool as Declared


class Hosted:
    """The hosted tools of one response, and what was called of them."""

    def __init__(self, tools: Mapping[str, Tool], request: CreateResponse) -> None:
        self._by_name: dict[str, Tool] = {}
        declared = [self._declare(tools, tool) for tool in request.tools]
        choice = request.tool_choice
        if isinstance(choice, HostedChoice) and (served := tools.get(choice.type)) is not None:
            choice = FunctionChoice(name=self._name_of(served, choice.type))
        told = [tool for group in declared for tool in group]
        self.request = msgspec.structs.replace(request, tools=told, tool_choice=choice)
        """The request as the model is told it: hosted tools are functions."""
        self._left = request.max_tool_calls
        self._open: dict[Key, FunctionCall] = {}
        self.calls: list[FunctionCall] = []
        """What the turn has called and nobody has run."""
        self.is_clients = False
        """Whether the turn has a call that the client must answer."""

    def _declare(self, tools: Mapping[str, Tool], declared: Declared) -> Sequence[Declared]:
        tool = tools.get(type_of(declared))
        if tool is None:
            return [declared]
        functions: Sequence[FunctionTool] = tool.functions(declared)
        self._by_name |= dict.fromkeys((function.name for function in functions), tool)
        return functions

    def _name_of(self, served: Tool, kind: str) -> str:
        for name, tool in self._by_name.items():
            if tool is served:
                return name
        message = f"Tool choice '{kind}' not found in 'tools' parameter."
        raise InvalidRequest(message, param="tool_choice", code="invalid_value")

    @property
    def is_idle(self) -> bool:
        """Whether the request has no tool that the server runs."""
        return not self._by_name

    def told(self, turn: Turn) -> Turn:
        """The turn as the model is told it."""
        return turn if self.is_idle else msgspec.structs.replace(turn, request=self.request)

    def take(self, batch: Sequence[Delta]) -> list[Delta]:
        """The batch without hosted calls, and without the end of a turn that has some."""
        return [delta for delta in batch if not self._takes(delta)]

    def _takes(self, delta: Delta) -> bool:
        match delta:
            case ItemStarted(item=FunctionCall() as call) if call.name in self._by_name:
                self._open[delta.key] = msgspec.structs.replace(call)
                return True
            case ItemStarted(item=item) if isinstance(item, CLIENT_CALLS):
                self.is_clients = True
                return False
            case Arguments() if delta.key in self._open:
                self._open[delta.key].arguments += delta.text
                return True
            case ItemDone() if delta.key in self._open:
                self._called(delta.key, delta.item)
                return True
            case Finished():
                for key in list(self._open):
                    self._called(key, None)
                return bool(self.calls) and delta.incomplete is None
        return False

    def _called(self, key: Key, final: Item | None) -> None:
        """A call is whole. Beyond `max_tool_calls` it is ignored, as the API says."""
        call = self._open.pop(key)
        if self._left == 0:
            return
        self._left = None if self._left is None else self._left - 1
        self.calls.append(final if isinstance(final, FunctionCall) else call)

    def tool(self, call: FunctionCall) -> Tool:
        """The tool that a call is for."""
        return self._by_name[call.name]

    def answered(self, outputs: Sequence[str]) -> list[Item]:
        """The calls of the turn with their outputs, for the model; then a new turn begins."""
        pairs: list[Item] = []
        for call, output in zip(self.calls, outputs, strict=True):
            pairs += [call, FunctionCallOutput(call_id=call.call_id, output=output)]
        self.calls = []
        if self.request.tool_choice not in ("auto", "none"):  # what was forced has been called
            self.request = msgspec.structs.replace(self.request, tool_choice="auto")
        return pairs
