"""Answers in JSON: they satisfy the schema, they use the message, and where nothing satisfies they are a refusal."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.models.rehearsal.dice import Dice
from antiphon.models.rehearsal.merge import Impossible, merged
from antiphon.models.rehearsal.pattern import Unmakeable, matching
from antiphon.models.rehearsal.schema import NOTHING, satisfying, validator
from tests.models.rehearsal_stage import Json, answered, refusal_of, say, text, with_format

pytestmark = pytest.mark.anyio

MESSAGE = 'Tell me about Paris and Rome: 3 nights, "blue", ana@example.com, on 2026-02-03.'


def made(schema: Json, message: str = MESSAGE) -> Any:
    return satisfying(schema, message, Dice("test"))


def holds(schema: Json, value: Any) -> bool:
    return value is not NOTHING and jsonschema_rs.is_valid(schema, value, validate_formats=True)


# Through the model


async def test_the_answer_is_json_and_nothing_but_json() -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "nights": {"type": "integer"}, "colour": {"enum": ["red", "blue"]}},
        "required": ["city", "nights", "colour"],
        "additionalProperties": False,
    }
    assert json.loads(await text(with_format(schema, MESSAGE))) == {"city": "Paris", "nights": 3, "colour": "blue"}


async def test_values_come_from_what_the_tools_returned_too() -> None:
    schema = {"type": "object", "properties": {"degrees": {"type": "integer"}}, "required": ["degrees"]}
    asked = answered("How warm is it?", "It is 21 degrees", text=with_format(schema)["text"])
    assert json.loads(await text(asked)) == {"degrees": 21}


async def test_a_json_object_is_an_object() -> None:
    value = json.loads(await text({"input": "Say it in JSON", "text": {"format": {"type": "json_object"}}}))
    assert isinstance(value, dict)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "minimum": 4, "maximum": 3},
        {"type": "string", "format": "email", "maxLength": 3},
        {"not": {}},
        {"type": "nonsense"},
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "#/nowhere"},
        {"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 3},
        {"type": "array", "minItems": 100_000},
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"type": "string", "pattern": "^(?!a)a$"},
        {"type": "object", "properties": {"self": {"$ref": "#"}}, "required": ["self"]},
    ],
)
async def test_a_schema_that_nothing_satisfies_is_refused_honestly(schema: Json) -> None:
    said = await say(with_format(schema))
    assert refusal_of(said) == "I found no answer that satisfies the JSON schema of this request."


# Kinds of schemas

S = {"type": "string"}
NODE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
TREE = {
    "type": "object",
    "properties": {"name": S, "children": {"type": "array", "items": {"$ref": "#"}}},
    "required": ["name", "children"],
}
SHAPES: list[Json] = [
    {},
    {"type": "null"},
    {"type": ["string", "null"]},
    {"const": {"a": [1, None]}},
    {"enum": [1, "a", None]},
    NODE,
    TREE,
    {"type": "array", "items": S, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "prefixItems": [S, {"type": "integer"}], "items": False, "minItems": 2},
    {"type": "array", "contains": {"const": 5}, "minContains": 2, "items": {"type": "integer"}},
    {"type": "array", "items": S, "minItems": 400},
    {"type": "object", "additionalProperties": {"type": "number"}},
    {"type": "object", "minProperties": 3, "maxProperties": 4},
    {"type": "object", "patternProperties": {"^x-[a-z]+$": S}, "additionalProperties": False, "minProperties": 2},
    {"type": "object", "propertyNames": {"pattern": "^[A-Z]{3}$"}, "minProperties": 2},
    {"type": "object", "properties": {"a": S, "b": S}, "required": ["a"], "dependentRequired": {"a": ["b"]}},
    {"type": "object", "properties": {"a": S}, "not": {"required": ["a"]}},
    {"not": {"type": "string"}},
    {"allOf": [{"type": "integer", "minimum": 5}, {"maximum": 6}, {"multipleOf": 2}]},
    {"allOf": [{"properties": {"a": {"minLength": 3}}, "required": ["a"]}, {"properties": {"a": {"maxLength": 3}}}]},
    {"oneOf": [{"type": "integer", "multipleOf": 3}, {"type": "integer", "multipleOf": 5}]},
    {"anyOf": [{"$ref": "#"}, {"type": "string"}]},
    {"anyOf": [{"type": "integer", "minimum": 2, "maximum": 1}, {"type": "boolean"}]},
    {
        "type": "object",
        "properties": {"kind": {"enum": ["a", "b"]}, "a": S, "b": {"type": "integer"}},
        "required": ["kind"],
        "if": {"properties": {"kind": {"const": "a"}}},
        "then": {"required": ["a"]},
        "else": {"required": ["b"]},
    },
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001},
    {"type": "number", "multipleOf": 0.01, "minimum": 10},
    {"type": "number", "maximum": -5},
    {"type": "integer", "exclusiveMinimum": 4, "maximum": 5},
    {"type": "integer", "multipleOf": 0.5, "minimum": 7},
    {"type": "string", "minLength": 300, "maxLength": 301},
    {"type": "string", "maxLength": 3},
    {"type": "string", "maxLength": 0},
    {"type": "string", "pattern": "^[A-Z]{3}-\\d+$"},
    {"type": "string", "pattern": "^[a-z]*$", "minLength": 50, "maxLength": 60},
    *({"type": "string", "format": form} for form in ("date", "time", "date-time", "email", "uuid", "uri", "ipv4")),
    *({"type": "string", "format": form} for form in ("ipv6", "hostname", "duration", "json-pointer", "regex")),
    {"$defs": {"a": {"$anchor": "here", "type": "integer"}}, "properties": {"q": {"$ref": "#here"}}, "required": ["q"]},
    {"$schema": "http://json-schema.org/draft-07/schema#", "items": [S, S], "additionalItems": False, "type": "array"},
    {"$schema": "http://json-schema.org/draft-04/schema#", "type": "integer", "minimum": 3, "exclusiveMinimum": True},
]


@pytest.mark.parametrize("schema", SHAPES, ids=lambda schema: re.sub(r"[\"{} ]", "", json.dumps(schema))[:50])
@pytest.mark.parametrize("message", [MESSAGE, ""])
def test_the_answer_satisfies_the_schema(schema: Json, message: str) -> None:
    value = made(schema, message)
    assert holds(schema, value), value


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [
        ({"minimum": 1, "maxLength": 9}, {"minimum": 5, "maxLength": 3}, {"minimum": 5, "maxLength": 3}),
        ({"required": ["a"], "uniqueItems": False}, {"required": ["b", "a"]}, {"required": ["a", "b"]}),
        ({"enum": [1, 2, 3]}, {"enum": [2, 3, 4]}, {"enum": [2, 3]}),
        ({"type": ["number", "null"]}, {"type": "integer"}, {"type": ["integer"]}),
        ({"multipleOf": 0.5}, {"multipleOf": 0.75}, {"multipleOf": 1.5}),
        ({"items": {"a": 1}}, {"items": False}, {"items": False}),
        ({"const": 1}, True, {"const": 1}),
    ],
)
def test_of_two_schemas_the_stricter_counts(one: Json, two: Any, both: Json) -> None:
    assert both.items() <= merged(one, two).items()


@pytest.mark.parametrize(("one", "two"), [({"const": 1}, {"const": 2}), ({}, False)])
def test_two_schemas_that_exclude_each_other_are_told(one: Json, two: Any) -> None:
    with pytest.raises(Impossible):
        merged(one, two)


def test_a_recursion_ends() -> None:
    assert len(json.dumps(made(TREE))) < 5_000
    assert json.dumps(made(NODE)).count("value") < 10


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "array", "items": S}, ["Paris", "Rome"]),
        ({"type": "string", "format": "email"}, "ana@example.com"),
        ({"type": "string", "format": "date"}, "2026-02-03"),
        ({"type": "string", "pattern": "^[\\w.]+@example\\.com$"}, "ana@example.com"),
        ({"enum": ["red", "green", "blue"]}, "blue"),
        ({"anyOf": [{"const": "red"}, {"const": "blue"}]}, "blue"),
        ({"type": "number", "minimum": 1, "maximum": 10}, 3),
    ],
)
def test_values_come_from_the_message_where_they_fit(schema: Json, value: Any) -> None:
    assert made(schema) == value


# Schemas that are made by chance


def lengths(low: str, high: str) -> st.SearchStrategy[Json]:
    """Two limits of which the second is not below the first."""
    return st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda pair: {low: pair[0], high: sum(pair)})


SCALARS = st.one_of(
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.lists(st.sampled_from(["a", "b", 1, 2.5, True, None]), min_size=1, unique_by=repr).map(lambda o: {"enum": o}),
    lengths("minLength", "maxLength").map(lambda limits: {"type": "string", **limits}),
    st.sampled_from(["^[a-f]{2,4}$", "^(x|yy)-\\d+$", "^\\w+$"]).map(lambda p: {"type": "string", "pattern": p}),
    st.sampled_from(["date", "email", "uuid"]).map(lambda form: {"type": "string", "format": form}),
    lengths("minimum", "maximum").map(lambda limits: {"type": "integer", **limits}),
    lengths("minimum", "maximum").map(lambda limits: {"type": "number", **limits}),
)
NAMES = st.text("abc_", min_size=1, max_size=3)


@st.composite
def containers(draw: st.DrawFn, child: st.SearchStrategy[Json]) -> Json:
    kind = draw(st.sampled_from(["array", "object", "anyOf", "allOf", "defs"]))
    if kind == "array":
        return {"type": "array", "items": draw(child), **draw(lengths("minItems", "maxItems"))}
    if kind == "anyOf":
        return {"anyOf": draw(st.lists(child, min_size=1, max_size=3))}
    if kind == "allOf":
        return {"allOf": [draw(child)]}
    properties = draw(st.dictionaries(NAMES, child, max_size=4))
    required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": draw(st.booleans()),
    }


SATISFIABLE = st.recursive(SCALARS, containers, max_leaves=12)


@given(schema=SATISFIABLE, message=st.sampled_from([MESSAGE, "", "a b 1 2 2.5"]))
def test_an_answer_is_found_for_every_schema_that_has_one(schema: Json, message: str) -> None:
    assert holds(schema, made(schema, message))


KEYWORDS = {
    "type": st.sampled_from(["object", "array", "string", "integer", "null"]),
    "enum": st.lists(st.none() | st.booleans() | st.integers() | st.text(max_size=2), min_size=1, max_size=2),
    "required": st.lists(NAMES, max_size=2, unique=True),
    "minItems": st.integers(0, 3),
    "uniqueItems": st.booleans(),
    "maxProperties": st.integers(0, 3),
    "minLength": st.integers(0, 3),
    "pattern": st.sampled_from(["^a+$", "(", "^\\w+$", "(?=x)y"]),
    "minimum": st.floats(-9, 9),
    "exclusiveMaximum": st.integers(-9, 9),
    "multipleOf": st.sampled_from([1, 0.1, 7.5, 1e-9]),
    "$ref": st.sampled_from(["#", "#/properties/a", "#/allOf/0", "#x", "other.json"]),
}
NESTED = ("additionalProperties", "items", "contains", "not", "if", "then", "else", "propertyNames")


def anything(child: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    several = st.lists(child, min_size=1, max_size=2)
    nested = dict.fromkeys(NESTED, child) | dict.fromkeys(("allOf", "anyOf", "oneOf", "prefixItems"), several)
    named = dict.fromkeys(("properties", "patternProperties", "$defs"), st.dictionaries(NAMES, child, max_size=2))
    return st.fixed_dictionaries({}, optional=KEYWORDS | nested | named)


@given(schema=anything(st.recursive(st.booleans() | st.just({}), anything, max_leaves=4)))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_whatever_the_schema_an_answer_satisfies_it_or_there_is_none(schema: Json) -> None:
    value = made(schema)
    assert value is NOTHING or holds(schema, value)
    assert validator(schema) is not None or value is NOTHING


# Texts for patterns


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\d{3}-\d{4}$",
        r"^(\([0-9]{3}\))?[0-9]{3}-[0-9]{4}$",
        r"^[A-Z]{2,3}$",
        r"^#[0-9a-fA-F]{6}$",
        r"^[^a-z\s]{3}$",
        r"^(\w)\1$",
        r"^(?:foo|bar){2,}?$",
        r"^[\]\-^a]+$",
        r"^\x41\u0042\t$",
        r"^v\d+(\.\d+){2}(-[a-z]+)?$",
        r"[.*+?]",
        r"^\bword\b .$",
        r"^[\b]$",
        "",
    ],
)
def test_texts_match_their_pattern(pattern: str) -> None:
    texts = list(matching(pattern, Dice("test")))
    assert texts
    assert [made for made in texts if not re.search(pattern, made)] == []


def test_texts_have_the_length_that_is_asked_for() -> None:
    assert all(50 <= len(made) <= 60 for made in matching("^[a-z]+$", Dice("test"), 50, 60))
    assert next(matching("^[a-z]+$", Dice("test"), 50, 60))


@pytest.mark.parametrize(
    "pattern",
    ["(a{1000}){1000}", "(" * 100, "[", "a)", "(", "\\", "[]", "(?<", "\\p", "[\\", "(?^a)", "*", r"\u{110000}"],
)
def test_a_pattern_that_is_broken_or_too_large_is_told(pattern: str) -> None:
    with pytest.raises(Unmakeable):
        list(matching(pattern, Dice("test")))
