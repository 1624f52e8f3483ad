"""The response cache in the database: it outlives the process, wears out nothing, and fails without harm."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from antiphon.ports import Batch, Begin
from antiphon.stores import statements
from antiphon.stores.cache import SQLiteCache
from antiphon.stores.sqlite import DATABASE, SQLiteStore
from antiphon.testing import FakeClock
from antiphon.testing.contracts.store import PROJECT, record
from antiphon.wire.errors import Unavailable
from tests.stores.disk import opened, rows, troubled

pytestmark = pytest.mark.anyio

FAR = 4_000_000_000.0
MANY = 10**6


def cache(store: SQLiteStore, clock: FakeClock, max_bytes: int = MANY) -> SQLiteCache:
    return SQLiteCache(store, max_bytes=max_bytes, now=clock.now)


async def test_it_outlives_the_process(tmp_path):
    clock = FakeClock()
    async with opened(SQLiteStore(tmp_path)) as store:
        await cache(store, clock).put("p", b"k", b"answer", FAR)
    async with opened(SQLiteStore(tmp_path)) as store:
        assert await cache(store, clock).get("p", b"k") == b"answer"


async def test_a_folder_of_the_first_version_is_upgraded_where_it_is(tmp_path):
    async with opened(SQLiteStore(tmp_path)) as store:
        await store.write(Batch(changes=[Begin(record(1))]))
    with closing(sqlite3.connect(tmp_path / DATABASE)) as connection:
        first = {"responses", "stretches", "facts", "items", "segments"}
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table in tables - first:
            connection.execute(f"DROP TABLE {table}")
        connection.execute("PRAGMA user_version = 1")
    async with opened(SQLiteStore(tmp_path)) as store:
        await cache(store, FakeClock()).put("p", b"k", b"answer", FAR)
        assert await store.find(PROJECT, "resp_1") is not None
    assert rows(tmp_path, "PRAGMA user_version") == [(statements.VERSION,)]


async def test_what_is_found_again_and_again_is_written_once_a_minute(tmp_path):
    clock = FakeClock()
    async with troubled(tmp_path, now=clock.now) as store:
        kept = cache(store, clock)
        await kept.put("p", b"k", b"answer", FAR)
        before = store.trouble.statements
        for _ in range(50):
            await kept.get("p", b"k")
        await store.on_writer(lambda _: None)
        assert store.trouble.statements == before
        await clock.advance(60)
        for _ in range(50):
            await kept.get("p", b"k")
            await store.on_writer(lambda _: None)
        assert store.trouble.statements == before + 3  # BEGIN, UPDATE, COMMIT


async def test_what_has_expired_is_dropped_with_what_comes(tmp_path):
    clock = FakeClock()
    async with opened(SQLiteStore(tmp_path)) as store:
        kept = cache(store, clock, max_bytes=640)
        await kept.put("other", b"old", b"x" * 100, clock.now() + 1)
        await clock.advance(1)
        await kept.put("p", b"new", b"x" * 100, FAR)
    assert rows(tmp_path, "SELECT key FROM cached") == [(b"new",)]


async def test_the_limit_is_exceeded_by_a_small_part_at_most(tmp_path):
    clock = FakeClock()
    async with opened(SQLiteStore(tmp_path)) as store:
        kept = cache(store, clock, max_bytes=6400)
        for number in range(300):
            await kept.put("p", b"%d" % number, b"x" * 50, FAR)
            [(held,)] = await store.look(lambda c: c.execute("SELECT sum(size) FROM cached").fetchall())
            assert held <= 6400 + 100 + 50
        assert held > 6000


async def test_a_disk_that_fails_is_unavailable_and_keeps_what_was_there(tmp_path):
    clock = FakeClock()
    async with troubled(tmp_path, now=clock.now) as store:
        kept = cache(store, clock)
        await kept.put("p", b"k", b"answer", FAR)
        store.trouble.lasts = True
        with pytest.raises(Unavailable):
            await kept.put("p", b"k", b"other", FAR)
        await clock.advance(60)
        assert await kept.get("p", b"k") == b"answer"
        store.trouble.lasts = False
        assert await kept.get("p", b"k") == b"answer"
