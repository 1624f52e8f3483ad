"""Terminal: shows a stream in a terminal while it comes, with rich.

    await Terminal().run(client.stream(model="gpt-5", input="Hi."))

Text is printed as it comes, reasoning dimmed, refusals in red, the calls of tools by their names. What a model says is
never taken for markup or for control sequences.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from antiphon.client.handler import StreamHandler, on

__all__ = ["Terminal"]

_CONTROL = {number: None for number in (*range(32), *range(127, 160)) if chr(number) not in "\n\t"}


class Terminal(StreamHandler):
    """Prints a stream to a console, by default to standard output."""

    def __init__(self, console: Console | None = None, *, reasoning: bool = True, calls: bool = True) -> None:
        self._console = console or Console()
        self._reasoning = reasoning
        self._calls = calls
        self._said: str | None = None  # what the line that is open was said as

    @on("response.output_text.delta")
    def _text(self, event: Any) -> None:
        self._say("text", event.delta, "")

    @on("response.refusal.delta")
    def _refusal(self, event: Any) -> None:
        self._say("refusal", event.delta, "red")

    @on("response.reasoning_summary_text.delta", "response.reasoning_text.delta")
    def _thought(self, event: Any) -> None:
        if self._reasoning:
            self._say("reasoning", event.delta, "dim italic")

    @on("response.output_item.done")
    def _item(self, event: Any) -> None:
        item = event.item
        self._end_line()
        if self._calls and item.type.endswith("_call"):
            arguments = getattr(item, "arguments", None) or getattr(item, "input", None) or ""
            self._say("call", f"→ {getattr(item, 'name', None) or item.type}({arguments})", "cyan")
            self._end_line()

    @on("response.failed", "error")
    def _failed(self, event: Any) -> None:
        error = event.response.error if event.type == "response.failed" else event
        self._end_line()
        self._say("error", "failed" if error is None else f"{error.code or 'error'}: {error.message}", "bold red")
        self._end_line()

    @on("response.incomplete")
    def _incomplete(self, event: Any) -> None:
        details = event.response.incomplete_details
        self._end_line()
        self._say("error", f"incomplete: {'' if details is None else details.reason}", "yellow")
        self._end_line()

    def _say(self, kind: str, text: str, style: str) -> None:
        if self._said not in {None, kind}:
            self._end_line()
        self._said = kind
        self._console.print(Text(text.translate(_CONTROL), style=style), end="", soft_wrap=True)

    def _end_line(self) -> None:
        if self._said is not None:
            self._console.print()
        self._said = None
