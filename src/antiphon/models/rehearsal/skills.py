"""What rehearsal can do with words: a table of patterns of messages, each with what it answers.

The first row whose pattern is found, and whose skill has an answer, answers. None of this needs to know anything: it
counts, turns, repeats, recalls. What would need knowledge or a clock is declined, not invented.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from antiphon.models.rehearsal.arithmetic import worked_out
from antiphon.models.rehearsal.reading import Reading
from antiphon.models.rehearsal.values import fenced, quotations
from antiphon.models.rehearsal.words import (
    ABILITIES,
    COMMON,
    STOP_WORDS,
    headings,
    number_named,
    sentences,
    topic_of,
    words_in,
)

_MOST_COUNTED = 1_000
_MOST_PARAGRAPHS = 50
_MOST_LISTED = 100
_MOST_REPEATED = 200
_CUT = 300
_USUAL_PARAGRAPHS = 3
_SENTENCES_A_PARAGRAPH = 4

Skill = Callable[["re.Match[str]", Reading], str | None]


class Row(NamedTuple):
    """One thing that rehearsal can do."""

    pattern: re.Pattern[str]
    skill: Skill
    exact: bool = False
    """Whether these words are the whole answer: nothing is said before or after them."""


def cut(text: str, length: int = _CUT) -> str:
    """A text on one line, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= length else f"{line[:length].rstrip()}…"


# Remembering


def _recalled(found: re.Match[str], reading: Reading) -> str:
    said = reading.said_by("user")
    if not said:
        return "You have said nothing before this message."
    which = (found["which"] or "").lower()
    if which in ("first", "at first", "in the beginning"):
        return f"The first thing you said was: “{cut(said[0])}”"
    if which:
        return f"Before this message you said: “{cut(said[-1])}”"
    return "You said:\n\n" + "\n".join(f"{number}. “{cut(text)}”" for number, text in enumerate(said, 1))


def _own_words(_: re.Match[str], reading: Reading) -> str:
    said = reading.said_by("assistant")
    return f"I said: “{cut(said[-1])}”" if said else "I have said nothing before."


_CALLED = re.compile(r"\b(?i:my name is|i am called|call me|i['’]m|i am) ([A-ZÀ-Þ][\w’'-]*(?: [A-ZÀ-Þ][\w’'-]*)*)")


def _remembered(found: re.Match[str], reading: Reading) -> str:
    """A thing of which the user said what it is: `my favourite colour is green`."""
    thing = " ".join((found.groupdict().get("thing") or "name").lower().split())
    stated = re.compile(rf"\bmy {re.escape(thing)} (?:is|are|was) ([^.,;!?\n]+)", re.IGNORECASE)
    told = _CALLED if thing == "name" else stated
    for text in reversed(reading.said_by("user")):
        if known := told.search(text):
            return f"You told me: your {thing} is {known[1].strip()}."
    return f"You have not told me your {thing}."


# Numbers


def _summed(_: re.Match[str], reading: Reading) -> str | None:
    return worked_out(reading.message)


def _counted_up(found: re.Match[str], _: Reading) -> str | None:
    first, last = number_named(found["first"] or "1"), number_named(found["last"])
    if first is None or last is None or abs(last - first) > _MOST_COUNTED:
        return None
    step = 1 if last >= first else -1
    return ", ".join(str(number) for number in range(first, last + step, step))


def _letters(found: re.Match[str], _: Reading) -> str:
    letter, word = found["letter"], found["word"]
    number = word.lower().count(letter.lower())
    return f"The letter “{letter}” is in “{word}” {_times(number)}."


def _times(number: int) -> str:
    return {0: "not once", 1: "once", 2: "twice"}.get(number, f"{number} times")


_MEASURES: dict[str, Callable[[str], int]] = {
    "words": lambda text: len(text.split()),
    "letters": lambda text: sum(sign.isalpha() for sign in text),
    "characters": len,
    "vowels": lambda text: sum(sign in "aeiou" for sign in text.lower()),
    "sentences": lambda text: len(_sentences_in(text)),
    "lines": lambda text: len(text.splitlines()),
}


def _measured(found: re.Match[str], reading: Reading) -> str:
    text = _object(found["text"], reading)
    number = _MEASURES[found["unit"].lower()](text)
    return f"I count {number} {found['unit'].lower()} in “{cut(text, 80)}”."


# Turning words over


def _object(text: str, reading: Reading) -> str:
    """What a request is about: the code it holds, what it quotes, or the words that follow."""
    quoted = quotations(text)
    return (fenced(reading.message) or "") or (quoted[0] if quoted else re.sub(r"[?.!]$", "", text.strip()))


