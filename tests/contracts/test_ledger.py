"""Every ledger keeps the contract of `antiphon.ports.Ledger`."""

from contextlib import asynccontextmanager

import pytest

from antiphon.stores.ledger import SQLiteLedger
from antiphon.stores.sqlite import SQLiteStore
from antiphon.testing.contracts import LedgerContract
from tests.stores.disk import opened

pytestmark = pytest.mark.anyio


class TestSQLite(LedgerContract):
    @pytest.fixture
    def open_ledger(self, tmp_path):
        @asynccontextmanager
        async def open_ledger():
            async with opened(SQLiteStore(tmp_path)) as store:
                yield SQLiteLedger(store)

        return open_ledger
