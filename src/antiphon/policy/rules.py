"""Rules: a list of words and patterns by category. Synchronous, offline, and fast: one expression a category.

**Words** are found whatever their case, in any normal form of Unicode, with characters between that nobody sees
(zero-width space, soft hyphen…), with any white space for a space, and as words: `ass` is not in `class`. Scripts that
put no spaces between words (Chinese, Japanese, Thai…) have no such borders.

**Patterns** are regular expressions without look-around and back-references. All are matched by a finite automaton, in
a time that is proportionate to the text, so that no expression can hang the server. They see the text as words do:
normalised (NFKC), invisible characters left out, and whatever its case.

**Stretches.** A text is judged in stretches while it is being written. A hit counts when it is one whatever stands
before and after the stretch, so that `ass` is not found in `ass|ign`. What is held back of a text (`Rules.overlap`)
is longer than any word; of a pattern, matches of up to `reach` characters are found however a text is cut.

A text that comes whole, and is large, is cut into stretches here. The work is proportionate to it then, wherever its
hits are, and no look takes long: one keeps the interpreter, so that nothing else happens in any thread.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from antiphon.policy.text import MOST_UNCOUNTED, normal
from antiphon.policy.verdict import CLEAN, Passage, Verdict

__all__ = ["BUILT_IN", "REACH", "BadPattern", "Rules"]

REACH: Final = 128
"""Characters of the longest match of a pattern that is found however a text is cut."""

STRETCH: Final = 8
"""How many times as long a stretch is as what it shares with the next one."""

BUILT_IN: Final[Mapping[str, Sequence[str]]] = {
    "harassment": ("kill yourself", "go kill yourself", "nobody would miss you"),
    "illicit/violent": ("how to build a bomb", "how to make a bomb", "build a pipe bomb"),
    "self-harm/intent": ("i want to kill myself", "i am going to kill myself", "i want to end my life"),
    "violence": ("i will kill you", "i am going to kill you"),
}
"""Enough to see that a path works, in English; no protection."""


class BadPattern(ValueError):
    """A pattern that cannot be used. `category` and `index` say which."""

    def __init__(self, category: str, index: int, reason: str) -> None:
        self.category = category
        self.index = index
        super().__init__(reason)


# Expressions

_UNSPACED: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_UNSPACED_NAMES: Final = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
_BORDER: Final = rf"[^\p{{L}}\p{{N}}\p{{M}}_]|[{_UNSPACED}]"
_OUTSIDE: Final = ("x", " ")
"""What may stand next to a stretch: a letter, or something that is none."""

_Search = Callable[[str], bool]
_SIZE: Final = 64 * 2**20
"""Bytes that a compiled expression may have: some 500,000 words."""


def _search_for(expression: str) -> _Search:
    """Whether a text holds a match. Raises ValueError."""
    import jsonschema_rs  # its engine for `pattern` is an automaton: no backtracking

    options = jsonschema_rs.RegexOptions(size_limit=_SIZE)
    return jsonschema_rs.validator_for({"pattern": expression}, offline=True, pattern_options=options).is_valid


def _words(words: Iterable[str]) -> str:
    """Words as one expression. Those with the same borders share them: a border is a large automaton."""
    alike: dict[tuple[str, str], list[str]] = {}
    for pieces in (normal(word).split() for word in words):
        before = rf"(?:^|{_BORDER})" if _has_border(pieces[0][0]) else ""
        after = rf"(?:$|{_BORDER})" if _has_border(pieces[-1][-1]) else ""
        alike.setdefault((before, after), []).append(r"\s+".join(map(_escaped, pieces)))
    return "|".join(f"{before}(?:{'|'.join(some)}){after}" for (before, after), some in alike.items())


def _escaped(piece: str) -> str:
    return re.sub(r"[\\^$.|?*+()\[\]{}/-]", lambda found: f"\\{found[0]}", piece)


def _has_border(character: str) -> bool:
    """Whether a character belongs to a word that ends where other characters begin."""
    is_letter = character.isalnum() or character == "_"
    return is_letter and not unicodedata.name(character, "").startswith(_UNSPACED_NAMES)


def _length(word: str) -> int:
    """The most characters that count in a text that is this word, in whatever normal form."""
    return max(len(unicodedata.normalize("NFKD", form).encode("utf-16-le")) // 2 for form in (word, normal(word)))


class Rules:
    """Words and patterns, ready to be looked for. Raises BadPattern."""

    def __init__(
        self,
        words: Mapping[str, Sequence[str]] | None = None,
        patterns: Mapping[str, Sequence[str]] | None = None,
        *,
        reach: int = REACH,
    ) -> None:
        listed = {category: [word for word in some if normal(word).strip()] for category, some in (words or {}).items()}
        self._searches: list[tuple[str, _Search]] = []
        for category, some in listed.items():
            if some:
                self._searches.append((category, _search_for(_words(some))))
        for category, expressions in (patterns or {}).items():
            self._searches += [(category, _pattern(category, *numbered)) for numbered in enumerate(expressions)]
        lengths = [_length(word) for some in listed.values() for word in some]
        longest = max([*lengths, reach if any((patterns or {}).values()) else 0, 0])
        self.overlap = longest + 2 if longest else 0
        """Characters that are held back of a text that goes on: the longest hit, and one on each side of it."""
        self._shared = self.overlap + MOST_UNCOUNTED
        """Characters that two stretches have in common."""

    def judge(self, passages: Sequence[Passage]) -> Verdict:
        """What is found in some passages; the place is that of the first hit in the first passage that has one."""
        for index, passage in enumerate(passages):
            categories: set[str] = set()
            at = 0
            for start, stretch in self._stretches(passage):
                found = self._found(stretch, categories)
                if found and not categories:
                    at = start + min(_place(search, stretch) for _, search in found)
                categories.update(category for category, _ in found)
            if categories:
                return Verdict(frozenset(categories), dict.fromkeys(categories, 1.0), at=(index, at))
        return CLEAN

    def _found(self, stretch: Passage, known: Collection[str]) -> list[tuple[str, _Search]]:
        """What has a hit in a stretch, but for the categories that are known."""
        text = normal(stretch.text)
        return [each for each in self._searches if each[0] not in known and _holds(each[1], text, stretch)]

    def _stretches(self, passage: Passage) -> Iterable[tuple[int, Passage]]:
        """A passage as stretches that overlap, each with its place in it."""
        size = STRETCH * self._shared
        return ((0, passage),) if len(passage.text) <= size else _cut(passage, size, self._shared)


def _cut(passage: Passage, size: int, shared: int) -> Iterator[tuple[int, Passage]]:
    text, begins, ends = passage.text, passage.begins, passage.ends
    for start in range(0, len(text) - shared, size - shared):
        end = start + size
        yield start, Passage(text[start:end], begins and start == 0, ends and end >= len(text))


def _pattern(category: str, index: int, expression: str) -> _Search:
    try:
        search = _search_for(f"(?i)(?:{expression})")
    except ValueError:
        reason = "this is no regular expression that can be used; look-around and back-references are not there"
        raise BadPattern(category, index, reason) from None
    if search(""):
        raise BadPattern(category, index, "it matches an empty text, and so every one")
    return search


def _holds(search: _Search, text: str, passage: Passage) -> bool:
    """Whether there is a hit in a stretch, whatever stands around it."""
    if passage.begins and passage.ends:
        return search(text)
    around = [("" if passage.begins else other, "" if passage.ends else other) for other in _OUTSIDE]
    return all(search(f"{before}{text}{after}") for before, after in around)


def _place(search: _Search, passage: Passage) -> int:
    """Where the hit that ends first begins, in characters of the text as it came. Found by halving: hits are rare."""
    text = passage.text

    def is_within(start: int, end: int) -> bool:
        begins, ends = passage.begins and start == 0, passage.ends and end == len(text)
        return _holds(search, normal(text[start:end]), Passage("", begins, ends))

    end = _least(0, len(text), lambda end: is_within(0, end))
    return _least(0, end, lambda start: not is_within(start + 1, end))


def _least(low: int, high: int, is_enough: Callable[[int], bool]) -> int:
    """The least number for which something holds that holds for all above it, `high` at the latest."""
    while low < high:
        middle = (low + high) // 2
        if is_enough(middle):
            high = middle
        else:
            low = middle + 1
    return low
