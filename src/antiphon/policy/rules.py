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
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from antiphon.policy.text import normal
from antiphon.policy.verdict import CLEAN, Passage, Verdict

__all__ = ["BUILT_IN", "REACH", "BadPattern", "Rules"]

REACH: Final = 128
"""Characters of the longest match of a pattern that is found however a text is cut."""

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


def _word(word: str) -> str:
    """A word as an expression, with its borders."""
    pieces = normal(word).split()
    escaped = r"\s+".join(_escaped(piece) for piece in pieces)
    before = rf"(?:^|{_BORDER})" if _has_border(pieces[0][0]) else ""
    after = rf"(?:$|{_BORDER})" if _has_border(pieces[-1][-1]) else ""
    return f"{before}{escaped}{after}"


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
                self._searches.append((category, _search_for(f"(?i)(?:{'|'.join(map(_word, some))})")))
        for category, expressions in (patterns or {}).items():
            self._searches += [(category, _pattern(category, *numbered)) for numbered in enumerate(expressions)]
        lengths = [_length(word) for some in listed.values() for word in some]
        longest = max([*lengths, reach if any((patterns or {}).values()) else 0, 0])
        self.overlap = longest + 2 if longest else 0
        """Characters that are held back of a text that goes on: the longest hit, and one on each side of it."""

    def judge(self, passages: Sequence[Passage]) -> Verdict:
        """What is found in some passages; the place is that of the first hit in the first passage that has one."""
        for index, passage in enumerate(passages):
            text = normal(passage.text)
            found = [(category, search) for category, search in self._searches if _holds(search, text, passage)]
            if found:
                categories = frozenset(category for category, _ in found)
                start = min(_place(search, passage) for _, search in found)
                return Verdict(categories, dict.fromkeys(categories, 1.0), at=(index, start))
        return CLEAN


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
