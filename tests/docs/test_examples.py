"""Every example in README and docs runs as it is printed, against a server that was started as they say.

That is one with nothing but defaults, or, for a page with TOML blocks that begin `# antiphon.toml`, with that file.
"""

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
from antiphon.policy.prices import Prices

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ADDRESS = "127.0.0.1:8484"
_BLOCK = re.compile(r"^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_PROGRAM = re.compile(r"^(curl|antiphon (ask|models|connect|status)) ")


def blocks(kind: str) -> Iterator[pytest.param]:
    """The fenced blocks of one language, with their page and number."""
    for page in PAGES:
        found = [match for match in _BLOCK.finditer(page.read_text()) if match["kind"] == kind]
        for number, match in enumerate(found, 1):
            yield pytest.param((page, match["text"]), id=f"{page.name}-{kind}-{number}")


def commands() -> Iterator[pytest.param]:
    """The shell commands that talk to a running server, continued lines joined."""
    for block in blocks("sh"):
        page, text = block.values[0]
        text = text.replace("\\\n", " ")
        lines = [line for line in text.splitlines() if _PROGRAM.match(line)]
        for number, line in enumerate(lines, 1):
            yield pytest.param((page, line), id=f"{block.id}-{number}")


def configuration(page: Path) -> str:
    """The file that a page gives for its examples."""
    found = [match["text"] for match in _BLOCK.finditer(page.read_text()) if match["kind"] == "toml"]
    return "\n".join(text for text in found if text.startswith("# antiphon.toml"))


class Servers:
    """Servers that were started with their command, one for each configuration."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, tuple[str, subprocess.Popen[str]]] = {}
        self._stored: dict[str, str] = {}

    def address(self, page: Path) -> str:
        """Where the examples of a page go."""
        config = configuration(page)
        if config not in self._running:
            self._running[config] = self._start(config, self._folder / str(len(self._running)))
        return self._running[config][0]

    def stored(self, page: Path) -> str:
        """The id of a stored response, which examples call `resp_123`."""
        address = self.address(page)
        if address not in self._stored:
            with OpenAI(base_url=f"http://{address}/v1", api_key="none") as client:
                self._stored[address] = client.responses.create(model="rehearsal", input="Hi.").id
        return self._stored[address]

    @staticmethod
    def _start(config: str, folder: Path) -> tuple[str, subprocess.Popen[str]]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        folder.mkdir()
        (folder / "antiphon.toml").write_text(config)
        environment = {**os.environ, "ANTIPHON_DISCOVERY": "0", "NO_COLOR": "1"}
        command = [sys.executable, "-m", "antiphon", "serve", "--port", str(port), "--data", str(folder)]
        log = (folder / "log").open("w")
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, cwd=folder, env=environment, text=True)
        log.close()
        assert server.stdout is not None
        while "Try it" not in (line := server.stdout.readline()):
            assert line, "the server ended before it was ready"
        return f"127.0.0.1:{port}", server

    def close(self) -> None:
        """End them all; each ends as if nothing were wrong."""
        for _, server in self._running.values():
            server.terminate()
        for _, server in self._running.values():
            with server:
                assert server.wait() == 0


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The servers of all pages."""
    servers = Servers(tmp_path_factory.mktemp("servers"))
    yield servers
    servers.close()


@pytest.mark.parametrize("example", [*blocks("python")])
def test_a_python_example_runs(example: tuple[Path, str], servers: Servers):
    page, text = example
    address = servers.address(page)
    done = subprocess.run(
        [sys.executable, "-c", text.replace(ADDRESS, address)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("example", [*commands()])
def test_a_command_runs(example: tuple[Path, str], servers: Servers, tmp_path: Path):
    page, line = example
    address = servers.address(page)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OPENAI_BASE_URL": f"http://{address}/v1"}
    (tmp_path / "antiphon.toml").write_text('[models."slow"]\nbackend = "rehearsal"\n')
    line = line.replace("resp_123", servers.stored(page))
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


@pytest.mark.parametrize("example", [*blocks("toml")])
def test_a_configuration_example_is_valid(example: tuple[Path, str], tmp_path: Path):
    _, text = example
    file = tmp_path / "antiphon.toml"
    file.write_text(text)
    if "project" in tomllib.loads(text):
        return  # of another file
    if "price" in tomllib.loads(text):
        Prices.load(file)
        return
    assert load(file=file, environ={"OPENAI_API_KEY": "none", "UPSTREAM_KEY": "none"}, folder=tmp_path).source == file
