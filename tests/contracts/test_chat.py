"""Every store of chat completions keeps the contract of `antiphon.ports.ChatStore`."""

from contextlib import asynccontextmanager

import pytest

from antiphon.stores.chat import SQLiteChats
from antiphon.stores.sqlite import SQLiteStore
from antiphon.testing.contracts import ChatStoreContract
from tests.stores.disk import opened

pytestmark = pytest.mark.anyio


class TestSQLite(ChatStoreContract):
    @pytest.fixture
    def open_chats(self, tmp_path):
        @asynccontextmanager
        async def open_chats():
            async with opened(SQLiteStore(tmp_path)) as store:
                yield store, SQLiteChats(store)

        return open_chats
