"""Our own server behind a proxy that cuts: a stored background stream is seen once, whole."""

from __future__ import annotations

import pytest
from openai import AsyncOpenAI

from antiphon.client import AsyncClient
from tests.client.conftest import QUICK
from tests.client.cutting import cutting
from tests.support.sdk_models import TEXT, catalog
from tests.support.serving import serving

pytestmark = pytest.mark.anyio

ASKED = {"model": "rehearsed", "input": "Hi.", "background": True}
STEP = 23
"""Every byte takes minutes with responses of this size; the recorded server has every one (test_attempts)."""


@pytest.mark.parametrize("times", [1, 2])
async def test_a_background_stream_is_seen_once_wherever_it_is_cut(times):
    async with serving(catalog()) as served, cutting(served.port) as proxy:
        sdk = AsyncOpenAI(
            base_url=f"http://127.0.0.1:{proxy.port}/v1", api_key="none", default_headers={"connection": "close"}
        )
        async with AsyncClient(sdk, retry=QUICK) as client:
            whole = [event.type async for event in client.stream(**ASKED)]
            size = proxy.passed
            for cut in range(times, size, STEP * times):
                proxy.cuts = [cut] * times
                events = [event async for event in client.stream(**ASKED)]
                assert [event.type for event in events] == whole, cut
                assert [event.sequence_number for event in events] == list(range(len(whole))), cut
                assert events[-1].response.output_text == TEXT
                assert len({event.response.id for event in events if hasattr(event, "response")}) == 1
