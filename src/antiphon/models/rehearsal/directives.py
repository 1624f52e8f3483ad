"""Directives: lines of a message that say what to rehearse, `#fault 429 retry_after=2`.

A directive is a line of the newest user message that begins with `#` and a name of the table `DIRECTIVES`; headings
(`# Title`), hashtags of other names, and lines between code fences are text. The same can be said in the request's
`metadata`, as `rehearsal_<name>`, by who cannot change the message; a line in the message outweighs it. A few are also
understood in plain words: `rehearse a rate limit`. What is malformed is refused, with its name: an exercise that
silently does not take place would be worse than none.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from antiphon.models.rehearsal.canned import KINDS
from antiphon.models.rehearsal.faults import Fault, fault
from antiphon.models.rehearsal.units import amount, duration
from antiphon.wire.content import ANNOTATIONS
from antiphon.wire.errors import InvalidRequest

METADATA_PREFIX = "rehearsal_"
MOST_TOKENS = 1_000_000


class Call(msgspec.Struct, frozen=True):
    """A call that was asked for by name; `words` is what followed the name, empty if nothing did."""

    name: str
    words: str


class Script(msgspec.Struct):
    """What a turn is to rehearse."""

    fault: Fault | None = None
    pace: float | None = None
    """Seconds between two tokens."""
    tokens: int | None = None
    reason: int | None = None
    """Sentences of reasoning; 0: as many as the effort asks for."""
    refuse: str | None = None
    say: str | None = None
    calls: list[Call] = []
    items: list[str] = []
    cite: list[str] = []


class Directive(NamedTuple):
    """One row of the table."""

    form: str
    """What stands after the name, for messages and documentation."""
    meaning: str
    apply: Callable[[Script, str], None]
    """Writes into the script, or raises ValueError with what it expected."""
    once: bool = False
    """Whether it is played for its message only, and not again when the message's calls have been answered."""


def _fault(script: Script, words: str) -> None:
    script.fault = fault(words)


def _pace(script: Script, words: str) -> None:
    script.pace = duration(words)


def _tokens(script: Script, words: str) -> None:
    script.tokens = amount(words, MOST_TOKENS)


def _reason(script: Script, words: str) -> None:
    script.reason = amount(words, 1_000) if words else 0


def _refuse(script: Script, words: str) -> None:
    script.refuse = words


def _say(script: Script, words: str) -> None:
    if not words:
        raise ValueError("a text")
    script.say = words


def _call(script: Script, words: str) -> None:
    name, _, rest = words.partition(" ")
    if not re.fullmatch(r"[\w-]{1,128}(?:\.[\w-]{1,128})?", name):
        raise ValueError("the name of a tool, or `namespace.name`")
    if rest.lstrip()[:1] in ("{", "["):
        _check_json(rest)
    script.calls.append(Call(name, rest.strip()))


def _check_json(text: str) -> None:
    try:
        msgspec.json.decode(text.encode())
    except msgspec.DecodeError as error:
        raise ValueError(f"arguments in JSON ({error})") from error


def _item(script: Script, words: str) -> None:
    if words not in KINDS:
        raise ValueError(f"one of: {', '.join(KINDS)}")
    script.items.append(words)


def _cite(script: Script, words: str) -> None:
    kind = words or "url_citation"
    if kind not in ANNOTATIONS:
        raise ValueError(f"one of: {', '.join(ANNOTATIONS)}")
    script.cite.append(kind)


DIRECTIVES: dict[str, Directive] = {
    "fault": Directive(
        "KIND [after=N] [retry_after=S] [code=C] [delay=D]", "fail as a production client must survive", _fault, True
    ),
    "pace": Directive("DURATION", "wait so long before each token", _pace),
    "tokens": Directive("N", "answer with exactly so many deltas", _tokens),
    "reason": Directive("[SENTENCES]", "reason first, whatever the effort", _reason),
    "refuse": Directive("[WORDS]", "refuse", _refuse),
    "say": Directive("WORDS", "answer with exactly these words", _say),
    "call": Directive("NAME [ARGUMENTS]", "call a tool", _call, True),
    "item": Directive("KIND", "play a canned item with all its events", _item, True),
    "cite": Directive("[KIND]", "end the answer with an annotation", _cite),
}

