"""Moderation over HTTP: the route, and a phrase that an upstream sends in any two pieces."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing

import pytest

from antiphon.engine.moderation import Moderation, ModerationPolicy
from antiphon.models.chat_completions import ChatCompletions, ChatOptions
from antiphon.models.responses import Responses
from antiphon.models.responses_request import ResponsesOptions
from antiphon.testing import ScriptedModel, ScriptedModerator
from tests.observe.lines import written_lines
from tests.support import grammar
from tests.support.moderated import PHRASE, Behind, house
from tests.support.response_events import code_interpreter_call
from tests.support.serving import events, serving
from tests.support.upstream import FakeUpstream, ToolCall, chat_stream, responses_stream, stream
from tests.support.waiting import until

pytestmark = pytest.mark.anyio

BEFORE = "Well, this is a "
TEXT = f"{BEFORE}{PHRASE}, is it not?"


async def test_a_text_has_one_result_and_each_of_several_has_its_own():
    async with serving(moderation=house()) as s:
        _, one, _ = await s.ask("POST", "/v1/moderations", {"input": f"a {PHRASE}"})
        _, some, _ = await s.ask("POST", "/v1/moderations", {"input": ["fine", PHRASE], "model": "house"})
        parts = [{"type": "text", "text": PHRASE}, {"type": "image_url", "image_url": {"url": "https://e.com/a.png"}}]
        _, together, _ = await s.ask("POST", "/v1/moderations", {"input": parts})
    assert [result["flagged"] for result in one["results"]] == [True]
    assert one["results"][0]["categories"]["house-rules"] is True
    assert (one["model"], one["id"][:5]) == ("house", "modr-")
    assert [result["flagged"] for result in some["results"]] == [False, True]
    assert [result["flagged"] for result in together["results"]] == [True]


async def test_openais_own_names_go_to_the_default_moderator():
    async with serving(moderation=house()) as s:
        for name in ("omni-moderation-latest", "omni-moderation-2024-09-26", "text-moderation-stable"):
            status, answer, _ = await s.ask("POST", "/v1/moderations", {"input": "fine", "model": name})
            assert (status, answer["model"]) == (200, "house")


OF_RESPONSES = ("responses", "segments", "stretches", "facts")
"""The tables of responses and their journals."""


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({}, "input", "missing_required_parameter"),
        ({"input": 1}, "input", "invalid_type"),
        ({"input": []}, "input", "empty_array"),
        ({"input": ["x"] * 2049}, "input", "array_above_max_length"),
        ({"input": ["x", {"type": "text", "text": "y"}]}, "input", "invalid_type"),
        ({"input": [{"type": "audio"}]}, "input[0].type", "invalid_value"),
        ({"input": "x", "modle": "house"}, "modle", "unknown_parameter"),
        ({"input": "x", "model": "nobody"}, "model", "model_not_found"),
    ],
)
async def test_a_wrong_request_is_refused_by_name(body, param, code):
    async with serving(moderation=house()) as s:
        status, answer, _ = await s.ask("POST", "/v1/moderations", body)
    assert (status, answer["error"]["param"], answer["error"]["code"]) == (400, param, code)


async def test_a_client_that_leaves_leaves_the_moderator():
    moderator = ScriptedModerator()
    moderator.gate = asyncio.Event()
    async with serving(moderation=Moderation({"slow": moderator})) as s:
        asking = asyncio.create_task(s.ask("POST", "/v1/moderations", {"input": "x"}))
        await until(lambda: moderator.open)
        asking.cancel()
        await until(lambda: not moderator.open)


@pytest.mark.parametrize("how", [{}, {"stream": True}, {"background": True}], ids=["plain", "stream", "background"])
async def test_a_client_that_leaves_while_its_input_is_judged_leaves_moderator_and_store_alone(tmp_path, how):
    moderator = ScriptedModerator()
    moderator.gate = asyncio.Event()
    moderation, model = Moderation({"slow": moderator}, ModerationPolicy(input="block")), ScriptedModel()
    with written_lines() as written:
        async with serving(
            Behind(model, moderation), moderation=moderation, folder=tmp_path, observers=[written.log]
        ) as s:
            asking = asyncio.create_task(s.ask("POST", "/v1/responses", {"model": "m", "input": "x", **how}))
            await until(lambda: moderator.open)
            asking.cancel()
            await until(lambda: not moderator.open)
            await until(lambda: written.lines)
    assert (model.turns, stored(tmp_path, *OF_RESPONSES)) == ([], b"")
    (line,) = written.lines
    assert (line["route"], line["status"], line["outcome"]) == ("/v1/responses", "left", "cancelled")
    assert written.log._answered == written.log._ended == {}


@pytest.mark.parametrize("how", [{}, {"stream": True}, {"background": True}], ids=["plain", "stream", "background"])
async def test_a_blocked_input_is_one_log_line(how):
    moderation = house(input="block")
    with written_lines() as written:
        async with serving(Behind(ScriptedModel(), moderation), moderation=moderation, observers=[written.log]) as s:
            await s.ask("POST", "/v1/responses", {"model": "m", "input": PHRASE, **how})
            await until(lambda: written.lines)
    (line,) = written.lines
    assert (line["status"], line["outcome"], line["error"]) == (400, "failed", "content_policy_violation")
    assert (line["stored"], line["background"]) == (False, False)


async def test_what_is_classified_is_one_log_line_also_when_the_client_leaves():
    moderator = ScriptedModerator()
    with written_lines() as written:
        async with serving(moderation=Moderation({"slow": moderator}), observers=[written.log]) as s:
            _, answer, _ = await s.ask("POST", "/v1/moderations", {"input": "x"})
            moderator.gate = asyncio.Event()
            asking = asyncio.create_task(s.ask("POST", "/v1/moderations", {"input": "x"}))
            await until(lambda: moderator.open)
            asking.cancel()
            await until(lambda: len(written.lines) == 2)
    first, second = written.lines
    assert (first["response_id"], first["operation"], first["model"]) == (answer["id"], "moderation", "slow")
    assert (first["status"], first["outcome"]) == (200, "completed")
    assert (second["status"], second["outcome"]) == ("left", "cancelled")
    assert written.log._answered == written.log._ended == {}


async def test_a_blocked_input_is_a_400_and_leaves_no_row(tmp_path):
    model = ScriptedModel()
    async with serving(Behind(model, house(input="block")), moderation=house(input="block"), folder=tmp_path) as s:
        status, answer, _ = await s.ask("POST", "/v1/responses", {"model": "m", "input": PHRASE})
    assert (status, answer["error"]["code"]) == (400, "content_policy_violation")
    assert model.turns == []
    assert PHRASE.encode() not in stored(tmp_path)
    assert stored(tmp_path, *OF_RESPONSES) == b""


def stored(folder, *tables: str) -> bytes:
    """All that stands in the tables of the database, or in some of them."""
    (path,) = folder.glob("*.db")
    with closing(sqlite3.connect(path)) as database:
        names = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [row for name in tables or names for row in database.execute(f'SELECT * FROM "{name}"')]
    return b"".join(str(value).encode() if not isinstance(value, bytes) else value for row in rows for value in row)


@pytest.fixture
async def upstream():
    async with FakeUpstream() as fake:
        yield fake


def pieces(data: bytes, at: int) -> list[bytes]:
    return [data[:at], data[at:]]


def chat(**options) -> bytes:
    return b"".join(chat_stream(**options))


LIKELY = chat(text=[BEFORE, PHRASE, ", is it not?"], logprobs=True)


async def told(s, upstream, data: bytes, at: int) -> tuple[bytes, bytes]:
    """What the socket gets of an upstream's bytes in two pieces, live and from the store."""
    upstream.script = [stream(pieces(data, at))]
    live = await s.stream(model="m")
    response_id = events(live)[0]["response"]["id"]
    async with s.http.get(f"{s.url}/v1/responses/{response_id}?stream=true") as answer:
        return live, await answer.read()


