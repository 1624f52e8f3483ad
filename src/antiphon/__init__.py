"""Antiphon: a self-hosted server of the Responses API, in front of any model.

The package itself imports nothing, so that `import antiphon` costs nothing; ARCHITECTURE.md shows what lives where.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from openai import AsyncOpenAI, OpenAI

    from antiphon.ports import Catalog

__all__ = ["__version__", "local", "local_async"]

__version__ = "0.1.0"
"""The version of this release. pyproject.toml takes it from here."""


def local(
    config: str | Path | None = None, *, data: str | Path | None = None, catalog: Catalog | None = None
) -> OpenAI:
    """An `openai.OpenAI` whose server is in this process, for notebooks, scripts and tests. Close it when done.

    `config` is an `antiphon.toml`; without one there is the built-in model alone, and the environment is not read.
    `data` is a folder to keep responses in; without one they go with the client. `catalog` has models of your own, such
    as `antiphon.testing.Only(ScriptedModel(…))`. Raises ConfigError.
    """
    from antiphon.in_process import client

    return client(config, data=data, catalog=catalog)


def local_async(
    config: str | Path | None = None, *, data: str | Path | None = None, catalog: Catalog | None = None
) -> AsyncOpenAI:
    """The same as an `openai.AsyncOpenAI`, whose server is in the caller's event loop."""
    from antiphon.in_process import async_client

    return async_client(config, data=data, catalog=catalog)
