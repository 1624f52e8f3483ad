"""Every store of accounts keeps the contract of `antiphon.ports.AccountStore`."""

from contextlib import asynccontextmanager

import pytest

from antiphon.engine.unkept import UnkeptAccounts
from antiphon.stores.accounts import SQLiteAccounts
from antiphon.stores.sqlite import SQLiteStore
from antiphon.testing.contracts import AccountStoreContract
from tests.stores.disk import opened

pytestmark = pytest.mark.anyio


class TestSQLite(AccountStoreContract):
    @pytest.fixture
    def open_accounts(self, tmp_path):
        @asynccontextmanager
        async def open_accounts():
            async with opened(SQLiteStore(tmp_path)) as store:
                yield SQLiteAccounts(store)

        return open_accounts


class TestUnkept(AccountStoreContract):
    @pytest.fixture
    def open_accounts(self):
        made = UnkeptAccounts()

        @asynccontextmanager
        async def open_accounts():
            yield made

        return open_accounts
