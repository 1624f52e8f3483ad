"""Commands and patches that a message holds: what a shell or `apply_patch` is to be called with."""

from __future__ import annotations

import re

from antiphon.models.rehearsal.values import fenced
from antiphon.wire.items import CreateFile, DeleteFile, UpdateFile

Operation = CreateFile | UpdateFile | DeleteFile

_LONGEST = 200_000
"""Characters of a message that are searched."""

_RUN = re.compile(r"\b(?:run|execute|launch)\b([^\n]{1,400})", re.IGNORECASE)
_TICKED = re.compile(r"`([^`]+)`")
_PROMPT = re.compile(r"^[ \t]*\$ (.{1,400})$", re.MULTILINE)
_SHELL_FENCE = re.compile(r"^```(?:sh|bash|shell|zsh|console)[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_MARKER = re.compile(r"^\*\*\* (Add|Update|Delete) File: (.+)\n?", re.MULTILINE)
_UNIFIED = re.compile(r"^--- (?:a/)?(\S+).*\n\+\+\+ (?:b/)?(\S+).*\n", re.MULTILINE)


def commands(message: str) -> list[str]:
    """The commands that a message asks to run."""
    text = message[:_LONGEST]
    if found := _SHELL_FENCE.search(text):
        return [line.removeprefix("$ ") for line in found[1].splitlines() if line.strip()]
    ticked = [command for found in _RUN.finditer(text) for command in _TICKED.findall(found[1])]
    return ticked or _PROMPT.findall(text)


def operations(message: str) -> list[Operation]:
    """The changes of a patch in a message: in the form `*** Update File: path`, or a unified diff."""
    text = (fenced(message) or message)[:_LONGEST]
    marked = [_marked(found, body) for found, body in _sections(_MARKER, text)]
    return marked or [_unified(found[1], found[2], body) for found, body in _sections(_UNIFIED, text)]


def _sections(heading: re.Pattern[str], text: str) -> list[tuple[re.Match[str], str]]:
    """Each heading with what stands below it."""
    found = list(heading.finditer(text))
    ends = [*(following.start() for following in found[1:]), len(text)]
    return [(each, text[each.end() : end]) for each, end in zip(found, ends, strict=False)]


def _marked(found: re.Match[str], body: str) -> Operation:
    diff = body.split("*** End Patch", 1)[0]
    path = found[2].strip()
    match found[1]:
        case "Add":
            return CreateFile(path=path, diff=diff)
        case "Delete":
            return DeleteFile(path=path)
    return UpdateFile(path=path, diff=diff)


def _unified(old: str, new: str, body: str) -> Operation:
    if old == "/dev/null":
        return CreateFile(path=new, diff="".join(line for line in body.splitlines(True) if line.startswith("+")))
    return DeleteFile(path=old) if new == "/dev/null" else UpdateFile(path=new, diff=body)
