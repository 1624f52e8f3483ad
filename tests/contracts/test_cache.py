"""Every response cache keeps the contract of `antiphon.ports.ResponseCache`."""

from contextlib import asynccontextmanager

import pytest

from antiphon.stores.cache import SQLiteCache
from antiphon.stores.sqlite import SQLiteStore
from antiphon.testing import MemoryCache
from antiphon.testing.contracts import ResponseCacheContract
from tests.stores.disk import opened

pytestmark = pytest.mark.anyio


class TestSQLite(ResponseCacheContract):
    @pytest.fixture
    def open_cache(self, tmp_path):
        @asynccontextmanager
        async def open_cache(clock, max_bytes):
            async with opened(SQLiteStore(tmp_path, now=clock.now)) as store:
                yield SQLiteCache(store, max_bytes=max_bytes, now=clock.now)

        return open_cache


class TestMemory(ResponseCacheContract):
    @pytest.fixture
    def open_cache(self):
        @asynccontextmanager
        async def open_cache(clock, max_bytes):
            yield MemoryCache(max_bytes=max_bytes, now=clock.now)

        return open_cache
