"""What clients do that do not wait for their answer is in the ledger too, over real connections."""

from __future__ import annotations

import asyncio

import pytest

from antiphon.policy.ledger import Row
from antiphon.testing import ScriptedModel
from antiphon.turn.deltas import Text
from tests.server.test_embeddings import embedding
from tests.support.answers import Gate
from tests.support.embedding import embeddings
from tests.support.money import prices
from tests.support.serving import Serving, serving
from tests.support.waiting import until

pytestmark = pytest.mark.anyio


async def the_row(s: Serving) -> Row:
    """The one row that there is."""
    (found,) = await s.engine.store.look(lambda c: c.execute("SELECT id FROM ledger").fetchall())
    row = await s.engine.books.ledger.find(found[0])
    assert row is not None
    return row


async def over(s: Serving, body: dict[str, object]) -> Row:
    """Ask for a stream, leave after its first words, and wait until that is written down."""
    async with s.http.post(f"{s.url}/v1/responses", json={"model": "scripted", "input": "Hi.", **body}) as answer:
        async for line in answer.content:
            if b"output_text.delta" in line:
                break
        answer.close()
    await until(lambda: not s.engine.runs)
    await s.engine.books.settle()
    return await the_row(s)


@pytest.mark.parametrize("stored", [True, False])
async def test_a_client_that_leaves_a_stream_pays_for_what_was_said(stored, tmp_path):
    model = ScriptedModel([[], [Text("abcdef")], asyncio.Event()])
    async with serving(model, prices=prices(tmp_path, scripted=(10.0, 100.0))) as s:
        row = await over(s, {"stream": True, "store": stored})
    assert (row.outcome, row.tokens.output, row.stored) == ("cancelled", 2, stored)
    assert row.request_id.startswith("req_")
    assert row.charges[0].is_estimated
    assert row.cost == row.charges[0].cost
    assert row.cost


async def test_a_client_that_leaves_its_embeddings_pays_for_their_input(tmp_path):
    gate = Gate()
    async with embedding(tmp_path, prices=prices(tmp_path, nomic=(1.0, 0.0))) as (s, _, up):
        up.always(embeddings().gated(gate))
        asking = asyncio.create_task(s.ask("POST", "/v1/embeddings", {"model": "small", "input": "abcd"}))
        await gate.reached()
        await s.engine.books.settle()
        (running,) = await s.engine.books.ledger.running()
        asking.cancel()
        await up.closed_by_peer()
        while (row := await the_row(s)).outcome == "running":
            await s.engine.books.settle()
    assert (running.outcome, running.tokens.input) == ("running", 2)
    assert (row.operation, row.outcome, row.asked, row.upstream_model) == ("embeddings", "cancelled", "small", "nomic")
    assert (row.tokens.input, row.charges[0].is_estimated) == (2, True)
