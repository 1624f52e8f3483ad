"""JSON that satisfies a schema, with values from the message where they fit.

    value = satisfying(schema, message, dice)       # or NOTHING: no value was found

A schema is flattened, its alternatives are tried one after the other, and what was made is checked by jsonschema-rs.
That check is the promise; the making is a search, bounded in attempts, depth and nodes, that finds a value for the
schemas people write. What it does not build for (`not`, `unevaluatedProperties`…) is left to the check.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any, Final

from antiphon.models.rehearsal.dice import Dice
from antiphon.models.rehearsal.merge import Impossible, Resolver, Schema, merged
from antiphon.models.rehearsal.pattern import Unmakeable, matching
from antiphon.models.rehearsal.scalars import Scalars, searches, types_of
from antiphon.models.rehearsal.values import Values
from antiphon.models.rehearsal.words import COMMON

NOTHING: Final = object()
"""No value was found. (`None` is a value: JSON's null.)"""

_ATTEMPTS = 16
_DEEPEST = 32
_MOST_NODES = 3_000
_MOST_SPENT = 6_000
"""Schemas that are looked at in all attempts together: some tenths of a second."""
_FULL_DEPTH = 4
_FULL_NODES = 300
"""Beyond this depth, or so many values, only what is required is made."""
_USUAL_ITEMS = 2
_MOST_ITEMS = 1_000
_MOST_NAMES = 64
_LONGEST_LISTED = 400

_BY_KEYWORD = {
    "object": ("properties", "required", "additionalProperties", "patternProperties", "minProperties", "maxProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems", "uniqueItems", "contains"),
    "string": ("pattern", "minLength", "maxLength", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
}
"""What a schema without a type is about, by its keywords."""

_UNTYPED = ("string", "number", "boolean", "object", "array", "null")
"""What is tried, attempt by attempt, for a schema that says nothing of its type."""

_RANKS = {False: ("other", "scalar", "reference", "null"), True: ("null", "scalar", "other", "reference")}
"""Which branches are tried first, by whether only what is required is made."""


def validator(schema: Schema) -> Callable[[Any], bool] | None:
    """A function that tells whether a value satisfies the schema; None if the schema itself is not valid.

    References to other documents make it invalid: nothing is fetched.
    """
    import jsonschema_rs

    try:
        return jsonschema_rs.validator_for(schema, offline=True, validate_formats=True).is_valid
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError):
        return None


def satisfying(schema: Schema, message: str, dice: Dice, ignored: Collection[str] = (), *, frugal: bool = False) -> Any:
    """A JSON value that satisfies the schema, or `NOTHING`.

    `ignored` are words of the message that are no values. `frugal` makes optional properties only if the message holds
    a value for them: so are functions called.
    """
    check = validator(schema)
    if check is None:
        return NOTHING
    spent = 0
    for attempt in range(_ATTEMPTS):
        maker = _Maker(schema, Values(message, ignored), dice.fork(attempt), attempt, frugal=frugal)
        try:
            if check(value := maker.whole()):
                return value
        except (Impossible, Unmakeable):
            pass
        spent += maker.spent
        if spent > _MOST_SPENT:
            break
    return NOTHING


class _Maker:
    """Makes one value for a schema: in each second attempt only what is required."""

    def __init__(self, schema: Schema, values: Values, dice: Dice, attempt: int, *, frugal: bool) -> None:
        self._schema = schema
        self._resolver = Resolver(schema)
        self._values = values
        self._dice = dice
        self._scalars = Scalars(values, dice)
        self._frugal = frugal
        self._terse = attempt % 2 == 1
        self._untyped = _UNTYPED[attempt % len(_UNTYPED)]
        self._nodes = 0

    @property
    def spent(self) -> int:
        """Schemas looked at so far."""
        return max(self._nodes, self._resolver.joins)

    def whole(self) -> Any:
        """A value for the whole schema. Raises Impossible or Unmakeable."""
        return self._make(self._schema, "answer", 0)

    def _make(self, schema: Any, name: str, depth: int) -> Any:
        """A value for a schema that stands under a name: of the first alternative that has one."""
        self._nodes += 1
        if depth > _DEEPEST or self._nodes > _MOST_NODES:
            raise Impossible("the schema is too deep or too wide")
        for alternative in self._alternatives(self._resolver.flat(schema), depth):
            try:
                return self._one(alternative, name, depth)
            except Impossible:
                continue
        raise Impossible("no alternative has a value")

    def _brief(self, depth: int) -> bool:
        """Whether only what is required is to be made."""
        return self._terse or depth > _FULL_DEPTH or self._nodes > _FULL_NODES

    def _alternatives(self, schema: Schema, depth: int) -> Iterator[Schema]:
        """The schema once for each branch of its `anyOf`, the best first."""
        self._nodes += 1
        branches = schema.pop("anyOf", None)
        if branches is None:
            yield schema
            return
        for branch in self._ordered(branches, depth):
            if depth < _DEEPEST and self._nodes < _MOST_NODES and (joined := self._joined(schema, branch)) is not None:
                yield from self._alternatives(joined, depth + 1)

    def _joined(self, schema: Schema, branch: Any) -> Schema | None:
        """The schema with one of its branches, None if they exclude each other."""
        try:
            return self._resolver.flat(merged(schema, self._resolver.flat(branch)))
        except Impossible:
            return None

    def _ordered(self, branches: list[Any], depth: int) -> list[Any]:
        """Branches that the message names before others; `null` last, but first where little is to be made."""
        ranks = _RANKS[self._brief(depth)]
        return sorted(
            self._dice.shuffled(branches), key=lambda branch: (not self._named(branch), ranks.index(_sort(branch)))
        )

    def _named(self, branch: Any) -> bool:
        if not isinstance(branch, dict):
            return False
        options = branch.get("enum", [branch["const"]] if "const" in branch else [])
        return self._values.choice(options) is not None

    def _one(self, schema: Schema, name: str, depth: int) -> Any:
        """A value for a schema without alternatives."""
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._scalars.option(schema)
        match self._type(schema, depth):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, name, depth)
            case "number" | "integer":
                return self._scalars.number(schema, name)
            case "boolean":
                return self._dice.below(3) > 0
            case "null":
                return None
        return self._scalars.string(schema, name)

    def _type(self, schema: Schema, depth: int) -> str:
        """The type to make, of those that the schema allows."""
        types = types_of(schema)
        if "type" not in schema:
            return next((kind for kind, words in _BY_KEYWORD.items() if schema.keys() & set(words)), self._untyped)
        if not types:
            raise Impossible("the types exclude each other")
        if "null" in types and (self._brief(depth) or len(types) == 1):
            return "null"
        return next(kind for kind in (*_BY_KEYWORD, "integer", "boolean") if kind in types)

    # Objects

    def _object(self, schema: Schema, depth: int) -> Schema:
        required = schema.get("required", [])
        made: Schema = {}
        for key in self._keys(schema, required, depth):
            try:
                made[key] = self._make(_rule(schema, key), key, depth + 1)
            except Impossible:
                if key in required:
                    raise
        self._fill(schema, made, depth)
        return made

    def _keys(self, schema: Schema, required: list[str], depth: int) -> list[str]:
        """The properties to make, in the order of the schema, with those that another makes necessary."""
        known = list(schema.get("properties", ()))
        needs = schema.get("dependentRequired", {})
        room = int(schema.get("maxProperties", len(known) + len(required)))
        optional = [] if self._brief(depth) else [key for key in known if key not in required]
        optional = [key for key in optional if not self._frugal or self._is_held(schema["properties"][key], key)]
        keys = [*required, *optional[: max(0, room - len(required))]]
        for key in keys:
            keys += [other for other in needs.get(key, ()) if other not in keys]
        return sorted(dict.fromkeys(keys), key=lambda key: known.index(key) if key in known else len(known))

    def _is_held(self, rule: Any, key: str) -> bool:
        """Whether the message holds a value for a property."""
        return self._named(rule) or self._values.holds(key)

    def _fill(self, schema: Schema, made: Schema, depth: int) -> None:
        """Add properties of invented names, where the schema is a map or wants more than it names."""
        rule = schema.get("additionalProperties")
        is_map = isinstance(rule, dict) and not schema.get("properties") and not self._brief(depth)
        wanted = max(int(schema.get("minProperties", 0)), _USUAL_ITEMS if is_map else 0)
        wanted = min(wanted, int(schema.get("maxProperties", wanted)), _MOST_ITEMS)
        names = self._names(schema, depth) if len(made) < wanted else iter(())
        for key in names:
            if key not in made:
                made[key] = self._make(_rule(schema, key), key, depth + 1)
            if len(made) >= wanted:
                return

    def _names(self, schema: Schema, depth: int) -> Iterator[str]:
        """Names for further properties."""
        yield from schema.get("properties", ())
        for pattern in schema.get("patternProperties", ()):
            yield from matching(pattern, self._dice)
        if schema.get("additionalProperties") is False:
            return
        if "propertyNames" in schema:
            rule = {"allOf": [{"type": "string"}, schema["propertyNames"]]}
            yield from (str(self._make(rule, "name", depth + 1)) for _ in range(_MOST_NAMES))
            return
        yield from (name for name in self._values.strings if len(name) < 40)
        yield from self._dice.shuffled(COMMON)

    # Arrays

    def _array(self, schema: Schema, name: str, depth: int) -> list[Any]:
        first, rest = _item_rules(schema)
        most = int(schema.get("maxItems", _MOST_ITEMS))
        made = [self._make(rule, name, depth + 1) for rule in first[:most]]
        wanted = self._length(schema, len(made), most, rest, depth)
        members = self._members(rest, name, depth) if len(made) < wanted else iter(())
        for value in members:
            if not schema.get("uniqueItems") or value not in made:
                made.append(value)
            if len(made) >= wanted:
                return made
        if len(made) < int(schema.get("minItems", 0)):
            raise Impossible("there are not enough different items")
        return made

    def _length(self, schema: Schema, given: int, most: int, rest: Any, depth: int) -> int:
        """How many items: what the message lists, else two; where little is to be made, as few as allowed."""
        least = max(int(schema.get("minItems", 0)), int(schema.get("minContains", 1)) if "contains" in schema else 0)
        if least > _MOST_ITEMS:
            raise Impossible("so many items are too many")
        if rest is False:
            return given
        usual = 0 if self._brief(depth) else max(given, len(self._listed(rest)), _USUAL_ITEMS)
        return min(max(usual, least), max(most, least))

    def _listed(self, rule: Any) -> list[str]:
        """What the message lists, where the items are plain strings."""
        flat = self._resolver.flat(rule)
        if flat.get("type") != "string" or flat.keys() & {"enum", "const", "pattern", "format", "anyOf"}:
            return []
        shortest, longest = flat.get("minLength", 0), flat.get("maxLength", _LONGEST_LISTED)
        return [text for text in self._values.strings[:_MOST_ITEMS] if shortest <= len(text) <= longest]

    def _members(self, rule: Any, name: str, depth: int) -> Iterator[Any]:
        yield from self._listed(rule)
        options = self._resolver.flat(rule).get("enum", ())
        yield from (option for option in options if self._values.choice([option]) is not None)
        yield from (self._make(rule, name, depth + 1) for _ in range(_USUAL_ITEMS))
        yield from self._dice.shuffled(options)
        yield from (self._make(rule, name, depth + 1) for _ in range(2 * _MOST_ITEMS))


def _sort(branch: Any) -> str:
    """What sort of schema a branch is, for the order in which branches are tried."""
    if not isinstance(branch, dict):
        return "other"
    types = types_of(branch)
    if types == {"null"} or branch.get("const", branch) is None:
        return "null"
    if "$ref" in branch:
        return "reference"
    return "other" if not types or types & {"object", "array"} else "scalar"


def _rule(schema: Schema, key: str) -> Any:
    """The schema of one property, from wherever it applies."""
    found = [schema["properties"][key]] if key in schema.get("properties", ()) else []
    found += [rule for pattern, rule in schema.get("patternProperties", {}).items() if searches(pattern, key)]
    if not found:
        return schema.get("additionalProperties", True)
    return found[0] if len(found) == 1 else {"allOf": found}


def _item_rules(schema: Schema) -> tuple[list[Any], Any]:
    """The schemas of the first items, and the one of all others."""
    first, rest = schema.get("prefixItems", []), schema.get("items", True)
    if isinstance(rest, list):
        first, rest = rest, schema.get("additionalItems", True)
    if "contains" in schema and rest is not False:
        rest = {"allOf": [rest, schema["contains"]]}
    return first, rest
