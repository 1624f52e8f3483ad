"""What a message holds that could fill an argument: numbers, names, quotations, dates, addresses.

`weather in Paris` has a `city`, because of the word before the name and the name of the argument. Nothing is understood
here: tables say which words stand before which kind of value. Each value is handed out once, so that two arguments do
not get the same one as long as there is another.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cached_property

from antiphon.models.rehearsal.words import IMPERATIVES, STOP_WORDS, topic_of, words_in

_LONGEST = 8_000
"""Characters of a message that are searched for values."""

_CAPITAL = r"(?!I\b)[A-ZÀ-Þ][\w’'-]*"
_NAME = rf"{_CAPITAL}(?: {_CAPITAL})*"
_QUOTATION = re.compile(r'"([^"\n]{1,400})"|“([^”\n]{1,400})”|`([^`\n]{1,400})`|(?<!\w)\'([^\'\n]{1,400})\'(?!\w)')
_FENCE = re.compile(r"^```[\w+-]*[ \t]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
_NAMED = re.compile(_NAME)
_LISTED = re.compile(rf"{_NAME}(?:, {_NAME})*,? (?:and|or|&) {_NAME}")
_AFTER_COLON = re.compile(r":[ \t]*([^:\n]+)\s*\Z")
_SEPARATOR = re.compile(r",? (?:and|or|&) |, ?|; ?")
_NUMBER = re.compile(r"(?<![\w.:/-])-?(?:\d{1,3}(?:,\d{3})+|\d{1,15})(?:\.\d{1,12})?(?![\w:/-]|\.\d)")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_DAY = re.compile(
    r"\b(?:to(?:day|morrow|night)|yesterday|(?:next |this )?(?:mon|tues|wednes|thurs|fri|satur|sun)day|next week|"
    r"\d{4}-\d\d-\d\d|\d{1,2}:\d\d|noon|midnight)\b",
    re.IGNORECASE,
)

_FOUND = {
    "date-time": re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)"),
    "date": re.compile(r"\b\d{4}-\d\d-\d\d\b"),
    "time": re.compile(r"\b\d\d:\d\d:\d\d(?:Z|[+-]\d\d:\d\d)"),
    "email": re.compile(r"\b[\w.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b"),
    "uri": re.compile(r"\bhttps?://[^\s<>\"'`)\]]+[^\s<>\"'`)\].,;:!?]"),
    "uuid": re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"),
    "ipv4": re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"),
}
_NAMED_FORMATS = {
    name: form
    for form, names in (("uri", "url link uri website"), ("email", "email mail to recipient sender"))
    for name in names.split()
}

_BEFORE: tuple[tuple[frozenset[str], tuple[str, ...]], ...] = (
    (frozenset(("from", "origin", "source", "departure", "sender")), ("from",)),
    (frozenset(("to", "destination", "target", "arrival", "recipient", "into")), ("to", "into")),
    (
        frozenset(("city", "location", "place", "country", "region", "town", "address", "where", "area", "zone")),
        ("in", "at", "near", "for", "of", "to", "from"),
    ),
    (
        frozenset(("name", "person", "user", "username", "author", "customer", "contact", "attendee", "who")),
        ("named", "called", "with", "for", "by", "to"),
    ),
)
"""Words in an argument's name → the words that stand before its value in a message."""

_SUBJECTS = frozenset("query q search topic subject question keyword keywords term about title".split())
_TEXTS = frozenset("text message content body input prompt note description sentence summary answer".split())
_CODES = frozenset("code script program source snippet".split())
_DATES = frozenset("date day when time deadline".split())
_SUBJECT = re.compile(r"\b(?:about|for|on|regarding)\s+([^.,;:!?\n]{2,80})", re.IGNORECASE)


def parts_of(name: str) -> frozenset[str]:
    """The words of an identifier: `fromCity` and `from_city` have `from` and `city`."""
    return frozenset(part.lower() for part in _PART.findall(name))


def spoken(name: str) -> str:
    """An identifier as words: `from_city` is `from city`."""
    return " ".join(part.lower() for part in _PART.findall(name)) or name


