"""The commands, in this process and in processes of their own; and one running server for all of them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from antiphon.cli.app import app

COMMAND = (sys.executable, "-c", "from antiphon.cli import main; main()")
ADDRESS = re.compile(rb"http://\S+/v1")

Antiphon = Callable[..., Result]


def surroundings(home: Path) -> dict[str, str]:
    """An environment without anybody's settings, where nothing is looked for."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "SYSTEMROOT") if name in os.environ}
    return {**kept, "HOME": str(home), "ANTIPHON_DISCOVERY": "0"}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a folder, a home and an environment of its own."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith(("ANTIPHON_", "OPENAI_", "XDG_", "NO_COLOR"))]:
        monkeypatch.delenv(name)
    for name, value in surroundings(tmp_path).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def antiphon() -> Antiphon:
    """Runs a command in this process: `antiphon("ask", "Hello")` gives exit code, stdout and stderr."""

    def run(*arguments: object, stdin: str = "", **options: Any) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, **options)

    return run


class Server:
    """`antiphon serve` in a process of its own."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "--data", str(folder / "data"), *arguments],
            cwd=folder,
            env={**surroundings(folder), **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.greeting = b""
        while b"Python" not in self.greeting:
            line = self.process.stdout.readline()
            if not line:
                raise AssertionError(self.process.communicate(timeout=20)[1].decode())
            self.greeting += line
        self.base_url = ADDRESS.search(self.greeting)[0].decode()
        self.port = int(self.base_url.rpartition(":")[2].removesuffix("/v1"))

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End it, and give its exit code and what it wrote to stderr."""
        self.process.send_signal(how)
        error = self.process.communicate(timeout=20)[1].decode()
        return self.process.returncode, error


@contextmanager
def serving(folder: Path, *arguments: str, **environ: str) -> Iterator[Server]:
    """A server for as long as the block runs."""
    server = Server(folder, *(arguments or ("--port", "0")), **environ)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)
        for stream in (server.process.stdout, server.process.stderr):
            stream.close()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running server, with only the built-in model."""
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running
