"""Embeddings of an upstream: any server with OpenAI's POST /embeddings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from antiphon.models.upstream import Upstream, UpstreamOptions
from antiphon.wire.embeddings import CreateEmbeddings, EmbeddingList
from antiphon.wire.errors import UpstreamMalformed
from antiphon.wire.struct import encode

__all__ = ["UpstreamEmbedder"]

_PATH = "/embeddings"
_STARTS = b'["'
"""How a vector begins: as numbers, or as base64."""


class UpstreamEmbedder:
    """A model behind POST /embeddings. Implements `antiphon.ports.Embedder`."""

    def __init__(self, options: UpstreamOptions) -> None:
        self._options = options
        self._upstream = Upstream(options)

    @property
    def address(self) -> str:
        """The address of the upstream."""
        return self._options.base_url

    def name_for(self, asked: str) -> str:
        """The upstream's name for the model that was asked for."""
        return self._options.model or asked

    async def embed(self, request: CreateEmbeddings, headers: Mapping[str, str]) -> EmbeddingList:
        """Hand the request on, and check that as many vectors come back as texts were sent.

        Raises an APIError with the meaning of the upstream's failure.
        """
        body = encode(_body(request, self.name_for(request.model)))
        with await self._upstream.open(_PATH, body, {"Accept": "application/json", **headers}) as answer:
            return _read(await answer.body(), request.count)

    async def aclose(self) -> None:
        """Release the connections."""
        await self._upstream.aclose()


def _body(request: CreateEmbeddings, model: str) -> dict[str, Any]:
    given = {name: getattr(request, name) for name in ("input", "dimensions", "encoding_format", "user")}
    return {"model": model, **{name: value for name, value in given.items() if value is not None}}


def _read(body: bytes, count: int) -> EmbeddingList:
    try:
        answer = msgspec.json.decode(body, type=EmbeddingList)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamMalformed("The upstream's answer is no list of embeddings.") from error
    if len(answer.data) != count:
        raise UpstreamMalformed(f"The upstream sent {len(answer.data)} embeddings for {count} inputs.")
    if any(memoryview(one.embedding)[0] not in _STARTS for one in answer.data):
        raise UpstreamMalformed("The upstream's answer has an embedding that is neither numbers nor base64.")
    return answer
