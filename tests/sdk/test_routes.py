"""What a client of the official SDK sees of a route whose upstreams fail: nothing, or an error with a way out."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from antiphon.config.settings import ChatSettings, RouteSettings
from antiphon.engine.upstreams import Upstreams
from antiphon.plugins import Models
from antiphon.policy.breaker import BreakerSettings
from antiphon.policy.retry import RetrySettings
from antiphon.testing import FakeClock
from tests.support.chat_chunks import chat_stream
from tests.support.serving import serving
from tests.support.upstream import FakeUpstream, Gate, error_answer, refused, stream

pytestmark = pytest.mark.anyio

HELLO = chat_stream("Hello from the one that is well.")


def catalog(*upstreams: FakeUpstream, upstreams_known: Upstreams | None = None, **more: Any) -> Models:
    settings: dict[str, Any] = {
        f"m{at}": ChatSettings(backend="chat_completions", base_url=upstream.base_url, **more)
        for at, upstream in enumerate(upstreams)
    }
    settings["route"] = RouteSettings(backend="route", models=tuple(settings))
    return Models(settings, upstreams=upstreams_known)


def client_of(server: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)


async def test_a_stream_comes_from_the_upstream_that_is_well_and_tells_of_no_other() -> None:
    async with FakeUpstream() as down, FakeUpstream() as broken, FakeUpstream() as well:
        down.always(refused())
        broken.handler = lambda _: stream(HELLO).cut_after(len(stream(HELLO).head) + 40)
        well.always(stream(HELLO))
        async with serving(catalog(down, broken, well)) as server, client_of(server) as client:
            events = [event async for event in await client.responses.create(model="route", input="Hi", stream=True)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events].count("response.created") == 1
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == "Hello from the one that is well."
    assert events[-1].response.model == "route"


async def test_a_response_whose_upstream_breaks_off_after_its_first_words_is_not_begun_again() -> None:
    async with FakeUpstream() as breaks, FakeUpstream() as well:
        whole = stream(HELLO)
        breaks.handler = lambda _: whole.cut_after(whole.after(b"from"))
        well.always(whole)
        async with serving(catalog(breaks, well)) as server, client_of(server) as client:
            response = await client.responses.create(model="route", input="Hi")
        assert response.status == "failed"
        assert response.output_text.startswith("Hello")
        assert well.requests == []


async def test_with_all_upstreams_down_the_client_is_told_at_once_and_when_to_come_back() -> None:
    known = Upstreams(FakeClock(), retry=RetrySettings(attempts=2), breaker=BreakerSettings(volume=1))
    async with FakeUpstream() as one, FakeUpstream() as two:
        for upstream in (one, two):
            upstream.handler = lambda _: error_answer(503, "Down.")
        async with serving(catalog(one, two, upstreams_known=known)) as server, client_of(server) as client:
            with pytest.raises(openai.InternalServerError) as first:
                await client.responses.create(model="route", input="Hi")
            with pytest.raises(openai.InternalServerError) as second:
                await client.responses.create(model="route", input="Hi")
        assert first.value.response.headers["x-should-retry"] == "false"
        assert (second.value.status_code, second.value.code) == (503, "upstream_down")
        assert 1 <= int(second.value.response.headers["retry-after"]) <= 6
        assert (len(one.requests), len(two.requests)) == (1, 1)


async def test_a_client_that_leaves_while_it_waits_for_a_place_gives_it_up() -> None:
    gate = Gate()
    async with FakeUpstream() as slow:
        slow.always(stream(HELLO).gated(gate))
        models = catalog(slow, max_concurrency=1)
        async with serving(models) as server, client_of(server) as client:
            first = await client.responses.create(model="m0", input="Hi", background=True)
            await slow.received()
            with pytest.raises(openai.APITimeoutError):
                await client.with_options(timeout=0.3).responses.create(model="m0", input="Hi")
            gate.open()
            last = await client.responses.create(model="m0", input="Hi")
            assert last.status == "completed"
            assert (await client.responses.retrieve(first.id)).status == "completed"
            (queue,) = models.upstreams.queues.values()
            assert (queue.admission.running, queue.admission.waiting) == (0, 0)
        assert len(slow.requests) == 2
