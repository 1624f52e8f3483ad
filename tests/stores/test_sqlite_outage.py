"""A disk that is full, read-only or held by somebody: 503, nothing half-written, and all is well when it is over."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from antiphon.ports import Batch, Begin, Chunk
from antiphon.stores.sqlite import DATABASE
from antiphon.testing.contracts.store import PROJECT, chunk, end, log_of, record, whole_log
from antiphon.wire.errors import Unavailable
from tests.stores.disk import TroubledStore, rows, troubled

pytestmark = pytest.mark.anyio

LARGE = b"event: e\ndata: " + b"x" * 500_000 + b"\n\n"


async def check_usable(store):
    """What was there is still there, and the next batch is written."""
    await store.write(Batch(stretches=[chunk(0, 3)]))
    assert await whole_log(store) == log_of(0, 3)
    assert await store.find(PROJECT, "resp_2") is None
    await store.write(Batch(changes=[Begin(record(2)), end(1)]))
    assert await store.find(PROJECT, "resp_2") is not None


async def test_a_full_disk_refuses_the_whole_batch(tmp_path):
    async with troubled(tmp_path) as store:
        await store.write(Batch(changes=[Begin(record(1))]))
        await store.limit(4)
        with pytest.raises(Unavailable, match="full") as refused:
            await store.write(Batch(changes=[Begin(record(2))], stretches=[Chunk(1, 0, LARGE)]))
        assert refused.value.retry_after
        assert rows(tmp_path, "SELECT id FROM responses") == [("resp_1",)]
        assert await whole_log(store) == b""
        await store.limit(None)
        await check_usable(store)


async def test_a_read_only_database_can_still_be_read(tmp_path):
    async with troubled(tmp_path) as store:
        await store.write(Batch(changes=[Begin(record(1))], stretches=[chunk(0, 2)]))
        await store.on_writer(lambda c: c.execute("PRAGMA query_only = 1"))
        for write in (
            store.write(Batch(changes=[Begin(record(2))])),
            store.delete(PROJECT, "resp_1"),
            store.lease(1, "worker", 2_000_000_000.0),
            store.release(),
        ):
            with pytest.raises(Unavailable, match="readonly"):
                await write
        assert await whole_log(store) == log_of(0, 2)
        await store.on_writer(lambda c: c.execute("PRAGMA query_only = 0"))
        await check_usable(store)


async def test_a_database_that_another_program_holds_is_unavailable_until_it_lets_go(tmp_path):
    async with troubled(tmp_path, patience=0.01) as store:
        await store.write(Batch(changes=[Begin(record(1))]))
        with closing(sqlite3.connect(tmp_path / DATABASE, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Unavailable, match="locked"):
                await store.write(Batch(changes=[Begin(record(2))]))
            other.execute("ROLLBACK")
        await check_usable(store)


async def test_a_file_size_limit_is_a_full_disk(tmp_path):
    resource = pytest.importorskip("resource")
    async with troubled(tmp_path) as store:
        await store.write(Batch(changes=[Begin(record(1))]))
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        try:
            with pytest.raises(Unavailable):
                await store.write(Batch(changes=[Begin(record(2))], stretches=[Chunk(1, 0, LARGE)]))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        await check_usable(store)


async def test_a_damaged_database_is_an_outage_and_no_defect(tmp_path):
    async with troubled(tmp_path) as store:
        await store.write(Batch(changes=[Begin(record(1))], stretches=[Chunk(1, 0, LARGE)]))
    data = bytearray((tmp_path / DATABASE).read_bytes())
    data[4096 * 2 : 4096 * 40] = b"\xff" * (4096 * 38)
    (tmp_path / DATABASE).write_bytes(data)
    with pytest.raises(Unavailable, match="malformed"):
        await TroubledStore(tmp_path).start()
