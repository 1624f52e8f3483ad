from __future__ import annotations

import msgspec
import pytest

from antiphon.wire import items
from antiphon.wire.struct import UNSET, Maybe, Opaque, Wire, encode, tag_of


class Pair(Wire, kw_only=True):
    first: Maybe[str | None] = UNSET
    second: int = 0


def test_an_absent_key_is_left_out_and_a_null_is_written() -> None:
    assert encode(Pair()) == b'{"second":0}'
    assert encode(Pair(first=None)) == b'{"first":null,"second":0}'
    assert msgspec.json.decode(b'{"first":null}', type=Pair).first is None
    assert msgspec.json.decode(b"{}", type=Pair).first is UNSET


def test_fields_are_given_by_keyword() -> None:
    with pytest.raises(TypeError):
        Pair("a", 1)  # type: ignore[misc]


def test_an_opaque_object_encodes_to_what_came_in_also_inside_others() -> None:
    sent = b'{"z":1,"type":"x:thing","a":[{"b":null}]}'
    thing = Opaque(msgspec.json.decode(sent))
    assert encode(thing) == sent
    assert encode([thing]) == b"[" + sent + b"]"


def test_an_opaque_object_knows_its_type_and_id() -> None:
    thing = Opaque({"type": "x:thing", "id": "x_1"})
    assert (thing.type, thing.id) == ("x:thing", "x_1")
    assert (Opaque({}).type, Opaque({}).id) == ("", UNSET)
    assert (Opaque({"type": 3}).type, Opaque({"id": None}).id) == ("", UNSET)


def test_opaque_objects_are_equal_if_their_fields_are() -> None:
    assert Opaque({"a": 1}) == Opaque({"a": 1})
    assert Opaque({"a": 1}) != Opaque({"a": 2})
    assert Opaque({"a": 1}) != {"a": 1}
    assert repr(Opaque({"a": 1})) == "Opaque({'a': 1})"


def test_an_opaque_object_is_mutable_and_therefore_no_key() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Opaque({}))


def test_nothing_but_wire_objects_can_be_encoded() -> None:
    with pytest.raises(TypeError, match="complex is not a wire object"):
        encode(1j)


def test_the_wire_type_of_a_class_is_its_tag() -> None:
    assert tag_of(items.FunctionCall) == "function_call"
    with pytest.raises(TypeError, match="Pair has no wire type"):
        tag_of(Pair)
