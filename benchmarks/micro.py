"""What one delta costs at each step of its way, and a request at the door, in microseconds: `benchmarks/micro.py`.

Best of several rounds over a batch of 200 deltas, on one core, with the functions that the server runs. The sum of the
steps is what a burst costs beside the sockets.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from antiphon.engine.accounts import OPEN, Accounts
from antiphon.engine.clock import SystemClock
from antiphon.engine.journal import Entry, Journal
from antiphon.engine.log import Log
from antiphon.engine.unkept import UnkeptAccounts
from antiphon.models.chat_stream import ChatReader
from antiphon.models.chat_tools import ChatTools
from antiphon.policy import administration
from antiphon.policy.access import why_not
from antiphon.stores.sqlite import SQLiteStore
from antiphon.turn.deltas import Text
from antiphon.turn.machine import Machine
from antiphon.wire.errors import UpstreamMalformed
from antiphon.wire.response import Response
from antiphon.wire.sse import SSESplitter, frames

BATCH = 200
ROUNDS = 200


def best(work: Callable[[], object]) -> float:
    """Microseconds a delta in the best of the rounds."""
    fastest = float("inf")
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest / BATCH * 1e6


def chunk(number: int) -> bytes:
    """A chunk as a Chat Completions server sends it."""
    choice = {"index": 0, "delta": {"content": f"word{number} "}, "finish_reason": None}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


def started() -> Machine:
    """A machine that has begun."""
    numbers = count()
    machine = Machine(lambda prefix: f"{prefix}_{next(numbers)}")
    machine.create(Response(id="resp_1", created_at=1, model="m"))
    machine.begin()
    return machine


def reader() -> ChatReader:
    """A reader of a chat stream."""
    return ChatReader(ChatTools([]), new_id=lambda: "call_1", fault=UpstreamMalformed)


async def journal(data: bytes) -> float:
    """Microseconds a delta of appending and committing bursts, the wait for the disk included."""
    with tempfile.TemporaryDirectory() as folder:
        store = SQLiteStore(Path(folder))
        await store.start()
        writer, log = Journal(store), Log(read_back=lambda number: store.read(1, number))
        entry = Entry(1, log)
        start = time.perf_counter()
        for _ in range(ROUNDS):
            writer.append(entry, data, BATCH)
            await writer.barrier()
        spent = time.perf_counter() - start
        await store.aclose()
    return spent / ROUNDS / BATCH * 1e6


KEYS = 1_000
"""In the directory, when one of them is looked up."""


async def door() -> float:
    """Microseconds that it takes to find out who has a key, and whether that one may create a response."""
    accounts = Accounts(UnkeptAccounts(), SystemClock(), polls=False)
    await accounts.start()

    def make(edit: administration.Edit) -> str:
        account = administration.create_account(edit, "default", "bot")
        keys = [administration.create_key(edit, "default", account, "bot") for _ in range(KEYS)]
        return keys[-1].value

    key = (await accounts.edit(OPEN, make)).encode()

    def requests() -> None:
        for _ in range(BATCH):
            principal = accounts.authenticate(key, "default", "default")
            assert why_not(principal, "responses.write", accounts.clock.now()) is None

    return best(requests)


def main() -> None:
    """Measure and print."""
    raw = b"".join(map(chunk, range(BATCH)))
    split = SSESplitter().feed(raw)
    deltas = [Text(f"word{number} ") for number in range(BATCH)]
    machine = started()
    told = machine.feed(deltas)
    steps = {
        "split SSE": best(lambda: SSESplitter().feed(raw)),
        "decode and translate a chat chunk": best(lambda: reader().feed(split)),
        "machine and fold": best(lambda: machine.feed(deltas)),
        "encode the event": best(lambda: frames(told)),
        "journal, committed": asyncio.run(journal(frames(told))),
    }
    width = max(map(len, steps))
    for name, cost in steps.items():
        print(f"{name:{width}}  {cost:6.2f} µs")
    print(f"{'sum':{width}}  {sum(steps.values()):6.2f} µs")
    print(f"{'a request: who asks, and may it':{width}}  {asyncio.run(door()):6.2f} µs")


if __name__ == "__main__":
    main()
