"""Any instance of any struct of the admin API, drawn from its own types and within their bounds."""

from __future__ import annotations

import types
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from hypothesis import strategies as st

from antiphon.wire.admin import fields
from tests.wire.strategies import PLAIN

LETTERS = st.characters(exclude_categories=["Cs", "Cc"])
EMAILS = st.sampled_from(["a@b.example", "Ada.L+x@mail.b.example", "ы@ü.example"])
NAMED: dict[Any, st.SearchStrategy[Any]] = {
    fields.Name: st.text(LETTERS, min_size=1, max_size=8),
    fields.Line: st.text(LETTERS, max_size=8),
    fields.Email: EMAILS,
    fields.Scope: st.sampled_from(["responses", "admin.read", "api.all.read", "a_1"]),
}
"""The types with a pattern."""


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Values of a type."""
    if kind in NAMED:
        return NAMED[kind]
    if kind in PLAIN:
        return PLAIN[kind]
    origin = get_origin(kind)
    return structs(kind) if origin is None else COMPOSED[origin](*get_args(kind))


def _union(*members: Any) -> st.SearchStrategy[Any]:
    return st.one_of(map(values, members))


def _bounded(kind: Any, meta: msgspec.Meta) -> st.SearchStrategy[Any]:
    if kind is int:
        return st.integers(meta.ge, meta.le)
    least, most = meta.min_length or 0, min(meta.max_length or 3, 8)
    if kind is str:
        return st.text(st.characters(exclude_categories=["Cs"]), min_size=least, max_size=most)
    return st.lists(values(get_args(kind)[0]), min_size=least, max_size=3)


COMPOSED: dict[Any, Callable[..., st.SearchStrategy[Any]]] = {
    Union: _union,
    types.UnionType: _union,
    Literal: lambda *options: st.sampled_from(options),
    list: lambda inner: st.lists(values(inner), max_size=3),
    dict: lambda key, value: st.dictionaries(values(key), values(value), max_size=2),
    Annotated: _bounded,
}


@cache
def structs(kind: type[msgspec.Struct], **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Instances of a struct; `given` are the strategies of fields that depend on others."""
    own = {field.name: field.type for field in msgspec.structs.fields(kind)}
    return st.builds(kind, **{name: given[name] if name in given else values(one) for name, one in own.items()})
