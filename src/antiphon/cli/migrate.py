"""`antiphon migrate`: what to change in Python programs that speak Chat Completions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from antiphon.cli.options import JsonOption
from antiphon.cli.terminal import BROKEN, WRONG, dim, note, out, plain

if TYPE_CHECKING:
    from antiphon.cli.migration import Finding


def migrate(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Python files, or folders with some.", show_default=False)
    ],
    *,
    json: JsonOption = False,
) -> None:
    """Say, line by line, what to change from Chat Completions to Responses. Nothing is run or changed.

    Exit code 1 if something is to change, 2 if a file cannot be read.

    \b
    antiphon migrate app.py
    antiphon migrate --json src
    """
    import msgspec

    told: list[dict[str, Any]] = []
    unread = 0
    for file in _files(files):
        try:
            findings = _read(file)
        except (OSError, SyntaxError, ValueError, RecursionError) as error:
            note(f"{file}: {_reason(error)}")
            unread += 1
            continue
        told += [{"file": str(file), **finding._asdict()} for finding in findings]
        if not json:
            _show(file, findings)
    if json:
        out(msgspec.json.format(msgspec.json.encode(told), indent=2).decode())
    note(_summary(told, unread))
    if unread or told:
        raise typer.Exit(WRONG if unread else BROKEN)


def _files(given: list[Path]) -> Iterator[Path]:
    """The files that are named, and the Python files of folders that are."""
    for path in given:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*.py") if not _is_hidden(file.relative_to(path)))
        else:
            yield path


def _is_hidden(file: Path) -> bool:
    """Whether a file is somebody else's: in an environment, or in a folder with a dot."""
    return any(part.startswith(".") or part in ("site-packages", "node_modules") for part in file.parts[:-1])


def _read(file: Path) -> list[Finding]:
    if file.suffix == ".ipynb":
        raise ValueError("a notebook is not read; save it as a Python file: jupyter nbconvert --to script")
    from antiphon.cli.migration import read

    return read(file.read_bytes())


def _reason(error: Exception) -> str:
    match error:
        case SyntaxError(lineno=int(line)):
            return f"line {line} is no Python: {error.msg}"
        case OSError():
            return f"cannot be read: {error.strerror}"
        case RecursionError():
            return "is nested too deep"
    return f"is no Python: {error}"


def _show(file: Path, findings: list[Finding]) -> None:
    for finding in findings:
        place = dim(f"{plain(str(file))}:{finding.line}:{finding.column}:")
        out(f"{place} {plain(finding.found)} {dim('→')} {finding.change}")


def _summary(told: list[dict[str, Any]], unread: int) -> str:
    places = f"{len(told)} place{'' if len(told) == 1 else 's'} to change" if told else "nothing to change"
    lines = len({(each["file"], each["line"]) for each in told})
    where = f", in {lines} line{'' if lines == 1 else 's'}" if told else ""
    return f"{places}{where}" + (f"; {unread} not read" if unread else "")
