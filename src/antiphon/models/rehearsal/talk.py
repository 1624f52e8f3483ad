"""The ordinary answer: who speaks, what was attached, found or returned, and what the message asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from antiphon.models.rehearsal.acts import Answer
from antiphon.models.rehearsal.directives import misspelt
from antiphon.models.rehearsal.reading import Output, Reading
from antiphon.models.rehearsal.skills import SKILLS, cut
from antiphon.models.rehearsal.words import WHAT_I_AM, sentences, thoughts, topic_of
from antiphon.wire.content import (
    Annotation,
    ContainerFileCitation,
    FileCitation,
    FilePath,
    InputFile,
    InputImage,
    UrlCitation,
)
from antiphon.wire.items import FileSearchResult

_MOST_SEARCHED = 20_000
"""Characters of a message in which a skill is looked for."""
_MOST_PASSAGES = 5
_EXTRA_SENTENCES = 4
_THOUGHTS = {"none": 0, "minimal": 1, "low": 2, "medium": 4, "high": 6, "xhigh": 8, "max": 10}
"""Effort → sentences of reasoning."""


def answer(reading: Reading, words: str = "") -> Answer:
    """What rehearsal says to a turn that asks for text; `words` are what it says in place of what a skill would."""
    words, exact = (words, False) if words else _skilled(reading)
    said = Answer(words if exact else "")
    if not exact:
        _tell(said, reading, words)
    return said


def _tell(said: Answer, reading: Reading, words: str) -> None:
    """All that is to be said, a paragraph each."""
    if reading.newcomer:
        _paragraph(said, WHAT_I_AM)
    if reading.attachments:
        _paragraph(said, _attached(reading.attachments))
    if reading.passages:
        _quote(said, reading.passages)
    _paragraph(said, "\n\n".join(map(_reported, reading.outputs)) or words)
    if remark := misspelt(reading.message):
        _paragraph(said, remark)
    if reading.verbosity == "high":
        _paragraph(said, " ".join(sentences(topic_of(reading.message), _EXTRA_SENTENCES, reading.dice.fork("extra"))))


def _paragraph(said: Answer, text: str) -> None:
    said.add(("\n\n" if said.text and text else "") + text)


def _skilled(reading: Reading) -> tuple[str, bool]:
    """The words of the first skill that fits, and whether nothing is to be added to them."""
    text = reading.message[:_MOST_SEARCHED]
    for row in SKILLS if reading.fresh else ():
        if (found := row.pattern.search(text)) and (words := row.skill(found, reading)):
            return words, row.exact
    return _of_topic(reading), False


def _of_topic(reading: Reading) -> str:
    """What is said to a message that no skill fits: it is quoted, and talked about a little."""
    if not reading.message:
        return "Your message holds directives and no words." if reading.lines else "There is no message to answer."
    if reading.passages:
        return ""
    topic = topic_of(reading.message)
    more = [] if reading.verbosity == "low" else sentences("this", 2, reading.dice.fork("talk"))
    return " ".join((f"You wrote about “{topic}”.", *more))


def reasoned(reading: Reading, number: int) -> tuple[str, str]:
    """Reasoning in so many sentences (0: as the effort asks for), and a summary of it if one is asked for."""
    asked = reading.request.reasoning
    number = number or _THOUGHTS.get((asked and asked.effort) or "medium", _THOUGHTS["medium"])
    topic = topic_of(reading.message)
    words = " ".join(thoughts(topic, number, reading.dice.fork("thoughts")))
    wants_summary = asked is not None and (asked.summary or asked.generate_summary)
    return words, f"**Thinking about {topic}**\n\nI looked for a rule that fits the message." if wants_summary else ""


def wants_reasoning(reading: Reading) -> bool:
    """Whether the request's effort asks for reasoning."""
    asked = reading.request.reasoning
    return asked is not None and asked.effort not in (None, "none")


# What tools returned


def _reported(output: Output) -> str:
    """A tool's answer in a sentence: fields of an object by name, other text as it is."""
    asked = f" ({cut(output.arguments, 120)})" if output.arguments not in ("", "{}") else ""
    return f"`{output.name}`{asked} answered: {_spoken(output.text)}"


def _spoken(text: str) -> str:
    try:
        value = msgspec.json.decode(text.encode("utf-8", "replace"))
    except msgspec.DecodeError:
        return cut(text) or "nothing."
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(entry)}" for key, entry in value.items()) + "."
    return f"{_short(value)}."


def _short(value: Any) -> str:
    return cut(value if isinstance(value, str) else msgspec.json.encode(value).decode(), 120)


# What is attached: named by kind and size, never looked into


def _attached(parts: Sequence[InputImage | InputFile]) -> str:
    named = ", ".join(map(_described, parts))
    those = "it is" if len(parts) == 1 else "they are"
    return f"You attached {named}. I notice that {those} there; I cannot look into images or files."


def _described(part: InputImage | InputFile) -> str:
    kind = "an image" if isinstance(part, InputImage) else "a file"
    name = getattr(part, "filename", None)
    title = f" “{cut(name, 80)}”" if isinstance(name, str) and name else ""
    return f"{kind}{title} ({_origin(part)})"


def _origin(part: InputImage | InputFile) -> str:
    """Where the data are, and how many if they are in the message."""
    given = part.image_url if isinstance(part, InputImage) else part.file_data or part.file_url
    if not given:
        return f"id {part.file_id}" if part.file_id else "empty"
    if given.startswith(("http://", "https://")):
        return f"at {cut(given, 80)}"
    head, _, data = given.rpartition(",")
    kind = head.removeprefix("data:").partition(";")[0]
    size = len(data.rstrip("=")) * 3 // 4
    return f"{kind}, {size} bytes" if kind else f"{size} bytes"


# Quotations and citations


def _quote(said: Answer, passages: Iterable[FileSearchResult]) -> None:
    """Quote the passages that a file search found, each with its citation."""
    _paragraph(said, "This is what the files say:")
    for passage in list(passages)[:_MOST_PASSAGES]:
        name = passage.filename or passage.file_id or "a file"
        said.add(f"\n\n> {cut(passage.text or '')} — {name}")
        said.note(FileCitation(file_id=passage.file_id or "", filename=passage.filename or "", index=len(said.text)))


def _span(said: Answer) -> dict[str, int]:
    """Say a mark, and where it stands."""
    start = len(said.text) + 1
    said.add(" [source]")
    return {"start_index": start, "end_index": len(said.text)}


def _cite_url(said: Answer) -> Annotation:
    return UrlCitation(title="Canned by rehearsal", url="https://example.com/canned", **_span(said))


def _cite_container_file(said: Answer) -> Annotation:
    return ContainerFileCitation(
        container_id="cntr_canned", file_id="cfile_canned", filename="canned.txt", **_span(said)
    )


def _cite_file(said: Answer) -> Annotation:
    return FileCitation(file_id="file_canned", filename="canned.txt", index=_span(said)["end_index"])


def _cite_path(said: Answer) -> Annotation:
    return FilePath(file_id="file_canned", index=_span(said)["end_index"])


_CITATIONS: dict[str, Callable[[Answer], Annotation]] = {
    "url_citation": _cite_url,
    "file_citation": _cite_file,
    "container_file_citation": _cite_container_file,
    "file_path": _cite_path,
}


def cite(said: Answer, kind: str) -> None:
    """End what was said with a mark and an annotation of a kind."""
    said.note(_CITATIONS[kind](said))