@pytest.mark.parametrize(
    "data",
    [
        chat(text=[TEXT]),
        chat(text=list(TEXT)),
        LIKELY,
        chat(reasoning=TEXT, text="fine"),
        chat(refusal=TEXT),
        chat(tool_calls=[ToolCall("f", json.dumps({"x": TEXT}))]),
    ],
    ids=["text", "letters", "logprobs", "reasoning", "refusal", "arguments"],
)
async def test_a_phrase_never_reaches_socket_or_store_wherever_the_upstreams_bytes_are_cut(upstream, tmp_path, data):
    model = ChatCompletions(ChatOptions(base_url=upstream.base_url, model="u"))
    moderation = house(output="block")
    end = data.rindex(b"data: [DONE]") if len(data) > 4000 else len(data)
    step = max(1, end // 400)
    async with serving(Behind(model, moderation), moderation=moderation, folder=tmp_path) as s:
        for at in range(1, end, step):
            live, again = await told(s, upstream, data, at)
            assert live == again
            assert b"forbidden" not in live
            assert b"phrase" not in live
            last = events(live)[-1]
            assert last["response"]["incomplete_details"] == {"reason": "content_filter"}
        grammar.check(events(live))
    assert b"forbidden" not in stored(tmp_path)
    assert b"phrase" not in stored(tmp_path)


async def test_a_phrase_cut_at_every_byte_between_two_chunks_never_reaches_socket_or_store(upstream, tmp_path):
    model = ChatCompletions(ChatOptions(base_url=upstream.base_url, model="u"))
    moderation = house(output="block")
    async with serving(Behind(model, moderation), moderation=moderation, folder=tmp_path) as s:
        for at in range(1, len(TEXT)):
            live, again = await told(s, upstream, chat(text=[TEXT[:at], TEXT[at:]]), 1)
            assert live == again
            assert b"forbidden" not in live
            text = "".join(event["delta"] for event in events(live) if event["type"] == "response.output_text.delta")
            assert text == BEFORE.rstrip()
    assert b"forbidden" not in stored(tmp_path)


async def test_code_of_a_responses_upstream_is_held_back_too(upstream):
    model = Responses(ResponsesOptions(base_url=upstream.base_url, model="u"))
    moderation = house(output="block")
    async with serving(Behind(model, moderation), moderation=moderation) as s:
        upstream.script = [stream(responses_stream(code_interpreter_call(TEXT)))]
        live = await s.stream(model="m", tools=[{"type": "code_interpreter", "container": "c"}])
    assert b"forbidden" not in live
    assert events(live)[-1]["response"]["incomplete_details"] == {"reason": "content_filter"}


async def test_a_policy_without_a_hit_costs_no_event():
    model = ScriptedModel()
    async with (
        serving(model) as bare,
        serving(Behind(model, house(output="block")), moderation=house(output="block")) as s,
    ):
        kinds = [[event["type"] for event in events(await each.stream())] for each in (bare, s)]
    assert kinds[0] == kinds[1]


def test_a_policy_names_its_sides():
    assert ModerationPolicy() == ModerationPolicy("off", "off", None, False)
