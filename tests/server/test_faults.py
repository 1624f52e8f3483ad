"""Every fault of an upstream, through the whole server: one end, what was said is kept, nothing is left behind."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from antiphon.engine.engine import EngineSettings
from tests.support import grammar, sdk_oracle
from tests.support.chat_catalog import ChatCatalog
from tests.support.serving import Serving, events, serving
from tests.support.upstream import FAULTS, STATUSES, FakeUpstream, Fault
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

PATIENT = EngineSettings(hold=30.0)
TERMINAL = ("response.completed", "response.incomplete", "response.failed")


def test_there_are_at_least_sixty():
    assert len(FAULTS) >= 60


async def ask(s: Serving, *, stream: bool, store: bool) -> tuple[int, list[dict[str, Any]], dict[str, Any]]:
    """Status, events (of a stream) and final body of a request."""
    body = {"model": "local", "input": "Hi.", "stream": stream, "store": store}
    async with s.http.post(s.url + "/v1/responses", json=body) as answer:
        data = await answer.read()
        if answer.content_type == "text/event-stream":
            told = events(data)
            return answer.status, told, told[-1]["response"]
        return answer.status, [], json.loads(data)


def outcome_of(status: int, final: dict[str, Any]) -> str:
    if status == 200:
        return final["status"]
    return next(name for name, statuses in STATUSES.items() if status in statuses)


def text_of(response: dict[str, Any]) -> str:
    parts = [part for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(part.get("text", "") for part in parts)


ALSO = {
    "bad_chunk_size": "http_502",  # it comes in one piece with the head of the answer, which is refused as a whole
    "content_length_too_small": "http_502",
    **dict.fromkeys(
        ("stalls_before_first_output", "cut_before_first_output", "reset_before_output"),
        "failed",  # the upstream has accepted: the hold is over
    ),
}


def expected(fault: Fault) -> set[str]:
    return set(fault.outcomes) | {ALSO.get(fault.name, fault.outcome)}


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "plain"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=list(FAULTS))
async def test_a_fault_of_the_upstream_ends_in_one_way(fault: Fault, stream: bool):
    async with FakeUpstream() as upstream:
        upstream.always(fault())
        catalog = ChatCatalog(
            upstream.base_url, first_token_timeout=0.3, idle_timeout=0.2, connect_timeout=2.0, max_line=12 * 2**20
        )
        async with serving(catalog, settings=PATIENT) as s:
            before = asyncio.all_tasks()
            status, told, final = await ask(s, stream=stream, store=True)
            assert outcome_of(status, final) in expected(fault), final
            if status != 200:
                assert set(final["error"]) == {"message", "type", "param", "code"}
                assert await s.engine.store.unfinished() == []
            else:
                await check_ended(s, told, final, fault)
            await s.engine.journal.idle()
            await until(lambda: not (s.engine.runs or upstream_tasks() - before))


def upstream_tasks() -> set[asyncio.Task[Any]]:
    """Tasks that read a model."""
    return {task for task in asyncio.all_tasks() if "Run._perform" in repr(task.get_coro())}


async def check_ended(s: Serving, told: list[dict[str, Any]], final: dict[str, Any], fault: Fault) -> None:
    if told:
        grammar.check(told)
        assert [event["type"] for event in told if event["type"] in TERMINAL] == [told[-1]["type"]]
        assert not [problem for event in told for problem in sdk_oracle.validate_event(event)]
    if fault.text is not None:
        assert fault.text.startswith(text_of(final))
    _, stored, _ = await s.ask("GET", f"/v1/responses/{final['id']}")
    assert stored == final


async def test_a_429_keeps_its_retry_after_and_leaves_no_row():
    async with FakeUpstream() as upstream:
        upstream.always(FAULTS["status_429_retry_after"]())
        async with serving(ChatCatalog(upstream.base_url)) as s:
            status, _, headers = await s.ask("POST", "/v1/responses", {"model": "local", "input": "Hi."})
    assert status == 429
    assert headers["retry-after"] == "7"
