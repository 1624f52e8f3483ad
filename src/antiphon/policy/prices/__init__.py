"""What models cost: an own file, which outweighs the published prices; and None where neither tells.

* `terms`      what a price is made of, and what a use costs by it
* `file`       the own price file
* `published`  the data of `genai-prices`, read offline and late
* `names`      the names that a model and its upstream go by

No price is ever guessed. A model that nobody lists has no cost, which is not the same as a cost of 0. Whoever asks
tells the time: prices are dated, and a request costs what held when it was made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final

from msgspec import structs

from antiphon.policy.prices import file, published
from antiphon.policy.prices.file import OwnPrices, PricesError
from antiphon.policy.prices.terms import FREE, Cost, Price, Rate
from antiphon.wire.response import Usage

__all__ = ["EXAMPLE", "Cost", "Price", "Prices", "PricesError", "Rate"]

EXAMPLE: Final = Path(__file__).with_name("example.toml")
"""A price file to begin with."""

_NONE: Final[Mapping[str, int]] = MappingProxyType({})

_REHEARSAL: Final = Price(model="rehearsal", source="antiphon", rates=FREE)
"""The built-in model costs nothing, unless a price file says otherwise to rehearse with."""


class Prices:
    """The prices of one server. An `upstream` is the address of where the model runs, or a provider's name; without
    one, the model's name has to tell. An upstream that nobody publishes prices for is known to the own file only."""

    def __init__(self, own: OwnPrices | None = None) -> None:
        self._own = own or OwnPrices()

    @classmethod
    def load(cls, own: Path | None = None) -> Prices:
        """The published prices, and those of a file above them. Raises PricesError."""
        return cls(file.read(own) if own else None)

    def preload(self, upstreams: Iterable[str]) -> None:
        """Read the published prices now, if there may be any for one of these addresses; it takes about 0.1 s.

        Else the first model that needs them does it. May be called from a thread.
        """
        if not all(published.is_local(upstream) for upstream in upstreams):
            published.preload()

    def price_of(
        self,
        model: str,
        *,
        at: datetime | float,
        upstream: str | None = None,
        service_tier: str | None = None,
    ) -> Price | None:
        """The price that held at a time (aware, or UTC; or in seconds since 1970). None if there is none."""
        moment = _moment(at)
        own = self._own.price_of(model, upstream, moment, service_tier)
        if own is not None:
            return own
        found = _REHEARSAL if model == "rehearsal" else published.price_of(model, upstream, moment, service_tier)
        tools = self._own.tools_at(moment)
        return structs.replace(found, tools={**found.tools, **tools}) if found and tools else found

    def cost(
        self,
        model: str,
        usage: Usage,
        *,
        at: datetime | float,
        upstream: str | None = None,
        service_tier: str | None = None,
        tools: Mapping[str, int] = _NONE,
    ) -> Cost | None:
        """What a use cost. None if the model, or a kind of token that it used, has no known price.

        `tools` counts the hosted tools that the upstream ran, by what it bills: `web_search_calls`,
        `code_interpreter_sessions`. Those without a price are named in `Cost.unpriced`.
        """
        price = self.price_of(model, at=at, upstream=upstream, service_tier=service_tier)
        return None if price is None else price.cost(usage, tools)

    def estimate(
        self,
        model: str,
        input_tokens: int,
        output_tokens: int,
        *,
        at: datetime | float,
        upstream: str | None = None,
        service_tier: str | None = None,
        tools: Mapping[str, int] = _NONE,
    ) -> Cost | None:
        """What a request will cost at most that has up to so many tokens. None as for `cost`."""
        price = self.price_of(model, at=at, upstream=upstream, service_tier=service_tier)
        return None if price is None else price.estimate(input_tokens, output_tokens, tools)


def _moment(at: datetime | float) -> datetime:
    if not isinstance(at, datetime):
        return datetime.fromtimestamp(at, UTC)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
