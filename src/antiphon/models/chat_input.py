"""The text of a custom tool out of the JSON arguments of the function that stands for it, as they stream in.

A custom tool takes text; a chat model can only call functions, so it is offered one of a single string `input`. What
the model writes is `{"input": "…"}`, cut anywhere, also inside an escape. Sans-I/O: text in, text out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

__all__ = ["CustomInput", "wrapped"]

_WRAPPER: Final = ("{", '"input"', ":", '"')
_JSON_SPACE: Final = " \t\r\n"
_MAX_SPACE: Final = 64
"""Characters of white space between two tokens of the wrapper; more is no wrapper."""

_PART: Final = re.compile(
    r"""(?P<text>[^"\\]+)
    | (?P<end>")
    | \\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})
    | \\u(?P<code>[0-9a-fA-F]{4})
    | \\(?P<short>["\\/bfnrt])""",
    re.VERBOSE,
)
_UNFINISHED: Final = re.compile(
    r"\\(u([0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(\\(u([dD]([c-fC-F][0-9a-fA-F]?)?)?)?)?))?"
)
_LONGEST: Final = len(r"\ud83d\ude0")
_SHORT: Final = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def wrapped(text: str) -> str:
    """The arguments that stand for a custom tool's input."""
    return msgspec.json.encode({"input": text}).decode()


class CustomInput:
    """`feed` it the arguments as they come, `close` it at the end; both give the text that is known now.

    A model that ignores the wrapper, and writes the text itself or other JSON, is taken at its word: what it wrote is
    the input. Inside the string what is no JSON is taken as it is (line ends, a backslash before any character), a
    lone surrogate becomes U+FFFD, and what follows the string is ignored.
    """

    __slots__ = ("_held", "_state")

    def __init__(self) -> None:
        self._state: State = CustomInput._wrapper
        self._held = ""

    def feed(self, arguments: str) -> str:
        """What this piece of the arguments adds to the text."""
        text = self._held + arguments
        self._held = ""
        return self._state(self, text)

    def close(self) -> str:
        """What was held: arguments that are no wrapper; of half an escape, its lone surrogate if it has one."""
        held, self._held = self._held, ""
        if self._state is CustomInput._wrapper:
            return held
        return "\ufffd" if len(held) >= len(r"\ud83d") else ""

    # Each state takes what is not yet told, keeps what it cannot tell yet, and returns the text.

    def _wrapper(self, text: str) -> str:
        at = 0
        for token in _WRAPPER:
            start = at + len(text[at:]) - len(text[at:].lstrip(_JSON_SPACE))
            piece = text[start : start + len(token)]
            if start - at > _MAX_SPACE or not token.startswith(piece):
                self._state = CustomInput._as_it_is
                return text
            at = start + len(token)
            if piece != token:
                self._held = text
                return ""
        self._state = CustomInput._string
        return self._string(text[at:])

    def _string(self, text: str) -> str:
        parts: list[str] = []
        at = 0
        while at < len(text):
            if len(text) - at <= _LONGEST and _UNFINISHED.fullmatch(text, at):
                self._held = text[at:]
                break
            part = _PART.match(text, at)
            if part is not None and part.lastgroup == "end":
                self._state = CustomInput._ended
                break
            parts.append(_decoded(part) if part else "\\")
            at = part.end() if part else at + 1
        return "".join(parts)

    def _as_it_is(self, text: str) -> str:
        return text

    def _ended(self, _text: str) -> str:
        return ""


State: TypeAlias = Callable[[CustomInput, str], str]


def _decoded(part: re.Match[str]) -> str:
    """The characters that a part of a JSON string stands for."""
    match part.lastgroup:
        case "text":
            return part["text"]
        case "short":
            return _SHORT[part["short"]]
        case "low":
            return chr(0x10000 + ((int(part["high"], 16) & 0x3FF) << 10) + (int(part["low"], 16) & 0x3FF))
    code = int(part["code"], 16)
    return "\ufffd" if 0xD800 <= code < 0xE000 else chr(code)
