"""Every store of alerts keeps the contract of `antiphon.ports.AlertStore`."""

from contextlib import asynccontextmanager

import pytest

from antiphon.engine.unkept import UnkeptAlerts
from antiphon.stores.sqlite import SQLiteStore
from antiphon.stores.till import SQLiteAlerts
from antiphon.testing.contracts import AlertStoreContract
from tests.stores.disk import opened

pytestmark = pytest.mark.anyio


class TestSQLite(AlertStoreContract):
    @pytest.fixture
    def open_alerts(self, tmp_path):
        @asynccontextmanager
        async def open_alerts():
            async with opened(SQLiteStore(tmp_path)) as store:
                yield SQLiteAlerts(store)

        return open_alerts


class TestUnkept(AlertStoreContract):
    @pytest.fixture
    def open_alerts(self):
        made = UnkeptAlerts()

        @asynccontextmanager
        async def open_alerts():
            yield made

        return open_alerts
