"""Kill a server in the midst of its work, start it again, and compare what clients saw with what is there.

    python -m tests.durability.kill --rounds 100

One round: 20 streams run, half of them in the background. The server gets SIGKILL at a random moment. It is started
again on the same data. Then for every stream

- each event that the client had received whole is in the log, with the same bytes;
- resuming after the last of them gives exactly the rest, without a gap and without a double;
- the whole is valid by the grammar;
- a background response has reached `completed`, by going on in its item or, where its model cannot, by a second turn;
- a foreground one that was cut is `failed`, with what it had said.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp

from tests.support import grammar
from tests.support.serving import events
from tests.support.upstream import FakeUpstream, chat_stream, stream
from tests.support.waiting import until

STREAMS = 20
TERMINAL = (b"event: response.completed", b"event: response.failed", b"event: response.incomplete")
WORDS = " ".join(f"word{number}" for number in range(120))


@dataclass
class Seen:
    """What one client got of one stream."""

    background: bool
    model: str
    data: bytes = b""
    """Whole frames only: half of one is not acknowledged."""
    pending: bytes = field(default=b"", repr=False)

    def take(self, chunk: bytes) -> None:
        head, end, self.pending = (self.pending + chunk).rpartition(b"\n\n")
        self.data += head + end

    @property
    def count(self) -> int:
        return self.data.count(b"\n\n")

    @property
    def is_whole(self) -> bool:
        return any(b"\n" + mark in b"\n" + self.data for mark in TERMINAL)

    @property
    def response_id(self) -> str:
        return str(events(self.data)[0]["response"]["id"])

    def request(self) -> dict[str, Any]:
        """A request whose answer comes slowly, in many pieces."""
        text = "#tokens 160\n#pace 6ms\nTell me something." if self.model == "rehearsal" else "Tell me something."
        return {"model": self.model, "input": text, "stream": True, "background": self.background}


@dataclass
class Outcome:
    """What a round has shown."""

    cut: int = 0
    events: int = 0
    resumed: int = 0
    problems: list[str] = field(default_factory=list)


class Server:
    """`antiphon serve` in a process of its own; at the end of a `with` block there is none left."""

    def __init__(self, folder: Path, upstream: str, synchronous: str) -> None:
        self.folder = folder
        self.config = folder / "antiphon.toml"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.config.write_text(
            f'[store]\nsynchronous = "{synchronous}"\n'
            f'[models.chat]\nbackend = "chat_completions"\nbase_url = "{upstream}"\nmodel = "local"\n'
        )
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.returncode is None:
            self.kill()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/responses"

    def start(self) -> None:
        """Start, and wait until the first request may come."""
        data, port = str(self.folder / "data"), str(self.port)
        command = [sys.executable, "-m", "antiphon", "serve", "--port", port, "--data", data]
        environment = {**os.environ, "ANTIPHON_DISCOVERY": "0"}
        self.process = subprocess.Popen(
            [*command, "--config", str(self.config)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            raise RuntimeError("the server did not start")

    def kill(self) -> None:
        """SIGKILL: no goodbye of any kind."""
        assert self.process is not None
        with self.process:  # which also closes what its output was read from
            self.process.kill()

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        assert self.process is not None
        with self.process:
            self.process.send_signal(signal.SIGTERM)
        return self.process.returncode


async def read(http: aiohttp.ClientSession, server: Server, seen: Seen) -> None:
    """Read one stream until it ends or breaks."""
    try:
        async with http.post(server.url, json=seen.request()) as answer:
            async for chunk in answer.content.iter_any():
                seen.take(chunk)
    except aiohttp.ClientError:
        pass  # the server is dead: that is what this is about


async def log_after(http: aiohttp.ClientSession, server: Server, response_id: str, number: int) -> bytes:
    """What a client gets that comes back."""
    query = {"stream": "true", "starting_after": str(number)}
    async with http.get(f"{server.url}/{response_id}", params=query) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


def endings(seen: Seen) -> list[str]:
    """What a response may have become. The end of a foreground one may have been told and not been received."""
    if seen.is_whole:
        return [events(seen.data)[-1]["response"]["status"]]
    return ["completed"] if seen.background else ["failed", "completed"]


async def check(http: aiohttp.ClientSession, server: Server, seen: Seen, outcome: Outcome) -> None:
    """Compare what a client saw with what is there now."""
    rest = await log_after(http, server, seen.response_id, seen.count - 1)
    whole = await log_after(http, server, seen.response_id, -1)
    outcome.events += seen.count
    outcome.resumed += rest.count(b"\n\n")
    problem = outcome.problems.append
    if not whole.startswith(seen.data):
        problem(f"{seen.response_id}: an acknowledged event is lost or changed")
    if seen.data + rest != whole:
        problem(f"{seen.response_id}: what was resumed after {seen.count - 1} is not the rest")
    told = events(whole)
    problem_list = grammar.violations(told)
    if problem_list:
        problem(f"{seen.response_id}: {problem_list[0]}")
    expected = endings(seen)
    final = told[-1].get("response", {})
    if final.get("status") not in expected:
        problem(f"{seen.response_id}: ended with {told[-1]['type']}, not as {' or '.join(expected)}")
    elif final["status"] == "failed" and text_of(final) != "".join(deltas_of(told)):
        problem(f"{seen.response_id}: the partial output is not what was told")


def deltas_of(told: list[dict[str, Any]]) -> list[str]:
    """The words of a stream."""
    return [event["delta"] for event in told if event["type"] == "response.output_text.delta"]


def text_of(response: dict[str, Any]) -> str:
    """The words of a response."""
    messages = [item for item in response["output"] if item["type"] == "message"]
    return "".join(part["text"] for message in messages for part in message["content"])


async def kill_and_compare(
    http: aiohttp.ClientSession, server: Server, chance: random.Random, outcome: Outcome
) -> None:
    """Stream, kill after some events, start again, compare."""
    server.start()
    everyone = [Seen(number % 2 == 0, ("rehearsal", "chat")[number // 2 % 2]) for number in range(STREAMS)]
    tasks = [asyncio.create_task(read(http, server, seen)) for seen in everyone]
    moment = chance.randint(100, 100 * STREAMS)
    await until(lambda: sum(seen.count for seen in everyone) >= moment, seconds=30)
    server.kill()
    await asyncio.gather(*tasks)
    started = [seen for seen in everyone if seen.data]
    outcome.cut = sum(not seen.is_whole for seen in started)
    server.start()
    await asyncio.gather(*(check(http, server, seen, outcome) for seen in started))
    if code := server.stop():
        outcome.problems.append(f"the server ended with {code}")


async def one_round(folder: Path, seed: int, synchronous: str = "normal") -> Outcome:
    """Start, stream, kill, start again, compare."""
    chance = random.Random(seed)
    outcome = Outcome()
    async with FakeUpstream() as upstream, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        upstream.handler = lambda _: stream(chat_stream(WORDS)).paced(0.004)
        with Server(folder, upstream.base_url, synchronous) as server:
            await kill_and_compare(http, server, chance, outcome)
    return outcome


@dataclass
class Sum:
    """All rounds with one setting of `synchronous`."""

    rounds: int = 0
    cut: int = 0
    events: int = 0
    resumed: int = 0
    problems: int = 0

    def add(self, outcome: Outcome) -> None:
        self.rounds += 1
        self.cut += outcome.cut
        self.events += outcome.events
        self.resumed += outcome.resumed
        self.problems += len(outcome.problems)


async def soak(rounds: int, synchronous: Sequence[str], seed: int) -> int:
    """Many rounds with a line for each, and a table at the end; returns how many problems there were."""
    sums = {mode: Sum() for mode in synchronous}
    begun = time.monotonic()
    for number in range(rounds):
        mode = synchronous[number % len(synchronous)]
        with tempfile.TemporaryDirectory() as folder:
            outcome = await one_round(Path(folder), seed + number, mode)
        sums[mode].add(outcome)
        spent = time.monotonic() - begun
        print(
            f"round {number + 1}/{rounds} ({mode}): {outcome.cut} streams cut, {outcome.events} events acknowledged, "
            f"{outcome.resumed} resumed, {len(outcome.problems)} problems, {spent:.0f} s",
            flush=True,
        )
        for problem in outcome.problems:
            print(f"  {problem}", flush=True)
    print(table(sums))
    return sum(each.problems for each in sums.values())


def table(sums: Mapping[str, Sum]) -> str:
    """The sums as they stand in docs/durability.md."""
    lines = [
        "| synchronous | rounds | streams cut | acknowledged events | events resumed | lost, changed or doubled |",
        "|---|---|---|---|---|---|",
    ]
    for mode, each in sums.items():
        figures = (each.rounds, each.cut, each.events, each.resumed, each.problems)
        lines.append(" | ".join((f"| `{mode}`", *(f"{figure:,}" for figure in figures))) + " |")
    return "\n".join(lines)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Kill the server again and again, and see that nothing is lost.")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--synchronous", choices=("normal", "full", "both"), default="both")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="for the moments of the kills")
    given = parser.parse_args()
    modes = ("normal", "full") if given.synchronous == "both" else (given.synchronous,)
    print(f"seed {given.seed}")
    sys.exit(1 if asyncio.run(soak(given.rounds, modes, given.seed)) else 0)


if __name__ == "__main__":
    main()
