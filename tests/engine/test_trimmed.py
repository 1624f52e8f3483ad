"""A model is told less where that is wanted; the response, and what is stored of it, stay whole."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from antiphon.engine.engine import Engine
from antiphon.engine.run import Run
from antiphon.engine.trimmed import Trimmed
from antiphon.policy.trim import SAME_IMAGE
from antiphon.testing import Only, ScriptedModel
from antiphon.wire.struct import encode
from tests.engine.stage import PROJECT, create, stage

pytestmark = pytest.mark.anyio

PNG = {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="}
LONG = "word " * 60
CHAT = [
    {"role": "developer", "content": "Be brief."},
    {"role": "user", "content": LONG},
    {"role": "assistant", "content": LONG},
    {"role": "user", "content": "Go on."},
]


@asynccontextmanager
async def trimmed(folder: Path, **options: Any) -> AsyncIterator[tuple[Engine, ScriptedModel]]:
    model = ScriptedModel()
    async with stage(folder, Only(Trimmed(model, **{"window": None, **options}))) as engine:
        yield engine, model


async def asked(engine: Engine, **body: Any) -> Run:
    run = await create(engine, **body)
    await run.result()
    return run


def roles(model: ScriptedModel) -> list[str]:
    """Who said what the model was told last."""
    return [getattr(item, "role", "") for item in model.turns[-1].items]


async def test_a_context_that_is_too_long_loses_its_oldest_exchange(tmp_path):
    async with trimmed(tmp_path, window=100) as (engine, model):
        run = await asked(engine, input=CHAT, truncation="auto")
        assert roles(model) == ["developer", "user"]
        assert run.turn.trace.tokens_saved > 100
        [note] = run.turn.trace.notes
        assert note.startswith("truncation: left out 2 items (1")


async def test_what_was_left_out_is_still_the_input_of_the_response(tmp_path):
    async with trimmed(tmp_path, window=100) as (engine, model):
        run = await asked(engine, input=CHAT, truncation="auto")
        assert len(await engine.input_items(PROJECT, run.turn.response_id)) == 4
        await asked(engine, input="And?", previous_response_id=run.turn.response_id)
        assert len(model.turns[-1].items) == 6


@pytest.mark.parametrize(
    ("window", "truncation"), [(100, "disabled"), (None, "auto"), (1000, "auto")], ids=["unasked", "unknown", "fits"]
)
async def test_nothing_is_left_out_unasked_or_without_need(tmp_path, window, truncation):
    async with trimmed(tmp_path, window=window) as (engine, model):
        run = await asked(engine, input=CHAT, truncation=truncation)
        assert len(model.turns[-1].items) == 4
        assert run.turn.trace.notes == []
        assert run.turn.trace.tokens_saved == 0


async def test_what_fits_by_its_tokens_stays_though_its_bytes_looked_like_more(tmp_path):
    async with trimmed(tmp_path, window=200) as (engine, model):
        await asked(engine, input=CHAT, truncation="auto")
        assert len(model.turns[-1].items) == 4


@pytest.mark.parametrize(
    "body",
    [
        {"max_output_tokens": 90},
        {"instructions": LONG},
        {"tools": [{"type": "function", "name": "f", "description": LONG, "parameters": {}}]},
    ],
    ids=["answer", "instructions", "tools"],
)
async def test_room_is_left_for_the_answer_and_for_what_is_told_besides(tmp_path, body):
    async with trimmed(tmp_path, window=200) as (engine, model):
        await asked(engine, input=CHAT, truncation="auto", **body)
        assert len(model.turns[-1].items) == 2


async def test_a_model_for_which_nothing_is_to_be_done_is_asked_itself(tmp_path):
    async with trimmed(tmp_path, window=1000, optimise=["deduplicate", "stable_prefix"]) as (engine, _):
        run = await asked(engine, truncation="auto")
        stream = run.model.stream(run.turn)
        assert stream.__qualname__ == "ScriptedModel.stream"
        await stream.aclose()


async def test_an_image_that_is_in_the_context_is_not_sent_again(tmp_path):
    message = {"role": "user", "content": [PNG]}
    async with trimmed(tmp_path, optimise=["deduplicate"]) as (engine, model):
        run = await asked(engine, input=[message, message])
        told = json.loads(encode(model.turns[-1].items))
        assert told[1]["content"] == [{"type": "input_text", "text": SAME_IMAGE}]
        assert run.turn.trace.tokens_saved == 757
        assert run.turn.trace.notes == ["deduplicate: 1 of the attachments sent before (757 tokens)"]
        stored = await engine.input_items(PROJECT, run.turn.response_id)
        assert SAME_IMAGE not in str(stored)


async def test_an_image_whose_first_copy_was_dropped_is_sent(tmp_path):
    message = {"role": "user", "content": [PNG]}
    chat = [message, {"role": "assistant", "content": LONG * 20}, message]
    async with trimmed(tmp_path, window=1000, optimise=["deduplicate"]) as (engine, model):
        await asked(engine, input=chat, truncation="auto")
        [item] = json.loads(encode(model.turns[-1].items))
        assert item["content"][0]["type"] == "input_image"


async def test_tools_come_in_one_order_and_are_echoed_as_they_were_sent(tmp_path):
    tools = [{"type": "function", "name": name, "parameters": {}} for name in ("weather", "alarm")]
    async with trimmed(tmp_path, optimise=["stable_prefix"]) as (engine, model):
        for sent in (tools, tools[::-1]):
            run = await asked(engine, tools=sent)
            assert [tool.name for tool in model.turns[-1].request.tools] == ["alarm", "weather"]
            echoed = json.loads(encode(run.machine.fold.response()))["tools"]
            assert [tool["name"] for tool in echoed] == [tool["name"] for tool in sent]


async def test_nothing_is_done_that_was_not_wanted(tmp_path):
    message = {"role": "user", "content": [PNG]}
    tools = [{"type": "function", "name": name, "parameters": {}} for name in ("weather", "alarm")]
    async with trimmed(tmp_path) as (engine, model):
        run = await asked(engine, input=[message, message], tools=tools)
        assert model.turns[-1].items == run.turn.items
        assert [tool.name for tool in model.turns[-1].request.tools] == ["weather", "alarm"]


async def test_counting_counts_what_will_be_sent_before_truncation(tmp_path):
    from antiphon.wire.request import decode_count

    message = {"role": "user", "content": [PNG]}
    async with trimmed(tmp_path, window=16, optimise=["deduplicate"]) as (engine, _):
        body = json.dumps({"model": "scripted", "input": [message, message], "truncation": "auto"}).encode()
        assert await engine.count(PROJECT, decode_count(body)) == 2