def fenced(text: str) -> str | None:
    """The first block of code between fences, without them."""
    found = _FENCE.search(text[:_LONGEST])
    return found[1] if found else None


def quotations(text: str) -> list[str]:
    """What stands between quotation marks or backticks."""
    return [next(filter(None, found.groups())) for found in _QUOTATION.finditer(text[:_LONGEST])]


class Values:
    """The values of one message. `ignored` are words that are no value: those of the function's own name."""

    def __init__(self, text: str, ignored: Collection[str] = ()) -> None:
        self.text = text[:_LONGEST]
        self._ignored = ignored
        self._used: set[str] = set()
        self._numbers = [_value(found[0]) for found in _NUMBER.finditer(self.text)]

    def string(self, name: str) -> str | None:
        """A value for an argument of this name, None if the message has none."""
        for way in _WAYS:
            for value in way(self, name):
                if value and value not in self._used:
                    self._used.add(value)
                    return value
        return None

    def holds(self, name: str) -> bool:
        """Whether the message has a value that is meant for an argument of this name."""
        return any(value for way in _SURE_WAYS for value in way(self, name))

    @cached_property
    def names(self) -> list[str]:
        """The names that the message lists: `Paris, Rome and Oslo`."""
        found = _LISTED.search(self.text)
        if found is None:
            return []
        parts = [_without_articles(part) for part in _SEPARATOR.split(found[0])]
        return [self._trimmed(parts[0]), *parts[1:]] if _starts_a_sentence(self.text, found.start()) else parts

    @cached_property
    def strings(self) -> list[str]:
        """The things that the message lists: names, what follows a colon, or what is quoted."""
        if self.names:
            return self.names
        if found := _AFTER_COLON.search(self.text):
            return [part.strip() for part in _SEPARATOR.split(found[1].strip(" ."))]
        return list(dict.fromkeys(quotations(self.text)))

    def tokens(self) -> list[str]:
        """The words of the message with all signs that stand within them."""
        return [token.strip(".,;:!?\"'`()") for token in self.text.split()]

    def number(self, name: str, fits: Callable[[float], bool]) -> float | None:
        """The number that is said with the name (`3 nights`), else the first one; each that fits is given once."""
        said = [_value(text) for text in self._counted(name)]
        value = next((value for value in (*said, *self._numbers) if value in self._numbers and fits(value)), None)
        if value is not None:
            self._numbers.remove(value)
        return value

    def choice(self, options: Sequence[object]) -> object | None:
        """The option that the message names, if it names one."""
        lowered = self.text.lower()
        for option in options:
            if isinstance(option, str) and option and re.search(rf"\b{re.escape(option.lower())}\b", lowered):
                return option
        return next((option for option in options if isinstance(option, float | int) and option in self._numbers), None)

    def formatted(self, form: str) -> str | None:
        """A value of a format of JSON Schema (`email`, `date`…)."""
        pattern = _FOUND.get(form)
        found = (match[0] for match in pattern.finditer(self.text)) if pattern else iter(())
        return next((value for value in found if value not in self._used), None)

    # Ways to find a string, best first

    def _stated(self, name: str) -> Iterator[str]:
        """`city: Paris`, `city = "Paris"`, `the city is Paris`."""
        pattern = (
            rf"\b(?i:{_spoken_pattern(name)})\s*(?:=|:|\bis\b)\s*(?:\"([^\"\n]+)\"|'([^'\n]+)'|({_NAME}|[^\s,;]+))"
        )
        for found in re.finditer(pattern, self.text):
            yield next(filter(None, found.groups())).rstrip(".!?")

    def _counted(self, name: str) -> Iterator[str]:
        """`3 nights`, `nights: 3`."""
        words = _spoken_pattern(name).removesuffix("s")
        for found in re.finditer(
            rf"({_NUMBER.pattern})\s+(?i:{words})|\b(?i:{words})s?\W+({_NUMBER.pattern})", self.text
        ):
            yield found[1] or found[2]

    def _of_format(self, name: str) -> Iterator[str]:
        for part in parts_of(name) & _NAMED_FORMATS.keys():
            yield self.formatted(_NAMED_FORMATS[part]) or ""

    def _after_its_word(self, name: str) -> Iterator[str]:
        for names, befores in _BEFORE:
            if names & parts_of(name):
                yield from (value for before in befores for value in self._after(before))

    def _named_so(self, name: str) -> Iterator[str]:
        """Proper names for what is called like a place or a person."""
        if any(names & parts_of(name) for names, _ in _BEFORE):
            yield from self._named(name)

    def _after(self, before: str) -> Iterator[str]:
        """Names after a preposition; if there are none, the single word in lower case."""
        for found in re.finditer(rf"\b(?i:{before})\s+(?:the\s+)?({_NAME})", self.text):
            yield _without_articles(found[1])
        for found in re.finditer(rf"\b{before}\s+(?:the\s+|a\s+|an\s+)?([a-zß-ÿ][\w'’-]+)(?![\w@])", self.text):
            if found[1] not in STOP_WORDS and found[1] not in self._ignored and not _DAY.fullmatch(found[1]):
                yield found[1]

    def _dated(self, name: str) -> Iterator[str]:
        if _DATES & parts_of(name):
            yield from (found[0] for found in _DAY.finditer(self.text))

    def _coded(self, name: str) -> Iterator[str]:
        if _CODES & parts_of(name):
            yield fenced(self.text) or ""

    def _about(self, name: str) -> Iterator[str]:
        """What a query is about, if nothing is quoted."""
        if _SUBJECTS & parts_of(name) and not quotations(self.text):
            yield from (found[1].strip() for found in _SUBJECT.finditer(self.text))
            yield topic_of(self.text)

    def _quoted(self, _: str) -> Iterator[str]:
        yield from quotations(self.text)

    def _spelled_out(self, name: str) -> Iterator[str]:
        """The text after a colon, or the whole message, for what is called text."""
        if _TEXTS & parts_of(name):
            found = _AFTER_COLON.search(self.text)
            yield found[1].strip() if found else self.text.strip()

    def _named(self, _: str) -> Iterator[str]:
        """Proper names; those that only begin a sentence come last."""
        found = [(_starts_a_sentence(self.text, match.start()), match[0]) for match in _NAMED.finditer(self.text)]
        for starts, name in sorted(found, key=lambda pair: pair[0]):
            value = self._trimmed(name) if starts else name
            if value and value.lower() not in self._ignored and len(value) > 1:
                yield value

    def _trimmed(self, name: str) -> str:
        """A name without the words at its beginning that are capital only because a sentence begins."""
        words = name.split(" ")
        while words and (spoken := words_in(re.split("['’]", words[0])[0])):
            if spoken[0] not in STOP_WORDS and spoken[0] not in IMPERATIVES and spoken[0] not in self._ignored:
                break
            words.pop(0)
        return " ".join(words)


_SURE_WAYS: tuple[Callable[[Values, str], Iterator[str]], ...] = (
    Values._stated,
    Values._counted,
    Values._of_format,
    Values._after_its_word,
    Values._dated,
    Values._coded,
)
_WAYS: tuple[Callable[[Values, str], Iterator[str]], ...] = (
    *_SURE_WAYS,
    Values._named_so,
    Values._about,
    Values._quoted,
    Values._spelled_out,
    Values._named,
)


def _spoken_pattern(name: str) -> str:
    """A pattern for an identifier as people write it."""
    return r"[\s_-]*".join(map(re.escape, _PART.findall(name))) or re.escape(name)


def _value(text: str) -> float:
    return float(text.replace(",", ""))


def _starts_a_sentence(text: str, at: int) -> bool:
    before = text[:at].rstrip()
    return not before or before[-1] in ".!?" or "\n" in text[len(before) : at]


def _without_articles(name: str) -> str:
    return re.sub(r"^(?:The|A|An) ", "", name.strip())