_LINE = re.compile(r"[ \t]*#([a-z_]+)(?:[ \t]+(.*?))?[ \t]*")
_HASHTAG = re.compile(r"^[ \t]*#([a-z_]{3,20})(?=\s|$)", re.MULTILINE)

_PLAIN_WORDS: tuple[tuple[re.Pattern[str], str, str], ...] = tuple(
    (re.compile(rf"\b(?:{words})\b", re.IGNORECASE), name, rest)
    for words, name, rest in (
        ("rehearse an? rate limit", "fault", "429 retry_after=1"),
        ("rehearse an? server error", "fault", "500"),
        ("rehearse an? outage", "fault", "503"),
        ("rehearse an? timeout", "fault", "504"),
        ("rehearse an? stall", "fault", "stall"),
        ("rehearse an? (?:cut|broken stream)", "fault", "cut"),
        ("rehearse an? content filter", "fault", "content_filter"),
        ("rehearse an? incomplete answer", "fault", "incomplete"),
        ("rehearse an? slow start", "fault", "slow_start 2s"),
        ("rehearse an? refusal|refuse (?:this|to answer|my request)", "refuse", ""),
        ("rehearse (?:some )?reasoning|think (?:step by step|hard|aloud)", "reason", ""),
        ("stream slowly|speak slowly", "pace", "100ms"),
    )
)
"""Plain words → the directive that they amount to."""


class Line(NamedTuple):
    """A directive as it was written."""

    name: str
    words: str


def separate(text: str) -> tuple[str, list[Line]]:
    """A message without its directives, and these."""
    kept: list[str] = []
    lines: list[Line] = []
    fenced = False
    for line in text.split("\n"):
        fenced ^= line.lstrip().startswith("```")
        found = None if fenced else _LINE.fullmatch(line)
        if found and found[1] in DIRECTIVES:
            lines.append(Line(found[1], found[2] or ""))
        else:
            kept.append(line)
    return "\n".join(kept).strip(), lines


def misspelt(text: str) -> str | None:
    """A remark on the first line of a message that looks like a directive that there is not."""
    for found in _HASHTAG.finditer(text):
        if close := difflib.get_close_matches(found[1], DIRECTIVES, n=1, cutoff=0.7):
            return f"`#{found[1]}` is no directive of mine; you may have meant `#{close[0]}`."
    return None


def script_of(text: str, lines: Iterable[Line], metadata: Mapping[str, str], *, fresh: bool) -> Script:
    """What plain words, metadata and lines ask for together; the later outweighs the earlier.

    `fresh` is false when the message's calls have been answered: what is played once is not played again. Raises
    InvalidRequest (400 `invalid_directive`) for what is malformed.
    """
    script = Script()
    for pattern, name, words in _PLAIN_WORDS:
        if pattern.search(text[:2_000]):
            _apply(script, Line(name, words), "input", fresh=fresh)
    for key, words in metadata.items():
        if key.startswith(METADATA_PREFIX):
            _apply(script, Line(key.removeprefix(METADATA_PREFIX), words), f"metadata.{key}", fresh=True)
    for line in lines:
        _apply(script, line, "input", fresh=fresh)
    return script


def _apply(script: Script, line: Line, param: str, *, fresh: bool) -> None:
    directive = DIRECTIVES.get(line.name)
    if directive is None:
        known = ", ".join(METADATA_PREFIX + name for name in DIRECTIVES)
        raise _malformed(param, f"There is no directive '{line.name}' of rehearsal. There are: {known}.")
    if directive.once and not fresh:
        return
    try:
        directive.apply(script, line.words.strip())
    except ValueError as error:
        written = f"#{line.name} {line.words}".strip()
        form = f"#{line.name} {directive.form}"
        raise _malformed(param, f"Malformed directive '{written}': expected {error}. Its form is `{form}`.") from error


def _malformed(param: str, message: str) -> InvalidRequest:
    return InvalidRequest(message, param=param, code="invalid_directive")
