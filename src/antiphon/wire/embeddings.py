"""The request and the answer of POST /v1/embeddings."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw

from antiphon.wire.invalid import wrong_type
from antiphon.wire.read import ANYTHING, decoder, read
from antiphon.wire.request import check_depth
from antiphon.wire.struct import Unsent, Wire

__all__ = ["CreateEmbeddings", "Embedding", "EmbeddingList", "EmbeddingUsage", "decode_embeddings"]

MAX_INPUTS: Final = 2048
"""Texts of one request, and tokens of one text: the API's limit."""

_Text: TypeAlias = Annotated[str, Meta(min_length=1)]
_Token: TypeAlias = Annotated[int, Meta(ge=0)]
_Tokens: TypeAlias = Annotated[list[_Token], Meta(min_length=1, max_length=MAX_INPUTS)]
_Texts: TypeAlias = Annotated[list[_Text], Meta(min_length=1, max_length=MAX_INPUTS)]
_Many: TypeAlias = Annotated[list[_Tokens], Meta(min_length=1, max_length=MAX_INPUTS)]


class CreateEmbeddings(Wire, kw_only=True, forbid_unknown_fields=True):
    """What is to be turned into vectors. `input` is kept as it was sent, once it is known to be right."""

    input: Raw
    """A text, several texts, the tokens of a text, or those of several."""
    model: _Text
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None
    count: Unsent[int] = 0
    """How many vectors are asked for."""


class Embedding(Wire, tag_field="object", tag="embedding", kw_only=True):
    """One vector: numbers, or their 32-bit form in base64. It is handed on as it came."""

    index: int
    embedding: Raw


class EmbeddingUsage(Wire, kw_only=True):
    """Tokens of the input."""

    prompt_tokens: int = 0
    total_tokens: int = 0


class EmbeddingList(Wire, tag_field="object", tag="list", kw_only=True):
    """The answer: a vector for each text, in their order."""

    data: list[Embedding]
    model: str = ""
    usage: EmbeddingUsage = msgspec.field(default_factory=EmbeddingUsage)


_TEXT: Final[msgspec.json.Decoder[str]] = msgspec.json.Decoder(_Text)
_TEXTS: Final[msgspec.json.Decoder[list[str]]] = msgspec.json.Decoder(_Texts)
_TOKENS: Final[msgspec.json.Decoder[list[int]]] = msgspec.json.Decoder(_Tokens)
_MANY: Final[msgspec.json.Decoder[list[list[int]]]] = msgspec.json.Decoder(_Many)


def decode_embeddings(body: bytes) -> CreateEmbeddings:
    """Validate a request. Raises InvalidRequest that names the `param`."""
    check_depth(body)
    request: CreateEmbeddings = read(body, decoder(CreateEmbeddings))
    request.count = _count(request.input)
    return request


def _count(raw: Raw) -> int:
    """How many texts there are. The first element says which of the four forms is meant."""
    sent = read(raw, ANYTHING, "input")
    match sent:
        case str():
            read(raw, _TEXT, "input")
            return 1
        case [] | [str(), *_]:
            return len(read(raw, _TEXTS, "input"))
        case [int() as first, *_] if not isinstance(first, bool):
            read(raw, _TOKENS, "input")
            return 1
        case [list(), *_]:
            return len(read(raw, _MANY, "input"))
        case [first, *_]:
            raise wrong_type("input[0]", "a string, an integer or an array", first)
    raise wrong_type("input", "a string or an array", sent)
