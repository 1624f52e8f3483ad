"""The programs of a run: compiled, started on their cores, watched, ended.

Everything listens on 127.0.0.1 on free ports and lives in one temporary folder. Linux only.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
COMPILE = ("-O2", "-Wall", "-Wextra")
SOURCES = {"upstream": ("upstream.c", "net.c"), "load": ("load.c", "answer.c", "net.c")}
OWN_SETTINGS = ("ANTIPHON_", "OPENAI_")
START_SECONDS = 60
STOP_SECONDS = 20


class Unusable(Exception):
    """The run cannot go on; the text is for the person who started it."""


@dataclass(frozen=True)
class Cores:
    """Where the server and where load and upstream run; None: wherever the system puts them."""

    server: int | None = None
    load: int | None = None

    @property
    def pinned(self) -> bool:
        return self.server is not None


def pinned_cores() -> Cores | None:
    """One core for the server and another for the rest; None on a machine with one core."""
    cores = sorted(os.sched_getaffinity(0))
    return Cores(cores[0], cores[1]) if len(cores) > 1 else None


def compile_programs(folder: Path) -> dict[str, Path]:
    """Builds load generator and upstream; raises Unusable without a compiler."""
    compiler = shutil.which(os.environ.get("CC", "cc"))
    if compiler is None:
        raise Unusable("no C compiler: install gcc or clang (Debian: apt-get install gcc), or name yours in CC")
    programs = {name: folder / name for name in SOURCES}
    for name, sources in SOURCES.items():
        command = [compiler, *COMPILE, "-o", str(programs[name]), *(str(HERE / source) for source in sources)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Unusable(f"{' '.join(command)}\n{done.stderr}")
    return programs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pin(core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})


def clean_environment() -> dict[str, str]:
    """Without settings and keys of the person who measures: only the configuration file counts."""
    return {name: value for name, value in os.environ.items() if not name.startswith(OWN_SETTINGS)}


@dataclass
class Server:
    """A running HTTP server, the port it listens on and the file that has what it printed."""

    name: str
    process: subprocess.Popen[bytes]
    port: int
    output: Path
    started: float

    @property
    def pid(self) -> int:
        return self.process.pid

    def memory_mb(self, field: str) -> float:
        """``VmRSS`` (now) or ``VmHWM`` (highest so far), in megabytes of 1024 KB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        values = dict(line.split(":", 1) for line in lines)
        return int(values[field].split()[0]) / 1024

    def check_alive(self) -> None:
        if self.process.poll() is not None:
            raise Unusable(f"{self.name} ended with status {self.process.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        return "\n".join(self.output.read_text(errors="replace").splitlines()[-20:])

    def request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=START_SECONDS)
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, path, data, {"content-type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def seconds_to_first_answer(self, model: str) -> float:
        """From the start of the process to the end of the first plain answer."""
        status = 0
        while status != 200:
            self.check_alive()
            if time.monotonic() - self.started > START_SECONDS:
                raise Unusable(f"{self.name} gives no answer, last HTTP status {status}:\n{self.tail()}")
            try:
                status, _ = self.request("POST", "/v1/responses", {"model": model, "input": "hello", "store": False})
            except OSError:
                time.sleep(0.005)
        return time.monotonic() - self.started

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(name: str, command: Sequence[str], port: int, core: int | None, folder: Path) -> Iterator[Server]:
    """A server process for as long as the block runs."""
    output = folder / f"{name}.log"
    with output.open("wb") as log:
        started = time.monotonic()
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=clean_environment(),
            cwd=folder,
            preexec_fn=partial(pin, core),
        )
        server = Server(name, process, port, output, started)
        try:
            yield server
        finally:
            server.stop()


def wait_for_upstream(server: Server) -> None:
    """The upstream is ready when it answers its list of models."""
    while True:
        server.check_alive()
        try:
            server.request("GET", "/v1/models")
            return
        except OSError:
            time.sleep(0.005)


def run_load(program: Path, arguments: Sequence[str], core: int | None) -> dict[str, Any]:
    """One run of the load generator; ``complaint`` in the result is what it said of failures, or empty."""
    done = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, check=False, preexec_fn=partial(pin, core)
    )
    if done.returncode not in (0, 1):
        raise Unusable(f"load {' '.join(arguments)}: {done.stderr.strip()}")
    return {**json.loads(done.stdout), "complaint": done.stderr.strip()}


def machine() -> str:
    """The machine in one line: what an absolute number is worth depends on it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), os.uname().machine)
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{len(os.sched_getaffinity(0))} cores, {model}, Linux {os.uname().release.split('-')[0]}, Python {python}"
