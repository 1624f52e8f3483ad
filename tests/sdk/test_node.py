"""The official Node SDK, unchanged, against the server."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.support import grammar, sdk_oracle
from tests.support.sdk_models import TEXT, catalog
from tests.support.serving import serving
from tests.support.tools import needs_node

pytestmark = [pytest.mark.anyio, needs_node]


async def test_every_operation_of_the_node_sdk_works():
    async with serving(catalog()) as s:
        process = await asyncio.create_subprocess_exec(
            os.environ.get("ANTIPHON_NODE", "node"),
            str(Path(__file__).parent / "node" / "surface.mjs"),
            env={**os.environ, "BASE_URL": f"{s.url}/v1"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    seen = json.loads(output)
    assert seen["output_text"] == seen["helper_text"] == seen["helper_deltas"] == TEXT
    assert seen["retrieved_equal"]
    grammar.check(seen["events"])
    assert not [problem for event in seen["events"] for problem in sdk_oracle.validate_event(event)]
    assert seen["resumed"] == seen["events"][4:]
    assert seen["parsed"] == {"city": "Paris"}
    assert seen["call"] == {"name": "weather", "arguments": {"city": "Paris"}}
    assert seen["input_items"] == ["message", "function_call", "function_call_output"]
    assert seen["counted"] == 1
    assert (seen["queued"], seen["cancelled"]) == ("queued", "cancelled")
    assert seen["error"]["name"] == "NotFoundError"
    assert seen["error"]["code"] == "response_not_found"
    assert seen["error"]["id"].startswith("req_")
    assert seen["models"] == ["rehearsed", "json", "calls", "waits"]
