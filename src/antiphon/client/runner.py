"""Runs: a model that calls Python functions until it has an answer.

    run = await client.run([weather], model="gpt-5", input="Is it warm in Paris?")
    print(run.output_text, [call.name for call in run.calls])

The calls of one turn run side by side, `concurrency` of them at a time: coroutines in the loop, other functions in
threads. What they give is fed back, and the model is asked again, at most `max_turns` times in all. The conversation is
sent whole with each turn, so that it works with servers that store nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from antiphon.client import options
from antiphon.client.border import fields_of
from antiphon.client.errors import OptionError, ToolsFailed
from antiphon.client.functions import Function, ToolError, output_of
from antiphon.client.io import IO

if TYPE_CHECKING:
    from openai.types.responses import Response

__all__ = ["Called", "Run", "Toolbox", "loop"]

Turn = Callable[[dict[str, Any]], Awaitable["Response"]]
"""Asks the server once."""


@dataclass(frozen=True)
class Called:
    """One call of a function. `output` is what the model was told; `is_error`: that it went wrong."""

    name: str
    arguments: str
    call_id: str
    output: str
    is_error: bool = False


@dataclass(frozen=True)
class Run:
    """What a loop over functions came to."""

    responses: list[Response] = field(default_factory=list)
    """All that the model said, turn by turn."""
    calls: list[Called] = field(default_factory=list)
    """All calls that were made, in their order."""

    @property
    def response(self) -> Response:
        """The last word of the model. It may call functions that are not among the tools."""
        return self.responses[-1]

    @property
    def output_text(self) -> str:
        """The text of the answer."""
        return self.response.output_text

    @property
    def total_tokens(self) -> int:
        """Of all turns, as far as the server told them."""
        return sum(response.usage.total_tokens for response in self.responses if response.usage is not None)


class Toolbox:
    """The tools of a run: our functions, and others that are passed on as they are."""

    def __init__(
        self, functions: Iterable[Callable[..., Any]], others: Iterable[Any], io: IO, concurrency: int
    ) -> None:
        """Raises OptionError."""
        self._io = io
        self._concurrency = options.count("concurrency", concurrency)
        self._functions: dict[str, Function] = {}
        for each in functions:
            self._add(Function(each))
        self.tools = [*others, *(function.tool for function in self._functions.values())]

    def _add(self, function: Function) -> None:
        if function.name in self._functions:
            raise OptionError("functions", f"there are two named {function.name}")
        if function.is_coroutine and not self._io.has_loop:
            raise OptionError(f"functions.{function.name}", "is a coroutine; AsyncClient takes those")
        self._functions[function.name] = function

    def calls_in(self, response: Response) -> list[Any]:
        """The calls of our functions, and whether all calls are."""
        return [item for item in response.output if item.type == "function_call"]

    def is_ours(self, call: Any) -> bool:
        """Whether a call is for one of our functions, or for one that nobody has."""
        declared = {tool.get("name") for tool in self.tools if tool.get("type") == "function"}
        return call.name in self._functions or call.name not in declared

    async def answer(self, calls: Sequence[Any]) -> list[Called]:
        """Make some calls, side by side."""
        return await self._io.together([partial(self._call, call) for call in calls], self._concurrency)

    async def _call(self, call: Any) -> Called:
        told = partial(Called, call.name, call.arguments, call.call_id)
        function = self._functions.get(call.name)
        if function is None:
            return told(f"There is no function {call.name!r}; there are {', '.join(self._functions)}.", is_error=True)
        try:
            given = await self._io.invoke(function.function, function.arguments(call.arguments))
        except ToolError as error:
            return told(f"Error: {error}", is_error=True)
        return told(output_of(given))


async def loop(turn: Turn, toolbox: Toolbox, params: Mapping[str, Any], max_turns: int) -> Run:
    """Ask, call, feed back, until the model calls none of our functions. Raises ToolsFailed and ClientError."""
    run, asked = Run(), {**params, "tools": toolbox.tools}
    for _ in range(options.count("max_turns", max_turns)):
        response = await turn(asked)
        run.responses.append(response)
        calls = toolbox.calls_in(response)
        if not calls or response.status != "completed" or not all(map(toolbox.is_ours, calls)):
            return run
        made = await toolbox.answer(calls)
        run.calls.extend(made)
        asked = _fed_back(asked, response, made)
    failure = ToolsFailed(f"After {max_turns} turns the model still calls functions.")
    failure.partial = run.response
    raise failure


def _fed_back(asked: Mapping[str, Any], response: Response, made: Sequence[Called]) -> dict[str, Any]:
    """The next request: what was said, and what the functions gave."""
    outputs = [{"type": "function_call_output", "call_id": call.call_id, "output": call.output} for call in made]
    forced = {"tool_choice": "auto"} if _is_forced(asked.get("tool_choice")) else {}
    if asked.get("conversation") is not None:  # it has the rest already
        return {**asked, **forced, "input": outputs}
    before = asked.get("input") or []
    history = [{"role": "user", "content": before}] if isinstance(before, str) else list(before)
    return {**asked, **forced, "input": [*history, *map(fields_of, response.output), *outputs]}


def _is_forced(choice: Any) -> bool:
    """Whether a choice of tools lets the model never come to an answer."""
    return choice == "required" or (isinstance(choice, Mapping) and choice.get("type") == "function")
