"""A store starts, or says clearly why not, and leaves nothing behind then."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager

import pytest

from antiphon.ports import Batch, Begin
from antiphon.stores import statements
from antiphon.stores.sqlite import DATABASE, DataFolderInUse, SQLiteStore
from antiphon.testing.contracts.store import PROJECT, record
from antiphon.wire.errors import Unavailable
from tests.stores.disk import opened, rows

pytestmark = pytest.mark.anyio

HOLDER = """
import asyncio, sys
from pathlib import Path
from antiphon.stores.sqlite import SQLiteStore

async def hold():
    store = SQLiteStore(Path(sys.argv[1]), owner="the server on port 1")
    await store.start()
    print("held", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await store.aclose()

asyncio.run(hold())
"""


@contextmanager
def holder(folder):
    """Another process that owns the folder, and lets go when its input ends."""
    command = [sys.executable, "-c", HOLDER, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process


async def test_a_second_process_is_told_who_holds_the_folder(tmp_path):
    with holder(tmp_path) as process:
        with pytest.raises(DataFolderInUse, match=f"{tmp_path} is in use by the server on port 1"):
            await SQLiteStore(tmp_path).start()
        process.communicate("")
        assert process.returncode == 0
    async with opened(SQLiteStore(tmp_path)) as store:
        assert await store.find(PROJECT, "resp_1") is None


async def test_a_folder_is_free_when_its_holder_is_killed(tmp_path):
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
        async with opened(SQLiteStore(tmp_path)):
            pass


async def test_a_second_store_in_the_same_process_is_refused_too(tmp_path):
    async with opened(SQLiteStore(tmp_path)):
        with pytest.raises(DataFolderInUse, match=f"process {os.getpid()}"):
            await SQLiteStore(tmp_path).start()
    async with opened(SQLiteStore(tmp_path)):
        pass


async def test_a_folder_is_made_with_its_parents(tmp_path):
    async with opened(SQLiteStore(tmp_path / "a" / "b")):
        assert (tmp_path / "a" / "b" / DATABASE).exists()


async def test_a_newer_schema_is_left_alone(tmp_path):
    async with opened(SQLiteStore(tmp_path)) as store:
        await store.write(Batch(changes=[Begin(record(1))]))
    newer = statements.VERSION + 1
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        connection.execute(f"PRAGMA user_version = {newer}")
    with pytest.raises(Unavailable, match=f"newer version of Antiphon.*{newer}"):
        await SQLiteStore(tmp_path).start()
    assert rows(tmp_path, "SELECT id FROM responses") == [("resp_1",)]


@pytest.mark.parametrize("content", [b"This is a letter, not a database." * 100, b"SQLite format 3\0" + b"\xff" * 5000])
async def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path, content):
    (tmp_path / DATABASE).write_bytes(content)
    with pytest.raises(Unavailable, match=f"{tmp_path / DATABASE} cannot be used.*not a database"):
        await SQLiteStore(tmp_path).start()
    assert (tmp_path / DATABASE).read_bytes() == content


async def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=f"{tmp_path / 'file' / 'data'} cannot be used: Not a directory"):
        await SQLiteStore(tmp_path / "file" / "data").start()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_folder_that_may_not_be_written_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(Unavailable, match=f"{tmp_path} cannot be used: Permission denied"):
        await SQLiteStore(tmp_path).start()


async def test_a_database_that_another_program_holds_is_waited_for_and_then_refused(tmp_path):
    async with opened(SQLiteStore(tmp_path)):
        pass
    with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="locked"):
            await SQLiteStore(tmp_path, patience=0.01).start()
        other.execute("ROLLBACK")
    async with opened(SQLiteStore(tmp_path)):
        pass


async def test_a_start_that_failed_leaves_no_thread_and_no_lock(tmp_path):
    (tmp_path / DATABASE).write_bytes(b"This is a letter, not a database." * 100)
    before = set(threading.enumerate())
    for _ in range(2):
        with pytest.raises(Unavailable):
            await SQLiteStore(tmp_path).start()
    assert {thread for thread in threading.enumerate() if thread.name.startswith("antiphon")} <= before


@pytest.mark.parametrize(("synchronous", "number"), [("normal", 1), ("full", 2)])
async def test_the_promise_that_was_configured_is_the_one_that_is_kept(tmp_path, synchronous, number):
    async with opened(SQLiteStore(tmp_path, synchronous=synchronous)) as store:
        answer = await store._writer.call(lambda c: c.execute("PRAGMA synchronous").fetchone())
        assert answer == (number,)
        answer = await store._writer.call(lambda c: c.execute("PRAGMA journal_mode").fetchone())
        assert answer == ("wal",)
