"""A hosted tool whose work a test decides."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from antiphon.ports import Tell
from antiphon.turn.deltas import Arguments, ItemDone, ItemStarted, Progress
from antiphon.wire.items import CodeInterpreterCall, FunctionCall, OutputLogs
from antiphon.wire.tools import FunctionTool
from antiphon.wire.tools import Tool as DeclaredTool


class ScriptedTool:
    """A `ports.Tool` that tells a code interpreter's item and returns its arguments in capitals.

    With a `gate` each call waits for it, after telling that it works.
    """

    def __init__(self, name: str = "python", *, gate: asyncio.Event | None = None) -> None:
        self.name = name
        self.gate = gate
        self.running = 0
        """Calls that are being worked on now."""
        self.most = 0
        """The most that were worked on at one time."""

    def functions(self, declared: DeclaredTool) -> Sequence[FunctionTool]:  # noqa: ARG002 - the port's signature
        """One function."""
        return [FunctionTool(name=self.name, parameters={"type": "object"}, strict=False)]

    async def run(self, call: FunctionCall, tell: Tell) -> str:
        """Tell the item and return the output."""
        key = call.call_id
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            item = CodeInterpreterCall(container_id="cntr_1", code="", status="in_progress")
            tell([ItemStarted(key, item), Arguments(key, call.arguments), Progress(key, "interpreting")])
            if self.gate is not None:
                await self.gate.wait()
            output = call.arguments.upper()
            final = CodeInterpreterCall(
                container_id="cntr_1", code=call.arguments, status="completed", outputs=[OutputLogs(logs=output)]
            )
            tell([ItemDone(key, final)])
        finally:
            self.running -= 1
        return output
