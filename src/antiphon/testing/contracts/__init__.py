"""Contract suites: one a Protocol of `antiphon.ports`, for whoever writes an adapter. Each is a class of tests.

    class TestMyStore(StoreContract):
        @pytest.fixture
        def open_store(self, tmp_path):
            return lambda clock: MyStore(tmp_path, now=clock.now)

The tests are coroutines: run them with the pytest plugin of anyio (`pytestmark = pytest.mark.anyio`).
"""

from __future__ import annotations

from antiphon.testing.contracts.accounts import AccountStoreContract
from antiphon.testing.contracts.alerts import AlertStoreContract
from antiphon.testing.contracts.cache import ResponseCacheContract
from antiphon.testing.contracts.catalog import CatalogContract
from antiphon.testing.contracts.chat import ChatStoreContract
from antiphon.testing.contracts.clock import ClockContract
from antiphon.testing.contracts.ledger import LedgerContract
from antiphon.testing.contracts.model import ModelContract
from antiphon.testing.contracts.moderator import ModeratorContract
from antiphon.testing.contracts.store import StoreContract

__all__ = [
    "AccountStoreContract",
    "AlertStoreContract",
    "CatalogContract",
    "ChatStoreContract",
    "ClockContract",
    "LedgerContract",
    "ModelContract",
    "ModeratorContract",
    "ResponseCacheContract",
    "StoreContract",
]
