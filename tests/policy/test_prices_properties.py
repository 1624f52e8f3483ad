"""Costs: what holds for all prices and uses, and that published figures are what their own list makes of them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price
from genai_prices.data import providers
from hypothesis import example, given
from hypothesis import strategies as st

from antiphon.policy.prices import Price, Prices, Rate
from antiphon.wire.response import InputTokensDetails, OutputTokensDetails, Usage

NOW = datetime(2026, 11, 21, tzinfo=UTC)
PRICES = Prices()

money = st.decimals(0, 1000, places=6)
tokens = st.integers(0, 10**12)


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    steps = draw(st.lists(st.tuples(tokens, money), max_size=2, unique_by=lambda step: step[0]))
    return Rate(draw(money), tuple(sorted(steps)))


@st.composite
def prices(draw: st.DrawFn) -> Price:
    own = {term: draw(rates()) for term in ("input", "output")}
    for term in ("cached_input", "cache_write", "reasoning"):
        if draw(st.booleans()):
            own[term] = draw(rates())
    tools = draw(st.dictionaries(st.sampled_from(["web_search_calls", "shell_sessions"]), money))
    return Price(model="m", source="here", rates=own, request=draw(money), tools=tools)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    given_, output = draw(tokens), draw(tokens)
    cached = draw(st.integers(0, given_))
    return made(given_, output, cached, draw(st.integers(0, given_ - cached)), draw(st.integers(0, output)))


def made(given_: int, output: int, cached: int = 0, written: int = 0, reasoning: int = 0) -> Usage:
    return Usage(
        input_tokens=given_,
        input_tokens_details=InputTokensDetails(cached_tokens=cached, cache_write_tokens=written),
        output_tokens=output,
        output_tokens_details=OutputTokensDetails(reasoning_tokens=reasoning),
    )


uses = st.dictionaries(st.sampled_from(["web_search_calls", "shell_sessions", "other_calls"]), st.integers(0, 10**6))


@given(prices(), usages(), uses)
def test_a_cost_is_the_sum_of_its_terms_and_none_is_negative(price, usage, tools):
    cost = price.cost(usage, tools)
    terms = [cost.input, cost.cached_input, cost.cache_write, cost.output, cost.request, cost.tools]
    assert all(term >= 0 for term in terms)
    assert cost.total == sum(terms)


@given(prices(), usages())
def test_a_cost_is_exact(price, usage):
    """The same in fractions, which never round."""
    details, reasoning = usage.input_tokens_details, usage.output_tokens_details.reasoning_tokens
    counts = {
        "input": usage.input_tokens - details.cached_tokens - details.cache_write_tokens,
        "cached_input": details.cached_tokens,
        "cache_write": details.cache_write_tokens,
        "output": usage.output_tokens - reasoning,
        "reasoning": reasoning,
    }
    parts = {"cached_input": "input", "cache_write": "input", "reasoning": "output"}
    total = Fraction(price.request)
    for term, count in counts.items():
        rate = price.rates.get(term) or price.rates[parts[term]]
        held = [rate.base, *(at for above, at in rate.steps if usage.input_tokens > above)][-1]
        total += Fraction(held) * count / 1_000_000
    assert Fraction(price.cost(usage, {}).total) == total


@given(prices(), usages(), tokens)
def test_more_output_never_costs_less(price, usage, more):
    longer = made(
        usage.input_tokens,
        usage.output_tokens + more,
        usage.input_tokens_details.cached_tokens,
        usage.input_tokens_details.cache_write_tokens,
        usage.output_tokens_details.reasoning_tokens,
    )
    assert price.cost(longer, {}).total >= price.cost(usage, {}).total


@given(money, money, st.lists(st.tuples(tokens, money), max_size=2), usages(), tokens)
def test_more_input_never_costs_less_where_long_context_is_not_cheaper(base, write, increases, usage, more):
    steps, price = [], base
    for above, increase in sorted(increases):
        price += increase
        steps.append((above, price))
    rate = Rate(base, tuple(steps))
    listed = Price(model="m", source="here", rates={"input": rate, "cache_write": Rate(write), "output": rate})
    details = usage.input_tokens_details
    longer = made(usage.input_tokens + more, usage.output_tokens, details.cached_tokens, details.cache_write_tokens)
    assert listed.cost(longer, {}).total >= listed.cost(usage, {}).total


@given(prices(), usages(), uses)
def test_no_use_costs_more_than_its_estimate(price, usage, tools):
    estimate = price.estimate(usage.input_tokens, usage.output_tokens, tools)
    assert price.cost(usage, tools).total <= estimate.total


@given(prices(), usages(), usages(), uses)
def test_an_estimate_covers_every_smaller_use(price, one, other, tools):
    estimate = price.estimate(
        max(one.input_tokens, other.input_tokens), max(one.output_tokens, other.output_tokens), tools
    )
    assert max(price.cost(one, tools).total, price.cost(other, tools).total) <= estimate.total


@given(st.text(max_size=40), st.none() | st.text(max_size=40), st.integers(0, 4_000_000_000), st.none() | st.text())
@example("m", "http://[", 0, None)  # no address of any network
def test_no_name_breaks_the_lookup(model, upstream, at, tier):
    price = PRICES.price_of(model, upstream=upstream, at=at, service_tier=tier)
    assert price is None or price.source


# What the list's own calculation says

CASES = [
    ("openai", "gpt-5", None),
    ("openai", "gpt-5", "flex"),
    ("openai", "gpt-5", "priority"),
    ("openai", "gpt-5-mini", None),
    ("openai", "gpt-5-mini-2025-08-07", None),
    ("openai", "gpt-5-nano", None),
    ("openai", "gpt-4o", "priority"),
    ("openai", "gpt-4o-mini", None),
    ("openai", "gpt-4.1", None),
    ("openai", "o3", None),
    ("openai", "gpt-5.4", None),
    ("openai", "gpt-5.4", "flex"),
    ("openai", "gpt-5.4", "batch"),
    ("openai", "gpt-6-astra", None),
    ("openai", "gpt-6-astra", "batch"),
    ("openai", "text-embedding-3-large", None),
    ("openai", "omni-moderation-latest", None),
    ("anthropic", "claude-sonnet-4-5", None),
    ("anthropic", "claude-opus-4-1-20250805", None),
    ("anthropic", "claude-3-5-haiku-latest", "batch"),
    ("google", "gemini-2.5-pro", None),
    ("deepseek", "deepseek-chat", None),
    ("mistral", "mistral-large-latest", None),
    ("azure", "gpt-5", "priority"),
    ("openrouter", "openai/gpt-5", None),
    ("x-ai", "grok-4", None),
    ("perplexity", "sonar-deep-research", None),
]
SIZES = [(0, 0), (1, 1), (272_000, 500), (272_001, 500), (900_000, 100_000)]


def theirs(provider: str, model: str, usage: Usage, at: datetime, tier: str | None = None) -> Decimal:
    context = None if tier is None else {"processing": tier} if tier == "batch" else {"service_tier": tier}
    used = TheirUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=usage.input_tokens_details.cached_tokens,
        cache_write_tokens=usage.input_tokens_details.cache_write_tokens,
        output_tokens=usage.output_tokens,
        output_reasoning_tokens=usage.output_tokens_details.reasoning_tokens,
    )
    found = calc_price(used, model, provider_id=provider, genai_request_timestamp=at, price_context=context)
    return found.total_price


@pytest.mark.parametrize(("provider", "model", "tier"), CASES)
def test_a_published_price_gives_what_its_own_list_calculates(provider, model, tier):
    is_spoken = "embedding" not in model
    for given_, output in SIZES:
        usage = made(given_, output * is_spoken, given_ // 3, given_ // 7, output // 2 * is_spoken)
        cost = PRICES.cost(model, usage, at=NOW, upstream=provider, service_tier=tier)
        assert cost is not None
        assert cost.total == theirs(provider, model, usage, NOW, tier)


def test_every_listed_model_costs_what_its_own_list_calculates_or_is_unknown():
    known = 0
    usage = made(250_000, 1_000, 70_000, 30_000, 600)
    for provider in providers:
        for model in provider.models:
            cost = PRICES.cost(model.id, usage, at=NOW, upstream=provider.id)
            if cost is not None:
                known += 1
                assert cost.total == theirs(provider.id, model.id, usage, NOW), f"{provider.id}/{model.id}"
    assert known > 2000
