"""Routes: in which order the backends of one name are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal, TypeAlias

Order: TypeAlias = Literal["first", "weighted", "cheapest"]
"""`first`: as they are listed. `weighted`: by chance, so that each is asked first as often as its share. `cheapest`:
by price, and those without a known price last."""


def in_order(
    order: Order,
    weights: Sequence[float],
    prices: Callable[[], Sequence[Decimal | None]],
    random: Callable[[], float],
) -> list[int]:
    """The places of the backends, the one to ask first in front. `prices` is only asked where they decide.

    Those behind the first are the fallbacks; with weights their order is drawn by weight too, and a backend of weight 0
    is asked only when all others have failed.
    """
    places = list(range(len(weights)))
    match order:
        case "weighted":
            drawn = [_drawn(weight, random()) for weight in weights]
            return sorted(places, key=lambda place: drawn[place], reverse=True)
        case "cheapest":
            known = prices()
            return sorted(places, key=lambda place: _price(known[place]))
    return places


def _drawn(weight: float, chance: float) -> float:
    """Sorting by these draws without replacement, each time by weight (Efraimidis and Spirakis, 2006)."""
    return chance ** (1 / weight) if weight > 0 else -1.0


def _price(price: Decimal | None) -> tuple[bool, Decimal]:
    return (price is None, price or Decimal(0))
