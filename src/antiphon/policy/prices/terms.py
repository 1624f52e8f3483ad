"""What a price is made of, and what a use costs by it. Decimals only: a sum of money is exact to its last digit.

* Tokens have five terms. `input` is what was neither read from a cache nor written to one; reading (`cached_input`)
  and writing (`cache_write`) have their own rates, and so may reasoning, which is a part of the output. A term without
  a rate of its own has that of the tokens it is a part of.
* A rate may change above a size of the whole input; then it holds for all tokens, not only for those above.
* Hosted tools are billed by what they count: `web_search_calls`, `code_interpreter_sessions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from typing import Final, TypeAlias

from msgspec import Struct

from antiphon.wire.response import Usage

__all__ = ["EXACT", "FREE", "STANDARD", "TERMS", "ZERO", "Cost", "Price", "Rate", "Rates"]

ZERO: Final = Decimal(0)

EXACT: Final = Context(prec=100, rounding=ROUND_HALF_EVEN)
"""More digits than a count of tokens times a price can have, whatever the program around us has set for itself."""

TERMS: Final = ("input", "cached_input", "cache_write", "output", "reasoning")

STANDARD: Final = frozenset({"auto", "default", "standard"})
"""The service tiers that the price of a model is meant for."""

PART_OF: Final = {"cached_input": "input", "cache_write": "input", "reasoning": "output"}
"""Whose rate a term has that has none."""


class Rate(Struct, frozen=True):
    """US dollars for a million tokens."""

    base: Decimal
    steps: tuple[tuple[int, Decimal], ...] = ()
    """Ascending: where the input is larger than the first, the second is the price."""

    def when(self, input_tokens: int) -> Decimal:
        """The price in a request with that much input."""
        return self._prices(input_tokens)[-1]

    def at_most(self, input_tokens: int) -> Decimal:
        """The highest price in requests with up to that much input."""
        return max(self._prices(input_tokens))

    def times(self, factor: Decimal) -> Rate:
        """The rate of a service tier that costs `factor` times as much."""
        with localcontext(EXACT):
            return Rate(self.base * factor, tuple((above, price * factor) for above, price in self.steps))

    def _prices(self, input_tokens: int) -> list[Decimal]:
        return [self.base, *(price for above, price in self.steps if input_tokens > above)]


Rates: TypeAlias = Mapping[str, Rate]
"""Rates by their term."""

FREE: Final[Rates] = {"input": Rate(ZERO), "output": Rate(ZERO)}


class Cost(Struct, frozen=True, kw_only=True):
    """What something costs, in US dollars, term by term."""

    input: Decimal = ZERO
    """What was not read from a cache nor written to one."""
    cached_input: Decimal = ZERO
    cache_write: Decimal = ZERO
    output: Decimal = ZERO
    """With reasoning."""
    request: Decimal = ZERO
    tools: Decimal = ZERO
    total: Decimal
    model: str
    """The entry of the price list that was used."""
    source: str
    """The list: the name of a file, or `genai-prices` with its version."""
    unpriced: tuple[str, ...] = ()
    """What was used and has no price: hosted tools, which then add nothing to the sum, and a service tier, which then
    costs what the standard one does."""


class Price(Struct, frozen=True, kw_only=True):
    """What the use of one model costs, at one time and in one service tier."""

    model: str
    source: str
    rates: Rates
    request: Decimal = ZERO
    """Dollars for each request, whatever it says."""
    tools: Mapping[str, Decimal] = {}
    """Dollars for each call or session, by what is counted: `web_search_calls`."""
    unpriced: tuple[str, ...] = ()

    def cost(self, usage: Usage, tools: Mapping[str, int]) -> Cost | None:
        """What was used costs so much. None if a part of it has no price, such as the output of an embedding model."""
        counts = _counts(usage)
        rates = {term: rate.when(usage.input_tokens) for term, rate in self._rates(counts)}
        return self._sum(counts, rates, tools)

    def estimate(self, input_tokens: int, output_tokens: int, tools: Mapping[str, int]) -> Cost | None:
        """So much at most, wherever the input may be cached and whatever part of the output is reasoning."""
        counts = {"input": max(input_tokens, 0), "output": max(output_tokens, 0)}
        most: dict[str, Decimal] = {}
        for term, rate in self._rates(TERMS):
            whole = PART_OF.get(term, term)
            most[whole] = max(most.get(whole, ZERO), rate.at_most(input_tokens))
        return self._sum(counts, most, tools)

    def _rates(self, terms: Mapping[str, int] | tuple[str, ...]) -> list[tuple[str, Rate]]:
        found = ((term, self.rates.get(term) or self.rates.get(PART_OF.get(term, term))) for term in terms)
        return [(term, rate) for term, rate in found if rate is not None]

    def _sum(self, counts: Mapping[str, int], rates: Mapping[str, Decimal], tools: Mapping[str, int]) -> Cost | None:
        if any(count and term not in rates for term, count in counts.items()):
            return None
        with localcontext(EXACT):
            terms = {term: (counts[term] * rates[term]).scaleb(-6) for term in counts if counts[term]}
            terms["output"] = terms.get("output", ZERO) + terms.pop("reasoning", ZERO)
            terms["tools"] = sum((count * self.tools.get(use, ZERO) for use, count in tools.items()), ZERO)
            terms["request"] = self.request
            total = sum(terms.values(), ZERO)
        unpriced = (*self.unpriced, *(use for use, count in tools.items() if count and use not in self.tools))
        return Cost(**terms, total=total, model=self.model, source=self.source, unpriced=unpriced)


def _counts(usage: Usage) -> dict[str, int]:
    """Tokens by the term that bills them. The figures are another server's: none becomes negative."""
    cached = max(usage.input_tokens_details.cached_tokens, 0)
    written = max(usage.input_tokens_details.cache_write_tokens, 0)
    output = max(usage.output_tokens, 0)
    reasoning = min(max(usage.output_tokens_details.reasoning_tokens, 0), output)
    return {
        "input": max(usage.input_tokens - cached - written, 0),
        "cached_input": cached,
        "cache_write": written,
        "output": output - reasoning,
        "reasoning": reasoning,
    }
