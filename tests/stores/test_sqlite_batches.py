"""A batch is written whole or not at all, whatever the disk does in the middle of it."""

from __future__ import annotations

import sqlite3

import pytest

from antiphon.ports import Batch, Begin, Fact
from antiphon.stores.sqlite import DATABASE, SQLiteStore
from antiphon.testing.contracts.store import PROJECT, chunk, end, log_of, record, whole_log
from antiphon.wire.errors import Unavailable
from tests.stores.disk import copy_files, opened, rows, troubled

pytestmark = pytest.mark.anyio

TABLES = ("responses", "stretches", "facts", "items", "segments")


def batch(key=2):
    """A batch with something of everything."""
    return Batch(
        changes=[Begin(record(key)), Fact(1, 3, "upstream", b"{}"), end(1, "item_x", "item_y")],
        chunks=[chunk(0, 2, key=key)],
        stretches=[chunk(0, 3)],
        spent=1,
    )


def content(folder):
    return {table: rows(folder, f"SELECT * FROM {table} ORDER BY 1, 2") for table in TABLES}


async def statements_of(folder, write):
    async with troubled(folder) as store:
        await store.write(Batch(changes=[Begin(record(1))], chunks=[chunk(0, 1)]))
        before = store.trouble.statements
        await write(store)
        return store.trouble.statements - before


OPERATIONS = {
    "a batch": lambda store: store.write(batch()),
    "a deletion": lambda store: store.delete(PROJECT, "resp_1"),
    "a lease": lambda store: store.lease(1, "worker", 2_000_000_000.0),
    "renewals": lambda store: store.renew([1, 2], "worker", 2_000_000_000.0),
}


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_an_error_at_any_statement_leaves_everything_as_it_was(tmp_path, operation):
    write = OPERATIONS[operation]
    count = await statements_of(tmp_path / "count", write)
    assert count >= 3
    for number in range(count):
        async with troubled(tmp_path / str(number)) as store:
            await store.write(Batch(changes=[Begin(record(1))], chunks=[chunk(0, 1)]))
            before = content(tmp_path / str(number))
            store.trouble.at = number
            with pytest.raises(Unavailable):
                await write(store)
            assert content(tmp_path / str(number)) == before
            await write(store)
            assert content(tmp_path / str(number)) != before or operation == "renewals"


async def test_a_write_ahead_log_cut_at_any_byte_gives_the_state_after_some_commit(tmp_path):
    folder, states = tmp_path / "data", []
    async with troubled(folder) as store:
        await store.write(Batch(changes=[Begin(record(1))], chunks=[chunk(0, 1)]))
        await store.on_writer(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        states.append(content(folder))
        for step in (batch(2), batch(3), Batch(chunks=[chunk(2, 4, key=2)])):
            await store.write(step)
            states.append(content(folder))
        await store.copy(tmp_path / "crash")
    wal = (tmp_path / "crash" / f"{DATABASE}-wal").read_bytes()
    seen = set()
    for length in range(0, len(wal) + 1, 509):
        copy_files(tmp_path / "crash", tmp_path / "cut")
        (tmp_path / "cut" / f"{DATABASE}-wal").write_bytes(wal[:length])
        found = content(tmp_path / "cut")
        assert found in states
        seen.add(states.index(found))
    assert seen >= {0, 1, 2}


async def test_what_a_defect_breaks_is_rolled_back_and_is_no_outage(tmp_path):
    async with troubled(tmp_path) as store:
        await store.write(Batch(changes=[Begin(record(1))]))
        with pytest.raises(sqlite3.IntegrityError):
            await store.write(Batch(changes=[Begin(record(2)), Begin(record(1))]))
        assert await store.find(PROJECT, "resp_2") is None
        await store.write(Batch(changes=[Begin(record(2))]))
        assert await store.find(PROJECT, "resp_2") is not None


async def test_facts_stand_beside_the_events_in_their_order(tmp_path):
    async with opened(SQLiteStore(tmp_path)) as store:
        await store.write(Batch(changes=[Begin(record(1)), Fact(1, 2, "upstream", b'{"a":1}')]))
        await store.write(Batch(changes=[Fact(1, 5, "cancelled", b"{}")]))
    assert rows(tmp_path, "SELECT response, after, kind, data FROM facts ORDER BY rowid") == [
        (1, 2, "upstream", b'{"a":1}'),
        (1, 5, "cancelled", b"{}"),
    ]


async def test_a_deletion_leaves_no_row(tmp_path):
    async with opened(SQLiteStore(tmp_path)) as store:
        await store.write(batch(key=1))
        await store.write(Batch(spent=9))
        await store.delete(PROJECT, "resp_1")
        assert content(tmp_path) == {table: [] for table in TABLES}


async def test_a_commit_is_one_segment_however_many_logs_it_holds(tmp_path):
    async with opened(SQLiteStore(tmp_path)) as store:
        begun = [Begin(record(key)) for key in range(1, 9)]
        await store.write(Batch(changes=begun, chunks=[chunk(0, 2, key=key) for key in range(1, 9)]))
        assert rows(tmp_path, "SELECT count(*) FROM segments") == [(1,)]
        await store.write(Batch(changes=[end(1)]))
        assert rows(tmp_path, "SELECT count(*) FROM segments") == [(1,)]


async def test_reads_do_not_wait_for_a_write_in_progress(tmp_path):
    async with opened(SQLiteStore(tmp_path)) as store:
        await store.write(Batch(changes=[Begin(record(1))], stretches=[chunk(0, 2)]))
        other = sqlite3.connect(tmp_path / DATABASE, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert await whole_log(store) == log_of(0, 2)
        other.execute("ROLLBACK")
        other.close()
