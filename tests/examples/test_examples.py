"""Each program of `examples` runs as it stands, against a server of our own; docs/client-examples.md has them all."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import antiphon
import antiphon.client
from tests.client.recorded import Recorded
from tests.docs.test_examples import Servers

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PAGE = (ROOT / "docs" / "client-examples.md").read_text()

CONFIG = '[models."gpt-5"]\nbackend = "rehearsal"\n[models."gpt-5-mini"]\nbackend = "rehearsal"\n'

SAID = {
    "batch": ["tea - ", "rain - ", "tin - "],
    "cache": ["1 asked, 9 shared, 1 hit"],
    "chat_and_responses": ["chat: ", "chat_stream: ", "responses: ", "responses_stream: "],
    "circuit_breaker": ["5: nobody there", "6: not asked; again in "],
    "costs": ["0.005 USD an hour for gpt-5 are spent", "which is not enough", "gpt-5: "],
    "errors": ["temperature is wrong"],
    "first_stream": ["rehearsal"],
    "keys": ["gpt-5"],
    "migration_wrapper": [" stop\n"],
    "moderated_stream": [
        "The weather is fine (completed)",
        "[This was withheld.] (incomplete)",
        "output flagged: house",
    ],
    "monitor": ["lines of metrics", "temperature"],
    "optimised_client": ["1 answers not asked for", "USD were spent"],
    "resilient_stream": ["rehearsal"],
    "stream_events": [" begins", "ResponseUsage("],
    "stream_handler": [" begins", " is complete"],
}
"""What each prints, among other things."""

UNSAID = {"moderated_stream": "bluebird", "resilient_stream": "What came is kept"}

CLASSES = {
    "ResponseStreamHandler",
    "AdvancedStreamManager",
    "StreamingModerationHandler",
    "ProductionErrorHandler",
    "CircuitBreaker",
    "CircuitBreakerConfig",
    "CircuitBreakerState",
    "APIMonitor",
    "CostTracker",
    "ResponseCache",
    "OptimizedResponsesClient",
    "MigrationWrapper",
}
"""What the guide calls its classes."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that has the models which the examples name."""
    servers = Servers(tmp_path_factory.mktemp("servers"))
    address, server = servers._start(CONFIG, tmp_path_factory.mktemp("examples") / "server")
    servers._running[CONFIG] = (address, server)
    yield address
    servers.close()


def run(example: Path, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an example as a program of its own."""
    command = [sys.executable, "-W", "error", str(example)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=folder)


async def against_recorded(example: Path, environment: dict[str, str], folder: Path) -> Any:
    """The same, against a server that says of each answer that it is by the model that was asked."""
    async with Recorded() as upstream:
        return await asyncio.to_thread(run, example, {**environment, "OPENAI_BASE_URL": upstream.base_url}, folder)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_an_example_runs(example: Path, address: str, tmp_path: Path):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "PYTHONPATH": str(Path(antiphon.__file__).parents[1]),
        "OPENAI_BASE_URL": f"http://{address}/v1",
        "OPENAI_API_KEY": "none",
    }
    if example.stem == "costs":  # the built-in model is free, under whatever name
        done = asyncio.run(against_recorded(example, environment, tmp_path))
    else:
        done = run(example, environment, tmp_path)
    assert done.returncode == 0, done.stderr
    for words in SAID[example.stem]:
        assert words in done.stdout, done.stdout
    assert UNSAID.get(example.stem, "\0") not in done.stdout


def test_each_example_is_told_of_with_what_was_wrong():
    told = set(re.findall(r"^## `(\w+)\.py`", PAGE, re.MULTILINE))
    assert told == {example.stem for example in EXAMPLES}


def test_each_class_of_the_guide_has_a_row_with_ours_and_an_example():
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| \[`(\w+)\.py`\]\(\.\./examples/(\w+)\.py\) \|$", PAGE, re.MULTILINE)
    assert {row[0] for row in rows} == CLASSES
    for _, ours, example, path in rows:
        assert example == path
        assert ROOT / "examples" / f"{example}.py" in EXAMPLES
        text = (ROOT / "examples" / f"{example}.py").read_text()
        names = re.findall(r"`(\w+)`", ours)
        assert names
        assert any(name in text for name in names)


def test_what_the_table_names_is_there():
    rows = re.findall(r"^\| `\w+` \| (.+?) \| \[", PAGE, re.MULTILINE)
    for name in {name for ours in rows for name in re.findall(r"`([A-Z]\w+)`", ours)}:
        assert hasattr(antiphon.client, name), name
