"""Clients of two servers that have nothing in common but the API: ours, and a recorded one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI

from antiphon.client import AsyncClient, Client
from tests.client.recorded import Recorded
from tests.support.sdk_models import catalog
from tests.support.serving import serving

QUICK = {"base": 0.001, "throttled_base": 0.001}
"""Retries that nobody has to wait for."""


@pytest.fixture
async def upstream() -> AsyncIterator[Recorded]:
    """The recorded server."""
    async with Recorded() as up:
        yield up


@pytest.fixture(params=["ours", "recorded"])
async def base_url(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """The address of each server in turn. Both have the model `rehearsed`."""
    if request.param == "recorded":
        async with Recorded() as up:
            yield up.base_url
        return
    async with serving(catalog()) as served:
        yield f"{served.url}/v1"


@pytest.fixture
async def async_client() -> AsyncIterator[Callable[..., AsyncClient]]:
    """Makes async clients, and closes them."""
    made: list[AsyncClient] = []

    def make(base_url: str, **options: Any) -> AsyncClient:
        sdk = AsyncOpenAI(base_url=base_url, api_key="none")
        made.append(AsyncClient(sdk, **{"retry": QUICK, **options}))
        return made[-1]

    yield make
    for client in made:
        await client.close()


@pytest.fixture
async def in_thread() -> AsyncIterator[Callable[..., Any]]:
    """Runs a function with a sync client while the servers' loop goes on."""
    made: list[Client] = []

    async def work(base_url: str, function: Callable[[Client], Any], **options: Any) -> Any:
        client = Client(OpenAI(base_url=base_url, api_key="none"), **{"retry": QUICK, **options})
        made.append(client)
        return await asyncio.to_thread(function, client)

    yield work
    for client in made:
        client.close()
