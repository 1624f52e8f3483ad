"""Any instance of any struct of ours, drawn from its own type hints."""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import strategies as st
from msgspec import UNSET, Raw, UnsetType

from antiphon.wire import content, items
from antiphon.wire.struct import Opaque, Unsent

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: INTEGERS,
    float: FLOATS,
    bool: st.booleans(),
    Any: JSON,
    types.NoneType: st.none(),
    UnsetType: st.just(UNSET),
    Unsent: st.just({}),
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type, as the wire knows types."""
    if kind in PLAIN:
        return PLAIN[kind]
    origin, inner = get_origin(kind), get_args(kind)
    if origin is None:
        return structs(kind)
    return COMPOSED[origin](*inner)


def _union(*members: Any) -> st.SearchStrategy[Any]:
    return st.one_of(map(values, members))


def _annotated(kind: Any, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    if meta.pattern is not None:
        return NAMES
    bounds = {"min_value": meta.ge, "max_value": meta.le}
    if kind is int:
        return st.integers(**{side: bound for side, bound in bounds.items() if bound is not None})
    if kind is float:
        return st.floats(meta.ge, meta.le)
    if get_origin(kind) is list:
        return st.lists(values(get_args(kind)[0]), min_size=meta.min_length or 0, max_size=2)
    return values(kind)


COMPOSED: dict[Any, Callable[..., st.SearchStrategy[Any]]] = {
    Union: _union,
    types.UnionType: _union,
    Literal: lambda *options: st.sampled_from(options),
    list: lambda inner: st.lists(values(inner), max_size=2),
    dict: lambda key, value: st.dictionaries(values(key), values(value), max_size=2),
    Annotated: _annotated,
}


@cache
def structs(kind: type[msgspec.Struct], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Instances of a struct. A field whose type is open needs a strategy of its own."""
    hints = get_type_hints(kind, include_extras=True)
    drawn = {
        name: given[name] if name in given else values(hint)
        for name, hint in hints.items()
        if hint is not Raw or name in given
    }
    return st.builds(kind, **drawn)


OPAQUE = st.builds(
    lambda name, rest: Opaque({"type": f"x:{name}", **rest}),
    TEXT,
    st.dictionaries(TEXT.filter(lambda key: key != "type"), JSON, max_size=3),
)


IMAGES = structs(
    content.InputImage, image_url=st.sampled_from(["https://x/a.png", "data:image/png;base64,iVBORw0KGgo="])
)
FILES = structs(content.InputFile, file_data=st.sampled_from(["aGk=", "data:text/plain;base64,aGk="]))
WHOLE = {"input_image": IMAGES, "input_file": FILES}
"""Parts of which not any value will do."""


def _parts(names: tuple[str, ...]) -> st.SearchStrategy[Any]:
    parts = st.one_of(WHOLE[name] if name in WHOLE else structs(content.PARTS[name]) for name in names)
    return TEXT | st.lists(parts, max_size=3)


MESSAGES = structs(items.Message, role=st.just("assistant"), content=_parts(content.OUTPUT_PARTS)) | structs(
    items.Message, role=st.sampled_from(["user", "system", "developer"]), content=_parts(content.INPUT_PARTS)
)


def identified(kind: type[msgspec.Struct]) -> st.SearchStrategy[Any]:
    """Items of a class. An id is a string or absent: null is another word for absent, which decoding does away with."""
    if kind is items.Message:
        return MESSAGES.filter(lambda item: item.id is not None)
    return structs(kind).filter(lambda item: item.id is not None)


ITEMS = st.one_of([OPAQUE, *map(identified, items.ITEMS.values())])
