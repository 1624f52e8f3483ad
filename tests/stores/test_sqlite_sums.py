"""Sums over the ledger may read millions of rows: only other sums wait for them."""

from __future__ import annotations

import asyncio
import threading

import pytest

from antiphon.policy.ledger import UsageQuery
from antiphon.stores import ledger
from antiphon.stores.accounts import SQLiteAccounts
from antiphon.stores.ledger import SQLiteLedger
from antiphon.stores.sqlite import SQLiteStore
from antiphon.testing.contracts.store import PROJECT
from tests.stores.disk import opened

pytestmark = pytest.mark.anyio

ASKED = {
    "usage": lambda books: books.usage(UsageQuery(organization="default", since=0, until=1, width=1)),
    "spent": lambda books: books.spent(0),
}


@pytest.mark.parametrize("name", ASKED)
async def test_no_response_and_no_key_waits_for_a_long_sum(tmp_path, monkeypatch, name):
    begun, go_on = threading.Event(), threading.Event()
    add_usd = ledger._add_usd

    def take_long(connection):
        begun.set()
        go_on.wait(30)
        add_usd(connection)

    monkeypatch.setattr(ledger, "_add_usd", take_long)
    async with opened(SQLiteStore(tmp_path)) as store:
        adding_up = asyncio.ensure_future(ASKED[name](SQLiteLedger(store)))
        try:
            await asyncio.to_thread(begun.wait)
            async with asyncio.timeout(10):
                assert await store.find(PROJECT, "resp_1") is None
                assert await store.unfinished() == []
                assert await SQLiteAccounts(store).revision() == 0
                assert await SQLiteLedger(store).find("resp_1") is None
            assert not adding_up.done()
        finally:
            go_on.set()
            assert await adding_up == []
