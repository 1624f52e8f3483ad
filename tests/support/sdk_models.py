"""The models that the SDK suites talk to."""

from __future__ import annotations

import asyncio

from antiphon.testing import Only, ScriptedModel, said
from antiphon.turn.deltas import Arguments, Finished, ItemDone, ItemStarted, Usage
from antiphon.wire.items import FunctionCall
from antiphon.wire.response import Usage as Tokens

TEXT = "A rehearsed answer, in pieces."


def catalog() -> Only:
    """`rehearsed` answers with text, `json` with JSON, `calls` calls a function, `waits` says nothing."""
    call = FunctionCall(call_id="call_1", name="weather", arguments="", status="in_progress")
    calls = [
        [ItemStarted(0, call)],
        [Arguments(0, '{"city": '), Arguments(0, '"Paris"}')],
        [ItemDone(0), Usage(Tokens(input_tokens=9, output_tokens=5, total_tokens=14)), Finished()],
    ]
    return Only(
        ScriptedModel(said(TEXT), name="rehearsed"),
        json=ScriptedModel(said('{"city": "Paris"}')),
        calls=ScriptedModel(lambda _: calls),
        waits=ScriptedModel(lambda _: [asyncio.Event()]),
    )
