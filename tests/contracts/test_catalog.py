"""Every catalog keeps the contract of `antiphon.ports.Catalog`."""

import pytest

from antiphon.config.settings import ChatSettings, RehearsalSettings
from antiphon.plugins import Models
from antiphon.testing import Only, ScriptedModel
from antiphon.testing.contracts import CatalogContract

pytestmark = pytest.mark.anyio

NOWHERE = "http://127.0.0.1:9/v1"


class TestOnly(CatalogContract):
    @pytest.fixture
    def catalog(self):
        return Only(ScriptedModel(pass_through=frozenset({"seed"})), other=ScriptedModel(name="other"))

    @pytest.fixture
    def unknown(self):
        return "unknown"


class TestModels(CatalogContract):
    @pytest.fixture
    def catalog(self):
        local = ChatSettings(backend="chat_completions", base_url=NOWHERE, pass_through=frozenset({"seed"}))
        return Models({"local": local, "another": RehearsalSettings(backend="rehearsal")})

    @pytest.fixture
    def unknown(self):
        return "unknown"
