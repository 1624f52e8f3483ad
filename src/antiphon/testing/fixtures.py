"""Fixtures for pytest: the server in the test's own process, with the model `rehearsal`, for tests of applications.

In `conftest.py`:

    pytest_plugins = ["antiphon.testing.fixtures"]

and in a test:

    def test_greeting(antiphon_client):
        assert greet(antiphon_client) == …                 # an openai.OpenAI

`antiphon_async_client` is an `openai.AsyncOpenAI`, for the async plugin that you use (anyio, pytest-asyncio in its
auto mode). To have other models, override `antiphon_options` with a fixture that gives the arguments of
`antiphon.local`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

import antiphon

if TYPE_CHECKING:
    from openai import AsyncOpenAI, OpenAI


@pytest.fixture
def antiphon_options() -> dict[str, Any]:
    """The arguments of `antiphon.local`: none."""
    return {}


@pytest.fixture
def antiphon_client(antiphon_options: dict[str, Any]) -> Iterator[OpenAI]:
    """A sync client of a server of its own."""
    with antiphon.local(**antiphon_options) as client:
        yield client


@pytest.fixture
async def antiphon_async_client(antiphon_options: dict[str, Any]) -> AsyncIterator[AsyncOpenAI]:
    """An async client of a server of its own."""
    async with antiphon.local_async(**antiphon_options) as client:
        yield client
