"""Reads a `.env` file: `NAME=value`, one a line, as shells and other tools write it.

`export` before a name is overlooked. Single quotes keep all as it is; double quotes know `\\n`, `\\t`, `\\r`, `\\"`,
`\\\\` and `\\$`; both may run over several lines. Without quotes the value ends at the line's end, or at a `#` after
white space. Nothing is expanded or run. What is no assignment is skipped: the file may belong to other tools too.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["parse"]

_ASSIGNMENT: Final = re.compile(
    r"""^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*
    (?: '(?P<literal>[^']*)' | "(?P<quoted>(?:[^"\\]|\\.)*)" | (?P<plain>(?!\#)[^\r\n]*?) )
    (?:[ \t]+\#[^\r\n]*|[ \t]*)\r?$""",
    re.VERBOSE | re.MULTILINE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", '"': '"', "\\": "\\", "$": "$"}


def parse(text: str) -> dict[str, str]:
    """The variables of a file; of several with one name the last."""
    return {found["name"]: _value(found) for found in _ASSIGNMENT.finditer(text.removeprefix("\ufeff"))}


def _value(found: re.Match[str]) -> str:
    if found["quoted"] is not None:
        return _ESCAPE.sub(lambda escape: _ESCAPED.get(escape[1], escape[0]), found["quoted"])
    return found["literal"] if found["literal"] is not None else found["plain"]
