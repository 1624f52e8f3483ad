"""The common setup of msgspec: how a struct treats absent keys, nulls and objects of unknown type.

All structs of this package derive from `Wire` and are encoded by `encode` or the one `encoder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Raw, UnsetType

__all__ = [
    "UNSET",
    "Defaulted",
    "Deferred",
    "Maybe",
    "Opaque",
    "Typed",
    "Unsent",
    "UnsetType",
    "Wire",
    "as_sent",
    "encode",
    "encoder",
    "tag_of",
    "type_of",
]

T = TypeVar("T")

Maybe: TypeAlias = T | UnsetType
"""A value whose key may be absent. `Maybe[str | None]` may also be `null`, which is not the same."""

if TYPE_CHECKING:
    Deferred = Annotated[T, "second stage"]
    Defaulted = Annotated[T, "null means default"]
    Unsent = Annotated[T, "not on the wire"]
else:

    class Deferred:
        """A field decoded in two stages: `Raw` by msgspec, its real type by the `decode_*` function of the struct.

        Needed where a union is open: msgspec cannot decode "one of these structs, or any other object".
        A type checker sees the real type, because only the `decode_*` function ever sees the first stage.
        """

        def __class_getitem__(cls, item: Any) -> Any:
            return Raw

    class Defaulted:
        """A field whose `null` means its default. The `decode_*` function puts the default in the place of `None`."""

        def __class_getitem__(cls, item: Any) -> Any:
            return item | None

    class Unsent:
        """A field that no JSON fills: what is sent under its name is refused as an unknown parameter."""

        def __class_getitem__(cls, item: Any) -> Any:
            return cls


def as_sent(value: Any) -> Any:
    """The value of a `Deferred` or `Defaulted` field in its first stage, when its declared type is not yet true."""
    return value


class Wire(msgspec.Struct, kw_only=True):
    """An object of the API. Its fields are keyword-only, and are encoded in the order of their declaration."""


class Typed(Wire, tag_field="type", kw_only=True):
    """An object that says what it is: the key `type`, which comes first when encoding."""


class Opaque:
    """An object whose type we do not know, kept as it came: it encodes to the same keys in the same order."""

    __slots__ = ("fields",)

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    @property
    def type(self) -> str:
        """The wire type, or the empty string if the object has none."""
        kind = self.fields.get("type")
        return kind if isinstance(kind, str) else ""

    @property
    def id(self) -> str | UnsetType:
        """The id, or `UNSET` if the object has none."""
        own = self.fields.get("id")
        return own if isinstance(own, str) else UNSET

    def __eq__(self, other: object) -> bool:
        return self.fields == other.fields if isinstance(other, Opaque) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # mutable, like every struct here; this is Python's own way to say so

    def __repr__(self) -> str:
        return f"Opaque({self.fields!r})"


def _encode_opaque(value: Any) -> Any:
    match value:
        case Opaque():
            return value.fields
    raise TypeError(f"{type(value).__name__} is not a wire object")


encoder = msgspec.json.Encoder(enc_hook=_encode_opaque)
encode = encoder.encode


def tag_of(struct: type[Wire]) -> str:
    """The wire type of a tagged struct: `tag_of(FunctionCall)` is `"function_call"`."""
    tag = struct.__struct_config__.tag
    if not isinstance(tag, str):
        raise TypeError(f"{struct.__name__} has no wire type")
    return tag


def type_of(value: Any) -> str:
    """The wire type of an item, a tool or a choice, also of one that we do not know or that has several spellings."""
    tag = type(value).__struct_config__.tag if isinstance(value, Wire) else None
    return tag if isinstance(tag, str) else str(getattr(value, "type", ""))
