"""Strings, numbers and members of enumerations for a schema: from the message if one fits, else invented."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor
from typing import Any

from antiphon.models.rehearsal.dice import Dice
from antiphon.models.rehearsal.merge import Impossible, Schema
from antiphon.models.rehearsal.pattern import matching
from antiphon.models.rehearsal.values import Values, spoken
from antiphon.models.rehearsal.words import COMMON, sentences


def _date(dice: Dice) -> str:
    return f"20{20 + dice.below(10)}-{1 + dice.below(12):02}-{1 + dice.below(28):02}"


def _time(dice: Dice) -> str:
    return f"{dice.below(24):02}:{dice.below(60):02}:{dice.below(60):02}"


def _hex(dice: Dice, length: int) -> str:
    return "".join(dice.pick("0123456789abcdef") for _ in range(length))


_MADE: dict[str, Callable[[Dice], str]] = {
    "date-time": lambda dice: f"{_date(dice)}T{_time(dice)}Z",
    "date": _date,
    "time": lambda dice: f"{_time(dice)}Z",
    "duration": lambda dice: f"P{1 + dice.below(28)}D",
    "email": lambda dice: f"{dice.pick(COMMON)}@example.com",
    "idn-email": lambda dice: f"{dice.pick(COMMON)}@example.com",
    "hostname": lambda dice: f"{dice.pick(COMMON)}.example.com",
    "idn-hostname": lambda dice: f"{dice.pick(COMMON)}.example.com",
    "ipv4": lambda dice: f"192.0.2.{1 + dice.below(254)}",
    "ipv6": lambda dice: f"2001:db8::{1 + dice.below(9999)}",
    "uuid": lambda dice: f"{_hex(dice, 8)}-{_hex(dice, 4)}-4{_hex(dice, 3)}-a{_hex(dice, 3)}-{_hex(dice, 12)}",
    "uri": lambda dice: f"https://example.com/{dice.pick(COMMON)}",
    "uri-reference": lambda dice: f"/{dice.pick(COMMON)}",
    "iri": lambda dice: f"https://example.com/{dice.pick(COMMON)}",
    "iri-reference": lambda dice: f"/{dice.pick(COMMON)}",
    "uri-template": lambda dice: f"https://example.com/{{{dice.pick(COMMON)}}}",
    "json-pointer": lambda dice: f"/{dice.pick(COMMON)}",
    "relative-json-pointer": lambda dice: f"1/{dice.pick(COMMON)}",
    "regex": lambda dice: f"^{dice.pick(COMMON)}$",
}
"""Invented values of the formats. Names and addresses are those that are reserved for documentation."""

_SPREAD = 99
"""How many steps above the least number an invented one may be."""


def types_of(schema: Schema) -> frozenset[str]:
    """The types that a schema names."""
    kind = schema.get("type", ())
    return frozenset((kind,) if isinstance(kind, str) else kind)


def _type_of(value: Any) -> frozenset[str]:
    """The JSON types that a value has."""
    match value:
        case bool():
            return frozenset(("boolean",))
        case int() | float():
            return frozenset(("number", "integer") if value == int(value) else ("number",))
        case str():
            return frozenset(("string",))
        case list():
            return frozenset(("array",))
        case dict():
            return frozenset(("object",))
    return frozenset(("null",))


@lru_cache(maxsize=256)
def _schema_check(pattern: str) -> Callable[[Any], bool]:
    import jsonschema_rs

    return jsonschema_rs.validator_for({"pattern": pattern}, offline=True).is_valid


def searches(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text, as JSON Schema understands patterns, in bounded time."""
    return _schema_check(pattern)(text)


