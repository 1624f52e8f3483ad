"""Re-tells a complaint of msgspec in the words of the API: a message that says what was expected, a `param`, a `code`.

msgspec says *Expected `int` >= 16 - at `$.max_output_tokens`*. Clients know *Invalid 'max_output_tokens': integer below
minimum value. Expected a value >= 16, but got 1 instead.* with code `integer_below_min_value`. What msgspec does not
say (the value that was sent, the values that would do), is looked up by walking its path through object and type.
Nothing here runs for a valid request.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec

from antiphon.wire.errors import InvalidRequest

__all__ = ["malformed", "missing", "refuse", "unknown", "wrong_type", "wrong_value"]


class Place(NamedTuple):
    """Where a complaint points: the name of the place, what was sent there, and the types that would have done."""

    param: str | None
    value: Any
    options: tuple[Any, ...]


_LONGEST_NAME: Final = 128


def malformed(error: Exception) -> InvalidRequest:
    """The body is not JSON, or not Unicode."""
    reason = "it is not valid UTF-8" if isinstance(error, UnicodeDecodeError) else str(error).rstrip(".")
    return InvalidRequest(f"We could not parse the JSON body of your request: {reason}.", code="invalid_json")


def missing(param: str) -> InvalidRequest:
    """A key that must be there is not."""
    return InvalidRequest(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def unknown(param: str) -> InvalidRequest:
    """A key that the API does not have. Its name is the sender's, and may be of any length."""
    param = param[:_LONGEST_NAME]
    return InvalidRequest(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")


def wrong_type(param: str | None, expected: str, value: Any) -> InvalidRequest:
    """A value of another JSON type than those that would do."""
    message = f"Invalid type for {_named(param)}: expected {expected}, but got {_kind_of(value)} instead."
    return InvalidRequest(message, param=param, code="invalid_type")


def wrong_value(param: str | None, value: Any, supported: tuple[Any, ...]) -> InvalidRequest:
    """A value of the right type that is not one of those that would do."""
    message = f"Invalid value: {_quoted(value)}. Supported values are: {_listed(supported, 'and')}."
    return InvalidRequest(message, param=param, code="invalid_value")


def refuse(error: msgspec.ValidationError, kind: Any, sent: Any, path: str = "") -> InvalidRequest:
    """The error for a value that msgspec would not decode as `kind`.

    `sent` is the JSON text or the object decoded without a type, `path` is where it stands in the request.
    """
    complaint, where = _split(str(error))
    place = _find(where, kind, _plain(sent), path)
    for pattern, tell in _COMPLAINTS:
        if found := re.match(pattern, complaint, re.DOTALL):
            return tell(place, found)
    return InvalidRequest(f"Invalid {_named(place.param)}: {complaint}.", param=place.param, code="invalid_value")


# Finding the place


def _split(complaint: str) -> tuple[str, str]:
    """Separate what is wrong from where: "Expected `int` - at `$.a[0]`" has the path "$.a[0]"."""
    text, at, where = complaint.rpartition(" - at `")
    return (text, where.rstrip("`")) if at else (complaint, "$")


def _plain(sent: Any) -> Any:
    """Decode JSON text without a type, as far as that is possible."""
    if not isinstance(sent, (bytes, msgspec.Raw)):
        return sent
    try:
        return msgspec.json.decode(sent)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


_STEP: Final = re.compile(r"\.(?P<key>[^.\[\]`]+)|\[(?P<index>\d+)\]|(?P<any>\[\.\.\.\])")


def _find(where: str, kind: Any, value: Any, path: str) -> Place:
    """Follow msgspec's path through value and type at once."""
    place = Place(path or None, value, tuple(_options(kind)))
    for step in _STEP.finditer(where):
        if step["key"] is not None:
            place = _into_key(place, step["key"])
        elif step["index"] is not None:
            place = _into_index(place, int(step["index"]))
        else:
            place = _into_any(place)
    return place


def _into_key(place: Place, key: str) -> Place:
    param = f"{place.param}.{key}" if place.param else key
    inside = place.value.get(key) if isinstance(place.value, Mapping) else None
    return Place(param, inside, tuple(_fields(place, key)))


def _into_index(place: Place, index: int) -> Place:
    inside = place.value[index] if isinstance(place.value, list) and index < len(place.value) else None
    kinds = map(_bare, place.options)
    options = (o for kind in kinds if get_origin(kind) is list for o in _options(get_args(kind)[0]))
    return Place(f"{place.param or ''}[{index}]", inside, tuple(options))


def _into_any(place: Place) -> Place:
    """msgspec does not say which entry of a map is wrong: it is the first that does not convert."""
    maps = (kind for kind in map(_bare, place.options) if get_origin(kind) is dict)
    values = next((get_args(kind)[1] for kind in maps), Any)
    entries = place.value.items() if isinstance(place.value, Mapping) else ()
    key, value = next(((k, v) for k, v in entries if not _converts(v, values)), ("", None))
    return Place(f"{place.param}.{key[:_LONGEST_NAME]}" if key else place.param, value, tuple(_options(values)))


def _converts(value: Any, kind: Any) -> bool:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return False
    return True


def _fields(place: Place, key: str) -> Iterator[Any]:
    """The types that the field `key` may have in the structs that may stand here. The tag counts as a field."""
    structs = [
        kind for kind in map(_bare, place.options) if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
    ]
    tags = tuple(s.__struct_config__.tag for s in structs if s.__struct_config__.tag_field == key)
    if tags:
        yield Literal[tags]  # a Literal of values that are known only now
        return
    for struct in _tagged(structs, place.value):
        hints = get_type_hints(struct, include_extras=True)
        for field in msgspec.structs.fields(struct):
            yield from _options(hints[field.name]) if field.encode_name == key else ()


def _tagged(structs: list[type[msgspec.Struct]], value: Any) -> list[type[msgspec.Struct]]:
    """Of several structs the one whose tag was sent."""
    if len(structs) < 2 or not isinstance(value, Mapping):
        return structs
    return [s for s in structs if value.get(str(s.__struct_config__.tag_field)) == s.__struct_config__.tag]


def _options(kind: Any) -> Iterator[Any]:
    """The members of a union, without null and absence."""
    if get_origin(kind) in (Union, types.UnionType):
        for member in get_args(kind):
            yield from _options(member)
    elif kind not in (types.NoneType, msgspec.UnsetType):
        yield kind


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


# Telling what is wrong


def _tell_missing(place: Place, found: re.Match[str]) -> InvalidRequest:
    return missing(f"{place.param}.{found[1]}" if place.param else found[1])


def _tell_unknown(place: Place, found: re.Match[str]) -> InvalidRequest:
    return unknown(f"{place.param}.{found[1]}" if place.param else found[1])


def _tell_unsent(place: Place, _found: re.Match[str]) -> InvalidRequest:
    return unknown(place.param or "")


def _tell_value(place: Place, _found: re.Match[str]) -> InvalidRequest:
    supported = tuple(v for kind in place.options if get_origin(kind) is Literal for v in get_args(kind))
    return wrong_value(place.param, place.value, supported)


_BOUNDS: Final = {"<=": ("above", "maximum", "max"), ">=": ("below", "minimum", "min")}


def _tell_range(place: Place, found: re.Match[str]) -> InvalidRequest:
    number = "integer" if found["type"] == "int" else "decimal"
    side, bound, short = _BOUNDS[found["op"]]
    message = (
        f"Invalid {_named(place.param)}: {number} {side} {bound} value. "
        f"Expected a value {found['op']} {_round(found['limit'])}, but got {_shown(place.value)} instead."
    )
    return InvalidRequest(message, param=place.param, code=f"{number}_{side}_{short}_value")


def _tell_length(place: Place, found: re.Match[str]) -> InvalidRequest:
    if isinstance(place.value, Mapping):
        return _key_too_long(place, found["limit"])
    noun = "string" if found["type"] == "str" else "array"
    side, bound, short = _BOUNDS[found["op"]]
    size = len(place.value or "")
    fault, code = f"{noun} too {'long' if side == 'above' else 'short'}", f"{noun}_{side}_{short}_length"
    if size == 0:
        fault, code = f"empty {noun}", f"empty_{noun}"
    message = (
        f"Invalid {_named(place.param)}: {fault}. Expected {_article(noun)} with {bound} length {found['limit']}, "
        f"but got {_article(noun)} with length {size} instead."
    )
    return InvalidRequest(message, param=place.param, code=code)


def _key_too_long(place: Place, limit: str) -> InvalidRequest:
    message = f"Invalid {_named(place.param)}: key too long. Expected keys with maximum length {limit}."
    return InvalidRequest(message, param=place.param, code="string_above_max_length")


def _tell_properties(place: Place, found: re.Match[str]) -> InvalidRequest:
    message = (
        f"Invalid {_named(place.param)}: too many properties. Expected an object with at most {found[1]} properties, "
        f"but got an object with {len(place.value or ())} properties instead."
    )
    return InvalidRequest(message, param=place.param, code="object_above_max_properties")


def _tell_pattern(place: Place, found: re.Match[str]) -> InvalidRequest:
    pattern = found[1].replace(r"(?!\\n)", "")  # only there because Python's `$` means something else than others'
    message = (
        f"Invalid {_named(place.param)}: string does not match pattern. "
        f"Expected a string that matches the pattern {pattern}."
    )
    return InvalidRequest(message, param=place.param, code="invalid_value")


def _tell_type(place: Place, _found: re.Match[str]) -> InvalidRequest:
    expected = " or ".join(dict.fromkeys(map(_described, place.options))) or "another type"
    return wrong_type(place.param, expected, place.value)


_COMPLAINTS: Final[tuple[tuple[str, Callable[[Place, re.Match[str]], InvalidRequest]], ...]] = (
    (r"Object missing required field `(.+)`", _tell_missing),
    (r"Object contains unknown field `(.*)`", _tell_unknown),
    (r"Invalid (?:enum )?value ", _tell_value),
    (r"Expected `(?P<type>int|float)` (?P<op>[<>]=) (?P<limit>\S+)", _tell_range),
    (r"Expected `(?P<type>str|array)` of length (?P<op>[<>]=) (?P<limit>\d+)", _tell_length),
    (r"Expected `object` of length <= (\d+)", _tell_properties),
    (r"Expected `str` matching regex (.+)", _tell_pattern),
    (r"Expected `Unsent`", _tell_unsent),
    (r"Expected `", _tell_type),
)


# Words

_WORDS: Final[dict[Any, str]] = {str: "a string", int: "an integer", float: "a number", bool: "a boolean"}
_KINDS: Final[dict[type, str]] = {
    types.NoneType: "null",
    bool: "a boolean",
    int: "an integer",
    float: "a decimal",
    str: "a string",
    list: "an array",
    dict: "an object",
}


def _kind_of(value: Any) -> str:
    return _KINDS.get(type(value), "something else")


def _described(kind: Any) -> str:
    """A type in words: "a number between 0 and 2", "an array of strings", "one of 'auto' or 'none'"."""
    if get_origin(kind) is Annotated:
        return _described(get_args(kind)[0]) + _range_of(kind)
    if get_origin(kind) is Literal:
        return f"one of {_listed(get_args(kind), 'or')}"
    if get_origin(kind) is list:
        return "an array"
    return _WORDS.get(kind, "an object")


def _range_of(kind: Any) -> str:
    meta = get_args(kind)[1]
    return f" between {_round(meta.ge)} and {_round(meta.le)}" if meta.ge is not None and meta.le is not None else ""


def _round(number: Any) -> str:
    return str(number).removesuffix(".0")


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "ao" else f"a {noun}"


def _named(param: str | None) -> str:
    return f"'{param}'" if param else "request body"


def _shown(value: Any) -> str:
    """A value as JSON, cut where it is long."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 64 else f"{text[:61]}..."


def _quoted(value: Any) -> str:
    return f"'{_shown(value)[1:-1]}'" if isinstance(value, str) else _shown(value)


def _listed(values: tuple[Any, ...], last: str) -> str:
    """'a', 'b', and 'c'."""
    words = [_quoted(value) for value in values]
    if len(words) < 3:
        return f" {last} ".join(words)
    return f"{', '.join(words[:-1])}, {last} {words[-1]}"
