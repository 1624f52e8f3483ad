"""What every catalog does."""

from __future__ import annotations

import pytest

from antiphon.ports import Catalog, UnknownModel


class CatalogContract:
    """Fixtures: `catalog`, and `unknown`, a name that it does not serve."""

    async def test_every_listed_model_can_be_chosen_and_lets_no_more_through_than_the_catalog(
        self, catalog: Catalog
    ) -> None:
        listed = await catalog.models()
        assert len({model.id for model in listed}) == len(listed) > 0
        for model in listed:
            choice = catalog.choose(model.id)
            assert choice.name
            assert choice.model.pass_through <= catalog.pass_through
        await catalog.aclose()

    async def test_an_unknown_name_is_refused_with_the_names_there_are(self, catalog: Catalog, unknown: str) -> None:
        with pytest.raises(UnknownModel) as refused:
            catalog.choose(unknown)
        assert refused.value.code == "model_not_found"
        assert refused.value.param == "model"
        assert all(model.id in refused.value.message for model in await catalog.models())
        await catalog.aclose()