class Scalars:
    """Makes values that hold no others."""

    def __init__(self, values: Values, dice: Dice) -> None:
        self._values = values
        self._dice = dice
        self._patterns = 0

    def option(self, schema: Schema) -> Any:
        """A member of an enumeration: the one that the message names, else any."""
        types = types_of(schema)
        options = [option for option in schema["enum"] if not types or _type_of(option) & types]
        if not options:
            raise Impossible("no member of the enumeration has the type")
        named = self._values.choice(options)
        return self._dice.pick(options) if named is None else named

    def string(self, schema: Schema, name: str) -> str:
        """A string for a property of this name."""
        shortest, longest = int(schema.get("minLength", 0)), int(schema.get("maxLength", 100_000))
        if shortest > longest or shortest > 100_000:
            raise Impossible("no length is allowed, or one that is too large")
        form = schema.get("format")
        if form in _MADE:
            return self._values.formatted(form) or _MADE[form](self._dice)
        if "pattern" in schema:
            return self._matching(schema["pattern"], name, shortest, longest)
        return self._fitted(self._values.string(name) or self._invented(name), shortest, longest)

    def _matching(self, pattern: str, name: str, shortest: int, longest: int) -> str:
        """A word of the message that the pattern matches, else an invented text."""
        for text in (*self._values.tokens(), self._values.string(name) or ""):
            if text and shortest <= len(text) <= longest and searches(pattern, text):
                return text
        self._patterns += 1
        made = matching(pattern, self._dice.fork(self._patterns), shortest, longest)
        found = next((text for text in made if searches(pattern, text)), None)
        if found is None:
            raise Impossible("no text was found that the pattern matches")
        return found

    def _invented(self, name: str) -> str:
        """Words that say that they are invented."""
        return f"rehearsed {spoken(name)} {self._dice.pick(COMMON)}"

    def _fitted(self, text: str, shortest: int, longest: int) -> str:
        """The text, lengthened by sentences or cut."""
        if len(text) < shortest:
            text = " ".join((text, *sentences("this", 1 + shortest // 20, self._dice)))
        return text[: max(shortest, min(longest, len(text)))] if len(text) > longest or shortest else text

    def number(self, schema: Schema, name: str) -> int | float:
        """A number of the message that fits, else an invented one."""
        limits = _Limits(schema)
        said = self._values.number(name, lambda value: limits.admit(Fraction(str(value))))
        return _plain(limits.invented(self._dice) if said is None else Fraction(str(said)))


class _Limits:
    """Between what a number must be, and of what it must be a multiple."""

    def __init__(self, schema: Schema) -> None:
        self._whole = "integer" in types_of(schema) and "number" not in types_of(schema)
        self._low, self._above = _limit(schema, "minimum", "exclusiveMinimum", max)
        self._high, self._below = _limit(schema, "maximum", "exclusiveMaximum", min)
        self._multiple = Fraction(str(schema["multipleOf"])) if "multipleOf" in schema else None

    def _step(self) -> Fraction:
        """The distance of the numbers that come into question: of two limits close together a tenth, else 1."""
        if self._multiple is not None:
            return Fraction(self._multiple.numerator) if self._whole else self._multiple
        if self._whole or self._low is None or self._high is None or self._high - self._low >= 2:
            return Fraction(1)
        step = Fraction(1)
        while step * 10 > self._high - self._low > 0 and step.denominator < 10**12:
            step /= 10
        return step

    def admit(self, value: Fraction) -> bool:
        """Whether a number is within the limits and on a step."""
        if (self._whole and value.denominator != 1) or (self._multiple and (value / self._multiple).denominator != 1):
            return False
        over = self._low is None or value > self._low or (value == self._low and not self._above)
        under = self._high is None or value < self._high or (value == self._high and not self._below)
        return over and under

    def _start(self, step: Fraction) -> Fraction:
        """Where to look for a number: from the lower limit, or a little below the upper one."""
        if self._low is not None:
            return self._low
        return Fraction(1) if self._high is None else min(Fraction(1), self._high - 9 * step)

    def invented(self, dice: Dice) -> Fraction:
        """Any number that is admitted. Raises Impossible."""
        step = self._step()
        first = ceil(self._start(step) / step)
        last = first + _SPREAD if self._high is None else min(floor(self._high / step), first + _SPREAD)
        options = [number * step for number in range(first, last + 1) if self.admit(number * step)]
        if not options and self._low is not None and self.admit(self._low):
            options = [self._low]
        if not options:
            raise Impossible("no number is within the limits")
        return dice.pick(options)


def _limit(
    schema: Schema, inclusive: str, exclusive: str, stricter: Callable[[Fraction, Fraction], Fraction]
) -> tuple[Fraction | None, bool]:
    """The limit on one side, and whether the limit itself is left out (which early drafts said by a boolean)."""
    limit = Fraction(str(schema[inclusive])) if inclusive in schema else None
    strict = schema.get(exclusive)
    if strict is None or isinstance(strict, bool):
        return limit, bool(strict)
    other = Fraction(str(strict))
    return (other, True) if limit is None or stricter(limit, other) == other else (limit, False)


def _plain(number: Fraction) -> int | float:
    return int(number) if number.denominator == 1 else float(number)
