"""The published prices: the data of the package `genai-prices`, read offline, and never more than that.

Importing it takes about 0.1 s and 16 MB, most of it for libraries that it needs for other things. So it happens when
the first price is asked for that nothing else tells; `preload` brings it forward.

Its matching is used, its lookup is not: that one remembers every name it ever saw, and names come from clients.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from antiphon.policy.prices.names import address_of, undated
from antiphon.policy.prices.terms import EXACT, FREE, STANDARD, ZERO, Price, Rate, Rates

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider, TieredPrices

__all__ = ["find", "is_local", "preload", "price_of"]

_TERM: Final = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "output": "output_mtok",
    "reasoning": "output_reasoning_mtok",
}
_TOOLS: Final = {"web_search_calls": "web_searches_kcount", "file_search_calls": "storage_searches_kcount"}
_LONGEST: Final = 256
"""Characters in the name of a model. No price list has one as long."""


def preload() -> None:
    """Read the data now. May be called from a thread."""
    _providers()


def price_of(model: str, upstream: str | None, at: datetime, service_tier: str | None) -> Price | None:
    """What is published for a model where it runs. None if nothing is."""
    if len(model) > _LONGEST or (upstream and is_local(upstream)):
        return None
    found = find(model, upstream)
    return None if found is None else _price(*found, at, service_tier)


@lru_cache(maxsize=1024)
def find(model: str, upstream: str | None) -> tuple[Provider, ModelInfo] | None:
    """The provider and its model. Without an upstream, the name has to tell whose it is."""
    for provider, name in _candidates(model.lower(), upstream):
        info = provider.find_model(name, all_providers=_providers())
        if info is not None:
            return provider, info
    return None


def _candidates(model: str, upstream: str | None) -> Iterator[tuple[Provider, str]]:
    """Who may know the model, and under which name; the likeliest first."""
    prefix, _, rest = model.partition("/")
    owner = _by_id(prefix) if rest else None
    pairs = [(owner, rest), (_by_model(model), model)]
    if upstream:
        provider = _provider(upstream)
        pairs = [(provider, model), (provider if owner else None, rest)]
    for provider, name in pairs:
        if provider is not None:
            yield from ((provider, form) for form in dict.fromkeys((name, undated(name))))


def _provider(upstream: str) -> Provider | None:
    address = address_of(upstream)
    if address is None:
        return _by_id(upstream.lower())
    return next((known for known in _providers() if re.match(known.api_pattern, address)), None)


def _by_id(name: str) -> Provider | None:
    return next((known for known in _providers() if known.id == name), None)


def _by_model(model: str) -> Provider | None:
    return next((known for known in _providers() if known.model_match and known.model_match.is_match(model)), None)


def is_local(upstream: str) -> bool:
    """Whether it is surely nobody's who publishes prices: this machine, or an address of a private network."""
    try:
        host = urlsplit(address_of(upstream) or "").hostname or ""
    except ValueError:
        return False  # no address at all
    try:
        return ip_address(host).is_private
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal"))


@cache
def _providers() -> list[Provider]:
    from genai_prices.data import providers

    return providers


@cache
def _source() -> str:
    from importlib.metadata import version

    return f"genai-prices {version('genai-prices')}"


# Its prices as ours


def _price(provider: Provider, info: ModelInfo, at: datetime, service_tier: str | None) -> Price | None:
    standard = info.get_prices(at)
    paid = standard
    unpriced: tuple[str, ...] = ()
    if service_tier and service_tier not in STANDARD:
        is_its_own = any(info is known for known in provider.models)
        paid = info.get_prices(at, _context(service_tier)) if is_its_own else standard
        unpriced = () if paid != standard else (f"service_tier {service_tier}",)
    rates = _rates(paid) or (FREE if _is_free(info) else {})
    request = _thousandth(paid.requests_kcount)
    if not rates and not request:
        return None
    name = f"{provider.id}/{info.id}"
    return Price(model=name, source=_source(), rates=rates, request=request, tools=_tools(paid), unpriced=unpriced)


def _context(service_tier: str) -> Mapping[str, str]:
    return {"processing": "batch"} if service_tier == "batch" else {"service_tier": service_tier}


def _is_free(info: ModelInfo) -> bool:
    """Whether a model that is listed without any price costs nothing. For others the price is simply not known."""
    return info.id.endswith(":free") or info.id == "moderation"


def _rates(paid: ModelPrice) -> Rates:
    listed = {term: getattr(paid, key) for term, key in _TERM.items()}
    return {term: _rate(price) for term, price in listed.items() if price is not None}


def _rate(price: Decimal | TieredPrices) -> Rate:
    if isinstance(price, Decimal):
        return Rate(price)
    return Rate(price.base, tuple((tier.start, tier.price) for tier in price.tiers))


def _tools(paid: ModelPrice) -> dict[str, Decimal]:
    return {use: _thousandth(price) for use, key in _TOOLS.items() if (price := getattr(paid, key)) is not None}


def _thousandth(price: Decimal | TieredPrices | None) -> Decimal:
    """The price of one, where the list has that of a thousand. Its steps, of tokens, do not apply to calls."""
    return ZERO if price is None else _rate(price).base.scaleb(-3, EXACT)
