"""A text that a regular expression matches, for the `pattern` of a JSON schema.

A pattern is read into a tree of makers, and a maker is thrown like dice. Syntax is that of ECMA 262, which JSON Schema
prescribes. What a maker cannot promise (look-around, `\\B`) it leaves out: whoever asks checks the text.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterator

from antiphon.models.rehearsal.dice import Dice

_LONGEST = 4096
_DEEPEST = 40

_DIGITS = string.digits
_LETTERS = string.ascii_lowercase
_WORD = string.ascii_letters + string.digits + "_"
_PRINTABLE = string.ascii_letters + string.digits + " -_.,:;!?/+*=@#%&()[]{}<>'\"$^|~`\\"
_CLASSES = {
    "d": _DIGITS,
    "D": _LETTERS,
    "w": _LETTERS + _DIGITS,
    "W": "-",
    "s": " ",
    "S": _LETTERS + _DIGITS,
}
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v", "0": "\0"}
_PROPERTIES = {"L": string.ascii_letters, "Lu": string.ascii_uppercase, "Ll": _LETTERS, "N": _DIGITS, "P": "-.,:;!?"}
_QUANTIFIER = re.compile(r"(?:([*+?])|\{(\d{1,6})(,?)(\d{0,6})\})\??")
_HEX = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}")
_GROUP = re.compile(r"\?(?:(?P<ahead><?[=!])|:|P?<(?P<name>\w+)>|[a-z]+:)")


class Unmakeable(ValueError):
    """No text could be made for this pattern."""


class _Throw:
    """One making of a text: its dice, how often more than needed a part is repeated, and what the groups hold."""

    __slots__ = ("dice", "exact", "groups", "more", "room")

    def __init__(self, dice: Dice, more: int, *, exact: bool) -> None:
        self.dice = dice
        self.more = more
        self.exact = exact
        self.groups: dict[str, str] = {}
        self.room = _LONGEST

    def spend(self, text: str) -> str:
        self.room -= len(text) + 1
        if self.room < 0:
            raise Unmakeable("the text would be too long")
        return text


Maker = Callable[[_Throw], str]


def matching(pattern: str, dice: Dice, shortest: int = 0, longest: int = _LONGEST) -> Iterator[str]:
    """Texts that the pattern should match, of a fitting length; at most a few dozen. Raises Unmakeable.

    `shortest` and `longest` are in characters.
    """
    maker = _Reader(pattern).whole()
    loose = ((more, False) for more in (3, 6, 1, 12) for _ in range(5))
    tight = ((shortest // share, True) for share in range(1, 9))
    for number, (more, exact) in enumerate((*loose, (0, True), *tight)):
        text = maker(_Throw(dice.fork(number), more, exact=exact))
        if shortest <= len(text) <= longest:
            yield text


def _nothing(_: _Throw) -> str:
    return ""


def _one_of(characters: str) -> Maker:
    return lambda throw: throw.spend(throw.dice.pick(characters))


def _either(options: list[Maker]) -> Maker:
    return options[0] if len(options) == 1 else lambda throw: throw.dice.pick(options)(throw)


def _row(parts: list[Maker]) -> Maker:
    return lambda throw: "".join([part(throw) for part in parts])


def _repeated(part: Maker, least: int, most: int | None) -> Maker:
    def make(throw: _Throw) -> str:
        spread = throw.more if most is None else max(0, min(most - least, throw.more))
        times = least + (spread if throw.exact else throw.dice.below(spread + 1))
        return "".join([throw.spend(part(throw)) for _ in range(times)])

    return make


def _kept(part: Maker, names: list[str]) -> Maker:
    def make(throw: _Throw) -> str:
        text = part(throw)
        throw.groups.update(dict.fromkeys(names, text))
        return text

    return make


def _back(name: str) -> Maker:
    return lambda throw: throw.spend(throw.groups.get(name, ""))


class _Reader:
    """Reads a pattern from left to right into one maker."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._groups = 0
        self._depth = 0

    def whole(self) -> Maker:
        maker = self._alternatives()
        if self._at < len(self._text):
            raise Unmakeable("a parenthesis is closed that was not opened")
        return maker

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _next(self) -> str:
        sign = self._peek()
        if not sign:
            raise Unmakeable("the pattern ends too early")
        self._at += 1
        return sign

    def _alternatives(self) -> Maker:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Unmakeable("the pattern is nested too deeply")
        options = [self._sequence()]
        while self._peek() == "|":
            self._at += 1
            options.append(self._sequence())
        self._depth -= 1
        return _either(options)

    def _sequence(self) -> Maker:
        parts = []
        while self._peek() not in ("", "|", ")"):
            parts.append(self._quantified(self._atom()))
        return _row(parts)

    def _quantified(self, part: Maker) -> Maker:
        found = _QUANTIFIER.match(self._text, self._at)
        if found is None:
            return part
        self._at = found.end()
        sign, least, comma, most = found.groups()
        if sign:
            return _repeated(part, 1 if sign == "+" else 0, 1 if sign == "?" else None)
        return _repeated(part, int(least), int(most) if most else None if comma else int(least))

    def _atom(self) -> Maker:
        match self._next():
            case "^" | "$":
                return _nothing
            case ".":
                return _one_of(_LETTERS)
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case "*" | "+" | "?":
                raise Unmakeable("there is nothing to repeat")
            case literal:
                return _one_of(literal)

    def _group(self) -> Maker:
        kind = _GROUP.match(self._text, self._at)
        self._at = kind.end() if kind else self._at
        names = self._names(kind["name"] if kind else None) if kind is None or kind["name"] else []
        inner = self._alternatives()
        if self._next() != ")":
            raise Unmakeable("a parenthesis is not closed")
        return _nothing if kind and kind["ahead"] else _kept(inner, names)

    def _names(self, name: str | None) -> list[str]:
        """What a group that is remembered is called: its number, and its name if it has one."""
        self._groups += 1
        return [str(self._groups), *([name] if name else [])]

    def _escape(self) -> Maker:
        """An escape outside a class: a reference to a group, a border, or one of several characters."""
        sign = self._peek()
        if sign in ("b", "B"):
            self._at += 1
            return _nothing
        if found := re.compile(r"([1-9]\d?)|k<(\w+)>").match(self._text, self._at):
            self._at = found.end()
            return _back(found[1] or found[2])
        return _one_of(self._escaped())

    def _escaped(self) -> str:
        """The characters that an escape stands for."""
        if found := _HEX.match(self._text, self._at):
            self._at = found.end()
            return _character(int(found[1] or found[2] or found[3], 16))
        sign = self._next()
        if sign in ("p", "P"):
            return self._property()
        return _CLASSES.get(sign) or _CONTROLS.get(sign) or sign

    def _property(self) -> str:
        found = re.compile(r"\{(?:\w+=)?(\w+)\}").match(self._text, self._at)
        if found is None:
            raise Unmakeable("a property of characters is not understood")
        self._at = found.end()
        return _PROPERTIES.get(found[1]) or _PROPERTIES.get(found[1][:1]) or _LETTERS

    def _class(self) -> Maker:
        negated = self._peek() == "^"
        self._at += negated
        members: list[str] = []
        while self._peek() != "]":
            members.append(self._member())
        self._at += 1
        allowed = "".join(members)
        if negated:
            allowed = "".join(sign for sign in _PRINTABLE if sign not in allowed)
        if not allowed:
            raise Unmakeable("a class of characters is empty")
        return _one_of(allowed)

    def _member(self) -> str:
        """One entry of a class: a character, an escape, or a range of at most 256 characters."""
        first = self._single()
        if self._peek() != "-" or self._text[self._at + 1 : self._at + 2] in ("", "]") or len(first) != 1:
            return first
        self._at += 1
        last = self._single()
        stop = min(ord(last), ord(first) + 255)
        return "".join(map(_character, range(ord(first), stop + 1))) if len(last) == 1 else f"{first}-{last}"

    def _single(self) -> str:
        sign = self._next()
        if sign != "\\":
            return sign
        if self._peek() == "b":
            self._at += 1
            return "\b"
        return self._escaped()


def _character(number: int) -> str:
    """The character of a code point; nothing for those that no JSON text may hold alone."""
    if number > 0x10FFFF:
        raise Unmakeable("a code point is too large")
    return "" if 0xD800 <= number <= 0xDFFF else chr(number)
