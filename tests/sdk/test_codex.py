"""Codex, the real one, finishes a task with tool calls over a Chat Completions upstream."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.support.chat_catalog import ChatCatalog
from tests.support.serving import serving
from tests.support.tools import needs_codex
from tests.support.upstream import FakeUpstream, ToolCall, chat_stream, stream

pytestmark = [pytest.mark.anyio, needs_codex]

CONFIG = """
model = "local"
model_provider = "antiphon"

[model_providers.antiphon]
name = "antiphon"
base_url = "{url}/v1"
wire_api = "responses"
"""


async def codex(folder: Path, url: str, task: str) -> list[dict]:
    """Run a task and return what Codex reports."""
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    (home / "config.toml").write_text(CONFIG.format(url=url))
    options = ["--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    process = await asyncio.create_subprocess_exec(
        os.environ["ANTIPHON_CODEX"],
        "exec",
        *options,
        task,
        cwd=work,
        env={**os.environ, "CODEX_HOME": str(home)},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return [json.loads(line) for line in output.splitlines() if line.startswith(b"{")]


async def test_codex_writes_a_file_by_calling_its_tools(tmp_path):
    call = ToolCall(name="exec_command", arguments=json.dumps({"cmd": "echo done > proof.txt"}))
    async with FakeUpstream() as upstream:
        upstream.script = [
            stream(chat_stream("I will write it.", tool_calls=[call])),
            stream(chat_stream("The file is written.")),
        ]
        async with serving(ChatCatalog(upstream.base_url)) as s:
            reports = await codex(tmp_path, s.url, "Write done into proof.txt")
        first, second = (request.json() for request in upstream.requests)
    assert (tmp_path / "work" / "proof.txt").read_text() == "done\n"
    items = [report["item"] for report in reports if report["type"] == "item.completed"]
    assert [item["text"] for item in items if item["type"] == "agent_message"] == [
        "I will write it.",
        "The file is written.",
    ]
    assert reports[-1]["type"] == "turn.completed"
    assert reports[-1]["usage"]["input_tokens"] > 0
    assert {"exec_command", "multi_agent_v1__spawn_agent"} <= {tool["function"]["name"] for tool in first["tools"]}
    assert [message["role"] for message in second["messages"][-2:]] == ["assistant", "tool"]
