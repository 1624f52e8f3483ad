"""Every store keeps the contract of `antiphon.ports.Store`."""

import pytest

from antiphon.stores.sqlite import SQLiteStore
from antiphon.testing.contracts import StoreContract

pytestmark = pytest.mark.anyio


class TestSQLite(StoreContract):
    @pytest.fixture(params=["normal", "full"])
    def open_store(self, request, tmp_path):
        return lambda clock: SQLiteStore(tmp_path, now=clock.now, synchronous=request.param)
