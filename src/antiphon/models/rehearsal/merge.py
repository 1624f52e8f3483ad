"""Schemas made flat: references resolved, `allOf` joined, and every choice turned into one `anyOf`.

Joining takes the stricter of two keywords. Where JSON Schema has no keyword for both (two patterns), one is kept:
the value that is made for the result is checked against the original.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import islice, product
from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any]

_MOST_HOPS = 48
_MOST_JOINS = 4_000
_MOST_BRANCHES = 64


class Impossible(ValueError):
    """No value satisfies this, or none was found within bounds."""


def merged(one: Schema, two: Any) -> Schema:
    """A schema that asks for both. Raises Impossible where they visibly exclude each other."""
    if two is False:
        raise Impossible("nothing is allowed here")
    joined = dict(one)
    for key, value in (two if isinstance(two, dict) else {}).items():
        joined[key] = _JOIN[key](joined[key], value) if key in joined and key in _JOIN else value
    return joined


def _both(one: Any, two: Any) -> Any:
    return False if one is False or two is False else {"allOf": [one, two]}


def _each(one: Schema, two: Schema) -> Schema:
    return {**one, **{key: _both(one[key], value) if key in one else value for key, value in two.items()}}


def _union(one: list[Any], two: list[Any]) -> list[Any]:
    return [*one, *(entry for entry in two if entry not in one)]


def _common(one: list[Any], two: list[Any]) -> list[Any]:
    return [entry for entry in one if entry in two]


def _equal(one: Any, two: Any) -> Any:
    if one != two:
        raise Impossible("two constants differ")
    return one


def _common_types(one: Any, two: Any) -> list[str]:
    return [
        kind
        for kind in ("object", "array", "string", "number", "integer", "boolean", "null")
        if _allows(one, kind) and _allows(two, kind)
    ]


def _allows(types: Any, kind: str) -> bool:
    named = [types] if isinstance(types, str) else types
    return kind in named or (kind == "integer" and "number" in named)


def _multiple(one: float, two: float) -> int | float:
    first, second = Fraction(str(one)), Fraction(str(two))
    common = Fraction(math.lcm(first.numerator, second.numerator), math.gcd(first.denominator, second.denominator))
    return int(common) if common.denominator == 1 else float(common)


def _pairs(one: list[Any], two: list[Any]) -> list[Any]:
    """Each of the ones with each of the others: what `anyOf` twice amounts to."""
    return [{"allOf": [first, second]} for first, second in islice(product(one, two), _MOST_BRANCHES)]


_JOIN: dict[str, Callable[[Any, Any], Any]] = {
    **dict.fromkeys(("properties", "patternProperties", "$defs", "definitions"), _each),
    **dict.fromkeys(("items", "additionalProperties", "additionalItems", "contains", "propertyNames"), _both),
    **dict.fromkeys(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties", "minContains"), max),
    **dict.fromkeys(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties", "maxContains"), min),
    **dict.fromkeys(("required", "allOf"), _union),
    "enum": _common,
    "const": _equal,
    "type": _common_types,
    "multipleOf": _multiple,
    "uniqueItems": lambda one, two: one or two,
    "anyOf": _pairs,
}
"""How two values of one keyword become one."""


class Resolver:
    """Flattens the schemas of one document."""

    def __init__(self, document: Schema) -> None:
        self._document = document
        self.joins = 0
        """Schemas flattened so far."""

    def flat(self, schema: Any, hops: int = _MOST_HOPS) -> Schema:
        """The schema without `$ref`, `allOf`, `oneOf` and `if`; its choices stand in `anyOf`. Raises Impossible."""
        self.joins += 1
        if schema is False or hops == 0 or self.joins > _MOST_JOINS:
            raise Impossible("nothing is allowed here, or references go in a circle")
        left = dict(schema) if isinstance(schema, dict) else {}
        parts = list(self._parts(left))
        for part in parts:
            left = merged(left, self.flat(part, hops - 1))
        return left

    def _parts(self, left: Schema) -> Iterator[Any]:
        """Take out of a schema what has to be joined to it."""
        for keyword in ("$ref", "$dynamicRef", "$recursiveRef"):
            if keyword in left:
                yield self._target(left.pop(keyword))
        yield from left.pop("allOf", ())
        if "oneOf" in left:
            yield {"anyOf": left.pop("oneOf")}
        if "if" in left:
            condition, then, other = left.pop("if"), left.pop("then", True), left.pop("else", True)
            yield {"anyOf": [{"allOf": [condition, then]}, other]}

    def _target(self, reference: str) -> Any:
        """What a reference points to within the document."""
        path, _, fragment = reference.partition("#")
        if path and path != self._document.get("$id"):
            raise Impossible("the schema refers to another document")
        if fragment and not fragment.startswith("/"):
            return self._anchored(fragment)
        target: Any = self._document
        for name in unquote(fragment).split("/")[1:]:
            target = _step(target, name.replace("~1", "/").replace("~0", "~"))
        return target

    def _anchored(self, name: str) -> Any:
        """The subschema that carries an `$anchor`."""
        left: list[Any] = [self._document]
        while left:
            node = left.pop()
            if isinstance(node, dict) and name in (node.get("$anchor"), node.get("$dynamicAnchor")):
                return node
            left += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        raise Impossible("the schema refers to an anchor that it does not have")


def _step(node: Any, name: str) -> Any:
    if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
        return node[int(name)]
    if isinstance(node, dict) and name in node:
        return node[name]
    raise Impossible("the schema refers to a place that it does not have")
