"""Simple arithmetic in a message: `what is 17 * (3 + 4)?`, `15% of 80`, `7 times 6`.

A reader of its own, with exact fractions: nothing is evaluated as code, and the sizes of numbers are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Context, Decimal
from fractions import Fraction

_SPOKEN: tuple[tuple[str, str], ...] = (
    (r"(\d)\s*%\s+of\b", r"\1 / 100 *"),
    (r"\bplus\b", "+"),
    (r"\bminus\b", "-"),
    (r"\b(?:times|multiplied by)\b|[×·]|(?<=\d)\s*x\s*(?=\d)", "*"),
    (r"\bdivided by\b|÷", "/"),
    (r"\bto the power of\b|\*\*", "^"),
    (r"\bmod(?:ulo)?\b", "%"),
    (r"\bsquared\b", "^2"),
    (r"(?<=\d),(?=\d{3}\b)", ""),
)
_EXPRESSION = re.compile(r"[-(\s]*\d[\d\s.+\-*/^%()]*")
_TOKEN = re.compile(r"\s*(?:(\d{1,30}(?:\.\d{1,30})?)|([-+*/^%()]))")
_ASKED = re.compile(
    r"\b(?:what(?:'s| is| are)|how much|calculate|compute|work out|solve|evaluate)\b|=\s*\??\s*$", re.IGNORECASE
)
_NO_SUM = re.compile(r"\d{4}-\d\d-\d\d|\d+\s*-\s*\d+\s*-\s*\d+|^\W*\d+(?:\.\d+)*\W*$")
_LARGEST = 10**60
_LARGEST_POWER = 128
_DEEPEST = 30


class Unworkable(ValueError):
    """This is no sum, or none that is worked out here."""


def worked_out(message: str) -> str | None:
    """`17 * 23 = 391` for the sum that a message asks for, None if it asks for none."""
    text = message.strip()[:400]
    for spoken, sign in _SPOKEN:
        text = re.sub(spoken, sign, text, flags=re.IGNORECASE)
    for found in _EXPRESSION.finditer(text):
        expression = " ".join(found[0].strip().rstrip("-+*/^%( .").split())
        alone = found[0].strip() == text.rstrip("=? .")
        if (alone or _ASKED.search(text)) and re.search(r"\d\s*[)]*\s*[-+*/^%]", expression):
            return None if _NO_SUM.search(expression) else _told(expression)
    return None


def _told(expression: str) -> str | None:
    try:
        return f"{expression} = {_plain(_Sum(expression).whole())}"
    except ZeroDivisionError:
        return f"{expression} has no result: it divides by zero."
    except Unworkable:
        return None


def _plain(value: Fraction) -> str:
    """A number as people write it: a fraction that never ends is rounded to twelve digits."""
    if value.denominator == 1:
        return str(value.numerator)
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    return f"{Context(prec=12).create_decimal(exact).normalize():f}"


class _Sum:
    """A sum, read by precedence: `^` before `* / %` before `+ -`."""

    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def whole(self) -> Fraction:
        value = self._added()
        if self._at < len(self._tokens):
            raise Unworkable("a sign is left over")
        return value

    def _next(self, *expected: str) -> str | None:
        """The next token if it is one of those expected."""
        if self._at < len(self._tokens) and self._tokens[self._at] in expected:
            self._at += 1
            return self._tokens[self._at - 1]
        return None

    def _chain(self, operand: Callable[[], Fraction], *signs: str) -> Fraction:
        value = operand()
        while sign := self._next(*signs):
            value = _OPERATIONS[sign](value, operand())
            if abs(value) > _LARGEST or value.denominator > _LARGEST:
                raise Unworkable("the numbers become too large")
        return value

    def _added(self) -> Fraction:
        return self._chain(self._multiplied, "+", "-")

    def _multiplied(self) -> Fraction:
        return self._chain(self._signed, "*", "/", "%")

    def _signed(self) -> Fraction:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Unworkable("the sum is nested too deeply")
        value = -self._signed() if self._next("-") else self._raised()
        self._depth -= 1
        return value

    def _raised(self) -> Fraction:
        base = self._atom()
        return _power(base, self._signed()) if self._next("^") else base

    def _atom(self) -> Fraction:
        if self._next("("):
            value = self._added()
            if not self._next(")"):
                raise Unworkable("a parenthesis is open")
            return value
        if self._at >= len(self._tokens) or not self._tokens[self._at][0].isdigit():
            raise Unworkable("a number is missing")
        self._at += 1
        return Fraction(self._tokens[self._at - 1])


def _tokens(text: str) -> list[str]:
    tokens, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise Unworkable("this is no number and no sign")
        tokens.append(found[1] or found[2])
        at = found.end()
    return tokens


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1 or abs(exponent) > _LARGEST_POWER or abs(base) > _LARGEST:
        raise Unworkable("the power is not whole, or too large")
    return Fraction(base**exponent.numerator)


_OPERATIONS: dict[str, Callable[[Fraction, Fraction], Fraction]] = {
    "+": lambda one, two: one + two,
    "-": lambda one, two: one - two,
    "*": lambda one, two: one * two,
    "/": lambda one, two: one / two,
    "%": lambda one, two: Fraction(one % two),
}
