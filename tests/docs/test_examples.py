"""Every example in README and docs runs as it is printed, against a server that was started as they say."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from antiphon.config.load import load

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ADDRESS = "127.0.0.1:8484"
_BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAM = re.compile(r"^(curl|antiphon (ask|models|connect)) ")


def blocks(kind: str) -> Iterator[pytest.param]:
    """The fenced blocks of one language, with their page and number."""
    for page in PAGES:
        found = [match for match in _BLOCK.finditer(page.read_text()) if match["kind"] == kind]
        for number, match in enumerate(found, 1):
            yield pytest.param(match["text"], id=f"{page.name}-{kind}-{number}")


def commands() -> Iterator[pytest.param]:
    """The shell commands that talk to a running server, continued lines joined."""
    for block in blocks("sh"):
        text = block.values[0].replace("\\\n", " ")
        lines = [line for line in text.splitlines() if _PROGRAM.match(line)]
        for number, line in enumerate(lines, 1):
            yield pytest.param(line, id=f"{block.id}-{number}")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that was started with its command and nothing but defaults."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("data")
    environment = {**os.environ, "ANTIPHON_DISCOVERY": "0", "NO_COLOR": "1"}
    command = [sys.executable, "-m", "antiphon", "serve", "--port", str(port), "--data", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=folder, env=environment, text=True) as server:
        assert server.stdout is not None
        while "Try it" not in (line := server.stdout.readline()):
            assert line, "the server ended before it was ready"
        yield f"127.0.0.1:{port}"
        server.terminate()
        assert server.wait() == 0


@pytest.fixture(scope="module")
def stored(address: str) -> str:
    """The id of a stored response, which examples call `resp_123`."""
    with OpenAI(base_url=f"http://{address}/v1", api_key="none") as client:
        return client.responses.create(model="rehearsal", input="Hi.").id


@pytest.mark.parametrize("text", [*blocks("python")])
def test_a_python_example_runs(text: str, address: str):
    done = subprocess.run(
        [sys.executable, "-c", text.replace(ADDRESS, address)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("line", [*commands()])
def test_a_command_runs(line: str, address: str, stored: str, tmp_path: Path):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OPENAI_BASE_URL": f"http://{address}/v1"}
    (tmp_path / "antiphon.toml").write_text('[models."slow"]\nbackend = "rehearsal"\n')
    line = line.replace("resp_123", stored)
    done = subprocess.run(
        ["bash", "-c", line.replace(ADDRESS, address)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("text", [*blocks("toml")])
def test_a_configuration_example_is_valid(text: str, tmp_path: Path):
    file = tmp_path / "antiphon.toml"
    file.write_text(text)
    if "project" in tomllib.loads(text):
        return  # of another file
    assert load(file=file, environ={"OPENAI_API_KEY": "none", "UPSTREAM_KEY": "none"}, folder=tmp_path).source == file
