"""The models of `[embeddings]`."""

from __future__ import annotations

from antiphon.config.settings import Config
from antiphon.models.embeddings import UpstreamEmbedder
from antiphon.models.upstream import UpstreamOptions
from antiphon.plugins.options import options_of
from antiphon.ports import Embedder

__all__ = ["embedders"]


def embedders(config: Config) -> dict[str, Embedder]:
    """The models that turn text into vectors, by their name."""
    return {
        name: UpstreamEmbedder(options_of(settings, UpstreamOptions)) for name, settings in config.embeddings.items()
    }
