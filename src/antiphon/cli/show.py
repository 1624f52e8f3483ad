"""How the events of a response look in a terminal: as the words of the answer, as one line each, or as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from antiphon.cli.api import FINAL
from antiphon.cli.terminal import BROKEN, dim, note, out, plain

__all__ = ["EventLines", "FinalJson", "JsonLines", "Show", "Words", "conclude", "line_of", "play", "show_of"]

Event: TypeAlias = dict[str, Any]
Response: TypeAlias = dict[str, Any]

SPOKEN: Final = ("response.output_text.delta", "response.refusal.delta")
SILENT: Final = ("message", "reasoning")


class Show(Protocol):
    """Shows a response as it comes."""

    def event(self, event: Event) -> None:
        """Show an event."""
        ...

    def end(self, response: Response) -> None:
        """Show what is only known at the end."""
        ...


def show_of(*, events: bool, json: bool) -> Show:
    """What the options `--events` and `--json` ask for."""
    if events:
        return JsonLines() if json else EventLines()
    return FinalJson() if json else Words()


class Words:
    """The answer itself on stdout; calls and other items, a line each, on stderr."""

    def __init__(self) -> None:
        self._last = "\n"

    def event(self, event: Event) -> None:
        match event:
            case {"type": kind, "delta": str(delta)} if kind in SPOKEN and delta:
                self._say(delta)
            case {"type": "response.content_part.added", "content_index": int(index)} if index:
                self._end_line()
            case {"type": "response.output_item.done", "item": dict(item)}:
                self._end_line()
                if item.get("type") not in SILENT:
                    note(_item(item))

    def end(self, response: Response) -> None:
        del response
        self._end_line()

    def _say(self, text: str) -> None:
        out(plain(text), end="")
        self._last = text[-1]

    def _end_line(self) -> None:
        if self._last != "\n":
            self._say("\n")


class EventLines:
    """Each event on a line: its number, its type, and what is particular to it."""

    def event(self, event: Event) -> None:
        out(plain(line_of(event)))

    def end(self, response: Response) -> None:
        del response


class JsonLines:
    """Each event as it came, one JSON object a line."""

    def event(self, event: Event) -> None:
        out(msgspec.json.encode(event).decode())

    def end(self, response: Response) -> None:
        del response


class FinalJson:
    """The Response, when it is over."""

    def event(self, event: Event) -> None:
        del event

    def end(self, response: Response) -> None:
        out(msgspec.json.format(msgspec.json.encode(response), indent=2).decode())


# One event, one line

LONGEST: Final = 80
_KNOWN: Final = ("type", "sequence_number", "item_id", "obfuscation")
"""Not repeated: `item_id` says what `output_index` says."""


def line_of(event: Event) -> str:
    """`  4 response.output_text.delta                 output=0 content=0 delta="Hel"`"""
    number, kind = event.get("sequence_number", "-"), str(event.get("type", "?"))
    fields = " ".join(text for key, value in event.items() if key not in _KNOWN and (text := _field(key, value)))
    return f"{number:>4} {kind:<42} {dim(fields)}".rstrip()


def _field(key: str, value: Any) -> str:
    """What is worth a place on the line: scalars, and of objects what tells them apart."""
    key = key.removesuffix("_index")
    match value:
        case {"object": "response"}:
            return _picked(value, ("id", "status", "error", "incomplete_details"))
        case dict():
            return f"{key}=({_picked(value, ('type', 'id', 'call_id', 'name', 'status'))})"
        case [] | None:
            return ""
        case list():
            return f"{key}=[{len(value)}]"
    return f"{key}={_short(msgspec.json.encode(value).decode())}"


def _picked(value: Event, keys: Iterable[str]) -> str:
    """Some fields of an object. What they name needs no quotes."""
    found = {key: value[key] for key in keys if value.get(key) is not None}
    texts = {key: one if isinstance(one, str) else msgspec.json.encode(one).decode() for key, one in found.items()}
    return " ".join(f"{key}={_short(text)}" for key, text in texts.items())


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _item(item: Event) -> str:
    """An item of the output that is no message: `function_call get_weather({"city": "Paris"})`."""
    kind = item.get("type", "item")
    match item:
        case {"name": str(name), "arguments": str(arguments)}:
            return f"{kind} {name}({arguments})"
        case {"name": str(name), "input": str(text)}:
            return f"{kind} {name}({text})"
    return f"{kind} {item.get('id', '')} {item.get('status', '')}".rstrip()


# A whole response


def play(events: Iterable[Event], show: Show, pace: Callable[[Event], None] | None = None) -> Response | None:
    """Show all events. Returns the Response of the last snapshot; None if there was no event with one."""
    response: Response | None = None
    for event in events:
        if isinstance(event.get("response"), dict):
            response = event["response"]
        if pace is not None:
            pace(event)
        show.event(event)
        if event.get("type") in FINAL:
            break
    return response


def conclude(response: Response) -> int:
    """Say on stderr what became of a response. Returns the exit code of the command."""
    usage = response.get("usage") or {}
    tokens = f", {usage['input_tokens']} tokens in, {usage['output_tokens']} out" if "output_tokens" in usage else ""
    state = response.get("status", "unknown")
    note(f"{response.get('id')} {state}{_reason(response)}{tokens}")
    return 0 if state == "completed" else BROKEN


def _reason(response: Response) -> str:
    match response:
        case {"error": {"message": str(message), "code": code}}:
            return f" ({code}: {message})"
        case {"incomplete_details": {"reason": str(reason)}}:
            return f" ({reason})"
    return ""