def _repeated(found: re.Match[str], _: Reading) -> str:
    text = found["text"].strip()
    if len(text) > 1 and text[0] + text[-1] in ('""', "''", "“”", "``"):
        text = text[1:-1]
    times = number_named(found["times"] or "1") or 1
    return "\n".join([text] * min(times, _MOST_REPEATED))


def _spelt(found: re.Match[str], reading: Reading) -> str:
    return "-".join(_object(found["text"], reading).upper())


def _reversed(found: re.Match[str], reading: Reading) -> str:
    return _object(found["text"], reading)[::-1]


def _cased(found: re.Match[str], reading: Reading) -> str:
    text = _object(found["text"], reading)
    return text.upper() if found["case"].lower().startswith("up") else text.lower()


def _sorted(found: re.Match[str], _: Reading) -> str:
    return ", ".join(sorted((part.strip() for part in re.split(r",| and ", found["text"])), key=str.casefold))


def _sentences_in(text: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def _summarised(found: re.Match[str], reading: Reading) -> str:
    """The sentences whose words are said most often: a quarter of them, at most three."""
    text = found["text"].strip() or "\n".join(reading.said_by("user"))
    parts = _sentences_in(text[:20_000])
    if len(parts) < 2:
        return f"In short: {cut(text)}" if text else "There is nothing to summarise yet."
    weight = Counter(word for word in words_in(text) if word not in STOP_WORDS)
    scores = [sum(weight[word] for word in set(words_in(part))) for part in parts]
    best = sorted(range(len(parts)), key=lambda index: -scores[index])[: max(1, min(3, len(parts) // 4))]
    return "In short: " + " ".join(parts[index] for index in sorted(best))


# Longer answers


def _listed(found: re.Match[str], reading: Reading) -> str | None:
    number = number_named(found["number"])
    if number is None or not 0 < number <= _MOST_LISTED:
        return None
    dice = reading.dice.fork("list")
    lines = sentences(found["things"].strip(" .?!"), number, dice)
    return "\n".join(f"{index}. **{dice.pick(COMMON).capitalize()}.** {line}" for index, line in enumerate(lines, 1))


def _bulleted(found: re.Match[str], _: Reading) -> str:
    parts = re.split(r",? and |, ?|; ?|\n", found["text"].strip(" ."))
    return "\n".join(f"- {part.strip()}" for part in parts if part.strip())


def _coded(found: re.Match[str], reading: Reading) -> str:
    language = (found["language"] or "python").lower()
    topic = topic_of(reading.message)
    if language == "python":
        body = f'def rehearse(times: int) -> list[str]:\n    """{topic}"""\n    return ["rehearsal"] * times'
    else:
        body = f"// {topic}\nfunction rehearse(times) {{\n  return Array(times).fill('rehearsal');\n}}"
    return (
        f"I cannot write a program that I was not given; this one shows how code looks:\n\n```{language}\n{body}\n```"
    )


def _tabled(_: re.Match[str], reading: Reading) -> str:
    dice = reading.dice.fork("table")
    rows = [f"| {dice.pick(COMMON)} | {dice.below(100)} |" for _ in range(4)]
    return "\n".join((f"About {topic_of(reading.message)}:", "", "| word | number |", "|---|---|", *rows))


def _essay(found: re.Match[str], reading: Reading) -> str:
    wanted = re.search(r"(\w+)[ -]paragraphs?\b", reading.message)
    number = number_named(wanted[1]) if wanted else None
    number = min(number or _USUAL_PARAGRAPHS, _MOST_PARAGRAPHS)
    topic, dice = topic_of(reading.message), reading.dice.fork("essay")
    lines = sentences(topic, number * _SENTENCES_A_PARAGRAPH, dice)
    blocks = [" ".join(lines[index::number]) for index in range(number)]
    if re.search(r"\bmarkdown\b|\bheadings?\b", found.string, re.IGNORECASE):
        titles = headings(topic, number, dice)
        blocks = [f"## {title}\n\n{block}" for title, block in zip(titles, blocks, strict=True)]
        blocks.insert(1, "- **one** thing\n- *another* thing\n- `a third` thing")
    return "\n\n".join(blocks)


# Talk


def _no_clock(_: re.Match[str], __: Reading) -> str:
    return "I do not know the date or the time: I read no clock."


def _identity(_: re.Match[str], reading: Reading) -> str:
    also = "" if reading.newcomer else "I am rehearsal, the model built into Antiphon. "
    return also + "I can " + "; ".join(ABILITIES) + ". Point a real model at this server when you need knowledge."


def _greeting(_: re.Match[str], __: Reading) -> str:
    return "Hello! What shall we rehearse?"


def _thanks(_: re.Match[str], __: Reading) -> str:
    return "You are welcome."


def _row(pattern: str, skill: Skill, *, exact: bool = False) -> Row:
    return Row(re.compile(pattern, re.IGNORECASE | re.DOTALL), skill, exact)


_POLITE = r"\A\s*(?:please,? |(?:can|could|would) you (?:please )?)?"

SKILLS: tuple[Row, ...] = (
    _row(
        r"\bwhat (?:did|have) i (?:say|said|ask|asked|write|written|tell you|told you)\b(?: to you)?"
        r"(?: (?P<which>first|at first|in the beginning|before|last|earlier|just now))?",
        _recalled,
    ),
    _row(r"\bwhat (?:was|is) my (?P<which>first|last|previous) (?:message|question|sentence)\b", _recalled),
    _row(r"\bwhat (?:did|have) you (?:say|said|answer|answered|tell me|told me)\b", _own_words),
    _row(r"\bwhat(?:'s|’s| is| was| are) my (?P<thing>\w+(?: \w+)?)\s*\?", _remembered),
    _row(r"\bwho am i\b", _remembered),
    _row(
        r"\b(?:what(?:'s|’s| is)? (?:the )?(?:current |today['’]s )?(?:date|time|day|year)\b(?! (?:of|for|in))|"
        r"what (?:day|time|date|year) is it|today['’]s date)",
        _no_clock,
    ),
    _row(
        _POLITE
        + r"(?:repeat|echo)(?: after me| this| exactly)*:?\s+(?P<text>.+?)(?:[ ,]{1,2}(?P<times>\w+) times)?[.]?\Z",
        _repeated,
        exact=True,
    ),
    _row(
        _POLITE + r"say(?: exactly| only| just)?:?\s+(?P<text>[\"'“`].+[\"'”`])(?: (?P<times>\w+) times)?[.]?\Z",
        _repeated,
        exact=True,
    ),
    _row(
        _POLITE + r"say (?:exactly|only|just):?\s+(?P<text>.+?)(?: (?P<times>\w+) times)?[.]?\Z", _repeated, exact=True
    ),
    _row(_POLITE + r"count (?:(?:up |down )?from (?P<first>\w+) )?(?:up |down )?to (?P<last>\w+)", _counted_up),
    _row(
        r"\bhow (?:many|often)(?: times)?(?: is| does)?(?: the)?(?: letter)? ['\"“]?(?P<letter>\w)['\"”’]?(?:['’]?s)?"
        r"(?: are| is| appear| occur)*(?: there)? in (?:the word )?['\"“]?(?P<word>\w+)",
        _letters,
    ),
    _row(
        r"\bhow many (?P<unit>words|letters|characters|vowels|sentences|lines)(?: are)?(?: there)? in(?: the \w+)?:?\s+"
        r"(?P<text>.+)",
        _measured,
    ),
    _row(_POLITE + r"spell(?: out)?(?: the word)?:?\s+(?P<text>.+)", _spelt),
    _row(
        _POLITE + r"(?:reverse|say backwards|write backwards)(?: the (?:word|text|string))?:?\s+(?P<text>.+)", _reversed
    ),
    _row(_POLITE + r"(?P<case>upper|lower)-?\s?case:?\s+(?P<text>.+)", _cased),
    _row(_POLITE + r"sort(?: these| the (?:words|names|list))?(?: alphabetically)?:\s*(?P<text>.+)", _sorted),
    _row(r"\b(?:summari[sz]e|sum up|tl;?dr)\b[^:.\n]*[:.\n]?\s*(?P<text>.*)", _summarised),
    _row(r"\d|\bplus\b|\btimes\b", _summed),
    _row(_POLITE + r"(?:list|bullet)[^:\n]*:\s*(?P<text>.+)", _bulleted),
    _row(
        _POLITE + r"(?:list|name|give me|suggest|tell me|write)\s+(?P<number>\w+)\s+"
        r"(?P<things>(?!paragraph|sentence|word|line)[^\n]{2,80})",
        _listed,
    ),
    _row(
        r"\bwrite (?:me )?(?:a |an |some )?(?:(?P<language>python|javascript|typescript) )?"
        r"(?:function|code|program|script)\b",
        _coded,
    ),
    _row(r"\b(?:as|in) a table\b|\bmake a table\b", _tabled),
    _row(
        r"\b(?:paragraphs?|markdown|essay|story|article|poem|in detail|explain|describe|write about|"
        r"tell me (?:more )?about)\b",
        _essay,
    ),
    _row(r"\b(?:who|what) are you\b|\bwhat can you do\b|\A\s*help\W*\Z|\bwhich model\b", _identity),
    _row(r"\A\s*(?:hello|hi|hey|good (?:morning|evening|day))\b[^?]{0,40}\Z", _greeting),
    _row(r"\A\s*(?:thanks|thank you)\b", _thanks),
)
