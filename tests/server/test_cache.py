"""The response cache and token optimisation as clients see them: through HTTP, configured as a file configures them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from antiphon.config.load import load
from antiphon.plugins import answers_of, compose
from antiphon.stores.sqlite import SQLiteStore
from tests.support import grammar
from tests.support.serving import Serving, events, serving

pytestmark = pytest.mark.anyio

CACHE = """
[cache]
enabled = true

[models."echo"]
backend = "rehearsal"
context_window = 400
optimise = ["deduplicate"]

[models."plain"]
backend = "rehearsal"
"""


@asynccontextmanager
async def configured(folder: Path, text: str = CACHE) -> AsyncIterator[Serving]:
    """A server with the models and the cache of a configuration."""
    (folder / "antiphon.toml").write_text(text)
    config = load(environ={"HOME": str(folder)}, folder=folder)
    store = SQLiteStore(folder / "data")
    async with serving(compose(config, {}, answers=answers_of(config, store)), store=store) as s:
        yield s


async def ask(s: Serving, headers: dict[str, str] | None = None, **body: Any) -> tuple[dict[str, Any], Any]:
    """A Response, and the headers that came with it."""
    sent = {"model": "plain", "input": "Hi.", **body}
    status, response, got = await s.ask("POST", "/v1/responses", sent, headers=headers or {})
    assert status == 200, response
    return response, got


async def mark(s: Serving, headers: dict[str, str] | None = None, **body: Any) -> str | None:
    _, got = await ask(s, headers, **body)
    return got.get("x-antiphon-cache")


async def stream(s: Serving, **body: Any) -> tuple[list[dict[str, Any]], str | None]:
    sent = {"model": "plain", "input": "Hi.", "stream": True, **body}
    async with s.http.post(s.url + "/v1/responses", json=sent) as answer:
        return events(await answer.read()), answer.headers.get("x-antiphon-cache")


async def test_an_answer_is_marked_whole_and_as_a_stream(tmp_path):
    async with configured(tmp_path) as s:
        first, got = await ask(s)
        assert got["x-antiphon-cache"] == "miss"
        told, marked = await stream(s)
        assert marked == "hit"
        grammar.check(told)
        final = told[-1]["response"]
        assert final["id"] != first["id"]
        assert final["output"][0]["content"] == first["output"][0]["content"]
        assert final["usage"] == first["usage"]
        assert await mark(s) == "hit"


async def test_a_hundred_streams_at_once_are_marked_and_all_say_the_same(tmp_path):
    async with configured(tmp_path) as s:
        answers = await asyncio.gather(*(stream(s) for _ in range(100)))
        marks = [marked for _, marked in answers]
        assert marks.count("miss") == 1
        assert {marked for marked in marks if marked} <= {"miss", "shared", "hit"}
        assert len({told[-1]["response"]["output"][0]["content"][0]["text"] for told, _ in answers}) == 1
        assert s.engine.catalog.answers.statistics.misses == 1


async def test_a_client_can_want_a_new_answer_or_none_of_the_cache(tmp_path):
    async with configured(tmp_path) as s:
        await ask(s)
        assert await mark(s, {"Cache-Control": "no-cache"}) == "miss"
        assert await mark(s, {"cache-control": "max-age=0, no-store"}) is None
        assert await mark(s, {"cache-control": "max-age=0"}) == "hit"


async def test_another_model_is_another_answer(tmp_path):
    async with configured(tmp_path) as s:
        assert await mark(s) == "miss"
        assert await mark(s, model="rehearsal") == "miss"


async def test_only_the_models_that_are_named_have_a_cache(tmp_path):
    async with configured(tmp_path, CACHE.replace("enabled = true", 'enabled = true\nmodels = ["echo"]')) as s:
        assert [await mark(s, model="plain") for _ in range(2)] == [None, None]
        assert [await mark(s, model="echo") for _ in range(2)] == ["miss", "hit"]


async def test_without_the_setting_there_is_no_cache(tmp_path):
    async with configured(tmp_path, CACHE.replace("enabled = true", "")) as s:
        assert [await mark(s) for _ in range(2)] == [None, None]


async def test_an_answer_outlives_a_restart_but_not_another_policy_or_another_setting_of_the_model(tmp_path):
    async with configured(tmp_path) as s:
        await ask(s)
    async with configured(tmp_path) as s:
        assert await mark(s) == "hit"
    policy = '[moderation]\noutput = "block"\nmoderator = "strict"\n[moderators."strict"]\nkind = "rules"\n'
    policy += '[moderators."strict".words]\nviolence = ["kill"]\n'
    slower = CACHE + "tokens_per_second = 100000\n"
    for text in (CACHE + policy, slower):
        async with configured(tmp_path, text) as s:
            assert await mark(s) == "miss"


async def test_the_official_sdk_reads_a_hit_as_it_reads_any_answer(tmp_path):
    async with configured(tmp_path) as s, AsyncOpenAI(base_url=s.url + "/v1", api_key="none", max_retries=0) as client:
        first = await client.responses.create(model="plain", input="Hi.")
        raw = await client.responses.with_raw_response.create(model="plain", input="Hi.")
        hit = raw.parse()
        assert raw.headers["x-antiphon-cache"] == "hit"
        assert hit.output_text == first.output_text
        async with client.responses.stream(model="plain", input="Hi.") as told:
            assert (await told.get_final_response()).output_text == first.output_text


# Token optimisation


async def test_what_was_left_out_is_told_in_headers(tmp_path):
    chat = [
        {"role": "user", "content": "word " * 400},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Hi."},
    ]
    async with configured(tmp_path) as s:
        _, got = await ask(s, model="echo", input=chat, truncation="auto")
        assert got["x-antiphon-notes"].startswith("truncation: left out 2 items (4")
        assert int(got["x-antiphon-tokens-saved"]) > 400
        _, got = await ask(s, model="plain", input=chat, truncation="auto")
        assert "x-antiphon-notes" not in got


async def test_what_differs_only_in_what_was_left_out_has_the_same_answer(tmp_path):
    def chat(old: str) -> list[dict[str, Any]]:
        return [{"role": "user", "content": old * 400}, {"role": "user", "content": "Hi."}]

    async with configured(tmp_path) as s:
        assert await mark(s, model="echo", input=chat("word "), truncation="auto") == "miss"
        assert await mark(s, model="echo", input=chat("other "), truncation="auto") == "hit"


# With a gate inside


GATE = """
[cache]
enabled = true

[moderation]
output = "block"
moderator = "strict"

[moderators."strict"]
kind = "rules"

[moderators."strict".words]
violence = ["kestrel"]

[models."plain"]
backend = "rehearsal"
"""


async def test_what_a_gate_withholds_is_never_kept(tmp_path):
    async with configured(tmp_path, GATE) as s:
        for _ in range(2):
            response, got = await ask(s, input="Repeat: a kestrel flies.")
            assert response["status"] == "incomplete"
            assert "kestrel" not in str(response["output"])
            assert got["x-antiphon-cache"] == "miss"
        await ask(s, input="Repeat: a swallow flies.")
        [(kept,)] = await s.engine.store.look(lambda c: c.execute("SELECT data FROM cached").fetchall())
        assert b"swallow" in kept
    assert b"kestrel" not in kept


async def test_an_answer_that_was_let_through_is_given_again_with_its_moderation(tmp_path):
    async with configured(tmp_path, GATE) as s:
        first, _ = await ask(s, input="Repeat: a swallow flies.")
        hit, got = await ask(s, input="Repeat: a swallow flies.")
        assert got["x-antiphon-cache"] == "hit"
        assert hit["moderation"] == first["moderation"]
        assert hit["moderation"] is not None
